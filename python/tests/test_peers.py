"""What is absent is said, and where it is required, a failure."""

import peers
import pytest

PACKAGED, FETCHED = {}, {"fetched": True}


@pytest.mark.parametrize("value, of", [(None, PACKAGED), ("", PACKAGED), ("", FETCHED), ("packaged", FETCHED)])
def test_what_is_absent_is_skipped_with_its_reason(monkeypatch, value, of):
    monkeypatch.delenv("VUICC_PEERS", raising=False)
    if value is not None:
        monkeypatch.setenv("VUICC_PEERS", value)
    with pytest.raises(pytest.skip.Exception, match="no such program"):
        peers.skip("no such program", **of)


@pytest.mark.parametrize("value, of", [("packaged", PACKAGED), ("required", PACKAGED), ("required", FETCHED)])
def test_what_is_required_and_absent_fails(monkeypatch, value, of):
    monkeypatch.setenv("VUICC_PEERS", value)
    with pytest.raises(pytest.fail.Exception, match="no such program, and VUICC_PEERS says"):
        peers.skip("no such program", **of)
    with pytest.raises(pytest.fail.Exception, match="not installed"):
        peers.module("a_module_that_nobody_has", "it is not installed", whole_module=True)


def test_a_value_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("VUICC_PEERS", "requird")
    with pytest.raises(pytest.fail.Exception, match="'requird'; it may be packaged or required"):
        peers.skip("no such program")
