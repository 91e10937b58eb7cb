//! SUSPEND UICC: the state of a session is kept while the card has no power, and taken up again. TS 102 221 §11.1.22.
//!
//! The card suspends itself where its EF.UMPC says that it can; else it does not know the command. What is kept is what a reset
//! would have lost, in the working memory of the process that the card runs in. It is given back once, to the first command after
//! the reset, if that is RESUME with the token. Any other command begins a new session.

use crate::card::{Card, Held};
use crate::domain::{self, Port};
use crate::fs::{FileId, FileNumber};
use crate::id::DomainId;
use crate::nvm::{Key, Nvm, Partition, Transaction};
use crate::toolkit::on_basic_channel;
use apdu::{Command, Ins, Response, StatusWord};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const EF_UMPC: FileId = FileId(0x2F08);
/// Third byte of EF.UMPC: the card can be suspended. TS 102 221 §13.6.
const CAN_BE_SUSPENDED: u8 = 0x02;
/// Bytes of a resume token.
const TOKEN: usize = 8;
/// The longest time that the card agrees to, in seconds and as it writes it: ten days.
const LONGEST: (u64, [u8; 2]) = (864_000, [0x04, 1]);

/// P1: what is wanted.
mod operation {
    pub(super) const SUSPEND: u8 = 0x00;
    pub(super) const RESUME: u8 = 0x01;
}

/// A session that waits for its token.
pub(crate) struct Suspension {
    token: Zeroizing<[u8; TOKEN]>,
    /// Absent until the power goes.
    pub(crate) held: Option<Held>,
}

impl Card {
    /// SUSPEND UICC; RESUME is here only where there is nothing to take up.
    pub(crate) fn suspend(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        on_basic_channel(command)?;
        if !self.can_be_suspended() {
            return Err(StatusWord::INS_NOT_SUPPORTED);
        }
        match (command.p1, command.p2, command.data) {
            (operation::SUSPEND, 0, [min_unit, min_count, max_unit, max_count]) => {
                let agreed = agreed([*min_unit, *min_count], [*max_unit, *max_count])?;
                if self.kernel.toolkit.pending().is_some() {
                    return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
                }
                let mut token = Zeroizing::new([0; TOKEN]);
                self.fill(&mut *token);
                let answer = Response::ok([&agreed[..], &*token].concat());
                self.suspension = Some(Box::new(Suspension { token, held: None }));
                self.kernel.suspended = true;
                Ok(answer)
            }
            (operation::RESUME, 0, data) if data.len() == TOKEN => Err(StatusWord::CONDITIONS_NOT_SATISFIED),
            (operation::SUSPEND | operation::RESUME, 0, _) => Err(StatusWord::WRONG_LENGTH),
            _ => Err(StatusWord::WRONG_P1_P2),
        }
    }

    /// Answers a command where a session is suspended, or waits for its token; `None`: it is carried out as ever.
    pub(crate) fn while_suspended(&mut self, command: &Command<'_>) -> Option<Result<Response, StatusWord>> {
        if self.kernel.suspended {
            // The answer to SUSPEND may still have to be fetched.
            let is_fetched = command.ins == Ins::GET_RESPONSE;
            return (!is_fetched).then_some(Err(StatusWord::CONDITIONS_NOT_SATISFIED));
        }
        let suspension = self.suspension.take()?;
        let is_resume = command.class.is_proprietary()
            && command.class.channel() == 0
            && (command.ins, command.p1_p2()) == (Ins::SUSPEND_UICC, u16::from_be_bytes([operation::RESUME, 0]));
        if !is_resume || !self.can_be_suspended() {
            return None;
        }
        Some(self.resume(*suspension, command.data))
    }

    /// Takes the session up again. A wrong token ends it.
    fn resume(&mut self, suspension: Suspension, token: &[u8]) -> Result<Response, StatusWord> {
        if token.len() != TOKEN {
            return Err(StatusWord::WRONG_LENGTH);
        }
        if !bool::from(token.ct_eq(&*suspension.token)) {
            return Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED);
        }
        let held = suspension.held.ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
        let nvm = Transaction::new(&mut self.nvm);
        let active = domain::active(&nvm, Port::FIRST).unwrap_or(DomainId::PLATFORM);
        if active != held.kernel.tree_domain {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        // The owner may have changed files meanwhile.
        let tree = domain::load_tree(&nvm, active);
        self.take_up(held);
        self.kernel.tree = tree;
        self.kernel.channels.leave_what_is_gone(&self.kernel.tree);
        self.kernel.suspended = false;
        Ok(Response::done())
    }

    /// Whether EF.UMPC announces it.
    fn can_be_suspended(&self) -> bool {
        let Some(umpc) = self.kernel.tree.child(FileNumber::MF, EF_UMPC) else { return false };
        let body = u32::from(self.kernel.tree.body(umpc).0);
        let content = self.nvm.get(Key::new(Partition::Content, self.kernel.tree_domain.0, body));
        content.and_then(|content| content.get(2)).is_some_and(|more| more & CAN_BE_SUSPENDED != 0)
    }
}

/// The time that both sides agree to: as long as the terminal asks for, and no longer than the card can.
fn agreed(min: [u8; 2], max: [u8; 2]) -> Result<[u8; 2], StatusWord> {
    let (shortest, longest) = (seconds(min)?, seconds(max)?);
    let (most, in_short) = LONGEST;
    if longest == 0 || shortest > longest {
        Err(StatusWord::WRONG_DATA)
    } else if shortest > most {
        // `9864`: the shortest time is longer than the card can be suspended. TS 102 221 table 10.16.
        Err(StatusWord::SECURITY_CONTEXT_NOT_SUPPORTED)
    } else if longest > most {
        Ok(in_short)
    } else {
        Ok(max)
    }
}

/// A unit and a number of it.
fn seconds([unit, count]: [u8; 2]) -> Result<u64, StatusWord> {
    const UNITS: [u64; 5] = [1, 60, 3_600, 86_400, 864_000];
    let unit = UNITS.get(usize::from(unit)).ok_or(StatusWord::WRONG_DATA)?;
    Ok(unit * u64::from(count))
}
