"""Ends the children of a process that was killed.

Run as a script, with the process number of the process it is for. That one writes ``+NUMBER START`` when it has started a
child (:func:`started`) and ``-NUMBER`` when that has ended. Once its end of the pipe is closed, or it is gone, what is left
is asked to end, and then killed.
"""

import os
import select
import signal
import sys
import time

#: Seconds between looks whether the parent is alive: a fork of it may hold the pipe open.
LOOK = 0.5
#: Seconds that children have to end in order.
GRACE = 3.0


def main() -> None:
    """Wait for the parent's end, then end its children."""
    parent = int(sys.argv[1])
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    children: dict[int, _Process] = {}
    heard = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], LOOK)[0]:
            continue
        more = os.read(0, 4096)
        if not more:
            break
        *lines, heard = (heard + more).split(b"\n")
        for line in lines:
            number, *start = line[1:].split()
            known = children.pop(int(number), None)
            if known is not None:
                known.close()
            if line[:1] == b"+":
                children[int(number)] = _Process(int(number), start[0].decode())
    left = list(children.values())
    for step, last in ((signal.SIGTERM, False), (signal.SIGKILL, True)):
        left = [child for child in left if child.send(step)]
        until = time.monotonic() + GRACE
        while not last and left and time.monotonic() < until:
            time.sleep(0.02)
            left = [child for child in left if child.send(0)]


def started(number: int) -> str:
    """When a process started, in the kernel's ticks; ``0`` if there is no such process. With the number it means one process,
    and no later one of the same number.
    """
    try:
        with open(f"/proc/{number}/stat", encoding="ascii", errors="replace") as stat:
            # The second field is the program's name, in parentheses, which may contain some.
            return stat.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"


class _Process:
    """A process, and no later one of the same number."""

    def __init__(self, number: int, start: str) -> None:
        self._number = number
        self._start = start
        try:
            # Where the kernel has these, there is no moment between looking and sending.
            self._handle = os.pidfd_open(number)  # type: ignore[attr-defined, unused-ignore]
        except (AttributeError, OSError):
            self._handle = -1
        self._is_another = started(number) != start

    def send(self, what: int) -> bool:
        """Send a signal, 0 for none; whether the process is there."""
        if self._is_another:
            return False
        try:
            if self._handle >= 0:
                signal.pidfd_send_signal(self._handle, what)  # type: ignore[attr-defined, unused-ignore]
            elif started(self._number) == self._start:
                os.kill(self._number, what)
            else:
                return False
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of it."""
        if self._handle >= 0:
            os.close(self._handle)


if __name__ == "__main__":
    main()
