"""Programs and libraries of others: there, or missed aloud. ``VUICC_PEERS`` says whose absence is a failure: with ``packaged`` of
those that Debian or a package index has, with ``required`` of all.
"""

import importlib
import os
from types import ModuleType
from typing import NoReturn

import pytest
import vuicc
from vuicc.reader import _namespaces


def skip(why: str, *, fetched: bool = False, whole_module: bool = False) -> NoReturn:
    """Say that a test cannot be done here, and why. ``fetched``: no package has what is missing."""
    peers = os.environ.get("VUICC_PEERS", "")
    if peers not in ("", "packaged", "required"):
        pytest.fail(f"VUICC_PEERS is {peers!r}; it may be packaged or required", pytrace=False)
    if peers == "required" or (peers == "packaged" and not fetched):
        pytest.fail(f"{why}, and VUICC_PEERS says it must be there", pytrace=False)
    pytest.skip(why, allow_module_level=whole_module)


def module(name: str, why: str, *, whole_module: bool = False) -> ModuleType:
    """A module of others."""
    try:
        return importlib.import_module(name)
    except ImportError:
        skip(why, whole_module=whole_module)


def namespaces() -> list[str]:
    """The command that makes namespaces for mounts and network."""
    try:
        return _namespaces()
    except vuicc.ProgramMissing as error:
        skip(str(error))
