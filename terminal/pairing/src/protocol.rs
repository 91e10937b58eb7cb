//! Authentication of two devices over an open network: numeric comparison with commitment, without input or output.
//!
//! Both show six digits derived from the connection itself, both certificates and a random nonce from each side; both
//! users say whether they are the same. A man in the middle has two connections, so the digits differ, unless it can
//! choose a nonce once it knows everything else. It cannot: the secondary is committed to its nonce before it learns
//! the primary's, and the primary reveals its nonce before it learns the secondary's.
//!
//! ```text
//! primary                                   secondary
//!    │ pair {name}                             │
//!    ├────────────────────────────────────────►│
//!    │       commitment {SHA-256(… nonce S)}   │
//!    │◄────────────────────────────────────────┤
//!    │ nonce {nonce P}                         │
//!    ├────────────────────────────────────────►│
//!    │                        nonce {nonce S}  │
//!    │◄────────────────────────────────────────┤
//!    │ 123456                          123456  │   both users look
//!    │ confirm                                 │
//!    ├────────────────────────────────────────►│   which keeps the bond
//!    │                                confirm  │
//!    │◄────────────────────────────────────────┤
//! ```
//!
//! The secondary confirms last, with the bond on its disk: it knows every primary that is paired with it, whenever it
//! is interrupted. From then on they are bonded: each knows the other's certificate. Later `resume` and `resumed` are
//! all they exchange.

use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bond::Fingerprint;
use crate::message::Role;
use crate::{MessageError, PairingError};

/// Prefixes of what is hashed to the digits, and to the commitment.
const DIGITS: &[u8] = b"pair";
const COMMITMENT: &[u8] = b"pair commitment";
/// The version of this protocol.
pub const VERSION: u32 = 1;
/// The longest name of a device, in characters.
const LONGEST_NAME: usize = 64;

/// A random number of one side, fresh for every pairing.
pub type Nonce = [u8; 32];

/// One connection, as both ends see it, unless there is a man in the middle.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    /// Octets that only the two ends of this TLS connection can know. RFC 8446 §7.5
    pub exporter: [u8; 32],
    /// Certificate of the primary.
    pub primary: Fingerprint,
    /// Certificate of the secondary.
    pub secondary: Fingerprint,
}

impl Binding {
    fn hash(&self, label: &[u8]) -> Sha256 {
        Sha256::new()
            .chain_update(label)
            .chain_update(self.exporter)
            .chain_update(self.primary.octets())
            .chain_update(self.secondary.octets())
    }

    /// The secondary's commitment to its nonce, sent before the nonce.
    pub fn commitment(&self, nonce: &Nonce) -> [u8; 32] {
        self.hash(COMMITMENT).chain_update(nonce).finalize().into()
    }

    /// What both users compare.
    pub fn digits(&self, primary: &Nonce, secondary: &Nonce) -> Digits {
        let hash: [u8; 32] = self.hash(DIGITS).chain_update(primary).chain_update(secondary).finalize().into();
        let [first, second, third, ..] = hash;
        Digits((u32::from_be_bytes([0, first, second, third]) >> 4) % 1_000_000)
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({}, {})", self.primary, self.secondary)
    }
}

/// Six digits for two users to compare: the first 20 bits of a hash, modulo a million. A guess succeeds once in half a
/// million.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digits(u32);

impl Digits {
    /// The six digits of this number; Bluetooth computes it itself.
    pub const fn from_number(number: u32) -> Self {
        Self(number % 1_000_000)
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digits({self})")
    }
}

/// Messages before there is a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Handshake {
    /// Primary: requests a comparison of digits.
    Pair {
        /// Version of this protocol.
        version: u32,
        /// The sender's name.
        name: String,
    },
    /// Primary: claims a bond.
    Resume {
        /// The sender's name.
        name: String,
    },
    /// Secondary: confirms the bond.
    Resumed {
        /// The sender's name.
        name: String,
    },
    /// Secondary: does not know the bond, but is open for pairing.
    Unbonded,
    /// Secondary: commits to a nonce.
    Commitment {
        /// [`Binding::commitment`]
        #[serde(with = "hex::serde")]
        commitment: [u8; 32],
        /// The sender's name.
        name: String,
    },
    /// Either side: its nonce.
    Nonce {
        /// The nonce.
        #[serde(with = "hex::serde")]
        nonce: Nonce,
    },
    /// Either side: its user confirms that the digits are the same.
    Confirm,
    /// Either side: its user says that they differ, or declines.
    Reject,
    /// Either side: refuses, for this reason.
    Refuse {
        /// For the user.
        reason: String,
    },
}

