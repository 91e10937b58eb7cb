//! A host and an emulated card in one process: no reader, no service, no socket.

use apdu::Icc;

use crate::transport::{Transport, TransportError};

/// A [`Transport`] straight onto an [`Icc`].
#[derive(Debug)]
pub struct InProcess<C> {
    card: C,
    atr: Vec<u8>,
}

impl<C: Icc> InProcess<C> {
    /// Inserts the card and powers it on.
    pub fn connect(mut card: C) -> Self {
        let atr = card.power_on();
        Self { card, atr }
    }

    /// Takes the power away and hands the card back.
    pub fn eject(mut self) -> C {
        self.card.power_off();
        self.card
    }

    /// The card, to be looked at while it has power.
    pub const fn card(&self) -> &C {
        &self.card
    }
}

impl<C: Icc + Send> Transport for InProcess<C> {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.card.power_off();
        self.atr = self.card.power_on();
        Ok(self.atr.clone())
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.atr = self.card.warm_reset();
        Ok(self.atr.clone())
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut response = Vec::with_capacity(258);
        self.card.transmit(command, &mut response);
        match response.len() {
            0 => Err(TransportError::Mute),
            1 => Err(TransportError::ShortResponse(1)),
            _ => Ok(response),
        }
    }

    fn atr(&self) -> &[u8] {
        &self.atr
    }

    fn is_emulated(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeCard;

    #[test]
    fn power_follows_the_calls() {
        let mut host = InProcess::connect(FakeCard::default());
        assert_eq!(host.atr(), FakeCard::ATR);
        assert_eq!(host.transmit(&[0, 0xA4, 0, 4]).unwrap(), [0x90, 0]);
        host.reset().unwrap();
        host.warm_reset().unwrap();
        let card = host.eject();
        assert_eq!(card.log, ["power on", "00A40004", "power off", "power on", "warm reset", "power off"]);
    }

    #[test]
    fn silence_is_an_error() {
        let mut host = InProcess::connect(FakeCard::default());
        assert_eq!(host.transmit(FakeCard::SILENT), Err(TransportError::Mute));
    }
}
