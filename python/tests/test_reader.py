"""A card in a virtual reader, seen by programs that speak PC/SC."""

import os
import shutil
import subprocess
import sys

import peers
import pytest
import vuicc
from vuicc._program import python

SELECT_MF = [0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00]


def test_vuicc_sees_the_card(vuicc_reader):
    listed = vuicc.run("reader", "list")
    here = [one for one in listed if one["name"] == vuicc_reader.name]
    assert len(here) == 1 and here[0]["card"] and here[0]["index"] == vuicc_reader.index
    chip = vuicc_reader.lpa("chip", "info")
    assert vuicc_reader.card.eid in str(chip)


def test_pyscard(vuicc_reader):
    peers.module("smartcard", "pyscard is not installed")
    connection = vuicc_reader.connection()
    data, sw1, _ = connection.transmit(SELECT_MF)
    assert (data, sw1) == ([], 0x61)
    assert bytes(connection.getATR()) == bytes.fromhex(vuicc_reader.card.show()["atr"])


def test_pyscard_again(vuicc_reader):
    """Another card: nothing is left of the one before."""
    peers.module("smartcard", "pyscard is not installed")
    assert vuicc_reader.connection().transmit(SELECT_MF)[1] == 0x61


def test_opensc_tool(vuicc_reader):
    if shutil.which("opensc-tool") is None:
        peers.skip("opensc-tool is not installed (apt install opensc)")
    told = subprocess.run(
        ["opensc-tool", "--reader", str(vuicc_reader.index), "--atr"],
        env={**os.environ, **vuicc_reader.env},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip().replace(":", "").upper() == vuicc_reader.card.show()["atr"]


def test_a_card_moves_between_its_socket_and_a_reader(vuicc_pcscd, vuicc_card):
    atr = vuicc_card.atr
    with vuicc.Reader.insert(vuicc_card, vuicc_pcscd) as reader:
        found = {one["name"]: one for one in vuicc_pcscd.readers()}[reader.name]
        assert found["atr"] == atr.hex().upper()
    assert vuicc_card.transmit(bytes(SELECT_MF)).ok
    with vuicc.Card.new() as other, vuicc.Reader.insert(vuicc_card, vuicc_pcscd) as first:
        with vuicc.Reader.insert(other, vuicc_pcscd) as second:
            assert first.name != second.name


def test_a_profile_from_the_server_to_the_card(vuicc_reader, vuicc_smdp):
    vuicc_reader.lpa("profile", "download", vuicc_smdp.activation_code, "--yes")
    profiles = vuicc_reader.lpa("profile", "list")
    assert [profile["iccid"] for profile in profiles] == [vuicc_smdp.profiles()[0]["iccid"]]
    assert vuicc_reader.card.show()["euicc"]["profiles"][0]["iccid"] == profiles[0]["iccid"]


def test_lpac(vuicc_reader, vuicc_smdp):
    """lpac downloads, too; the variable LPAC names the program."""
    lpac = os.environ.get("LPAC")
    if not lpac:
        peers.skip("LPAC names no lpac", fetched=True)
    environment = {
        **os.environ,
        **vuicc_reader.env,
        "LPAC_APDU": "pcsc",
        "LPAC_HTTP": "curl",
        "LPAC_APDU_PCSC_DRV_IFID": str(vuicc_reader.index),
    }
    order = vuicc_smdp.order(confirmation_code="1234")
    told = subprocess.run(
        [lpac, "profile", "download", "-a", order.activation_code, "-c", "1234"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout
    assert [one["iccid"] for one in vuicc_reader.card.show()["euicc"]["profiles"]] == [order.iccid]


USE = """
import os, sys, vuicc
with vuicc.PcscService.open(sys.argv[1], readers=2) as service, vuicc.Card.new() as card:
    assert len(service.readers()) == 4
    reader = vuicc.Reader.insert(card, service)
    assert [one["name"] for one in service.readers() if one["card"]] == [reader.name]
    again = vuicc.PcscService.open("system") if service.kind == "shared" else service
    assert len(again.readers()) == 4
    reader.eject()
    print(service.kind)
"""


def test_a_private_service():
    told = subprocess.run([sys.executable, "-c", USE, "private"], capture_output=True, text=True)
    if "no namespaces" in told.stderr:
        peers.skip(told.stderr.splitlines()[-1])
    assert told.stdout == "private\n", told.stderr


def test_a_service_in_run_pcscd(tmp_path):
    """As in a container that has no namespaces; tried in one, so that this machine has nothing of it."""
    spaces = peers.namespaces()
    inside = [*spaces, *python(), os.path.join(os.path.dirname(vuicc.__file__), "_inside.py"), str(tmp_path)]
    told = subprocess.run([*inside, sys.executable, "-c", USE, "shared"], capture_output=True, text=True, env=plain())
    assert told.stdout == "shared\n", told.stderr


def plain():
    """An environment that names no service."""
    return {name: value for name, value in os.environ.items() if name not in ("PCSCLITE_CSOCK_NAME", "VPCD_PORT")}


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setenv("PCSCLITE_CSOCK_NAME", "/nowhere/pcscd.comm")
    with pytest.raises(vuicc.ProgramMissing, match="/nowhere/pcscd.comm"):
        vuicc.PcscService.open("system")
    monkeypatch.setattr("vuicc.reader._DRIVERS", ())
    with pytest.raises(vuicc.ProgramMissing, match="apt install vsmartcard-vpcd.*shared"):
        vuicc.PcscService.open()


def test_a_kind_that_does_not_exist():
    with pytest.raises(ValueError, match="private"):
        vuicc.PcscService.open("mine")


def test_a_command_beside_a_service(tmp_path):
    """As a shell script would: the command finds vuicc, the slots and the readers."""
    script = (
        "vuicc card new c.img && { vuicc card run c.img & vuicc reader wait; vuicc lpa chip info; echo $! >left; exit 7; }"
    )
    line = [sys.executable, "-m", "vuicc", "--pcscd", "private", "sh", "-c", script]
    told = subprocess.run(
        line, cwd=tmp_path, capture_output=True, text=True, env={**plain(), "XDG_DATA_HOME": str(tmp_path)}
    )
    if "no namespaces" in told.stderr:
        peers.skip(told.stderr.splitlines()[-1])
    assert told.returncode == 7 and "Virtual PCD 00 00" in told.stdout, told.stdout + told.stderr
    assert not os.path.exists(f"/proc/{(tmp_path / 'left').read_text().strip()}/exe"), "what it left running has ended"
    refused = subprocess.run([sys.executable, "-m", "vuicc"], capture_output=True, text=True)
    assert refused.returncode == 2 and "a command is missing" in refused.stderr
