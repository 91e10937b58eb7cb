//! Messages as osmo-remsim's programs sent them to each other, octet for octet; those that they did not send are written after
//! `RSPRO.asn`.

use hex_literal::hex;

use super::*;
use crate::Frames;
use crate::frame::Frame;

const CLIENT: ClientSlot = ClientSlot { client: 7, slot: 0 };
const BANK: BankSlot = BankSlot { bank: 1, slot: 0 };

fn identity(component: ComponentType, software: &str) -> Identity {
    Identity { component, name: "vm".into(), software: software.into(), version: "1.0.0".into() }
}

/// A frame is what this message is sent as, and is read as it.
fn both_ways(frame: &[u8], message: &Message) {
    let pdu = Pdu::new(message.clone());
    assert_eq!(pdu.to_frame(), frame, "{message:?}");
    let mut frames = Frames::default();
    frames.push(frame);
    let Ok(Some(Frame::Rspro(octets))) = frames.next() else { panic!("{message:?}") };
    assert_eq!(Pdu::decode(&octets), Ok(pdu));
}

/// The same for a message alone.
fn inner(octets: &[u8], message: &Message) {
    let length = u8::try_from(octets.len()).unwrap();
    let pdu = [&[0x30, length + 8, 0x80, 1, 2, 0x81, 1, 0, 0xA2, length][..], octets].concat();
    assert_eq!(Pdu::new(message.clone()).encode(), pdu, "{message:?}");
    assert_eq!(Pdu::decode(&pdu), Ok(Pdu::new(message.clone())));
}

#[test]
fn connections() {
    both_ways(
        &hex!(
            "0031ee07302e800102810100a226a024301c0a01021602766d800c72656d73696d2d62616e6b648105312e302e30020101020102"
        ),
        &Message::ConnectBankReq { identity: identity(ComponentType::BANK, "remsim-bankd"), bank: 1, slots: 2 },
    );
    both_ways(
        &hex!(
            "0034ee073031800102810100a229a227301d0a01001602766d800d72656d73696d2d636c69656e748105312e302e303006020107020100"
        ),
        &Message::ConnectClientReq { identity: identity(ComponentType::CLIENT, "remsim-client"), client: Some(CLIENT) },
    );
    for (tag, message) in [
        (0xA1, Message::ConnectBankRes { identity: identity(ComponentType::SERVER, "server"), result: ResultCode::OK }),
        (
            0xA3,
            Message::ConnectClientRes { identity: identity(ComponentType::SERVER, "server"), result: ResultCode::OK },
        ),
    ] {
        let parts = hex!("3016 0a0101 1602766d 8006736572766572 8105312e302e30 0a0100");
        inner(&[&[tag, 0x1B][..], &parts].concat(), &message);
    }
}

#[test]
fn mappings() {
    both_ways(
        &hex!("001dee07301a800102810100a212a41030060201070201003006020101020100"),
        &Message::CreateMappingReq { client: CLIENT, bank: BANK },
    );
    both_ways(&hex!("0010ee07300d800102810100a205a5030a0100"), &Message::CreateMappingRes(ResultCode::OK));
    both_ways(
        &hex!("0021ee07301e800102810100a216b1143006020101020100300a80047f0000010202270f"),
        &Message::ConfigClientBankReq { bank: BANK, at: IpPort(([127, 0, 0, 1], 9999).into()) },
    );
    inner(&hex!("b2030a0100"), &Message::ConfigClientBankRes(ResultCode::OK));
    inner(
        &hex!("b120 3006020101020100 3016 8110 00000000000000000000000000000001 0202270f"),
        &Message::ConfigClientBankReq { bank: BANK, at: IpPort("[::1]:9999".parse().unwrap()) },
    );
    inner(&hex!("a610 3006020107020100 3006020101020100"), &Message::RemoveMappingReq { client: CLIENT, bank: BANK });
    inner(&hex!("a7030a0105"), &Message::RemoveMappingRes(ResultCode::UNKNOWN_SLOTMAP));
    inner(&hex!("a80a 3008 020203ff 020200ff"), &Message::ConfigClientIdReq(ClientSlot { client: 1023, slot: 255 }));
    inner(&hex!("a9030a0101"), &Message::ConfigClientIdRes(ResultCode::ILLEGAL_CLIENT_ID));
    inner(&hex!("b300"), &Message::ResetStateReq);
    inner(&hex!("b4030a0100"), &Message::ResetStateRes(ResultCode::OK));
}

#[test]
fn the_card() {
    both_ways(
        &hex!(
            "0034ee073031800102810100a229ac2730060201070201003006020101020100300c010100010100010100010100040700a40004023f00"
        ),
        &Message::TpduModemToCard {
            from: CLIENT,
            to: BANK,
            flags: TpduFlags::default(),
            data: hex!("00a40004023f00").to_vec(),
        },
    );
    inner(
        &hex!("ad22 3006020101020100 3006020107020100 300c010100010100010100010100 0402612b"),
        &Message::TpduCardToModem { from: BANK, to: CLIENT, flags: TpduFlags::default(), data: hex!("612b").to_vec() },
    );
    inner(
        &hex!("aa20 3006020107020100 0416 3b9e96803fc7828031e073fe211f565655494343313d"),
        &Message::SetAtrReq { slot: CLIENT, atr: hex!("3b9e96803fc7828031e073fe211f565655494343313d").to_vec() },
    );
    inner(&hex!("ab030a0100"), &Message::SetAtrRes(ResultCode::OK));
    let status = SlotStatus { reset: true, power: Some(false), clock: Some(false), card: Some(true) };
    inner(
        &hex!("ae1e 3006020107020100 3006020101020100 300c 8001ff 810100 820100 8301ff"),
        &Message::ClientSlotStatusInd { from: CLIENT, to: BANK, status },
    );
    let status = SlotStatus { reset: false, power: None, clock: None, card: Some(true) };
    inner(
        &hex!("af18 3006020101020100 3006020107020100 3006 800100 8301ff"),
        &Message::BankSlotStatusInd { from: BANK, to: CLIENT, status },
    );
}

