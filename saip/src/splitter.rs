//! Cuts a profile package that arrives in pieces into its elements.

use apdu::tlv::Header;
use zeroize::Zeroizing;

use crate::Error;

/// Takes octets in whatever cuts they come and gives complete profile elements, tag and length included.
///
/// Holds at most one element, wiped when dropped, and refuses one above the limit as soon as its length is read, before
/// memory grows.
///
/// ```
/// let mut splitter = saip::Splitter::new(65_536);
/// splitter.push(&[0xAA, 0x07, 0xA0, 0x05, 0x80]);
/// assert_eq!(splitter.next_element(), Ok(None));
/// splitter.push(&[0x00, 0x81, 0x01, 0x1F]);
/// assert_eq!(splitter.next_element().unwrap().unwrap().len(), 9);
/// ```
#[derive(Clone)]
pub struct Splitter {
    limit: usize,
    buffer: Zeroizing<Vec<u8>>,
    start: usize,
}

impl Splitter {
    /// Accepts elements of at most `limit` octets.
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: Zeroizing::default(), start: 0 }
    }

    /// Adds a piece. Call [`Splitter::next_element`] until it gives nothing before adding the next.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// The next complete element; `None` until more octets are pushed.
    pub fn next_element(&mut self) -> Result<Option<&[u8]>, Error> {
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        let Some(header) = Header::parse(pending)? else { return Ok(None) };
        let size = header.total_length();
        if size > self.limit {
            return Err(Error::TooLarge { size, limit: self.limit });
        }
        let (start, end) = (self.start, self.start + size);
        if end > self.buffer.len() {
            return Ok(None);
        }
        self.start = end;
        Ok(self.buffer.get(start..end))
    }

    /// Octets held that belong to no complete element yet.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_gives_the_same_elements() {
        let package: Vec<u8> = [&[0xAA, 0x02, 1, 2][..], &[0xBF, 0x1F, 0x81, 0x80], &[7; 128], &[0xA0, 0x00]].concat();
        for cut in 1..package.len() {
            let mut splitter = Splitter::new(200);
            let mut elements = Vec::new();
            for piece in package.chunks(cut) {
                splitter.push(piece);
                while let Some(element) = splitter.next_element().unwrap() {
                    elements.push(element.to_vec());
                }
            }
            assert_eq!(elements.iter().map(Vec::len).collect::<Vec<_>>(), [4, 132, 2]);
            assert_eq!(elements.concat(), package);
            assert_eq!(splitter.pending(), 0);
        }
    }

    #[test]
    fn too_large_is_refused_by_its_length_alone() {
        let mut splitter = Splitter::new(100);
        splitter.push(&[0xB0, 0x82, 0x01]);
        assert_eq!(splitter.next_element(), Ok(None));
        splitter.push(&[0x00]);
        assert_eq!(splitter.next_element(), Err(Error::TooLarge { size: 260, limit: 100 }));
    }
}
