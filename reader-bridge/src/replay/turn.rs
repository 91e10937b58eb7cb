//! A recorded session as what its host asked, one thing after another, each with all the commands that it took.

use apdu::{Class, Command, Ins, StatusWord};
use capture::{Event, LeftOut, MASK, Part, SOME_SECRET, What, is_masked, secret_part};
use decode::{Decoded, Decoder};

use super::tolerance;

/// A command, and the response; empty if there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Command APDU.
    pub command: Vec<u8>,
    /// Response APDU: data, SW1, SW2.
    pub response: Vec<u8>,
    /// What was left out of both when they were recorded.
    pub left_out: Vec<LeftOut>,
}

impl Exchange {
    /// As it was recorded; a PIN that was left out without a word is left out.
    fn recorded(command: Vec<u8>, response: Vec<u8>, event: &Event) -> Self {
        let mut left_out = event.left_out.clone();
        if let Some(range) = secret_part(&command).filter(|_| is_masked(&command) && left_out.is_empty()) {
            left_out.push(LeftOut { part: Part::Command, range, name: SOME_SECRET.into() });
        }
        Self { command, response, left_out }
    }

    /// What was left out of the command.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &LeftOut> {
        self.left_out.iter().filter(|left_out| left_out.part == Part::Command)
    }

    /// The same with asterisks where something was left out when it was recorded.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut masked = self.clone();
        for LeftOut { part, range, .. } in &self.left_out {
            let octets = if *part == Part::Command { &mut masked.command } else { &mut masked.response };
            if let Some(octets) = octets.get_mut(range.clone()) {
                octets.fill(MASK);
            }
        }
        masked
    }
}

/// What a host asked once: a command, or a chain of them, with what followed `61XX` and `6CXX`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Everything that was sent and received.
    pub exchanges: Vec<Exchange>,
    /// How many of them, at the beginning, are the chain; one without a chain.
    pub(super) blocks: usize,
}

/// P1 of STORE DATA: this is the last block. GlobalPlatform §11.11.2.1.
const LAST_BLOCK: u8 = 0x80;

impl Turn {
    /// Begins with a command.
    pub(super) fn of(exchange: Exchange) -> Self {
        Self { exchanges: vec![exchange], blocks: 1 }
    }

    /// The first command.
    pub fn command(&self) -> &[u8] {
        self.exchanges.first().map_or(&[], |first| &first.command)
    }

