"""What goes wrong, one class for each code of the error objects of ``vuicc`` (docs/json.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


class VuiccError(Exception):
    """A command of ``vuicc`` failed. The text names the cause and the way out.

    :ivar exit_code: exit code of the program; ``None`` where it was never started.
    :ivar details: its error object, as ``--json`` prints it: ``code``, ``message``, ``causes``, ``help``; empty where it
        printed none.
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


#: The class for each code; any other one is a plain :class:`VuiccError`.
BY_CODE: dict[str, type[VuiccError]] = {
    "usage": UsageError,
    "difference": Difference,
    "card": NotThere,
    "input": InputError,
    "network": ServerError,
    "timeout": TimedOut,
}


def of_exit(exit_code: int, stdout: str, stderr: str, command: Sequence[str]) -> VuiccError:
    """The error that a program which ended with ``exit_code`` reported: on stderr for people, as the last line on stdout
    for programs.
    """
    details = _error_object(stdout)
    message = _told(stderr) or str(details.get("message", "it said nothing"))
    if exit_code < 0:
        message = f"ended by signal {-exit_code}: {message}"
    kind = BY_CODE.get(str(details.get("code")), VuiccError)
    return kind(message, exit_code=exit_code, details=details, command=command)


def _told(stderr: str) -> str:
    """What was told to people: from the last line that the program itself began, else the last lines there are."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    for number in reversed(range(len(lines))):
        if lines[number].startswith("vuicc: "):
            return "\n".join([lines[number][len("vuicc: ") :], *lines[number + 1 :]])
    return "\n".join(lines[-8:])


def _error_object(output: str) -> dict[str, Any]:
    """The error object of the last line; an empty one if that is something else."""
    lines = output.splitlines()
    try:
        found = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, dict) else {}
