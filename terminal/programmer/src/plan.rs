//! What is to be written to one card: looked at first, then carried out.

mod steps;

use core::fmt;

use apdu::{StatusWord, Transport};
use identities::Iccid;
use zeroize::Zeroizing;

use self::steps::{Step, Target, Write};
use crate::host::{AdmState, CardError, Found, Host, Shape};
use crate::kind::{Before, Keys, Kind};
use crate::order::{Adm, Order, Unfit};
use crate::proof::{self, Open, Proof};

/// What a step finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The card has it already.
    Same,
    /// The card has something else.
    Differs,
    /// What the card has cannot be read.
    Unreadable,
    /// There is no such file; the card is as it is without it.
    Absent,
}

/// One thing that would be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What it is.
    pub what: &'static str,
    /// Where: a path, or that it is a command of the type.
    pub place: String,
    /// How many octets.
    pub octets: usize,
    /// What the card has there.
    pub state: State,
}

/// What is to be written, and what the card has.
pub struct Plan {
    kind: &'static Kind,
    iccid: Iccid,
    adm: Option<AdmState>,
    /// What the maker's key is used for, where it is used.
    by_makers_key: Option<(Before, Planned)>,
    steps: Vec<(Step, Planned)>,
    functions: Result<Box<crypto::algorithm::Algorithm>, Open>,
}

/// Keys are among it.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan({}, {} steps)", self.kind.name, self.steps.len())
    }
}

/// Which risk is taken with the counter of the administrative key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// How many are left at least once the key was wrong.
    pub least_left: u8,
    /// How many tries are taken to be left where the card does not tell; `None`: such a key is not tried.
    pub uncounted: Option<u8>,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The key was right. From now on the card is written to.
    Opened,
    /// A step is done, or was found to be.
    Done(&'a Planned),
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was written, as planned.
    pub written: Vec<Planned>,
    /// What the card had already.
    pub same: Vec<Planned>,
    /// What it has no file for.
    pub absent: Vec<Planned>,
    /// Whether it authenticates with what was written.
    pub proof: Proof,
}

