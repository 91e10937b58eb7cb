//! Reading BER-TLV. ISO/IEC 7816-4 §5.2.2.

use super::Tag;

/// Why bytes are no BER-TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvError {
    /// The bytes end within a tag, a length or a value.
    Truncated,
    /// A tag of more than three bytes.
    TagTooLong,
    /// An indefinite length, or one of more than four bytes.
    Length,
    /// Another tag than the one asked for.
    UnexpectedTag,
    /// Bytes are left after the last value wanted.
    TrailingData,
    /// More levels than a reader follows.
    TooDeep,
}

impl core::fmt::Display for TlvError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the data ends within a TLV",
            Self::TagTooLong => "a tag is longer than three bytes",
            Self::Length => "a length is indefinite or longer than four bytes",
            Self::UnexpectedTag => "another tag was expected",
            Self::TrailingData => "bytes are left after the last TLV",
            Self::TooDeep => "TLVs are nested too deeply",
        })
    }
}

impl core::error::Error for TlvError {}

/// Tag and length of one TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Tag.
    pub tag: Tag,
    /// Bytes the tag and the length take.
    pub header_length: usize,
    /// Bytes the value takes.
    pub value_length: usize,
}

impl Header {
    /// Reads the tag and length at the start of `bytes`; `Ok(None)` if more bytes are needed to know them.
    ///
    /// Lengths need not be minimal: real hosts send `81 05`.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, TlvError> {
        let Some((&first, mut rest)) = bytes.split_first() else { return Ok(None) };
        let mut tag = u32::from(first);
        if first & 0x1F == 0x1F {
            loop {
                let Some((&next, tail)) = rest.split_first() else { return Ok(None) };
                if tag > 0xFFFF {
                    return Err(TlvError::TagTooLong);
                }
                tag = tag << 8 | u32::from(next);
                rest = tail;
                if next & 0x80 == 0 {
                    break;
                }
            }
        }
        let Some((&first, rest)) = rest.split_first() else { return Ok(None) };
        let (value_length, rest) = match first {
            0x00..=0x7F => (usize::from(first), rest),
            0x81..=0x84 => {
                let Some((octets, rest)) = rest.split_at_checked(usize::from(first & 0x0F)) else { return Ok(None) };
                (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
            }
            _ => return Err(TlvError::Length),
        };
        Ok(Some(Self { tag: Tag(tag), header_length: bytes.len() - rest.len(), value_length }))
    }

    /// Bytes of the whole TLV.
    pub const fn total_length(&self) -> usize {
        self.header_length.saturating_add(self.value_length)
    }
}

/// One TLV, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// Tag.
    pub tag: Tag,
    /// Value.
    pub value: &'a [u8],
    /// The whole TLV as received, header included: what a signature covers.
    pub raw: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// Reads one TLV that fills `bytes` exactly.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TlvError> {
        let mut reader = Reader::new(bytes);
        let tlv = reader.next()?.ok_or(TlvError::Truncated)?;
        reader.finish()?;
        Ok(tlv)
    }

    /// A reader over the value.
    pub const fn children(&self) -> Reader<'a> {
        Reader::new(self.value)
    }
}

