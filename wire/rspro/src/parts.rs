//! What messages are made of.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use apdu::tlv::{Reader, Tag, Writer};

use crate::ber::{
    BOOLEAN, ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE, TEXT, boolean, expect, optional, small, text, write_boolean,
    write_number,
};
use crate::message::PduError;

/// The largest number of a client, a bank, or a slot of either.
const LARGEST: u16 = 1023;
/// Octets of the longest name.
const LONGEST_NAME: usize = 32;

macro_rules! slots {
    ($($(#[$doc:meta])* $name:ident $owner:ident $what:literal;)+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            #[doc = concat!("Number of the ", $what, ", 0 to 1023.")]
            pub $owner: u16,
            /// Number of the slot, 0 to 1023.
            pub slot: u16,
        }

        impl $name {
            pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, PduError> {
                Self::read_tagged(reader, SEQUENCE)?.ok_or(PduError::Missing(concat!($what, " slot")))
            }

            pub(crate) fn read_tagged(reader: &mut Reader<'_>, tag: Tag) -> Result<Option<Self>, PduError> {
                let Some(tlv) = optional(reader, tag)? else { return Ok(None) };
                let mut inside = tlv.children();
                let $owner = small(&mut inside, INTEGER, LARGEST, $what)?;
                let slot = small(&mut inside, INTEGER, LARGEST, "slot")?;
                Ok(Some(Self { $owner, slot }))
            }

            pub(crate) fn write(&self, out: &mut Writer) {
                self.write_tagged(out, SEQUENCE);
            }

            pub(crate) fn write_tagged(&self, out: &mut Writer, tag: Tag) {
                out.constructed(tag, |inside| {
                    write_number(inside, INTEGER, u32::from(self.$owner));
                    write_number(inside, INTEGER, u32::from(self.slot));
                });
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", self.$owner, self.slot)
            }
        }

        /// `NUMBER:SLOT`
        impl core::str::FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let number = |text: &str| text.parse().ok().filter(|number: &u16| *number <= LARGEST);
                let (owner, slot) = text.split_once(':').ok_or("NUMBER:SLOT, as in 1:0")?;
                let slot = number(slot).ok_or("a slot has a number from 0 to 1023")?;
                let $owner = number(owner).ok_or(concat!("a ", $what, " has a number from 0 to 1023"))?;
                Ok(Self { $owner, slot })
            }
        }
    )+ };
}

slots! {
    /// A place for a card: a slot of a client.
    ClientSlot client "client";
    /// A card: a slot of a bank.
    BankSlot bank "bank";
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident { $($constant:ident = $code:literal $text:literal,)+ })+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub u16);

        impl $name {
            $(#[doc = concat!("`", $text, "`")] pub const $constant: Self = Self($code);)+

            pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, PduError> {
                small(reader, ENUMERATED, u16::MAX, stringify!($name)).map(Self)
            }

            pub(crate) fn write(self, out: &mut Writer) {
                write_number(out, ENUMERATED, u32::from(self.0));
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(Self::$constant => f.write_str($text),)+
                    Self(other) => write!(f, "{other}"),
                }
            }
        }
    )+ };
}

codes! {
    /// Who somebody is.
    ComponentType {
        CLIENT = 0 "remsimClient",
        SERVER = 1 "remsimServer",
        BANK = 2 "remsimBankd",
    }

    /// How a request went. Unknown codes are kept.
    ResultCode {
        OK = 0 "ok",
        ILLEGAL_CLIENT_ID = 1 "illegalClientId",
        ILLEGAL_BANK_ID = 2 "illegalBankId",
        ILLEGAL_SLOT_ID = 3 "illegalSlotId",
        UNSUPPORTED_PROTOCOL_VERSION = 4 "unsupportedProtocolVersion",
        UNKNOWN_SLOTMAP = 5 "unknownSlotmap",
        IDENTITY_IN_USE = 6 "identityInUse",
        CARD_NOT_PRESENT = 100 "cardNotPresent",
        CARD_UNRESPONSIVE = 101 "cardUnresponsive",
        CARD_TRANSMISSION_ERROR = 102 "cardTransmissionError",
    }

    /// How bad an error is.
    Severity {
        MINOR = 1 "minor",
        MAJOR = 2 "major",
        FATAL = 3 "fatal",
    }

    /// Which error it is.
    ErrorCode {
        UNKNOWN_CLIENT_CONNECTED = 1 "unknownClientConnected",
        UNEXPECTED_DISCONNECT = 2 "unexpectedDisconnect",
        UNEXPECTED_PROTOCOL_VERSION = 3 "unexpectedProtocolVersion",
    }
}

/// `ComponentIdentity`: what somebody says they are. The optional names of hardware and firmware are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Client, server or bank.
    pub component: ComponentType,
    /// A name, of a host for example.
    pub name: String,
    /// The program.
    pub software: String,
    /// Its version.
    pub version: String,
}

