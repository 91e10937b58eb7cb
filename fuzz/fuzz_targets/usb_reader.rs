//! What a host sends to a reader on a USB made of software: QEMU, and a client of USB/IP that has imported the reader.

#![no_main]

use apdu::Icc;
use usb::ccid::{Identity, Reader};
use usb::{usbip, vscard};

/// A card that answers `9000`, with data where its command has an odd instruction, and nothing to a class of FF.
#[derive(Default)]
struct Card {
    has_power: bool,
}

impl Icc for Card {
    fn power_on(&mut self) -> Vec<u8> {
        self.has_power = true;
        self.atr()
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        self.power_on()
    }

    fn power_off(&mut self) {
        self.has_power = false;
    }

    fn atr(&self) -> Vec<u8> {
        vec![0x3B, 0x00]
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        assert!(self.has_power, "no command reaches a card without power");
        assert!(command.len() >= 4 && command.len() <= 260);
        match command {
            [0xFF, ..] => return,
            [_, ins, ..] if ins % 2 == 1 => response.extend([0xAA; 256]),
            _ => {}
        }
        response.extend([0x90, 0x00]);
    }
}

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let Some((which, octets)) = octets.split_first() else { return };
    if which % 2 == 0 { qemu(octets) } else { client(octets) }
});

fn qemu(octets: &[u8]) {
    let (mut card, mut session, mut out) = (Card::default(), vscard::Session::new("fuzz"), Vec::new());
    if let Ok(Some((frame, taken))) = vscard::Frame::read(octets) {
        let mut written = Vec::new();
        frame.write(&mut written);
        assert_eq!(vscard::Frame::read(&written).map(|read| read.map(|(frame, _)| frame)), Ok(Some(frame)));
        assert!(taken <= octets.len());
    }
    for part in octets.chunks(97) {
        session.receive(part);
        while let Ok(Some(event)) = session.step(&mut card, &mut out) {
            match event {
                vscard::Event::Attached if !session.has_card() => {
                    assert!(session.insert(&mut card, &mut out).is_ok());
                }
                vscard::Event::Mute => session.remove(&mut card, &mut out),
                vscard::Event::Removed => {
                    assert!(session.insert(&mut card, &mut out).is_ok());
                }
                _ => {}
            }
        }
    }
    // Whole messages leave.
    let mut rest = out.as_slice();
    while let Ok(Some((_, taken))) = vscard::Frame::read(rest) {
        rest = &rest[taken..];
    }
    assert!(rest.is_empty());
}

fn client(octets: &[u8]) {
    let (mut card, mut session, mut out) = (Card::default(), usbip::Session::default(), Vec::new());
    let mut reader = Reader::new(Identity::default());
    reader.insert();
    let mut import = vec![0x01, 0x11, 0x80, 0x03, 0, 0, 0, 0];
    import.extend(usbip::BUS_ID.as_bytes());
    import.resize(40, 0);
    session.receive(&import);
    assert_eq!(session.step(&mut reader, &mut card, false, &mut out), Ok(Some(usbip::Event::Imported)));
    out.clear();
    for part in octets.chunks(97) {
        session.receive(part);
        while let Ok(Some(event)) = session.step(&mut reader, &mut card, false, &mut out) {
            if matches!(event, usbip::Event::Exchanged(_)) {
                session.extend_time(&mut reader, &mut out);
                session.release(&mut reader, &mut out);
            }
        }
    }
    reader.remove(&mut card);
    session.deliver(&mut reader, &mut out);
    assert!(!card.has_power);
    // Answers alone leave.
    assert!(out.is_empty() || out.starts_with(&[0, 0, 0, 3]) || out.starts_with(&[0, 0, 0, 4]));
}
