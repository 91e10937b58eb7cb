//! A profile at the SM-DP+: its state, its order, and its requirements for an eUICC.

use core::fmt;
use core::str::FromStr;

use crypto::confirmation::ConfirmationCodeHash;
use identities::{Eid, Iccid};
use rsp::es8::StoreMetadataRequest;
use rsp::es10b::CancelSessionReason;
use rsp::euicc_info::UiccCapability;
use rsp::metadata::{NotificationConfigurationInformation, NotificationEvent, ProfileClass};
use rsp::notification::ErrorReason;
use rsp::{OneTimePublicKey, Text};
pub use rsp_server::UnixTime;
use saip::ProfileElement;
use saip::header::Service;

/// The state of a profile between the operator's order and an eUICC (SGP.22 §3.1.6).
///
/// ```text
/// Available ── download order ──▶ Allocated | Linked ── confirm ──▶ Confirmed ── release ──▶ Released
///                                                                                              │
///                     Error ◀── rejected, failed for good, too many tries ──┬── Downloaded ◀── package handed out
///                                                                           │       │
///                                 Deleted ◀── Enabled ⇄ Disabled ◀── notifications ── Installed
///                                                                           │
///                                              cancel order ──▶ Available | Unavailable
///                                     reset, by the administrator ──▶ Available
/// ```
///
/// [`Enabled`](Self::Enabled), [`Disabled`](Self::Disabled) and [`Deleted`](Self::Deleted) are the eUICC's last report;
/// a deleted profile may be made available again by the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProfileState {
    /// Not ordered.
    Available,
    /// Reserved, for any eUICC.
    Allocated,
    /// Reserved for one eUICC.
    Linked,
    /// Reserved, with matchingId and confirmation code set.
    Confirmed,
    /// Ready to be downloaded.
    Released,
    /// A bound profile package was delivered; the result is not known yet.
    Downloaded,
    /// On an eUICC.
    Installed,
    /// On an eUICC, in use.
    Enabled,
    /// On an eUICC, no longer in use.
    Disabled,
    /// No longer on the eUICC.
    Deleted,
    /// Not installed, and not to be retried under this order.
    Error,
    /// Withdrawn by the operator.
    Unavailable,
}

impl ProfileState {
    const NAMES: [(Self, &'static str); 12] = [
        (Self::Available, "Available"),
        (Self::Allocated, "Allocated"),
        (Self::Linked, "Linked"),
        (Self::Confirmed, "Confirmed"),
        (Self::Released, "Released"),
        (Self::Downloaded, "Downloaded"),
        (Self::Installed, "Installed"),
        (Self::Enabled, "Enabled"),
        (Self::Disabled, "Disabled"),
        (Self::Deleted, "Deleted"),
        (Self::Error, "Error"),
        (Self::Unavailable, "Unavailable"),
    ];

    /// The specification's name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    /// Those in which it may be delivered to an LPA.
    pub(crate) const DOWNLOADABLE: [Self; 2] = [Self::Released, Self::Downloaded];

    /// Whether it may be delivered to an LPA.
    pub fn is_downloadable(self) -> bool {
        Self::DOWNLOADABLE.contains(&self)
    }

    /// Whether an eUICC may have the profile, as far as known: two of them must never have one subscription.
    pub fn may_be_on_euicc(self) -> bool {
        self == Self::Downloaded || self.is_on_euicc()
    }

    /// Whether the profile is on an eUICC, as far as known.
    pub fn is_on_euicc(self) -> bool {
        matches!(self, Self::Installed | Self::Enabled | Self::Disabled)
    }
}

impl fmt::Display for ProfileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text does not name a profile state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no profile state; there are {names}", names = names())]
pub struct UnknownState(String);

fn names() -> String {
    ProfileState::NAMES.map(|(_, name)| name).join(", ")
}

impl FromStr for ProfileState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let named = Self::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        named.map(|(state, _)| *state).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// A stored profile, without its package.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What the LPA shows and the eUICC stores.
    pub metadata: StoreMetadataRequest,
    /// Type by which an operator orders any such profile; from the package header unless given.
    pub profile_type: Option<String>,
    /// Required capabilities of an eUICC.
    pub requirements: Requirements,
    /// The operator that owns the profile, by its functionRequesterIdentifier; without one, any may order it.
    pub operator: Option<String>,
    /// Its state.
    pub state: ProfileState,
    /// Its order; empty when [`ProfileState::Available`].
    pub order: Order,
    /// The last trusted notification about it: the eUICC, and the eUICC's number for it. Older ones do not change the
    /// state.
    pub last_notification: Option<(Eid, u64)>,
    /// When it was added.
    pub added_at: UnixTime,
    /// When its state last changed.
    pub changed_at: UnixTime,
    /// Counts updates, to detect concurrent ones.
    pub revision: i64,
}

