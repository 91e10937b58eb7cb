//! Faults as they are written: `EnableProfile=catBusy,after,times=2`.
//!
//! ```
//! let fault = card::fault::parse("EnableProfile=catBusy")?;
//! assert_eq!(card::fault::text(&fault), "EnableProfile=catBusy");
//! assert!(card::fault::parse("EnableProfile=catBuzzy").unwrap_err().to_string().contains("catBusy(5)"));
//! # Ok::<(), card::fault::FaultError>(())
//! ```
//!
//! What goes wrong, where it does after `@`, and behind commas on which side of that, from which time on, and how often.

mod words;

pub use card_os::fault::{Effect, Fault, OrderError, Ordered, Place, When, clear, order, ordered};
pub use words::{KINDS, Kind};

use apdu::tlv::Tag;
use apdu::{Ins, StatusWord};
use applets::isd_r::Point;
use core::time::Duration;
use rsp::es10::{FUNCTIONS, LOAD_BOUND_PROFILE_PACKAGE, ResultCodes};
use rsp::notification::{BppCommandId, ErrorReason};

/// Why a fault cannot be ordered: what is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

fn wrong<T>(text: impl Into<String>) -> Result<T, FaultError> {
    Err(FaultError(text.into()))
}

/// Tag of the function that this card, as it announces, does not have.
const LOAD_CRL: Tag = Tag(0xBF35);

/// The fault that a text describes.
///
/// # Errors
/// It describes none, or one that could never strike.
pub fn parse(text: &str) -> Result<Fault, FaultError> {
    let mut parts = text.split(',').map(str::trim);
    let (place, effect) = strikes(parts.next().unwrap_or_default())?;
    let once = Fault::once(place, side_of(effect), effect);
    let (mut side, mut from, mut times) = (None, None, None);
    for part in parts {
        let count = |count: &str| match number(count) {
            Some(count @ 1..) => Ok(count),
            _ => wrong(format!("{part}: wants a number from 1 on")),
        };
        match part.split_once('=') {
            None if part == "before" => set(&mut side, When::Before, part, text)?,
            None if part == "after" => set(&mut side, When::After, part, text)?,
            None if part == "once" => set(&mut times, Some(1), part, text)?,
            None if part == "always" => set(&mut times, None, part, text)?,
            Some(("from", value)) => set(&mut from, count(value)?, part, text)?,
            Some(("times", value)) => set(&mut times, Some(count(value)?), part, text)?,
            _ => {
                return wrong(format!("{}: wants before, after, once, always, from=N or times=N", shown(part)));
            }
        }
    }
    if let Some(side) = side {
        let other = if side == When::Before { When::After } else { When::Before };
        let word = if side == When::Before { "before" } else { "after" };
        if !can_strike(&Fault { when: side, ..once }) {
            return wrong(format!("{text}: can never strike {word} its place; leave `{word}` out"));
        }
        if !can_strike(&Fault { when: other, ..once }) {
            return wrong(format!("{text}: strikes {word} its place in any case; leave `{word}` out"));
        }
    }
    Ok(Fault { when: side.unwrap_or(once.when), from: from.unwrap_or(1), times: times.unwrap_or(Some(1)), ..once })
}

/// On which side of its place an effect strikes where nothing is said.
const fn side_of(effect: Effect) -> When {
    match effect {
        Effect::DropResponse | Effect::FlipResponseBit(_) | Effect::Delay(_) => When::After,
        _ => When::Before,
    }
}

/// Whether it can strike on a card of ours, which meets a command of a package before it is carried out only.
fn can_strike(fault: &Fault) -> bool {
    let is_command = matches!(Point::of(fault.place), Some(Point::Command(_)));
    fault.can_strike() && !(is_command && fault.when == When::After)
}

/// Says something that nothing has been said about.
fn set<T>(place: &mut Option<T>, value: T, part: &str, text: &str) -> Result<(), FaultError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => wrong(format!("{text}: `{part}` says again, or otherwise, what is said before it; leave one out")),
    }
}

