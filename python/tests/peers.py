"""Programs and libraries of others: there, or missed aloud; with ``VUICC_PEERS=required`` their absence is a failure."""

import importlib
import os
from types import ModuleType
from typing import NoReturn

import pytest
import vuicc
from vuicc.reader import _namespaces


def skip(why: str, *, whole_module: bool = False) -> NoReturn:
    """Say that a test cannot be done here, and why."""
    if os.environ.get("VUICC_PEERS") == "required":
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
