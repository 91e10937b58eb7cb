//! A command on a card with faults.

use super::{Effect, Fault, OrderError, Ordered, Place, When};
use crate::card::Card;
use crate::nvm::NvmError;
use apdu::{Ins, StatusWord};
use core::time::Duration;
use zeroize::Zeroizing;

impl Card {
    /// The faults ordered for this card, by their numbers.
    pub fn faults(&self) -> &[Ordered] {
        &self.nvm.faults.ordered
    }

    /// Orders faults for this card, all of them or none; they are in force at once. Returns their numbers.
    ///
    /// # Errors
    /// One of them can never strike, or memory does not take them.
    pub fn order_faults(&mut self, faults: &[Fault]) -> Result<Vec<u16>, OrderError> {
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
        self.nvm.faults.begin();
        let begin = out.len();
        let ins = command.get(1).copied().map(Ins);
        let is_here = |place| match place {
            Place::Command(asked) => asked.is_none() || asked == ins,
            _ => false,
        };
        // PINs and keys are in there.
        let (mut command, mut refused) = (Zeroizing::new(command.to_vec()), None);
        for effect in self.nvm.meet(When::Before, is_here, |_| true) {
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
        self.nvm.memory_was_asked();
        let ending = self.nvm.faults.ending.take();
        let ending = if self.nvm.faults.lost { Some(Effect::CutPower) } else { ending };
        let effects = match ending {
            // There is nothing that more could be seen of; what has struck is written down.
            Some(ending) => {
                self.nvm.settle();
                vec![ending]
            }
            // Behind a command that was not carried out there is only its response.
            None => self.nvm.meet(When::After, is_here, |effect| refused.is_none() || !effect.decides()),
        };
        self.end(effects, out, begin);
    }

    /// What becomes of the response, which begins there.
    fn end(&mut self, effects: Vec<Effect>, out: &mut Vec<u8>, begin: usize) {
        let mut bits = Vec::new();
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
                Effect::FlipResponseBit(bit) => bits.push(bit),
                Effect::Status(StatusWord(sw)) => {
                    out.truncate(begin);
                    out.extend(sw.to_be_bytes());
                }
                Effect::Delay(longer) => self.nvm.faults.delay += longer,
                _ => {}
            }
        }
        // On its way, so that it is whatever the answer has become.
        for bit in bits {
            flip(out.get_mut(begin..).unwrap_or_default(), bit);
        }
    }

    /// The power fails. The card is not there again before the reader resets it or powers it on.
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