/// A number in decimal digits and nothing else.
fn number<T: core::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A number in that many hexadecimal digits and nothing else.
fn hexadecimal(text: &str, digits: usize) -> Option<u16> {
    let is_one = text.len() == digits && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_one.then(|| u16::from_str_radix(text, 16).ok())?
}

/// A word as it was written, also where none was.
fn shown(word: &str) -> &str {
    if word.is_empty() { "\"\"" } else { word }
}

/// Why faults were not ordered.
pub fn why_not(error: &OrderError) -> String {
    match error {
        OrderError::Never(fault) => format!("{} can never strike", text(fault)),
        OrderError::Memory(error) => error.to_string(),
    }
}

/// Whether a fault is one of an eUICC, which a UICC never meets.
pub const fn is_of_an_euicc(fault: &Fault) -> bool {
    matches!(fault.place, Place::Application(_))
}

/// The first part: what goes wrong, and where.
fn strikes(text: &str) -> Result<(Place, Effect), FaultError> {
    let (what, place) = text.split_once('@').map_or((text, None), |(what, place)| (what, Some(place)));
    let (word, value) = what.split_once('=').map_or((what, None), |(word, value)| (word, Some(value)));
    let Some(kind) = KINDS.iter().find(|kind| kind.word == word) else {
        return match value {
            Some(code) => coded(word, code, place),
            None => wrong(unknown(word)),
        };
    };
    let effect = match (kind.effect)(value.unwrap_or_default()) {
        Some(effect) if value.is_some() == kind.value.is_some() => effect,
        _ => return wrong(format!("{what}: is written {}", kind.form())),
    };
    match (kind.own_place, place) {
        (Some(own), None) => Ok((own, effect)),
        (Some(_), Some(_)) => wrong(format!("{text}: `{word}` has no other place; leave `@` and what follows out")),
        (None, None) => Ok((Place::Command(None), effect)),
        (None, Some("")) => wrong(format!("{text}: wants an ES10 function, an instruction, or `write` behind `@`")),
        (None, Some("write")) if matches!(effect, Effect::CutPower) => Ok((Place::Write, effect)),
        (None, Some(place)) => {
            let place = named_place(place)?;
            let fault = Fault::once(place, When::Before, effect);
            if fault.can_strike() || (Fault { when: When::After, ..fault }).can_strike() {
                return Ok((place, effect));
            }
            wrong(format!("{text}: `{word}` can never strike at a function; name an instruction, such as STORE_DATA"))
        }
    }
}

/// `FUNCTION=CODE`, or a command of a bound profile package and its reason.
fn coded(word: &str, code: &str, place: Option<&str>) -> Result<(Place, Effect), FaultError> {
    if place.is_some() {
        return wrong(format!(
            "{word}={code}: a result code strikes at its own function; leave `@` and what follows out"
        ));
    }
    if let Some(command) = named(BppCommandId::NAMES, word) {
        let Some(reason) = named(ErrorReason::NAMES, code) else {
            return wrong(format!("{word}: there is no errorReason {code}; there are {}", listed(ErrorReason::NAMES)));
        };
        return Ok((Point::Command(BppCommandId(command)).place(), Effect::Code(reason)));
    }
    let tag = function(word).ok_or_else(|| FaultError(unknown(word)))?;
    if tag == LOAD_BOUND_PROFILE_PACKAGE {
        let commands = listed(BppCommandId::NAMES);
        return wrong(format!(
            "{word}: its result names a command and a reason: COMMAND=REASON, with one of {commands}"
        ));
    }
    if tag == LOAD_CRL {
        return wrong(format!("{word}: this card has no {word}, so that it is never met"));
    }
    let Some(codes) = ResultCodes::of(tag) else {
        return wrong(format!("{word} has no result codes; order a status word: status=6985@{word}"));
    };
    match codes.code(code) {
        Some(code) => Ok((Point::Function(tag).place(), Effect::Code(code))),
        None => wrong(format!("{word} has no result code {code}; it has {}", listed(codes.codes))),
    }
}

