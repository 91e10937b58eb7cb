//! Which fault of a card to order to test what an LPA does, and what two of them show: the table that `docs/faults.md` is made
//! from. Each row is played by `tests/tests/card_faults.rs`.

/// What an LPA does while the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Reads the EID and the versions.
    ReadChip,
    /// Sets the default SM-DP+.
    SetDefaultSmdp,
    /// Deletes all profiles.
    ResetMemory,
    /// Lists the profiles.
    ListProfiles,
    /// Downloads one.
    Download,
    /// Downloads one and has its user decline.
    Decline,
    /// Enables the first profile, by its ICCID.
    Enable,
    /// Disables it.
    Disable,
    /// Deletes it.
    Delete,
    /// Gives it a nickname.
    Rename,
    /// Lists the notifications.
    ListNotifications,
    /// Delivers and removes the notifications.
    Deliver,
}

impl Act {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ReadChip => "chip info",
            Self::SetDefaultSmdp => "default SM-DP+",
            Self::ResetMemory => "memory reset",
            Self::ListProfiles => "profile list",
            Self::Download => "download",
            Self::Decline => "download, declined",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Delete => "delete",
            Self::Rename => "nickname",
            Self::ListNotifications => "notification list",
            Self::Deliver => "notification delivery",
        }
    }
}

/// One row: what to order, for what.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The fault, as it is written.
    pub fault: &'static str,
    /// What the LPA does.
    pub act: Act,
    /// What is tested with it.
    pub tests: &'static str,
    /// What this project's LPA shows.
    pub shows: &'static str,
    /// What lpac shows, for those that are played with it: function and reason, or `success`.
    pub lpac: Option<&'static str>,
}