/// A profile's download order, and the progress of the download.
///
/// Its matchingId distinguishes it from a later order of the same profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Order {
    /// The operator that placed it over ES2+ and gets progress notifications; an order placed at the server itself has
    /// none.
    pub operator: Option<String>,
    /// matchingId in the activation code; without one the EID identifies the download (default SM-DP+).
    pub matching_id: Option<String>,
    /// The only eUICC that may download it; after a delivery, the first one that asked.
    pub eid: Option<Eid>,
    /// Whether it is the order that names this eUICC: CancelOrder has to name it too.
    pub names_eid: bool,
    /// Hash of the confirmation code, if one is required.
    pub confirmation_code: Option<ConfirmationCode>,
    /// Expiry; never if absent.
    pub expires_at: Option<UnixTime>,
    /// Whether it may be downloaded any number of times, by any eUICC it admits: for tests, as each gets the same
    /// subscription. It stays as it was released, whatever becomes of one download.
    pub reusable: bool,
    /// How often a package was delivered.
    pub downloads: u32,
    /// otPK.EUICC the last package was bound to, offered to the eUICC for the next try.
    pub euicc_otpk: Option<OneTimePublicKey>,
}

/// The confirmation code of an order: its hash, and the number of wrong tries.
#[derive(Clone, Debug)]
pub struct ConfirmationCode {
    /// SHA-256 of the code.
    pub hash: ConfirmationCodeHash,
    /// Wrong tries so far.
    pub failures: u32,
}

impl PartialEq for ConfirmationCode {
    fn eq(&self, other: &Self) -> bool {
        self.hash.as_bytes() == other.hash.as_bytes() && self.failures == other.failures
    }
}

/// ICCID of a profile package, in the octet order of EF.ICCID; nothing if it does not start with a header.
pub fn iccid_of_package(package: &[u8]) -> Option<Iccid> {
    match saip::decode_package(package).ok()?.first()? {
        ProfileElement::Header(header) => Some(header.ef_iccid().into()),
        _ => None,
    }
}

impl Profile {
    /// A new profile from its package and metadata. Parses the package once, completely.
    pub fn new(metadata: StoreMetadataRequest, package: &[u8], now: UnixTime) -> Result<Self, ProfileError> {
        let (profile_type, requirements) = read_package(&metadata, package)?;
        check_metadata(&metadata)?;
        Ok(Self {
            metadata,
            profile_type,
            requirements,
            operator: None,
            state: ProfileState::Available,
            order: Order::default(),
            last_notification: None,
            added_at: now,
            changed_at: now,
            revision: 0,
        })
    }

    /// ICCID.
    pub fn iccid(&self) -> &Iccid {
        &self.metadata.iccid
    }

    /// Updates the state by an installation result.
    pub fn installation_ended(&mut self, error: Option<ErrorReason>, now: UnixTime) {
        match error {
            // An order that expired meanwhile, say, does not come back.
            _ if self.order.reusable && self.state == ProfileState::Error => {}
            _ if self.order.reusable => self.enter(ProfileState::Released, now),
            None => self.enter(ProfileState::Installed, now),
            Some(reason) if is_temporary(reason) => self.enter(ProfileState::Released, now),
            Some(_) => self.enter(ProfileState::Error, now),
        }
    }

    /// Whether a notification with this number from this eUICC is newer than the last one.
    pub fn is_newer(&self, eid: &Eid, number: u64) -> bool {
        self.last_notification.is_none_or(|(from, last)| from != *eid || number > last)
    }

    /// Updates the state by the eUICC's report; `None` if it changes nothing.
    pub fn state_after(event: NotificationEvent) -> Option<ProfileState> {
        let states = [
            (NotificationEvent::ENABLE, ProfileState::Enabled),
            (NotificationEvent::DISABLE, ProfileState::Disabled),
            (NotificationEvent::DELETE, ProfileState::Deleted),
        ];
        states.iter().find(|(of, _)| *of == event).map(|(_, state)| *state)
    }

