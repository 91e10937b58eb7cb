//! T=0 at TPDU level: what a reader carries between host and card without an opinion of its own. ISO/IEC 7816-3 §10 and §12.2.
//!
//! A command TPDU is a header of five octets, the last of which, P3, counts the data that follow it or that are wanted. `61XX`
//! and `6CXX` go to the host, which sends GET RESPONSE or the command again. Procedure bytes stay between card and reader.

use apdu::{Icc, StatusWord};

/// Octets of the header.
const HEADER: usize = 5;
/// The longest command: a header and 255 octets; behind them some hosts write Le.
pub const LONGEST_COMMAND: usize = HEADER + 255 + 1;
/// The longest response: 256 octets and the status word.
pub const LONGEST_RESPONSE: usize = 256 + 2;

/// The card did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mute;

/// Carries a command TPDU to the card and appends its response to `response`.
///
/// The Le behind the data of a case 4 command does not travel in T=0: it is left off, and the card announces what it has by `61XX`. A
/// header whose P3 counts other data than there are never becomes a TPDU, and is answered `6700` without the card.
///
/// # Errors
/// If the card did not answer.
pub fn exchange<C: Icc + ?Sized>(card: &mut C, command: &[u8], response: &mut Vec<u8>) -> Result<(), Mute> {
    let begun = response.len();
    match travels(command) {
        Some(command) => card.transmit(command, response),
        None => response.extend(StatusWord::WRONG_LENGTH.0.to_be_bytes()),
    }
    match response.len() - begun {
        0 | 1 => {
            response.truncate(begun);
            Err(Mute)
        }
        2..=LONGEST_RESPONSE => Ok(()),
        _ => {
            // No card on T=0 has so much to say at a time.
            response.truncate(begun);
            response.extend(StatusWord::TECHNICAL_PROBLEM.0.to_be_bytes());
            Ok(())
        }
    }
}

/// What of a command reaches the card, if it is one.
fn travels(command: &[u8]) -> Option<&[u8]> {
    let data = match (command.len(), command.get(HEADER - 1)) {
        // Case 1, without its P3, and case 2.
        (4 | HEADER, _) => return Some(command),
        (HEADER.., Some(p3)) => usize::from(*p3),
        _ => return None,
    };
    let whole = HEADER + data;
    (data > 0 && (command.len() == whole || command.len() == whole + 1)).then(|| command.get(..whole))?
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;
    use crate::testing::FakeCard;

    #[test]
    fn what_reaches_the_card() {
        for (command, reaches) in [
            (&hex!("00A40004")[..], Some(&hex!("00A40004")[..])),
            (&hex!("00B0000000"), Some(&hex!("00B0000000"))),
            (&hex!("00A40004023F00"), Some(&hex!("00A40004023F00"))),
            // Case 4: Le stays with the reader.
            (&hex!("00A40004023F0000"), Some(&hex!("00A40004023F00"))),
            (&hex!("00A40004033F00"), None),
            (&hex!("00A40004013F000000"), None),
            // An extended length is none of T=0.
            (&hex!("00A4000400023F00"), None),
            (&hex!("00A400"), None),
            (&[], None),
        ] {
            let (mut card, mut response) = (FakeCard::default(), Vec::new());
            card.power_on();
            exchange(&mut card, command, &mut response).unwrap();
            let expected: Vec<Vec<u8>> = reaches.iter().map(|command| command.to_vec()).collect();
            assert_eq!(card.commands, expected, "{command:02X?}");
            assert_eq!(response.ends_with(&hex!("6700")), reaches.is_none());
        }
    }

    #[test]
    fn silence_is_told() {
        let (mut card, mut response) = (FakeCard::default(), vec![7]);
        card.power_on();
        assert_eq!(exchange(&mut card, FakeCard::SILENT, &mut response), Err(Mute));
        assert_eq!(response, [7]);
    }
}