impl Identity {
    const SOFTWARE: Tag = Tag(0x80);
    const VERSION: Tag = Tag(0x81);

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, PduError> {
        let mut inside = expect(reader, SEQUENCE, "identity")?.children();
        let component = ComponentType::read(&mut inside)?;
        let name = text(&expect(&mut inside, TEXT, "name")?, "name")?;
        let software = text(&expect(&mut inside, Self::SOFTWARE, "software")?, "software")?;
        let version = text(&expect(&mut inside, Self::VERSION, "swVersion")?, "swVersion")?;
        Ok(Self { component, name, software, version })
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.constructed(SEQUENCE, |inside| {
            self.component.write(inside);
            inside.primitive(TEXT, named(&self.name));
            inside.primitive(Self::SOFTWARE, named(&self.software));
            inside.primitive(Self::VERSION, named(&self.version));
        });
    }
}

/// As much of a name as fits; one at least.
fn named(name: &str) -> &[u8] {
    let octets = name.as_bytes();
    match octets.get(..LONGEST_NAME).unwrap_or(octets) {
        [] => b"-",
        fits => fits,
    }
}

/// `IpPort`: where a bank listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPort(pub SocketAddr);

impl IpPort {
    const V4: Tag = Tag(0x80);
    const V6: Tag = Tag(0x81);

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, PduError> {
        let mut inside = expect(reader, SEQUENCE, "IpPort")?.children();
        let ip = if let Some(v4) = optional(&mut inside, Self::V4)? {
            <[u8; 4]>::try_from(v4.value).map(IpAddr::from)
        } else {
            <[u8; 16]>::try_from(expect(&mut inside, Self::V6, "ip")?.value).map(IpAddr::from)
        };
        let ip = ip.map_err(|_| PduError::OutOfRange("ip"))?;
        Ok(Self(SocketAddr::new(ip, small(&mut inside, INTEGER, u16::MAX, "port")?)))
    }

    pub(crate) fn write(self, out: &mut Writer) {
        out.constructed(SEQUENCE, |inside| {
            match self.0.ip() {
                IpAddr::V4(ip) => inside.primitive(Self::V4, &ip.octets()),
                IpAddr::V6(ip) => inside.primitive(Self::V6, &ip.octets()),
            };
            write_number(inside, INTEGER, u32::from(self.0.port()));
        });
    }
}

/// `TpduFlags`, for TPDUs in pieces. All peers send them whole, and set none of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "as the specification has them")]
pub struct TpduFlags {
    /// `tpduHeaderPresent`
    pub header_present: bool,
    /// `finalPart`
    pub final_part: bool,
    /// `procByteContinueTx`
    pub continue_sending: bool,
    /// `procByteContinueRx`
    pub continue_receiving: bool,
}

impl TpduFlags {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, PduError> {
        let mut inside = expect(reader, SEQUENCE, "flags")?.children();
        let mut flag = || boolean(&expect(&mut inside, BOOLEAN, "flag")?);
        Ok(Self {
            header_present: flag()?,
            final_part: flag()?,
            continue_sending: flag()?,
            continue_receiving: flag()?,
        })
    }

    pub(crate) fn write(self, out: &mut Writer) {
        out.constructed(SEQUENCE, |inside| {
            for flag in [self.header_present, self.final_part, self.continue_sending, self.continue_receiving] {
                write_boolean(inside, BOOLEAN, flag);
            }
        });
    }
}

/// `SlotPhysStatus`: the contacts of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotStatus {
    /// Whether RST is active.
    pub reset: bool,
    /// Whether there is power, if that is known.
    pub power: Option<bool>,
    /// Whether there is a clock, if that is known.
    pub clock: Option<bool>,
    /// Whether a card is there, if that is known.
    pub card: Option<bool>,
}

impl SlotStatus {
    const RESET: Tag = Tag(0x80);
    const OTHERS: [Tag; 3] = [Tag(0x81), Tag(0x82), Tag(0x83)];

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, PduError> {
        let mut inside = expect(reader, SEQUENCE, "slotPhysStatus")?.children();
        let reset = boolean(&expect(&mut inside, Self::RESET, "resetActive")?)?;
        let [power, clock, card] = Self::OTHERS.map(|tag| match optional(&mut inside, tag) {
            Ok(Some(tlv)) => boolean(&tlv).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        });
        Ok(Self { reset, power: power?, clock: clock?, card: card? })
    }

    pub(crate) fn write(self, out: &mut Writer) {
        out.constructed(SEQUENCE, |inside| {
            write_boolean(inside, Self::RESET, self.reset);
            for (tag, value) in Self::OTHERS.into_iter().zip([self.power, self.clock, self.card]) {
                if let Some(value) = value {
                    write_boolean(inside, tag, value);
                }
            }
        });
    }
}

/// An OCTET STRING of `shortest` to `longest` octets.
pub(crate) fn octets(
    reader: &mut Reader<'_>,
    what: &'static str,
    shortest: usize,
    longest: usize,
) -> Result<Vec<u8>, PduError> {
    let value = expect(reader, OCTET_STRING, what)?.value;
    if (shortest..=longest).contains(&value.len()) { Ok(value.to_vec()) } else { Err(PduError::OutOfRange(what)) }
}