#[test]
fn errors() {
    inner(
        &hex!("b02f 0a0102 0a0102 0a0102 a006020101020100 a106020107020100 8214")
            .iter()
            .chain(b"the client has ended")
            .copied()
            .collect::<Vec<_>>(),
        &Message::ErrorInd {
            sender: ComponentType::BANK,
            severity: Severity::MAJOR,
            code: ErrorCode::UNEXPECTED_DISCONNECT,
            bank: Some(BANK),
            client: Some(CLIENT),
            text: Some("the client has ended".into()),
        },
    );
}

/// Codes and elements of later releases are taken; what this release does not allow is not.
#[test]
fn later_releases_and_nonsense() {
    let read = |octets: &[u8]| Pdu::decode(octets).map(|pdu| pdu.message);
    assert_eq!(read(&hex!("300d800102810100a205a5030a0163")), Ok(Message::CreateMappingRes(ResultCode(0x63))));
    assert_eq!(
        read(&hex!("3010800102810100a208a5060a0100850107")),
        Ok(Message::CreateMappingRes(ResultCode::OK)),
        "an element at the end"
    );
    for (octets, error) in [
        (&hex!("")[..], PduError::Malformed),
        (&hex!("300d800103810100a205a5030a0100"), PduError::Version(3)),
        (&hex!("300a810100a205a5030a0100"), PduError::Missing("version")),
        (&hex!("3008800102810100a200"), PduError::Malformed),
        (&hex!("300a800102810100a202be00"), PduError::Unknown(Tag(0xBE))),
        (&hex!("300a800102810100a2020500"), PduError::Unknown(Tag(5))),
        (&hex!("300a800102810100a202a500"), PduError::Missing("ResultCode")),
        (&hex!("300d800102810100a205a5030a01ff"), PduError::OutOfRange("ResultCode")),
        (&hex!("3012800102810100a20aa8083006020180020100"), PduError::OutOfRange("client")),
        (&hex!("3013800102810100a20ba809300702020400020100"), PduError::OutOfRange("client")),
        (&hex!("3080800102810100a205a5030a01000000"), PduError::Malformed),
    ] {
        assert_eq!(read(octets), Err(error), "{octets:02X?}");
    }
    let identity = Identity { name: "a~c".into(), ..identity(ComponentType::SERVER, "server") };
    let mut whole = Pdu::new(Message::ConnectBankRes { identity, result: ResultCode::OK }).encode();
    whole.iter_mut().filter(|octet| **octet == b'~').for_each(|octet| *octet = 0x1B);
    assert_eq!(read(&whole), Err(PduError::OutOfRange("name")), "a name that would steer a terminal");
    // In the words of an error there are lines, which are shown as one.
    let error = |text: &str| Message::ErrorInd {
        sender: ComponentType::BANK,
        severity: Severity::MINOR,
        code: ErrorCode::UNEXPECTED_DISCONNECT,
        bank: None,
        client: None,
        text: Some(text.to_owned()),
    };
    assert_eq!(read(&Pdu::new(error("gone:\n\t\u{1b}why\u{7f}")).encode()), Ok(error("gone:   why ")));
    assert_eq!(read(&Pdu::new(error("")).encode()), Ok(error("")));
}

/// Each octet of each message takes each value, and each message is cut everywhere: read or refused, never a panic.
#[test]
fn mutations_do_not_panic() {
    for message in [
        Message::ConnectBankReq { identity: identity(ComponentType::BANK, "b"), bank: 1, slots: 2 },
        Message::ConfigClientBankReq { bank: BANK, at: IpPort(([127, 0, 0, 1], 9999).into()) },
        Message::TpduModemToCard { from: CLIENT, to: BANK, flags: TpduFlags::default(), data: vec![0, 0xA4] },
    ] {
        let whole = Pdu::new(message).encode();
        for at in 0..whole.len() {
            assert!(Pdu::decode(&whole[..at]).is_err(), "cut at {at}");
            for octet in 0..=0xFF {
                let mut mutated = whole.clone();
                mutated[at] = octet;
                if let Ok(pdu) = Pdu::decode(&mutated) {
                    assert_eq!(Pdu::decode(&pdu.encode()), Ok(pdu));
                }
            }
        }
    }
}

#[test]
fn slots_are_read_and_written_as_text() {
    assert_eq!("7:0".parse(), Ok(CLIENT));
    assert_eq!("1:0".parse(), Ok(BANK));
    assert_eq!((CLIENT.to_string(), BANK.to_string()), ("7:0".into(), "1:0".into()));
    for wrong in ["", "7", "7:", ":0", "1024:0", "0:1024", "-1:0", "a:b"] {
        assert!(wrong.parse::<ClientSlot>().is_err(), "{wrong}");
    }
}
