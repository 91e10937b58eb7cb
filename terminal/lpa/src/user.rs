//! What procedures tell the user, and ask.

use core::time::Duration;

use rsp::es8::StoreMetadataRequest;
use rsp::es10b::CancelSessionReason;
use rsp::metadata::{NotificationEvent, PprIds};

/// The person, or program, on whose behalf the LPA acts.
pub trait User {
    /// Something happened. `apdus` counts the commands sent to the card since it was opened.
    fn progress(&mut self, event: Progress<'_>, apdus: u64) {
        let _ = (event, apdus);
    }

    /// Shall this profile be installed?
    fn consent(&mut self, offer: Offer<'_>) -> Decision;

    /// The confirmation code of the operator; `after_a_wrong_one` if the last one was refused. `None` if there is none.
    fn confirmation_code(&mut self, after_a_wrong_one: bool) -> Option<String> {
        let _ = after_a_wrong_one;
        None
    }
}

/// A profile the server offers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offer<'a> {
    /// What the profile is.
    pub metadata: &'a StoreMetadataRequest,
    /// Policy rules to which the user must agree knowingly (`ppr1`: it cannot be disabled, `ppr2`: not deleted).
    /// Empty if there are none, or they need no consent. SGP.22 section 2.9.3
    pub rules_to_agree_to: PprIds,
    /// Whether a confirmation code will be asked for.
    pub confirmation_code_required: bool,
}

/// The answer to an [`Offer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Install it.
    Accept,
    /// Never: the order ends.
    Reject,
    /// Not now: the order stays.
    Postpone,
    /// There was no answer in time.
    Timeout,
}

/// A step of a procedure, told as it begins, unless it says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress<'a> {
    /// The eUICC works on an ES10 function.
    Card(&'static str),
    /// A server works on an ES9+ or ES11 function.
    Server {
        /// Name of the function, `initiateAuthentication`.
        function: &'a str,
        /// Whose.
        address: &'a str,
    },
    /// The server offered a profile.
    Metadata(&'a StoreMetadataRequest),
    /// A piece of the profile package was taken by the eUICC.
    Loaded {
        /// Pieces taken.
        piece: usize,
        /// Pieces in all.
        of: usize,
    },
    /// The session is being cancelled.
    Cancel(CancelSessionReason),
    /// A notification is being delivered; the recipient has so long.
    NotificationSending {
        /// Its number.
        seq_number: u64,
        /// What it reports.
        event: NotificationEvent,
        /// The recipient.
        address: &'a str,
        /// At most so long, further tries included; `None` without end.
        within: Option<Duration>,
    },
    /// It could not be delivered yet; after a pause it is tried again.
    NotificationDelayed {
        /// Its number.
        seq_number: u64,
        /// The recipient.
        address: &'a str,
        /// Why.
        cause: &'a str,
        /// How long the pause is.
        pause: Duration,
    },
    /// A notification was delivered.
    NotificationSent {
        /// Its number.
        seq_number: u64,
        /// What it reports.
        event: NotificationEvent,
        /// The recipient.
        address: &'a str,
    },
    /// A notification could not be delivered and stays on the eUICC.
    NotificationFailed {
        /// Its number.
        seq_number: u64,
        /// The recipient.
        address: &'a str,
        /// Why.
        cause: &'a str,
    },
}

/// Accepts every profile that needs no knowing consent to policy rules, and has no confirmation code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unattended;

impl User for Unattended {
    fn consent(&mut self, offer: Offer<'_>) -> Decision {
        if offer.rules_to_agree_to.is_empty() { Decision::Accept } else { Decision::Postpone }
    }
}
