//! A small card for the tests.

use apdu::Icc;

/// A card that notes what reaches it and answers `9000`, READ BINARY with as many octets as Le says.
#[derive(Debug, Default)]
pub(crate) struct FakeCard {
    pub(crate) commands: Vec<Vec<u8>>,
    pub(crate) has_power: bool,
    pub(crate) resets: u32,
}

impl FakeCard {
    pub(crate) const ATR: [u8; 4] = [0x3B, 0x02, 0x14, 0x50];
    pub(crate) const SILENT: &[u8] = &[0x00, 0xFE, 0x00, 0x00];
}

impl Icc for FakeCard {
    fn power_on(&mut self) -> Vec<u8> {
        (self.has_power, self.resets) = (true, self.resets + 1);
        Self::ATR.to_vec()
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        self.power_on()
    }

    fn power_off(&mut self) {
        self.has_power = false;
    }

    fn atr(&self) -> Vec<u8> {
        Self::ATR.to_vec()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        assert!(self.has_power, "a command without power");
        self.commands.push(command.to_vec());
        match command {
            Self::SILENT => return,
            [0, 0xB0, _, _, le] => {
                let length = if *le == 0 { 256 } else { usize::from(*le) };
                response.extend(std::iter::repeat_n(0xAA, length));
            }
            _ => {}
        }
        response.extend([0x90, 0x00]);
    }
}