/// Why nothing more was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The card, or the way to it.
    #[error(transparent)]
    Card(#[from] CardError),
    /// Its type cannot have such a subscriber.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It is of another type.
    #[error("the card is no {0}: it answers to reset as a {1}")]
    OtherKind(&'static str, &'static str),
    /// Its answer to reset is that of no type known here.
    #[error("the card is of no type known here: its answer to reset is {0}")]
    UnknownKind(String),
    /// It is another card, whose number cannot be written.
    #[error("the card has ICCID {card}, which a {kind} keeps, and the subscriber has {order}")]
    OtherIccid {
        /// The type.
        kind: &'static str,
        /// The card's.
        card: String,
        /// The subscriber's.
        order: String,
    },
    /// A file that the type has is missing.
    #[error("{0} is missing: this card is no {1}, or is locked")]
    Missing(String, &'static str),
    /// A file is too small.
    #[error("{place} has room for {room} octets, and {what} has {octets}")]
    NoRoom {
        /// What it is.
        what: &'static str,
        /// The file.
        place: String,
        /// Octets it takes.
        room: usize,
        /// Octets there are.
        octets: usize,
    },
    /// Files stand behind a PIN.
    #[error("PIN1 of the card is enabled: {0} is read and written only behind it")]
    PinEnabled(String),
    /// No key was given.
    #[error("the ADM is needed")]
    NoAdm,
    /// The card has no such key.
    #[error("the card has no administrative key {0:02X}: it is no {1}")]
    NoSuchAdm(u8, &'static str),
    /// A wrong key would cost too much.
    #[error(
        "the card leaves {left} tries of its ADM, and a wrong one would leave fewer than {least}: it was not tried"
    )]
    TooFewTries {
        /// Those left.
        left: u8,
        /// The limit.
        least: u8,
    },
    /// The same, of a card that does not tell.
    #[error(
        "the card does not tell how many tries of its ADM are left, {left} are taken to be, and a wrong one would leave fewer than {least}: it was not tried"
    )]
    TooFewAssumed {
        /// Those taken to be left.
        left: u8,
        /// The limit.
        least: u8,
    },
    /// Nobody knows what a wrong key would cost.
    #[error("the card does not tell how many tries of its ADM are left: it was not tried")]
    Uncounted,
    /// The key is blocked.
    #[error("the ADM of the card is blocked: it can never be programmed again")]
    AdmBlocked,
    /// The key was wrong.
    #[error("the card refused the ADM{}; it was tried once and will not be again", tries(*.left, *.sw))]
    WrongAdm {
        /// Tries left, if the status word says so.
        left: Option<u8>,
        /// What VERIFY ended with.
        sw: StatusWord,
    },
    /// No answer came to the key: it may have cost a try.
    #[error("the card did not answer when it was given the ADM, which may have cost a try: {0}")]
    AdmUnanswered(#[source] CardError),
    /// The card does not have the key of its maker any more.
    #[error("the card refused the key {reference:02X} of its maker{}; its ADM was not tried", tries(*.left, *.sw))]
    WrongMakersKey {
        /// The key reference.
        reference: u8,
        /// Tries left, if the status word says so.
        left: Option<u8>,
        /// What VERIFY ended with.
        sw: StatusWord,
    },
    /// Makers of this type have no such key.
    #[error("a {0} has no key of its maker that sets its ADM")]
    NoMakersKey(&'static str),
    /// What was read back is something else.
    #[error("{0} was written, and reads otherwise")]
    NotAsWritten(String),
    /// It authenticates with other keys.
    #[error("the card was written to, and authenticates with other keys")]
    OtherKeys,
}

fn tries(left: Option<u8>, sw: StatusWord) -> String {
    match left {
        Some(0) => ", which is blocked now".to_owned(),
        Some(left) => format!(", tries left: {left}"),
        None => format!(" ({sw})"),
    }
}

/// Writing ended before its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Stopped {
    /// Why.
    #[source]
    pub cause: Cause,
    /// What has been written.
    pub written: Vec<Planned>,
    /// What has not. Where the card was lost, the first of it may be there or not.
    pub left: Vec<Planned>,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |planned: &[Planned]| planned.iter().map(|one| one.what).collect::<Vec<_>>().join(", ");
        match (self.written.is_empty(), self.left.is_empty()) {
            (true, _) => write!(f, "{}; nothing was written", self.cause),
            (false, true) => write!(f, "{}; all was written", self.cause),
            (false, false) => write!(
                f,
                "{}; written: {}; not written: {}; the same again writes the rest",
                self.cause,
                list(&self.written),
                list(&self.left)
            ),
        }
    }
}

impl Stopped {
    fn at_once(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), written: Vec::new(), left: Vec::new() }
    }
}

impl Plan {
    /// Looks at a card that was just [identified](crate::identify): nothing is written, and no key is tried. `kind` is the type
    /// where the answer to reset does not say it; with `keep_iccid` a card keeps a number that is not the subscriber's.
    ///
    /// # Errors
    /// The card is of another type, has other files than its type, or no room.
    pub fn make<T: Transport>(
        card: &mut T,
        found: &Found,
        kind: Option<&'static Kind>,
        order: &Order,
        keep_iccid: bool,
    ) -> Result<Self, Stopped> {
        Self::looked_at(card, found, kind, order, keep_iccid).map_err(Stopped::at_once)
    }

