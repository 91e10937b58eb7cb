"""What goes wrong, one class for each exit code of ``vuicc``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


class VuiccError(Exception):
    """A command of ``vuicc`` failed. The text names the cause and the way out.

    :ivar exit_code: exit code of the program; ``None`` where it was never started.
    :ivar details: its error object, as ``--json`` printed it; empty where it printed none.
    :ivar command: the command line.
    """

    def __init__(
        self,
        message: str,
        *,
        exit_code: int | None = None,
        details: dict[str, Any] | None = None,
        command: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.details: dict[str, Any] = details or {}
        self.command: list[str] = list(command)


class UsageError(VuiccError):
    """A command line that ``vuicc`` does not understand: an option it does not have, a value it does not accept."""


class Difference(VuiccError):
    """What was compared differs: an answer from the script's, a card from another."""


class NotThere(VuiccError):
    """A card or a reader is not there, or was lost."""


class InputError(VuiccError):
    """A script or another input file is wrong."""


class ServerError(VuiccError):
    """A server refused, or could not be reached."""


class TimedOut(VuiccError):
    """Something did not happen in time."""


class ProgramMissing(VuiccError):
    """The program ``vuicc``, or another one that is needed, is not installed or does not start."""


#: The class for each exit code; every other code is a plain :class:`VuiccError`.
BY_EXIT_CODE: dict[int, type[VuiccError]] = {
    2: UsageError,
    3: Difference,
    4: NotThere,
    5: InputError,
    6: ServerError,
    7: TimedOut,
}


def of_exit(exit_code: int, stdout: str, stderr: str, command: Sequence[str]) -> VuiccError:
    """The error that a program which ended with ``exit_code`` reported."""
    details = _error_object(stderr) or _error_object(stdout) or {}
    told = details.get("error")
    message = told.get("message") if isinstance(told, dict) else told
    if not isinstance(message, str):
        lines = [line for line in stderr.splitlines() if line.strip()]
        message = "\n".join(lines[-8:]) if lines else "it said nothing"
        message = message.removeprefix("vuicc: ")
    if exit_code < 0:
        message = f"ended by signal {-exit_code}: {message}"
    return BY_EXIT_CODE.get(exit_code, VuiccError)(message, exit_code=exit_code, details=details, command=command)


def _error_object(output: str) -> dict[str, Any] | None:
    """The last line that is a JSON object with the member ``error``."""
    for line in reversed(output.splitlines()):
        if not line.startswith("{"):
            continue
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "error" in found:
            return found
    return None
