//! The two tables every result code and every set of named bits is written as.

use rasn::types::{BitString, Constraints, Identifier, Tag};
use rasn::{Decoder, Encoder};

/// An `INTEGER` with named values: constants, names and `Display` from one table; values without a name survive.
macro_rules! integer_codes {
    ($(#[$meta:meta])* pub struct $type:ident { $($constant:ident = $value:literal $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(rasn::AsnType, rasn::Decode, rasn::Encode, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[rasn(delegate)]
        pub struct $type(pub i64);

        impl $type {
            $(#[doc = concat!("`", $name, "(", $value, ")`")] pub const $constant: Self = Self($value);)+

            /// Value and ASN.1 name of every code the specification names.
            pub const NAMES: &'static [(i64, &'static str)] = &[$(($value, $name)),+];

            /// The name in the ASN.1 module; `None` for a code this release does not know.
            pub fn name(self) -> Option<&'static str> {
                Self::NAMES.iter().find(|(value, _)| *value == self.0).map(|(_, name)| *name)
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{name}({})", self.0),
                    None => write!(f, "unknown({})", self.0),
                }
            }
        }

        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }
    };
}

/// A `BIT STRING` with named bits, as a set: constants, names and `Display` from one table; unnamed bits survive.
///
/// Up to 64 bits are kept. The number of bits received is kept too, so that a value is written back as it came.
macro_rules! named_bits {
    ($(#[$meta:meta])* pub struct $type:ident { $($constant:ident = $bit:literal $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Default)]
        pub struct $type {
            bits: u64,
            len: u8,
        }

        impl $type {
            $(#[doc = concat!("Bit ", $bit, ", `", $name, "`")] pub const $constant: Self = Self::bit($bit);)+

            /// Number and ASN.1 name of every bit the specification names.
            pub const NAMES: &'static [(u8, &'static str)] = &[$(($bit, $name)),+];

            /// The empty set.
            pub const EMPTY: Self = Self { bits: 0, len: 0 };

            /// The set of one bit, counted from 0, the leftmost.
            pub const fn bit(bit: u8) -> Self {
                Self { bits: 1 << bit, len: bit + 1 }
            }

            /// Both sets together; a `const` spelling of `|`.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self { bits: self.bits | other.bits, len: if self.len > other.len { self.len } else { other.len } }
            }

            /// This set written with at least `len` bits, where DER would stop after the last one set.
            #[must_use]
            pub const fn with_len(self, len: u8) -> Self {
                Self { bits: self.bits, len: if self.len > len { self.len } else { len } }
            }

            /// Whether every bit of `other` is set here.
            pub const fn contains(self, other: Self) -> bool {
                self.bits & other.bits == other.bits
            }

            /// Whether some bit is set here and in `other`.
            pub const fn intersects(self, other: Self) -> bool {
                self.bits & other.bits != 0
            }

            /// This set without the bits of `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self { bits: self.bits & !other.bits, len: 0 }.normalised()
            }

            /// Whether no bit is set.
            pub const fn is_empty(self) -> bool {
                self.bits == 0
            }

            /// Bit 0 of the set is bit 0 of the number.
            pub const fn bits(self) -> u64 {
                self.bits
            }

            /// The set whose bit 0 is bit 0 of `bits`.
            pub const fn from_bits(bits: u64) -> Self {
                Self { bits, len: 0 }.normalised()
            }

            const fn normalised(self) -> Self {
                let mut len = 0;
                while len < 64 && self.bits >> len != 0 {
                    len += 1;
                }
                Self { bits: self.bits, len }
            }

            /// The single bits set, ascending.
            pub fn iter(self) -> impl Iterator<Item = Self> {
                (0..64).filter(move |bit| self.bits >> bit & 1 == 1).map(Self::bit)
            }

            /// Names of the bits set, ascending; `None` for one without a name.
            pub fn names(self) -> impl Iterator<Item = Option<&'static str>> {
                self.iter().map(|one| {
                    Self::NAMES.iter().find(|(bit, _)| one.bits == 1 << bit).map(|(_, name)| *name)
                })
            }
        }

        impl core::ops::BitOr for $type {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }

        /// The same bits are set, however many octets they were written with.
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.bits == other.bits
            }
        }

        impl Eq for $type {}

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut separator = "";
                for (one, name) in self.iter().zip(self.names()) {
                    f.write_str(separator)?;
                    match name {
                        Some(name) => f.write_str(name)?,
                        None => write!(f, "bit {}", one.bits.trailing_zeros())?,
                    }
                    separator = ", ";
                }
                if separator.is_empty() { f.write_str("none") } else { Ok(()) }
            }
        }

        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{{{self}}}")
            }
        }

        impl rasn::AsnType for $type {
            const TAG: rasn::types::Tag = rasn::types::Tag::BIT_STRING;
        }

        impl rasn::Decode for $type {
            fn decode_with_tag_and_constraints<D: rasn::Decoder>(
                decoder: &mut D,
                tag: rasn::types::Tag,
                _: &rasn::types::Constraints,
            ) -> Result<Self, D::Error> {
                crate::code::decode_bits(decoder, tag).map(|(bits, len)| Self { bits, len })
            }
        }

        impl rasn::Encode for $type {
            fn encode_with_tag_and_constraints<'b, E: rasn::Encoder<'b>>(
                &self,
                encoder: &mut E,
                tag: rasn::types::Tag,
                _: &rasn::types::Constraints,
                _: rasn::types::Identifier,
            ) -> Result<(), E::Error> {
                crate::code::encode_bits(encoder, tag, self.bits, self.len)
            }
        }
    };
}

