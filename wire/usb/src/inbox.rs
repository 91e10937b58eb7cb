//! Octets that arrived and are not used yet.

/// A stream's octets, until they are whole messages.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Vec<u8>);

impl Inbox {
    pub(crate) fn receive(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes so many from the front, or all.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.0.split_off(count.min(self.0.len()));
        std::mem::replace(&mut self.0, rest)
    }
}

/// A number of four octets, big-endian.
pub(crate) fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

/// A length as a number of octets here.
pub(crate) fn length(octets: u32) -> usize {
    usize::try_from(octets).unwrap_or(usize::MAX)
}

/// A number of octets as a length on the wire.
pub(crate) fn on_wire(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
