"""Virtual readers of the PC/SC service, and cards in them."""

from __future__ import annotations

import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._child import GRACE, READY, Child, Folder
from ._errors import NotThere, ProgramMissing, TimedOut, VuiccError
from ._program import LIMIT, command_line, options, python, run
from .card import Card

if TYPE_CHECKING:
    from smartcard.CardConnection import CardConnection  # type: ignore[import-not-found, import-untyped, unused-ignore]

#: Where the service of the machine listens.
_SYSTEM_SOCKET = "/run/pcscd/pcscd.comm"
#: The variable by which clients of PC/SC find another one. libpcsclite reads it once in a process.
SOCKET_VARIABLE = "PCSCLITE_CSOCK_NAME"
#: The port of the first slot.
_FIRST_PORT = 35963
#: Readers that vpcd shows, with the number of the reader and that of the slot in it.
_VIRTUAL = re.compile(r"^Virtual PCD(?: (\d+))? \d\d (\d\d)$")
#: How long a slot may take to become free, in seconds.
FREE = 60.0
#: How long a card may take to be noticed by the reader, in seconds.
NOTICED = 8.0

_DRIVERS = ("/usr/lib/pcsc/drivers/serial/libifdvpcd.so", "/usr/lib/*/pcsc/drivers/serial/libifdvpcd.so")