pub(crate) use {integer_codes, named_bits};

/// The first 64 bits of a BIT STRING, and how many there were.
pub(crate) fn decode_bits<D: Decoder>(decoder: &mut D, tag: Tag) -> Result<(u64, u8), D::Error> {
    let string = decoder.decode_bit_string(tag, &Constraints::NONE)?;
    let bits = string.iter().by_vals().take(64).enumerate().fold(0, |bits, (i, set)| bits | u64::from(set) << i);
    Ok((bits, u8::try_from(string.len().min(64)).unwrap_or(64)))
}

/// Writes `len` bits, bit 0 first.
pub(crate) fn encode_bits<'b, E: Encoder<'b>>(encoder: &mut E, tag: Tag, bits: u64, len: u8) -> Result<(), E::Error> {
    let string: BitString = (0..len).map(|bit| bits >> bit & 1 == 1).collect();
    encoder.encode_bit_string(tag, &Constraints::NONE, &string, Identifier::EMPTY).map(drop)
}

#[cfg(test)]
mod tests {
    use crate::es10c::EnableProfileResult;
    use crate::golden::both_ways;
    use crate::metadata::{NotificationEvent, PprIds};

    #[test]
    fn codes_without_a_name_survive() {
        assert_eq!(EnableProfileResult::CAT_BUSY.to_string(), "catBusy(5)");
        assert_eq!(EnableProfileResult(99).to_string(), "unknown(99)");
        both_ways("020163", &EnableProfileResult(99));
    }

    /// SGP.22 Annex: install 0780, enable 0640, disable 0520, delete 0410.
    #[test]
    fn named_bits_drop_trailing_zeros() {
        both_ways("03020780", &NotificationEvent::INSTALL);
        both_ways("03020640", &NotificationEvent::ENABLE);
        both_ways("03020520", &NotificationEvent::DISABLE);
        both_ways("03020410", &NotificationEvent::DELETE);
        both_ways("03020560", &(PprIds::PPR1 | PprIds::PPR2));
        both_ways("030100", &PprIds::EMPTY);
    }

    #[test]
    fn other_spellings_are_read() {
        let read = |hex: &str| crate::decode::<NotificationEvent>(&hex::decode(hex).unwrap()).unwrap();
        assert_eq!(read("03020080"), NotificationEvent::INSTALL);
        assert_eq!(read("030204F0"), NotificationEvent::from_bits(0xF));
        assert_eq!(
            (NotificationEvent::ENABLE | NotificationEvent::DELETE).to_string(),
            "notificationEnable, notificationDelete"
        );
        assert_eq!(read("0303000001").to_string(), "bit 15");
    }
}
