//! The operator's functions: add, order, confirm, release and cancel profiles (SGP.22 §3.1.1 and §5.3).
//!
//! Every function takes the store; the profile it returns is as the store now has it.

use std::fmt::{self, Write as _};

use crypto::confirmation::ConfirmationCodeHash;
use identities::{Eid, Iccid};
use rsp::activation_code::ActivationCode;
use rsp::es2plus::NotificationPointId;
use rsp::es8::StoreMetadataRequest;

use crate::point::Point;
use crate::profile::{ConfirmationCode, Order, Profile, ProfileError, ProfileState, UnixTime};
use crate::sql::SqlStore;
use crate::store::{Progress, StoreError};

/// The operator's request cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Package or metadata are invalid.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// No profile has this ICCID.
    #[error("there is no profile {0}")]
    UnknownProfile(Iccid),
    /// Every profile of the type is taken, or there never was one.
    #[error("no profile of type `{0}` is available")]
    NoneOfType(String),
    /// The profile's state does not allow this.
    #[error("profile {iccid} is {state}")]
    WrongState {
        /// The profile.
        iccid: Iccid,
        /// Its state.
        state: ProfileState,
    },
    /// The profile is reserved for another eUICC.
    #[error("profile {iccid} is reserved for EID {reserved_for}")]
    OtherEid {
        /// The profile.
        iccid: Iccid,
        /// The eUICC it is reserved for.
        reserved_for: Eid,
    },
    /// A matchingId that does not fit an activation code.
    #[error("`{0}` is no matchingId: use capital letters, digits and hyphens, 1 to 255 of them")]
    BadMatchingId(String),
    /// A code that nobody could enter.
    #[error("the confirmation code is empty; leave it out where the user is to enter none")]
    EmptyConfirmationCode,
    /// Another order has this matchingId.
    #[error("matchingId `{0}` is in use")]
    MatchingIdInUse(String),
    /// Without a matchingId the eUICC has to be identified by its EID.
    #[error("an order without matchingId needs an EID")]
    EidMissing,
    /// An operator's order is for one eUICC: it expects each profile to be installed once.
    #[error(
        "profile {iccid} was ordered by {operator} over ES2+: an order that may be downloaded any number of times is placed at the SM-DP+ itself"
    )]
    NotReusable {
        /// The profile.
        iccid: Iccid,
        /// The operator.
        operator: String,
    },
    /// An order for an EID can only be cancelled with it.
    #[error("profile {0} was ordered for an EID, which has to be named")]
    EidUnnamed(Iccid),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a profile: an unprotected package and its metadata.
pub async fn add_profile(
    store: &SqlStore,
    metadata: StoreMetadataRequest,
    package: &[u8],
    now: UnixTime,
) -> Result<Profile, OrderError> {
    let profile = (Profile::new(metadata, package, now)?, package);
    store.add_profiles(core::slice::from_ref(&profile)).await?;
    Ok(profile.0)
}

/// Which profile is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileSelector {
    /// This one.
    Iccid(Iccid),
    /// Any available one of a type.
    Type(String),
}

/// How a download identifies an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MatchingId {
    /// A fresh one, hard to guess.
    #[default]
    Generate,
    /// This one.
    Given(String),
    /// None: the eUICC is identified by its EID and calls its default SM-DP+.
    ByEid,
}

/// An operator's order. Printed without the confirmation code.
#[derive(Clone)]
pub struct OrderRequest {
    /// The profile.
    pub selector: ProfileSelector,
    /// The only eUICC that may download it, if decided already.
    pub eid: Option<Eid>,
    /// How the download is identified.
    pub matching_id: MatchingId,
    /// A confirmation code the user will be asked for.
    pub confirmation_code: Option<String>,
    /// When it expires.
    pub expires_at: Option<UnixTime>,
    /// Whether it may be downloaded any number of times: see [`Order::reusable`].
    pub reusable: bool,
}

impl OrderRequest {
    /// An order for this profile: any eUICC, a fresh matchingId, no confirmation code, no expiry, one download.
    pub fn new(selector: ProfileSelector) -> Self {
        Self {
            selector,
            eid: None,
            matching_id: MatchingId::Generate,
            confirmation_code: None,
            expires_at: None,
            reusable: false,
        }
    }
}

impl fmt::Debug for OrderRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderRequest")
            .field("selector", &self.selector)
            .field("eid", &self.eid)
            .field("matching_id", &self.matching_id)
            .field("expires_at", &self.expires_at)
            .field("reusable", &self.reusable)
            .finish_non_exhaustive()
    }
}

