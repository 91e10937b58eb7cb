//! What programs are told without having asked: unsolicited result codes. V.250 §5.7.1, TS 27.007, TS 27.005.

use std::collections::VecDeque;

use crate::port::Port;

/// How many are kept for a program that is busy, and how many for all programs.
const MOST: usize = 64;

/// An unsolicited result code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsolicited {
    /// `+CREG`, `+CGREG`, `+CEREG`, to the programs that want them.
    Registration,
    /// `+CMTI`: a message was written to this record.
    Stored(u8),
    /// `+CMT`: a message. With the service centre's address in front of it.
    Message(Vec<u8>, Vec<u8>),
    /// `+CDS`: what became of a message.
    Report(Vec<u8>, Vec<u8>),
    /// A line of the toolkit, as it is.
    Toolkit(String),
}

/// The last of them.
#[derive(Debug, Default)]
pub(crate) struct Log {
    kept: VecDeque<(u64, Option<u64>, Unsolicited)>,
    /// How many there have been.
    count: u64,
}

impl Log {
    /// Adds one for the port of this number; for all without: then the oldest of those gives way if there are too many, and none
    /// that is for one port alone.
    pub(crate) fn put(&mut self, port: Option<u64>, what: Unsolicited) {
        self.count += 1;
        self.kept.push_back((self.count, port, what));
        if port.is_none() && self.count_for(None) > MOST {
            let oldest = self.kept.iter().position(|(_, to, _)| to.is_none());
            oldest.map(|oldest| self.kept.remove(oldest));
        }
    }

    /// Whether there is room for another one for this port alone.
    pub(crate) fn has_room_for(&self, port: Option<u64>) -> bool {
        self.count_for(port) < MOST
    }

    fn count_for(&self, port: Option<u64>) -> usize {
        self.kept.iter().filter(|(_, to, _)| *to == port).count()
    }

    /// A port is gone, and what was for it alone.
    pub(crate) fn release(&mut self, port: u64) {
        self.kept.retain(|(_, to, _)| *to != Some(port));
    }

    /// Where a port begins that hears of what comes from now on.
    pub(crate) const fn end(&self) -> u64 {
        self.count
    }

    /// What a port has not been told.
    pub(crate) fn events(&mut self, port: &mut Port) -> Vec<Unsolicited> {
        let events = self.kept.iter().filter(|(at, to, _)| *at > port.told && to.is_none_or(|to| to == port.number));
        let events = events.map(|(_, _, what)| what.clone()).collect();
        port.told = self.count;
        // What nobody else is told is done with.
        self.kept.retain(|(_, to, _)| *to != Some(port.number));
        events
    }
}
