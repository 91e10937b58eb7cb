"""A card on its own socket."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys

import pytest
import vuicc
from vuicc import _guard
from vuicc._errors import BY_CODE

SELECT_MF = bytes.fromhex("00A40004023F00")
#: ISD-R, and the EID it is asked for.
SELECT_ISD_R = "00A4040010A0000005591010FFFFFFFF8900000100"
GET_EID = "80E2910006BF3E035C015A"


def test_a_dialogue(vuicc_card):
    assert vuicc_card.atr[0] == 0x3B
    response = vuicc_card.transmit(SELECT_MF)
    assert (response.data, response.sw1, response.ok) == (b"", 0x61, True)
    rest = vuicc_card.transmit(bytes([0x00, 0xC0, 0x00, 0x00, response.sw2]))
    assert rest.sw == 0x9000 and rest.data[0] == 0x62
    assert vuicc_card.transmit(SELECT_MF, follow=True) == rest
    assert vuicc_card.transmit("00 A4 00 04 02 7F FE").sw == 0x6A82
    assert not vuicc_card.transmit("00A40004027FFE").ok


def test_the_isd_r_tells_the_eid(vuicc_card):
    assert vuicc_card.transmit(SELECT_ISD_R, follow=True).ok
    told = vuicc_card.transmit(GET_EID, follow=True)
    assert told.sw == 0x9000 and told.data.hex().endswith(vuicc_card.eid)


def test_a_reset_keeps_the_card_and_drops_what_was_selected(vuicc_card):
    vuicc_card.transmit(SELECT_ISD_R)
    assert vuicc_card.transmit(GET_EID).ok
    atr = vuicc_card.atr
    assert vuicc_card.reset() == atr
    assert not vuicc_card.transmit(GET_EID).ok
    vuicc_card.power_off()
    assert vuicc_card.power_on() == atr


def test_what_was_answered_outlives_the_process(vuicc_card):
    pin = b"0000\xff\xff\xff\xff"
    adm = vuicc_card.transmit(SELECT_MF, follow=True)
    assert adm.ok and pin
    eid = vuicc_card.eid
    vuicc_card.stop()
    assert vuicc_card.transmit(SELECT_MF, follow=True) == adm
    assert vuicc_card.eid == eid


@pytest.mark.vuicc_card(type="uicc")
def test_a_sim_has_a_subscriber(vuicc_card):
    assert vuicc_card.show()["card_type"] == "UICC" and vuicc_card.eid is None
    for file in ("3F00", "7FFF", "6F07"):
        aid = vuicc_card.show()["domains"][0]["applications"][0]["aid"] if file == "7FFF" else None
        select = f"00A40404{len(aid) // 2:02X}{aid}" if aid else f"00A4000402{file}"
        assert vuicc_card.transmit(select).ok, file
    imsi = vuicc_card.transmit("00B0000009", follow=True).data.hex()
    swapped = "".join(imsi[i + 1] + imsi[i] for i in range(2, len(imsi), 2))
    assert swapped[1:] == vuicc_card.subscriber.imsi


@pytest.mark.parametrize("vuicc_card", [{"type": "euicc"}, {"type": "uicc"}], indirect=True, ids=["euicc", "uicc"])
def test_each_type(vuicc_card, request):
    expected = "eUICC" if "euicc" in request.node.name else "UICC"
    assert vuicc_card.show(brief=True)["card_type"] == expected


def test_profiles_and_subscribers_from_the_start(tmp_path):
    one, two = vuicc.Subscriber.new(tmp_path / "one.toml"), vuicc.Subscriber.new(mcc="310", mnc="410", msisdn="+15551234567")
    with vuicc.Card.new(subscriber=[one, two.path], disabled=True) as card:
        profiles = card.show()["euicc"]["profiles"]
        assert [profile["iccid"] for profile in profiles] == [one.iccid, two.iccid]
        assert two.imsi.startswith("310410") and len(one.key) == len(one.opc) == 16
        assert card.subscriber is one


def test_an_existing_image_and_a_trace(tmp_path):
    trace = tmp_path / "session.txt"
    with vuicc.Card.new(tmp_path / "my.img", state=tmp_path / "state") as made:
        eid = made.eid
    with vuicc.Card(tmp_path / "my.img", state=tmp_path / "state", run_options={"trace": trace}) as card:
        assert card.eid == eid
        card.transmit(SELECT_MF)
    assert "00A40004023F00" in trace.read_text().replace(" ", "").upper()
    assert (tmp_path / "my.img").exists()


def test_a_temporary_card_leaves_nothing():
    card = vuicc.Card.new()
    folder = card.image.parent
    assert card.transmit(SELECT_MF).ok
    card.close()
    assert not folder.exists()


def test_errors_are_exceptions(tmp_path):
    with pytest.raises(vuicc.NotThere, match="no card image") as caught:
        vuicc.run("card", "show", tmp_path / "none.img")
    assert caught.value.exit_code == 4 and "show" in caught.value.command
    none = vuicc.Card(tmp_path / "none.img")
    for use in (none.show, none.faults, lambda: none.transmit(SELECT_MF), lambda: none.lpa("chip", "info")):
        with pytest.raises(vuicc.NotThere, match="none.img"):
            use()
    (tmp_path / "text.img").write_text("no card")
    with pytest.raises(vuicc.InputError, match="not a card image"):
        vuicc.Card(tmp_path / "text.img").show()
    with pytest.raises(vuicc.UsageError, match="--frobnicate") as usage:
        vuicc.Card.new(frobnicate=True)
    assert usage.value.exit_code == 2
    with pytest.raises(ValueError, match="at least 4"):
        vuicc.Card(tmp_path / "none.img").transmit(b"\x00")


def test_each_code_has_a_class():
    """The published schema says which codes there are."""
    (schema,) = vuicc.run("schema")
    assert schema == json.loads(subprocess.check_output([vuicc.program(), "schema"], text=True))
    assert set(enums_of(schema, "code")) == {"failed", *BY_CODE}
    with pytest.raises(vuicc.NotThere) as caught:
        vuicc.run("lpa", "chip", "info", "--reader", "No such reader")
    assert caught.value.exit_code == caught.value.details["exit_code"] == 4


def enums_of(schema, name):
    """The values of every property ``name`` that has an enumeration."""
    if isinstance(schema, list):
        return [value for one in schema for value in enums_of(one, name)]
    if not isinstance(schema, dict):
        return []
    here = schema.get("properties", {}).get(name, {})
    found = list(here.get("enum", [])) if isinstance(here, dict) and "failed" in here.get("enum", []) else []
    return found + [value for one in schema.values() for value in enums_of(one, name)]


def test_a_card_that_was_killed_says_so(vuicc_card):
    vuicc_card.transmit(SELECT_MF)
    vuicc_card._child.process.kill()
    with pytest.raises(vuicc.NotThere, match="signal 9"):
        vuicc_card.transmit(SELECT_MF)
    assert vuicc_card.transmit(SELECT_MF).ok, "and may be used again"


def test_a_missing_program_is_named(monkeypatch):
    monkeypatch.setenv("VUICC", "/nowhere/vuicc")
    with pytest.raises(vuicc.ProgramMissing, match="/nowhere/vuicc"):
        vuicc.run("reader", "list")


def test_a_seed_makes_the_same_card_again(tmp_path):
    answers = []
    for name in ("one", "two"):
        with vuicc.Card.new(
            tmp_path / name, state=tmp_path / f"state-{name}", seed="the same", clock="2027-01-01T00:00:00Z"
        ) as card:
            challenge = card.transmit(SELECT_ISD_R).ok and card.transmit("80E2910003BF2E00", follow=True)
            answers.append((card.eid, challenge))
    assert answers[0] == answers[1] and answers[0][1].ok


def test_two_cards_at_once():
    with vuicc.Card.new() as one, vuicc.Card.new() as two:
        assert one.transmit(SELECT_ISD_R).ok
        assert not two.transmit(GET_EID).ok, "nothing is selected there"
        assert one.transmit(GET_EID).ok and one.eid != two.eid


CHILDREN = """
import os, sys, vuicc
subscriber = vuicc.Subscriber.new()
card = vuicc.Card.new(subscriber=subscriber)
card.transmit("00A40004023F00")
smdp = vuicc.SmDp()
print(card._child.process.pid, smdp._child.process.pid, flush=True)
print(subscriber.path.parent, card.image.parent, smdp.state, flush=True)
if sys.argv[1] == "fork" and os.fork() == 0:
    os.close(1)
    os.execvp("sleep", ["sleep", "30"])
