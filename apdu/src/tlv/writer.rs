//! Writing BER-TLV with definite, minimal lengths.

use super::Tag;

/// A buffer of consecutive TLVs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty buffer.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Appends a primitive TLV.
    pub fn primitive(&mut self, tag: Tag, value: &[u8]) -> &mut Self {
        self.header(tag, value.len());
        self.bytes.extend_from_slice(value);
        self
    }

    /// Appends a constructed TLV whose value `inside` writes.
    pub fn constructed(&mut self, tag: Tag, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let mut value = Self::new();
        inside(&mut value);
        self.primitive(tag, &value.bytes)
    }

    /// Appends bytes that already are TLVs.
    pub fn raw(&mut self, tlvs: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(tlvs);
        self
    }

    /// Appends a tag and a length, for a value that is written or sent elsewhere.
    pub fn header(&mut self, tag: Tag, length: usize) -> &mut Self {
        let tag = tag.0.to_be_bytes();
        let significant = tag.iter().skip_while(|byte| **byte == 0).count().max(1);
        self.bytes.extend_from_slice(tag.get(tag.len() - significant..).unwrap_or_default());
        if let Ok(short @ 0..=0x7F) = u8::try_from(length) {
            self.bytes.push(short);
        } else {
            let octets = length.to_be_bytes();
            let significant = octets.iter().skip_while(|byte| **byte == 0).count();
            #[expect(clippy::cast_possible_truncation, reason = "at most 8")]
            self.bytes.push(0x80 | significant as u8);
            self.bytes.extend_from_slice(octets.get(octets.len() - significant..).unwrap_or_default());
        }
        self
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tlv;
    use super::*;

    #[test]
    fn fci_of_isd_r() {
        let mut fci = Writer::new();
        fci.constructed(Tag(0x6F), |fci| {
            fci.primitive(Tag(0x84), &[0xA0, 0, 0, 5, 0x59]);
            fci.constructed(Tag(0xA5), |properties| {
                properties.primitive(Tag(0x9F65), &[0xFF]);
            });
        });
        assert_eq!(fci.as_bytes(), [0x6F, 13, 0x84, 5, 0xA0, 0, 0, 5, 0x59, 0xA5, 4, 0x9F, 0x65, 1, 0xFF]);
    }

    #[test]
    fn every_length_reads_back() {
        for length in [0, 1, 126, 127, 128, 129, 255, 256, 65_535, 65_536] {
            let mut tlv = Writer::new();
            tlv.primitive(Tag(0x86), &vec![0x5A; length]);
            assert_eq!(Tlv::parse(tlv.as_bytes()).unwrap().value.len(), length);
        }
        let mut tlv = Writer::new();
        tlv.primitive(Tag(0x94), &[0; 127]);
        assert_eq!(tlv.as_bytes()[..2], [0x94, 0x7F]);
    }
}
