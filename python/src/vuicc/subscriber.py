"""Subscribers: one description for a SIM, a profile and an entry in the operator's register."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Union

from ._child import Folder
from ._program import PathLike, options, run

#: Text fields at the top of a description.
_FIELD = re.compile(r'^(\w+) = "([^"]*)"$', re.MULTILINE)


class Subscriber:
    """A description of a subscriber, in a file.

    :ivar path: the file, in TOML or JSON.
    :ivar iccid: the ICCID.
    :ivar imsi: the IMSI.
    :ivar msisdn: the number; ``None`` if there is none.
    """

    def __init__(self, path: PathLike) -> None:
        """Read an existing description.

        :raises VuiccError: if it is none; the message names the field.
        """
        self.path = Path(path)
        self._shown: dict[str, Any] = run("subscriber", "show", self.path)[0]
        self.iccid: str = self._shown["iccid"]
        self.imsi: str = self._shown["imsi"]
        self.msisdn: str | None = self._shown.get("msisdn")

    @classmethod
    def new(cls, path: PathLike | None = None, **values: object) -> Subscriber:
        """Invent a test subscriber: consistent numbers, fresh keys and codes.

        :param path: the file to write, which must not exist; without it a temporary one.
        :param values: the options of ``vuicc subscriber new``: ``mcc="310"``, ``mnc="410"``, ``msisdn="+15551234567"``,
            ``spn="Example"``, ``pin=True``, ``ims=True`` …
        """
        own = None
        if path is None:
            own = Folder(None, "vuicc-subscriber-")
            path = own.path / "subscriber.toml"
        run("subscriber", "new", path, *options(values))
        made = cls(path)
        made._own = own
        return made

    #: The temporary folder of the file, which goes with this object.
    _own: Folder | None = None

    @property
    def key(self) -> bytes:
        """K, 16 or 32 bytes, which the card and the authentication centre share."""
        return bytes.fromhex(self._secrets()["key"])

    @property
    def opc(self) -> bytes:
        """OPc, 16 bytes."""
        return bytes.fromhex(self._secrets()["opc"])

    @property
    def pin1(self) -> str:
        """PIN1, 4 to 8 digits."""
        return self._secrets()["pin1"]

    @property
    def adm1(self) -> str:
        """ADM1, digits as they are typed."""
        return self._secrets()["adm1"]

    def _secrets(self) -> dict[str, str]:
        return dict(_FIELD.findall(self.path.read_text(encoding="utf-8")))

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Subscriber({str(self.path)!r}, imsi={self.imsi!r})"


#: A subscriber, or the file of one.
SubscriberLike = Union[Subscriber, PathLike]
