//! A card, seen from the host: reset it, send it a command, read its response.

mod dialogue;
mod in_process;

pub use dialogue::{Dialogue, Reset};
pub use in_process::InProcess;

use crate::{Ins, Response, StatusWord};

/// A connection to one card that has power.
///
/// One call carries one APDU there and one back, exactly as the card and its reader see them: `61XX` and `6CXX` come
/// through untouched; [`exchange`] gets the data behind them.
pub trait Transport: Send {
    /// Resets the card cold: power off, power on. Returns the answer to reset.
    fn reset(&mut self) -> Result<Vec<u8>, TransportError>;

    /// Resets the card warm: RST without a loss of power. Returns the answer to reset.
    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError>;

    /// Carries one command APDU to the card and returns its response APDU: data, SW1, SW2.
    ///
    /// A response has at least two bytes; a shorter one is [`TransportError::ShortResponse`].
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError>;

    /// The answer to the last reset.
    fn atr(&self) -> &[u8];

    /// From now on nobody else's command comes between, until [`Transport::release`]. Where the card is this program's
    /// alone that is so in any case.
    fn hold(&mut self) -> Result<(), TransportError> {
        Ok(())
    }

    /// Others may use the card again.
    fn release(&mut self) {}

    /// Whether the card runs in this process: its memory is a file of this machine then, not a chip.
    fn is_emulated(&self) -> bool {
        false
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        (**self).reset()
    }
    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        (**self).warm_reset()
    }
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).transmit(command)
    }
    fn atr(&self) -> &[u8] {
        (**self).atr()
    }
    fn hold(&mut self) -> Result<(), TransportError> {
        (**self).hold()
    }
    fn release(&mut self) {
        (**self).release();
    }
    fn is_emulated(&self) -> bool {
        (**self).is_emulated()
    }
}

impl<T: Transport + ?Sized> Transport for &mut T {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        (**self).reset()
    }
    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        (**self).warm_reset()
    }
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).transmit(command)
    }
    fn atr(&self) -> &[u8] {
        (**self).atr()
    }
    fn hold(&mut self) -> Result<(), TransportError> {
        (**self).hold()
    }
    fn release(&mut self) {
        (**self).release();
    }
    fn is_emulated(&self) -> bool {
        (**self).is_emulated()
    }
}

/// Why a card stopped answering, or what carries the APDUs to it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// Somebody else reset the card: what was selected, verified or opened is gone.
    CardReset,
    /// The card left the reader.
    CardRemoved,
    /// The card did not answer a command.
    Mute,
    /// A response without room for a status word.
    ShortResponse(usize),
    /// A command longer than the connection carries.
    CommandTooLong(usize),
    /// The card asks for GET RESPONSE or another Le without end.
    EndlessResponse(StatusWord),
    /// What carries the APDUs failed: the cause and the way out, in its own words.
    Connection(String),
}

impl core::fmt::Display for TransportError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::CardReset => f.write_str("the card was reset by another program; start again from the reset"),
            Self::CardRemoved => f.write_str("the card was removed; insert it and start again"),
            Self::Mute => f.write_str("the card did not answer the command; reset it and try again"),
            Self::ShortResponse(length) => {
                write!(f, "the card answered with {length} bytes, which is no status word; reset it and try again")
            }
            Self::CommandTooLong(length) => write!(
                f,
                "a command of {length} bytes is longer than this reader carries; split it (command chaining, STORE DATA \
                 blocks)"
            ),
            Self::EndlessResponse(sw) => {
                write!(f, "the card keeps announcing data (last status word {sw}) and never ends; trace the exchange")
            }
            Self::Connection(cause) => f.write_str(cause),
        }
    }
}

impl core::error::Error for TransportError {}

/// Splits what a card sent, naming the fault if that is no response.
pub fn response(bytes: &[u8]) -> Result<Response, TransportError> {
    Response::parse(bytes).ok_or(TransportError::ShortResponse(bytes.len()))
}

/// Sends a command and follows `6CXX` and `61XX` until all response data is there.
///
/// GET RESPONSE goes out on the command's own class byte, protection and chaining bits cleared, as cards expect from
/// hosts on proprietary classes. The status word is the last one, except that a warning is never lost: under T=0 it comes
/// first, and a host that expects data fetches it. TS 102 221 §7.3.1.1.
///
/// On a card that is shared nobody else's command comes between: it would make the card forget what it announced.
pub fn exchange<T: Transport + ?Sized>(transport: &mut T, command: &[u8]) -> Result<Response, TransportError> {
    transport.hold()?;
    let outcome = exchange_held(transport, command);
    transport.release();
    outcome
}

fn exchange_held<T: Transport + ?Sized>(transport: &mut T, command: &[u8]) -> Result<Response, TransportError> {
    let mut answer = response(&transport.transmit(command)?)?;
    if answer.sw.sw1() == 0x6C
        && let Some(corrected) = with_le(command, answer.sw.sw2())
    {
        answer = response(&transport.transmit(&corrected)?)?;
    }
    let mut data = core::mem::take(&mut answer.data);
    if answer.sw.is_warning() && data.is_empty() && expects_data(command) {
        return Ok(behind_warning(transport, command, answer.sw)?.unwrap_or(answer));
    }
    // 64 KiB is the largest response ISO/IEC 7816-4 can announce; a card beyond that is not ending.
    for _ in 0..=0xFFFF_u32 {
        if answer.sw.sw1() != 0x61 {
            return Ok(Response { data, sw: answer.sw });
        }
        answer = response(&transport.transmit(&get_response(command, answer.sw.sw2()))?)?;
        if answer.sw.sw1() == 0x6C {
            answer = response(&transport.transmit(&get_response(command, answer.sw.sw2()))?)?;
        }
        data.append(&mut answer.data);
    }
    Err(TransportError::EndlessResponse(answer.sw))
}

