//! The proactive session: what waits, what was fetched, whom the answer goes to. TS 102 221 §7.4.2, TS 102 223 §6.

use super::{ProactiveCommand, TerminalProfile, TerminalResponse};
use crate::id::ApplicationId;
use apdu::StatusWord;
use std::collections::VecDeque;

/// Why a proactive command is not taken into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQueued {
    /// The terminal sent no TERMINAL PROFILE, or none since the active domain changed.
    NoToolkit,
    /// TERMINAL PROFILE does not announce the command.
    NotAnnounced,
    /// As many wait as the card keeps.
    QueueFull,
}

impl From<NotQueued> for StatusWord {
    fn from(reason: NotQueued) -> Self {
        match reason {
            NotQueued::NoToolkit | NotQueued::NotAnnounced => Self::CONDITIONS_NOT_SATISFIED,
            NotQueued::QueueFull => Self::BUSY,
        }
    }
}

/// The proactive session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toolkit {
    /// What TERMINAL PROFILE announced; `None`: the terminal knows no toolkit, or has to say so anew.
    profile: Option<TerminalProfile>,
    waiting: VecDeque<(ApplicationId, ProactiveCommand)>,
    /// Fetched, its TERMINAL RESPONSE not yet seen.
    fetched: Option<(u8, ApplicationId, ProactiveCommand)>,
    number: u8,
    /// Set while the answer to a REFRESH that was carried out is with its application.
    refreshed: bool,
}

impl Toolkit {
    /// Commands that wait at most, of all applications together.
    pub(crate) const ROOM: usize = 16;

    /// TERMINAL PROFILE: the terminal starts over. A command it fetched and did not answer is offered again; those
    /// that the terminal no longer announces are returned, so that their applications can be told.
    pub(crate) fn terminal_profile(&mut self, profile: &[u8]) -> Vec<(ApplicationId, ProactiveCommand)> {
        let profile = TerminalProfile::new(profile);
        if let Some((_, owner, command)) = self.fetched.take() {
            self.waiting.push_front((owner, command));
        }
        let (known, unknown) =
            core::mem::take(&mut self.waiting).into_iter().partition(|(_, command)| profile.supports(command));
        self.waiting = known;
        self.profile = Some(profile);
        unknown.into()
    }

    /// What the terminal announced, if it fetches proactive commands.
    pub(crate) const fn profile(&self) -> Option<&TerminalProfile> {
        self.profile.as_ref()
    }

    /// Whether a proactive session is under way: from `91XX` to TERMINAL RESPONSE.
    pub(crate) fn is_busy(&self) -> bool {
        self.fetched.is_some() || !self.waiting.is_empty()
    }

    /// Queues a command.
    pub(crate) fn push(&mut self, owner: ApplicationId, command: ProactiveCommand) -> Result<(), NotQueued> {
        let profile = self.profile.as_ref().ok_or(NotQueued::NoToolkit)?;
        if !profile.supports(&command) {
            return Err(NotQueued::NotAnnounced);
        }
        self.push_unannounced(owner, command)
    }

    /// Queues a command, whatever the terminal announced.
    pub(crate) fn push_unannounced(
        &mut self,
        owner: ApplicationId,
        command: ProactiveCommand,
    ) -> Result<(), NotQueued> {
        if self.waiting.len() >= Self::ROOM {
            return Err(NotQueued::QueueFull);
        }
        self.waiting.push_back((owner, command));
        Ok(())
    }

    /// Ends the session: nothing waits any more.
    pub(crate) fn end_session(&mut self) {
        self.waiting.clear();
        self.fetched = None;
    }

    /// The active domain has changed: nothing begins before the next TERMINAL PROFILE, for the terminal knows nothing of
    /// it yet. A REFRESH that goes with the change waits already, or has just been carried out. SGP.22 §5.7.16.
    pub(crate) fn domain_changed(&mut self) {
        if !self.refreshed {
            self.profile = None;
        }
    }

    /// The answer is with its application.
    pub(crate) fn answered(&mut self) {
        self.refreshed = false;
    }

    /// An application is gone, and with it what it wanted.
    pub(crate) fn forget(&mut self, owner: ApplicationId) {
        self.waiting.retain(|(other, _)| *other != owner);
        if self.fetched.as_ref().is_some_and(|(_, other, _)| *other == owner) {
            self.fetched = None;
        }
    }

    /// Length of the command FETCH would get.
    pub(crate) fn pending(&self) -> Option<usize> {
        match (&self.fetched, self.waiting.front()) {
            (None, Some((_, command))) => Some(command.length()),
            _ => None,
        }
    }