class PcscService:
    """The PC/SC service (pcscd) with virtual readers (vpcd): the machine's, or one started for this process.

    A service of its own is private if namespaces can be made: no other program sees it, and its ports are in a network
    of its own. Otherwise it runs as this user in ``/run/pcscd``, which has to be writable, and the machine sees it.

    :ivar kind: ``"system"``, ``"private"`` or ``"shared"``.
    :ivar env: the variables that programs need to find it. :meth:`use` sets them in this process.
    """

    def __init__(self, kind: str, socket_path: str, port: int) -> None:
        self.kind = kind
        self.env: dict[str, str] = {}
        if socket_path != os.environ.get(SOCKET_VARIABLE, _SYSTEM_SOCKET):
            self.env[SOCKET_VARIABLE] = socket_path
        self._socket = socket_path
        self._port = port
        self._child: Child | None = None
        self._folder: Folder | None = None

    @classmethod
    def open(cls, kind: str = "auto", *, readers: int = 1) -> PcscService:
        """The service to use.

        :param kind: ``"system"``, ``"private"`` or ``"shared"`` (without namespaces); ``"auto"`` takes the first that there
            is, in this order.
        :param readers: virtual readers of an own service, 1 to 8, each with two slots.
        :raises VuiccError: if there is none; the message says what is missing for each kind.
        """
        kinds: dict[str, Callable[[], PcscService]] = {
            "system": cls.system,
            "private": lambda: cls.private(readers),
            "shared": lambda: cls.shared(readers),
        }
        if kind != "auto" and kind not in kinds:
            raise ValueError(f"there is no PC/SC service of kind {kind!r}: auto, {', '.join(kinds)}")
        tried = []
        for name, make in kinds.items():
            if kind not in ("auto", name):
                continue
            try:
                return make()
            except VuiccError as error:
                tried.append(f"{name}: {error}")
        raise ProgramMissing("no PC/SC service with virtual readers; " + "; ".join(tried))

    @classmethod
    def system(cls) -> PcscService:
        """The service that is there: the machine's, or the one that ``PCSCLITE_CSOCK_NAME`` names.

        :raises NotThere: if none can be reached, or it has no virtual reader.
        """
        path = os.environ.get(SOCKET_VARIABLE, _SYSTEM_SOCKET)
        with closing(socket.socket(socket.AF_UNIX)) as client:
            try:
                client.connect(path)
            except OSError as error:
                raise NotThere(f"no pcscd can be reached at {path} ({error.strerror})") from None
        service = cls("system", path, _first_port())
        since = time.monotonic()
        # A service that systemd starts on demand needs a moment to find its readers.
        while not service._virtual_readers():
            if time.monotonic() - since > 2:
                raise NotThere("the pcscd that runs here has no virtual reader (apt install vsmartcard-vpcd)")
            time.sleep(0.1)
        return service

    @classmethod
    def private(cls, readers: int = 1) -> PcscService:
        """A service in namespaces of its own, started now. Close it.

        :raises ProgramMissing: if pcscd or vpcd is missing, or if no namespaces can be made here.
        """
        daemon, driver = _daemon(), _driver()
        spaces = _namespaces()
        folder = Folder(None, "vuicc-pcscd-")
        # The client's limit for a socket's path.
        path = str(folder.path / "run" / "pcscd.comm")
        service = cls("private", path, _FIRST_PORT)
        service._folder = folder
        (folder.path / "run").mkdir()
        inside = [*python(), str(Path(__file__).with_name("_inside.py")), str(folder.path / "run")]
        service._start([*spaces, *inside, *daemon], folder.path, driver, readers)
        return service

    @classmethod
    def shared(cls, readers: int = 1) -> PcscService:
        """A service in ``/run/pcscd`` as this user, without namespaces, started now. Close it.

        :raises ProgramMissing: if pcscd or vpcd is missing.
        :raises NotThere: if ``/run/pcscd`` cannot be written to.
        """
        daemon, driver = _daemon(), _driver()
        folder = os.path.dirname(_SYSTEM_SOCKET)
        with suppress(OSError):
            os.makedirs(folder, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise NotThere(f"{folder} cannot be written to; as root: install -d -o USER {folder}")
        service = cls("shared", _SYSTEM_SOCKET, _free_ports(2 * readers))
        service._folder = Folder(None, "vuicc-pcscd-")
        service._start(daemon, service._folder.path, driver, readers)
        return service

    def use(self) -> None:
        """Let this process use it: pyscard, and all programs that it starts. A process that has used PC/SC before stays
        with the service it had. This changes ``os.environ``.
        """
        os.environ.update(self.env)

    def readers(self) -> list[dict[str, Any]]:
        """All readers, and what is in them: the JSON of ``vuicc reader list``.

        :raises VuiccError: if the service cannot be reached, or has no reader.
        """
        return run("reader", "list", env=self.env)

    def close(self) -> None:
        """End the service, if it was started here, and with a private one whatever runs in its network."""
        if self._child is not None:
            if self.kind == "private" and self._child.is_running:
                _end_others(self._child.process.pid)
            self._child.end()
            self._child = None
        if self._folder is not None:
            self._folder.remove()

    def __enter__(self) -> PcscService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, line: list[str], folder: Path, driver: str, readers: int) -> None:
        if not 1 <= readers <= 8:
            raise ValueError(f"a service has 1 to 8 virtual readers, not {readers}")
        conf = folder / "conf"
        conf.mkdir()
        (conf / "vpcd").write_text(_configuration(driver, self._port, readers, folder), encoding="utf-8")
        self._child = Child([*line, "--foreground", "--config", str(conf)], name="pcscd", folder=self._folder)
        since = time.monotonic()
        try:
            while len(self._virtual_readers()) < 2 * readers:
                self._child.pause(time.monotonic() - since, READY, "virtual reader")
        except VuiccError:
            self.close()
            raise

    def _virtual_readers(self) -> list[tuple[dict[str, Any], int]]:
        """The virtual readers, each with the port of its slot."""
        if not os.path.exists(self._socket):
            return []
        try:
            readers = self.readers()
        except VuiccError:
            return []
        found = []
        for reader in readers:
            slot = _VIRTUAL.match(reader["name"])
            if slot:
                found.append((reader, self._port + 2 * (int(slot[1] or 1) - 1) + int(slot[2])))
        return found

    def enter(self) -> list[str]:
        """What a command line begins with that has to reach the slots of the virtual readers, as ``vuicc card run`` does:
        those of a private service are in its network. Clients of PC/SC need only :attr:`env`.
        """
        if self.kind != "private" or self._child is None:
            return []
        number = self._child.process.pid
        line = ["nsenter", f"--target={number}", "--net"]
        if os.readlink(f"/proc/{number}/ns/user") != os.readlink("/proc/self/ns/user"):
            line += ["--user", "--preserve-credentials"]
        return [*line, "--"]


