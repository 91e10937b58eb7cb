//! Which fault to order to test what an LPA does: the table that `docs/faults.md` is made from. Each row is played by
//! `tests/tests/card_faults.rs`.

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

/// The catalogue. Words that vary stand as `…`.
pub const CATALOGUE: &[Row] = &[
    row("status=6A82@SELECT", Act::ReadChip, "an ISD-R that is not there", "?", Some("?")),
    row("status=6985@GetEID", Act::ReadChip, "a card that wants a reset first", "?", Some("?")),
    row("status=6F00@GetEUICCInfo2", Act::ReadChip, "a technical problem", "?", None),
    row("mute@STORE_DATA", Act::ReadChip, "a card that falls silent", "?", Some("?")),
    row("cut@STORE_DATA", Act::ReadChip, "a card pulled before a command", "?", None),
    row("drop@STORE_DATA", Act::ReadChip, "a lost response", "?", None),
    row("flip-response=0@GET_RESPONSE", Act::ReadChip, "a disturbed line", "?", None),
    row("slow=20ms@STORE_DATA", Act::ReadChip, "a slow card: nothing is lost", "?", None),
    row("SetDefaultDpAddress=undefinedError", Act::SetDefaultSmdp, "a default SM-DP+ that is not taken", "?", None),
    row("eUICCMemoryReset=catBusy", Act::ResetMemory, "a reset while the toolkit is busy", "?", None),
    row("GetProfilesInfo=undefinedError", Act::ListProfiles, "a list that cannot be had", "?", Some("?")),
    row("EnableProfile=catBusy", Act::Enable, "a toolkit that is busy: to be tried again", "?", Some("?")),
    row("EnableProfile=disallowedByPolicy", Act::Enable, "a policy rule of the enabled profile", "?", Some("?")),
    row("EnableProfile=undefinedError", Act::Enable, "a card that wants another identifier or refreshFlag", "?", None),
    row("EnableProfile=ok", Act::Enable, "a card that says ok and does nothing", "?", Some("?")),
    row("EnableProfile=undefinedError,after", Act::Enable, "a card that fails and has done it", "?", None),
    row("status=6581@EnableProfile", Act::Enable, "a memory failure", "?", None),
    row("cut@EnableProfile,after", Act::Enable, "the power fails with the profile enabled", "?", None),
    row("DisableProfile=catBusy", Act::Disable, "likewise for disabling", "?", None),
    row("DisableProfile=disallowedByPolicy", Act::Disable, "PPR1", "?", None),
    row("DeleteProfile=disallowedByPolicy", Act::Delete, "PPR2", "?", Some("?")),
    row("DeleteProfile=profileNotInDisabledState", Act::Delete, "a profile that is enabled for the card", "?", None),
    row("SetNickname=iccidNotFound", Act::Rename, "a profile that is gone", "?", Some("?")),
    row("write-error", Act::Rename, "non-volatile memory that does not take a write", "?", None),
    row("cut@write", Act::Rename, "the power fails at a write: nothing has changed", "?", None),
    row("cut@write,after", Act::Rename, "the power fails behind a write: it is done", "?", None),
    row("ListNotification=undefinedError", Act::ListNotifications, "a list that cannot be had", "?", None),
    row("RetrieveNotificationsList=undefinedError", Act::Deliver, "a notification that cannot be had", "?", None),
    row(
        "RemoveNotificationFromList=nothingToDelete",
        Act::Deliver,
        "a notification that another program has removed",
        "?",
        None,
    ),
    row(
        "AuthenticateServer=invalidCertificate",
        Act::Download,
        "a server certificate that the card rejects",
        "?",
        None,
    ),
    row("AuthenticateServer=ciPKUnknown", Act::Download, "a CI that the card does not trust", "?", None),
    row(
        "AuthenticateServer=euiccChallengeMismatch",
        Act::Download,
        "a session that another program has started",
        "?",
        None,
    ),
    row("AuthenticateServer=noSessionContext", Act::Download, "a card that was reset in between", "?", None),
    row("PrepareDownload=invalidSignature", Act::Download, "a signature of the server that is wrong", "?", None),
    row("PrepareDownload=noSessionContext", Act::Download, "a card that was reset in between", "?", None),
    row("CancelSession=invalidTransactionId", Act::Decline, "a session that the card does not know", "?", None),
    row("memory-full,always", Act::Download, "a full card: the server refuses", "?", None),
    row("initialiseSecureChannel=invalidSignature", Act::Download, "a package that is not for this session", "?", None),
    row("configureISDP=incorrectInputValues", Act::Download, "an ISD-P that cannot be configured", "?", None),
    row("storeMetadata=pprNotAllowed", Act::Download, "policy rules that the card does not allow", "?", Some("?")),
    row(
        "storeMetadata=installFailedDueToIccidAlreadyExistsOnEuicc",
        Act::Download,
        "a profile that is there already",
        "?",
        None,
    ),
    row(
        "loadProfileElements=installFailedDueToInsufficientMemoryForProfile",
        Act::Download,
        "a profile that does not fit",
        "?",
        None,
    ),
    row(
        "loadProfileElements=installFailedDueToPEProcessingError",
        Act::Download,
        "a package that the card does not understand",
        "?",
        Some("?"),
    ),
    row(
        "loadProfileElements=installFailedDueToInterruption,from=3",
        Act::Download,
        "an interruption in the middle",
        "?",
        None,
    ),
    row("loadProfileElements=scp03tSecurityError,from=2", Act::Download, "a segment that is not authentic", "?", None),
    row("status=6A80@LoadBoundProfilePackage", Act::Download, "a card that does not take the first piece", "?", None),
    row(
        "status=6F00@LoadBoundProfilePackage,from=4",
        Act::Download,
        "a status word in the middle of a package",
        "?",
        Some("?"),
    ),
    row("cut@LoadBoundProfilePackage,from=6", Act::Download, "the power fails in the middle of a package", "?", None),
    row("cut@write,from=2", Act::Download, "the power fails where the profile is written", "?", None),
    row("flip-command=400@STORE_DATA,from=12", Act::Download, "a disturbed line in the middle of a package", "?", None),
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
