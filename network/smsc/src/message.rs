//! A message: its submission and its state.

use hlr::HlrError;
use sms::UserData;

use super::smpp::body::Address;

/// A submitted message.
#[derive(Debug)]
pub struct Submission {
    /// The client's name.
    pub client: String,
    /// SMPP service_type.
    pub service_type: String,
    /// The sender; without digits, the service centre itself.
    pub source: Address,
    /// The receiver: a telephone number, or an IMSI ([`Address::E212`]).
    pub destination: Address,
    /// Its contents.
    pub data: UserData,
    /// TP-Protocol-Identifier.
    pub protocol: u8,
    /// TP-Reply-Path.
    pub reply_path: bool,
    /// Not before, in seconds since 1970.
    pub not_before: Option<u64>,
    /// Not after, in seconds since 1970.
    pub expires_at: Option<u64>,
    /// The requested receipt.
    pub receipt: Receipt,
    /// Whether it replaces pending ones of the same client, service, source and destination.
    pub replace: bool,
}

/// The receipt a client requests. SMPP 3.4 §5.2.17.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// No receipt.
    Never,
    /// In any final state.
    Always,
    /// Only if delivery fails.
    Failure,
}

impl Receipt {
    /// Its name in the database.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Always => "always",
            Self::Failure => "failure",
        }
    }
}

/// The state of a message. SMPP 3.4 §5.2.28.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// In transit, not delivered yet.
    Enroute,
    /// The phone acknowledged it.
    Delivered,
    /// The phone did not fetch it in time.
    Expired,
    /// The client cancelled it.
    Deleted,
    /// The phone refused it repeatedly.
    Undeliverable,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Enroute, Self::Delivered, Self::Expired, Self::Deleted, Self::Undeliverable];

    /// Its name in the database and for users.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enroute => "enroute",
            Self::Delivered => "delivered",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
            Self::Undeliverable => "undeliverable",
        }
    }

    /// message_state.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Enroute => 1,
            Self::Delivered => 2,
            Self::Expired => 3,
            Self::Deleted => 4,
            Self::Undeliverable => 5,
        }
    }

    /// Its name in a receipt. SMPP 3.4 appendix B.
    pub const fn in_receipt(self) -> &'static str {
        match self {
            Self::Enroute => "ENROUTE",
            Self::Delivered => "DELIVRD",
            Self::Expired => "EXPIRED",
            Self::Deleted => "DELETED",
            Self::Undeliverable => "UNDELIV",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Why a message or query is refused.
#[derive(Debug, thiserror::Error)]
pub enum SmscError {
    /// Invalid source address.
    #[error("invalid source address")]
    Source,
    /// The destination has no subscriber.
    #[error("the destination has no subscriber")]
    Destination,
    /// The sender is out of service.
    #[error("the sender is out of service")]
    Barred,
    /// The contents do not fit one message.
    #[error("the contents do not fit one message")]
    Contents,
    /// Too many pending messages for this phone.
    #[error("too many pending messages for this phone")]
    QueueFull,
    /// No pending message of this client has that name.
    #[error("no such message")]
    NoMessage,
    /// The register fails.
    #[error(transparent)]
    Register(#[from] HlrError),
    /// The database fails.
    #[error("the service centre's database: {}", ::database::told(.0))]
    Database(#[from] sqlx::Error),
    /// The database contains an invalid value.
    #[error("the service centre's database has a bad {0}")]
    Corrupt(&'static str),
}