    /// The commands of the chain.
    pub(super) fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.exchanges.iter().take(self.blocks).map(|exchange| exchange.command.as_slice())
    }

    /// What was left out of the commands of the chain.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &LeftOut> {
        self.exchanges.iter().take(self.blocks).flat_map(Exchange::secrets)
    }

    /// The last command of the chain.
    pub(super) fn last_of_chain(&self) -> &[u8] {
        self.chain().last().unwrap_or_default()
    }

    /// What the host sent, put together.
    pub(super) fn request(&self) -> Vec<u8> {
        self.chain()
            .flat_map(|command| Command::parse(command).map_or(&[][..], |parsed| parsed.data))
            .copied()
            .collect()
    }

    /// The data of the answer, put together.
    pub(super) fn data(&self) -> Vec<u8> {
        let data = |exchange: &Exchange| {
            exchange.response.get(..exchange.response.len().saturating_sub(2)).map(<[u8]>::to_vec)
        };
        self.answers().filter_map(data).flatten().collect()
    }

    /// The status words of the answer, without those that only say how to fetch it.
    pub(super) fn statuses(&self) -> Vec<StatusWord> {
        let all: Vec<_> = self.answers().filter_map(status).collect();
        let last = all.len().saturating_sub(1);
        let counts = |(at, sw): &(usize, StatusWord)| *at == last || !matches!(sw.sw1(), 0x61 | 0x6C | 0x9F);
        all.into_iter().enumerate().filter(counts).map(|(_, sw)| sw).collect()
    }

    /// The answer as one response: all the data and the status word, a warning before others. Empty if there was none.
    pub fn response(&self) -> Vec<u8> {
        let statuses = self.statuses();
        let warning = statuses.iter().find(|sw| sw.is_warning());
        let mut response = self.data();
        response.extend(warning.or(statuses.last()).into_iter().flat_map(|sw| sw.0.to_be_bytes()));
        response
    }

    /// Whether all of the answer was fetched.
    pub(super) fn is_complete(&self) -> bool {
        self.statuses().last().is_some_and(|sw| !matches!(sw.sw1(), 0x61 | 0x6C | 0x9F))
    }

    /// The exchanges from the last command of the chain on.
    fn answers(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().skip(self.blocks.saturating_sub(1))
    }

    /// The channel of a MANAGE CHANNEL that opens one and was carried out.
    pub(super) fn opened(&self) -> Option<u8> {
        let command = Command::parse(self.command()).ok().filter(|command| command.ins == Ins::MANAGE_CHANNEL)?;
        let is_done = self.statuses().last().is_some_and(|sw| sw.is_ok());
        let number = if command.p2 == 0 { self.data().first().copied() } else { Some(command.p2) };
        number.filter(|number| command.p1 == 0 && is_done && (1..=19).contains(number))
    }

    /// Whether a command belongs to this, after what it was answered so far.
    fn is_continued_by(&self, command: &[u8]) -> bool {
        let Some(last) = self.exchanges.last() else { return false };
        let (Ok(before), Ok(next)) = (Command::parse(&last.command), Command::parse(command)) else { return false };
        if self.exchanges.len() == self.blocks && last.response == [0x90, 0x00] && before.ins == next.ins {
            let is_block = before.ins == Ins::STORE_DATA && before.p1 & LAST_BLOCK == 0;
            if is_block && before.class == next.class && next.p2 == before.p2.wrapping_add(1) {
                return true;
            }
            if before.class.is_chained() && before.class.channel() == next.class.channel() {
                return true;
            }
        }
        let status = status(last).map_or(0, StatusWord::sw1);
        if next.ins == Ins::GET_RESPONSE && next.class.channel() == before.class.channel() {
            let is_warning = matches!(status, 0x62 | 0x63) && last.response.len() == 2;
            return matches!(status, 0x61 | 0x9F) || is_warning || status == 0x6C && before.ins == Ins::GET_RESPONSE;
        }
        status == 0x6C && last.command.get(..4) == command.get(..4) && before.data == next.data
    }

    fn push(&mut self, exchange: Exchange) {
        let is_block = self.exchanges.len() == self.blocks
            && self.exchanges.last().is_some_and(|last| last.response == [0x90, 0x00])
            && exchange.command.get(1) != Some(&Ins::GET_RESPONSE.0);
        self.blocks += usize::from(is_block);
        self.exchanges.push(exchange);
    }

    /// Explains it as one exchange, as if the whole answer had come at once.
    pub(super) fn explain(&self, decoder: &mut Decoder) -> Decoded {
        let before = self.exchanges.iter().take(self.blocks.saturating_sub(1));
        for Exchange { command, response, .. } in before {
            decoder.exchange(command, response);
        }
        decoder.exchange(self.last_of_chain(), &self.response())
    }
}

fn status(exchange: &Exchange) -> Option<StatusWord> {
    exchange.response.last_chunk().map(|sw: &[u8; 2]| StatusWord::from(*sw))
}

/// Something a host did, and where that is in the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Act {
    /// The number of its first event, from 1.
    pub(super) number: usize,
    /// Line or packet of that.
    pub(super) line: Option<usize>,
    pub(super) what: Done,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Reset { atr: Vec<u8>, warm: bool },
    Asked(Turn),
}

/// What the host of a session did, in order.
pub(super) fn acts(events: &[Event]) -> Vec<Act> {
    let mut acts: Vec<Act> = Vec::new();
    let mut is_open = false;
    for (index, event) in events.iter().enumerate() {
        let act = |what| Act { number: index + 1, line: event.line, what };
        let (command, response) = match &event.what {
            What::Reset { atr, warm } => {
                acts.push(act(Done::Reset { atr: atr.clone(), warm: *warm }));
                is_open = false;
                continue;
            }
            What::Failed { command, .. } if !command.is_empty() => (command.clone(), Vec::new()),
            What::Exchange { command, response } => (command.clone(), response.clone()),
            What::PowerOff | What::Failed { .. } => {
                is_open = false;
                continue;
            }
        };
        let exchange = Exchange::recorded(command, response, event);
        match acts.last_mut() {
            Some(Act { what: Done::Asked(turn), .. }) if is_open && turn.is_continued_by(&exchange.command) => {
                turn.push(exchange);
            }
            _ => acts.push(act(Done::Asked(Turn::of(exchange)))),
        }
        is_open = true;
    }
    acts
}

