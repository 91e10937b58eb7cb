//! What a program writes behind `> `: a message as octets or text, ended by Ctrl-Z or given up by ESC. TS 27.005 §3.5.

use zeroize::Zeroizing;

const END: u8 = 0x1A;
const ESCAPE: u8 = 0x1B;
const CARRIAGE_RETURN: u8 = b'\r';
const LINE_FEED: u8 = b'\n';
/// A message has 176 octets, in hexadecimal digits or as text; no program needs more.
const LIMIT: usize = 1024;

/// What is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `+CMGS`.
    Send(Head),
    /// `+CMGW`, with the state of the record.
    Write(Head, Option<sms::Status>),
    /// `+CNMA`: it goes nowhere.
    Acknowledge {
        /// Whether the message was taken.
        is_taken: bool,
    },
}

/// What the command itself said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Octets of the TPDU.
    Octets(usize),
    /// The other number of a text.
    Text(Option<sms::Address>),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// With these octets.
    Done(Purpose, Zeroizing<Vec<u8>>),
    /// It was longer than any message.
    TooLong(Purpose),
    /// It was given up.
    Cancelled,
    /// A line of a text ended; another one may follow.
    Line,
}

/// A prompt that is open.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    purpose: Purpose,
    collected: Zeroizing<Vec<u8>>,
    is_too_long: bool,
}

impl Prompt {
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self { purpose, collected: Zeroizing::new(Vec::with_capacity(LIMIT)), is_too_long: false }
    }

    fn is_text(&self) -> bool {
        matches!(self.purpose, Purpose::Send(Head::Text(_)) | Purpose::Write(Head::Text(_), _))
    }

    /// Takes one octet: what it ends.
    pub(crate) fn take(&mut self, octet: u8, editing: u8) -> Option<Input> {
        match octet {
            END => {
                let (purpose, collected) = (self.purpose.clone(), std::mem::take(&mut self.collected));
                return Some(if self.is_too_long { Input::TooLong(purpose) } else { Input::Done(purpose, collected) });
            }
            ESCAPE => return Some(Input::Cancelled),
            CARRIAGE_RETURN if self.is_text() => {
                self.collect(LINE_FEED);
                return Some(Input::Line);
            }
            LINE_FEED | CARRIAGE_RETURN => {}
            octet if octet == editing => {
                self.collected.pop();
            }
            octet => self.collect(octet),
        }
        None
    }

    fn collect(&mut self, octet: u8) {
        if self.collected.len() < LIMIT {
            self.collected.push(octet);
        } else {
            self.is_too_long = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(purpose: Purpose, octets: &[u8]) -> Vec<Input> {
        let mut prompt = Prompt::new(purpose);
        octets.iter().filter_map(|octet| prompt.take(*octet, 8)).collect()
    }

    #[test]
    fn octets_and_text() {
        let octets = Purpose::Send(Head::Octets(3));
        let done = |purpose: &Purpose, text: &[u8]| Input::Done(purpose.clone(), text.to_vec().into());
        assert_eq!(read(octets.clone(), b"00\r\n1X\x081\x1a"), [done(&octets, b"0011")]);
        assert_eq!(read(octets.clone(), b"00\x1b"), [Input::Cancelled]);
        let text = Purpose::Send(Head::Text(None));
        assert_eq!(read(text.clone(), b"a\rb\x1a"), [Input::Line, done(&text, b"a\nb")]);
        assert_eq!(read(text.clone(), &[&[b'x'; LIMIT + 1][..], &[END]].concat()), [Input::TooLong(text.clone())]);
        assert_eq!(read(text.clone(), &[&[b'x'; LIMIT][..], &[END]].concat()), [done(&text, &[b'x'; LIMIT])]);
        assert_eq!(read(text, &b"x".repeat(1_000_000)), [], "it is never ended");
    }
}