/// An ES10 function or an instruction.
fn named_place(text: &str) -> Result<Place, FaultError> {
    match function(text) {
        Some(LOAD_CRL) => return wrong(format!("{text}: this card has no {text}, so that it is never met")),
        Some(tag) => return Ok(Point::Function(tag).place()),
        None => {}
    }
    let digits = || hexadecimal(text, 2).and_then(|ins| u8::try_from(ins).ok()).map(Ins);
    let ins = Ins::named(text).or_else(digits);
    match ins {
        Some(ins) if ins.is_invalid() => {
            wrong(format!("{text}: is no instruction: 6X and 9X are status words, so that it is never met"))
        }
        Some(ins) => Ok(Place::Command(Some(ins))),
        None => {
            // Forms with BER-TLV data are not what is meant.
            let instructions = Ins::names().filter(|name| !name.ends_with("_ODD"));
            let places = FUNCTIONS.iter().map(|function| function.name).chain(instructions).chain(["write"]);
            let wish = nearest(text, places).map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
            wrong(format!("{text}: wants an ES10 function, an instruction by name or two digits, or `write`{wish}"))
        }
    }
}

/// The function of this name. Both of GetEUICCInfo have a number: that of what they answer.
fn function(name: &str) -> Option<Tag> {
    FUNCTIONS.iter().map(|function| function.tag).find(|tag| function_name(*tag).eq_ignore_ascii_case(name))
}

/// How a function is called here.
fn function_name(tag: Tag) -> &'static str {
    match tag.0 {
        0xBF20 => "GetEUICCInfo1",
        0xBF22 => "GetEUICCInfo2",
        _ => FUNCTIONS.iter().find(|function| function.tag == tag).map_or("a function", |function| function.name),
    }
}

fn named(names: &[(i64, &str)], text: &str) -> Option<i64> {
    let is = |(value, name): &&(i64, &str)| name.eq_ignore_ascii_case(text) || number(text) == Some(*value);
    names.iter().find(is).map(|(value, _)| *value)
}

fn listed(names: &[(i64, &str)]) -> String {
    names.iter().map(|(value, name)| format!("{name}({value})")).collect::<Vec<_>>().join(", ")
}

fn unknown(word: &str) -> String {
    let functions = FUNCTIONS.iter().map(|function| function_name(function.tag));
    let commands = BppCommandId::NAMES.iter().map(|(_, name)| *name);
    let known = KINDS.iter().map(|kind| kind.word).chain(functions).chain(commands);
    if let Some(nearest) = nearest(word, known) {
        return format!("{}: there is no such fault; did you mean {nearest}?", shown(word));
    }
    let kinds = KINDS.iter().map(|kind| kind.word).collect::<Vec<_>>().join(", ");
    format!("{}: there is no such fault; there are {kinds}, FUNCTION=CODE and COMMAND=REASON", shown(word))
}

/// The word nearest to what was written, if it is near, or else the only one that begins so.
pub fn nearest<'a>(written: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Fewer letters begin too much.
    const BEGINNING: usize = 4;
    let lower = written.to_ascii_lowercase();
    let words: Vec<&str> = words.collect();
    let begins = |word: &&&str| word.get(..written.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(written));
    let mut beginning = words.iter().filter(begins).filter(|_| written.len() >= BEGINNING).copied();
    let only = beginning.next().filter(|_| beginning.next().is_none());
    let near =
        words.iter().copied().map(|word| (strsim::damerau_levenshtein(&lower, &word.to_ascii_lowercase()), word));
    near.min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1 + written.len() / 4 && !written.is_empty())
        .map(|(_, word)| word)
        .or(only)
}