class Reader:
    """A virtual reader with a card in it, for any program that speaks PC/SC.

    Use it as a context manager, or call :meth:`close`.

    :ivar name: the reader's name, as PC/SC clients see it.
    :ivar index: its number among the readers.
    :ivar card: the card in it.
    :ivar service: the PC/SC service it belongs to.
    """

    def __init__(self, service: PcscService, card: Card, name: str, index: int, port: int) -> None:
        self.service = service
        self.card = card
        self.name = name
        self.index = index
        self._port = port
        self._child: Child | None = None
        self._connections: list[CardConnection] = []

    @classmethod
    def insert(cls, card: Card, service: PcscService | None = None) -> Reader:
        """Insert a card into a free virtual reader, and wait until PC/SC clients can use it. A card with its own socket leaves
        that, and loses power.

        :param service: the PC/SC service; without it the one that is there already.
        :raises NotThere: if there is no such service, no such image, or the card is in use.
        :raises TimedOut: if no virtual reader becomes free for 60 seconds.
        """
        service = service or PcscService.system()
        card.stop()
        since = time.monotonic()
        while True:
            for found, port in service._virtual_readers():
                if found["card"]:
                    continue
                reader = cls(service, card, found["name"], found["index"], port)
                if reader._push_in():
                    return reader
            if time.monotonic() - since > FREE:
                raise TimedOut(
                    f"no virtual reader has become free for {FREE:g} seconds; the first slot is taken to be at port"
                    f" {service._port}, VPCD_PORT names another"
                )
            time.sleep(0.05)

    def connection(self) -> CardConnection:
        """A connection of pyscard (``pip install pyscard``) to the card, connected with T=0. It is closed with the reader.

        :returns: a ``smartcard.CardConnection.CardConnection``.
        :raises ProgramMissing: if pyscard is not installed.
        :raises NotThere: if pyscard does not see the reader.
        """
        try:
            from smartcard.CardConnection import CardConnection
            from smartcard.System import readers  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError:
            raise ProgramMissing("pyscard is not installed: pip install pyscard, or apt install python3-pyscard") from None
        for reader in readers():
            if str(reader) == self.name:
                connection = reader.createConnection()
                connection.connect(CardConnection.T0_protocol)
                self._connections.append(connection)
                return connection
        there = ", ".join(str(reader) for reader in readers()) or "none"
        raise NotThere(
            f"pyscard does not see the reader {self.name}, but: {there}. If this process has used PC/SC before the service"
            f" was started, call PcscService.use() earlier"
        )

    def lpa(self, *arguments: object, timeout: float | None = LIMIT) -> list[dict[str, Any]]:
        """A command of ``vuicc lpa`` on the card in this reader: ``reader.lpa("profile", "list")``.

        :param timeout: seconds after which the command is ended; ``None``: never.
        :raises VuiccError: if it fails; see :meth:`vuicc.Card.lpa`.
        """
        line = ("lpa", *arguments, "--reader", self.name, *options({"clock": self.card._clock}))
        return run(*line, state=self.card.state, timeout=timeout, env=self.env)

    @property
    def env(self) -> dict[str, str]:
        """The variables that a program needs to find this reader's service: ``{**os.environ, **reader.env}``."""
        return self.service.env

    def eject(self) -> None:
        """Take the card out. It may be inserted again, here or elsewhere."""
        for connection in self._connections:
            with suppress(Exception):
                connection.disconnect()
        self._connections.clear()
        if self._child is not None:
            self._child.end()
            self._child = None

    #: The same, for context managers and those who expect the name.
    close = eject

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.eject()

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Reader({self.name!r}, {self.card!r})"

    def _push_in(self) -> bool:
        """Run the card in this slot; ``False`` if another card is there first."""
        place = f"127.0.0.1:{self._port}"
        line = command_line(
            ["card", "run", self.card.image, "--reader", place, *options(self.card._run_options)], state=self.card.state
        )
        child = Child(
            [*self.service.enter(), *line], name=f"vuicc card run {self.card.image}", env=self.env, folder=self.card._folder
        )
        try:
            told = child.event("ready", "unanswered", limit=NOTICED)
        except TimedOut:
            told = {}
        if told.get("event") != "ready":
            child.end()
            return False
        self._child = child
        return True