/// Orders, confirms and releases in one go: afterwards the profile can be downloaded.
pub async fn order(
    store: &SqlStore,
    request: OrderRequest,
    fill_random: &mut (impl FnMut(&mut [u8]) + Send),
    now: UnixTime,
) -> Result<Profile, OrderError> {
    let OrderRequest { selector, eid, matching_id, confirmation_code, expires_at, reusable } = request;
    let mut profile = selected_profile(store, selector).await?;
    profile.reserve(None, eid, now)?;
    profile.confirm(Confirmation { eid, matching_id, confirmation_code, expires_at, reusable }, fill_random, now)?;
    profile.release(now)?;
    written(store, profile).await
}

/// Reserves a profile (ES2+.DownloadOrder): Available becomes Linked if an EID is given, else Allocated.
pub async fn download_order(
    store: &SqlStore,
    selector: ProfileSelector,
    eid: Option<Eid>,
    now: UnixTime,
) -> Result<Profile, OrderError> {
    let mut profile = selected_profile(store, selector).await?;
    profile.reserve(None, eid, now)?;
    written(store, profile).await
}

/// The data of a confirmation. Printed without the confirmation code.
#[derive(Clone, Default)]
pub struct Confirmation {
    /// The only eUICC that may download the profile; must not contradict the download order.
    pub eid: Option<Eid>,
    /// How the download is identified.
    pub matching_id: MatchingId,
    /// A confirmation code the user will be asked for.
    pub confirmation_code: Option<String>,
    /// When it expires.
    pub expires_at: Option<UnixTime>,
    /// Whether it may be downloaded any number of times: see [`Order::reusable`].
    pub reusable: bool,
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation")
            .field("eid", &self.eid)
            .field("matching_id", &self.matching_id)
            .field("expires_at", &self.expires_at)
            .field("reusable", &self.reusable)
            .finish_non_exhaustive()
    }
}

/// Sets matchingId and confirmation code (ES2+.ConfirmOrder): Allocated or Linked becomes Confirmed.
pub async fn confirm_order(
    store: &SqlStore,
    iccid: &Iccid,
    confirmation: Confirmation,
    fill_random: &mut (impl FnMut(&mut [u8]) + Send),
    now: UnixTime,
) -> Result<Profile, OrderError> {
    let mut profile = known(store, iccid).await?;
    profile.confirm(confirmation, fill_random, now)?;
    written(store, profile).await
}

/// Releases a profile for download (ES2+.ReleaseProfile): Confirmed becomes Released.
pub async fn release_profile(store: &SqlStore, iccid: &Iccid, now: UnixTime) -> Result<Profile, OrderError> {
    let mut profile = known(store, iccid).await?;
    profile.release(now)?;
    written(store, profile).await
}

/// The state of a profile whose order is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalProfileStatus {
    /// It may be ordered again.
    Available,
    /// It must not be used any more.
    Unavailable,
}

/// Cancels the order of a profile (ES2+.CancelOrder), in any state but installed.
pub async fn cancel_order(
    store: &SqlStore,
    iccid: &Iccid,
    status: FinalProfileStatus,
    now: UnixTime,
) -> Result<Profile, OrderError> {
    let mut profile = known(store, iccid).await?;
    profile.cancel(status, now)?;
    written(store, profile).await
}

/// Ends the order of a profile by decree, whatever its state: the profile becomes available, and no eUICC is taken to
/// have it. For a profile whose card is gone, and for orders that lead nowhere.
///
/// Downloads in progress find no session any more, and late reports change nothing. If the operator that ordered it takes
/// it to be on an eUICC, that operator is notified that it was deleted there.
///
/// # Errors
///
/// [`OrderError::WrongState`] if there is nothing to reset: the profile is available, or was withdrawn.
/// [`StoreError::Conflict`] if it has changed since it was read, which who wants it has to learn first.
pub async fn reset_profile(store: &SqlStore, profile: &Profile, now: UnixTime) -> Result<Reset, OrderError> {
    let (mut profile, was) = (profile.clone(), profile.state);
    let told = profile.reset(now)?;
    store.reset_profile(&profile, told.as_ref()).await?;
    profile.revision += 1;
    Ok(Reset { profile, was, told: told.map(|told| told.operator) })
}