/// The catalogue.
pub const CATALOGUE: &[Row] = &[
    row(
        "status=6A82@SELECT",
        Act::ReadChip,
        "an ISD-R that is not there",
        "the card has no ISD-R (6A82): it is not an eUICC, or its ISD-R has another AID (--aid); name one that is an eUICC: in a reader with --reader (`vuicc reader list`), in an image with --card (`vuicc card show IMAGE` tells what it is)",
        Some("euicc_init"),
    ),
    row(
        "status=6985@GetEID",
        Act::ReadChip,
        "a card that wants a reset first",
        "the eUICC did not report everything: 1 item refused or faulty",
        Some("es10c_get_eid"),
    ),
    row(
        "status=6F00@GetEUICCInfo2",
        Act::ReadChip,
        "a technical problem",
        "the eUICC did not report everything: 1 item refused or faulty",
        None,
    ),
    row(
        "mute@STORE_DATA",
        Act::ReadChip,
        "a card that falls silent",
        "the card did not answer the command; reset it and try again",
        None,
    ),
    row(
        "cut@STORE_DATA",
        Act::ReadChip,
        "a card pulled before a command",
        "the card did not answer the command; reset it and try again",
        None,
    ),
    row(
        "drop@STORE_DATA",
        Act::ReadChip,
        "a lost response",
        "the eUICC did not report everything: 1 item refused or faulty",
        None,
    ),
    row(
        "flip-response=0@STORE_DATA",
        Act::ReadChip,
        "a disturbed line",
        "the eUICC did not report everything: 1 item refused or faulty",
        None,
    ),
    row("slow=20ms@STORE_DATA", Act::ReadChip, "a slow card: nothing is lost", "success", None),
    row(
        "SetDefaultDpAddress=undefinedError",
        Act::SetDefaultSmdp,
        "a default SM-DP+ that is not taken",
        "the eUICC refused without a specific reason; reset the card and try again (SetDefaultDpAddress: undefinedError(127))",
        None,
    ),
    row(
        "eUICCMemoryReset=catBusy",
        Act::ResetMemory,
        "a reset while the toolkit is busy",
        "the card is busy with its toolkit; try again, or reset the terminal first (eUICCMemoryReset: catBusy(5))",
        None,
    ),
    row(
        "GetProfilesInfo=undefinedError",
        Act::ListProfiles,
        "a list that cannot be had",
        "the eUICC refused without a specific reason; reset the card and try again (GetProfilesInfo: undefinedError(127))",
        Some("es10c_get_profiles_info"),
    ),
    row(
        "EnableProfile=catBusy",
        Act::Enable,
        "a toolkit that is busy: to be tried again",
        "the card is busy with its toolkit; try again, or reset the terminal first (EnableProfile: catBusy(5))",
        Some("es10c_enable_profile: unknown"),
    ),
    row(
        "EnableProfile=disallowedByPolicy",
        Act::Enable,
        "a policy rule of the enabled profile",
        "a policy rule of the operator forbids to disable the enabled profile (ppr1) (EnableProfile: disallowedByPolicy(3))",
        Some("es10c_enable_profile: disallowed by policy"),
    ),
    row(
        "EnableProfile=undefinedError",
        Act::Enable,
        "a card that wants another identifier or refreshFlag",
        "the eUICC refused without a specific reason; reset the card and try again (EnableProfile: undefinedError(127))",
        None,
    ),
    row("EnableProfile=ok", Act::Enable, "a card that says ok and does nothing", "success", Some("success")),
    row(
        "EnableProfile=undefinedError,after",
        Act::Enable,
        "a card that fails and has done it",
        "the eUICC refused without a specific reason; reset the card and try again (EnableProfile: undefinedError(127))",
        None,
    ),
    row(
        "status=6581@EnableProfile",
        Act::Enable,
        "a memory failure",
        "the eUICC refused EnableProfile: 6581, its image cannot be written; check whether its disk is full or read-only, and try again",
        None,
    ),
    row(
        "cut@EnableProfile,after",
        Act::Enable,
        "the power fails with the profile enabled",
        "the card did not answer the command; reset it and try again",
        None,
    ),
    row(
        "DisableProfile=catBusy",
        Act::Disable,
        "likewise for disabling",
        "the card is busy with its toolkit; try again, or reset the terminal first (DisableProfile: catBusy(5))",
        None,
    ),
    row(
        "DisableProfile=disallowedByPolicy",
        Act::Disable,
        "PPR1",
        "a policy rule of the operator forbids to disable the enabled profile (ppr1) (DisableProfile: disallowedByPolicy(3))",
        None,
    ),
    row(
        "DeleteProfile=disallowedByPolicy",
        Act::Delete,
        "PPR2",
        "a policy rule of the operator forbids to delete this profile (ppr2) (DeleteProfile: disallowedByPolicy(3))",
        Some("es10c_delete_profile: disallowed by policy"),
    ),
    row(
        "DeleteProfile=profileNotInDisabledState",
        Act::Delete,
        "a profile that is enabled for the card",
        "the profile is enabled; disable it first (DeleteProfile: profileNotInDisabledState(2))",
        None,
    ),
    row(
        "SetNickname=iccidNotFound",
        Act::Rename,
        "a profile that is gone",
        "no such profile on this eUICC; see `profile list` (SetNickname: iccidNotFound(1))",
        Some("es10c_set_nickname: iccid not found"),
    ),
    row(
        "write-error",
        Act::Rename,
        "non-volatile memory that does not take a write",
        "the eUICC refused SetNickname: 6581, its image cannot be written; check whether its disk is full or read-only, and try again",
        None,
    ),
    row(
        "cut@write",
        Act::Rename,
        "the power fails at a write: nothing has changed",
        "the card did not answer the command; reset it and try again",
        None,
    ),
    row(
        "cut@write,after",
        Act::Rename,
        "the power fails behind a write: it is done",
        "the card did not answer the command; reset it and try again",
        None,
    ),
    row(
        "ListNotification=undefinedError",
        Act::ListNotifications,
        "a list that cannot be had",
        "the eUICC refused without a specific reason; reset the card and try again (ListNotification: undefinedError(127))",
        None,
    ),
    row(
        "RetrieveNotificationsList=undefinedError",
        Act::Deliver,
        "a notification that cannot be had",
        "1 notification stays on the eUICC; process it again later. A server that is elsewhere now is reached with --connect OLD=NEW:PORT; of one that is gone for good `vuicc lpa notification remove NUMBER` removes it",
        None,
    ),
    row(
        "RemoveNotificationFromList=nothingToDelete",
        Act::Deliver,
        "a notification that another program has removed",
        "1 notification stays on the eUICC; process it again later. A server that is elsewhere now is reached with --connect OLD=NEW:PORT; of one that is gone for good `vuicc lpa notification remove NUMBER` removes it",
        None,
    ),
    row(
        "AuthenticateServer=invalidCertificate",
        Act::Download,
        "a server certificate that the card rejects",
        "the eUICC does not accept the certificate of the server (AuthenticateServer: invalidCertificate(1))",
        Some("es9p_authenticate_client: the eUICC reports an error"),
    ),
    row(
        "AuthenticateServer=ciPKUnknown",
        Act::Download,
        "a CI that the card does not trust",
        "the server uses a CI this eUICC does not know; they do not fit together (AuthenticateServer: ciPKUnknown(7))",
        None,
    ),
    row(
        "AuthenticateServer=euiccChallengeMismatch",
        Act::Download,
        "a session that another program has started",
        "the session was overtaken by another one; try again (AuthenticateServer: euiccChallengeMismatch(6))",
        None,
    ),
    row(
        "AuthenticateServer=noSessionContext",
        Act::Download,
        "a card that was reset in between",
        "the eUICC lost the session, perhaps by a reset; try again (AuthenticateServer: noSessionContext(4))",
        None,
    ),
    row(
        "PrepareDownload=invalidSignature",
        Act::Download,
        "a signature of the server that is wrong",
        "the eUICC does not accept the signature of the server over the download (PrepareDownload: invalidSignature(2))",
        None,
    ),
    row(
        "PrepareDownload=noSessionContext",
        Act::Download,
        "a card that was reset in between",
        "the eUICC lost the session, perhaps by a reset; try again (PrepareDownload: noSessionContext(4))",
        None,
    ),
    row(
        "CancelSession=invalidTransactionId",
        Act::Decline,
        "a session that the card does not know",
        "the download was postponed; the activation code remains valid",
        None,
    ),
    row(
        "memory-full,always",
        Act::Download,
        "a full card: the server refuses",
        "the server refused: the eUICC has not enough memory for this profile; delete a profile first (8.1/4.8)",
        Some("es9p_authenticate_client: the eUICC has not enough memory for this profile"),
    ),
    row(
        "initialiseSecureChannel=invalidSignature",
        Act::Download,
        "a package that is not for this session",
        "the eUICC could not install the profile: the signature of the server is wrong; report it to the operator (initialiseSecureChannel(0): invalidSignature(2))",
        None,
    ),
    row(
        "configureISDP=incorrectInputValues",
        Act::Download,
        "an ISD-P that cannot be configured",
        "the eUICC could not install the profile: it does not accept values in the package; report it to the operator (configureISDP(1): incorrectInputValues(1))",
        None,
    ),
    row(
        "storeMetadata=pprNotAllowed",
        Act::Download,
        "policy rules that the card does not allow",
        "the eUICC could not install the profile: the profile carries policy rules this eUICC does not allow its operator (storeMetadata(2): pprNotAllowed(15))",
        Some("es10b_load_bound_profile_package: store_metadata,ppr_not_allowed"),
    ),
    row(
        "storeMetadata=installFailedDueToIccidAlreadyExistsOnEuicc",
        Act::Download,
        "a profile that is there already",
        "the eUICC could not install the profile: a profile with this ICCID is installed already; delete it first (storeMetadata(2): installFailedDueToIccidAlreadyExistsOnEuicc(9))",
        None,
    ),
    row(
        "loadProfileElements=installFailedDueToInsufficientMemoryForProfile",
        Act::Download,
        "a profile that does not fit",
        "the eUICC could not install the profile: its memory is full; delete a profile and try again (loadProfileElements(5): installFailedDueToInsufficientMemoryForProfile(10))",
        None,
    ),
    row(
        "loadProfileElements=installFailedDueToPEProcessingError",
        Act::Download,
        "a package that the card does not understand",
        "the eUICC could not install the profile: it cannot process a part of the profile; the profile may be made for another eUICC, ask the operator (loadProfileElements(5): installFailedDueToPEProcessingError(12))",
        Some("es10b_load_bound_profile_package: load_profile_elements,install_failed_due_to_pe_processing_error"),
    ),
    row(
        "loadProfileElements=installFailedDueToInterruption,from=3",
        Act::Download,
        "an interruption in the middle",
        "the eUICC could not install the profile: it was interrupted; try again (loadProfileElements(5): installFailedDueToInterruption(11))",
        None,
    ),
    row(
        "loadProfileElements=scp03tSecurityError,from=2",
        Act::Download,
        "a segment that is not authentic",
        "the eUICC could not install the profile: the package was modified in transit or protected for another eUICC; try again (loadProfileElements(5): scp03tSecurityError(8))",
        None,
    ),
    row(
        "status=6A80@LoadBoundProfilePackage",
        Act::Download,
        "a card that does not take the first piece",
        "the download was aborted: the eUICC refused LoadBoundProfilePackage: 6A80, it does not understand the request; it may implement another release of SGP.22",
        None,
    ),
    row(
        "status=6F00@LoadBoundProfilePackage,from=4",
        Act::Download,
        "a status word in the middle of a package",
        "the download was aborted: the eUICC refused LoadBoundProfilePackage: 6F00, it has a technical problem; reset the card and check the profile list",
        Some("es10b_load_bound_profile_package: unknown,unknown"),
    ),
    row(
        "cut@LoadBoundProfilePackage,from=6",
        Act::Download,
        "the power fails in the middle of a package",
        "the card did not answer the command; reset it and try again",
        None,
    ),
    row(
        "cut@write,from=2",
        Act::Download,
        "the power fails where the profile is written",
        "the card did not answer the command; reset it and try again",
        None,
    ),
];

const fn row(
    fault: &'static str,
    act: Act,
    tests: &'static str,
    shows: &'static str,
    lpac: Option<&'static str>,
) -> Row {
    Row { fault, act, tests, shows, lpac }
}
