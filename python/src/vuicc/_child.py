"""Processes that run beside this one and end with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ._errors import ProgramMissing, TimedOut, VuiccError
from ._guard import started
from ._program import PathLike, failure, python

#: How long a child may take to be ready, in seconds.
READY = 30.0
#: How long a child may take to end in order, in seconds.
GRACE = 20.0


class Folder:
    """A folder: the caller's, or a temporary one that goes with :meth:`remove`, with this object, or with this process."""

    def __init__(self, path: PathLike | None, prefix: str) -> None:
        self._finalizer: weakref.finalize[Any, Folder] | None = None
        if path is None:
            path = tempfile.mkdtemp(prefix=prefix)
            self._finalizer = weakref.finalize(self, _remove, path, os.getpid())
        #: Where it is.
        self.path = Path(path)

    def remove(self) -> None:
        """Remove it, if it is temporary."""
        if self._finalizer is not None:
            self._finalizer()


def _remove(path: str, owner: int) -> None:
    """Remove a folder, unless this is a fork of the process that made it."""
    if owner == os.getpid():
        shutil.rmtree(path, ignore_errors=True)


class Child:
    """A process that ends when :meth:`end` is called, when this object or this process goes, or when it is killed.

    Its output goes to files, so that it never waits for anybody to read it. A fork of this process has a copy of this object,
    but not the process: there it is not running, and nothing ends it.
    """

    def __init__(
        self, line: list[str], *, name: str, env: Mapping[str, str] | None = None, folder: Folder | None = None
    ) -> None:
        """Start it.

        :param folder: one that stays for as long as it runs.
        """
        #: The command line.
        self.line = line
        #: What it is, in messages.
        self.name = name
        self._out: IO[bytes] = tempfile.TemporaryFile(prefix="vuicc-out-")
        self._err: IO[bytes] = tempfile.TemporaryFile(prefix="vuicc-err-")
        try:
            self.process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=self._err,
                env={**os.environ, **env} if env else None,
                # Ctrl-C is for the test, which ends the child in order.
                start_new_session=True,
            )
        except OSError as error:
            self._out.close()
            self._err.close()
            raise ProgramMissing(f"{line[0]} does not start: {error}", command=line) from None
        self._owner = os.getpid()
        _GUARD.add(self.process.pid)
        weakref.finalize(self, _close, self._out, self._err)
        # The folder is an argument so that it goes later.
        self._finalizer = weakref.finalize(self, _end, self.process, self._owner, folder)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._owner == os.getpid() and self.process.poll() is None

    def stdout(self) -> str:
        """What it has printed so far."""
        return _whole(self._out)

    def stderr(self) -> str:
        """What it has told on standard error so far."""
        return _whole(self._err)

    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects it has printed so far; a line that is not finished is none yet."""
        printed = self.stdout()
        finished = printed[: printed.rfind("\n") + 1]
        return [json.loads(line) for line in finished.splitlines() if line.startswith("{")]

    def failure(self) -> VuiccError:
        """What it ended with, as an error."""
        code = self.process.wait()
        error = failure(code, self.stdout(), self.stderr(), self.line)
        assert isinstance(error, VuiccError)
        if code == 0:
            return VuiccError(f"{self.name} ended, though nobody asked it to", exit_code=0, command=self.line)
        return error

    def pause(self, waited: float, limit: float, what: str) -> None:
        """Wait a moment for ``what``, of which ``waited`` is over.

        :raises VuiccError: if the process has ended.
        :raises TimedOut: if ``limit`` is over.
        """
        if not self.is_running:
            raise self.failure()
        if waited > limit:
            raise TimedOut(f"{self.name}: no {what} after {limit:g} seconds; {self._last_words()}", command=self.line)
        time.sleep(0.002 if waited < 0.1 else 0.02)

    def first_object(self, limit: float = READY) -> dict[str, Any]:
        """The first JSON object it prints, which says where it listens."""
        since = time.monotonic()
        while True:
            told = self.objects()
            # An error is its last object, and it ends.
            if told and "error" not in told[0]:
                return told[0]
            self.pause(time.monotonic() - since, limit, "answer")

    def event(self, *names: str, limit: float = READY) -> dict[str, Any]:
        """The first object it prints whose ``event`` is one of ``names``."""
        since = time.monotonic()
        while True:
            for told in self.objects():
                if told.get("event") in names:
                    return told
            self.pause(time.monotonic() - since, limit, f"event {names[0]}")

    def end(self) -> None:
        """End it in order, and wait for that. Once it has ended this does nothing."""
        self._finalizer()
        # What it said remains readable until the object goes.

    def _last_words(self) -> str:
        said = self.stderr().strip().splitlines()
        return f"its last words: {said[-1]}" if said else "it said nothing"


def _whole(file: IO[bytes]) -> str:
    """A file that another process appends to."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode("utf-8", "replace")


def _close(*files: IO[bytes]) -> None:
    for file in files:
        file.close()


def _end(process: subprocess.Popen[bytes], owner: int, _folder: Folder | None) -> None:
    """Ask a process to end, and kill it if it does not; unless this is a fork of the process that started it."""
    if owner != os.getpid():
        return
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    _GUARD.remove(process.pid)


class _Guard:
    """The process that ends children when this one is killed; there is one, started with the first child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        #: Those of the processes that this one is a fork of.
        self._of_others: list[subprocess.Popen[bytes]] = []
        os.register_at_fork(after_in_child=self._start_anew)

    def add(self, number: int) -> None:
        """Watch over a child."""
        with self._lock:
            if self._process is None:
                self._process = self._start()
            self._tell(f"+{number} {started(number)}\n")

    def remove(self, number: int) -> None:
        """Forget a child that has ended."""
        with self._lock:
            self._tell(f"-{number}\n")

    def _start(self) -> subprocess.Popen[bytes]:
        script = str(Path(__file__).with_name("_guard.py"))
        guard = subprocess.Popen(
            [*python(), script, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # At exit what was made last ends first: this is before all children, and so remains until they have ended.
        weakref.finalize(self, _dismiss, guard, os.getpid())
        return guard

    def _tell(self, line: str) -> None:
        pipe = self._process.stdin if self._process is not None else None
        if pipe is not None and not pipe.closed:
            with contextlib.suppress(OSError):
                os.write(pipe.fileno(), line.encode())

    def _start_anew(self) -> None:
        """In a fork: the guard is the other process's, and another thread may have had the lock."""
        self._lock = threading.Lock()
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._of_others.append(self._process)
            self._process = None


def _dismiss(guard: subprocess.Popen[bytes], owner: int) -> None:
    """Let the guard end, which ends children that are left."""
    if owner == os.getpid() and guard.stdin is not None:
        guard.stdin.close()
        guard.wait()


_GUARD = _Guard()
