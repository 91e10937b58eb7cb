//! What the modem asks of a network and hears from it. The program around the modem carries both.

use std::fmt;

use usim::UmtsAnswer;

/// What is beyond the modem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// Nothing: no service, and nobody is asked.
    #[default]
    None,
    /// A network that is said to be there: the modem is registered as soon as its card has an IMSI and its PIN, though nothing
    /// authenticates it. It carries no messages.
    Simulated,
    /// A network that authenticates the card, by [`Request`] and [`Event`].
    Real,
}

/// What the modem asks of its network.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// Attach this subscription, and forget an earlier one. Events say which attempt they are of.
    Attach {
        /// Counts the attempts.
        attempt: u64,
        /// IMSI.
        imsi: String,
        /// How many of its digits are the MNC.
        mnc_length: usize,
    },
    /// What the card says to a challenge; `None` if it cannot say anything.
    Answer(Option<UmtsAnswer>),
    /// Forget the subscription.
    Detach,
    /// Send an SMS-SUBMIT.
    Submit {
        /// The modem's name for it.
        number: u64,
        /// Its octets.
        tpdu: Vec<u8>,
    },
    /// RP-ACK or RP-ERROR for a message.
    Report {
        /// The network's name for it.
        id: String,
        /// RP-Cause of RP-ERROR; `None` for RP-ACK.
        cause: Option<u8>,
    },
    /// There is memory for messages again: RP-SMMA.
    MemoryAvailable,
}

/// Neither keys nor contents.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attach { attempt, .. } => write!(f, "Attach({attempt})"),
            Self::Answer(_) => f.write_str("Answer"),
            Self::Detach => f.write_str("Detach"),
            Self::Submit { number, .. } => write!(f, "Submit({number})"),
            Self::Report { id, cause } => write!(f, "Report({id}, {cause:?})"),
            Self::MemoryAvailable => f.write_str("MemoryAvailable"),
        }
    }
}

/// What the modem hears from its network.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// The attempt to attach that it belongs to; of earlier ones nothing is heard any more.
    pub attempt: u64,
    /// What.
    pub what: What,
}

/// What happens in a network.
#[derive(Clone, PartialEq, Eq)]
pub enum What {
    /// The network wants the card to prove itself.
    Challenge {
        /// RAND.
        rand: [u8; 16],
        /// AUTN.
        autn: [u8; 16],
    },
    /// It has authenticated the card: the modem is registered.
    Attached,
    /// It refuses the card.
    Refused,
    /// It cannot be reached, or has forgotten the modem.
    Lost,
    /// What became of a message that was sent.
    Submitted {
        /// As in [`Request::Submit`].
        number: u64,
        /// RP-Cause, if it was refused.
        refusal: Option<u8>,
    },
    /// A message for the card.
    Message {
        /// The network's name for it.
        id: String,
        /// Number of the service centre.
        centre: String,
        /// SMS-DELIVER or SMS-STATUS-REPORT.
        tpdu: Vec<u8>,
    },
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.what {
            What::Challenge { .. } => "challenge",
            What::Attached => "attached",
            What::Refused => "refused",
            What::Lost => "lost",
            What::Submitted { .. } => "submitted",
            What::Message { .. } => "message",
        };
        write!(f, "Event({}: {what})", self.attempt)
    }
}

/// RP-Causes that the modem gives or is given. TS 24.011 §8.2.5.4.
pub(crate) mod cause {
    pub(crate) const MEMORY_EXCEEDED: u8 = 22;
    pub(crate) const NETWORK_OUT_OF_ORDER: u8 = 38;
    pub(crate) const NOT_IMPLEMENTED: u8 = 69;
    pub(crate) const PROTOCOL_ERROR: u8 = 111;
}
