"""A SIM and an eUICC in software, driven from Python.

The program ``vuicc`` comes with this package and does the work; each object here owns one process of it, which ends
with the object, and at the latest with this process::

    import vuicc

    with vuicc.Card.new() as card:
        print(card.atr.hex())
        assert card.transmit("00A40004023F00").sw in (0x9000, 0x6121)

=====================  ==================================================================================
:class:`Card`          an emulated card: a new image or an existing one, and APDUs to it
:class:`Subscriber`    who a SIM, a profile and an entry in the operator's register are made for
:class:`SmDp`          an SM-DP+ that serves profiles; :class:`Order` is one of its orders
:class:`Operator`      an operator's servers: HLR, RADIUS, entitlement server, portal, SMPP
:class:`PcscService`   the PC/SC service, the machine's or a private one
:class:`Reader`        a card in one of its virtual readers
:class:`Modem`         a card in an AT modem
:func:`run`            any other command of ``vuicc``, its JSON as dictionaries
:class:`VuiccError`    what all of them raise
=====================  ==================================================================================

With pytest installed, :mod:`vuicc.plugin` makes fixtures of them.
"""

from ._errors import (
    Difference,
    InputError,
    NotThere,
    ProgramMissing,
    ServerError,
    TimedOut,
    UsageError,
    VuiccError,
)
from ._program import program, run
from .card import Card, Response
from .modem import Modem
from .reader import PcscService, Reader
from .servers import Operator, Order, SmDp
from .subscriber import Subscriber

__all__ = [
    "Card",
    "Difference",
    "InputError",
    "Modem",
    "NotThere",
    "Operator",
    "Order",
    "PcscService",
    "ProgramMissing",
    "Reader",
    "Response",
    "ServerError",
    "SmDp",
    "Subscriber",
    "TimedOut",
    "UsageError",
    "VuiccError",
    "program",
    "run",
]