/// What a card keeps behind the warning `sw`; `None` if there is nothing.
fn behind_warning<T: Transport + ?Sized>(
    transport: &mut T,
    command: &[u8],
    sw: StatusWord,
) -> Result<Option<Response>, TransportError> {
    let fetched = exchange_held(transport, &get_response(command, 0))?;
    Ok((fetched.sw.is_ok() || fetched.sw.is_warning()).then_some(Response { data: fetched.data, sw }))
}

/// Whether a short command has data and an Le: case 4.
pub fn expects_data(command: &[u8]) -> bool {
    command.get(4).is_some_and(|lc| *lc > 0 && command.len() == usize::from(*lc) + 6)
}

/// GET RESPONSE for `le` bytes on the channel of `command`.
pub fn get_response(command: &[u8], le: u8) -> [u8; 5] {
    let class = match command.first().copied().unwrap_or(0) {
        further if further & 0x40 != 0 => further & 0xCF,
        first => first & 0xE3,
    };
    [class, Ins::GET_RESPONSE.0, 0, 0, le]
}

/// The same short command with another Le; `None` if it is no short command.
pub fn with_le(command: &[u8], le: u8) -> Option<Vec<u8>> {
    let header = command.get(..4)?;
    let mut corrected = header.to_vec();
    match command.get(4..)? {
        [] | [_] => {}
        [0, ..] => return None,
        [lc, rest @ ..] => {
            corrected.push(*lc);
            corrected.extend(rest.get(..usize::from(*lc))?);
        }
    }
    corrected.push(le);
    Some(corrected)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands and responses in hexadecimal.
    fn dialogue(steps: &[(&str, &str)]) -> Dialogue {
        let octets = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        Dialogue::new(steps.iter().map(|(command, response)| (octets(command), octets(response))))
    }

    #[test]
    fn plain_answers_pass() {
        let mut card = dialogue(&[("00A40004023F00", "9000")]);
        let answer = exchange(&mut card, &[0, 0xA4, 0, 4, 2, 0x3F, 0]).unwrap();
        assert_eq!(answer, Response::done());
    }

    #[test]
    fn announced_data_is_fetched_on_the_same_channel() {
        let mut card = dialogue(&[("81E2910003BF2D00", "6103"), ("81C0000003", "BF2D6101"), ("81C0000001", "009000")]);
        let answer = exchange(&mut card, &[0x81, 0xE2, 0x91, 0, 3, 0xBF, 0x2D, 0]).unwrap();
        assert_eq!(answer, Response::ok([0xBF, 0x2D, 0]));
        assert!(card.is_finished());
        assert_eq!(get_response(&[0x8C], 0)[0], 0x80);
        assert_eq!(get_response(&[0x13], 0)[0], 0x03);
        assert_eq!(get_response(&[0xC5], 0)[0], 0xC5);
        assert_eq!(get_response(&[0x75], 0)[0], 0x45);
    }

    #[test]
    fn data_behind_a_warning_is_fetched_and_the_warning_kept() {
        let select = [0, 0xA4, 0, 4, 2, 0x6F, 0x7E, 0];
        let mut card = dialogue(&[
            ("00A40004026F7E00", "6283"),
            ("00C0000000", "6C02"),
            ("00C0000002", "62009000"),
            ("00A40004026F7E00", "6283"),
            ("00C0000000", "6985"),
        ]);
        let warning = StatusWord::FILE_DEACTIVATED;
        assert_eq!(exchange(&mut card, &select).unwrap(), Response { data: vec![0x62, 0], sw: warning });
        assert_eq!(exchange(&mut card, &select).unwrap(), warning.into());
        assert!(card.is_finished());
        // A wrong PIN is no reason to look for data.
        let mut card = dialogue(&[("002000010831323334FFFFFFFF", "63C2")]);
        let verify = [0, 0x20, 0, 1, 8, 0x31, 0x32, 0x33, 0x34, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(exchange(&mut card, &verify).unwrap().sw, StatusWord::tries_left(2));
    }

    #[test]
    fn a_wrong_le_is_corrected_once() {
        let mut card = dialogue(&[("00B0000000", "6C0A"), ("00B000000A", "000102030405060708099000")]);
        assert_eq!(exchange(&mut card, &[0, 0xB0, 0, 0, 0]).unwrap().data.len(), 10);
        assert_eq!(with_le(&[0, 0xCB, 0, 0, 1, 0x80, 0], 9), Some(vec![0, 0xCB, 0, 0, 1, 0x80, 9]));
        assert_eq!(with_le(&[0, 0xCB, 0, 0, 0, 1, 0, 7], 9), None);
    }

    #[test]
    fn a_card_that_never_ends_is_named() {
        struct Endless;
        impl Transport for Endless {
            fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
                Ok(vec![])
            }
            fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
                Ok(vec![])
            }
            fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
                Ok(vec![0x61, 0])
            }
            fn atr(&self) -> &[u8] {
                &[]
            }
        }
        let error = exchange(&mut Endless, &[0, 0xA4, 0, 0]).unwrap_err();
        assert_eq!(error, TransportError::EndlessResponse(StatusWord(0x6100)));
    }
}
