//! The card, seen from its contacts.

use core::time::Duration;

/// An integrated circuit card: what a reader can do to it, and nothing more.
///
/// The emulated card implements this; whatever drives a card (the virtual reader, an in-process host) needs only this.
/// ISO/IEC 7816-3 §6.
pub trait Icc {
    /// Applies power: a cold reset. Returns the answer to reset.
    fn power_on(&mut self) -> Vec<u8>;

    /// Pulls RST while powered: a warm reset. Returns the answer to reset.
    fn warm_reset(&mut self) -> Vec<u8>;

    /// Takes the power away. What was not committed is gone.
    fn power_off(&mut self);

    /// The answer to reset, without resetting.
    fn atr(&self) -> Vec<u8>;

    /// Carries one command APDU to the card and appends its response APDU (data, SW1, SW2) to `response`.
    ///
    /// Nothing appended is silence: the card has no power, or does not answer.
    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>);

    /// How long the last response is to be held back, asked once after each. A card knows no clock: who drives it waits.
    fn delay(&mut self) -> Duration {
        Duration::ZERO
    }
}

/// A card that is lent.
impl<C: Icc + ?Sized> Icc for &mut C {
    fn power_on(&mut self) -> Vec<u8> {
        (**self).power_on()
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        (**self).warm_reset()
    }

    fn power_off(&mut self) {
        (**self).power_off();
    }

    fn atr(&self) -> Vec<u8> {
        (**self).atr()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        (**self).transmit(command, response);
    }

    fn delay(&mut self) -> Duration {
        (**self).delay()
    }
}

/// A card that is moved about.
impl<C: Icc + ?Sized> Icc for Box<C> {
    fn power_on(&mut self) -> Vec<u8> {
        (**self).power_on()
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        (**self).warm_reset()
    }

    fn power_off(&mut self) {
        (**self).power_off();
    }

    fn atr(&self) -> Vec<u8> {
        (**self).atr()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        (**self).transmit(command, response);
    }

    fn delay(&mut self) -> Duration {
        (**self).delay()
    }
}
