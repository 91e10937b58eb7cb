"""Cards and servers that fail on request, and cards as they are met in the field."""

import pytest
import vuicc

SELECT_MF = "00A40004023F00"


def test_a_fault_strikes_as_often_as_ordered(vuicc_card):
    vuicc_card.add_faults("status=6F00@SELECT,times=2")
    assert [vuicc_card.transmit(SELECT_MF).sw1 for _ in range(3)] == [0x6F, 0x6F, 0x61]
    vuicc_card.add_faults("status=6F00@SELECT,always")
    assert vuicc_card.transmit(SELECT_MF).sw == 0x6F00
    vuicc_card.clear_faults()
    assert vuicc_card.faults() == [] and vuicc_card.transmit(SELECT_MF).ok


@pytest.mark.vuicc_card(fault="loadProfileElements=installFailedDueToPEProcessingError,always")
def test_an_installation_fails(vuicc_card, vuicc_smdp):
    with pytest.raises(vuicc.VuiccError, match="(?i)PE"):
        vuicc_card.lpa("profile", "download", vuicc_smdp.activation_code, "--yes")
    assert vuicc_card.show()["euicc"]["profiles"] == []


def test_a_fault_that_is_none_is_named(vuicc_card):
    with pytest.raises(vuicc.UsageError, match="frobnicate"):
        vuicc_card.add_faults("frobnicate")


@pytest.mark.vuicc_smdp(fault="authenticateClient=status:8.2.6/3.8@once")
def test_a_server_refuses_once(vuicc_card, vuicc_smdp):
    with pytest.raises(vuicc.ServerError, match=r"8\.2\.6"):
        vuicc_card.lpa("profile", "download", vuicc_smdp.activation_code, "--yes")
    vuicc_card.lpa("profile", "download", vuicc_smdp.activation_code, "--yes")


@pytest.mark.vuicc_card(like="5ber")
def test_a_card_of_the_field(vuicc_card):
    assert not vuicc_card.transmit("00A4040010A0000005591010FFFFFFFF8900000100").ok, "its ISD-R is elsewhere"
