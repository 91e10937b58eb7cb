//! PINs of the card: which are enabled, verified, blocked. TS 102 221 §9.5, §11.1.9 to §11.1.13.

use apdu::tlv::{Reader, Tag};
use apdu::{Class, CommandBuf, Ins, StatusWord};
use zeroize::Zeroizing;

use super::files::{File, MF, in_fcp};
use super::{Card, failure};
use crate::result_code::Cme;

/// A key reference. TS 102 221 §9.5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u8);

/// The PIN that programs verify.
pub(crate) const PIN1: Key = Key(0x01);
/// The second PIN of the USIM.
pub(crate) const PIN2: Key = Key(0x81);

/// What a PIN lets do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PinState {
    /// Nothing is asked for: it is disabled, or verified.
    Ready,
    /// It is asked for.
    Needed,
    /// It is blocked; its PUK is asked for.
    Blocked,
    /// Its PUK is blocked too.
    Lost,
}

impl Card {
    /// Notes which PINs are verified, by programs or by the modem, and what the card asks for.
    pub(super) fn observe(&mut self, command: &[u8], sw: StatusWord) {
        self.toolkit.observe(command, sw.0.to_be_bytes());
        let &[_, ins, _, key, ref rest @ ..] = command else { return };
        let is_with_data = rest.len() > 1;
        match Ins(ins) {
            Ins::VERIFY_PIN | Ins::ENABLE_PIN | Ins::DISABLE_PIN | Ins::UNBLOCK_PIN | Ins::CHANGE_PIN
                if is_with_data =>
            {
                if sw.is_ok() {
                    self.verified.insert(Key(key));
                } else if sw.sw1() == 0x63 || sw == StatusWord::AUTHENTICATION_METHOD_BLOCKED {
                    self.verified.remove(&Key(key));
                }
            }
            _ => {}
        }
    }

    /// Whether PIN1 is enabled, by the PIN status in the file control parameters of the MF, or of the USIM.
    pub(crate) fn is_pin_enabled(&mut self) -> Result<bool, Cme> {
        let mf = self.select(&File::of_mf(MF))?;
        if let Some(enabled) = enabled(&mf.data, PIN1) {
            return Ok(enabled);
        }
        let usim = self.select_usim()?;
        Ok(enabled(&usim.data, PIN1).unwrap_or(false))
    }

    /// Whether PIN1 was verified since the last reset.
    pub(crate) fn is_pin_verified(&self) -> bool {
        self.verified.contains(&PIN1)
    }

    /// What PIN1 lets do.
    pub(crate) fn pin_state(&mut self) -> Result<PinState, Cme> {
        if !self.is_pin_enabled()? || self.is_pin_verified() {
            return Ok(PinState::Ready);
        }
        Ok(match (self.tries(PIN1)?, self.unblock_tries(PIN1)?) {
            (Some(0), Some(0)) => PinState::Lost,
            (Some(0), _) => PinState::Blocked,
            _ => PinState::Needed,
        })
    }

    /// How many tries a PIN has left; `None` if the card does not tell.
    pub(crate) fn tries(&mut self, key: Key) -> Result<Option<u8>, Cme> {
        self.counter(Ins::VERIFY_PIN, key)
    }

    /// How many tries the PUK has left.
    pub(crate) fn unblock_tries(&mut self, key: Key) -> Result<Option<u8>, Cme> {
        self.counter(Ins::UNBLOCK_PIN, key)
    }

    fn counter(&mut self, ins: Ins, key: Key) -> Result<Option<u8>, Cme> {
        let sw = self.send(&CommandBuf::new(Class::BASIC, ins, 0, key.0))?.sw;
        Ok(match sw {
            StatusWord::AUTHENTICATION_METHOD_BLOCKED => Some(0),
            sw if sw.sw1() == 0x63 && sw.sw2() & 0xF0 == 0xC0 => Some(sw.sw2() & 0x0F),
            _ => None,
        })
    }

    /// Sends a command with PINs.
    pub(crate) fn present(&mut self, ins: Ins, key: Key, pins: &[&str]) -> Result<(), Cme> {
        let mut data = Zeroizing::new(Vec::new());
        for pin in pins {
            data.extend(block(pin)?.iter());
        }
        if key == PIN2 {
            // It is the USIM's own.
            self.select_usim()?;
        }
        let command = CommandBuf::new(Class::BASIC, ins, 0, key.0).data(data.as_slice());
        match self.send(&command)?.sw {
            sw if sw.is_ok() => Ok(()),
            StatusWord::AUTHENTICATION_METHOD_BLOCKED => Err(blocked(key)),
            // The last try: it is blocked now.
            sw if sw.0 == 0x63C0 && ins != Ins::UNBLOCK_PIN => Err(blocked(key)),
            sw if sw.sw1() == 0x63 => Err(Cme::INCORRECT_PASSWORD),
            StatusWord::REFERENCED_DATA_INVALIDATED => Err(Cme::OPERATION_NOT_ALLOWED),
            sw => Err(failure(sw)),
        }
    }
}

const fn blocked(key: Key) -> Cme {
    if key.0 == PIN2.0 { Cme::SIM_PUK2_REQUIRED } else { Cme::SIM_PUK_REQUIRED }
}

/// In the format of VERIFY: eight octets, padded with FF.
fn block(pin: &str) -> Result<Zeroizing<[u8; 8]>, Cme> {
    if !(4..=8).contains(&pin.len()) || !pin.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Cme::INCORRECT_PASSWORD);
    }
    let mut block = Zeroizing::new([0xFF; 8]);
    block.iter_mut().zip(pin.bytes()).for_each(|(to, digit)| *to = digit);
    Ok(block)
}

/// Whether a PIN is enabled, by the PIN status in file control parameters: one bit for each key reference that follows.
/// TS 102 221 §11.1.1.4.10.
fn enabled(parameters: &[u8], wanted: Key) -> Option<bool> {
    let mut inside = Reader::new(in_fcp(parameters, Tag(0xC6))?);
    let mut bits: &[u8] = &[];
    let mut position = 0;
    while let Ok(Some(object)) = inside.next() {
        match (object.tag, object.value) {
            (Tag(0x90), value) => bits = value,
            (Tag(0x83), &[key]) => {
                if Key(key) == wanted {
                    return Some(bits.get(position / 8).is_some_and(|octet| octet >> (7 - position % 8) & 1 == 1));
                }
                position += 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_status_is_read_in_the_order_of_its_keys() {
        let fcp = hex::decode("620BC609900140830101830 10A".replace(' ', "")).unwrap();
        assert_eq!(enabled(&fcp, PIN1), Some(false));
        assert_eq!(enabled(&fcp, Key(0x0A)), Some(true));
        assert_eq!(enabled(&fcp, PIN2), None);
        assert_eq!(enabled(&[], PIN1), None);
    }

    #[test]
    fn pins_are_padded() {
        assert_eq!(*block("1234").unwrap(), [0x31, 0x32, 0x33, 0x34, 0xFF, 0xFF, 0xFF, 0xFF]);
        for wrong in ["", "123", "123456789", "12a4", "１２３４"] {
            assert_eq!(block(wrong).unwrap_err(), Cme::INCORRECT_PASSWORD, "{wrong}");
        }
    }
}
