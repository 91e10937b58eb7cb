//! TLV, the card's side of it: a borrowing reader and a writer.
//!
//! [`Reader`] walks BER-TLV without copying; it knows nothing of schemas. [`Header`] reads one tag and length from a
//! stream that may not be complete yet. [`Writer`] emits definite, minimal lengths. [`comprehension`] is the dialect
//! of the card application toolkit.

pub mod comprehension;
mod reader;
mod writer;

pub use reader::{Header, Reader, Tlv, TlvError, check_depth};
pub use writer::Writer;

/// A BER tag of one to three bytes, as written on the wire: `5A`, `9F70`, `BF2D`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u32);

impl Tag {
    /// The tag that asks a BER-TLV structure EF for the list of its tags. TS 102 221 §11.3.1.
    pub const LIST_OF_TAGS: u8 = 0x5C;

    /// The tag that data begins with, if an object of a BER-TLV structure EF may have it.
    ///
    /// ISO/IEC 8825-1 §8.1.2: `00` and `FF` are no tags here, further octets carry a number that does not fit into the first,
    /// without leading zeros. TS 102 221 §11.3: `5C` asks for the list of tags, so that no object has it.
    pub const fn of_object(data: &[u8]) -> Option<Self> {
        match *data {
            [0x00 | 0xFF | Self::LIST_OF_TAGS, ..] => None,
            [first, ..] if first & 0x1F != 0x1F => Some(Self(first as u32)),
            [first, second @ 0x1F..=0x7F, ..] => Some(Self(u32::from_be_bytes([0, 0, first, second]))),
            [first, second @ 0x81..=0xFF, third @ 0x00..=0x7F, ..] => {
                Some(Self(u32::from_be_bytes([0, first, second, third])))
            }
            _ => None,
        }
    }

    /// How many octets it takes.
    pub const fn octets(self) -> usize {
        match self.0 {
            0..=0xFF => 1,
            0x100..=0xFFFF => 2,
            _ => 3,
        }
    }

    /// Whether the value is itself a sequence of TLVs.
    pub const fn is_constructed(self) -> bool {
        let first = if self.0 > 0xFFFF {
            self.0 >> 16
        } else if self.0 > 0xFF {
            self.0 >> 8
        } else {
            self.0
        };
        first & 0x20 != 0
    }
}

impl core::fmt::Debug for Tag {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:02X}", self.0)
    }
}

impl core::fmt::Display for Tag {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:02X}", self.0)
    }
}
