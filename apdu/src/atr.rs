//! What an answer to reset announces about commands: the protocol, extended lengths, command chaining.

/// What a card announces by its answer to reset. ISO/IEC 7816-3 §8.2, ISO/IEC 7816-4 §12.1.1.9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// The protocol offered first, 0 to 14: what is spoken where no other is asked for.
    pub protocol: u8,
    /// Whether commands may be chained: bit 8 of the third software function table.
    pub chaining: bool,
    /// Whether Lc and Le may be extended: bit 7 of the third software function table.
    pub extended: bool,
}

impl Announced {
    /// Block transmission, where a response comes with its command: ISO/IEC 7816-3 §11.
    pub const T1: u8 = 1;

    /// Reads an answer to reset. What is cut off announces nothing.
    pub fn of(atr: &[u8]) -> Self {
        const PROTOCOL: u8 = 0x0F;
        let Some(&t0) = atr.get(1) else { return Self::default() };
        let (mut at, mut indicator, mut protocol) = (2, t0, None);
        loop {
            at += (indicator >> 4 & 0x07).count_ones() as usize;
            if indicator & 0x80 == 0 {
                break;
            }
            let Some(&next) = atr.get(at) else { return Self::default() };
            indicator = next;
            protocol.get_or_insert(indicator & PROTOCOL);
            at += 1;
        }
        // T=15 stands for global interface bytes, which are no protocol.
        let protocol = protocol.filter(|protocol| *protocol != PROTOCOL).unwrap_or_default();
        let historical = atr.get(at..at + usize::from(t0 & 0x0F)).unwrap_or_default();
        let functions = third_software_functions(historical).unwrap_or_default();
        Self { protocol, chaining: functions & 0x80 != 0, extended: functions & 0x40 != 0 }
    }
}

/// The third software function table, of the card capabilities among the historical bytes.
fn third_software_functions(historical: &[u8]) -> Option<u8> {
    const CAPABILITIES: u8 = 0x70;
    // With category 00 the last three are the status of the card.
    let ([0x80, objects @ ..] | [0x00, objects @ .., _, _, _]) = historical else { return None };
    let mut objects = objects;
    while let [head, rest @ ..] = objects {
        let (value, behind) = rest.split_at_checked(usize::from(head & 0x0F))?;
        if head & 0xF0 == CAPABILITIES {
            return value.get(2).copied();
        }
        objects = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn what_answers_to_reset_announce() {
        let announced = |protocol, chaining, extended| Announced { protocol, chaining, extended };
        for (atr, says) in [
            (&hex!("3B9E96803FC7828031E073FE211F565655494343313D")[..], announced(0, false, false)),
            (&hex!("3B9E9681B1FE453FC7828031E073FE21DF56565549434331F6"), announced(1, true, true)),
            // T=0 and T=1, extended lengths only; the capabilities come second.
            (&hex!("3B8780018031E073FE215FFB"), announced(0, false, true)),
            // Category 00: three bytes of status behind the objects.
            (&hex!("3B88010073FE21C0 009000 75"), announced(1, true, true)),
            // T=15 alone, no historical bytes; proprietary ones; two bytes of capabilities; TS alone.
            (&hex!("3B801F009F"), announced(0, false, false)),
            (&hex!("3B021450"), announced(0, false, false)),
            (&hex!("3B048072FE21"), announced(0, false, false)),
            (&hex!("3B"), announced(0, false, false)),
        ] {
            assert_eq!(Announced::of(atr), says, "{atr:02X?}");
        }
    }

    #[test]
    fn what_is_cut_off_announces_nothing() {
        let whole = hex!("3B9E9681B1FE453FC7828031E073FE21DF56565549434331");
        for length in 0..whole.len() {
            assert!(!Announced::of(&whole[..length]).extended, "{length}");
        }
    }
}
