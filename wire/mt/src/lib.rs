//! How a phone without a radio attaches with its card, fetches its short messages and sends some over HTTPS: what a device and
//! the service centre have in common. An interface of this project.
//!
//! ```text
//! POST /mt/v1/attach  AttachRequest::First                        → 200 AttachAnswer::Challenge
//! POST /mt/v1/attach  AttachRequest::Next                         → 200 AttachAnswer
//!                                                                   403 AttachRefusal, with EAP-Failure
//! GET  /mt/v1/messages?wait=SECONDS    Authorization: Bearer      → 200 Messages
//! POST /mt/v1/messages/ID  Acknowledgement                        → 204
//! POST /mt/v1/memory-available                                    → 204
//! POST /mt/v1/submissions  Submission     Authorization: Bearer   → 200 Submitted
//!                                                                   422 SubmitRefusal
//! ```
//!
//! Errors have a body too, [`Error`].

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Paths, below the operator's address.
pub mod path {
    /// Attach by EAP.
    pub const ATTACH: &str = "/mt/v1/attach";
    /// The pending messages; below it, one by its name.
    pub const MESSAGES: &str = "/mt/v1/messages";
    /// There is memory again: RP-SMMA.
    pub const MEMORY_AVAILABLE: &str = "/mt/v1/memory-available";
    /// Send a message.
    pub const SUBMISSIONS: &str = "/mt/v1/submissions";
}

/// Values of RP-Cause. TS 24.011 §8.2.5.4.
pub mod cause {
    /// Unassigned number.
    pub const UNASSIGNED_NUMBER: u8 = 1;
    /// Call barred: the sender is out of service.
    pub const BARRED: u8 = 10;
    /// Short message transfer rejected.
    pub const REJECTED: u8 = 21;
    /// Memory capacity exceeded: the message waits until the phone reports available memory.
    pub const MEMORY_EXCEEDED: u8 = 22;
    /// Network out of order.
    pub const NETWORK_OUT_OF_ORDER: u8 = 38;
    /// Congestion: too many messages wait for the receiver.
    pub const CONGESTION: u8 = 42;
    /// Requested facility not subscribed: the sender has no number.
    pub const NOT_SUBSCRIBED: u8 = 50;
    /// Requested facility not implemented.
    pub const NOT_IMPLEMENTED: u8 = 69;
    /// Semantically incorrect message.
    pub const SEMANTICALLY_INCORRECT: u8 = 95;
    /// Protocol error, unspecified.
    pub const PROTOCOL_ERROR: u8 = 111;
}

/// An EAP packet, in Base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Packet(String);

impl Packet {
    /// These octets.
    pub fn of(octets: &[u8]) -> Self {
        Self(STANDARD.encode(octets))
    }

    /// Its octets; `None` if it is not Base64.
    pub fn octets(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.0).ok()
    }
}

/// A phone attaches, or continues to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttachRequest {
    /// The answer to a [challenge](AttachAnswer::Challenge).
    Next {
        /// The response.
        #[serde(rename = "eap-relay-packet")]
        packet: Packet,
        /// The session it belongs to.
        session: String,
    },
    /// The beginning.
    First {
        /// The permanent identity, an NAI.
        identity: String,
    },
}

/// Without the identity, which is an IMSI.
impl fmt::Debug for AttachRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Next { .. } => "Next",
            Self::First { .. } => "First",
        })
    }
}

impl AttachRequest {
    /// Whether it is the beginning.
    pub const fn is_first(&self) -> bool {
        matches!(self, Self::First { .. })
    }
}

/// The answer to [`AttachRequest`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttachAnswer {
    /// The phone is attached.
    Attached {
        /// The token for its next requests.
        attachment: String,
    },
    /// Another packet for its card.
    Challenge {
        /// Names the session in the next request.
        session: String,
        /// The request.
        #[serde(rename = "eap-relay-packet")]
        packet: Packet,
    },
}

/// Without the token.
impl fmt::Debug for AttachAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attached { .. } => "Attached(secret)",
            Self::Challenge { .. } => "Challenge",
        })
    }
}

/// The card was not authenticated, or has no service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachRefusal {
    /// EAP-Failure.
    #[serde(rename = "eap-relay-packet")]
    pub packet: Packet,
}

