//! The table of kinds of faults.

/// Where a fault strikes: at a function of ES9+ or ES2+, or in every TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// ES9+.InitiateAuthentication
    InitiateAuthentication,
    /// ES9+.AuthenticateClient
    AuthenticateClient,
    /// ES9+.GetBoundProfilePackage
    GetBoundProfilePackage,
    /// ES9+.CancelSession
    CancelSession,
    /// ES9+.HandleNotification
    HandleNotification,
    /// ES2+.DownloadOrder
    DownloadOrder,
    /// ES2+.ConfirmOrder
    ConfirmOrder,
    /// ES2+.CancelOrder
    CancelOrder,
    /// ES2+.ReleaseProfile
    ReleaseProfile,
    /// The TLS handshake of ES9+.
    Tls,
}

impl At {
    /// All, with the names they are ordered by: those of the functions, as at the end of their paths.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::InitiateAuthentication, "initiateAuthentication"),
        (Self::AuthenticateClient, "authenticateClient"),
        (Self::GetBoundProfilePackage, "getBoundProfilePackage"),
        (Self::CancelSession, "cancelSession"),
        (Self::HandleNotification, "handleNotification"),
        (Self::DownloadOrder, "downloadOrder"),
        (Self::ConfirmOrder, "confirmOrder"),
        (Self::CancelOrder, "cancelOrder"),
        (Self::ReleaseProfile, "releaseProfile"),
        (Self::Tls, "tls"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(at, _)| *at == self).map_or("", |(_, name)| name)
    }

    /// The function called by a path.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let last = path.rsplit('/').next()?;
        Self::ALL.iter().find(|(at, name)| *name == last && *at != Self::Tls).map(|(at, _)| *at)
    }

    /// Whether it is a function of ES2+.
    pub fn is_of_operators(self) -> bool {
        OPERATORS.contains(&self)
    }
}

const OPERATORS: &[At] = &[At::DownloadOrder, At::ConfirmOrder, At::CancelOrder, At::ReleaseProfile];
const FUNCTIONS: &[At] = &[
    At::InitiateAuthentication,
    At::AuthenticateClient,
    At::GetBoundProfilePackage,
    At::CancelSession,
    At::HandleNotification,
    At::DownloadOrder,
    At::ConfirmOrder,
    At::CancelOrder,
    At::ReleaseProfile,
];
/// Functions whose answer is a JSON object.
const ANSWERED: &[At] = &[
    At::InitiateAuthentication,
    At::AuthenticateClient,
    At::GetBoundProfilePackage,
    At::CancelSession,
    At::DownloadOrder,
    At::ConfirmOrder,
    At::CancelOrder,
    At::ReleaseProfile,
];
const STEPS: &[At] = &[At::InitiateAuthentication, At::AuthenticateClient, At::GetBoundProfilePackage];
const SIGNED: &[At] = &[At::InitiateAuthentication, At::AuthenticateClient];
const CERTIFIED: &[At] = &[At::InitiateAuthentication, At::AuthenticateClient, At::Tls];
const FIRST: &[At] = &[At::InitiateAuthentication];
const SECOND: &[At] = &[At::AuthenticateClient];
const PACKAGE: &[At] = &[At::GetBoundProfilePackage];

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Refused with a status.
    Status,
    /// An HTTP error.
    Http,
    /// A pause before the function is executed.
    Slow,
    /// The connection ends before the function is executed.
    Cut,
    /// It ends after.
    Lost,
    /// It ends in the middle of the answer.
    Torn,
    /// An answer without a body.
    Empty,
    /// A web page as the answer.
    NoJson,
    /// A field that nobody knows.
    UnknownField,
    /// Another transactionId beside what is signed.
    WrongTransaction,
    /// Another transactionId in what is signed.
    SignedTransaction,
    /// A signature that does not verify.
    WrongSignature,
    /// Another euiccChallenge.
    WrongChallenge,
    /// Another serverAddress.
    WrongAddress,
    /// A CI the eUICC does not know.
    UnknownCi,
    /// A certificate that has expired.
    Expired,
    /// A certificate that is not valid yet.
    NotYetValid,
    /// A certificate with another OID.
    WrongOid,
    /// A certificate of another CI.
    WrongCi,
    /// A certificate for another role.
    WrongRole,
    /// A certificate for another host.
    WrongName,
    /// An element that nobody knows, signed too.
    UnknownTlv,
    /// Other metadata than in the package: the name.
    MetadataName,
    /// Other metadata than in the package: the ICCID.
    MetadataIccid,
    /// A confirmation code is asked for that the order does not have, or the reverse.
    CodeFlag,
    /// A segment whose MAC is wrong.
    SegmentMac,
    /// A segment is missing.
    SegmentMissing,
    /// Half of the package.
    Truncated,
}

