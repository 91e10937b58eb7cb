//! A card whose responses come as late as it wants.

use apdu::Icc;
use std::time::Duration;

/// Waits for what a card [holds back](Icc::delay), for drivers that know no clock, as [`InProcess`](apdu::InProcess).
///
/// The virtual reader waits itself.
#[derive(Debug)]
pub struct HeldBack<C>(pub C);

impl<C: Icc> Icc for HeldBack<C> {
    fn power_on(&mut self) -> Vec<u8> {
        self.0.power_on()
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        self.0.warm_reset()
    }

    fn power_off(&mut self) {
        self.0.power_off();
    }

    fn atr(&self) -> Vec<u8> {
        self.0.atr()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        self.0.transmit(command, response);
        let delay = self.0.delay();
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
    }

    fn delay(&mut self) -> Duration {
        Duration::ZERO
    }
}