impl Handshake {
    /// Its JSON, without the length.
    pub fn encode(&self) -> Result<Vec<u8>, PairingError> {
        serde_json::to_vec(self).map_err(|error| PairingError::json(&error))
    }

    /// Parses this JSON.
    pub fn decode(json: &[u8]) -> Result<Self, PairingError> {
        serde_json::from_slice(json).map_err(|error| PairingError::json(&error))
    }
}

/// One side, and its input.
#[derive(Clone, Debug)]
pub struct Party {
    /// Which side.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// The connection.
    pub binding: Binding,
    /// Whether it has a bond with the peer's certificate.
    pub bonded: bool,
    /// Whether its user wants to pair now, and will compare digits.
    pub open: bool,
}

impl Party {
    /// A message to send only once the other side has confirmed and the bond is stored.
    fn confirms_last(&self) -> Option<Handshake> {
        (self.role == Role::Secondary).then_some(Handshake::Confirm)
    }
}

/// A pairing in progress. Each step consumes it, so that none is taken twice.
#[derive(Debug)]
pub struct Pairing {
    party: Party,
    nonce: Nonce,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Secondary, initial state.
    Listening,
    /// Secondary, has sent `unbonded`.
    Offered,
    /// Primary, has sent `resume`.
    Resuming,
    /// Primary, has sent `pair`.
    Asking,
    /// Secondary, has sent its commitment.
    Committed { name: String },
    /// Primary, has sent its nonce.
    Revealed { commitment: [u8; 32], name: String },
    /// The user compares the digits.
    Comparing { name: String },
    /// This side's user has confirmed.
    Confirmed { name: String },
}

/// The next step.
#[derive(Debug)]
pub enum Step {
    /// Send this, if anything, and pass the answer to [`Pairing::receive`].
    Receive(Pairing, Option<Handshake>),
    /// Send this, if anything, show the digits, and pass the user's answer to [`Pairing::answer`].
    Compare(Pairing, Option<Handshake>, Question),
    /// Store the bond, if it is fresh, then send this, if anything: it is complete.
    Done(Option<Handshake>, Agreement),
    /// Send this, if anything: the pairing has failed.
    Failed(Option<Handshake>, PairingError),
}

/// A question for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The other device's name; not authenticated.
    pub name: String,
    /// The digits it should show.
    pub digits: Digits,
}

/// The result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The other device's name.
    pub name: String,
    /// Whether both users have just compared digits, so that there is a bond to store.
    pub fresh: bool,
}

impl Pairing {
    /// Starts. `nonce` is random, and never used again.
    pub fn begin(party: Party, nonce: Nonce) -> Step {
        match party.role {
            Role::Secondary => Step::Receive(Self { party, nonce, state: State::Listening }, None),
            Role::Primary if party.bonded => {
                let resume = Handshake::Resume { name: party.name.clone() };
                Step::Receive(Self { party, nonce, state: State::Resuming }, Some(resume))
            }
            Role::Primary if party.open => Self { party, nonce, state: State::Asking }.ask(),
            Role::Primary => Step::Failed(None, PairingError::UnknownBond),
        }
    }

