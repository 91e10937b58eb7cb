//! A DER decoder that skips elements it does not know.
//!
//! The ASN.1 module of SGP.22 is `EXTENSIBILITY IMPLIED`: a card built to one release must accept the messages of a
//! newer one (X.680 §52.2). rasn's own decoder refuses an unknown element of a SEQUENCE; this one skips it and
//! leaves everything else to rasn. It also takes what deployed peers send against DER: any non-zero BOOLEAN as TRUE,
//! lengths longer than needed, BIT STRINGs with trailing zero bits.
//!
//! Where it is [asked to](decode_with_own_tags) it also takes a primitive element under the universal tag of its type, where its
//! field has a tag of its own: a slip of deployed LPAs, which some deployed cards do not mind.
//!
//! What it does not take: indefinite lengths, a missing mandatory element, an unknown alternative of a CHOICE, octets
//! after the end of the message, nesting deeper than [`MAX_DEPTH`].

use rasn::ber::de::{Decoder as Ber, DecoderOptions};
use rasn::error::{BerDecodeErrorKind, DecodeErrorKind};
use rasn::types::fields::Field;
use rasn::types::{self, Any, Class, Constraints, Constructed, DecodeChoice, Enumerated, Tag, TagTree};
use rasn::{Decode, Decoder};

use apdu::tlv::Reader;

/// Levels of constructed values accepted; SGP.22 messages need eleven.
pub const MAX_DEPTH: u8 = 32;

/// The message is not what its type says: the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not decodable: {0}")]
pub struct DecodeError(String);

impl DecodeError {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    /// The same, with what it is about in front.
    #[must_use]
    pub fn of(self, what: &str) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

/// Decodes exactly one value from `input`.
pub fn decode<T: Decode>(input: &[u8]) -> Result<T, DecodeError> {
    decode_one(input, false, T::decode)
}

/// As [`decode`], but takes a primitive element also under the universal tag of its type where its field has a tag of its own:
/// `01 01 01` for a refreshFlag that SGP.22 writes `81 01 01`. Not where another field has that tag.
pub fn decode_with_own_tags<T: Decode>(input: &[u8]) -> Result<T, DecodeError> {
    decode_one(input, true, T::decode)
}

/// As [`decode`], for a value that carries another tag than its type's own.
pub(crate) fn decode_with_tag<T: Decode>(input: &[u8], tag: Tag) -> Result<T, DecodeError> {
    decode_one(input, false, |decoder| T::decode_with_tag(decoder, tag))
}

fn decode_one<'a, T>(
    input: &'a [u8],
    takes_own_tags: bool,
    read: impl FnOnce(&mut Lenient<'a>) -> RasnResult<T>,
) -> Result<T, DecodeError> {
    let mut decoder = Lenient { input, depth: MAX_DEPTH, known: None, takes_own_tags };
    read(&mut decoder)
        .and_then(|value| decoder.finish().map(|()| value))
        .map_err(|error| DecodeError(in_own_words(&error.kind)))
}

/// What rasn says of an error, without its label on errors that are ours.
pub(crate) fn in_own_words(kind: &dyn core::fmt::Display) -> String {
    let text = kind.to_string();
    text.strip_prefix("Custom error: ").map(str::to_owned).unwrap_or(text)
}

type RasnResult<T> = Result<T, rasn::error::DecodeError>;

/// What remains of one constructed value, or of the whole message.
struct Lenient<'a> {
    input: &'a [u8],
    depth: u8,
    /// Tags of the SEQUENCE this is the inside of; elements with others are skipped. `None` outside of a SEQUENCE.
    known: Option<Vec<Tag>>,
    /// Whether a field that has a tag of its own may come under the universal tag of its type.
    takes_own_tags: bool,
}