/// The text of a fault; [`parse`] reads it.
pub fn text(fault: &Fault) -> String {
    let mut text = match (fault.effect, Point::of(fault.place)) {
        (Effect::Code(code), Some(Point::Function(tag))) => {
            let name = ResultCodes::of(tag).and_then(|codes| codes.codes.iter().find(|(value, _)| *value == code));
            format!("{}={}", function_name(tag), name.map_or_else(|| code.to_string(), |(_, name)| (*name).to_owned()))
        }
        (Effect::Code(code), Some(Point::Command(command))) => {
            let name = |name: Option<&str>, value: i64| name.map_or_else(|| value.to_string(), ToOwned::to_owned);
            format!("{}={}", name(command.name(), command.0), name(ErrorReason(code).name(), code))
        }
        (effect, point) => {
            let what = words::what(effect);
            match (fault.place, point) {
                (Place::Command(None) | Place::Memory, _) => what,
                (Place::Write, _) if effect == Effect::RefuseWrite => what,
                (Place::Write, _) => format!("{what}@write"),
                (Place::Command(Some(ins)), _) => {
                    let name = ins.name().map_or_else(|| format!("{:02X}", ins.0), ToOwned::to_owned);
                    format!("{what}@{name}")
                }
                (_, Some(Point::Function(tag))) => format!("{what}@{}", function_name(tag)),
                (_, point) => format!("{what}@{point:?}"),
            }
        }
    };
    let side = (fault.when != side_of(fault.effect)).then(|| ",after".to_owned());
    let from = (fault.from != 1).then(|| format!(",from={}", fault.from));
    let times = match fault.times {
        None => Some(",always".to_owned()),
        Some(1) => None,
        Some(times) => Some(format!(",times={times}")),
    };
    text.extend([side, from, times].into_iter().flatten());
    text
}

/// What has become of it, in words.
pub fn state(ordered: &Ordered) -> String {
    let waits = ordered.fault.from.saturating_sub(ordered.met.max(1));
    match (ordered.left(), ordered.struck) {
        (Some(0), struck) => format!("spent, struck {}", times(struck)),
        (None, 0) if waits > 0 => format!("strikes always, after {} more", times(waits)),
        (None, 0) => "strikes always, has not yet".to_owned(),
        (None, _) => "strikes always, has struck".to_owned(),
        (Some(left), 0) if waits > 0 => format!("strikes {}, after {} more", times(left), times(waits)),
        (Some(left), 0) => format!("strikes {}", times(left)),
        (Some(left), struck) => format!("strikes {} more, struck {}", times(left), times(struck)),
    }
}

fn times(count: u32) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

/// A status word of four digits.
fn status(text: &str) -> Option<StatusWord> {
    let sw = hexadecimal(text, 4)?;
    // Others read as no status word at the contacts. ISO/IEC 7816-3 §10.3.3.
    matches!(sw >> 12, 6 | 9).then_some(StatusWord(sw)).filter(|sw| sw.0 >> 8 != 0x60)
}