/// Removes a profile and its package, whatever its state; sessions and operator as with [`reset_profile`].
///
/// # Errors
///
/// [`StoreError::Conflict`] if it has changed since it was read.
pub async fn remove_profile(store: &SqlStore, profile: Profile, now: UnixTime) -> Result<Reset, OrderError> {
    let told = profile.given_up(now);
    store.remove_profile(&profile, told.as_ref()).await?;
    Ok(Reset { was: profile.state, told: told.map(|told| told.operator), profile })
}

/// A profile whose order was ended by decree, or that was removed.
#[derive(Clone, Debug)]
pub struct Reset {
    /// The profile as it is now, or was last.
    pub profile: Profile,
    /// The state it was in.
    pub was: ProfileState,
    /// The operator that is notified.
    pub told: Option<String>,
}

/// The steps of an order, in memory. A refusal changes nothing.
impl Profile {
    /// Reserves it for `operator`'s order, optionally for one eUICC.
    pub fn reserve(&mut self, operator: Option<String>, eid: Option<Eid>, now: UnixTime) -> Result<(), OrderError> {
        self.in_state(&[ProfileState::Available])?;
        self.order = Order { operator, eid, names_eid: eid.is_some(), ..Order::default() };
        self.enter(if eid.is_some() { ProfileState::Linked } else { ProfileState::Allocated }, now);
        Ok(())
    }

    /// Sets how the download is identified.
    pub fn confirm(
        &mut self,
        confirmation: Confirmation,
        fill_random: &mut (impl FnMut(&mut [u8]) + Send),
        now: UnixTime,
    ) -> Result<(), OrderError> {
        self.in_state(&[ProfileState::Allocated, ProfileState::Linked])?;
        let Confirmation { eid, matching_id, confirmation_code, expires_at, reusable } = confirmation;
        if let Some(operator) = self.order.operator.as_ref().filter(|_| reusable) {
            return Err(OrderError::NotReusable { iccid: self.iccid().clone(), operator: operator.clone() });
        }
        let eid = match (self.order.eid, eid) {
            (Some(reserved_for), Some(eid)) if reserved_for != eid => return Err(self.other_eid(reserved_for)),
            (linked, named) => linked.or(named),
        };
        let matching_id = match matching_id {
            MatchingId::Generate => Some(generate_matching_id(fill_random)),
            MatchingId::Given(text) => {
                check_matching_id(&text)?;
                Some(text)
            }
            MatchingId::ByEid if eid.is_none() => return Err(OrderError::EidMissing),
            MatchingId::ByEid => None,
        };
        if confirmation_code.as_deref() == Some("") {
            return Err(OrderError::EmptyConfirmationCode);
        }
        let confirmation_code =
            confirmation_code.map(|code| ConfirmationCode { hash: ConfirmationCodeHash::of_code(&code), failures: 0 });
        let operator = self.order.operator.take();
        let names_eid = eid.is_some();
        self.order = Order {
            operator,
            matching_id,
            eid,
            names_eid,
            confirmation_code,
            expires_at,
            reusable,
            ..Order::default()
        };
        self.enter(ProfileState::Confirmed, now);
        Ok(())
    }

    /// Releases it for download.
    pub fn release(&mut self, now: UnixTime) -> Result<(), OrderError> {
        self.in_state(&[ProfileState::Confirmed])?;
        self.enter(ProfileState::Released, now);
        Ok(())
    }

    /// Cancels its order, in any state but permanently installed.
    ///
    /// A profile that is being downloaded may be installed without a report: two eUICCs must never have one
    /// subscription, so it cannot become available again.
    pub fn cancel(&mut self, status: FinalProfileStatus, now: UnixTime) -> Result<(), OrderError> {
        self.in_state(&[
            ProfileState::Allocated,
            ProfileState::Linked,
            ProfileState::Confirmed,
            ProfileState::Released,
            ProfileState::Downloaded,
            ProfileState::Deleted,
            ProfileState::Error,
        ])?;
        let would_be_twice = self.state == ProfileState::Downloaded && !self.order.reusable;
        if would_be_twice && status == FinalProfileStatus::Available {
            return Err(OrderError::WrongState { iccid: self.iccid().clone(), state: self.state });
        }
        self.order = Order::default();
        let state = match status {
            FinalProfileStatus::Available => ProfileState::Available,
            FinalProfileStatus::Unavailable => ProfileState::Unavailable,
        };
        self.enter(state, now);
        Ok(())
    }

