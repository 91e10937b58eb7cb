//! Small cards for this crate's own tests.

use std::collections::VecDeque;

use apdu::Icc;

use crate::transport::{Transport, TransportError};

/// A host connection that expects the commands of a list, in order, and answers as the list says.
#[derive(Debug)]
pub(crate) struct Dialogue {
    steps: VecDeque<(Vec<u8>, Vec<u8>)>,
    pub(crate) resets: Vec<&'static str>,
}

impl Dialogue {
    pub(crate) fn new(steps: &[(&str, &str)]) -> Self {
        let bytes = |text: &str| hex::decode(text).unwrap();
        Self { steps: steps.iter().map(|(c, r)| (bytes(c), bytes(r))).collect(), resets: Vec::new() }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Transport for Dialogue {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.resets.push("cold");
        Ok(FakeCard::ATR.to_vec())
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.resets.push("warm");
        Ok(FakeCard::ATR.to_vec())
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let (expected, response) = self.steps.pop_front().expect("a command after the end of the dialogue");
        assert_eq!(hex::encode_upper(command), hex::encode_upper(expected));
        Ok(response)
    }

    fn atr(&self) -> &[u8] {
        FakeCard::ATR
    }
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
