"""SM-DP+ and operator."""

import json
import socket
import ssl
import urllib.request

import pytest
import vuicc


def test_an_order_is_downloaded(vuicc_smdp, vuicc_card):
    iccid = vuicc_smdp.profiles()[0]["iccid"]
    assert vuicc_smdp.activation_code.startswith(f"LPA:1${vuicc_smdp.address}$")
    download(vuicc_card, vuicc_smdp.activation_code)
    assert [one["iccid"] for one in vuicc_card.show()["euicc"]["profiles"]] == [iccid]
    assert vuicc_smdp.profile(iccid)["state"] != "Released"


def test_orders_with_conditions(vuicc_smdp, vuicc_card):
    code = vuicc_smdp.order(confirmation_code=1234)
    assert code.confirmation_code == "1234" and code.activation_code.endswith("$1")
    for_another = vuicc_smdp.order(matching_id="NOT-FOR-YOU", eid="89049032123451234512345678901235")
    assert for_another.matching_id == "NOT-FOR-YOU" and for_another.subscriber is not None
    with pytest.raises(vuicc.VuiccError):
        download(vuicc_card, for_another.activation_code)
    with pytest.raises(vuicc.VuiccError):
        download(vuicc_card, code.activation_code, "--confirmation-code", "9999")
    download(vuicc_card, code.activation_code, "--confirmation-code", "1234")
    with pytest.raises(vuicc.VuiccError, match="8988211000000000011"):
        vuicc_smdp.order("8988211000000000011")


@pytest.mark.vuicc_card(seed="a download", clock="2026-03-01T12:00:00Z")
@pytest.mark.vuicc_smdp(seed="a download", clock="2026-03-01T12:00:00Z")
def test_time_passes_on_request(vuicc_card, vuicc_smdp):
    download(vuicc_card, vuicc_smdp.activation_code)
    later = vuicc.Card(vuicc_card.image, state=vuicc_card.state, clock="2126-03-01T12:00:00Z")
    with pytest.raises(vuicc.VuiccError, match="certificate"):
        download(later, vuicc_smdp.order().activation_code)


@pytest.mark.vuicc_smdp(host="smdp.test")
def test_tls_is_verified_by_the_ci(vuicc_smdp):
    context = ssl.create_default_context(cafile=str(vuicc_smdp.ci))
    host, port = vuicc_smdp.address.split(":")
    with socket.create_connection((host, int(port))) as plain:
        with context.wrap_socket(plain, server_hostname="smdp.test") as secured:
            assert secured.version() is not None


def test_the_operator_knows_the_subscriber_of_the_card(vuicc_operator):
    """Without a card an invented one."""
    known = vuicc_operator.run("subscriber", "list")
    assert [one["imsi"] for one in known] == [vuicc_operator.subscribers[0].imsi]
    with urllib.request.urlopen(f"http://{vuicc_operator.listeners['health and metrics']}/healthz") as answer:
        assert answer.status == 200
    assert vuicc_operator.radius_secret


@pytest.mark.vuicc_card(type="uicc")
def test_card_smdp_and_operator_belong_together(vuicc_card, vuicc_smdp, vuicc_operator):
    assert [one.imsi for one in vuicc_operator.subscribers] == [vuicc_card.subscriber.imsi]
    assert vuicc_smdp.state == vuicc_operator.state == vuicc_card.state
    assert "no SM-DP+" not in vuicc_operator.log


def test_a_server_that_does_not_start_says_why(tmp_path):
    with vuicc.SmDp(tmp_path) as smdp:
        port = smdp.address.split(":")[1]
        with pytest.raises(vuicc.VuiccError, match=port):
            vuicc.SmDp(listen=f"127.0.0.1:{port}")
        smdp.stop()
        smdp.stop()
    assert json.dumps(str(tmp_path)), "the caller's folder stays"
    assert tmp_path.exists()


def download(card, code, *more):
    card.lpa("profile", "download", code, "--yes", *more)
