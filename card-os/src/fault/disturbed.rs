//! A command on a card with faults.

use super::{Effect, Fault, Ordered, Place, When};
use crate::card::Card;
use crate::nvm::NvmError;
use apdu::{Ins, StatusWord};
use core::time::Duration;

impl Card {
    /// The faults ordered for this card, by their numbers.
    pub fn faults(&self) -> &[Ordered] {
        &self.nvm.faults.ordered
    }

    /// Orders faults for this card, all of them or none; they are in force at once. Returns their numbers.
    ///
    /// # Errors
    /// Memory does not take them.
    pub fn order_faults(&mut self, faults: &[Fault]) -> Result<Vec<u16>, NvmError> {
        let numbers = super::order(self.nvm.inner_mut(), faults)?;
        self.reread_faults();
        Ok(numbers)
    }

    /// Clears the faults of these numbers, or all. What is silent because of one stays so until the next reset. Returns those
    /// that were there.
    ///
    /// # Errors
    /// Memory does not take it.
    pub fn clear_faults(&mut self, numbers: Option<&[u16]>) -> Result<Vec<u16>, NvmError> {
        let gone = super::clear(self.nvm.inner_mut(), numbers)?;
        self.reread_faults();
        Ok(gone)
    }

    fn reread_faults(&mut self) {
        let silent = self.nvm.faults.silent;
        self.nvm.restart();
        self.nvm.faults.silent = silent;
    }

    /// Whether no fault can strike a command, and none is under way.
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.nvm.faults.is_idle()
    }

    /// How much later than it is there the last response comes. Asked once for each.
    pub(crate) fn take_delay(&mut self) -> Duration {
        core::mem::take(&mut self.nvm.faults.delay)
    }

    /// [`carry_out`](Self::carry_out), with what is ordered. No response at all is silence.
    pub(crate) fn carry_out_disturbed(&mut self, command: &[u8], out: &mut Vec<u8>) {
        if self.nvm.faults.silent {
            return;
        }
        let begin = out.len();
        let ins = command.get(1).copied().map(Ins);
        let is_here = |place| match place {
            Place::Command(asked) => asked.is_none() || asked == ins,
            _ => false,
        };
        let (mut command, mut refused) = (command.to_vec(), None);
        for effect in self.nvm.meet(When::Before, is_here) {
            match effect {
                Effect::CutPower => return self.lose_power(),
                Effect::Mute => return self.nvm.faults.silent = true,
                Effect::FlipCommandBit(bit) => flip(&mut command, bit),
                Effect::Status(sw) => refused = Some(sw),
                _ => {}
            }
        }
        match refused {
            Some(StatusWord(sw)) => out.extend(sw.to_be_bytes()),
            None => self.carry_out(&command, out),
        }
        let ending = self.nvm.faults.ending.take();
        let mut effects: Vec<Effect> = ending.into_iter().collect();
        effects.extend(self.nvm.meet(When::After, is_here));
        if self.nvm.faults.lost {
            effects.push(Effect::CutPower);
        }
        for effect in effects {
            match effect {
                Effect::CutPower => {
                    out.truncate(begin);
                    return self.lose_power();
                }
                Effect::Mute => {
                    out.truncate(begin);
                    return self.nvm.faults.silent = true;
                }
                Effect::DropResponse => return out.truncate(begin),
                Effect::FlipResponseBit(bit) => flip(out.get_mut(begin..).unwrap_or_default(), bit),
                Effect::Status(StatusWord(sw)) => {
                    out.truncate(begin);
                    out.extend(sw.to_be_bytes());
                }
                Effect::Delay(longer) => self.nvm.faults.delay += longer,
                _ => {}
            }
        }
    }

    /// The power fails. It is not there again before the reader applies it.
    fn lose_power(&mut self) {
        self.power_off();
        self.nvm.faults.silent = true;
    }
}

fn flip(octets: &mut [u8], bit: u32) {
    let bits = 8 * octets.len();
    let Some(bit) = usize::try_from(bit).ok().and_then(|bit| bit.checked_rem(bits)) else { return };
    if let Some(octet) = octets.get_mut(bit / 8) {
        *octet ^= 0x80 >> (bit % 8);
    }
}
