"""An AT modem whose SIM is a card."""

from __future__ import annotations

import os
import select
import socket
import time
from typing import Any

from ._child import Child
from ._errors import NotThere, TimedOut
from ._program import command_line, options
from .card import Card

#: The longest wait for an answer, in seconds.
ANSWER_LIMIT = 60.0

_FINAL = ("OK", "ERROR", "NO CARRIER")
_FAILED = ("+CME ERROR", "+CMS ERROR")


class Modem:
    """An AT modem on a pseudo-terminal, for any program that opens a modem's serial line, or on a socket (``listen=…``). Use it as a
    context manager, or call :meth:`close`.

    :ivar card: the card in it.
    :ivar path: the pseudo-terminal; empty if there is none.
    :ivar address: the socket, as ``vuicc modem run`` tells it: ``tcp:127.0.0.1:12345``; empty if there is none.
    """

    def __init__(self, card: Card, **run_options: Any) -> None:
        """Put a card into a modem. A card with its own socket leaves that, and loses power.

        :param run_options: those of ``vuicc modem run``: ``quirks="fibocom-fm350"``, ``imei=…``, ``link=…``. With ``listen=…`` and no
            ``link=…`` there is no pseudo-terminal.
        :raises NotThere: if the card is in use.
        :raises UsageError: if an option is none, or has no such value.
        """
        card.stop()
        self.card = card
        line = ["modem", "run", card.image, *options(run_options)]
        self._child = Child(command_line(line, state=card.state), name=f"vuicc modem run {card.image}", folder=card._folder)
        ready = self._child.event("ready")["ready"]["cards"][0]
        self.path: str = ready.get("terminal") or ""
        self.address: str = ready.get("socket") or ""
        self._line: int | None = None

    def ask(self, line: str, *, timeout: float = ANSWER_LIMIT) -> list[str]:
        """Write a command line, and return the lines of its answer: ``modem.ask("AT+CIMI")`` is ``["0010…", "OK"]``. What other
        programs have left unread comes first, so ask while none has the line open.

        :param timeout: seconds until the answer is whole.
        :raises TimedOut: if it does not come.
        :raises NotThere: if the modem has ended.
        """
        gone = f"the modem has ended, or shut its line, before it answered {line}"
        try:
            if self._line is None:
                self._line = self._open()
            os.write(self._line, line.encode() + b"\r")
        except OSError as error:
            raise NotThere(f"{gone}: {error}") from None
        since, answer = time.monotonic(), b""
        while True:
            left = timeout - (time.monotonic() - since)
            if left <= 0 or not select.select([self._line], [], [], left)[0]:
                raise TimedOut(f"the modem does not answer {line}: {answer!r} came in {timeout:g} seconds")
            try:
                came = os.read(self._line, 4096)
            except OSError as error:
                raise NotThere(f"{gone}: {error}") from None
            if not came:
                raise NotThere(f"{gone}: {answer!r} came")
            answer += came
            whole = answer[: answer.rfind(b"\n") + 1].decode("utf-8", "replace")
            lines = [one.strip() for one in whole.splitlines()]
            lines = [one for one in lines if one and one != line]
            if lines and (lines[-1] in _FINAL or lines[-1].startswith(_FAILED)):
                return lines

    def _open(self) -> int:
        """Open the pseudo-terminal, or else connect to the socket."""
        if self.path:
            return os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        kind, _, place = self.address.partition(":")
        if kind == "tcp":
            host, _, port = place.rpartition(":")
            return socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_LIMIT).detach()
        connection = socket.socket(socket.AF_UNIX)
        # The name of a socket without a file is the whole address.
        connection.connect("\0" + self.address if kind == "abstract" else place)
        return connection.detach()

    def close(self) -> None:
        """End it. The card may be used again, elsewhere."""
        if self._line is not None:
            os.close(self._line)
            self._line = None
        self._child.end()

    def __enter__(self) -> Modem:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return self.path or self.address

    def __repr__(self) -> str:
        return f"Modem({str(self)!r}, {self.card!r})"
