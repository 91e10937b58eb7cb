"""Fixtures of pytest: cards, readers, a modem, an SM-DP+ and an operator.

=====================  ==================================================================================
``vuicc_card``         an emulated card, new for each test: :class:`vuicc.Card`
``vuicc_reader``       that card in a virtual reader: :class:`vuicc.Reader`
``vuicc_modem``        that card in an AT modem on a pseudo-terminal: :class:`vuicc.Modem`
``vuicc_smdp``         an SM-DP+ with a profile to download, new for each test: :class:`vuicc.SmDp`
``vuicc_operator``     an operator with one subscriber, that of the card if it has one: :class:`vuicc.Operator`
``vuicc_pcscd``        the PC/SC service, one for the session: :class:`vuicc.PcscService`
``vuicc_state``        the state directory of a test, which its card and servers share: :class:`pathlib.Path`
=====================  ==================================================================================

A marker of the fixture's name sets options, which are those of the classes: ``@pytest.mark.vuicc_card(type="uicc")``.
``vuicc_card`` can be parametrized indirectly with dictionaries of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import Card, Modem, Operator, PcscService, ProgramMissing, Reader, SmDp, Subscriber, program

_MARKERS = (
    "vuicc_card(**options): options of the fixture's card, as vuicc.Card.new takes them: type, subscriber, profile, like …",
    "vuicc_modem(**options): options of the fixture's modem, as `vuicc modem run` takes them: quirks, imei …",
    "vuicc_smdp(**options): options of the fixture's SM-DP+, as `vuicc smdp serve` takes them",
    "vuicc_operator(**options): options of the fixture's operator, as `vuicc operator serve` takes them; subscribers=[…]",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Settings of the fixtures."""
    parser.addini(
        "vuicc_pcscd", "the PC/SC service of vuicc_reader: auto, system, private (in namespaces) or shared", default="auto"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the markers, for --strict-markers and --markers."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Which program the fixtures use."""
    try:
        return [f"vuicc: {program()}"]
    except ProgramMissing as error:
        return [f"vuicc: {error}"]


def _chosen(request: pytest.FixtureRequest, marker: str) -> dict[str, Any]:
    """The options that the test gives to a fixture; the closest marker wins, a parameter above all."""
    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(marker))):
        if mark.args:
            raise pytest.UsageError(f"{marker} takes options by name, as in @pytest.mark.{marker}(type='uicc')")
        options.update(mark.kwargs)
    parameter = getattr(request, "param", None)
    if parameter is not None:
        if not isinstance(parameter, dict):
            raise pytest.UsageError(f"a parameter of {marker} is a dictionary of options, not {parameter!r}")
        options.update(parameter)
    return options


@pytest.fixture
def vuicc_state(tmp_path: Path) -> Path:
    """The state directory of a test: what its card and its servers share, so that they trust each other."""
    state = tmp_path / "vuicc"
    state.mkdir(mode=0o700)
    return state


@pytest.fixture
def vuicc_card(request: pytest.FixtureRequest, tmp_path: Path, vuicc_state: Path) -> Iterator[Card]:
    """An emulated card, new for each test; an eUICC without profiles, unless the test chooses options."""
    options = {"state": vuicc_state, **_chosen(request, "vuicc_card")}
    with Card.new(tmp_path / "card.img", **options) as card:
        yield card


@pytest.fixture(scope="session")
def vuicc_pcscd(pytestconfig: pytest.Config) -> Iterator[PcscService]:
    """The PC/SC service: the machine's, or one started for this session. This process and its children use it."""
    before = dict(os.environ)
    with PcscService.open(pytestconfig.getini("vuicc_pcscd")) as service:
        service.use()
        yield service
    for name in service.env:
        if name in before:
            os.environ[name] = before[name]
        else:
            os.environ.pop(name, None)


@pytest.fixture
def vuicc_reader(vuicc_pcscd: PcscService, vuicc_card: Card) -> Iterator[Reader]:
    """The test's card in a virtual reader, ready for pyscard and any other PC/SC client."""
    with Reader.insert(vuicc_card, vuicc_pcscd) as reader:
        yield reader


@pytest.fixture
def vuicc_modem(request: pytest.FixtureRequest, vuicc_card: Card) -> Iterator[Modem]:
    """The test's card in an AT modem, ready for any program that opens ``path``."""
    with Modem(vuicc_card, **_chosen(request, "vuicc_modem")) as modem:
        yield modem


@pytest.fixture
def vuicc_smdp(request: pytest.FixtureRequest, vuicc_state: Path) -> Iterator[SmDp]:
    """An SM-DP+ that serves, with one profile that is ready to be downloaded (``activation_code``)."""
    with SmDp(vuicc_state, **_chosen(request, "vuicc_smdp")) as smdp:
        _ = smdp.activation_code
        yield smdp


@pytest.fixture
def vuicc_operator(request: pytest.FixtureRequest, vuicc_state: Path) -> Iterator[Operator]:
    """An operator whose register has the card's subscriber, if the test has such a card, else an invented one; with the
    test's SM-DP+, if it has one.
    """
    options = _chosen(request, "vuicc_operator")
    subscribers = options.pop("subscribers", None)
    names = request.fixturenames
    if "vuicc_smdp" in names:
        options.setdefault("smdp", request.getfixturevalue("vuicc_smdp"))
    if subscribers is None and "vuicc_card" in names:
        of_card = request.getfixturevalue("vuicc_card").subscriber
        subscribers = [of_card] if of_card is not None else None
    with Operator(vuicc_state, **options) as operator:
        chosen = [Subscriber.new()] if subscribers is None else list(subscribers)
        if chosen:
            operator.add(*chosen, contract=True)
        yield operator
