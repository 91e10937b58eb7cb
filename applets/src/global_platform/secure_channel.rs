//! Secure channels: INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, and what is protected afterwards. One on each logical channel.
//! GlobalPlatform §10, annex E, Amendment D.

use super::keys::{self, KeySet, item};
use apdu::{Class, Command, Ins, Response, SecureMessaging, StatusWord};
use card_os::Context;
use crypto::scp::{Handshake, Kind, Level, Session, scp02, scp03};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Wrong cryptograms in a row after which a key set opens no channel any more, until it is replaced.
const MOST_FAILURES: u8 = 10;
/// GET DATA `CF`: what the keys were derived from. This card's were not derived.
pub(crate) const DIVERSIFICATION_DATA: [u8; 10] = [0; 10];

/// What each logical channel has.
#[derive(Default)]
pub(crate) struct SecureChannels {
    states: BTreeMap<u8, State>,
    /// The channel whose state the command under way has set; it goes if the command is undone.
    unconfirmed: Option<u8>,
}

/// A command, as its secure channel has it.
pub(crate) enum Received {
    /// It was the channel's own.
    Answered(Response),
    /// It is in the clear.
    Clear,
    /// It was protected: its class and its data without that.
    Protected(Class, Zeroizing<Vec<u8>>),
}

enum State {
    /// INITIALIZE UPDATE has been answered.
    Begun {
        handshake: Box<Handshake>,
        set: KeySet,
        /// The counter that keys of SCP02 come from.
        sequence: u16,
    },
    Open {
        session: Box<Session>,
        version: u8,
    },
}

impl State {
    const fn version(&self) -> u8 {
        match self {
            Self::Begun { set, .. } => set.version,
            Self::Open { version, .. } => *version,
        }
    }
}

/// The options by which a security domain offers its protocols. GlobalPlatform §H.2, Amendment D §5.1.
#[derive(Clone, Copy)]
pub(crate) struct Offers {
    pub(crate) scp02: scp02::Options,
    pub(crate) scp03: scp03::Options,
}

impl Default for Offers {
    /// Pseudo-random challenges, and with AES protection of answers too.
    fn default() -> Self {
        Self { scp02: scp02::Options(0x55), scp03: scp03::Options(0x70) }
    }
}

impl SecureChannels {
    /// Whether a class byte says that a command is protected: `X4` on the first four logical channels, `EX` on the others.
    pub(crate) const fn is_protected(class: Class) -> bool {
        match class.secure_messaging() {
            SecureMessaging::Proprietary => true,
            SecureMessaging::Iso => class.channel() > 3,
            _ => false,
        }
    }

    /// Ends what a logical channel has.
    pub(crate) fn end(&mut self, channel: u8) {
        self.states.remove(&channel);
    }

    /// Ends what other logical channels have with keys of these versions, which are others from now on.
    pub(crate) fn end_others(&mut self, channel: u8, versions: &[u8]) {
        self.states.retain(|on, state| *on == channel || !versions.contains(&state.version()));
    }

    /// The command under way counts as not made.
    pub(crate) fn undone(&mut self) {
        if let Some(channel) = self.unconfirmed.take() {
            self.end(channel);
        }
    }

    pub(crate) const fn committed(&mut self) {
        self.unconfirmed = None;
    }

    /// The session that is open on a logical channel.
    pub(crate) fn session(&self, channel: u8) -> Option<&Session> {
        match self.states.get(&channel) {
            Some(State::Open { session, .. }) => Some(session),
            _ => None,
        }
    }

    /// The version of the keys that it was opened with.
    pub(crate) fn version(&self, channel: u8) -> Option<u8> {
        match self.states.get(&channel) {
            Some(State::Open { version, .. }) => Some(*version),
            _ => None,
        }
    }

