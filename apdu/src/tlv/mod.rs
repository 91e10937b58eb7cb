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
