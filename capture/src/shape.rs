//! A command and its response that were recorded as one run of octets, taken apart again.

use apdu::Ins;

/// A command and its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchanged<'a> {
    /// Command, in the form of T=0: four octets of header, P3, data.
    pub command: &'a [u8],
    /// Data, SW1, SW2.
    pub response: &'a [u8],
}

/// Octets of a status word.
const SW: usize = 2;
/// Octets of CLA, INS, P1, P2 and P3.
const HEADER: usize = 5;

/// Instructions whose P3 is Le, so that what follows comes from the card. TS 102 221 table 10.5, TS 31.102 §7,
/// GlobalPlatform §11.
pub const OUTGOING: &[Ins] = &[
    Ins::FETCH,
    Ins::MANAGE_CHANNEL,
    Ins::GET_CHALLENGE,
    Ins::READ_BINARY,
    Ins::READ_RECORD,
    Ins::GET_RESPONSE,
    Ins::GET_DATA,
    Ins::STATUS,
];

/// Takes `octets`, a command, the response data and the status word in one, apart. GSMTAP has them so.
///
/// `None` if there are too few for a command and a status word.
pub fn split(octets: &[u8]) -> Option<Exchanged<'_>> {
    let command = match octets {
        // Four octets of header and a status word: case 1 without P3.
        _ if octets.len() == 4 + SW => 4,
        [cla, ins, _, _, p3, rest @ ..] if rest.len() >= SW => HEADER + sent(*cla, *ins, usize::from(*p3), rest),
        _ => return None,
    };
    let (command, response) = octets.split_at_checked(command)?;
    Some(Exchanged { command, response })
}

/// How many octets behind the header were sent to the card.
fn sent(cla: u8, ins: u8, p3: usize, rest: &[u8]) -> usize {
    // A card that refuses the header asks for no data, and one that is asked for none has none.
    if rest.len() == SW || rest.len() < p3 + SW {
        return 0;
    }
    if OUTGOING.contains(&Ins(ins)) && !(Ins(ins) == Ins::STATUS && is_get_status(cla, p3, rest)) {
        return 0;
    }
    // Response data begins with a tag, which is never 00: that is Le.
    let is_le = rest.len() > p3 + SW && rest.get(p3) == Some(&0);
    p3 + usize::from(is_le)
}

/// Whether this is GET STATUS, which has the number of STATUS and its class as well: its data begins with the tag of an
/// AID that is searched for. GlobalPlatform §11.4.2.3.
fn is_get_status(cla: u8, p3: usize, rest: &[u8]) -> bool {
    cla & 0x80 != 0 && p3 >= 2 && rest.first() == Some(&0x4F) && rest.get(1).is_some_and(|n| usize::from(*n) + 2 <= p3)
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    fn sent(octets: &[u8]) -> usize {
        split(octets).unwrap().command.len()
    }

    #[test]
    fn data_goes_one_way_or_the_other() {
        assert_eq!(sent(&hex!("00A40004023F00 6122")), 7);
        assert_eq!(sent(&hex!("00A40004023F0000 62028200 9000")), 8, "Le, then an FCP");
        assert_eq!(sent(&hex!("00A40004023F00 62028200 9000")), 7);
        assert_eq!(sent(&hex!("00C0000004 62028200 9000")), 5);
        assert_eq!(sent(&hex!("00B0000000 0102 9000")), 5);
        assert_eq!(sent(&hex!("00B0000010 6C0A")), 5);
        assert_eq!(sent(&hex!("00A4000402 6E00")), 5, "refused before the data");
        assert_eq!(sent(&hex!("0070800100 9000")), 5);
        assert_eq!(sent(&hex!("00440000 9000")), 4);
        assert_eq!(sent(&hex!("80F2000002 8400 9000")), 5, "STATUS");
        assert_eq!(sent(&hex!("80F2400002 4F00 6110")), 7, "GET STATUS");
        assert_eq!(split(&hex!("00A4000402")), None);
        assert_eq!(split(&[]), None);
    }
}
