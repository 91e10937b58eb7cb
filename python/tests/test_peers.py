"""What is absent is said, and where it is required, a failure."""

import peers
import pytest


def test_what_is_absent_is_skipped_with_its_reason(monkeypatch):
    monkeypatch.delenv("VUICC_PEERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such program"):
        peers.skip("no such program")
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        peers.module("a_module_that_nobody_has", "it is not installed")


def test_what_is_required_and_absent_fails(monkeypatch):
    monkeypatch.setenv("VUICC_PEERS", "required")
    with pytest.raises(pytest.fail.Exception, match="no such program, and VUICC_PEERS says"):
        peers.skip("no such program")
    with pytest.raises(pytest.fail.Exception, match="not installed"):
        peers.module("a_module_that_nobody_has", "it is not installed", whole_module=True)
