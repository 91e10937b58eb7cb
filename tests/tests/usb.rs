//! `vuicc reader qemu` and `vuicc reader usbip` as programs: what they tell, who moves their cards, what they refuse. The other end
//! is written out octet by octet; `clients_qemu.rs` has a real one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;

use hex_literal::hex;
use serde_json::Value;
use vuicc_tests::process::run;
use vuicc_tests::usb::UsbReader;
use vuicc_tests::vuicc::{Card, command, json_lines};

fn expect(stream: &mut TcpStream, octets: &[u8]) {
    let mut read = vec![0; octets.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, octets);
}

#[test]
fn a_card_in_qemu_is_moved_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let card = Card::new(folder.path(), &[]);
    let reader = UsbReader::start(folder.path(), "qemu", &card, &["--json"]);
    let mut qemu = TcpStream::connect(("127.0.0.1", reader.port())).unwrap();
    let done = hex!("00000002 00000000 00000004 00000000");
    qemu.write_all(&hex!("00000001 FFFFFFFF 0000000C 56534344 00000002 00000000")).unwrap();
    expect(&mut qemu, &hex!("00000001 00000000 0000000C 56534344 00000002 00000000"));
    expect(&mut qemu, &hex!("00000003 FFFFFFFF 00000005 7675696363"));
    qemu.write_all(&done).unwrap();
    let atr = hex!("00000005 00000000 00000017 3B9E96803FC7828031E073FE211F565655494343313D");
    let atr = [&atr[..8], &[0, 0, 0, 22], &atr[12..]].concat();
    expect(&mut qemu, &atr);
    qemu.write_all(&done).unwrap();
    qemu.write_all(&hex!("00000007 00000000 00000007 00A4000C023F00")).unwrap();
    let mut header = [0; 12];
    qemu.read_exact(&mut header).unwrap();
    assert_eq!(header, hex!("00000007 00000000 00000002"));
    expect(&mut qemu, &hex!("9000"));

    let by_hand = |what: &str| run(command(&state, ["reader", what]).arg("--json"));
    for (what, moved, said) in
        [("pull", "pulled", &hex!("00000006 00000000 00000000")[..]), ("insert", "inserted", &atr)]
    {
        let told = json_lines(&by_hand(what).success());
        assert_eq!(told[0]["moved"], Value::from(moved));
        expect(&mut qemu, said);
        qemu.write_all(&done).unwrap();
        let again = by_hand(what);
        assert_eq!(again.code(), Some(4), "{again:#?}");
    }
    // A fault is ordered meanwhile, as of any card that runs.
    let fault = run(command(&state, ["card", "fault", "add"]).arg(card.image()).arg("status=6F00@SELECT")).success();
    assert!(fault.stderr.is_empty(), "{fault:#?}");
    qemu.write_all(&hex!("00000007 00000000 00000007 00A4000C023F00")).unwrap();
    expect(&mut qemu, &hex!("00000007 00000000 00000002 6F00"));
    let _ = run(command(&state, ["card", "eject"]).arg(card.image())).success();
    assert_eq!(qemu.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let [first, second] = [0, 1].map(|_| Card::new(folder.path(), &[]));
    let reader = UsbReader::start(folder.path(), "usbip", &first, &[]);
    let taken = format!("127.0.0.1:{}", reader.port());
    let refused = |kind: &str, options: &[&str]| {
        let finished = run(command(&state, ["reader", kind]).arg(second.image()).args(options));
        assert_ne!(finished.code(), Some(0));
        finished.stderr
    };
    for kind in ["qemu", "usbip"] {
        let exposed = refused(kind, &["--listen", "0.0.0.0:0"]);
        assert!(exposed.lines().count() == 1 && exposed.contains("--expose"), "{exposed}");
        let in_use = refused(kind, &["--listen", &taken]);
        assert!(in_use.lines().count() == 1 && in_use.contains("take another port"), "{in_use}");
    }
    let nobody = refused("pull", &[]);
    assert!(nobody.lines().count() == 1 && nobody.contains("is not running"), "{nobody}");
}
