//! A card that is elsewhere, as if it were here: what a reader does to it is done to the card behind a [`Transport`].
//!
//! In a virtual reader or behind a socket, with a [`Tracer`](crate::trace::Tracer) around it, this records what any program and
//! any card say to each other.

use std::fmt;

use apdu::{Icc, StatusWord, Transport, TransportError};

/// A card behind a [`Transport`], from its contacts.
///
/// Resets, cold and warm, and commands are passed on, and answers come back as the card gives them, `61XX` and `6CXX` too. Where
/// the card stays mute, so does this one.
///
/// A transport has no way to take the power away: what a card forgets by that it forgets at the next cold reset, before anything else
/// is asked.
pub struct Proxy<T, L> {
    card: T,
    atr: Vec<u8>,
    is_lost: bool,
    lost: L,
}

impl<T: Transport, L: FnMut(&TransportError)> Proxy<T, L> {
    /// Stands for `card`. `lost` hears, once, that it does not answer any more because it was taken away or its reader was; from
    /// then on this card is mute, and belongs out of its reader.
    pub fn new(card: T, lost: L) -> Self {
        let atr = card.atr().to_vec();
        Self { card, atr, is_lost: false, lost }
    }

    fn lose(&mut self, why: &TransportError) {
        if !std::mem::replace(&mut self.is_lost, true) {
            (self.lost)(why);
        }
    }

    fn reset(&mut self, reset: impl FnOnce(&mut T) -> Result<Vec<u8>, TransportError>) -> Vec<u8> {
        if self.is_lost {
            return Vec::new();
        }
        match reset(&mut self.card) {
            Ok(atr) => self.atr = atr,
            // It may answer the next one.
            Err(TransportError::Mute | TransportError::ShortResponse(_)) => self.atr.clear(),
            Err(why) => {
                self.atr.clear();
                self.lose(&why);
            }
        }
        self.atr.clone()
    }
}

impl<T: Transport, L: FnMut(&TransportError)> Icc for Proxy<T, L> {
    fn power_on(&mut self) -> Vec<u8> {
        self.reset(Transport::reset)
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        self.reset(Transport::warm_reset)
    }

    fn power_off(&mut self) {}

    fn atr(&self) -> Vec<u8> {
        self.atr.clone()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        if self.is_lost {
            return;
        }
        match self.card.transmit(command) {
            Ok(answer) => response.extend(answer),
            // Its silence is an answer as well.
            Err(TransportError::Mute | TransportError::ShortResponse(_)) => {}
            Err(TransportError::CommandTooLong(_)) => response.extend(StatusWord::WRONG_LENGTH.0.to_be_bytes()),
            Err(why) => self.lose(&why),
        }
    }
}

impl<T: fmt::Debug, L> fmt::Debug for Proxy<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("card", &self.card).field("is_lost", &self.is_lost).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use apdu::InProcess;
    use apdu::transport::Reset;

    use super::*;
    use crate::testing::dialogue;

    #[test]
    fn what_is_done_to_it_is_done_to_the_card() {
        let mut card = dialogue(&[("00A40004023F00", "6122"), ("00C0000022", "6C02"), ("00C0000002", "62009000")]);
        let mut proxy = Proxy::new(&mut card, |_: &TransportError| panic!("it is there"));
        assert_eq!(proxy.power_on(), apdu::transport::Dialogue::ATR);
        for (command, expected) in [
            (&[0, 0xA4, 0, 4, 2, 0x3F, 0][..], &[0x61, 0x22][..]),
            (&[0, 0xC0, 0, 0, 0x22], &[0x6C, 2]),
            (&[0, 0xC0, 0, 0, 2], &[0x62, 0, 0x90, 0]),
        ] {
            let mut response = Vec::new();
            proxy.transmit(command, &mut response);
            assert_eq!(response, expected);
        }
        proxy.warm_reset();
        drop(proxy);
        assert_eq!(card.resets(), [Reset::Cold, Reset::Warm]);
    }

    /// A card to which these things happen, the last one first.
    #[derive(Debug)]
    struct Leaving {
        commands: Vec<TransportError>,
        resets: Vec<TransportError>,
    }

    impl Transport for Leaving {
        fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
            self.resets.pop().map_or(Ok(vec![0x3B, 0]), Err)
        }
        fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
            self.resets.pop().map_or(Ok(vec![0x3B, 0]), Err)
        }
        fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
            self.commands.pop().map_or(Ok(vec![0x90, 0]), Err)
        }
        fn atr(&self) -> &[u8] {
            &[0x3B, 0]
        }
    }

    #[test]
    fn a_card_that_is_mute_stays_and_one_that_is_gone_is_told_once() {
        let mut lost = Vec::new();
        let commands = vec![TransportError::CardRemoved, TransportError::CommandTooLong(9), TransportError::Mute];
        let card = Leaving { commands, resets: Vec::new() };
        let mut host = InProcess::connect(Proxy::new(card, |why: &TransportError| lost.push(why.clone())));
        assert_eq!(host.transmit(&[0; 5]), Err(TransportError::Mute));
        assert_eq!(host.transmit(&[0; 5]), Ok(vec![0x67, 0]));
        assert_eq!(host.transmit(&[0; 5]), Err(TransportError::Mute));
        assert_eq!(host.transmit(&[0; 5]), Err(TransportError::Mute), "it does not come back");
        assert_eq!(host.reset(), Ok(Vec::new()));
        drop(host);
        assert_eq!(lost, [TransportError::CardRemoved]);
    }

    #[test]
    fn a_card_that_misses_a_reset_stays() {
        let resets = vec![TransportError::ShortResponse(1), TransportError::Mute];
        let card = Leaving { commands: Vec::new(), resets };
        let mut proxy = Proxy::new(card, |_: &TransportError| panic!("it is there"));
        assert_eq!((proxy.power_on(), proxy.warm_reset()), (Vec::new(), Vec::new()));
        assert_eq!(proxy.power_on(), [0x3B, 0]);
    }
}
