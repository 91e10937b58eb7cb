//! Commands that come in pieces. ISO/IEC 7816-4 §5.3.3.

use crate::card::Card;
use apdu::{Command, Response, SecureMessaging, StatusWord};
use zeroize::Zeroizing;

/// The pieces of a command that have come.
#[derive(Clone)]
pub(crate) struct Chain {
    /// CLA of the last command of the chain, INS, P1, P2.
    header: [u8; 4],
    /// PINs, perhaps.
    data: Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for Chain {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Chain").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Card {
    /// Whether this command is a piece that the card itself joins. Pieces that are protected one by one are not.
    pub(crate) fn joins(&self, command: &Command<'_>) -> bool {
        self.announced.chaining && command.class.secure_messaging() == SecureMessaging::None
    }

    /// Keeps a piece. What waited for GET RESPONSE is forgotten.
    pub(crate) fn keep(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let channel = self.kernel.channel_mut(command.class.channel())?;
        channel.response = None;
        let chain = match channel.chain.take() {
            Some(chain) => chain.with(command)?,
            None => Box::new(Chain { header: header(command), data: command.data.to_vec().into() }),
        };
        channel.chain = Some(chain);
        Ok(Response::done())
    }

    /// The data of the whole command that this is the end of, if it is one. Another command than the end breaks the chain off.
    pub(crate) fn join(&mut self, command: &Command<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, StatusWord> {
        let channel = self.kernel.channel_mut(command.class.channel())?;
        let Some(chain) = channel.chain.take() else { return Ok(None) };
        Ok(Some(chain.with(command)?.data))
    }
}

impl Chain {
    /// As long as a command with an extended Lc.
    const LONGEST: usize = 0xFFFF;

    fn with(mut self: Box<Self>, command: &Command<'_>) -> Result<Box<Self>, StatusWord> {
        if self.header != header(command) {
            return Err(StatusWord::LAST_COMMAND_EXPECTED);
        }
        if self.data.len() + command.data.len() > Self::LONGEST {
            return Err(StatusWord::WRONG_LENGTH);
        }
        self.data.extend_from_slice(command.data);
        Ok(self)
    }
}

fn header(command: &Command<'_>) -> [u8; 4] {
    const CHAINED: u8 = 0x10;
    [command.class.to_byte() & !CHAINED, command.ins.0, command.p1, command.p2]
}
