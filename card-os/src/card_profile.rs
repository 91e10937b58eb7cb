//! What a card is made with.

use crate::channel::CHANNELS;
use crate::dialect::Dialect;
use apdu::Aid;

/// What a card is before anything is installed on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardProfile {
    /// Answer to reset.
    pub atr: Vec<u8>,
    /// Bytes of non-volatile memory.
    pub non_volatile_memory: usize,
    /// Bytes of working memory the card reports as free.
    pub volatile_memory: usize,
    /// Logical channels, the basic one included, 1 to 20. With 1 there are no others: `6881`.
    pub channels: u8,
    /// Further names of applications: what a terminal may select, and the AID that the application is registered under.
    pub further_names: Vec<(Aid, Aid)>,
    /// Whether it also is a SIM of TS 51.011, class `A0`; else it refuses that class, `6E00`.
    pub gsm: bool,
    /// What it says and does otherwise than this operating system.
    pub dialect: Dialect,
}

impl Default for CardProfile {
    /// T=0 with T=15 global bytes, classes A to C, clock stop, eUICC functions supported (TB after T=15, bits 8 and
    /// 2), 20 logical channels; 512 KiB. TS 102 221 §6.3, SGP.22 §5.7.
    fn default() -> Self {
        const ATR: [u8; 22] = [
            0x3B, 0x9E, 0x96, 0x80, 0x3F, 0xC7, 0x82, 0x80, 0x31, 0xE0, 0x73, 0xFE, 0x21, 0x1F, 0x56, 0x56, 0x55, 0x49,
            0x43, 0x43, 0x31, 0x00,
        ];
        let mut atr = ATR.to_vec();
        if let Some((check, rest)) = atr.split_last_mut() {
            // TCK: everything from T0 on XORs to zero.
            *check = rest.iter().skip(1).fold(0, |sum, byte| sum ^ byte);
        }
        Self {
            atr,
            non_volatile_memory: 512 * 1024,
            volatile_memory: 9_241,
            channels: CHANNELS,
            further_names: Vec::new(),
            gsm: false,
            dialect: Dialect::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ISO/IEC 7816-3 §8.2: interface bytes as the Y nibbles say, K historical bytes, and TCK as T=15 is indicated.
    #[test]
    fn the_answer_to_reset_is_as_long_as_it_says() {
        let atr = CardProfile::default().atr;
        let mut interface = 0;
        let mut indicator = usize::from(atr[1]);
        let historical = indicator & 0x0F;
        let mut at = 1;
        loop {
            let present = (indicator >> 4).count_ones() as usize;
            interface += present;
            at += present;
            if indicator & 0x80 == 0 {
                break;
            }
            indicator = usize::from(atr[at]);
        }
        assert_eq!(atr.len(), 2 + interface + historical + 1);
        assert_eq!(atr[1..].iter().fold(0, |sum, byte| sum ^ byte), 0);
    }
}