    /// Makes it available, whatever has become of it; returns the progress notification for its operator.
    pub(crate) fn reset(&mut self, now: UnixTime) -> Result<Option<Progress>, OrderError> {
        if matches!(self.state, ProfileState::Available | ProfileState::Unavailable) {
            return Err(OrderError::WrongState { iccid: self.iccid().clone(), state: self.state });
        }
        let told = self.given_up(now);
        self.order = Order::default();
        // An eUICC made anew under the same EID counts from the beginning.
        self.last_notification = None;
        self.enter(ProfileState::Available, now);
        Ok(told)
    }

    /// What its operator is notified of if nobody is to expect it on an eUICC any more: that it was deleted there. An
    /// operator whose order is still open finds out by its own next call.
    fn given_up(&self, now: UnixTime) -> Option<Progress> {
        if !self.state.is_on_euicc() {
            return None;
        }
        let occasion = format!("{}-{now}-{}", self.iccid(), self.revision);
        let point =
            Point { id: NotificationPointId::DELETE, failure: None, eid: self.order.eid, occasion, result_data: None };
        point.told(self, now)
    }

    /// The refusal for another eUICC.
    pub(crate) fn other_eid(&self, reserved_for: Eid) -> OrderError {
        OrderError::OtherEid { iccid: self.iccid().clone(), reserved_for }
    }

    fn in_state(&self, states: &[ProfileState]) -> Result<(), OrderError> {
        if states.contains(&self.state) {
            return Ok(());
        }
        Err(OrderError::WrongState { iccid: self.iccid().clone(), state: self.state })
    }
}

/// The activation code of the order (SGP.22 §4.1).
pub fn activation_code(profile: &Profile, smdp_address: &str) -> ActivationCode {
    ActivationCode {
        smdp_address: smdp_address.to_owned(),
        matching_id: profile.order.matching_id.clone().unwrap_or_default(),
        smdp_oid: None,
        confirmation_code_required: profile.order.confirmation_code.is_some(),
    }
}

async fn selected_profile(store: &SqlStore, selector: ProfileSelector) -> Result<Profile, OrderError> {
    match selector {
        ProfileSelector::Iccid(iccid) => {
            let profile = known(store, &iccid).await?;
            // A profile that cannot be downloaded is not ordered.
            store.package(&iccid).await?;
            Ok(profile)
        }
        ProfileSelector::Type(name) => store.available_profile(&name, None).await?.ok_or(OrderError::NoneOfType(name)),
    }
}

async fn known(store: &SqlStore, iccid: &Iccid) -> Result<Profile, OrderError> {
    store.profile(iccid).await?.ok_or_else(|| OrderError::UnknownProfile(iccid.clone()))
}

async fn written(store: &SqlStore, mut profile: Profile) -> Result<Profile, OrderError> {
    match (store.update_profile(&profile).await, &profile.order.matching_id) {
        (Err(StoreError::Exists(_)), Some(taken)) => return Err(OrderError::MatchingIdInUse(taken.clone())),
        (result, _) => result?,
    }
    profile.revision += 1;
    Ok(profile)
}

/// Refuses what is no matchingId: capital letters, digits and hyphens, 1 to 255 of them. SGP.22 §4.1
///
/// # Errors
/// [`OrderError::BadMatchingId`]
pub fn check_matching_id(text: &str) -> Result<(), OrderError> {
    let allowed = |octet: u8| matches!(octet, b'A'..=b'Z' | b'0'..=b'9' | b'-');
    if (1..=255).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(OrderError::BadMatchingId(text.to_owned()))
}