impl Kind {
    /// Whether it is a wrong certificate.
    pub(crate) const fn is_of_certificate(self) -> bool {
        matches!(self, Self::Expired | Self::NotYetValid | Self::WrongOid | Self::WrongCi | Self::WrongRole)
    }

    /// Whether the function is not executed.
    pub(crate) const fn comes_before(self) -> bool {
        matches!(self, Self::Status | Self::Http | Self::Cut)
    }

    /// Whether nothing of the answer is left for another fault.
    pub(crate) const fn ends_the_call(self) -> bool {
        matches!(self, Self::Status | Self::Http | Self::Cut | Self::Lost | Self::Torn | Self::Empty | Self::NoJson)
    }
}

/// The value of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// It has none.
    None,
    /// `SUBJECT/REASON`
    Status,
    /// An HTTP status of errors.
    Http,
    /// Seconds.
    Seconds,
    /// The number of a segment, from 1 on; by default the last one.
    Segment,
}

impl Value {
    /// How it is written after the kind.
    pub const fn form(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Status => ":SUBJECT/REASON",
            Self::Http => ":CODE",
            Self::Seconds => ":SECONDS",
            Self::Segment => "[:N]",
        }
    }
}

/// A fault that was ordered, and what became of a download.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    /// The order.
    pub order: &'static str,
    /// What this project's LPA says, or part of it; for a function of ES2+, its client.
    pub seen: &'static str,
}

/// A kind of fault.
#[derive(Debug)]
pub struct Row {
    /// Which one.
    pub kind: Kind,
    /// The name it is ordered by.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
    /// Where it can strike.
    pub at: &'static [At],
    /// What the server does.
    pub does: &'static str,
    /// Examples.
    pub played: &'static [Played],
}

const fn played(order: &'static str, seen: &'static str) -> Played {
    Played { order, seen }
}

