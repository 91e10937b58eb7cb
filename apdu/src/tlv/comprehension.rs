//! COMPREHENSION-TLV, the dialect of the card application toolkit. TS 101 220 §7.1.1.

use super::TlvError;

/// One COMPREHENSION-TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComprehensionTlv<'a> {
    /// Tag without the comprehension-required flag: `01` for Command details, whether written `01` or `81`.
    pub tag: u16,
    /// Whether the receiver must understand the object to carry out the command.
    pub comprehension_required: bool,
    /// Value.
    pub value: &'a [u8],
}

/// A walk over consecutive COMPREHENSION-TLVs.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next object; `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "fallible: an iterator of results would invite unwraps")]
    pub fn next(&mut self) -> Result<Option<ComprehensionTlv<'a>>, TlvError> {
        let (tag, comprehension_required, rest) = match self.rest {
            [] => return Ok(None),
            [0x7F, high, low, rest @ ..] => (u16::from_be_bytes([high & 0x7F, *low]), high & 0x80 != 0, rest),
            [0x7F | 0x00 | 0x80 | 0xFF, ..] => return Err(TlvError::TagTooLong),
            [tag, rest @ ..] => (u16::from(tag & 0x7F), tag & 0x80 != 0, rest),
        };
        let (length, rest) = match rest {
            [length @ 0..=0x7F, rest @ ..] | [0x81, length, rest @ ..] => (usize::from(*length), rest),
            [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            [] | [0x81 | 0x82] | [0x82, _] => return Err(TlvError::Truncated),
            _ => return Err(TlvError::Length),
        };
        let (value, rest) = rest.split_at_checked(length).ok_or(TlvError::Truncated)?;
        self.rest = rest;
        Ok(Some(ComprehensionTlv { tag, comprehension_required, value }))
    }

    /// The first object with `tag` from here on; the reader itself does not move.
    pub fn find(&self, tag: u16) -> Result<Option<ComprehensionTlv<'a>>, TlvError> {
        let mut ahead = *self;
        while let Some(object) = ahead.next()? {
            if object.tag == tag {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_response() {
        let response = [0x81, 3, 1, 1, 4, 0x82, 2, 0x82, 0x81, 0x83, 1, 0];
        let reader = Reader::new(&response);
        assert_eq!(reader.find(0x01).unwrap().unwrap().value, [1, 1, 4]);
        assert_eq!(reader.find(0x03).unwrap().unwrap().value, [0]);
        assert_eq!(reader.find(0x0D).unwrap(), None);
    }

    #[test]
    fn three_byte_tags_and_long_lengths() {
        let mut bytes = vec![0x7F, 0x80, 0x40, 0x81, 0x80];
        bytes.extend([9; 128]);
        let object = Reader::new(&bytes).next().unwrap().unwrap();
        assert_eq!((object.tag, object.comprehension_required, object.value.len()), (0x40, true, 128));
        assert!(Reader::new(&[0x81, 4, 1]).next().is_err());
        assert!(Reader::new(&[0x00, 0]).next().is_err());
    }
}