    /// Updates the state by a session the LPA cancelled (SGP.22 §3.0.2). Reasons that a retry may cure leave the order
    /// open; with `rejection_is_final` the user's rejection does not.
    pub fn session_cancelled(&mut self, reason: CancelSessionReason, rejection_is_final: bool, now: UnixTime) {
        match reason {
            _ if self.order.reusable => self.enter(ProfileState::Released, now),
            CancelSessionReason::PPR_NOT_ALLOWED | CancelSessionReason::METADATA_MISMATCH => {
                self.enter(ProfileState::Error, now);
            }
            CancelSessionReason::END_USER_REJECTION if rejection_is_final => self.enter(ProfileState::Error, now),
            _ => self.enter(ProfileState::Released, now),
        }
    }

    /// Changes the state.
    pub fn enter(&mut self, state: ProfileState, now: UnixTime) {
        self.state = state;
        self.changed_at = now;
    }
}

/// Whether a retry with the same profile and eUICC can succeed, perhaps after the user deleted something.
fn is_temporary(reason: ErrorReason) -> bool {
    matches!(
        reason,
        ErrorReason::INVALID_SIGNATURE
            | ErrorReason::INVALID_TRANSACTION_ID
            | ErrorReason::SCP03T_STRUCTURE_ERROR
            | ErrorReason::SCP03T_SECURITY_ERROR
            | ErrorReason::ICCID_ALREADY_EXISTS_ON_EUICC
            | ErrorReason::INSUFFICIENT_MEMORY_FOR_PROFILE
            | ErrorReason::INTERRUPTION
            | ErrorReason::UNKNOWN_ERROR
    )
}

/// The profile cannot be offered for download.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The package does not conform to TCA's specification.
    #[error("the profile package cannot be read: {0}")]
    Package(#[from] saip::Error),
    /// The package does not start with a header or does not finish with an end.
    #[error("the profile package has no {0}")]
    Incomplete(&'static str),
    /// Metadata and package belong to different profiles.
    #[error("the metadata are for ICCID {metadata}, the package has {package}")]
    IccidMismatch {
        /// ICCID of the metadata.
        metadata: Iccid,
        /// ICCID of the package header.
        package: Iccid,
    },
    /// The metadata break a rule of SGP.22 §5.5.3.
    #[error("metadata: {0}")]
    Metadata(&'static str),
    /// An eUICC would refuse the metadata.
    #[error("metadata: {0}")]
    Refused(String),
    /// A part of the metadata is longer than SGP.22 §5.5.3 allows.
    #[error("metadata: the {what} has {octets} octets, and may have {most}; a letter may take several")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// Its length.
        octets: usize,
        /// The maximum length.
        most: usize,
    },
}

/// Maximum size of an icon, in octets. SGP.22 §5.5.3
const LARGEST_ICON: usize = 1024;

const fn longest<const MAX: usize>(_: &Text<MAX>) -> usize {
    MAX
}

fn check_metadata(metadata: &StoreMetadataRequest) -> Result<(), ProfileError> {
    let wrong = |what| Err(ProfileError::Metadata(what));
    if !metadata.iccid.is_well_formed() {
        return wrong("the ICCID is not ten octets of digits");
    }
    if metadata.icon.is_some() != metadata.icon_type.is_some() {
        return wrong("an icon and its type go together");
    }
    let rules = metadata.profile_policy_rules.unwrap_or_default();
    if !rules.is_empty() && metadata.profile_owner.is_none() {
        return wrong("policy rules need a profile owner");
    }
    let icon = metadata.icon.as_ref().map_or(0, |icon| icon.len());
    for (what, octets, most) in [
        (
            "name of the service provider",
            metadata.service_provider_name.len(),
            longest(&metadata.service_provider_name),
        ),
        ("name of the profile", metadata.profile_name.len(), longest(&metadata.profile_name)),
        ("icon", icon, LARGEST_ICON),
    ] {
        if octets > most {
            return Err(ProfileError::TooLong { what, octets, most });
        }
    }
    // What cannot be read back is not stored, nor what an eUICC would refuse.
    let der = rsp::encode(metadata).map_err(|error| ProfileError::Refused(error.to_string()))?;
    match StoreMetadataRequest::checked(&der) {
        Ok(read) if read == *metadata => Ok(()),
        Ok(_) => wrong("they do not read back as they were"),
        Err(error) => Err(ProfileError::Refused(error.to_string())),
    }
}

/// Required capabilities of an eUICC, as far as the SM-DP+ can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// Capabilities implied by mandatory services of the package.
    pub uicc_capability: UiccCapability,
    /// Octets of the package: it takes at least that much memory.
    pub package_size: u32,
}

