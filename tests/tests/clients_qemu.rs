//! A Debian guest in QEMU, and in it pcscd, libccid, opensc-tool, usbip and lpac, all unmodified: readers on its USB that are
//! made of software, QEMU's `ccid-card-passthru` and one that it attaches over USB/IP.
//!
//! `LPAC` names lpac; without it the guest disables a profile by hand instead of downloading one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::Value;
use vuicc_tests::guest::{Guest, HOST, Made};
use vuicc_tests::peer;
use vuicc_tests::subscriber::{iccid, package, subscriber, ts48, ts48_iccid};
use vuicc_tests::usb::UsbReader;
use vuicc_tests::vuicc::{Card, SmDp};

const QEMU: usize = 0;
const USBIP: usize = 1;
const ATR: &str = "3b:9e:96:80:3f:c7:82:80:31:e0:73:fe:21:1f:56:56:55:49:43:43:31:3d";

#[test]
fn a_debian_guest_finds_its_card() {
    let Some(made) = Made::for_test("a Debian guest") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [first, second] = [0, 1].map(|_| Card::new(folder, &[&package(folder, &subscriber(1))]));
    let in_qemu = UsbReader::start(folder, "qemu", &first, &[]);
    let by_network = UsbReader::start(folder, "usbip", &second, &[]);
    let card = format!("socket,id=card,host=127.0.0.1,port={},nodelay=on", in_qemu.port());
    let devices = ["-chardev", &card, "-device", "usb-ccid", "-device", "ccid-card-passthru,chardev=card"];
    let mut guest = made.start(folder, &devices);
    guest.done("pcscd --foreground >/run/pcscd.log 2>&1 &");
    has_card(&mut guest, QEMU, true);

    // USB/IP: seen, attached, and there for nobody else.
    let port = by_network.port();
    guest.done("modprobe vhci_hcd");
    let list = guest.done(&format!("usbip --tcp-port {port} list -r {HOST}"));
    assert!(list.contains("1-1") && list.contains("0bda:0165"), "{list}");
    guest.done(&format!("usbip --tcp-port {port} attach -r {HOST} -b 1-1"));
    has_card(&mut guest, USBIP, true);
    let (code, second_time) = guest.ask(&format!("usbip --tcp-port {port} attach -r {HOST} -b 1-1"));
    assert!(code != 0, "{second_time}");

    for reader in [QEMU, USBIP] {
        assert_eq!(guest.done(&format!("opensc-tool --reader {reader} --atr")).trim(), ATR);
        assert_eq!(ef_iccid(&mut guest, reader), iccid(1));
    }
    for (usb, reader) in [(&in_qemu, QEMU), (&by_network, USBIP)] {
        usb.by_hand("pull");
        has_card(&mut guest, reader, false);
        has_card(&mut guest, 1 - reader, true);
        usb.by_hand("insert");
        has_card(&mut guest, reader, true);
        usb.by_hand("reset");
        has_card(&mut guest, reader, true);
        assert_eq!(ef_iccid(&mut guest, reader), iccid(1));
    }

    if made.has_lpac {
        download_and_enable(&mut guest, &in_qemu, folder);
    } else {
        disable(&mut guest, &in_qemu);
    }
    // The reader is unplugged, and plugged in again.
    guest.done("usbip detach -p 00");
    guest.until_says("opensc-tool --list-readers", |said| card_in(said, USBIP).is_none());
    guest.done(&format!("usbip --tcp-port {port} attach -r {HOST} -b 1-1"));
    has_card(&mut guest, USBIP, true);
    assert_eq!(ef_iccid(&mut guest, USBIP), iccid(1));
}

/// Whether a reader of this number is listed, and has a card.
fn card_in(list: &str, reader: usize) -> Option<bool> {
    let line = list.lines().find(|line| line.split_whitespace().next() == Some(&reader.to_string()))?;
    Some(line.split_whitespace().nth(1) == Some("Yes"))
}

