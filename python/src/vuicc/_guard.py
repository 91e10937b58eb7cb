"""Ends the children of a process that was killed.

Run as a script, with the process number of the process it is for. That one writes ``+NUMBER`` when it has started a
child and ``-NUMBER`` when that has ended. Once its end of the pipe is closed, or it is gone, what is left is asked to end,
and then killed.
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
    children: dict[int, int] = {}
    heard = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], LOOK)[0]:
            continue
        more = os.read(0, 4096)
        if not more:
            break
        *lines, heard = (heard + more).split(b"\n")
        for line in lines:
            number = int(line[1:])
            if line[:1] == b"+":
                children[number] = _handle(number)
            else:
                handle = children.pop(number, -1)
                if handle >= 0:
                    os.close(handle)
    for step, last in ((signal.SIGTERM, False), (signal.SIGKILL, True)):
        for number, handle in list(children.items()):
            if not _send(number, handle, int(step)):
                del children[number]
        until = time.monotonic() + GRACE
        while not last and children and time.monotonic() < until:
            time.sleep(0.02)
            children = {number: handle for number, handle in children.items() if _send(number, handle, 0)}


def _handle(number: int) -> int:
    """What means this process and no later one of the same number; -1 where the system has no such thing."""
    try:
        return os.pidfd_open(number)  # type: ignore[attr-defined, unused-ignore]
    except (AttributeError, OSError):
        return -1


def _send(number: int, handle: int, what: int) -> bool:
    """Send a signal; whether the process was there."""
    try:
        if handle >= 0:
            signal.pidfd_send_signal(handle, what)  # type: ignore[attr-defined, unused-ignore]
        else:
            os.kill(number, what)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