/// Profile type and requirements, from the elements of `package`.
fn read_package(
    metadata: &StoreMetadataRequest,
    package: &[u8],
) -> Result<(Option<String>, Requirements), ProfileError> {
    let elements = saip::decode_package(package)?;
    let Some(ProfileElement::Header(header)) = elements.first() else {
        return Err(ProfileError::Incomplete("header at its start"));
    };
    if !matches!(elements.last(), Some(ProfileElement::End(_))) {
        return Err(ProfileError::Incomplete("end element at its end"));
    }
    let iccid = Iccid::from(header.ef_iccid());
    if metadata.iccid != iccid {
        return Err(ProfileError::IccidMismatch { metadata: metadata.iccid.clone(), package: iccid });
    }
    // Version 2 of SGP.22 has but a reserved bit for the test algorithm; cards that have the algorithm leave it unset.
    let demanded = header.mandatory_services.iter().filter(|service| *service != Service::USIM_TEST_ALGORITHM);
    let bits = demanded.filter_map(Service::uicc_capability_bit).map(UiccCapability::bit);
    let requirements = Requirements {
        uicc_capability: bits.fold(UiccCapability::EMPTY, |all, capability| all | capability),
        package_size: u32::try_from(package.len()).unwrap_or(u32::MAX),
    };
    Ok((header.profile_type.clone(), requirements))
}

/// A profile's metadata for the user, and its class.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    /// Its name.
    pub name: &'a str,
    /// The name of its service provider.
    pub provider: &'a str,
    /// Its class.
    pub class: ProfileClass,
}

