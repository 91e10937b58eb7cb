"""Servers: an SM-DP+ with profiles and orders, and an operator."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from ._child import Child, Folder
from ._errors import VuiccError
from ._program import PathLike, command_line, options, run
from .subscriber import Subscriber, SubscriberLike

#: Listens on any free port of this machine.
_ANY = "127.0.0.1:0"


class Order(NamedTuple):
    """An order at an SM-DP+, open for download."""

    #: What the user types or scans: ``LPA:1$address$matching-id``.
    activation_code: str
    #: The matchingId; ``None`` for an order that is found by the EID.
    matching_id: str | None
    #: The ICCID of the profile.
    iccid: str
    #: The confirmation code that the user has to enter; ``None`` if there is none.
    confirmation_code: str | None
    #: The subscriber whose profile it is, where one was invented for this order.
    subscriber: Subscriber | None


class _Server:
    """A process that serves, and its state directory."""

    def __init__(self, state: PathLike | None, prefix: str) -> None:
        self._folder = Folder(state, prefix)
        #: The state directory.
        self.state = self._folder.path
        self._child: Child | None = None

    def _serve(self, *arguments: object) -> dict[str, Any]:
        """Start the server; what it says of where it listens."""
        self._child = Child(
            command_line(arguments, state=self.state), name=f"vuicc {arguments[0]} serve", folder=self._folder
        )
        try:
            return self._child.first_object()
        except VuiccError:
            self.close()
            raise

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return "" if self._child is None else self._child.stderr()

    def stop(self) -> None:
        """End the server. What it remembers stays in its state directory."""
        if self._child is not None:
            self._child.end()

    def close(self) -> None:
        """End the server, and remove its state directory if that is a temporary one."""
        self.stop()
        self._folder.remove()

    def __exit__(self, *_: object) -> None:
        self.close()


class SmDp(_Server):
    """An SM-DP+ that serves ES9+ (HTTPS) and ES2+ on free ports of this machine.

    :ivar address: the SM-DP+ address in activation codes, ``127.0.0.1:PORT``.
    :ivar es2plus: where operators order, ``127.0.0.1:PORT``.
    :ivar state: its state directory. Cards made with the same one trust it.
    """

    def __init__(self, state: PathLike | None = None, **serve_options: object) -> None:
        """Start it.

        :param state: the state directory; without it a temporary one.
        :param serve_options: options of ``vuicc smdp serve``: ``fault="tls=expired"``, ``clock="+90d"`` …
        :raises UsageError: if there is no such option, or it does not accept its value.
        :raises VuiccError: if it does not start, for instance because a port is in use.
        """
        super().__init__(state, "vuicc-smdp-")
        chosen = {"listen": _ANY, "es2_listen": _ANY, **serve_options}
        told = self._serve("smdp", "serve", *options(chosen))
        self.address: str = told["address"]
        self.es2plus: str | None = told["es2plus"]
        self._default: Order | None = None

    @property
    def ci(self) -> Path:
        """The certificate of its certificate issuer, in PEM: what clients trust. (With an own PKI: the option ``pki``.)"""
        return self.state / "pki" / "CertificateIssuer" / "CERT_CI_ECDSA_NIST.pem"

    def add(self, *profiles: SubscriberLike | PathLike, **add_options: object) -> list[dict[str, Any]]:
        """Put profiles in: packages in DER, or subscribers.

        :param add_options: options of ``vuicc smdp profile add``: ``name="Travel 5 GB"``, ``type="Companion"`` …
        :returns: the JSON of each.
        """
        return self.run("profile", "add", *profiles, *options(add_options))

    def order(self, iccid: str | None = None, **order_options: object) -> Order:
        """Order a profile and open it for download.

        :param iccid: the profile; without it, and without ``type``, a new one for an invented subscriber.
        :param order_options: options of ``vuicc smdp profile order``: ``matching_id="FIRST-1"``,
            ``confirmation_code="1234"``, ``eid=card.eid``, ``expires_in=24`` (hours) …
        :raises VuiccError: if there is no such profile, or it cannot be ordered now.
        """
        subscriber = None
        if iccid is None and order_options.get("type") is None:
            subscriber = Subscriber.new()
            iccid = self.add(subscriber)[0]["iccid"]
        given = [] if iccid is None else [iccid]
        told = self.run("profile", "order", *given, *options(order_options))[0]
        code = order_options.get("confirmation_code")
        return Order(
            told["activation_code"], told["matching_id"], told["iccid"], None if code is None else str(code), subscriber
        )

    @property
    def activation_code(self) -> str:
        """An activation code, ready to be downloaded once: that of the order made when it was first asked for."""
        if self._default is None:
            self._default = self.order()
        return self._default.activation_code

    def profiles(self) -> list[dict[str, Any]]:
        """All profiles, their states and activation codes: the JSON of ``vuicc smdp profile list``."""
        return self.run("profile", "list")

    def profile(self, iccid: str) -> dict[str, Any]:
        """One profile, and what its eUICC reported: the JSON of ``vuicc smdp profile show``.

        :raises VuiccError: if there is no such profile.
        """
        return self.run("profile", "show", iccid)[0]

    def notifications(self) -> list[dict[str, Any]]:
        """Notifications that eUICCs sent: the JSON of ``vuicc smdp notification list``."""
        return self.run("notification", "list")

    def run(self, *arguments: object) -> list[dict[str, Any]]:
        """Any other command of ``vuicc smdp``: ``smdp.run("profile", "reset", iccid, "--yes")``.

        :raises VuiccError: if it fails.
        """
        return run("smdp", *arguments, state=self.state)

    def __enter__(self) -> SmDp:
        return self


class Operator(_Server):
    """An operator's servers, all in one process, on free ports of this machine.

    :ivar base_url: where phones and browsers reach it, ``https://127.0.0.1:PORT``.
    :ivar listeners: all listeners by name: ``"HTTPS"``, ``"RADIUS"``, ``"SMPP"``, ``"health and metrics"`` …
    :ivar subscribers: those that :meth:`add` put into its register.
    """

    def __init__(self, state: PathLike | None = None, *, smdp: SmDp | None = None, **serve_options: object) -> None:
        """Start it.

        :param state: the state directory; without it a temporary one.
        :param smdp: the SM-DP+ to order profiles from; both need the same state directory, or certificates of their own.
        :param serve_options: options of ``vuicc operator serve``: ``settings="operator.toml"``, ``mcc="001"`` …
        :raises UsageError: if there is no such option, or it does not accept its value.
        :raises VuiccError: if it does not start.
        """
        super().__init__(state, "vuicc-operator-")
        # A path of a socket is short, that of a state directory need not be.
        self._sockets = Folder(None, "vuicc-")
        listen = [f"{name}_listen" for name in ("https", "internal", "progress", "smpp", "radius")]
        chosen: dict[str, object] = {**{name: _ANY for name in listen}, "eap_sim_db": self._sockets.path / "eap_sim_db"}
        if smdp is not None and smdp.es2plus is not None:
            chosen["smdp"] = f"https://{smdp.es2plus}"
        chosen.update(serve_options)
        told = self._serve("operator", "serve", *options(chosen))
        self.base_url: str = told["base_url"]
        self.listeners: dict[str, str] = {one["listener"]: one["at"] for one in told["listening"]}
        self.subscribers: list[Subscriber] = []

    @property
    def radius_secret(self) -> str:
        """The secret that RADIUS clients share with it."""
        return (self.state / "radius-secret").read_text(encoding="utf-8").strip()

    def add(self, *subscribers: SubscriberLike, **add_options: object) -> list[dict[str, Any]]:
        """Put subscribers into its register.

        :param add_options: options of ``vuicc operator subscriber add``: ``contract=True`` …
        :returns: the JSON of each.
        """
        added = self.run("subscriber", "add", *subscribers, *options(add_options))
        self.subscribers += [one if isinstance(one, Subscriber) else Subscriber(one) for one in subscribers]
        return added

    def run(self, *arguments: object) -> list[dict[str, Any]]:
        """Any other command of ``vuicc operator``.

        :raises VuiccError: if it fails.
        """
        return run("operator", *arguments, state=self.state)

    def close(self) -> None:
        super().close()
        self._sockets.remove()

    def __enter__(self) -> Operator:
        return self


def state_directory(path: PathLike) -> Path:
    """A folder to share between cards and servers, made if it is missing."""
    found = Path(os.fspath(path))
    found.mkdir(parents=True, exist_ok=True, mode=0o700)
    return found