fn has_card(guest: &mut Guest, reader: usize, wanted: bool) {
    guest.until_says("opensc-tool --list-readers", |said| card_in(said, reader) == Some(wanted));
}

/// EF.ICCID, as a card reader of other people shows it.
fn ef_iccid(guest: &mut Guest, reader: usize) -> String {
    let said = guest.done(&format!(
        "opensc-tool --reader {reader} -s 00A40004023F00 -s 00A40004022FE2 -s 00B000000A | busybox tail -n 1"
    ));
    let digits: Vec<char> = said.chars().filter(char::is_ascii_hexdigit).take(20).collect();
    let swapped: String = digits.chunks(2).flat_map(|pair| pair.iter().rev()).collect();
    swapped.trim_end_matches(['F', 'f']).to_owned()
}

/// The card resets itself when the enabled profile has changed, as no reset of the guest reaches it.
fn resets_itself(guest: &mut Guest, usb: &UsbReader, before: usize, change: impl FnOnce(&mut Guest)) {
    change(guest);
    guest.until_says("busybox sleep 1", |_| usb.told("the enabled profile has changed") > before);
    has_card(guest, QEMU, true);
}

fn lpac(guest: &mut Guest, arguments: &str) -> Value {
    let line = format!("LPAC_APDU=pcsc LPAC_HTTP=curl LPAC_APDU_PCSC_DRV_IFID={QEMU} lpac {arguments}");
    let (_, said) = guest.ask(&line);
    let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let Some(last) = lines.rfind(|line| line["type"] == "lpa") else { panic!("lpac {arguments}: {said}") };
    assert_eq!(last["payload"]["code"], 0, "lpac {arguments}: {said}");
    last["payload"]["data"].clone()
}

/// lpac in the guest, our SM-DP+ on this machine.
fn download_and_enable(guest: &mut Guest, usb: &UsbReader, folder: &Path) {
    let smdp = SmDp::serve(folder);
    let listening = smdp.listening_at().to_owned();
    let port = listening.rsplit_once(':').unwrap().1.to_owned();
    // The guest has another address for this machine.
    let smdp = smdp.restart(&["--listen", &listening, "--also-address", &format!("{HOST}:{port}")]);
    let number = ts48(folder, 1);
    let (package, expected) = match &number {
        Some(package) => (package.clone(), ts48_iccid(1)),
        None => (package(folder, &subscriber(2)), iccid(2)),
    };
    let matching_id = smdp.offer(&package, &[]);
    let installed = lpac(guest, &format!("profile download -s {HOST}:{port} -m {matching_id}"));
    assert_eq!(installed["iccid"], expected, "{installed}");
    for (profile, refresh) in [(expected.clone(), 1), (iccid(1), 0)] {
        let before = usb.told("the enabled profile has changed");
        resets_itself(guest, usb, before, |guest| {
            lpac(guest, &format!("profile enable {profile} {refresh}"));
        });
        assert_eq!(ef_iccid(guest, QEMU), profile);
    }
    let profiles = lpac(guest, "profile list");
    assert_eq!(profiles.as_array().map(Vec::len), Some(2), "{profiles}");
    peer::say("lpac in the guest downloaded and enabled a profile");
}

/// ES10c DisableProfile, without an LPA.
fn disable(guest: &mut Guest, usb: &UsbReader) {
    let digits: Vec<char> = iccid(1).chars().collect();
    let swapped: String = digits.chunks(2).flat_map(|pair| pair.iter().rev()).collect();
    let length = swapped.len() / 2;
    let request = format!("BF32{:02X}A0{:02X}5A{length:02X}{swapped}8101FF", length + 7, length + 2);
    resets_itself(guest, usb, 0, |guest| {
        let said = guest.done(&format!(
            "opensc-tool --reader {QEMU} -s 00A4040010A0000005591010FFFFFFFF8900000100 -s 80E29100{:02X}{request} -s 00C0000006",
            request.len() / 2
        ));
        assert!(said.contains("BF 32 03 80 01 00"), "{said}");
    });
}