/// All kinds.
pub const ROWS: &[Row] = &[
    Row {
        kind: Kind::Status,
        name: "status",
        value: Value::Status,
        at: FUNCTIONS,
        does: "refuses with this subject and reason, and executes nothing",
        played: &[
            played(
                "initiateAuthentication=status:8.8.2/3.1",
                "the server refused: none of the eUICC's CIs is supported by the server; the server and this eUICC do not fit together, their certificates have different issuers (8.8.2/3.1: a fault that was ordered)",
            ),
            played(
                "authenticateClient=status:8.2.6/3.8",
                "the server refused: no profile is waiting under this matching identifier; check the activation code, it may be used up (8.2.6/3.8: a fault that was ordered)",
            ),
            played(
                "getBoundProfilePackage=status:8.2/3.7",
                "the server refused: the profile package is not available for a new binding; ask the operator for a new activation code (8.2/3.7: a fault that was ordered)",
            ),
            played("cancelSession=status:8.10.1/3.9", "the profile was rejected; nothing was installed"),
            played("handleNotification=status:8.10.1/3.9", "installed; the report stays on the eUICC"),
            played("downloadOrder=status:8.2.5/3.7", "ES2PLUS refused: 8.2.5/3.7 a fault that was ordered"),
        ],
    },
    Row {
        kind: Kind::Http,
        name: "http",
        value: Value::Http,
        at: FUNCTIONS,
        does: "answers with this HTTP status, and executes nothing",
        played: &[
            played(
                "authenticateClient=http:503",
                "SMDP answers HTTP 503; it may not be an SM-DP+, or it may be out of order",
            ),
            played("handleNotification=http:500", "installed; the report stays on the eUICC"),
            played("confirmOrder=http:503", "ES2PLUS answers HTTP 503; it may be no such server, or out of order"),
        ],
    },
    Row {
        kind: Kind::Slow,
        name: "slow",
        value: Value::Seconds,
        at: FUNCTIONS,
        does: "waits for so long, then goes on",
        played: &[played(
            "getBoundProfilePackage=slow:5",
            "cannot reach SMDP: it has not answered completely within 2 s; check the address and the network",
        )],
    },
    Row {
        kind: Kind::Cut,
        name: "cut",
        value: Value::None,
        at: FUNCTIONS,
        does: "closes the connection without an answer, and executes nothing",
        played: &[
            played(
                "initiateAuthentication=cut",
                "cannot reach SMDP: it closed the connection without ending TLS, so its answer may be truncated; check the address and the network",
            ),
            played(
                "releaseProfile=cut",
                "no answer from ES2PLUS: it closed the connection without ending TLS, so its answer may be truncated; look whether its server runs there (an SM-DP+ that listens for operators: `vuicc smdp serve`; an operator: `vuicc operator serve`); the call can be made again, nothing is lost",
            ),
        ],
    },
    Row {
        kind: Kind::Lost,
        name: "lost",
        value: Value::None,
        at: FUNCTIONS,
        does: "executes the function, and closes the connection without an answer",
        played: &[
            played(
                "getBoundProfilePackage=lost",
                "cannot reach SMDP: it closed the connection without ending TLS, so its answer may be truncated; check the address and the network",
            ),
            played("handleNotification=lost@once", "installed"),
        ],
    },
    Row {
        kind: Kind::Torn,
        name: "torn",
        value: Value::None,
        at: ANSWERED,
        does: "executes the function, and closes the connection in the middle of the answer",
        played: &[played(
            "getBoundProfilePackage=torn",
            "cannot reach SMDP: it closed the connection without ending TLS, so its answer may be truncated; check the address and the network",
        )],
    },
    Row {
        kind: Kind::Empty,
        name: "empty",
        value: Value::None,
        at: ANSWERED,
        does: "executes the function, and answers 200 without a body",
        played: &[played(
            "authenticateClient=empty",
            "the answer of SMDP is not understood (missing field `transactionId` at line 1 column 2); it may not be an SM-DP+",
        )],
    },
    Row {
        kind: Kind::NoJson,
        name: "no-json",
        value: Value::None,
        at: ANSWERED,
        does: "executes the function, and answers with a web page",
        played: &[played(
            "initiateAuthentication=no-json",
            "the answer of SMDP is not understood (expected value at line 1 column 1); it may not be an SM-DP+",
        )],
    },
    Row {
        kind: Kind::UnknownField,
        name: "unknown-field",
        value: Value::None,
        at: ANSWERED,
        does: "adds a field that no release of SGP.22 has; an LPA has to skip it",
        played: &[played("initiateAuthentication=unknown-field", "installed")],
    },
    Row {
        kind: Kind::WrongTransaction,
        name: "wrong-transaction",
        value: Value::None,
        at: STEPS,
        does: "names another transactionId beside what is signed",
        played: &[
            played(
                "initiateAuthentication=wrong-transaction",
                "the server's answer does not fit this session: it signed another transactionId than it announced; try again, or report it to the operator",
            ),
            played(
                "authenticateClient=wrong-transaction",
                "the server's answer does not fit this session: it signed the download for another transactionId; try again, or report it to the operator",
            ),
            played(
                "getBoundProfilePackage=wrong-transaction",
                "the server's answer does not fit this session: its package is announced for another transactionId; try again, or report it to the operator",
            ),
        ],
    },
    Row {
        kind: Kind::SignedTransaction,
        name: "signed-transaction",
        value: Value::None,
        at: SIGNED,
        does: "signs another transactionId (serverSigned1, smdpSigned2)",
        played: &[
            played(
                "initiateAuthentication=signed-transaction",
                "the server's answer does not fit this session: it signed another transactionId than it announced; try again, or report it to the operator",
            ),
            played(
                "authenticateClient=signed-transaction",
                "the server's answer does not fit this session: it signed the download for another transactionId; try again, or report it to the operator",
            ),
        ],
    },
    Row {
        kind: Kind::WrongSignature,
        name: "wrong-signature",
        value: Value::None,
        at: STEPS,
        does: "makes serverSignature1, smdpSignature2 or smdpSign wrong",
        played: &[
            played(
                "initiateAuthentication=wrong-signature",
                "the eUICC does not accept the signature of the server (AuthenticateServer: invalidSignature(2))",
            ),
            played(
                "authenticateClient=wrong-signature",
                "the eUICC does not accept the signature of the server over the download (PrepareDownload: invalidSignature(2))",
            ),
            played(
                "getBoundProfilePackage=wrong-signature",
                "the eUICC could not install the profile: the signature of the server is wrong; report it to the operator (initialiseSecureChannel(0): invalidSignature(2))",
            ),
        ],
    },
    Row {
        kind: Kind::WrongChallenge,
        name: "wrong-challenge",
        value: Value::None,
        at: FIRST,
        does: "signs another euiccChallenge",
        played: &[played(
            "initiateAuthentication=wrong-challenge",
            "the server's answer does not fit this session: it signed another challenge than the eUICC's; try again, or report it to the operator",
        )],
    },
    Row {
        kind: Kind::WrongAddress,
        name: "wrong-address",
        value: Value::None,
        at: FIRST,
        does: "signs another SM-DP+ address (serverAddress)",
        played: &[played(
            "initiateAuthentication=wrong-address",
            "the server at SMDP speaks for another-server.example.com; use that address, or the correct activation code",
        )],
    },
    Row {
        kind: Kind::UnknownCi,
        name: "unknown-ci",
        value: Value::None,
        at: FIRST,
        does: "asks the eUICC to sign under a CI it does not have (euiccCiPKIdToBeUsed)",
        played: &[played(
            "initiateAuthentication=unknown-ci",
            "the server uses a CI this eUICC does not know; they do not fit together (AuthenticateServer: ciPKUnknown(7))",
        )],
    },
    Row {
        kind: Kind::Expired,
        name: "expired",
        value: Value::None,
        at: CERTIFIED,
        does: "shows a certificate that has expired, of the right key: CERT.DPauth, CERT.DPpb or CERT.DPtls",
        played: &[
            played(
                "initiateAuthentication=expired",
                "the server's certificate (CERT.DPauth): the certificate has expired; check this machine's clock; the operator has to renew it",
            ),
            played(
                "authenticateClient=expired",
                "the server's certificate for binding profiles (CERT.DPpb): the certificate has expired; check this machine's clock; the operator has to renew it",
            ),
            played(
                "tls=expired",
                "the server SMDP is not trusted: its certificate has expired; check this machine's clock; the operator has to renew it",
            ),
        ],
    },
    Row {
        kind: Kind::NotYetValid,
        name: "not-yet-valid",
        value: Value::None,
        at: CERTIFIED,
        does: "shows a certificate that is not valid before tomorrow",
        played: &[
            played(
                "initiateAuthentication=not-yet-valid",
                "the server's certificate (CERT.DPauth): the certificate is not valid yet; check this machine's clock; the operator has to renew it",
            ),
            played(
                "authenticateClient=not-yet-valid",
                "the server's certificate for binding profiles (CERT.DPpb): the certificate is not valid yet; check this machine's clock; the operator has to renew it",
            ),
            played(
                "tls=not-yet-valid",
                "the server SMDP is not trusted: its certificate is not valid yet; check this machine's clock; the operator has to renew it",
            ),
        ],
    },
    Row {
        kind: Kind::WrongOid,
        name: "wrong-oid",
        value: Value::None,
        at: CERTIFIED,
        does: "shows a certificate with another OID, 2.999.99",
        played: &[
            played(
                "initiateAuthentication=wrong-oid",
                "the server's TLS certificate is of OID 2.999.10, what it signs with of 2.999.99: two servers in one; do not trust it",
            ),
            played(
                "authenticateClient=wrong-oid",
                "the server's answer does not fit this session: its two certificates have different OIDs; try again, or report it to the operator",
            ),
            played(
                "tls=wrong-oid",
                "the server's TLS certificate is of OID 2.999.99, what it signs with of 2.999.10: two servers in one; do not trust it",
            ),
        ],
    },
    Row {
        kind: Kind::WrongCi,
        name: "wrong-ci",
        value: Value::None,
        at: CERTIFIED,
        does: "shows a certificate of another CI",
        played: &[
            played(
                "initiateAuthentication=wrong-ci",
                "the server uses a CI this eUICC does not know; they do not fit together (AuthenticateServer: ciPKUnknown(7))",
            ),
            played(
                "authenticateClient=wrong-ci",
                "the eUICC does not accept the profile binding certificate of the server (PrepareDownload: invalidCertificate(1))",
            ),
            played(
                "tls=wrong-ci",
                "the server SMDP is not trusted: its certificate is signed by another CI of the same name; trust its CI, or do not use it",
            ),
        ],
    },
    Row {
        kind: Kind::WrongRole,
        name: "wrong-role",
        value: Value::None,
        at: SIGNED,
        does: "shows CERT.DPpb where CERT.DPauth belongs, or the reverse",
        played: &[
            played(
                "initiateAuthentication=wrong-role",
                "the server signs with a CERT.DPpb instead of a CERT.DPauth: it is the wrong kind of server; check the address, or report it to the operator",
            ),
            played(
                "authenticateClient=wrong-role",
                "the server signs with a CERT.DPauth instead of a CERT.DPpb: it is the wrong kind of server; check the address, or report it to the operator",
            ),
        ],
    },
    Row {
        kind: Kind::WrongName,
        name: "wrong-name",
        value: Value::None,
        at: &[At::Tls],
        does: "shows a certificate for another host",
        played: &[played(
            "tls=wrong-name",
            "the server SMDP is not trusted: its certificate is for another name; use a host name it covers, or do not use it",
        )],
    },
    Row {
        kind: Kind::UnknownTlv,
        name: "unknown-tlv",
        value: Value::None,
        at: STEPS,
        does: "adds an element that no release of SGP.22 has, and signs it too: to serverSigned1, smdpSigned2, or to the package",
        played: &[
            played("initiateAuthentication=unknown-tlv", "installed"),
            played("authenticateClient=unknown-tlv", "installed"),
            played(
                "getBoundProfilePackage=unknown-tlv",
                "the eUICC could not install the profile: the package is malformed; report it to the operator (loadProfileElements(5): scp03tStructureError(7))",
            ),
        ],
    },
    Row {
        kind: Kind::MetadataName,
        name: "metadata-name",
        value: Value::None,
        at: SECOND,
        does: "shows the user another name than the package has",
        played: &[played(
            "authenticateClient=metadata-name",
            "the package contains another profile than the one announced; it was refused, report it to the operator",
        )],
    },
    Row {
        kind: Kind::MetadataIccid,
        name: "metadata-iccid",
        value: Value::None,
        at: SECOND,
        does: "shows the user another ICCID than the package has",
        played: &[played(
            "authenticateClient=metadata-iccid",
            "the package contains another profile than the one announced; it was refused, report it to the operator",
        )],
    },
    Row {
        kind: Kind::CodeFlag,
        name: "code-flag",
        value: Value::None,
        at: SECOND,
        does: "asks for a confirmation code that the order does not have, or does not ask for one it has (ccRequiredFlag, signed)",
        played: &[played(
            "authenticateClient=code-flag",
            "the operator requires a confirmation code; try again with it",
        )],
    },
    Row {
        kind: Kind::SegmentMac,
        name: "segment-mac",
        value: Value::Segment,
        at: PACKAGE,
        does: "makes the MAC of segment N of the package wrong, counted from 1; without N, of the last one",
        played: &[
            played(
                "getBoundProfilePackage=segment-mac:1",
                "the eUICC could not install the profile: the package was modified in transit or protected for another eUICC; try again (configureISDP(1): scp03tSecurityError(8))",
            ),
            played(
                "getBoundProfilePackage=segment-mac:2",
                "the eUICC could not install the profile: the package was modified in transit or protected for another eUICC; try again (storeMetadata(2): scp03tSecurityError(8))",
            ),
            played(
                "getBoundProfilePackage=segment-mac:3",
                "the eUICC could not install the profile: the package was modified in transit or protected for another eUICC; try again (replaceSessionKeys(4): scp03tSecurityError(8))",
            ),
            played(
                "getBoundProfilePackage=segment-mac",
                "the eUICC could not install the profile: the package was modified in transit or protected for another eUICC; try again (loadProfileElements(5): scp03tSecurityError(8))",
            ),
        ],
    },
    Row {
        kind: Kind::SegmentMissing,
        name: "segment-missing",
        value: Value::Segment,
        at: PACKAGE,
        does: "leaves segment N out; without N, the last one",
        played: &[
            played(
                "getBoundProfilePackage=segment-missing:2",
                "the package contains another profile than the one announced; it was refused, report it to the operator",
            ),
            played(
                "getBoundProfilePackage=segment-missing",
                "the eUICC could not install the profile: it cannot process a part of the profile; the profile may be made for another eUICC, ask the operator (loadProfileElements(5): installFailedDueToPEProcessingError(12); invalid-request-format(5), it is malformed or in the wrong place; “the package ends before its end”)",
            ),
        ],
    },
    Row {
        kind: Kind::Truncated,
        name: "truncated",
        value: Value::None,
        at: PACKAGE,
        does: "delivers the first half of the package's octets",
        played: &[played(
            "getBoundProfilePackage=truncated",
            "the profile package is damaged: not decodable: bound profile package: the data ends within a TLV; report it to the operator",
        )],
    },
];
