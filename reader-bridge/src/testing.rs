//! Small cards for this crate's own tests.

use apdu::Icc;
use apdu::transport::Dialogue;

/// Octets that are written in hexadecimal.
pub(crate) fn octets(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

/// A card that expects these commands and gives these responses, both in hexadecimal.
pub(crate) fn dialogue(steps: &[(&str, &str)]) -> Dialogue {
    Dialogue::new(steps.iter().map(|(command, response)| (octets(command), octets(response))))
}

/// A card that notes what happens to it and answers `9000`, READ BINARY with as many bytes as Le says.
#[derive(Debug, Default)]
pub(crate) struct FakeCard {
    pub(crate) log: Vec<String>,
}

impl FakeCard {
    pub(crate) const ATR: &[u8] = &[0x3B, 0x02, 0x14, 0x50];
    pub(crate) const SILENT: &[u8] = &[0x00, 0xFE, 0x00, 0x00];
}

impl Icc for FakeCard {
    fn power_on(&mut self) -> Vec<u8> {
        self.log.push("power on".into());
        Self::ATR.to_vec()
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        self.log.push("warm reset".into());
        Self::ATR.to_vec()
    }

    fn power_off(&mut self) {
        self.log.push("power off".into());
    }

    fn atr(&self) -> Vec<u8> {
        Self::ATR.to_vec()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        self.log.push(hex::encode_upper(command));
        match command {
            Self::SILENT => return,
            [0, 0xB0, _, _, le] => {
                let length = if *le == 0 { 256 } else { u16::from(*le) };
                response.extend((0..length).map(|n| n.to_be_bytes()[1]));
            }
            _ => {}
        }
        response.extend([0x90, 0x00]);
    }
}
