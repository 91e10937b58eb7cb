//! Short messages as they travel: text, transfer protocol data units, and the record a card keeps them in.
//!
//! | module | what | specification |
//! |---|---|---|
//! | [`alphabet`] | the GSM 7-bit default alphabet with its extension table, and its packing | TS 23.038 §6.1.2, 6.2.1 |
//! | [`alpha`] | names on a card, in the GSM alphabet or in codings 80, 81 and 82 of UCS2 | TS 102 221 annex A |
//! | [`coding`] | the data coding scheme, and UCS2 | TS 23.038 §4 |
//! | [`address`] | numbers and names of senders, receivers and service centres | TS 23.040 §9.1.2.5 |
//! | [`timestamp`] | TP-Service-Centre-Time-Stamp | TS 23.040 §9.2.3.11 |
//! | [`handling`] | what a phone does with a message, by class and protocol identifier | TS 23.038 §4, TS 23.040 §9.2.3.9 |
//! | [`header`] | the user data header: ports, parts of a long message | TS 23.040 §9.2.3.24 |
//! | [`user_data`] | a message's contents, and a long text in parts | TS 23.040 §9.2.3.24 |
//! | [`tpdu`] | SMS-DELIVER and SMS-SUBMIT | TS 23.040 §9.2.2 |
//! | [`status_report`] | SMS-STATUS-REPORT | TS 23.040 §9.2.2.3 |
//! | [`record`] | EF.SMS | TS 31.102 §4.2.25 |
//!
//! Octets come in and go out; the time is an argument. What a network sends is read with care and never trusted: no
//! input makes a function here panic.

pub mod address;
pub mod alpha;
pub mod alphabet;
pub mod coding;
pub mod handling;
pub mod header;
pub mod record;
pub mod status_report;
pub mod timestamp;
pub mod tpdu;
pub mod user_data;

pub use address::Address;
pub use alpha::AlphaCoding;
pub use coding::{Alphabet, DataCoding};
pub use handling::Handling;
pub use header::{Concatenation, Element, Indication, Ports};
pub use record::{Record, Status};
pub use status_report::StatusReport;
pub use timestamp::Timestamp;
pub use tpdu::{Deliver, Submit, Validity};
pub use user_data::{Parts, Reassembly, UserData, split};

/// Octets that are no short message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end too early.
    #[error("the message ends within {0}")]
    Short(&'static str),
    /// A length says more than there may be.
    #[error("{0} is longer than it may be")]
    Long(&'static str),
    /// A message of another type.
    #[error("TP-Message-Type-Indicator says {0}, which is not this message")]
    Type(u8),
    /// The lengths within the user data header do not add up.
    #[error("the user data header's lengths do not add up")]
    Header,
    /// An address has digits that are none.
    #[error("an address with a fill digit inside")]
    Address,
}

/// Octets read from the front.
#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn octet(&mut self, of: &'static str) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed::Short(of))?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize, of: &'static str) -> Result<&'a [u8], Malformed> {
        let (first, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short(of))?;
        self.0 = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self, of: &'static str) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Malformed::Short(of))?;
        self.0 = rest;
        Ok(*first)
    }
}
