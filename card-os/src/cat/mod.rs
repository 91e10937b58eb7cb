//! The card application toolkit: the queue of proactive commands. TS 102 221 §11.2, TS 102 223 §6.

use crate::domain::ApplicationId;
use apdu::StatusWord;
use apdu::tlv::comprehension;
use std::collections::VecDeque;

/// COMPREHENSION-TLV tags. TS 102 223 §9.3.
mod tag {
    pub(super) const COMMAND_DETAILS: u8 = 0x81;
    pub(super) const DEVICE_IDENTITIES: u8 = 0x82;
    pub(super) const RESULT: u16 = 0x03;
}
/// BER-TLV tag of a proactive command.
const PROACTIVE_COMMAND: u8 = 0xD0;
const UICC: u8 = 0x81;
const TERMINAL: u8 = 0x82;

/// A command the card wants the terminal to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProactiveCommand {
    /// Type of command, TS 102 223 §9.4: `01` REFRESH.
    pub kind: u8,
    /// Command qualifier.
    pub qualifier: u8,
    /// Further COMPREHENSION-TLV objects.
    pub objects: Vec<u8>,
}

impl ProactiveCommand {
    /// REFRESH. TS 102 223 §6.4.7.
    pub const REFRESH: u8 = 0x01;
    /// REFRESH qualifier: UICC reset.
    pub const UICC_RESET: u8 = 0x04;

    /// REFRESH with this qualifier.
    pub const fn refresh(qualifier: u8) -> Self {
        Self { kind: Self::REFRESH, qualifier, objects: Vec::new() }
    }

    fn to_bytes(&self, number: u8) -> Vec<u8> {
        let mut body = vec![tag::COMMAND_DETAILS, 3, number, self.kind, self.qualifier];
        body.extend([tag::DEVICE_IDENTITIES, 2, UICC, TERMINAL]);
        body.extend_from_slice(&self.objects);
        let mut command = vec![PROACTIVE_COMMAND];
        match u8::try_from(body.len()) {
            Ok(short @ 0..=0x7F) => command.push(short),
            Ok(long) => command.extend([0x81, long]),
            // A queue entry is checked when it is made; this keeps the encoding total.
            Err(_) => body.truncate(0),
        }
        command.extend(body);
        command
    }
}

/// What the terminal says of a proactive command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalResponse<'a> {
    /// General result, TS 102 223 §8.12: `00` to `09` performed.
    pub result: u8,
    /// All objects of the response.
    pub objects: &'a [u8],
}

impl TerminalResponse<'_> {
    /// Whether the command was carried out, perhaps with limits.
    pub const fn performed(&self) -> bool {
        self.result < 0x10
    }
}

/// The proactive session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toolkit {
    /// What TERMINAL PROFILE announced; `None`: the terminal knows no toolkit.
    profile: Option<Vec<u8>>,
    waiting: VecDeque<(ApplicationId, ProactiveCommand)>,
    /// Fetched, its TERMINAL RESPONSE not yet seen.
    fetched: Option<(u8, ApplicationId, ProactiveCommand)>,
    number: u8,
}

impl Toolkit {
    /// TERMINAL PROFILE: the terminal starts over. A command it fetched and did not answer is offered again.
    pub(crate) fn terminal_profile(&mut self, profile: &[u8]) {
        self.profile = Some(profile.to_vec());
        if let Some((_, owner, command)) = self.fetched.take() {
            self.waiting.push_front((owner, command));
        }
    }

    /// Whether the terminal would fetch a proactive command.
    pub(crate) const fn is_available(&self) -> bool {
        self.profile.is_some()
    }

    pub(crate) fn profile(&self) -> Option<&[u8]> {
        self.profile.as_deref()
    }

    /// Whether a proactive session is under way: from `91XX` to TERMINAL RESPONSE.
    pub(crate) fn is_busy(&self) -> bool {
        self.fetched.is_some() || !self.waiting.is_empty()
    }

    /// Queues a command, unless the terminal is one that would never fetch it.
    pub(crate) fn push(&mut self, owner: ApplicationId, command: ProactiveCommand) {
        if self.is_available() {
            self.waiting.push_back((owner, command));
        }
    }

    /// Ends the session: nothing waits any more.
    pub(crate) fn end_session(&mut self) {
        self.waiting.clear();
        self.fetched = None;
    }

    /// Length of the command FETCH would get.
    pub(crate) fn pending(&self) -> Option<usize> {
        match (&self.fetched, self.waiting.front()) {
            (None, Some((_, command))) if self.is_available() => Some(command.to_bytes(0).len()),
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

    /// TERMINAL RESPONSE: whose command it answers, and how.
    pub(crate) fn terminal_response<'a>(
        &mut self,
        data: &'a [u8],
    ) -> Result<(ApplicationId, ProactiveCommand, TerminalResponse<'a>), StatusWord> {
        let objects = comprehension::Reader::new(data);
        let find = |tag| objects.find(tag).map_err(|_| StatusWord::WRONG_DATA);
        let details = find(u16::from(tag::COMMAND_DETAILS & 0x7F))?.ok_or(StatusWord::WRONG_DATA)?;
        let result = find(tag::RESULT)?.and_then(|object| object.value.first().copied());
        let result = result.ok_or(StatusWord::WRONG_DATA)?;
        let (number, owner, command) = self.fetched.take().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
        if details.value.first() != Some(&number) || details.value.get(1) != Some(&command.kind) {
            self.fetched = Some((number, owner, command));
            return Err(StatusWord::WRONG_DATA);
        }
        Ok((owner, command, TerminalResponse { result, objects: data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DomainId;
    use hex_literal::hex;

    const OWNER: ApplicationId = ApplicationId { domain: DomainId::PLATFORM, number: 0 };

    #[test]
    fn refresh_is_fetched_and_answered() {
        let mut toolkit = Toolkit::default();
        toolkit.push(OWNER, ProactiveCommand::refresh(ProactiveCommand::UICC_RESET));
        assert_eq!(toolkit.pending(), None, "nothing waits for a terminal that sent no TERMINAL PROFILE");
        toolkit.terminal_profile(&[0xFF]);
        toolkit.push(OWNER, ProactiveCommand::refresh(ProactiveCommand::UICC_RESET));
        assert_eq!(toolkit.pending(), Some(11));
        assert_eq!(toolkit.fetch(3), Err(StatusWord(0x6C0B)));
        assert_eq!(toolkit.fetch(11).unwrap(), hex!("D009 8103010104 82028182"));
        assert!(toolkit.is_busy() && toolkit.pending().is_none());
        assert!(toolkit.terminal_response(&hex!("8103090104 82028281 830100")).is_err());
        let (owner, _, response) = toolkit.terminal_response(&hex!("8103010104 82028281 830100")).unwrap();
        assert!(owner == OWNER && response.performed() && !toolkit.is_busy());
    }
}
