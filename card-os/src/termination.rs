//! What is left of a card after TERMINATE CARD USAGE. TS 102 222 §6.9.
//!
//! On a removable UICC nothing is: every command is `6985`. Within a profile of an eUICC it ends the profile, not the eUICC: who
//! manages profiles is still reached, so that another one can be enabled and this one deleted.

use crate::card::Card;
use crate::fs::by;
use crate::id::DomainId;
use apdu::{Command, Ins};

impl Card {
    /// Whether a command is still carried out.
    pub(crate) fn is_left_after_termination(&self, command: &Command<'_>) -> bool {
        let is_platform = |domain: DomainId| domain == DomainId::PLATFORM;
        let manages = |slot: &crate::card::Slot| slot.record.privileges.may_manage_domains();
        if !self.slots.iter().any(|slot| is_platform(slot.id.domain) && manages(slot)) || command.class.is_gsm() {
            return false;
        }
        match command.ins {
            Ins::GET_RESPONSE
            | Ins::MANAGE_CHANNEL
            | Ins::TERMINAL_CAPABILITY
            | Ins::TERMINAL_PROFILE
            | Ins::FETCH
            | Ins::TERMINAL_RESPONSE => true,
            Ins::SELECT if command.p1 == by::DF_NAME => {
                !command.data.is_empty()
                    && self.selectable(command.data).first().is_some_and(|id| is_platform(id.domain))
            }
            _ => {
                let channel = self.kernel.channel(command.class.channel());
                let selected = channel.ok().and_then(|channel| self.slot(channel.application?));
                selected.is_some_and(|slot| is_platform(slot.id.domain) && slot.claims(command))
            }
        }
    }
}
