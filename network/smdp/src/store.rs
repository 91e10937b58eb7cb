//! What an SM-DP+ has to remember, and the trait of whoever remembers it.

use std::future::Future;

use rsp::metadata::NotificationEvent;
use rsp::{CertificateDer, Eid, Iccid, Signature, SubjectKeyIdentifier, TransactionId};

use crate::profile::{Profile, UnixTime};

/// Profiles, sessions and notifications, kept over restarts.
///
/// Updates are optimistic: a record is written only if nobody has written it since it was read, and the answer says so.
pub trait Store: Send + Sync {
    /// The profile with this ICCID.
    fn profile(&self, iccid: &Iccid) -> impl Future<Output = Result<Option<Profile>, StoreError>> + Send;

    /// The profile ordered under this matchingId.
    fn profile_by_matching_id(
        &self,
        matching_id: &str,
    ) -> impl Future<Output = Result<Option<Profile>, StoreError>> + Send;

    /// The oldest downloadable profile ordered for this eUICC without a matchingId: the default SM-DP+ case.
    fn profile_by_eid(&self, eid: &Eid) -> impl Future<Output = Result<Option<Profile>, StoreError>> + Send;

    /// Some available profile of this type.
    fn available_profile(&self, profile_type: &str)
    -> impl Future<Output = Result<Option<Profile>, StoreError>> + Send;

    /// All profiles, oldest first.
    fn profiles(&self) -> impl Future<Output = Result<Vec<Profile>, StoreError>> + Send;

    /// The unprotected package of a profile.
    fn package(&self, iccid: &Iccid) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;

    /// Puts a new profile in.
    fn add_profile(&self, profile: &Profile, package: &[u8]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes a profile back, unless it has changed since it was read ([`StoreError::Conflict`]).
    fn update_profile(&self, profile: &Profile) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes a profile out; whether it was there.
    fn remove_profile(&self, iccid: &Iccid) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Begins a session.
    fn add_session(&self, session: &Session) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The session with this identifier, expired or not.
    fn session(&self, id: &TransactionId) -> impl Future<Output = Result<Option<Session>, StoreError>> + Send;

    /// Writes a session back, unless it has changed since it was read ([`StoreError::Conflict`]).
    fn update_session(&self, session: &Session) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets sessions that expired before `expired` without having led to a package, and those that expired before
    /// `given_up` whatever they led to.
    fn forget_sessions(
        &self,
        expired: UnixTime,
        given_up: UnixTime,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps a notification; whether it is new. Of those distrusted only the last [`DISTRUSTED_KEPT`] stay: anybody can
    /// send them.
    fn add_notification(&self, notification: &Notification) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// All notifications, in the order they came.
    fn notifications(&self) -> impl Future<Output = Result<Vec<Notification>, StoreError>> + Send;
}

/// How many notifications whose signature is not right are kept.
pub const DISTRUSTED_KEPT: u32 = 256;

/// The store failed, or refused what would break it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something with this key exists already.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// The record was changed by someone else since it was read: read it again.
    #[error("{0} was changed meanwhile")]
    Conflict(&'static str),
    /// A record does not read back.
    #[error("the store holds a damaged {0}")]
    Damaged(&'static str),
    /// The database did not do its part.
    #[error("the database failed: {0}")]
    Database(String),
}

/// One RSP session with an eUICC (SGP.22 section 3.1.3), named by its transactionId.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The identifier, 16 random octets.
    pub transaction_id: TransactionId,
    /// How far it is.
    pub state: SessionState,
    /// When it stops being usable.
    pub expires_at: UnixTime,
    /// serverAddress as signed.
    pub server_address: String,
    /// serverChallenge.
    pub server_challenge: [u8; 16],
    /// The CI under which this server shows its certificates.
    pub ci: SubjectKeyIdentifier,
    /// Counts updates.
    pub revision: i64,
}

/// How far a session is, with what is known from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// InitiateAuthentication was answered.
    Initiated,
    /// AuthenticateClient was answered.
    Authenticated(Peer),
    /// GetBoundProfilePackage was answered: an installation result may come, even much later.
    Delivered(Peer),
    /// Cancelled, refused for good, or the result is in.
    Ended(Option<Peer>),
}

impl SessionState {
    /// The eUICC, once it has shown itself.
    pub fn peer(&self) -> Option<&Peer> {
        match self {
            Self::Initiated | Self::Ended(None) => None,
            Self::Authenticated(peer) | Self::Delivered(peer) | Self::Ended(Some(peer)) => Some(peer),
        }
    }
}

/// The eUICC of a session and what it is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// EID from its certificate.
    pub eid: Eid,
    /// Its certificate, chain verified.
    pub euicc_certificate: CertificateDer,
    /// The profile.
    pub iccid: Iccid,
    /// The order that led to the profile: its matchingId, or nothing where the EID did.
    pub matching_id: Option<String>,
    /// smdpSignature2, which euiccSignature2 covers too.
    pub smdp_signature2: Signature,
}

/// A notification as an LPA delivered it (SGP.22 section 3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// When it came first.
    pub received_at: UnixTime,
    /// What happened on the eUICC.
    pub event: NotificationEvent,
    /// The eUICC's number for it.
    pub seq_number: u64,
    /// To whom the eUICC addressed it.
    pub address: String,
    /// The profile, if named.
    pub iccid: Option<Iccid>,
    /// The eUICC, if its signature told.
    pub eid: Option<Eid>,
    /// The session, for an installation result.
    pub transaction_id: Option<TransactionId>,
    /// For an installation result: `success`, or where and why it failed.
    pub result: Option<String>,
    /// Nothing if the signature is right; else why it was not believed.
    pub distrusted: Option<String>,
    /// The notification itself, a PendingNotification.
    pub der: Vec<u8>,
}