def _end_others(number: int) -> None:
    """End the processes in the network of process ``number``, which is another one than ours, but not that process."""
    here = os.readlink(f"/proc/{number}/ns/net")
    until = time.monotonic() + GRACE
    while time.monotonic() < until:
        others = 0
        for entry in os.listdir("/proc"):
            # What has gone meanwhile, or is somebody else's, cannot be read.
            with suppress(OSError):
                if entry.isdigit() and int(entry) != number and os.readlink(f"/proc/{entry}/ns/net") == here:
                    os.kill(int(entry), signal.SIGTERM)
                    others += 1
        if not others:
            return
        time.sleep(0.05)


def _first_port() -> int:
    """The port of the first slot of the machine's virtual reader."""
    named = os.environ.get("VPCD_PORT", "")
    return int(named) if named.isdigit() else _FIRST_PORT


def _daemon() -> list[str]:
    """The command line of pcscd, without polkit where it has that: there is no session to ask in a test."""
    found = shutil.which("pcscd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise ProgramMissing("pcscd is missing (apt install pcscd vsmartcard-vpcd)")
    told = subprocess.run([found, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
    return [found, "--disable-polkit"] if b"--disable-polkit" in told else [found]


def _driver() -> str:
    """The driver of the virtual reader."""
    for pattern in _DRIVERS:
        for found in glob.glob(pattern):
            return found
    raise ProgramMissing("the virtual reader is missing (apt install vsmartcard-vpcd)")


def _namespaces() -> list[str]:
    """The command that makes namespaces for mounts and network, as root or by a user namespace.

    :raises ProgramMissing: if neither is allowed here.
    """
    line = ["unshare", "--mount", "--propagation", "private", "--net"]
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        raise ProgramMissing("unshare and nsenter are missing (apt install util-linux)")
    for candidate in ([line] if os.geteuid() == 0 else []) + [[*line, "--map-root-user"]]:
        tried = subprocess.run([*candidate, "true"], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False)
        if tried.returncode == 0:
            return [*candidate, "--"]
    raise ProgramMissing("no namespaces can be made here: that takes root with CAP_SYS_ADMIN, or user namespaces")


def _configuration(driver: str, port: int, readers: int, folder: Path) -> str:
    """What pcscd has to know of its readers."""
    text = ""
    for number in range(readers):
        # The driver keeps its slots in variables of its own: each reader needs a driver of its own, another file.
        own, name, slot = driver, "Virtual PCD", port + 2 * number
        if number > 0:
            own, name = str(folder / f"libifdvpcd-{number}.so"), f"Virtual PCD {number + 1}"
            shutil.copyfile(driver, own)
        text += f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:{slot:#06x}\nLIBPATH {own}\nCHANNELID {slot:#06x}\n\n'
    return text


def _free_ports(count: int) -> int:
    """The first of ``count`` free TCP ports in a row, from the usual one on.

    :raises NotThere: if there are none.
    """
    for first in _candidates(count):
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise NotThere(f"there are no {count} free TCP ports in a row for the virtual readers")


def _candidates(count: int) -> Iterable[int]:
    return range(_FIRST_PORT, _FIRST_PORT + 400 * count, count)


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