    /// Processes the other side's message.
    pub fn receive(self, message: Handshake) -> Step {
        let Self { party, nonce, state } = self;
        let pairing = |state| Self { nonce, state, party: party.clone() };
        match (state, message) {
            (_, Handshake::Refuse { reason }) => Step::Failed(None, PairingError::Refused(printable(&reason))),
            (_, Handshake::Reject) => Step::Failed(None, PairingError::RejectedByOther),

            (State::Listening, Handshake::Resume { name }) if party.bonded => {
                let agreement = Agreement { name: printable(&name), fresh: false };
                Step::Done(Some(Handshake::Resumed { name: party.name.clone() }), agreement)
            }
            (State::Listening, Handshake::Resume { .. }) if party.open => {
                Step::Receive(pairing(State::Offered), Some(Handshake::Unbonded))
            }
            (State::Listening, Handshake::Resume { .. }) | (State::Resuming, Handshake::Unbonded) if !party.open => {
                refuse(PairingError::UnknownBond)
            }
            (State::Listening | State::Offered, Handshake::Pair { version, .. }) if version != VERSION => {
                refuse(PairingError::Version(version))
            }
            (State::Listening | State::Offered, Handshake::Pair { name, .. }) if party.open => {
                let commitment = party.binding.commitment(&nonce);
                let answer = Handshake::Commitment { commitment, name: party.name.clone() };
                Step::Receive(pairing(State::Committed { name: printable(&name) }), Some(answer))
            }
            (State::Listening | State::Offered, Handshake::Pair { .. }) => refuse(PairingError::NotOpen),

            (State::Resuming, Handshake::Resumed { name }) => {
                Step::Done(None, Agreement { name: printable(&name), fresh: false })
            }
            (State::Resuming, Handshake::Unbonded) => pairing(State::Asking).ask(),

            (State::Asking, Handshake::Commitment { commitment, name }) => {
                let state = State::Revealed { commitment, name: printable(&name) };
                Step::Receive(pairing(state), Some(Handshake::Nonce { nonce }))
            }
            (State::Committed { name }, Handshake::Nonce { nonce: primary }) => {
                let digits = party.binding.digits(&primary, &nonce);
                let question = Question { name: name.clone(), digits };
                Step::Compare(pairing(State::Comparing { name }), Some(Handshake::Nonce { nonce }), question)
            }
            (State::Revealed { commitment, name }, Handshake::Nonce { nonce: secondary }) => {
                if party.binding.commitment(&secondary) != commitment {
                    return refuse(PairingError::Commitment);
                }
                let digits = party.binding.digits(&nonce, &secondary);
                let question = Question { name: name.clone(), digits };
                Step::Compare(pairing(State::Comparing { name }), None, question)
            }
            (State::Confirmed { name }, Handshake::Confirm) => {
                Step::Done(party.confirms_last(), Agreement { name, fresh: true })
            }
            _ => refuse(PairingError::Malformed(MessageError::Unexpected)),
        }
    }

    /// Processes the user's answer about the digits.
    pub fn answer(self, same: bool) -> Step {
        match self.state {
            State::Comparing { name } if same => {
                let first = if self.party.confirms_last().is_some() { None } else { Some(Handshake::Confirm) };
                Step::Receive(Self { state: State::Confirmed { name }, ..self }, first)
            }
            _ => Step::Failed(Some(Handshake::Reject), PairingError::Rejected),
        }
    }

    fn ask(self) -> Step {
        let pair = Handshake::Pair { version: VERSION, name: self.party.name.clone() };
        Step::Receive(Self { state: State::Asking, ..self }, Some(pair))
    }
}

fn refuse(error: PairingError) -> Step {
    Step::Failed(Some(Handshake::Refuse { reason: error.to_string() }), error)
}