/// The same command on another channel; as it is if its class has none.
pub(super) fn on_channel(command: &[u8], channel: u8) -> Vec<u8> {
    let mut moved = command.to_vec();
    let Some(class) = moved.first_mut() else { return moved };
    let Some(old) = Class::parse(*class).filter(|old| old.channel() != channel && !old.is_gsm()) else { return moved };
    let Some(plain) = Class::on_channel(old.is_proprietary(), channel) else { return moved };
    let kept = if channel < 4 && old.channel() < 4 { *class & 0x1C } else { *class & 0x10 };
    // From channel 4 on there is one bit for protection.
    let protected = old.secure_messaging() != apdu::SecureMessaging::None;
    let further = if protected && channel >= 4 { 0x20 } else { 0 };
    let narrow = if protected && channel < 4 && old.channel() >= 4 { 0x0C } else { 0 };
    *class = plain.to_byte() | if old.is_proprietary() { kept & 0x0C } else { kept } | further | narrow;
    moved
}

/// The tag that the data of STORE DATA begins with.
pub(super) fn function(turn: &Turn) -> Option<u32> {
    let is_block = turn.command().get(1) == Some(&Ins::STORE_DATA.0);
    is_block.then(|| tolerance::first_tag(&turn.request())).flatten()
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn a_chain_and_what_is_fetched_are_one_turn() {
        let events = [
            Event::new(What::Reset { atr: hex!("3B00").into(), warm: false }),
            Event::exchange(hex!("0070000000"), hex!("6C01")),
            Event::exchange(hex!("0070000001"), hex!("019000")),
            Event::exchange(hex!("81E2110002BF31"), hex!("9000")),
            Event::exchange(hex!("81E291010103"), hex!("6105")),
            Event::exchange(hex!("81C0000003"), hex!("BF31016102")),
            Event::exchange(hex!("81C0000005"), hex!("6C02")),
            Event::exchange(hex!("81C0000002"), hex!("80009000")),
            Event::new(What::PowerOff),
            Event::exchange(hex!("00A40004022FE2"), hex!("6283")),
            Event::exchange(hex!("00C0000002"), hex!("62009000")),
            Event::exchange(hex!("00C0000002"), hex!("6985")),
            Event::new(What::Failed { command: hex!("00B0000001").into(), cause: "gone".into() }),
        ];
        let acts = acts(&events);
        let numbers: Vec<_> = acts.iter().map(|act| act.number).collect();
        assert_eq!(numbers, [1, 2, 4, 10, 12, 13]);
        let turns: Vec<_> = acts
            .iter()
            .filter_map(|act| match &act.what {
                Done::Asked(turn) => Some((turn.request(), turn.response(), turn.blocks, turn.opened())),
                Done::Reset { .. } => None,
            })
            .collect();
        assert_eq!(
            turns,
            [
                (vec![], hex!("019000").to_vec(), 1, Some(1)),
                (hex!("BF3103").to_vec(), hex!("BF310180009000").to_vec(), 2, None),
                (hex!("2FE2").to_vec(), hex!("62006283").to_vec(), 1, None),
                (vec![], hex!("6985").to_vec(), 1, None),
                (vec![], vec![], 1, None),
            ]
        );
    }

    #[test]
    fn classes_change_channels() {
        for (class, channel, expected) in [
            (0x00, 2, 0x02),
            (0x81, 0, 0x80),
            (0x84, 1, 0x85),
            (0x11, 0, 0x10),
            (0x03, 5, 0x41),
            (0xC1, 1, 0x81),
            (0x8C, 7, 0xE3),
            (0xA0, 1, 0xA0),
            (0xFF, 1, 0xFF),
        ] {
            assert_eq!(on_channel(&[class, 0xB0], channel), [expected, 0xB0], "{class:02X} {channel}");
        }
    }
}