/// Four groups of five out of 32 unambiguous letters and digits: 100 bits.
fn generate_matching_id(fill_random: &mut (impl FnMut(&mut [u8]) + Send)) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut octets = [0; 20];
    fill_random(&mut octets);
    let mut text = String::new();
    for (at, octet) in octets.iter().enumerate() {
        let letter = ALPHABET.get(usize::from(octet % 32)).copied().unwrap_or(b'0');
        let separator = if at > 0 && at % 5 == 0 { "-" } else { "" };
        // Writing to a String does not fail.
        let _ = write!(text, "{separator}{}", char::from(letter));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MasterKey;
    use crate::profile::tests::{iccid, metadata, package};

    fn fill_random(octets: &mut [u8]) {
        getrandom::fill(octets).unwrap();
    }

    async fn store_of(count: u32) -> SqlStore {
        let store = SqlStore::open(":memory:", MasterKey::new([7; 32])).await.unwrap();
        for number in 0..count {
            add_profile(&store, metadata(number), &package(number), 7).await.unwrap();
        }
        store
    }

    fn eid(last: char) -> Eid {
        Eid::with_check_digits(&format!("89049032{}{last}", "0".repeat(21))).unwrap()
    }

    #[tokio::test]
    async fn an_order_goes_through_its_states() {
        let store = store_of(1).await;
        let ordered = download_order(&store, ProfileSelector::Iccid(iccid(0)), None, 10).await.unwrap();
        assert_eq!((ordered.state, ordered.changed_at), (ProfileState::Allocated, 10));
        let early = release_profile(&store, &iccid(0), 11).await.unwrap_err();
        assert_eq!(early.to_string(), format!("profile {} is Allocated", iccid(0)));
        let confirmation = Confirmation { confirmation_code: Some("1234".into()), ..Confirmation::default() };
        let confirmed = confirm_order(&store, &iccid(0), confirmation, &mut fill_random, 12).await.unwrap();
        assert_eq!(confirmed.state, ProfileState::Confirmed);
        let released = release_profile(&store, &iccid(0), 13).await.unwrap();
        assert_eq!(released, store.profile(&iccid(0)).await.unwrap().unwrap());
        let code = activation_code(&released, "smdp.example.com").to_string();
        let matching_id = released.order.matching_id.unwrap();
        assert_eq!(code, format!("LPA:1$smdp.example.com${matching_id}$$1"));
        assert_eq!(matching_id.split('-').map(str::len).collect::<Vec<_>>(), [5; 4]);

        let cancelled = cancel_order(&store, &iccid(0), FinalProfileStatus::Available, 14).await.unwrap();
        assert_eq!((cancelled.state, &cancelled.order), (ProfileState::Available, &Order::default()));
        assert!(store.profile_by_matching_id(&matching_id).await.unwrap().is_none());
        assert!(cancel_order(&store, &iccid(0), FinalProfileStatus::Available, 15).await.is_err());
    }

    /// A variable that was not set is no code that anybody could enter.
    #[tokio::test]
    async fn an_empty_confirmation_code_is_refused() {
        let store = store_of(1).await;
        let request = OrderRequest {
            confirmation_code: Some(String::new()),
            ..OrderRequest::new(ProfileSelector::Iccid(iccid(0)))
        };
        let refused = order(&store, request, &mut fill_random, 1).await.unwrap_err();
        assert!(matches!(refused, OrderError::EmptyConfirmationCode), "{refused}");
        assert_eq!(store.profile(&iccid(0)).await.unwrap().unwrap().state, ProfileState::Available);
        download_order(&store, ProfileSelector::Iccid(iccid(0)), None, 2).await.unwrap();
        let confirmation = Confirmation { confirmation_code: Some(String::new()), ..Confirmation::default() };
        let refused = confirm_order(&store, &iccid(0), confirmation, &mut fill_random, 3).await.unwrap_err();
        assert!(refused.to_string().contains("leave it out"), "{refused}");
        assert_eq!(store.profile(&iccid(0)).await.unwrap().unwrap().state, ProfileState::Allocated);
    }

    #[tokio::test]
    async fn orders_by_type_take_what_is_left() {
        let store = store_of(2).await;
        let mut request = OrderRequest::new(ProfileSelector::Type("Test Type".into()));
        request.matching_id = MatchingId::Given("FIRST".into());
        let first = order(&store, request.clone(), &mut fill_random, 1).await.unwrap();
        let taken = order(&store, request, &mut fill_random, 1).await.unwrap_err();
        assert!(matches!(taken, OrderError::MatchingIdInUse(_)), "{taken}");
        let second = order(&store, OrderRequest::new(ProfileSelector::Type("Test Type".into())), &mut fill_random, 1)
            .await
            .unwrap();
        assert_ne!(first.iccid(), second.iccid());
        let none = download_order(&store, ProfileSelector::Type("Test Type".into()), None, 1).await.unwrap_err();
        assert!(matches!(none, OrderError::NoneOfType(_)), "{none}");
    }

    #[tokio::test]
    async fn eids_and_matching_ids_are_checked() {
        let store = store_of(1).await;
        let mut request = OrderRequest::new(ProfileSelector::Iccid(iccid(0)));
        let (longest, too_long) = ("A".repeat(255), "A".repeat(256));
        for bad in ["", "A B", "$1", "Ä", "abc", "aB-1", "A_1", "A.1", &too_long] {
            request.matching_id = MatchingId::Given(bad.into());
            let error = order(&store, request.clone(), &mut fill_random, 1).await.unwrap_err();
            assert!(matches!(error, OrderError::BadMatchingId(_)), "{error}");
        }
        for good in ["A", "0", "-", "QR-G-5C-1LS-1W1Z9P7", longest.as_str()] {
            assert!(check_matching_id(good).is_ok(), "{good}");
        }
        request.matching_id = MatchingId::ByEid;
        let error = order(&store, request, &mut fill_random, 1).await.unwrap_err();
        assert!(matches!(error, OrderError::EidMissing), "{error}");
        // All that left the profile unchanged.
        let linked = download_order(&store, ProfileSelector::Iccid(iccid(0)), Some(eid('1')), 1).await.unwrap();
        assert_eq!(linked.state, ProfileState::Linked);
        let confirmation = Confirmation { eid: Some(eid('2')), ..Confirmation::default() };
        let error = confirm_order(&store, &iccid(0), confirmation, &mut fill_random, 1).await.unwrap_err();
        assert!(matches!(error, OrderError::OtherEid { .. }), "{error}");
    }

    #[test]
    fn confirmation_codes_are_not_printed() {
        let confirmation_code = Some("4711".to_owned());
        let confirmation = Confirmation { confirmation_code: confirmation_code.clone(), ..Confirmation::default() };
        let request = OrderRequest { confirmation_code, ..OrderRequest::new(ProfileSelector::Iccid(iccid(0))) };
        for text in [format!("{confirmation:?}"), format!("{request:?}")] {
            assert!(!text.contains("4711"), "{text}");
        }
    }

    #[tokio::test]
    async fn two_changes_at_once_are_noticed() {
        let store = store_of(1).await;
        let profile = store.profile(&iccid(0)).await.unwrap().unwrap();
        store.update_profile(&profile).await.unwrap();
        assert!(matches!(store.update_profile(&profile).await, Err(StoreError::Conflict(_))));
        let twice = add_profile(&store, metadata(0), &package(0), 7).await.unwrap_err();
        assert!(matches!(&twice, OrderError::Store(StoreError::ProfileExists(it)) if *it == iccid(0)), "{twice}");
        assert!(matches!(store.remove_profile(&profile, None).await, Err(StoreError::Conflict(_))));
        let seen = store.profile(&iccid(0)).await.unwrap().unwrap();
        assert_eq!(remove_profile(&store, seen.clone(), 1).await.unwrap().was, ProfileState::Available);
        let gone = remove_profile(&store, seen, 1).await.unwrap_err();
        assert!(matches!(gone, OrderError::Store(StoreError::Conflict(_))), "{gone}");
        let unknown = release_profile(&store, &iccid(0), 1).await.unwrap_err();
        assert!(matches!(unknown, OrderError::UnknownProfile(_)), "{unknown}");
    }

    #[tokio::test]
    async fn several_profiles_are_put_in_together_or_not_at_all() {
        let store = store_of(1).await;
        let packages = [1, 2, 0].map(package);
        let new: Vec<_> = [1, 2, 0]
            .into_iter()
            .zip(&packages)
            .map(|(number, package)| (Profile::new(metadata(number), package, 7).unwrap(), package.as_slice()))
            .collect();
        let refused = store.add_profiles(&new).await.unwrap_err();
        assert!(matches!(&refused, StoreError::ProfileExists(it) if *it == iccid(0)), "{refused}");
        assert_eq!(store.profiles().await.unwrap().len(), 1);
        store.add_profiles(&new[..2]).await.unwrap();
        assert_eq!(store.profiles().await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_profile_that_may_be_installed_does_not_become_available() {
        let store = store_of(1).await;
        let request = OrderRequest::new(ProfileSelector::Iccid(iccid(0)));
        let mut profile = order(&store, request, &mut fill_random, 10).await.unwrap();
        profile.enter(ProfileState::Downloaded, 11);
        let refused = profile.cancel(FinalProfileStatus::Available, 12).unwrap_err();
        assert!(matches!(refused, OrderError::WrongState { state: ProfileState::Downloaded, .. }));
        profile.cancel(FinalProfileStatus::Unavailable, 13).unwrap();
        assert_eq!(profile.state, ProfileState::Unavailable);
    }
}