    fn looked_at<T: Transport>(
        card: &mut T,
        found: &Found,
        kind: Option<&'static Kind>,
        order: &Order,
        keep_iccid: bool,
    ) -> Result<Self, Cause> {
        let kind = match (kind, found.kind) {
            (Some(said), Some(is)) if said != is => return Err(Cause::OtherKind(said.name, is.name)),
            (Some(said), None) if !said.atrs.is_empty() => return Err(Cause::UnknownKind(digits(&found.atr))),
            (said, is) => said.or(is).ok_or_else(|| Cause::UnknownKind(digits(&found.atr)))?,
        };
        order.check(kind)?;
        if !kind.iccid && !keep_iccid && found.iccid.octets() != order.contents.iccid {
            let order = Iccid::from(order.contents.iccid).to_string();
            return Err(Cause::OtherIccid { kind: kind.name, card: found.iccid.to_string(), order });
        }
        let mut host = Host { card, dialect: kind.dialect };
        let adm = kind.adm.map(|reference| host.adm_state(reference)).transpose()?;
        if let (Some(AdmState::Missing), Some(reference)) = (adm, kind.adm) {
            return Err(Cause::NoSuchAdm(reference, kind.name));
        }
        let mut planned: Vec<(Step, Planned)> = Vec::new();
        for step in steps::of(kind, order) {
            let looked = look(&mut host, kind, &step)?;
            planned.push((step, looked));
        }
        let unread = planned.iter().find(|(step, looked): &&(Step, Planned)| {
            !step.secret && matches!(step.target, Target::File(_)) && looked.state == State::Unreadable
        });
        if let Some((_, looked)) = unread
            && host.asks_for_pin1()?
        {
            return Err(Cause::PinEnabled(looked.place.clone()));
        }
        let functions = match kind.keys {
            Keys::Unknown => Err(Open::NoKeys),
            Keys::Command { .. } | Keys::Comp128 { .. } | Keys::Record(_) => Err(Open::OwnAlgorithm),
            _ => order.functions().map(Box::new).ok_or(Open::OwnAlgorithm),
        };
        Ok(Self { kind, iccid: found.iccid.clone(), adm, by_makers_key: None, steps: planned, functions })
    }

    /// The same, with the ADM set to the one given first: the key that the maker gives to all cards of the type allows that.
    ///
    /// # Errors
    /// The type has no such key.
    pub fn by_makers_key(self) -> Result<Self, Stopped> {
        let missing = Stopped::at_once(Cause::NoMakersKey(self.kind.name));
        let (before, reference) = self.kind.before.zip(self.kind.adm).ok_or(missing)?;
        let [class, ins, p1] = SET_PIN;
        let place = Target::Command([class, ins, p1, reference]).to_string();
        let planned = Planned { what: "ADM", place, octets: before.value.len(), state: State::Unreadable };
        Ok(Self { by_makers_key: Some((before, planned)), ..self })
    }

    /// The type of the card.
    pub const fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The ICCID that the card has.
    pub const fn iccid(&self) -> &Iccid {
        &self.iccid
    }

    /// What the card says of its administrative key; `None` for a type that has none.
    pub const fn adm(&self) -> Option<AdmState> {
        self.adm
    }

    /// What would be written, in this order.
    pub fn planned(&self) -> impl Iterator<Item = &Planned> {
        let adm = self.by_makers_key.iter().map(|(_, planned)| planned);
        adm.chain(self.steps.iter().map(|(_, planned)| planned))
    }