/// A duration: `2s`, `500ms`. An hour at most.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s')?, 1_000),
    };
    let milliseconds = self::number::<u64>(number)?.checked_mul(unit)?;
    (1..=3_600_000).contains(&milliseconds).then(|| Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_and_written_alike() {
        for text in [
            "EnableProfile=catBusy",
            "EnableProfile=catBusy,after,from=3,times=2",
            "AuthenticateServer=euiccChallengeMismatch,always",
            "RemoveNotificationFromList=ok",
            "loadProfileElements=installFailedDueToPEProcessingError,always",
            "initialiseSecureChannel=invalidSignature,from=2",
            "cut",
            "cut,after",
            "cut@write,from=7",
            "cut@write,after",
            "cut@LoadBoundProfilePackage,from=12",
            "drop@STORE_DATA",
            "mute@SELECT",
            "slow=2s",
            "slow=1500ms@GetEUICCInfo2,always",
            "status=6F00",
            "status=6985@GetEID,times=3",
            "status=6A82@SELECT,after",
            "status=6D00@FF",
            "flip-command=12@STORE_DATA",
            "flip-response=0",
            "memory-full,always",
            "write-error,from=2",
        ] {
            let fault = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(super::text(&fault), text);
            assert!(fault.can_strike(), "{text}");
        }
        assert_eq!(parse("enableprofile=5,once"), parse("EnableProfile=catBusy"));
        assert_eq!(parse("5=9"), parse("loadProfileElements=installFailedDueToIccidAlreadyExistsOnEuicc"));
        assert_eq!(parse("status=6F00@e2"), parse("status=6F00@STORE_DATA"));
    }

    #[test]
    fn what_can_never_strike_is_refused_with_what_can() {
        for (text, told) in [
            ("", "there is no such fault; there are cut,"),
            ("mutte", "mutte: there is no such fault; did you mean mute?"),
            ("EnableProfil=catBusy", "EnableProfil: there is no such fault; did you mean EnableProfile?"),
            ("EnableProfile", "there is no such fault"),
            ("EnableProfile=6", "EnableProfile has no result code 6; it has ok(0), iccidOrAidNotFound(1), "),
            ("ListNotification=1", "it has undefinedError(127)"),
            ("GetEID=1", "GetEID has no result codes; order a status word: status=6985@GetEID"),
            ("LoadCRL=1", "this card has no LoadCRL"),
            ("status=6A80@LoadCRL", "this card has no LoadCRL"),
            ("LoadBoundProfilePackage=5", "COMMAND=REASON, with one of initialiseSecureChannel(0)"),
            ("storeMetadata=full", "there is no errorReason full; there are incorrectInputValues(1)"),
            ("EnableProfile=catBusy@SELECT", "leave `@` and what follows out"),
            ("memory-full@write", "has no other place"),
            ("status=1234", "status=1234: is written status=SW"),
            ("status", "status: is written status=SW"),
            ("cut=1", "cut=1: is written cut"),
            ("slow=2h", "slow=2h: is written slow=TIME"),
            ("slow=0s", "slow=0s: is written slow=TIME"),
            ("status=6F00@6F", "is no instruction"),
            ("cut@SELCT", "did you mean SELECT?"),
            ("mute@write", "wants an ES10 function"),
            ("flip-command=1@EnableProfile", "can never strike at a function; name an instruction"),
            ("mute,after", "can never strike after its place"),
            ("drop,before", "can never strike before its place"),
            ("write-error,after", "can never strike after its place"),
            ("cut,from=0", "from=0: wants a number from 1 on"),
            ("cut,times=many", "times=many: wants a number from 1 on"),
            ("cut,sometimes", "sometimes: wants before, after, once, always, from=N or times=N"),
            ("cut,", "\"\": wants before, after"),
            ("loadProfileElements=scp03tSecurityError,after", "can never strike after its place"),
            ("drop,after", "strikes after its place in any case; leave `after` out"),
            ("write-error,before", "strikes before its place in any case"),
            ("memory-full,before", "strikes before its place in any case"),
            ("cut,after,after", "`after` says again, or otherwise, what is said before it"),
            ("cut@write,before,after", "`after` says again, or otherwise"),
            ("cut,times=2,always", "`always` says again, or otherwise"),
            ("cut,once,times=1", "`times=1` says again, or otherwise"),
            ("cut,from=2,from=2", "`from=2` says again, or otherwise"),
            ("cut@", "cut@: wants an ES10 function, an instruction, or `write` behind `@`"),
            ("@SELECT", "\"\": there is no such fault"),
            ("status=6982@VERIFY", "did you mean VERIFY_PIN?"),
            // Signs are no digits.
            ("cut,from=+5", "from=+5: wants a number from 1 on"),
            ("status=+A00", "is written status=SW"),
            ("cut@+A", "+A: wants an ES10 function"),
            ("slow=+2s", "is written slow=TIME"),
            ("flip-response=+2", "is written flip-response=BIT"),
            ("EnableProfile=+5", "EnableProfile has no result code +5"),
            ("+5=9", "+5: there is no such fault"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(told), "{text}: {error}");
            assert_eq!(error.lines().count(), 1);
        }
    }

    #[test]
    fn its_state_is_told() {
        let mut ordered = Ordered { number: 1, fault: parse("cut,from=3,times=2").unwrap(), met: 0, struck: 0 };
        assert_eq!(state(&ordered), "strikes 2 times, after 2 times more");
        (ordered.met, ordered.struck) = (3, 1);
        assert_eq!(state(&ordered), "strikes once more, struck once");
        ordered.struck = 2;
        assert_eq!(state(&ordered), "spent, struck 2 times");
        let always = Ordered { fault: parse("slow=1s,always").unwrap(), struck: 1, ..ordered };
        assert_eq!(state(&always), "strikes always, has struck");
    }
}