    /// FETCH with Le `wanted`.
    pub(crate) fn fetch(&mut self, wanted: usize) -> Result<Vec<u8>, StatusWord> {
        let length = self.pending().ok_or(StatusWord::TECHNICAL_PROBLEM)?;
        if wanted != 0 && wanted != length {
            return Err(StatusWord::exact_length(length));
        }
        let (owner, command) = self.waiting.pop_front().ok_or(StatusWord::TECHNICAL_PROBLEM)?;
        self.number = self.number % 0xFE + 1;
        let bytes = command.to_bytes(self.number);
        self.fetched = Some((self.number, owner, command));
        Ok(bytes)
    }

    /// TERMINAL RESPONSE: whose command it answers, and how. One that answers nothing changes nothing.
    pub(crate) fn terminal_response<'a>(
        &mut self,
        data: &'a [u8],
    ) -> Result<(ApplicationId, ProactiveCommand, TerminalResponse<'a>), StatusWord> {
        let (answered, kind, response) = TerminalResponse::parse(data)?;
        let (number, _, command) = self.fetched.as_ref().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
        if (answered, kind) != (*number, command.kind()) {
            return Err(StatusWord::WRONG_DATA);
        }
        let (_, owner, command) = self.fetched.take().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
        self.refreshed = command.kind() == ProactiveCommand::REFRESH && response.performed();
        Ok((owner, command, response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cat::Device;
    use crate::id::DomainId;
    use hex_literal::hex;

    const OWNER: ApplicationId = ApplicationId { domain: DomainId::PLATFORM, number: 0 };
    const OTHER: ApplicationId = ApplicationId { domain: DomainId::PLATFORM, number: 1 };

    fn refresh() -> ProactiveCommand {
        ProactiveCommand::refresh(ProactiveCommand::UICC_RESET)
    }

    #[test]
    fn refresh_is_fetched_and_answered() {
        let mut toolkit = Toolkit::default();
        assert_eq!(toolkit.push(OWNER, refresh()), Err(NotQueued::NoToolkit));
        assert_eq!(toolkit.pending(), None, "nothing waits for a terminal that sent no TERMINAL PROFILE");
        toolkit.terminal_profile(&[0xFF; 3]);
        toolkit.push(OWNER, refresh()).unwrap();
        assert_eq!(toolkit.pending(), Some(11));
        assert_eq!(toolkit.fetch(3), Err(StatusWord(0x6C0B)));
        assert_eq!(toolkit.fetch(11).unwrap(), hex!("D009 8103010104 82028182"));
        assert!(toolkit.is_busy() && toolkit.pending().is_none());
        assert!(toolkit.terminal_response(&hex!("8103090104 82028281 830100")).is_err());
        let (owner, _, response) = toolkit.terminal_response(&hex!("8103010104 82028281 830100")).unwrap();
        assert!(owner == OWNER && response.performed() && !toolkit.is_busy());
    }

    #[test]
    fn the_queue_is_bounded_and_in_order() {
        let mut toolkit = Toolkit::default();
        toolkit.terminal_profile(&[0xFF; 12]);
        let text = |at: u8| ProactiveCommand::new(0x21, 0, Device::DISPLAY, [0x8D, 2, 4, at]).unwrap();
        for at in (0..).take(Toolkit::ROOM) {
            toolkit.push(if at % 2 == 0 { OWNER } else { OTHER }, text(at)).unwrap();
        }
        assert_eq!(toolkit.push(OTHER, text(0)), Err(NotQueued::QueueFull));
        toolkit.forget(OTHER);
        for (number, at) in (1..).zip((0..).step_by(2)).take(Toolkit::ROOM / 2) {
            let fetched = toolkit.fetch(0).unwrap();
            assert_eq!((fetched[4], fetched.last()), (number, Some(&at)));
            let response = [0x81, 3, number, 0x21, 0, 0x82, 2, 0x82, 0x81, 0x83, 1, 0];
            assert_eq!(toolkit.terminal_response(&response).unwrap().0, OWNER);
        }
        assert!(!toolkit.is_busy());
    }

    /// A terminal that starts over and knows less than before is not offered what it does not know.
    #[test]
    fn a_new_profile_is_what_counts() {
        let mut toolkit = Toolkit::default();
        toolkit.terminal_profile(&[0, 0, 0x80]);
        assert_eq!(
            toolkit.push(OWNER, ProactiveCommand::refresh(ProactiveCommand::EUICC_PROFILE_STATE_CHANGE)),
            Err(NotQueued::NotAnnounced)
        );
        toolkit.push(OWNER, refresh()).unwrap();
        toolkit.fetch(0).unwrap();
        assert_eq!(toolkit.terminal_profile(&[0, 0, 0x80]), [], "offered again");
        assert_eq!(toolkit.fetch(0).unwrap()[4], 2);
        assert_eq!(toolkit.terminal_profile(&[0xFF, 0xFF]), [(OWNER, refresh())]);
        assert!(!toolkit.is_busy());
    }
}