/// The query of a request for messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// How long to wait for one if there is none, in seconds.
    #[serde(default)]
    pub wait: u64,
}

/// The pending messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// In the order of their arrival.
    pub messages: Vec<Message>,
}

/// A message as it is delivered.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its name, for the acknowledgement.
    pub id: String,
    /// Number of the service centre.
    pub smsc: String,
    /// SMS-DELIVER or SMS-STATUS-REPORT, hexadecimal. TS 23.040 §9.2.2.1, §9.2.2.3
    pub tpdu: String,
}

/// Without its contents.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", self.id)
    }
}

/// RP-ACK or RP-ERROR for a message. TS 24.011 §7.3.2, §7.3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// [Why not](cause).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u8>,
    /// Whether the phone accepted it.
    pub delivered: bool,
}

/// A message from the phone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// SMS-SUBMIT, hexadecimal. TS 23.040 §9.2.2.2
    pub tpdu: String,
}

/// Without its contents.
impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Submission")
    }
}

/// RP-ACK: the service centre has the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// Its name there.
    pub id: String,
}

/// RP-ERROR: the service centre refuses the message. TS 24.011 §7.3.4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitRefusal {
    /// [Why](cause).
    pub cause: u8,
    /// The same in words.
    pub error: String,
}

/// The body of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What is wrong.
    pub error: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;

    fn is<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: &T, json: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), json);
        assert_eq!(serde_json::from_str::<T>(json).unwrap(), *value, "{json}");
    }

    #[test]
    fn nobody_is_named_in_a_log() {
        let first = AttachRequest::First { identity: "0001010000000001@x".into() };
        assert_eq!(format!("{first:?}"), "First");
    }

    #[test]
    fn attaching() {
        is(&AttachRequest::First { identity: "0001@x".into() }, r#"{"identity":"0001@x"}"#);
        let (session, packet) = ("s1".to_owned(), Packet::of(&[4, 0, 0, 4]));
        is(
            &AttachRequest::Next { session: session.clone(), packet: packet.clone() },
            r#"{"eap-relay-packet":"BAAABA==","session":"s1"}"#,
        );
        is(
            &AttachAnswer::Challenge { session, packet: packet.clone() },
            r#"{"session":"s1","eap-relay-packet":"BAAABA=="}"#,
        );
        is(&AttachAnswer::Attached { attachment: "a1".into() }, r#"{"attachment":"a1"}"#);
        is(&AttachRefusal { packet }, r#"{"eap-relay-packet":"BAAABA=="}"#);
        for wrong in ["{}", r#"{"identity":7}"#, "[]", r#"{"session":"s1"}"#] {
            assert!(serde_json::from_str::<AttachRequest>(wrong).is_err(), "{wrong}");
        }
        let no_base64: Packet = serde_json::from_str(r#""?""#).unwrap();
        assert_eq!(no_base64.octets(), None);
    }

    #[test]
    fn messages_and_acknowledgements() {
        let message = Message { id: "m1".into(), smsc: "15550000000".into(), tpdu: "00".into() };
        assert_eq!(format!("{message:?}"), "Message(m1)");
        is(&Messages { messages: vec![message] }, r#"{"messages":[{"id":"m1","smsc":"15550000000","tpdu":"00"}]}"#);
        is(&Acknowledgement { delivered: true, cause: None }, r#"{"delivered":true}"#);
        let full = Acknowledgement { delivered: false, cause: Some(cause::MEMORY_EXCEEDED) };
        is(&full, r#"{"cause":22,"delivered":false}"#);
        let submission = Submission { tpdu: "01".into() };
        assert_eq!(format!("{submission:?}"), "Submission");
        is(&submission, r#"{"tpdu":"01"}"#);
        is(&Submitted { id: "m2".into() }, r#"{"id":"m2"}"#);
        let refusal = SubmitRefusal { cause: cause::UNASSIGNED_NUMBER, error: "nobody".into() };
        is(&refusal, r#"{"cause":1,"error":"nobody"}"#);
        is(&Error { error: "busy".into() }, r#"{"error":"busy"}"#);
        assert_eq!(serde_json::from_str::<Wait>("{}").unwrap(), Wait::default());
    }
}
