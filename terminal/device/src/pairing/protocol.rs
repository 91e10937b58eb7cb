//! How two devices that meet over an open network make sure that nobody sits between them: numeric comparison with
//! commitment, without input or output.
//!
//! Both show six digits made of the connection itself, of both certificates and of a random nonce from each side; both
//! persons say whether they are the same. Someone in the middle has two connections, so the digits differ, unless he can
//! choose a nonce once he knows all the rest. He cannot: the secondary is bound to its nonce before it learns that of
//! the primary, and the primary gives its nonce away before it learns that of the secondary.
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
//!    │ 123456                          123456  │   both persons look
//!    │ confirm                                 │
//!    ├────────────────────────────────────────►│   which keeps the bond
//!    │                                confirm  │
//!    │◄────────────────────────────────────────┤
//! ```
//!
//! The secondary confirms last, with the bond on its disk: one that a primary is paired with knows that, whatever it is
//! cut off at. From then on they are bonded: each knows the other's certificate. Later `resume` and `resumed` are all they say.

use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::PairingError;
use super::bond::Fingerprint;
use super::message::Role;

/// First words of what is hashed to the digits, and to the commitment.
const DIGITS: &[u8] = b"pair";
const COMMITMENT: &[u8] = b"pair commitment";
/// The release of this protocol.
pub const VERSION: u32 = 1;
/// The longest name of a device, in characters.
const LONGEST_NAME: usize = 64;

/// A random number of one side, fresh for every pairing.
pub type Nonce = [u8; 32];

/// One connection, as both ends see it, unless there are two of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    /// Octets that only the two ends of this one TLS connection can know. RFC 8446 section 7.5
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

    /// What the secondary says of its nonce before it says the nonce.
    pub fn commitment(&self, nonce: &Nonce) -> [u8; 32] {
        self.hash(COMMITMENT).chain_update(nonce).finalize().into()
    }

    /// What both persons compare.
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

/// Six digits for two persons to compare: the first 20 bits of a hash, modulo a million. A guess hits once in half a
/// million.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digits(u32);

impl Digits {
    /// The six digits of this number; Bluetooth makes them itself.
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

/// What the two say before there is a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Handshake {
    /// Primary: let us compare digits.
    Pair {
        /// Release of this protocol.
        version: u32,
        /// What the sender's person calls it.
        name: String,
    },
    /// Primary: we know each other.
    Resume {
        /// What the sender's person calls it.
        name: String,
    },
    /// Secondary: so we do.
    Resumed {
        /// What the sender's person calls it.
        name: String,
    },
    /// Secondary: not that I knew, but we can compare digits.
    Unbonded,
    /// Secondary: I have chosen a nonce.
    Commitment {
        /// [`Binding::commitment`]
        #[serde(with = "hex::serde")]
        commitment: [u8; 32],
        /// What the sender's person calls it.
        name: String,
    },
    /// Either side: my nonce.
    Nonce {
        /// The nonce.
        #[serde(with = "hex::serde")]
        nonce: Nonce,
    },
    /// Either side: my person says that the digits are the same.
    Confirm,
    /// Either side: my person says that they are not, or wants no pairing.
    Reject,
    /// Either side: no, for this reason.
    Refuse {
        /// For the person.
        reason: String,
    },
}

impl Handshake {
    /// Its JSON, without the length.
    pub fn encode(&self) -> Result<Vec<u8>, PairingError> {
        serde_json::to_vec(self).map_err(|error| PairingError::Malformed(error.to_string()))
    }

    /// What this JSON says.
    pub fn decode(json: &[u8]) -> Result<Self, PairingError> {
        serde_json::from_slice(json).map_err(|error| PairingError::Malformed(error.to_string()))
    }
}

/// One side, and what it brings.
#[derive(Clone, Debug)]
pub struct Party {
    /// Which side.
    pub role: Role,
    /// What its person calls it.
    pub name: String,
    /// The connection.
    pub binding: Binding,
    /// Whether it is bonded with the certificate at the other end.
    pub bonded: bool,
    /// Whether its person wants to pair now, and will compare digits.
    pub open: bool,
}