    /// Verifies the key, writes what differs, reads it back, and has the card authenticate with `rand` for a challenge.
    /// `told` is told when the key was right, before anything is written, and of each step that is done.
    ///
    /// # Errors
    /// Whatever stopped it, with what was written until then.
    pub fn carry_out<T: Transport>(
        self,
        card: &mut T,
        adm: Option<&Adm>,
        tries: Tries,
        rand: &[u8; 16],
        told: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Report, Stopped> {
        let mut host = Host { card, dialect: self.kind.dialect };
        self.open(&mut host, adm, tries).map_err(Stopped::at_once)?;
        told(Progress::Opened);
        let (mut written, mut same, mut absent) = (Vec::new(), Vec::new(), Vec::new());
        let mut steps = self.steps.iter();
        while let Some((step, before)) = steps.next() {
            let outcome = look(&mut host, self.kind, step).and_then(|now| match now.state {
                State::Same | State::Absent => Ok(now),
                State::Differs | State::Unreadable => write(&mut host, step).map(|()| now),
            });
            match outcome {
                Ok(now) => {
                    told(Progress::Done(&now));
                    match now.state {
                        State::Same => same.push(now),
                        State::Absent => absent.push(now),
                        State::Differs | State::Unreadable => written.push(now),
                    }
                }
                Err(cause) => {
                    let rest = steps.map(|(_, planned)| planned);
                    let left = core::iter::once(before).chain(rest);
                    let left = left.filter(|planned| !matches!(planned.state, State::Same | State::Absent)).cloned();
                    return Err(Stopped { cause, written, left: left.collect() });
                }
            }
        }
        let proof = match &self.functions {
            Err(open) => Ok(Ok(Proof::Open(*open))),
            Ok(functions) => {
                let card = &mut *host.card;
                card.reset().map_err(CardError::from).and_then(|_| proof::ask(card, functions, rand))
            }
        };
        match proof {
            Ok(Ok(proof)) => Ok(Report { written, same, absent, proof }),
            Ok(Err(proof::OtherKeys)) => Err(Stopped { cause: Cause::OtherKeys, written, left: Vec::new() }),
            Err(cause) => Err(Stopped { cause: cause.into(), written, left: Vec::new() }),
        }
    }

    /// Verifies the key: once, and only if that is no risk.
    fn open<T: Transport>(&self, host: &mut Host<&mut T>, adm: Option<&Adm>, tries: Tries) -> Result<(), Cause> {
        let Some(reference) = self.kind.adm else { return Ok(()) };
        let adm = adm.ok_or(Cause::NoAdm)?;
        if let Some((before, _)) = &self.by_makers_key {
            self.may_try(host, before.reference, tries)?;
            verified(host.verify(before.reference, before.value)).map_err(|cause| match cause {
                Cause::WrongAdm { left, sw } => Cause::WrongMakersKey { reference: before.reference, left, sw },
                other => other,
            })?;
            let [class, ins, p1] = SET_PIN;
            host.own([class, ins, p1, reference], adm.octets())?;
        } else {
            self.may_try(host, reference, tries)?;
        }
        verified(host.verify_adm(reference, adm))
    }

    /// Whether a wrong key would leave tries enough.
    fn may_try<T: Transport>(&self, host: &mut Host<&mut T>, reference: u8, tries: Tries) -> Result<(), Cause> {
        let least = tries.least_left;
        let is_enough = |left: u8| left.saturating_sub(1) >= least && left > 0;
        match host.adm_state(reference)? {
            AdmState::Blocked if self.kind.adm == Some(reference) => Err(Cause::AdmBlocked),
            AdmState::Blocked => Err(Cause::TooFewTries { left: 0, least }),
            AdmState::Missing => Err(Cause::NoSuchAdm(reference, self.kind.name)),
            AdmState::Left(left) if !is_enough(left) => Err(Cause::TooFewTries { left, least }),
            AdmState::Untold => match tries.uncounted {
                None => Err(Cause::Uncounted),
                Some(left) if !is_enough(left) => Err(Cause::TooFewAssumed { left, least }),
                Some(_) => Ok(()),
            },
            AdmState::Left(_) => Ok(()),
        }
    }
}

/// Sets a PIN: P2 is its reference.
const SET_PIN: [u8; 3] = [0xA0, 0xD4, 0x3A];

/// What came of a VERIFY that was sent. Cards tell in many ways that it was wrong, and only in one that it was right.
fn verified(answer: Result<StatusWord, CardError>) -> Result<(), Cause> {
    match answer.map_err(Cause::AdmUnanswered)? {
        sw if sw.is_ok() => Ok(()),
        sw @ (StatusWord::AUTHENTICATION_METHOD_BLOCKED | StatusWord::GSM_CHV_BLOCKED) => {
            Err(Cause::WrongAdm { left: Some(0), sw })
        }
        sw if sw.0 & 0xFFF0 == 0x63C0 => Err(Cause::WrongAdm { left: Some(sw.sw2() & 0x0F), sw }),
        sw => Err(Cause::WrongAdm { left: None, sw }),
    }
}

/// What the card has where a step writes.
fn look<T: Transport>(host: &mut Host<T>, kind: &'static Kind, step: &Step) -> Result<Planned, Cause> {
    let planned =
        |octets: usize, state: State| Planned { what: step.what, place: step.target.to_string(), octets, state };
    let Target::File(place) = &step.target else { return Ok(planned(step.octets(), State::Unreadable)) };
    let Some(shape) = host.select(place)? else {
        if step.optional {
            return Ok(planned(0, State::Absent));
        }
        return Err(Cause::Missing(place.to_string(), kind.name));
    };
    let wanted = match wanted(step, shape) {
        Ok(wanted) => wanted,
        Err(_) if step.clears => return Ok(planned(0, State::Absent)),
        Err(room) => {
            let (what, octets) = (step.what, step.octets());
            return Err(Cause::NoRoom { what, place: place.to_string(), room, octets });
        }
    };
    let state = if step.secret {
        State::Unreadable
    } else {
        match read(host, step, shape, wanted.len())? {
            None => State::Unreadable,
            Some(now) if *now == *merged(step, &wanted, &now) => State::Same,
            Some(_) => State::Differs,
        }
    };
    Ok(planned(wanted.len(), state))
}

/// What a step writes into a file of this shape, filled; else the room that there is.
fn wanted(step: &Step, shape: Shape) -> Result<Zeroizing<Vec<u8>>, usize> {
    let bytes = step.write.bytes();
    let mut wanted = Zeroizing::new(bytes.to_vec());
    match (&step.write, shape) {
        (Write::Filled { filler, .. }, Shape::Transparent { size }) if bytes.len() <= size => {
            let missing = size - bytes.len();
            wanted.extend(filler.iter().cycle().take(missing));
        }
        (Write::At { offset, .. }, Shape::Transparent { size }) if usize::from(*offset) + bytes.len() <= size => {}
        (Write::Nibble { offset, .. }, Shape::Transparent { size }) if usize::from(*offset) < size => {}
        (Write::Record { at_end, .. }, Shape::Records { length }) if bytes.len() <= length => {
            let missing = core::iter::repeat_n(0xFF, length - bytes.len());
            if *at_end {
                wanted.splice(0..0, missing);
            } else {
                wanted.extend(missing);
            }
        }
        (Write::Record { .. }, Shape::Records { length: room }) | (_, Shape::Transparent { size: room }) => {
            return Err(room);
        }
        _ => return Err(0),
    }
    Ok(wanted)
}

/// What stays of what is there.
fn merged(step: &Step, wanted: &[u8], now: &[u8]) -> Zeroizing<Vec<u8>> {
    const LOW: u8 = 0x0F;
    Zeroizing::new(match (&step.write, wanted, now) {
        (Write::Nibble { .. }, [wanted], [now]) => vec![now & !LOW | wanted & LOW],
        // The name before a number is the user's.
        (Write::Record { at_end: true, bytes, .. }, ..) if now.len() == wanted.len() => {
            let name = wanted.len() - bytes.len();
            [now.get(..name).unwrap_or_default(), wanted.get(name..).unwrap_or_default()].concat()
        }
        _ => wanted.to_vec(),
    })
}

fn read<T: Transport>(
    host: &mut Host<T>,
    step: &Step,
    shape: Shape,
    octets: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>, CardError> {
    let length = u8::try_from(octets).unwrap_or(u8::MAX);
    match (&step.write, shape) {
        (Write::Record { number, .. }, Shape::Records { length }) => {
            host.read_record(*number, u8::try_from(length).unwrap_or(u8::MAX))
        }
        (Write::At { offset, .. } | Write::Nibble { offset, .. }, _) => host.read_binary(*offset, length),
        _ => host.read_binary(0, length),
    }
}

/// Writes a step, and reads it back where that may be.
fn write<T: Transport>(host: &mut Host<T>, step: &Step) -> Result<(), Cause> {
    let place = match &step.target {
        Target::File(place) => place,
        Target::Command(header) => return Ok(host.own(*header, step.write.bytes())?),
    };
    let shape = host.select(place)?.ok_or_else(|| Cause::Missing(place.to_string(), ""))?;
    let wanted = wanted(step, shape).map_err(|room| Cause::NoRoom {
        what: step.what,
        place: place.to_string(),
        room,
        octets: step.octets(),
    })?;
    let now = if step.secret { None } else { read(host, step, shape, wanted.len())? };
    let wanted = now.map_or_else(|| wanted.clone(), |now| merged(step, &wanted, &now));
    match &step.write {
        Write::Record { number, .. } => host.update_record(*number, &wanted)?,
        Write::At { offset, .. } | Write::Nibble { offset, .. } => host.update_binary(*offset, &wanted)?,
        Write::Filled { .. } => host.update_binary(0, &wanted)?,
    }
    if step.secret {
        return Ok(());
    }
    match read(host, step, shape, wanted.len())? {
        Some(now) if *now != *wanted => Err(Cause::NotAsWritten(place.to_string())),
        _ => Ok(()),
    }
}

fn digits(octets: &[u8]) -> String {
    use fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, octet| {
        // A String takes all.
        let _ = write!(text, "{octet:02X}");
        text
    })
}

#[cfg(test)]
mod tests;