impl Offered<'_> {
    /// The profile of a package, with metadata that name the recipients of its notifications.
    ///
    /// The server itself, at its address `own`, learns of the installation in any case, by its result.
    pub fn profile(
        &self,
        package: &[u8],
        own: &str,
        others: &[String],
        now: UnixTime,
    ) -> Result<Profile, ProfileError> {
        let afterwards = NotificationEvent::ENABLE | NotificationEvent::DISABLE | NotificationEvent::DELETE;
        let recipient = |events, address: &str| NotificationConfigurationInformation {
            profile_management_operation: events,
            notification_address: address.into(),
        };
        let others = others.iter().map(|address| recipient(NotificationEvent::INSTALL | afterwards, address));
        let recipients = core::iter::once(recipient(afterwards, own)).chain(others).collect();
        let metadata = StoreMetadataRequest {
            iccid: iccid_of_package(package).ok_or(ProfileError::Incomplete("header at its start"))?,
            service_provider_name: self.provider.into(),
            profile_name: self.name.into(),
            icon_type: None,
            icon: None,
            profile_class: self.class,
            notification_configuration_info: Some(recipients),
            profile_owner: None,
            profile_policy_rules: None,
        };
        Profile::new(metadata, package, now)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rsp::metadata::{OperatorId, PprIds, ProfileClass};
    use saip::header::{ProfileHeader, ServicesList};
    use saip::{End, PeHeader};

    pub(crate) fn iccid(number: u32) -> Iccid {
        Iccid::with_check_digit(&format!("8944{number:014}")).unwrap()
    }

    pub(crate) fn metadata(number: u32) -> StoreMetadataRequest {
        StoreMetadataRequest {
            iccid: iccid(number),
            service_provider_name: "Example Telecom".into(),
            profile_name: "Example".into(),
            icon_type: None,
            icon: None,
            profile_class: ProfileClass::OPERATIONAL,
            notification_configuration_info: None,
            profile_owner: None,
            profile_policy_rules: None,
        }
    }

    pub(crate) fn package(number: u32) -> Vec<u8> {
        let header = ProfileHeader {
            major_version: 2,
            minor_version: 3,
            profile_type: Some("Test Type".into()),
            iccid: iccid(number).to_array().unwrap().map(|octet| octet.rotate_left(4)),
            pol: None,
            mandatory_services: ServicesList::new([Service::USIM, Service::MILENAGE, Service::USIM_TEST_ALGORITHM]),
            mandatory_templates: Vec::new(),
            connectivity_parameters: None,
            mandatory_aids: None,
            iot_options: None,
        };
        let end = ProfileElement::End(End { header: PeHeader::mandated(1) });
        saip::encode_package(&[ProfileElement::Header(Box::new(header)), end])
    }

    #[test]
    fn states_have_their_names() {
        for (state, name) in ProfileState::NAMES {
            assert_eq!(state.to_string(), name);
            assert_eq!(name.parse(), Ok(state));
        }
        assert!("Lost".parse::<ProfileState>().is_err());
    }

    #[test]
    fn a_package_tells_what_it_needs() {
        let profile = Profile::new(metadata(1), &package(1), 5).unwrap();
        assert_eq!(iccid_of_package(&package(1)), Some(iccid(1)));
        assert_eq!(profile.profile_type.as_deref(), Some("Test Type"));
        let needed = UiccCapability::USIM_SUPPORT | UiccCapability::AKA_MILENAGE;
        assert_eq!(profile.requirements.uicc_capability, needed);
        assert_eq!(profile.requirements.package_size as usize, package(1).len());
    }

    #[test]
    fn what_cannot_be_offered_is_refused() {
        let refused = |metadata, package: &[u8]| Profile::new(metadata, package, 0).unwrap_err().to_string();
        assert!(refused(metadata(1), &package(2)).contains("the package has"));
        assert!(refused(metadata(1), &[]).contains("no header"));
        let whole = package(1);
        assert!(refused(metadata(1), &whole[..whole.len() - 9]).contains("no end"));
        assert!(refused(metadata(1), &whole[..whole.len() - 1]).contains("cannot be read"));
        let mut bent = metadata(1);
        bent.icon = Some(vec![0; 10].into());
        assert!(refused(bent, &whole).contains("an icon and its type"));
        let mut bent = metadata(1);
        bent.profile_policy_rules = Some(PprIds::PPR1);
        assert!(refused(bent.clone(), &whole).contains("profile owner"));
        bent.profile_owner = OperatorId::new("001", "01");
        Profile::new(bent.clone(), &whole, 0).unwrap();
        for (provider, name) in [("é".repeat(17), "ok".to_owned()), ("ok".to_owned(), "€".repeat(22))] {
            let (service_provider_name, profile_name) = (provider.into(), name.into());
            let refusal = refused(StoreMetadataRequest { service_provider_name, profile_name, ..bent.clone() }, &whole);
            assert!(refusal.contains("octets, and may have"), "{refusal}");
        }
        bent.service_provider_name = "é".repeat(16).into();
        bent.profile_name = format!("{}x", "€".repeat(21)).into();
        Profile::new(bent, &whole, 0).unwrap();
    }

    /// A default value is not encoded: `95 01 02` is not DER. X.690 §11.5
    #[test]
    fn an_operational_profile_does_not_say_so() {
        for (profile_class, said) in
            [(ProfileClass::OPERATIONAL, false), (ProfileClass::PROVISIONING, true), (ProfileClass::TEST, true)]
        {
            let profile = Profile::new(StoreMetadataRequest { profile_class, ..metadata(1) }, &package(1), 0).unwrap();
            let der = rsp::encode(&profile.metadata).unwrap();
            assert_eq!(der.windows(2).any(|octets| octets == [0x95, 0x01]), said, "{profile_class:?}");
        }
    }

    /// The generic test profile of TS.48.
    #[test]
    fn a_published_package() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/ts48/TS48_v7.0_SAIP2.3_BERTLV_SUCI.der");
        let Ok(package) = std::fs::read(path) else {
            println!("skipped: no {path}");
            return;
        };
        let iccid = iccid_of_package(&package).unwrap();
        assert_eq!(iccid.to_string(), "89000123456789012341");
        let profile = Profile::new(StoreMetadataRequest { iccid, ..metadata(0) }, &package, 0).unwrap();
        let needed = profile.requirements.uicc_capability;
        assert!(needed.contains(UiccCapability::CSIM_SUPPORT | UiccCapability::GET_IDENTITY));
        assert!(!needed.contains(UiccCapability::AKA_MILENAGE));
        // The capabilities of a sysmoEUICC1-C2T, on which it can be installed.
        let real = UiccCapability::from_bits(u64::from(0x7F36_F3C0_u32.reverse_bits()));
        assert!(needed.without(real).is_empty(), "{}", needed.without(real));
    }
}
