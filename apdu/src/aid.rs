//! Application identifiers.

use core::{borrow::Borrow, fmt, ops::Deref};

/// Application identifier, 5 to 16 bytes: RID and PIX. ISO/IEC 7816-4 §8.2.1.2, TS 101 220.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aid {
    bytes: [u8; 16],
    length: u8,
}

/// The bytes are no AID: fewer than 5 or more than 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAid;

impl Aid {
    /// An AID from 5 to 16 bytes.
    pub const fn new(aid: &[u8]) -> Result<Self, InvalidAid> {
        if aid.len() < 5 || aid.len() > 16 {
            return Err(InvalidAid);
        }
        let mut bytes = [0; 16];
        let mut i = 0;
        while i < aid.len() {
            bytes[i] = aid[i];
            i += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 16")]
        Ok(Self { bytes, length: aid.len() as u8 })
    }

    /// An AID of full length, for constants.
    pub const fn full(bytes: [u8; 16]) -> Self {
        Self { bytes, length: 16 }
    }

    /// Whether `partial`, a right-truncated AID, selects this application. TS 102 221 §8.5.1.
    pub fn matches(&self, partial: &[u8]) -> bool {
        self.starts_with(partial)
    }
}

impl Deref for Aid {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl AsRef<[u8]> for Aid {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Aid {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl TryFrom<&[u8]> for Aid {
    type Error = InvalidAid;
    fn try_from(bytes: &[u8]) -> Result<Self, InvalidAid> {
        Self::new(bytes)
    }
}

impl fmt::Display for Aid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Aid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aid({self})")
    }
}

impl fmt::Display for InvalidAid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an AID has 5 to 16 bytes")
    }
}

impl core::error::Error for InvalidAid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_partial_match() {
        let usim = Aid::new(&[0xA0, 0, 0, 0, 0x87, 0x10, 0x02]).unwrap();
        assert_eq!(usim.len(), 7);
        assert!(usim.matches(&[0xA0, 0, 0, 0, 0x87]) && !usim.matches(&[0xA0, 0, 0, 0, 0x86]));
        assert!(!usim.matches(&[0xA0, 0, 0, 0, 0x87, 0x10, 0x02, 0xFF]));
        assert_eq!(usim.to_string(), "A0000000871002");
        assert_eq!(Aid::new(&[1; 4]), Err(InvalidAid));
        assert_eq!(Aid::new(&[1; 17]), Err(InvalidAid));
    }
}