/// A walk over consecutive TLVs.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next TLV; `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "fallible: an iterator of results would invite unwraps")]
    pub fn next(&mut self) -> Result<Option<Tlv<'a>>, TlvError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let header = Header::parse(self.rest)?.ok_or(TlvError::Truncated)?;
        let (raw, rest) = self.rest.split_at_checked(header.total_length()).ok_or(TlvError::Truncated)?;
        let value = raw.get(header.header_length..).ok_or(TlvError::Truncated)?;
        self.rest = rest;
        Ok(Some(Tlv { tag: header.tag, value, raw }))
    }

    /// The next TLV, which must have `tag`.
    pub fn expect(&mut self, tag: Tag) -> Result<Tlv<'a>, TlvError> {
        match self.next()? {
            Some(tlv) if tlv.tag == tag => Ok(tlv),
            Some(_) => Err(TlvError::UnexpectedTag),
            None => Err(TlvError::Truncated),
        }
    }

    /// The next TLV if it has `tag`; otherwise nothing moves.
    pub fn optional(&mut self, tag: Tag) -> Result<Option<Tlv<'a>>, TlvError> {
        let mut ahead = *self;
        match ahead.next()? {
            Some(tlv) if tlv.tag == tag => {
                *self = ahead;
                Ok(Some(tlv))
            }
            _ => Ok(None),
        }
    }

    /// The first TLV with `tag` from here on, others skipped; the reader itself does not move.
    pub fn find(&self, tag: Tag) -> Result<Option<Tlv<'a>>, TlvError> {
        let mut ahead = *self;
        while let Some(tlv) = ahead.next()? {
            if tlv.tag == tag {
                return Ok(Some(tlv));
            }
        }
        Ok(None)
    }

    /// The bytes not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the walk: nothing may be left.
    pub const fn finish(self) -> Result<(), TlvError> {
        if self.rest.is_empty() { Ok(()) } else { Err(TlvError::TrailingData) }
    }
}

/// Checks that `bytes` are well-formed BER-TLV, following constructed values down to `depth` levels.
///
/// For code that hands bytes to a recursive parser: ask here first.
pub fn check_depth(bytes: &[u8], depth: usize) -> Result<(), TlvError> {
    let mut reader = Reader::new(bytes);
    while let Some(tlv) = reader.next()? {
        if tlv.tag.is_constructed() {
            match depth.checked_sub(1) {
                Some(depth) => check_depth(tlv.value, depth)?,
                None => return Err(TlvError::TooDeep),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = &[0xBF, 0x2D, 0x05, 0xA0, 0x03, 0x95, 0x01, 0x02];

    #[test]
    fn walks_down() {
        let request = Tlv::parse(REQUEST).unwrap();
        assert_eq!((request.tag, request.value.len(), request.raw), (Tag(0xBF2D), 5, REQUEST));
        let class = request.children().expect(Tag(0xA0)).unwrap().children().find(Tag(0x95)).unwrap().unwrap();
        assert_eq!(class.value, [2]);
    }

    #[test]
    fn lengths_in_every_form() {
        for (bytes, length) in [
            (&[0x5A, 0x05][..], 5),
            (&[0x5A, 0x81, 0x05], 5),
            (&[0x5A, 0x82, 0x01, 0x00], 256),
            (&[0x86, 0x84, 0, 1, 0, 0], 65_536),
        ] {
            assert_eq!(Header::parse(bytes).unwrap().map(|h| h.value_length), Some(length));
        }
        assert_eq!(Header::parse(&[0x5A, 0x80]), Err(TlvError::Length));
        assert_eq!(Header::parse(&[0x5A, 0x85, 1, 1, 1, 1, 1]), Err(TlvError::Length));
        assert_eq!(Header::parse(&[0x5A, 0x82, 0x01]), Ok(None));
        assert_eq!(Header::parse(&[0xBF]), Ok(None));
        assert_eq!(Header::parse(&[0xBF, 0x81, 0x82, 0x83, 0x04, 0x00]), Err(TlvError::TagTooLong));
    }

    #[test]
    fn refuses_what_is_cut_or_too_long() {
        for end in 1..REQUEST.len() {
            assert!(Tlv::parse(&REQUEST[..end]).is_err());
        }
        assert_eq!(Tlv::parse(&[0x80, 0x00, 0x00]), Err(TlvError::TrailingData));
        assert_eq!(Tlv::parse(&[]), Err(TlvError::Truncated));
    }

    #[test]
    fn depth_is_limited() {
        let nested: Vec<u8> = (0..40_usize).rev().flat_map(|below| [0x30, u8::try_from(below * 2).unwrap()]).collect();
        assert_eq!(check_depth(&nested, 40), Ok(()));
        assert_eq!(check_depth(&nested, 16), Err(TlvError::TooDeep));
    }
}
