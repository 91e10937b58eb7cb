//! Status codes of the functions, by interface: [`crate::es9::status`] and [`crate::es2plus::status`]. SGP.22 §5.2.6

/// A pair of subject and reason code the specification gives a function, and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Subject code. SGP.22 §5.2.6.1
    pub subject: &'static str,
    /// Reason code. SGP.22 §5.2.6.2
    pub reason: &'static str,
    /// Meaning.
    pub text: &'static str,
}

/// A table of status codes as a module: a constant each, and all of them.
macro_rules! statuses {
    ($module:ident: $(#[$about:meta])+ $($name:ident $subject:literal $reason:literal $text:literal;)+) => {
        $(#[$about])+
        pub mod $module {
            use super::Status;

            $(
                #[doc = concat!($subject, "/", $reason, ": ", $text)]
                pub const $name: Status = Status { subject: $subject, reason: $reason, text: $text };
            )+

            /// All of them.
            pub const ALL: &[Status] = &[$($name),+];
        }
    };
}

statuses! { es9:
    /// The function status codes of ES9+ and ES11, one table for the server that sends and the LPA that explains.
    SMDP_ADDRESS_REFUSED "8.8.1" "3.8" "the server does not answer to this address";
    CI_NOT_SUPPORTED "8.8.2" "3.1" "none of the eUICC's CIs is supported by the server";
    SVN_NOT_SUPPORTED "8.8.3" "3.1" "the server does not support the eUICC's release of SGP.22";
    NO_SERVER_CERTIFICATE "8.8.4" "3.7" "the server has no certificate under a CI the eUICC accepts";
    EUM_CERTIFICATE_INVALID "8.1.2" "6.1" "the EUM certificate is invalid";
    EUM_CERTIFICATE_EXPIRED "8.1.2" "6.3" "the EUM certificate has expired";
    EUICC_CERTIFICATE_INVALID "8.1.3" "6.1" "the eUICC certificate is invalid";
    EUICC_CERTIFICATE_EXPIRED "8.1.3" "6.3" "the eUICC certificate has expired";
    EUICC_SIGNATURE_INVALID "8.1" "6.1" "the eUICC's signature or challenge does not verify";
    EUICC_INSUFFICIENT_MEMORY "8.1" "4.8" "the eUICC has not enough memory for this profile";
    CI_UNKNOWN "8.11.1" "3.9" "the CI of the eUICC is unknown to the server";
    PROFILE_NOT_RELEASED "8.2" "1.2" "the profile has not been released yet";
    PROFILE_NOT_REBINDABLE "8.2" "3.7" "the profile package is not available for a new binding";
    MATCHING_ID_REFUSED "8.2.6" "3.8" "no profile is waiting under this matching identifier";
    EID_REFUSED "8.1.1" "3.8" "the profile is reserved for another eUICC";
    NO_ELIGIBLE_PROFILE "8.2.5" "4.3" "the server has no profile fit for this eUICC";
    DOWNLOAD_ORDER_EXPIRED "8.8.5" "4.10" "the download order has expired";
    DOWNLOAD_RETRIES_EXCEEDED "8.8.5" "6.4" "the profile was tried to be downloaded too often";
    TRANSACTION_UNKNOWN "8.10.1" "3.9" "the server knows no such session";
    CONFIRMATION_CODE_MISSING "8.2.7" "2.2" "a confirmation code is required";
    CONFIRMATION_CODE_REFUSED "8.2.7" "3.8" "the confirmation code is wrong";
    CONFIRMATION_CODE_RETRIES_EXCEEDED "8.2.7" "6.4" "a wrong confirmation code was given too often";
    SMDP_OID_INVALID "8.8" "3.10" "the session belongs to another server";
    EVENT_UNKNOWN "8.9.5" "3.9" "no such event is waiting at the SM-DS";
}

statuses! { es2plus:
    /// The function status codes of ES2+. SGP.22 §5.3 and §5.2.6
    REQUESTER_NOT_ALLOWED "1.1" "1.2" "the function requester is not allowed to call, or is not who its certificate says";
    EID_INVALID "8.1.1" "2.1" "this is no EID";
    EID_MISSING "8.1.1" "2.2" "this needs the EID of the order";
    EID_MISMATCH "8.1.1" "3.10" "the profile is kept for another eUICC";
    ICCID_INVALID "8.2.1" "2.1" "this is no ICCID";
    ICCID_ABSENT "8.2.1" "2.2" "the ICCID is missing";
    ICCID_MISSING "8.2.1" "2.3" "an order needs an ICCID or a profile type";
    PROFILE_NOT_ALLOWED "8.2.1" "1.2" "the function requester may not use this profile";
    PROFILE_IN_USE "8.2.1" "3.3" "the profile is in use";
    PROFILE_INVALID_TRANSITION "8.2.1" "3.5" "the profile is in a state in which this cannot be done";
    PROFILE_UNKNOWN "8.2.1" "3.9" "no profile has this ICCID";
    PROFILE_TYPE_NOT_ALLOWED "8.2.5" "1.2" "the function requester may not use this profile type";
    PROFILE_TYPE_UNAVAILABLE "8.2.5" "3.7" "no profile of this type is available";
    PROFILE_TYPE_UNKNOWN "8.2.5" "3.9" "there are no profiles of this type";
    PROFILE_TYPE_MISMATCH "8.2.5" "3.10" "the profile is of another type";
    MATCHING_ID_INVALID "8.2.6" "2.1" "this is no matching identifier";
    MATCHING_ID_MISSING "8.2.6" "2.2" "this needs the matching identifier of the order";
    MATCHING_ID_IN_USE "8.2.6" "3.3" "another order has this matching identifier";
    MATCHING_ID_MISMATCH "8.2.6" "3.10" "the order has another matching identifier";
    CONFIRMATION_CODE_INVALID "8.2.7" "2.1" "this is no confirmation code";
    SMDS_UNAVAILABLE "8.9" "5.1" "the SM-DS cannot be reached";
}