    /// INITIALIZE UPDATE. §E.5.1, Amendment D §7.1.1.
    pub(crate) fn initialize_update(
        &mut self,
        command: &Command<'_>,
        offers: Offers,
        cx: &mut Context<'_, '_>,
    ) -> Result<Response, StatusWord> {
        if command.p1 > 0x7F || command.p2 != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let set = keys::set(cx, command.p1).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
        if failures(&set, cx) >= MOST_FAILURES {
            return Err(StatusWord::AUTHENTICATION_METHOD_BLOCKED);
        }
        self.end(command.class.channel());
        let mut answer = DIVERSIFICATION_DATA.to_vec();
        answer.push(set.version);
        let handshake = match set.kind {
            Kind::Des => begin_scp02(&set, offers.scp02, command.data, &mut answer, cx)?,
            Kind::Aes => begin_scp03(&set, offers.scp03, command.data, &mut answer, cx)?,
        };
        let channel = command.class.channel();
        let sequence = sequence_scp02(&set, cx);
        self.states.insert(channel, State::Begun { handshake: Box::new(handshake), set, sequence });
        self.unconfirmed = Some(channel);
        Ok(Response::ok(answer))
    }

    /// EXTERNAL AUTHENTICATE: one try, which is counted before anything is compared. §E.5.2, Amendment D §7.1.2.
    fn external_authenticate(
        &mut self,
        command: &Command<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Response, StatusWord> {
        let channel = command.class.channel();
        let (handshake, set, sequence) = match self.states.remove(&channel) {
            Some(State::Begun { handshake, set, sequence }) => (handshake, set, sequence),
            other => {
                self.states.extend(other.map(|open| (channel, open)));
                return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
            }
        };
        if command.p2 != 0 || !handshake.offers(Level(command.p1)) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if command.data.len() != 2 * handshake.host_cryptogram().len() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        // Another channel, or another security domain with the same keys, may have come first: two sessions with one counter would be
        // one session twice.
        if !set.is_current(cx) || set.kind == Kind::Des && sequence_scp02(&set, cx) != sequence {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let before = failures(&set, cx);
        if before >= MOST_FAILURES {
            return Err(StatusWord::AUTHENTICATION_METHOD_BLOCKED);
        }
        set.holder.set(cx, item::failures(set.version), Some(vec![before + 1]))?;
        cx.checkpoint().map_err(|_| StatusWord::MEMORY_PROBLEM)?;
        let header = [command.class.to_byte(), command.ins.0, command.p1, command.p2];
        let session = match handshake.authenticate(header, command.data) {
            Ok(session) => session,
            Err(crypto::scp::ScpError::Mac) => return Ok(StatusWord::SECURITY_STATUS_NOT_SATISFIED.into()),
            Err(_) => return Ok(StatusWord::AUTHENTICATION_FAILED.into()),
        };
        set.holder.set(cx, item::failures(set.version), None)?;
        if set.kind == Kind::Des {
            let next = sequence_scp02(&set, cx).saturating_add(1);
            set.holder.set(cx, item::sequence(set.version), Some(next.to_be_bytes().to_vec()))?;
        }
        self.states.insert(channel, State::Open { session: Box::new(session), version: set.version });
        self.unconfirmed = Some(channel);
        Ok(Response::done())
    }

    /// What a security domain does first with a command that it has.
    pub(crate) fn receive(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Received, StatusWord> {
        let is_protected = Self::is_protected(command.class);
        if command.ins == Ins::EXTERNAL_AUTHENTICATE && command.class.is_proprietary() {
            if !is_protected {
                return Err(StatusWord::CLA_NOT_SUPPORTED);
            }
            return self.external_authenticate(command, cx).map(Received::Answered);
        }
        if !is_protected {
            return Ok(Received::Clear);
        }
        let data = self.unwrap(command)?;
        let class = Class::on_channel(command.class.is_proprietary(), command.class.channel());
        Ok(Received::Protected(class.ok_or(StatusWord::CLA_NOT_SUPPORTED)?, data))
    }

    /// The data of a protected command. A command that is not what it should be ends the session.
    fn unwrap(&mut self, command: &Command<'_>) -> Result<Zeroizing<Vec<u8>>, StatusWord> {
        let channel = command.class.channel();
        let header = [command.class.to_byte(), command.ins.0, command.p1, command.p2];
        let data = match self.states.get_mut(&channel) {
            Some(State::Open { session, .. }) if session.level().has(Level::C_MAC) => {
                session.unwrap(header, command.data).ok()
            }
            _ => None,
        };
        if data.is_none() {
            self.end(channel);
        }
        data.ok_or(StatusWord::SECURITY_STATUS_NOT_SATISFIED)
    }

    /// An answer as it goes out, if the session is still there.
    pub(crate) fn wrap(&mut self, channel: u8, response: Response) -> Response {
        match self.states.get_mut(&channel) {
            Some(State::Open { session, .. }) => {
                Response { data: session.wrap_response(&response.data, response.sw.0.to_be_bytes()), ..response }
            }
            _ => response,
        }
    }

    /// Whether a host that has proved to have the keys gives this command, as protected as it said it would be. A command that
    /// is not ends the session. §10.4.
    pub(crate) fn authorise(&mut self, channel: u8, is_unwrapped: bool) -> Result<(), StatusWord> {
        let is_authorised =
            self.session(channel).is_some_and(|session| is_unwrapped || !session.level().has(Level::C_MAC));
        if !is_authorised {
            self.end(channel);
        }
        is_authorised.then_some(()).ok_or(StatusWord::SECURITY_STATUS_NOT_SATISFIED)
    }
}

fn failures(set: &KeySet, cx: &mut Context<'_, '_>) -> u8 {
    set.holder.get(cx, item::failures(set.version)).and_then(|value| value.first().copied()).unwrap_or_default()
}

pub(crate) fn sequence_scp02(set: &KeySet, cx: &mut Context<'_, '_>) -> u16 {
    let value = set.holder.get(cx, item::sequence(set.version));
    value.and_then(|value| Some(u16::from_be_bytes(*value.first_chunk()?))).unwrap_or_default()
}

pub(crate) fn sequence_scp03(set: &KeySet, cx: &mut Context<'_, '_>) -> [u8; 3] {
    let value = set.holder.get(cx, item::sequence(set.version));
    value.and_then(|value| value.first_chunk().copied()).unwrap_or_default()
}

/// The number behind; `None` at the end of the counter.
fn next([high, middle, low]: [u8; 3]) -> Option<[u8; 3]> {
    let next = u32::from_be_bytes([0, high, middle, low]).checked_add(1)?;
    let [0, high, middle, low] = next.to_be_bytes() else { return None };
    Some([high, middle, low])
}

fn begin_scp02(
    set: &KeySet,
    options: scp02::Options,
    host: &[u8],
    answer: &mut Vec<u8>,
    cx: &mut Context<'_, '_>,
) -> Result<Handshake, StatusWord> {
    let host: &[u8; 8] = host.try_into().map_err(|_| StatusWord::WRONG_LENGTH)?;
    let sequence = sequence_scp02(set, cx);
    if sequence == u16::MAX {
        // No session may have the keys of another.
        return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
    }
    let mut challenge = [0; 6];
    if options.is_pseudo_random() {
        let own = scp02::pseudo_random_challenge(&set.keys, sequence, &cx.aid());
        challenge = own.ok_or(StatusWord::TECHNICAL_PROBLEM)?;
    } else {
        cx.random(&mut challenge);
    }
    let handshake = scp02::handshake(&set.keys, sequence, host, &challenge).map(Handshake::Scp02);
    let handshake = handshake.ok_or(StatusWord::TECHNICAL_PROBLEM)?;
    answer.push(0x02);
    answer.extend(sequence.to_be_bytes());
    answer.extend(challenge);
    answer.extend_from_slice(handshake.card_cryptogram());
    Ok(handshake)
}

fn begin_scp03(
    set: &KeySet,
    options: scp03::Options,
    host: &[u8],
    answer: &mut Vec<u8>,
    cx: &mut Context<'_, '_>,
) -> Result<Handshake, StatusWord> {
    if host.len() != options.size() {
        return Err(StatusWord::WRONG_LENGTH);
    }
    let mut sequence = None;
    let mut challenge = Zeroizing::new(vec![0; options.size()]);
    if options.is_pseudo_random() {
        let number = next(sequence_scp03(set, cx)).ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
        set.holder.set(cx, item::sequence(set.version), Some(number.to_vec()))?;
        let own = scp03::pseudo_random_challenge(&set.keys, options, number, &cx.aid());
        challenge = own.ok_or(StatusWord::TECHNICAL_PROBLEM)?;
        sequence = Some(number);
    } else {
        cx.random(&mut challenge);
    }
    let handshake = scp03::handshake(&set.keys, options, host, &challenge).map(Handshake::Scp03);
    let handshake = handshake.ok_or(StatusWord::TECHNICAL_PROBLEM)?;
    answer.extend([0x03, options.0]);
    answer.extend_from_slice(&challenge);
    answer.extend_from_slice(handshake.card_cryptogram());
    answer.extend(sequence.into_iter().flatten());
    Ok(handshake)
}