sys.stdin.read()
if sys.argv[1] == "error":
    raise SystemExit(3)
"""


def ended(numbers):
    """Wait until none of these processes is there."""
    for handle in numbers:
        # Readable once the process has ended.
        assert select.select([handle], [], [], 60)[0], "a child is still there"
        os.close(handle)


@pytest.mark.parametrize("how", ["killed", "fork", "ended", "error"])
def test_no_child_outlives_its_process(how):
    """Killed: nothing of it runs any more, whether or not a copy of it has the guard's pipe. At its end without any `with`, its
    folders go, too, and it says nothing.
    """
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "ignore::ResourceWarning", "-c", CHILDREN, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    numbers = [os.pidfd_open(int(word)) for word in process.stdout.readline().split()]
    folders = process.stdout.readline().split()
    if how in ("ended", "error"):
        _, told = process.communicate("")
        assert (process.returncode, told) == (3 if how == "error" else 0, "")
        assert not any(os.path.exists(folder) for folder in folders), folders
    else:
        process.kill()
        process.communicate()
    ended(numbers)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


FORK = """
import os, threading, vuicc
from vuicc import _child
card = vuicc.Card.new()
card.transmit("00A40004023F00")
_child._GUARD._lock.acquire()
number = os.fork()
if number == 0:
    with vuicc.Card.new() as own:
        assert own.transmit("00A40004023F00").ok
    card.close()
    raise SystemExit(0)
_child._GUARD._lock.release()
assert os.waitpid(number, 0)[1] == 0
assert card.image.exists() and card.transmit("00A40004023F00").ok
print(card.image.parent)
"""


def test_a_fork_leaves_alone_what_is_not_its_own():
    """It has cards of its own, and neither its end nor what it closes takes those of the process it is a copy of; though another
    thread was just starting one.
    """
    told = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    assert not os.path.exists(told.stdout.strip())


@pytest.mark.parametrize("with_pidfd", [True, False])
def test_the_guard_signals_no_later_process_of_the_same_number(monkeypatch, with_pidfd):
    if not with_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    process = subprocess.Popen(["sleep", "1000"])
    start = _guard.started(process.pid)
    assert start.isdigit() and start != "0"
    earlier = _guard._Process(process.pid, str(int(start) - 1))
    assert not earlier.send(signal.SIGKILL) and process.poll() is None
    same = _guard._Process(process.pid, start)
    assert same.send(0) and same.send(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    assert not same.send(signal.SIGKILL) and _guard.started(process.pid) == "0"
    earlier.close()
    same.close()
