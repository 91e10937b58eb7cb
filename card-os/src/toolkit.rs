//! What the terminal says of itself, and the toolkit's commands. TS 102 221 §11.1.19, §11.2.

use crate::card::Card;
use crate::cat::{Event, TerminalResponse};
use crate::id::ApplicationId;
use crate::remote::{Opened, Remote, Undone, suffices};
use apdu::tlv::{Reader, Tag, Tlv, Writer};
use apdu::{Command, Response, StatusWord};

impl Card {
    /// TERMINAL CAPABILITY. TS 102 221 §11.1.19.
    pub(crate) fn terminal_capability(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        const TERMINAL_CAPABILITY_TEMPLATE: Tag = Tag(0xA9);
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let template = Tlv::parse(command.data).map_err(|_| StatusWord::WRONG_DATA)?;
        if template.tag != TERMINAL_CAPABILITY_TEMPLATE || apdu::tlv::check_depth(template.value, 2).is_err() {
            return Err(StatusWord::WRONG_DATA);
        }
        self.kernel.terminal_capability = Some(template.value.to_vec());
        Ok(Response::done())
    }

    /// EXCHANGE CAPABILITIES: the terminal says what it can, the card that it has none of what is optional beyond what its files and
    /// its answer to reset announce. TS 102 221 §11.1.24.
    pub(crate) fn exchange_capabilities(_: &mut Self, command: &Command<'_>) -> Result<Response, StatusWord> {
        const UICC_CAPABILITIES: Tag = Tag(0x81);
        const NONE: u8 = 0x00;
        on_basic_channel(command)?;
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let mut objects = Reader::new(command.data);
        while objects.next().map_err(|_| StatusWord::WRONG_DATA)?.is_some() {}
        let mut answer = Writer::new();
        answer.primitive(UICC_CAPABILITIES, &[NONE]);
        Ok(Response::ok(answer.into_bytes()))
    }

    /// TERMINAL PROFILE. TS 102 221 §11.2.1.
    pub(crate) fn terminal_profile(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        on_basic_channel(command)?;
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        // An application that asked for a command this terminal no longer announces is told that it will not be carried out.
        let before = self.kernel.toolkit.clone();
        for (owner, proactive) in self.kernel.toolkit.terminal_profile(command.data) {
            let response = TerminalResponse::BEYOND_CAPABILITIES;
            let told = self.run(owner, 0, |application, cx| application.terminal_response(&proactive, response, cx));
            if let Err(refusal) = told {
                // The terminal may say it again: what waits for it still waits.
                self.kernel.toolkit = before;
                return Err(refusal);
            }
        }
        Ok(Response::done())
    }

    /// FETCH. TS 102 221 §11.2.3.
    pub(crate) fn fetch(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        on_basic_channel(command)?;
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if !command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let pending = self.kernel.toolkit.pending().filter(|_| self.is_direct(command) && command.wants_all());
        self.kernel.toolkit.fetch(pending.unwrap_or(command.ne)).map(Response::ok)
    }

    /// TERMINAL RESPONSE. TS 102 221 §11.2.4.
    pub(crate) fn terminal_response(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        on_basic_channel(command)?;
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let before = self.kernel.toolkit.clone();
        let (owner, proactive, response) = self.kernel.toolkit.terminal_response(command.data)?;
        if self.slot(owner).is_some()
            && let Err(refusal) =
                self.run(owner, 0, |application, cx| application.terminal_response(&proactive, response, cx))
        {
            // Nobody took the answer: the terminal may give it again, or start over.
            self.kernel.toolkit = before;
            return Err(refusal);
        }
        self.kernel.toolkit.answered();
        Ok(Response::done())
    }

    /// ENVELOPE. TS 102 221 §11.2.2.
    ///
    /// Success means that an application took it: an envelope that no application registered for is refused, of whatever
    /// kind, because a sender that gets `9000` does not retry.
    pub(crate) fn envelope(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        on_basic_channel(command)?;
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        Tlv::parse(command.data).map_err(|_| StatusWord::WRONG_DATA)?;
        if self.kernel.toolkit.is_busy() {
            return Ok(StatusWord::BUSY.into());
        }
        let event = Event::parse(command.data)?;
        let takers = self.kernel.registrations.takers(&event);
        if let (&[target], Some(_)) = (takers.as_slice(), event.secured_packet())
            && let Some(aid) = self.kernel.registrations.get(target).and_then(|entry| entry.security_domain)
        {
            let keeper = self.slots.iter().find(|slot| slot.id.domain == target.domain && slot.record.aid == aid);
            let keeper = keeper.map(|slot| slot.id).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
            return self.remote(target, keeper, &event);
        }
        let mut outcome = Err(StatusWord::WRONG_DATA);
        for taker in takers {
            match self.run(taker, 0, |application, cx| application.event(&event, cx)) {
                Ok(Some(response)) => return Ok(response),
                Ok(None) => outcome = Ok(Response::done()),
                // One that could not take it does not keep it from the others.
                Err(refusal) if outcome.is_err() => outcome = Err(refusal),
                Err(_) => {}
            }
        }
        outcome
    }

    /// A secured packet for an application that has left the opening of it to a security domain.
    fn remote(
        &mut self,
        target: ApplicationId,
        security_domain: ApplicationId,
        event: &Event<'_>,
    ) -> Result<Response, StatusWord> {
        let Some((tar, _)) = event.secured_packet() else { return Err(StatusWord::WRONG_DATA) };
        let opened = self.run(security_domain, 0, |domain, cx| domain.open_packet(event, cx))?;
        let unsecured = match opened {
            Opened::Commands(unsecured) => unsecured,
            Opened::Answer(answer) => return Ok(answer),
        };
        let level = unsecured.security_level;
        let minimum = self.kernel.registrations.get(target).map_or(0, |entry| entry.minimum_security_level);
        let outcome = if suffices(level, minimum) {
            let remote = Remote { tar, commands: &unsecured.commands, security_level: level };
            self.run(target, 0, |application, cx| application.process_remote(&remote, cx)).map_err(Undone::Refused)
        } else {
            Err(Undone::InsufficientSecurityLevel)
        };
        let outcome = outcome.as_deref().map_err(|undone| *undone);
        self.run(security_domain, 0, |domain, cx| domain.close_answer(&unsecured, outcome, cx))
    }
}

/// The toolkit's commands are those of the basic channel. TS 102 221 §11.2.
pub(crate) const fn on_basic_channel(command: &Command<'_>) -> Result<(), StatusWord> {
    if command.class.channel() == 0 { Ok(()) } else { Err(StatusWord::CLA_NOT_SUPPORTED) }
}
