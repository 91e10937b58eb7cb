//! What the terminal says of itself, and the toolkit's commands. TS 102 221 §11.1.19, §11.2.

use crate::card::Card;
use apdu::tlv::{Tag, Tlv};
use apdu::{Command, Response, StatusWord};

impl Card {
    /// TERMINAL CAPABILITY. TS 102 221 §11.1.19.
    pub(crate) fn terminal_capability(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        const TERMINAL_CAPABILITY_TEMPLATE: Tag = Tag(0xA9);
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let template = Tlv::parse(command.data).map_err(|_| StatusWord::WRONG_DATA)?;
        if template.tag != TERMINAL_CAPABILITY_TEMPLATE || apdu::tlv::check_depth(template.value, 2).is_err() {
            return Err(StatusWord::WRONG_DATA);
        }
        self.kernel.terminal_capability = Some(template.value.to_vec());
        Ok(Response::done())
    }

    /// TERMINAL PROFILE. TS 102 221 §11.2.1.
    pub(crate) fn terminal_profile(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        self.kernel.toolkit.terminal_profile(command.data);
        Ok(Response::done())
    }

    /// FETCH. TS 102 221 §11.2.3.
    pub(crate) fn fetch(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if !command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        self.kernel.toolkit.fetch(command.ne).map(Response::ok)
    }

    /// TERMINAL RESPONSE. TS 102 221 §11.2.4.
    pub(crate) fn terminal_response(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let (owner, proactive, response) = self.kernel.toolkit.terminal_response(command.data)?;
        self.run(owner, 0, |application, cx| application.terminal_response(&proactive, response, cx))?;
        Ok(Response::done())
    }

    /// ENVELOPE. TS 102 221 §11.2.2. No application here takes one yet; a well-formed one is acknowledged.
    pub(crate) fn envelope(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        Tlv::parse(command.data).map_err(|_| StatusWord::WRONG_DATA)?;
        if self.kernel.toolkit.is_busy() { Ok(StatusWord::BUSY.into()) } else { Ok(Response::done()) }
    }
}