impl<'a> Lenient<'a> {
    /// Has rasn read one value, after unknown elements before it were skipped.
    fn ber<T>(&mut self, read: impl FnOnce(&mut Ber<'a>) -> RasnResult<T>) -> RasnResult<T> {
        self.skip_unknown()?;
        self.ber_here(read)
    }

    /// The same for a primitive value of a field that is tagged `tag`, of a type that is tagged `own`.
    fn field<T>(&mut self, tag: Tag, own: Tag, read: impl FnOnce(&mut Ber<'a>, Tag) -> RasnResult<T>) -> RasnResult<T> {
        let own = self.instead_of(tag, own);
        self.skip_unknown_but(own)?;
        let is_slip = own.is_some() && !self.input.is_empty() && Some(self.peek()?) == own;
        let tag = own.filter(|_| is_slip).unwrap_or(tag);
        self.ber_here(|ber| read(ber, tag))
    }

    /// The tag that is taken too where `tag` is expected of a value whose type is tagged `own`.
    fn instead_of(&self, tag: Tag, own: Tag) -> Option<Tag> {
        let known = self.known.as_ref().filter(|_| self.takes_own_tags)?;
        let has_two = tag.class != Class::Universal && own.class == Class::Universal && own != Tag::EOC;
        (has_two && !known.contains(&own)).then_some(own)
    }

    fn ber_here<T>(&mut self, read: impl FnOnce(&mut Ber<'a>) -> RasnResult<T>) -> RasnResult<T> {
        let mut ber = Ber::new(self.input, DecoderOptions::der());
        let value = read(&mut ber)?;
        self.input = ber.remaining();
        Ok(value)
    }

    fn peek(&self) -> RasnResult<Tag> {
        Ber::new(self.input, DecoderOptions::der()).peek_tag()
    }

    /// Splits off the inside of the value tagged `tag`.
    fn enter(&mut self, tag: Tag, known: Option<Vec<Tag>>) -> RasnResult<Lenient<'a>> {
        self.skip_unknown()?;
        let depth = self.depth.checked_sub(1).ok_or_else(|| self.error(DecodeErrorKind::ExceedsMaxParseDepth))?;
        let actual = self.peek()?;
        if actual != tag {
            return Err(BerDecodeErrorKind::MismatchedTag { expected: tag, actual }.into());
        }
        let mut reader = Reader::new(self.input);
        let tlv = reader.next().map_err(|error| self.custom(&error.to_string()))?;
        let Some(tlv) = tlv.filter(|tlv| tlv.tag.is_constructed()) else {
            return Err(BerDecodeErrorKind::InvalidConstructedIdentifier.into());
        };
        self.input = reader.rest();
        Ok(Lenient { input: tlv.value, depth, known, takes_own_tags: self.takes_own_tags })
    }

    fn skip_unknown(&mut self) -> RasnResult<()> {
        self.skip_unknown_but(None)
    }

    fn skip_unknown_but(&mut self, also: Option<Tag>) -> RasnResult<()> {
        while let (false, Some(known)) = (self.input.is_empty(), &self.known) {
            let next = self.peek()?;
            if known.contains(&next) || also == Some(next) {
                break;
            }
            self.ber_here(|ber| ber.decode_any(Tag::EOC).map(drop))?;
        }
        Ok(())
    }

    /// Nothing but unknown elements may be left.
    fn finish(&mut self) -> RasnResult<()> {
        self.skip_unknown()?;
        match self.input.len() {
            0 => Ok(()),
            left => Err(rasn::error::DecodeError::unexpected_extra_data(left, self.codec())),
        }
    }

    /// Reads the value if it is there. `tag` is EOC for a CHOICE, whose alternatives are the `leaves` of `tree`; `own` is the tag of
    /// the value's type.
    fn optional<T>(
        &mut self,
        tag: Tag,
        own: Tag,
        tree: &TagTree,
        read: impl FnOnce(&mut Self) -> RasnResult<T>,
    ) -> RasnResult<Option<T>> {
        let own = self.instead_of(tag, own);
        self.skip_unknown_but(own)?;
        if self.input.is_empty() {
            return Ok(None);
        }
        let next = self.peek()?;
        let here = if tag == Tag::EOC { leaves(tree).contains(&next) } else { next == tag || own == Some(next) };
        if here { read(self).map(Some) } else { Ok(None) }
    }

    fn error(&self, kind: DecodeErrorKind) -> rasn::error::DecodeError {
        rasn::error::DecodeError::from_kind(kind, self.codec())
    }

    fn custom(&self, why: &str) -> rasn::error::DecodeError {
        self.error(DecodeErrorKind::Custom { msg: why.into() })
    }
}

/// The tags a value of this type may start with.
pub(crate) fn leaves(tree: &TagTree) -> Vec<Tag> {
    match tree {
        TagTree::Leaf(tag) => vec![*tag],
        TagTree::Choice(alternatives) => alternatives.iter().flat_map(leaves).collect(),
    }
}

fn tags(fields: impl Iterator<Item = Field>) -> Vec<Tag> {
    fields.flat_map(|field| if field.tag == Tag::EOC { leaves(&field.tag_tree) } else { vec![field.tag] }).collect()
}

/// Primitive types rasn reads as they are, each under the tag of its field, or its own.
macro_rules! fields_by_rasn {
    ($($name:ident($own:expr $(, $argument:ident: $type:ty)*) -> $result:ty;)*) => { $(
        fn $name(&mut self, tag: Tag $(, $argument: $type)*) -> RasnResult<$result> {
            self.field(tag, $own, |ber, tag| ber.$name(tag $(, $argument)*))
        }
    )* };
}

/// The same, under the tag of its field only.
macro_rules! by_rasn {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => { $(
        fn $name(&mut self, $($argument: $type),*) -> RasnResult<$result> {
            self.ber(|ber| ber.$name($($argument),*))
        }
    )* };
}

impl<'a> Decoder for Lenient<'a> {
    type Ok = ();
    type Error = rasn::error::DecodeError;
    type AnyDecoder<const R: usize, const E: usize> = Lenient<'a>;

    fn codec(&self) -> rasn::Codec {
        rasn::Codec::Der
    }

    fields_by_rasn! {
        decode_bit_string(Tag::BIT_STRING, c: &Constraints) -> types::BitString;
        decode_utf8_string(Tag::UTF8_STRING, c: &Constraints) -> types::Utf8String;
    }

    by_rasn! {
        decode_any(tag: Tag) -> Any;
        decode_null(tag: Tag) -> ();
        decode_object_identifier(tag: Tag) -> types::ObjectIdentifier;
        decode_visible_string(tag: Tag, c: &Constraints) -> types::VisibleString;
        decode_general_string(tag: Tag, c: &Constraints) -> types::GeneralString;
        decode_graphic_string(tag: Tag, c: &Constraints) -> types::GraphicString;
        decode_ia5_string(tag: Tag, c: &Constraints) -> types::Ia5String;
        decode_printable_string(tag: Tag, c: &Constraints) -> types::PrintableString;
        decode_numeric_string(tag: Tag, c: &Constraints) -> types::NumericString;
        decode_teletex_string(tag: Tag, c: &Constraints) -> types::TeletexString;
        decode_bmp_string(tag: Tag, c: &Constraints) -> types::BmpString;
        decode_utc_time(tag: Tag) -> types::UtcTime;
        decode_generalized_time(tag: Tag) -> types::GeneralizedTime;
        decode_date(tag: Tag) -> types::Date;
    }

    fn decode_bool(&mut self, tag: Tag) -> RasnResult<bool> {
        let octets: Vec<u8> =
            self.field(tag, Tag::BOOL, |ber, tag| ber.decode_octet_string(tag, &Constraints::NONE))?;
        match octets[..] {
            [octet] => Ok(octet != 0),
            _ => Err(self.custom("a BOOLEAN has one octet")),
        }
    }

    fn decode_enumerated<E: Enumerated>(&mut self, tag: Tag) -> RasnResult<E> {
        self.field(tag, Tag::ENUMERATED, rasn::Decoder::decode_enumerated)
    }

    fn decode_integer<I: types::IntegerType>(&mut self, tag: Tag, c: &Constraints) -> RasnResult<I> {
        self.field(tag, Tag::INTEGER, |ber, tag| ber.decode_integer(tag, c))
    }

    fn decode_real<R: types::RealType>(&mut self, tag: Tag, c: &Constraints) -> RasnResult<R> {
        self.ber(|ber| ber.decode_real(tag, c))
    }

    fn decode_octet_string<'b, T: From<&'b [u8]> + From<Vec<u8>>>(
        &'b mut self,
        tag: Tag,
        c: &Constraints,
    ) -> RasnResult<T> {
        self.field(tag, Tag::OCTET_STRING, |ber, tag| ber.decode_octet_string::<Vec<u8>>(tag, c)).map(T::from)
    }

    fn decode_sequence<const RC: usize, const EC: usize, D, DF, F>(
        &mut self,
        tag: Tag,
        default: Option<DF>,
        read: F,
    ) -> RasnResult<D>
    where
        D: Constructed<RC, EC>,
        DF: FnOnce() -> D,
        F: FnOnce(&mut Self::AnyDecoder<RC, EC>) -> RasnResult<D>,
    {
        let fields = D::FIELDS.iter().chain(D::EXTENDED_FIELDS.iter().flat_map(types::fields::Fields::iter));
        let mut inner = self.enter(tag, Some(tags(fields)))?;
        if let (true, Some(default)) = (inner.input.is_empty(), default) {
            return Ok(default());
        }
        let value = read(&mut inner)?;
        inner.finish()?;
        Ok(value)
    }

    fn decode_sequence_of<D: Decode>(&mut self, tag: Tag, _: &Constraints) -> RasnResult<Vec<D>> {
        let mut inner = self.enter(tag, None)?;
        let mut items = Vec::new();
        while !inner.input.is_empty() {
            items.push(D::decode(&mut inner)?);
        }
        Ok(items)
    }

    fn decode_set_of<D: Decode + Eq + core::hash::Hash>(
        &mut self,
        tag: Tag,
        c: &Constraints,
    ) -> RasnResult<types::SetOf<D>> {
        Ok(self.decode_sequence_of(tag, c)?.into())
    }

    fn decode_explicit_prefix<D: Decode>(&mut self, tag: Tag) -> RasnResult<D> {
        let mut inner = self.enter(tag, None)?;
        let value = D::decode(&mut inner)?;
        inner.finish()?;
        Ok(value)
    }

    fn decode_optional_with_explicit_prefix<D: Decode>(&mut self, tag: Tag) -> RasnResult<Option<D>> {
        self.optional(tag, tag, &D::TAG_TREE, |decoder| decoder.decode_explicit_prefix(tag))
    }

    fn decode_set<const RC: usize, const EC: usize, FIELDS, SET, D, F>(
        &mut self,
        tag: Tag,
        _: D,
        collect: F,
    ) -> RasnResult<SET>
    where
        SET: Decode + Constructed<RC, EC>,
        FIELDS: Decode,
        D: Fn(&mut Self::AnyDecoder<RC, EC>, usize, Tag) -> RasnResult<FIELDS>,
        F: FnOnce(Vec<FIELDS>) -> RasnResult<SET>,
    {
        collect(self.decode_sequence_of(tag, &Constraints::NONE)?)
    }

    fn decode_choice<D: DecodeChoice>(&mut self, _: &Constraints) -> RasnResult<D> {
        self.skip_unknown()?;
        let tag = self.peek()?;
        D::from_tag(self, tag)
    }

    fn decode_optional<D: Decode>(&mut self) -> RasnResult<Option<D>> {
        self.optional(D::TAG, D::TAG, &D::TAG_TREE, D::decode)
    }

    fn decode_optional_with_tag<D: Decode>(&mut self, tag: Tag) -> RasnResult<Option<D>> {
        self.optional(tag, D::TAG, &D::TAG_TREE, |decoder| D::decode_with_tag(decoder, tag))
    }

    fn decode_optional_with_constraints<D: Decode>(&mut self, c: &Constraints) -> RasnResult<Option<D>> {
        self.optional(D::TAG, D::TAG, &D::TAG_TREE, |decoder| D::decode_with_constraints(decoder, c))
    }

    fn decode_optional_with_tag_and_constraints<D: Decode>(
        &mut self,
        tag: Tag,
        c: &Constraints,
    ) -> RasnResult<Option<D>> {
        self.optional(tag, D::TAG, &D::TAG_TREE, |decoder| D::decode_with_tag_and_constraints(decoder, tag, c))
    }

    fn decode_extension_addition_with_explicit_tag_and_constraints<D: Decode>(
        &mut self,
        tag: Tag,
        _: &Constraints,
    ) -> RasnResult<Option<D>> {
        self.decode_optional_with_explicit_prefix(tag)
    }

    fn decode_extension_addition_with_tag_and_constraints<D: Decode>(
        &mut self,
        tag: Tag,
        _: &Constraints,
    ) -> RasnResult<Option<D>> {
        self.decode_optional_with_tag(tag)
    }

    fn decode_extension_addition_group<const RL: usize, const EL: usize, D: Decode + Constructed<RL, EL>>(
        &mut self,
    ) -> RasnResult<Option<D>> {
        self.decode_optional()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::es10b::{ListNotificationRequest, NotificationSentRequest};
    use crate::es10c::{
        DisableProfileRequest, EnableProfileRequest, EuiccMemoryResetRequest, GetEuiccDataRequest,
        ProfileInfoListResponse, SetNicknameRequest,
    };
    use crate::metadata::{PprIds, ProfileInfo};
    use hex_literal::hex;

    #[test]
    fn unknown_elements_are_skipped_anywhere() {
        let at_the_end: ProfileInfo = decode(&hex!("E314 5A0A98001032547698103214 9F700101 9B020102")).unwrap();
        assert_eq!(at_the_end.profile_policy_rules, None);
        let in_the_middle: ProfileInfo =
            decode(&hex!("E318 5A0A98001032547698103214 9F700101 9B020102 99020560")).unwrap();
        assert_eq!(in_the_middle.profile_policy_rules, Some(PprIds::PPR1 | PprIds::PPR2));
        let before_a_mandatory_one: EnableProfileRequest =
            decode(&hex!("BF3115 9900 A00C5A0A98001032547698103214 9C00 8101FF")).unwrap();
        assert!(before_a_mandatory_one.refresh_flag);
    }

    #[test]
    fn non_der_spellings_are_taken() {
        let request: EnableProfileRequest = decode(&hex!("BF318111 A00C5A0A98001032547698103214 810101")).unwrap();
        assert!(request.refresh_flag);
    }

    /// Each primitive element may come under its type's tag, only where that is asked for, and never two times.
    #[test]
    fn a_field_may_come_under_the_tag_of_its_type() {
        fn both<T: Decode + PartialEq + core::fmt::Debug>(by_rule: &[u8], by_slip: &[u8]) {
            let value: T = decode(by_rule).unwrap();
            assert_eq!(decode_with_own_tags::<T>(by_rule).as_ref(), Ok(&value));
            assert_eq!(decode_with_own_tags::<T>(by_slip), Ok(value), "{by_slip:02X?}");
            // A mandatory element is missed, an optional one is unknown and skipped.
            assert_ne!(decode::<T>(by_slip), decode_with_own_tags::<T>(by_slip), "{by_slip:02X?}");
        }
        let iccid = hex!("A00C5A0A98001032547698103214");
        let with = |head: &[u8], tail: &[u8]| [head, &iccid, tail].concat();
        both::<EnableProfileRequest>(&with(&hex!("BF3111"), &hex!("810101")), &with(&hex!("BF3111"), &hex!("010101")));
        both::<DisableProfileRequest>(&with(&hex!("BF3211"), &hex!("810100")), &with(&hex!("BF3211"), &hex!("010100")));
        both::<EuiccMemoryResetRequest>(&hex!("BF3404 820206C0"), &hex!("BF3404 030206C0"));
        both::<NotificationSentRequest>(&hex!("BF3003 800107"), &hex!("BF3003 020107"));
        both::<ListNotificationRequest>(&hex!("BF2804 81020780"), &hex!("BF2804 03020780"));
        both::<GetEuiccDataRequest>(&hex!("BF3E03 5C015A"), &hex!("BF3E03 04015A"));
        both::<SetNicknameRequest>(
            &hex!("BF290F 5A0A98001032547698103214 900141"),
            &hex!("BF290F 5A0A98001032547698103214 0C0141"),
        );
        let twice = with(&hex!("BF3114"), &hex!("810101 010101"));
        assert!(decode_with_own_tags::<EnableProfileRequest>(&twice).unwrap().refresh_flag, "the second is unknown");
        let long = with(&hex!("BF3112"), &hex!("01020101"));
        assert!(decode_with_own_tags::<EnableProfileRequest>(&long).is_err(), "a BOOLEAN has one octet");
        let other = with(&hex!("BF3111"), &hex!("020101"));
        assert!(decode_with_own_tags::<EnableProfileRequest>(&other).is_err(), "another type's tag");
    }

    #[test]
    fn broken_messages_are_refused() {
        assert!(decode::<EnableProfileRequest>(&hex!("BF3103 8101FF")).is_err(), "mandatory element missing");
        assert!(decode::<ProfileInfo>(&hex!("E300 00")).is_err(), "surplus");
        assert!(decode::<ProfileInfo>(&hex!("E3 80 0000")).is_err(), "indefinite");
        assert!(decode::<ProfileInfo>(&hex!("E301")).is_err(), "cut");
        assert!(decode::<ProfileInfoListResponse>(&hex!("BF2D02 A500")).is_err(), "unknown alternative");
        let deep: Vec<u8> = core::iter::repeat_n([0xA0, 0x80], 30_000).flatten().collect();
        assert!(decode::<ProfileInfoListResponse>(&deep).is_err());
    }

    /// Every one-octet mutation of a list of profiles decodes or is refused; none panics.
    #[test]
    fn mutations_do_not_panic() {
        let list = hex!(
            "BF2D32A030E32E5A0A980010325476981032144F10A0000005591010FFFFFFFF89000010009F700100910353504E9202504E950102"
        );
        for at in 0..list.len() {
            for octet in 0..=0xFF {
                let mut mutated = list;
                mutated[at] = octet;
                let _ = decode::<ProfileInfoListResponse>(&mutated);
                let _ = decode::<EnableProfileRequest>(&mutated);
            }
        }
    }
}
