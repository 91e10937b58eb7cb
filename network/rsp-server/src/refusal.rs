//! Refusals: the status code for the client, and the remark in the operator's log.
//!
//! The codes of ES9+ are in [`rsp::es9::status`]; here are those that no ES9+ function defines itself (SGP.22 §5.2.6).

use rsp::es9::{Status, StatusCodeData};
use rsp::{DecodeError, EncodeError};

/// 1.3.1/2.1: the request is not valid JSON, base64 or ASN.1.
pub const MALFORMED_REQUEST: Status = Status { subject: "1.3.1", reason: "2.1", text: "the request is malformed" };
/// 1.3.2/3.1: the version of SGP.22 in the header is not supported.
pub const UNSUPPORTED_PROTOCOL: Status =
    Status { subject: "1.3.2", reason: "3.1", text: "the protocol version is not supported" };
/// 8.1/4.2: the eUICC answered with an error of its own, which the LPA passed on.
pub const EUICC_ERROR: Status = Status { subject: "8.1", reason: "4.2", text: "the eUICC reports an error" };
/// 8.8/4.2: the server's own fault.
pub const EXECUTION_ERROR: Status =
    Status { subject: "8.8", reason: "4.2", text: "the server could not carry out the function" };

/// 8.8/4.2 too, for a temporary condition.
pub const TOO_MANY_SESSIONS: Status =
    Status { subject: "8.8", reason: "4.2", text: "too many sessions have begun at once; try again in a minute" };

/// Why a function was not executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}/{} {}{}{remark}", status.subject, status.reason, status.text, if remark.is_empty() { "" } else { ": " })]
pub struct Refusal {
    /// The status for the client.
    pub status: Status,
    /// The remark for the log. Never contains secrets.
    pub remark: String,
}

impl Refusal {
    /// The status in the response.
    pub fn status_code_data(&self) -> StatusCodeData {
        self.status.into()
    }
}

/// Maximum length of a remark, so that no client floods the log.
const LONGEST_REMARK: usize = 300;

/// Makes a [`Refusal`] of a status code.
pub trait RefuseWith {
    /// This code with a remark for the log.
    fn because(self, remark: impl ToString) -> Refusal;
}

impl RefuseWith for Status {
    fn because(self, remark: impl ToString) -> Refusal {
        // Part of it may come from the client: keep it on one line, and short.
        let remark = remark.to_string();
        let mut words = remark.chars().filter(|c| !printable::steers(*c));
        let mut remark: String = words.by_ref().take(LONGEST_REMARK).collect();
        if words.next().is_some() {
            remark.push('…');
        }
        Refusal { status: self, remark }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { status, remark: String::new() }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        MALFORMED_REQUEST.because(error)
    }
}

impl From<EncodeError> for Refusal {
    fn from(error: EncodeError) -> Self {
        EXECUTION_ERROR.because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsp::es9::status;

    #[test]
    fn own_codes_are_not_those_of_es9() {
        for own in [MALFORMED_REQUEST, UNSUPPORTED_PROTOCOL, EUICC_ERROR, EXECUTION_ERROR, TOO_MANY_SESSIONS] {
            assert!(StatusCodeData::from(own).status().is_none(), "{own:?}");
        }
    }

    #[test]
    fn a_remark_follows_the_code() {
        assert_eq!(
            Refusal::from(status::EID_REFUSED).to_string(),
            "8.1.1/3.8 the profile is reserved for another eUICC"
        );
        assert!(status::NO_ELIGIBLE_PROFILE.because("no CSIM").to_string().ends_with("eUICC: no CSIM"));
    }
}
