"""An emulated card, and APDUs to it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ._child import Child, Folder
from ._errors import NotThere, TimedOut, VuiccError
from ._program import LIMIT, PathLike, command_line, options, run
from .subscriber import Subscriber, SubscriberLike

#: Controls of the virtual reader, each a message of one byte.
_POWER_OFF, _POWER_ON, _RESET, _ATR = b"\x00", b"\x01", b"\x02", b"\x04"

#: The longest wait for a response, in seconds: a card that generates keys takes its time.
RESPONSE_LIMIT = 60.0


class Response(NamedTuple):
    """What a card answered to a command."""

    #: Response data, without the status word.
    data: bytes
    #: Status word, SW1 in the high byte: ``0x9000``.
    sw: int

    @property
    def sw1(self) -> int:
        """SW1."""
        return self.sw >> 8

    @property
    def sw2(self) -> int:
        """SW2."""
        return self.sw & 0xFF

    @property
    def ok(self) -> bool:
        """Whether the command was executed normally: ``9000``, ``91XX`` or ``61XX``."""
        return self.sw == 0x9000 or self.sw1 in (0x61, 0x91)

    def __repr__(self) -> str:
        return f"Response(data={self.data.hex().upper()!r}, sw={self.sw:04X})"


class Card:
    """An emulated card: an image file, and, once it is used, a process that runs it.

    Use it as a context manager, or call :meth:`close`. A card is on its own socket or in one reader
    (:meth:`vuicc.Reader.insert`), not both: the one that is asked for last has it.

    :ivar image: the image file.
    :ivar state: the state directory, with the PKI that the card was made under.
    :ivar subscriber: the first subscriber that the card was made for; ``None`` if there is none.
    """

    def __init__(
        self,
        image: PathLike,
        *,
        state: PathLike | None = None,
        run_options: dict[str, object] | None = None,
        seed: str | None = None,
        clock: str | None = None,
    ) -> None:
        """Take an existing image. It is read when the card is first used.

        :param state: the state directory; without it the user's own.
        :param seed: what everything random is drawn from, 8 characters or more; the same gives the same answers.
        :param clock: the time as its LPA takes it: a moment in RFC 3339, or a difference such as ``"+90d"``.
        :param run_options: options of ``vuicc card run``: ``{"trace": "session.txt"}``.
        """
        self.image = Path(image)
        self.state = None if state is None else Path(state)
        self.subscriber: Subscriber | None = None
        self._seed = seed
        self._clock = clock
        # A card has no clock.
        self._run_options: dict[str, object] = {"seed": seed, **(run_options or {})}
        self._folder: Folder | None = None
        self._child: Child | None = None
        self._socket: socket.socket | None = None
        self._atr = b""

    @classmethod
    def new(
        cls,
        image: PathLike | None = None,
        *,
        type: str = "euicc",
        subscriber: SubscriberLike | Sequence[SubscriberLike] | None = None,
        profile: PathLike | Sequence[PathLike] | None = None,
        like: PathLike | None = None,
        eid: str | None = None,
        fault: str | Sequence[str] | None = None,
        state: PathLike | None = None,
        run_options: dict[str, object] | None = None,
        seed: str | None = None,
        clock: str | None = None,
        **more: object,
    ) -> Card:
        """Make a new card.

        :param image: the file to write, which must not exist; without it one in a temporary folder that goes with the card.
        :param type: ``"euicc"``, or ``"uicc"`` for a plain SIM. A SIM without ``subscriber`` and ``profile`` gets an
            invented subscriber.
        :param subscriber: one or more subscribers whose profiles are there from the start.
        :param profile: one or more profile packages in DER that are there from the start.
        :param like: a card to resemble: the name of a personality (``vuicc card personalities``), or a file that
            describes one.
        :param eid: the EID, 32 digits.
        :param fault: one or more faults to order, as :meth:`add_faults` does.
        :param state: the state directory, whose PKI the card trusts; without it one beside a temporary image, else the
            user's own. To download from an :class:`SmDp`, give both the same.
        :param run_options: options of ``vuicc card run``: ``{"trace": "session.txt"}``.
        :param seed: what everything random is drawn from, the EID and keys too, 8 characters or more.
        :param clock: the time at which it is made, and which its LPA takes it to be.
        :param more: other options of ``vuicc card new``: ``default_smdp="127.0.0.1:8443"``, ``disabled=True``,
            ``memory=262144`` (bytes), ``claim="javacard"``.
        :raises UsageError: if an option does not exist, or does not accept its value.
        :raises InputError: if the file of a subscriber, a profile or a personality is wrong or missing.
        :raises VuiccError: if the card cannot be made, for instance because the image is there already.
        """
        folder = None
        if image is None:
            folder = Folder(None, "vuicc-card-")
            image = folder.path / "card.img"
            state = folder.path / "state" if state is None else state
        card = cls(image, state=state, run_options=run_options, seed=seed, clock=clock)
        card._folder = folder
        subscribers = [] if subscriber is None else _listed(subscriber)
        if type == "uicc" and not subscribers and profile is None:
            subscribers = [Subscriber.new()]
        chosen = {
            "type": type,
            "subscriber": subscribers,
            "profile": profile,
            "like": like,
            "eid": eid,
            "seed": seed,
            "clock": clock,
            **more,
        }
        run("card", "new", card.image, *options(chosen), state=card.state)
        if fault:
            card.add_faults(*([fault] if isinstance(fault, str) else fault))
        for one in subscribers[:1]:
            card.subscriber = one if isinstance(one, Subscriber) else Subscriber(one)
        return card

    def transmit(self, command: bytes | bytearray | memoryview | str, *, follow: bool = False) -> Response:
        """Send a command APDU, and return the card's response.

        The card speaks T=0, as hardware does: ``61XX`` asks for GET RESPONSE, ``6CXX`` for the command with that Le. With
        ``follow`` both are done here, and the response is the whole one.

        :param command: the APDU, as bytes or as hexadecimal digits with or without spaces.
        :raises NotThere: if there is no such image, or the card's process has ended.
        :raises TimedOut: if the card does not answer for 60 seconds.
        :raises ValueError: if the command is no APDU: shorter than 4 bytes, or not hexadecimal.
        """
        apdu = bytes.fromhex(command) if isinstance(command, str) else bytes(command)
        if len(apdu) < 4:
            raise ValueError(f"a command APDU has at least 4 bytes, not {len(apdu)}")
        response = self._command(apdu)
        if not follow:
            return response
        if response.sw1 == 0x6C:
            response = self._command(apdu[:4] + bytes([response.sw2]))
        data = response.data
        while response.sw1 == 0x61:
            response = self._command(bytes([apdu[0], 0xC0, 0, 0, response.sw2]))
            data += response.data
        return Response(data, response.sw)

    def reset(self) -> bytes:
        """Reset the card, as a reader does without taking its power, and return the ATR.

        :raises NotThere: see :meth:`transmit`.
        """
        self._send(_RESET)
        return self._fetch_atr()

    def power_off(self) -> None:
        """Take the power away. The next command or :meth:`power_on` gives it again: a cold reset."""
        if self._socket is not None and self._atr:
            self._send(_POWER_OFF)
            self._atr = b""

    def power_on(self) -> bytes:
        """Give the card power, if it has none, and return the ATR.

        :raises NotThere: see :meth:`transmit`.
        """
        self._power()
        return self._atr

    @property
    def atr(self) -> bytes:
        """The answer to reset. A card without power gets power for that."""
        return self.power_on()

    def show(self, *, brief: bool = False) -> dict[str, Any]:
        """What the card is and holds: EID, profiles, applications, counters, and, unless ``brief``, its files. The JSON of
        ``vuicc card show``. This may be asked while the card runs.

        :raises NotThere: if there is no such image.
        """
        return run("card", "show", self.image, *(["--brief"] if brief else []), state=self.state)[0]

    def lpa(self, *arguments: object, timeout: float | None = LIMIT) -> list[dict[str, Any]]:
        """A command of ``vuicc lpa`` on this card, without any reader: ``card.lpa("profile", "list")``. It has the card to
        itself: afterwards the card has no power.

        :param timeout: seconds after which the command is ended; ``None``: never.
        :returns: the objects it printed.
        :raises ServerError: if a server refused, or cannot be reached.
        :raises VuiccError: if it fails in another way; the class says how.
        """
        self.stop()
        line = ("lpa", *arguments, "--card", self.image, *options({"seed": self._seed, "clock": self._clock}))
        return run(*line, state=self.state, timeout=timeout)

    def add_faults(self, *faults: str) -> list[dict[str, Any]]:
        """Order what is to go wrong with the card: ``"EnableProfile=catBusy,times=2"``,
        ``"cut@LoadBoundProfilePackage,from=12"``. ``vuicc card fault add --help`` has all. A card with its own socket loses
        power; one in a reader has to be ejected first.

        :returns: the faults, each with its number.
        :raises UsageError: if there is no such fault, or it could never strike; the message names what there is.
        """
        self.stop()
        return run("card", "fault", "add", self.image, *faults, state=self.state)

    def faults(self) -> list[dict[str, Any]]:
        """The faults that are ordered, and what has become of them."""
        return run("card", "fault", "list", self.image, state=self.state)

    def clear_faults(self, *numbers: int) -> None:
        """Clear the faults of these numbers, or all if none are given. The card loses power."""
        self.stop()
        run("card", "fault", "clear", self.image, *numbers, state=self.state)

    @property
    def eid(self) -> str | None:
        """The EID, 32 digits; ``None`` for a plain SIM."""
        euicc = self.show(brief=True)["euicc"]
        return None if euicc is None else euicc["eid"]

    def stop(self) -> None:
        """End the card's process, which takes its power. The image remains, and may be used again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._child is not None:
            self._child.end()
            self._child = None
        self._atr = b""

    def close(self) -> None:
        """End the card's process, and remove its temporary folder if it has one."""
        self.stop()
        if self._folder is not None:
            self._folder.remove()

    def __enter__(self) -> Card:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Card({str(self.image)!r})"

    # The socket: two bytes of length, then the message.

    def _command(self, apdu: bytes) -> Response:
        self._power()
        self._send(apdu)
        answer = self._receive()
        if len(answer) < 2:
            raise VuiccError(f"the card answered {answer.hex()!r}, which is no response APDU")
        return Response(answer[:-2], int.from_bytes(answer[-2:], "big"))

    def _power(self) -> None:
        if not self._atr:
            self._send(_POWER_ON)
            self._fetch_atr()

    def _fetch_atr(self) -> bytes:
        self._send(_ATR)
        self._atr = self._receive()
        return self._atr

    def _send(self, message: bytes) -> None:
        try:
            self._connected().sendall(struct.pack(">H", len(message)) + message)
        except OSError as error:
            raise self._lost(error) from None

    def _receive(self) -> bytes:
        length = struct.unpack(">H", self._exactly(2))[0]
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        received = b""
        connection = self._connected()
        while len(received) < count:
            try:
                more = connection.recv(count - len(received))
            except socket.timeout:
                self.stop()
                raise TimedOut(f"{self.image}: the card has not answered for {RESPONSE_LIMIT:g} seconds") from None
            except OSError as error:
                raise self._lost(error) from None
            if not more:
                raise self._lost(None)
            received += more
        return received

    def _lost(self, cause: OSError | None) -> VuiccError:
        """The error for a connection that is gone."""
        child = self._child
        told = f": {cause}" if cause is not None else ""
        if child is not None:
            with contextlib.suppress(Exception):
                child.process.wait(1)
            if not child.is_running:
                told = f": {child.failure()}"
        self.stop()
        return NotThere(f"{self.image}: the card is gone{told}")

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = self._start()
        return self._socket

    def _start(self) -> socket.socket:
        """Run the card, with its own socket."""
        line = ["card", "run", self.image, "--listen", "127.0.0.1:0", *options(self._run_options)]
        self._child = Child(command_line(line, state=self.state), name=f"vuicc card run {self.image}", folder=self._folder)
        address = self._child.event("ready")["ready"]["cards"][0]["socket"]
        host, port = address.removeprefix("tcp:").rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=RESPONSE_LIMIT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def _listed(value: SubscriberLike | Sequence[SubscriberLike]) -> list[SubscriberLike]:
    if isinstance(value, (str, os.PathLike, Subscriber)):
        return [value]
    return list(value)