impl Party {
    /// What is said only once the other side has confirmed and the bond is kept.
    fn confirms_last(&self) -> Option<Handshake> {
        (self.role == Role::Secondary).then_some(Handshake::Confirm)
    }
}

/// A pairing under way. Each step eats it, so that none is taken twice.
#[derive(Debug)]
pub struct Pairing {
    party: Party,
    nonce: Nonce,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Secondary, before everything.
    Listening,
    /// Secondary, has said that it knows no bond.
    Offered,
    /// Primary, has said `resume`.
    Resuming,
    /// Primary, has said `pair`.
    Asking,
    /// Secondary, has committed itself.
    Committed { name: String },
    /// Primary, has given its nonce away.
    Revealed { commitment: [u8; 32], name: String },
    /// The person looks at the digits.
    Comparing { name: String },
    /// This side's person has confirmed.
    Confirmed { name: String },
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this, if anything, and give the answer to [`Pairing::receive`].
    Receive(Pairing, Option<Handshake>),
    /// Send this, if anything, show the digits, and give the person's answer to [`Pairing::answer`].
    Compare(Pairing, Option<Handshake>, Question),
    /// Keep the bond, if it is fresh, then send this, if anything: it is done.
    Done(Option<Handshake>, Agreement),
    /// Send this, if anything: there will be no pairing.
    Failed(Option<Handshake>, PairingError),
}

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the other device says it is called; anybody may say so.
    pub name: String,
    /// What it should show.
    pub digits: Digits,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// What the other device says it is called.
    pub name: String,
    /// Whether both persons have just compared digits, so that there is a bond to be kept.
    pub fresh: bool,
}

impl Pairing {
    /// Begins. `nonce` is random, and never used again.
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

    /// Takes what the other side said.
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
            _ => refuse(PairingError::Malformed("something was said at the wrong time".into())),
        }
    }

    /// Takes what the person says about the digits.
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

/// A text from outside as it may be shown: short, and without anything that steers a terminal or hides.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|character| !rsp::steering::steers(*character)).take(LONGEST_NAME).collect()
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

    /// What one side came to, and what it showed.
    type End = (Result<Agreement, PairingError>, Option<Digits>);

    /// Lets two parties talk, on the way perhaps altering what is said, until both have come to an end.
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
        // He in the middle passes on all that is said, except what would give him away at once.
        let [(_, shown), (_, also_shown)] =
            meet(party(Role::Primary), other.clone(), [false, false], |role, message| match (role, message) {
                (Role::Secondary, Handshake::Commitment { name, .. }) => {
                    Handshake::Commitment { commitment: binding(1).commitment(&[2; 32]), name }
                }
                (_, message) => message,
            });
        assert!(shown.is_some() && also_shown.is_some() && shown != also_shown);
        // Passing on the commitment as it is does not help him either.
        let [(primary, shown), _] = honest(party(Role::Primary), other);
        assert_eq!((primary, shown), (Err(PairingError::Commitment), None));
    }

    #[test]
    fn whoever_looks_for_a_better_nonce_breaks_the_commitment() {
        // In the middle, as secondary: knows both nonces and the digits on the other side, and grinds.
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
    fn each_person_can_say_no() {
        for (answers, expected) in [
            ([false, true], [PairingError::Rejected, PairingError::RejectedByOther]),
            ([true, false], [PairingError::RejectedByOther, PairingError::Rejected]),
        ] {
            let ends = meet(party(Role::Primary), party(Role::Secondary), answers, |_, message| message);
            assert_eq!(ends.map(|(end, _)| end.unwrap_err()), expected);
        }
        // One yes is not enough, not even for the one who says it.
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
    fn an_unknown_bond_is_refused_unless_a_person_is_there() {
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
        // The secondary has forgotten the primary: with both persons there they compare digits again.
        let open = Party { bonded: true, ..party(Role::Primary) };
        let [(primary, shown), (secondary, also_shown)] = honest(open, party(Role::Secondary));
        assert_eq!((primary, secondary), (Ok(agreement("secondary", true)), Ok(agreement("primary", true))));
        assert!(shown.is_some() && shown == also_shown);
        // So they do if it is the primary that has.
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
