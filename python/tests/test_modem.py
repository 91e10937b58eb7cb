"""A card in a modem, met by AT commands."""

import os
import shutil
import subprocess

import peers
import pytest
import vuicc


@pytest.mark.vuicc_card(type="uicc")
def test_the_subscriber_of_the_card(vuicc_card, vuicc_modem):
    assert vuicc_modem.ask("AT+CIMI") == [vuicc_card.subscriber.imsi, "OK"]
    assert vuicc_modem.ask("AT+NOTHING") == ["ERROR"]
    assert vuicc_modem.ask("AT+CMEE=1;+CSIM=1") == ["+CME ERROR: 50"]


@pytest.mark.vuicc_modem(quirks="sierra-mc7455", imei="490154203237518")
def test_a_modem_with_quirks(vuicc_card, vuicc_modem):
    assert vuicc_modem.ask("AT+CGSN") == ["490154203237518", "OK"]
    assert vuicc_modem.ask('AT+CCHO="A0000005591010FFFFFFFF8900000100"') == ["+CCHO: 00000000038aa32f", "OK"]
    assert vuicc_modem.ask("AT+CEID") == [f"+CEID: {vuicc_card.eid}", "OK"]


def test_a_card_moves_between_its_socket_and_a_modem(vuicc_card, tmp_path):
    assert vuicc_card.transmit("00A40004023F00").sw1 == 0x61
    link = str(tmp_path / "modem")
    with vuicc.Modem(vuicc_card, link=link) as modem:
        assert modem.path == link
        assert modem.ask("AT+CATR") == [f"+CATR: {vuicc_card.show()['atr']}", "OK"]
    assert not os.path.lexists(link)
    assert vuicc_card.transmit("00A40004023F00").sw1 == 0x61
    with pytest.raises(vuicc.UsageError, match="vuicc modem quirks"):
        vuicc.Modem(vuicc_card, quirks="nobody")


def test_a_modem_on_a_socket(vuicc_card, tmp_path):
    for listen in ("127.0.0.1:0", f"unix:{tmp_path / 'at'}", f"abstract:vuicc{os.getpid()}"):
        with vuicc.Modem(vuicc_card, listen=listen) as modem:
            assert modem.path == "" and str(modem) == modem.address
            assert modem.ask("AT+CEID") == [f"+CEID: {vuicc_card.eid}", "OK"]
            assert modem.ask("AT+CGMM") == ["AT modem", "OK"]


@pytest.mark.parametrize("options", [{}, {"listen": "127.0.0.1:0"}])
def test_a_modem_that_ends_is_told(vuicc_card, options):
    with vuicc.Modem(vuicc_card, **options) as modem:
        assert modem.ask("AT") == ["OK"]
        modem._child.end()
        for _ in range(2):
            with pytest.raises(vuicc.NotThere, match="the modem has ended"):
                modem.ask("AT")


@pytest.mark.vuicc_card(type="uicc")
def test_gammu(vuicc_card, vuicc_modem, tmp_path):
    if shutil.which("gammu") is None:
        peers.skip("gammu is not installed (apt install gammu)")
    settings = tmp_path / "gammurc"
    settings.write_text(f"[gammu]\ndevice = {vuicc_modem.path}\nconnection = at\n")
    told = subprocess.run(["gammu", "-c", settings, "identify"], capture_output=True, text=True, check=True).stdout
    assert vuicc_card.subscriber.imsi in told