/// A text from outside for display: short, and without characters that control a terminal or hide text.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|character| !printable::steers(*character)).take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn binding(exporter: u8) -> Binding {
        let [primary, secondary] = [b"primary", &b"secondary"[..]].map(Fingerprint::of);
        Binding { exporter: [exporter; 32], primary, secondary }
    }

    fn party(role: Role) -> Party {
        Party { role, name: role.to_string(), binding: binding(1), bonded: false, open: true }
    }

    /// One side's result, and what it showed.
    type End = (Result<Agreement, PairingError>, Option<Digits>);

    /// Runs two sides, with messages altered on the way, until both have ended.
    fn meet(
        primary: Party,
        secondary: Party,
        answers: [bool; 2],
        mut alter: impl FnMut(Role, Handshake) -> Handshake,
    ) -> [End; 2] {
        let mut steps = [(primary, [1; 32]), (secondary, [2; 32])]
            .map(|(party, nonce)| Some((party.role, Pairing::begin(party, nonce))));
        let mut mail = [VecDeque::new(), VecDeque::new()];
        let mut ends = [(Err(PairingError::Closed), None), (Err(PairingError::Closed), None)];
        let mut waiting = [None, None];
        for turn in 0..40 {
            let side = turn % 2;
            let mut post = |role, message: Option<Handshake>| {
                mail[1 - side].extend(message.map(|message| alter(role, message)));
            };
            match steps[side].take() {
                Some((role, Step::Receive(pairing, message))) => {
                    post(role, message);
                    waiting[side] = Some((role, pairing));
                }
                Some((role, Step::Compare(pairing, message, question))) => {
                    post(role, message);
                    ends[side].1 = Some(question.digits);
                    steps[side] = Some((role, pairing.answer(answers[side])));
                    continue;
                }
                Some((role, Step::Done(message, agreement))) => {
                    post(role, message);
                    ends[side].0 = Ok(agreement);
                }
                Some((role, Step::Failed(message, error))) => {
                    post(role, message);
                    ends[side].0 = Err(error);
                }
                None => {}
            }
            if waiting[side].is_some()
                && let Some(message) = mail[side].pop_front()
            {
                let (role, pairing) = waiting[side].take().unwrap();
                steps[side] = Some((role, pairing.receive(Handshake::decode(&message.encode().unwrap()).unwrap())));
            }
        }
        ends
    }

    fn honest(primary: Party, secondary: Party) -> [End; 2] {
        meet(primary, secondary, [true, true], |_, message| message)
    }

    fn agreement(name: &str, fresh: bool) -> Agreement {
        Agreement { name: name.into(), fresh }
    }

    #[test]
    fn both_show_the_same_digits_and_agree() {
        let [(primary, shown), (secondary, also_shown)] = honest(party(Role::Primary), party(Role::Secondary));
        assert_eq!(primary.unwrap(), agreement("secondary", true));
        assert_eq!(secondary.unwrap(), agreement("primary", true));
        assert_eq!(shown, also_shown);
        assert_eq!(shown.unwrap().to_string(), DIGITS_OF_THE_TEST);
    }

    /// SHA-256("pair" ‖ 01…01 ‖ SHA-256("primary") ‖ SHA-256("secondary") ‖ 01…01 ‖ 02…02), first 20 bits, computed
    /// independently.
    const DIGITS_OF_THE_TEST: &str = "403005";

    #[test]
    fn digits_have_six_places() {
        assert_eq!(Digits::from_number(7).to_string(), "000007");
        assert_eq!(Digits::from_number(1_048_575).to_string(), "048575");
    }

    #[test]
    fn two_connections_show_different_digits() {
        let other = Party { binding: binding(9), ..party(Role::Secondary) };
        // The man in the middle relays everything, except what would be detected at once.
        let [(_, shown), (_, also_shown)] =
            meet(party(Role::Primary), other.clone(), [false, false], |role, message| match (role, message) {
                (Role::Secondary, Handshake::Commitment { name, .. }) => {
                    Handshake::Commitment { commitment: binding(1).commitment(&[2; 32]), name }
                }
                (_, message) => message,
            });
        assert!(shown.is_some() && also_shown.is_some() && shown != also_shown);
        // Relaying the commitment unchanged does not help either.
        let [(primary, shown), _] = honest(party(Role::Primary), other);
        assert_eq!((primary, shown), (Err(PairingError::Commitment), None));
    }

    #[test]
    fn searching_for_a_better_nonce_breaks_the_commitment() {
        // In the middle, as secondary: knows both nonces and the digits on the other side, and tries nonces.
        let wanted = binding(9).digits(&[7; 32], &[2; 32]);
        let mut tries = 0_u64;
        let ground = loop {
            tries += 1;
            let mut nonce = [0; 32];
            nonce[..8].copy_from_slice(&tries.to_be_bytes());
            if binding(1).digits(&[1; 32], &nonce).0 % 1000 == wanted.0 % 1000 {
                break nonce;
            }
        };
        let [(primary, shown), _] =
            meet(party(Role::Primary), party(Role::Secondary), [true, true], |role, message| match (role, message) {
                (Role::Secondary, Handshake::Nonce { .. }) => Handshake::Nonce { nonce: ground },
                (_, message) => message,
            });
        assert_eq!((primary, shown), (Err(PairingError::Commitment), None));
    }

    #[test]
    fn each_user_can_decline() {
        for (answers, expected) in [
            ([false, true], [PairingError::Rejected, PairingError::RejectedByOther]),
            ([true, false], [PairingError::RejectedByOther, PairingError::Rejected]),
        ] {
            let ends = meet(party(Role::Primary), party(Role::Secondary), answers, |_, message| message);
            assert_eq!(ends.map(|(end, _)| end.unwrap_err()), expected);
        }
        // One confirmation is not enough, not even for the side that sent it.
        let [(primary, _), _] =
            meet(party(Role::Primary), party(Role::Secondary), [true, true], |role, message| match (role, message) {
                (Role::Secondary, Handshake::Confirm) => Handshake::Nonce { nonce: [0; 32] },
                (_, message) => message,
            });
        assert!(matches!(primary, Err(PairingError::Malformed(_))));
    }

    #[test]
    fn bonded_devices_compare_nothing() {
        let bonded = |role| Party { bonded: true, open: false, ..party(role) };
        let ends = honest(bonded(Role::Primary), bonded(Role::Secondary));
        assert_eq!(ends, [(Ok(agreement("secondary", false)), None), (Ok(agreement("primary", false)), None)]);
    }

    #[test]
    fn an_unknown_bond_is_refused_unless_a_user_is_there() {
        let known = |role| Party { bonded: true, open: false, ..party(role) };
        let unknown = |role| Party { bonded: false, open: false, ..party(role) };
        let [(primary, _), (secondary, _)] = honest(known(Role::Primary), unknown(Role::Secondary));
        assert!(matches!(primary, Err(PairingError::Refused(_))));
        assert_eq!(secondary, Err(PairingError::UnknownBond));
        let [(primary, _), _] = honest(unknown(Role::Primary), known(Role::Secondary));
        assert_eq!(primary, Err(PairingError::UnknownBond));
        let [(primary, _), (secondary, _)] = honest(party(Role::Primary), unknown(Role::Secondary));
        assert!(matches!(primary, Err(PairingError::Refused(_))));
        assert_eq!(secondary, Err(PairingError::NotOpen));
        let [(primary, _), _] = honest(known(Role::Primary), party(Role::Secondary));
        assert!(matches!(primary, Err(PairingError::UnknownBond)));
        // The secondary has removed the primary: with both users there they compare digits again.
        let open = Party { bonded: true, ..party(Role::Primary) };
        let [(primary, shown), (secondary, also_shown)] = honest(open, party(Role::Secondary));
        assert_eq!((primary, secondary), (Ok(agreement("secondary", true)), Ok(agreement("primary", true))));
        assert!(shown.is_some() && shown == also_shown);
        // Likewise if it is the primary that has.
        let known = Party { bonded: true, ..party(Role::Secondary) };
        assert_eq!(honest(party(Role::Primary), known)[0].0, Ok(agreement("secondary", true)));
    }

    #[test]
    fn another_release_is_named() {
        let Step::Receive(pairing, None) = Pairing::begin(party(Role::Secondary), [2; 32]) else { panic!() };
        let Step::Failed(Some(Handshake::Refuse { reason }), PairingError::Version(2)) =
            pairing.receive(Handshake::Pair { version: 2, name: String::new() })
        else {
            panic!()
        };
        assert!(reason.contains('2'), "{reason}");
    }

    #[test]
    fn handshakes_have_these_octets() {
        let zeros = "00".repeat(32);
        for (handshake, json) in [
            (
                Handshake::Pair { version: 1, name: "Phone".into() },
                r#"{"type":"pair","version":1,"name":"Phone"}"#.to_owned(),
            ),
            (Handshake::Resume { name: "Phone".into() }, r#"{"type":"resume","name":"Phone"}"#.into()),
            (Handshake::Resumed { name: "Watch".into() }, r#"{"type":"resumed","name":"Watch"}"#.into()),
            (Handshake::Unbonded, r#"{"type":"unbonded"}"#.into()),
            (
                Handshake::Commitment { commitment: [0; 32], name: "Watch".into() },
                format!(r#"{{"type":"commitment","commitment":"{zeros}","name":"Watch"}}"#),
            ),
            (Handshake::Nonce { nonce: [0; 32] }, format!(r#"{{"type":"nonce","nonce":"{zeros}"}}"#)),
            (Handshake::Confirm, r#"{"type":"confirm"}"#.into()),
            (Handshake::Reject, r#"{"type":"reject"}"#.into()),
            (Handshake::Refuse { reason: "x".into() }, r#"{"type":"refuse","reason":"x"}"#.into()),
        ] {
            assert_eq!(String::from_utf8(handshake.encode().unwrap()).unwrap(), json);
            assert_eq!(Handshake::decode(json.as_bytes()).unwrap(), handshake);
        }
        assert!(Handshake::decode(br#"{"type":"nonce","nonce":"00"}"#).is_err());
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(printable("\x1B[2JWat\nch"), "[2JWatch");
        assert_eq!(printable(&"x".repeat(100)).len(), LONGEST_NAME);
    }
}
