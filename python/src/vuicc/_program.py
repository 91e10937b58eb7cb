"""Where the program is, and how a command of it is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Union

from ._errors import ProgramMissing, TimedOut, of_exit

#: A file's path, as text or as :class:`pathlib.Path`.
PathLike = Union[str, "os.PathLike[str]"]

#: How long a command that is not a server may take, in seconds.
LIMIT = 120.0


def program() -> str:
    """The path of the program ``vuicc``: the variable ``VUICC``, else the one installed with this package, else the one
    in ``PATH``.

    :raises ProgramMissing: if there is none.
    """
    named = os.environ.get("VUICC")
    if named:
        if not os.access(named, os.X_OK):
            raise ProgramMissing(f"the variable VUICC names {named}, which is no program")
        return os.path.abspath(named)
    for folder in _script_folders():
        candidate = os.path.join(folder, "vuicc")
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    found = shutil.which("vuicc")
    if found:
        return found
    raise ProgramMissing(
        "the program vuicc is not installed here: install the wheel of a release, or name one in the variable VUICC"
    )


def _script_folders() -> Iterable[str]:
    """Where pip puts programs: with this interpreter, with this package (``--user``, ``--target``)."""
    yield sysconfig.get_path("scripts")
    user = f"{os.name}_user"
    if user in sysconfig.get_scheme_names():
        yield sysconfig.get_path("scripts", user)
    yield str(Path(__file__).resolve().parent.parent / "bin")


def command_line(arguments: Iterable[object], *, state: PathLike | None = None) -> list[str]:
    """The command line of ``vuicc`` with ``arguments``, JSON output, and ``state`` as its state directory."""
    line = [program(), *(os.fspath(one) if isinstance(one, os.PathLike) else str(one) for one in arguments), "--json"]
    if state is not None:
        line += ["--state", os.fspath(state)]
    return line


def options(values: Mapping[str, object]) -> list[str]:
    """Keyword arguments as options: ``default_smdp="x"`` is ``--default-smdp x``, ``disabled=True`` is ``--disabled``, a
    list repeats its option, ``None`` and ``False`` leave it out.
    """
    line: list[str] = []
    for name, value in values.items():
        option = "--" + name.rstrip("_").replace("_", "-")
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is None or one is False:
                continue
            if one is True:
                line.append(option)
            else:
                # In one word, so that no value is taken for an option.
                line.append(f"{option}={os.fspath(one) if isinstance(one, os.PathLike) else one}")
    return line


def run(
    *arguments: object,
    state: PathLike | None = None,
    timeout: float | None = LIMIT,
    env: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Run ``vuicc`` with ``arguments`` and ``--json``, and return the objects it printed, one for each line::

        vuicc.run("lpa", "profile", "list", "--card", "my.img")

    :param state: the state directory; without it the user's own.
    :param timeout: seconds after which the command is ended; ``None``: never.
    :param env: variables to set for it, besides this process's.
    :raises VuiccError: if it fails; the class says how.
    """
    line = command_line(arguments, state=state)
    try:
        done = subprocess.run(
            line,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            env={**os.environ, **env} if env else None,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimedOut(f"not done after {timeout:g} seconds: {' '.join(line)}", command=line) from None
    except OSError as error:
        raise ProgramMissing(f"{line[0]} does not start: {error}", command=line) from None
    if done.returncode != 0:
        raise failure(done.returncode, done.stdout, done.stderr, line)
    return objects(done.stdout)


def objects(output: str) -> list[dict[str, Any]]:
    """The JSON objects of ``output``, one for each line."""
    found = []
    for line in output.splitlines():
        if line.startswith("{"):
            found.append(json.loads(line))
    return found


def failure(exit_code: int, stdout: str, stderr: str, line: list[str]) -> Exception:
    """The error of a command that ended with ``exit_code``; a program that the loader refuses is a missing one."""
    if exit_code == 127 and "shared librar" in stderr:
        library = "libpcsclite.so.1" if "libpcsclite" in stderr else "a library"
        way_out = "apt install libpcsclite1" if "libpcsclite" in stderr else stderr.strip()
        return ProgramMissing(f"vuicc does not start: {library} is missing ({way_out})", exit_code=127, command=line)
    return of_exit(exit_code, stdout, stderr, line)


def python() -> list[str]:
    """This interpreter, started as bare as possible."""
    return [sys.executable, "-I", "-S"]
