//! One fault, as it is ordered: `FUNCTION=KIND[:VALUE][@WHEN]`.

use core::fmt;
use core::str::FromStr;

use test_pki::PkiError;

use super::Listeners;
use super::kind::{At, ROWS, Row, Value};

/// A fault: where it strikes, of which kind it is, with which value, and when.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Where.
    pub at: At,
    /// Its kind.
    pub row: &'static Row,
    /// Its value.
    pub value: Given,
    /// When.
    pub when: When,
}

/// The value that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// None: the kind has none, or its default counts.
    Nothing,
    /// Subject and reason.
    Status(String, String),
    /// A number.
    Number(u32),
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At every call.
    Always,
    /// At the first call at which it can.
    Once,
    /// At this call, counted from 1.
    Nth(u32),
}

/// Why a fault cannot be ordered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FaultError {
    /// It is no order at all.
    #[error("`{0}` is no fault: write FUNCTION=KIND[:VALUE][@WHEN], such as getBoundProfilePackage=segment-mac:3@once")]
    Form(String),
    /// There is no such function.
    #[error("there is no function `{name}`{}; there are {}", did_you_mean(.name, At::ALL.map(|(_, name)| name)), At::ALL.map(|(_, name)| name).join(", "))]
    Function {
        /// The name.
        name: String,
    },
    /// There is no such kind.
    #[error("there is no fault `{name}`{}; at {} there are {}", did_you_mean(.name, ROWS.iter().map(|row| row.name)), .at.name(), kinds_at(*.at))]
    Kind {
        /// The name.
        name: String,
        /// Where it was to strike.
        at: At,
    },
    /// It never strikes there.
    #[error("`{}` can never strike at {}: it is for {}; there, there are {}", .row.name, .at.name(), places(.row), kinds_at(*.at))]
    Place {
        /// The kind.
        row: &'static Row,
        /// Where it was to strike.
        at: At,
    },
    /// Its value is none.
    #[error("`{given}` is no value of `{}`: write {}{}", .row.name, .row.name, .row.value.form())]
    Value {
        /// The kind.
        row: &'static Row,
        /// What was given.
        given: String,
    },
    /// No package has so many segments.
    #[error("`{}:{number}` can never strike: a package has {MOST_SEGMENTS} segments at most, and most have some dozens", .row.name)]
    NoSuchSegment {
        /// The kind.
        row: &'static Row,
        /// The number of the segment.
        number: u32,
    },
    /// It says not when.
    #[error("`{0}` is no time: write @once, @always, or the number of a call, @2")]
    When(String),
    /// One before it strikes each time, and leaves nothing.
    #[error("`{0}` can never strike: `{1}` comes first and ends every call; order it after, or with @once")]
    Shadowed(String, String),
    /// There are two TLS identities.
    #[error("`{0}` can never strike: `{1}` decides about the certificate already")]
    SecondTls(String, String),
    /// A certificate is not shown once or another time.
    #[error("`{0}`: the TLS certificate is the same in every handshake; leave @… out")]
    TlsWhen(String),
    /// Operators cannot call.
    #[error("`{0}` can never strike: there is no listener for operators")]
    NoOperators(String),
    /// There is no TLS.
    #[error("`{0}` can never strike: the server speaks no TLS")]
    NoTls(String),
    /// A wrong answer cannot be signed, or a wrong certificate be made.
    #[error("wrong certificates and answers need the PKI's keys: {0}")]
    Pki(PkiError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.at.name(), self.row.name)?;
        match &self.value {
            Given::Nothing => {}
            Given::Status(subject, reason) => write!(f, ":{subject}/{reason}")?,
            Given::Number(number) => write!(f, ":{number}")?,
        }
        match self.when {
            When::Always => Ok(()),
            When::Once => f.write_str("@once"),
            When::Nth(number) => write!(f, "@{number}"),
        }
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (function, rest) = text.split_once('=').ok_or_else(|| FaultError::Form(text.to_owned()))?;
        let (rest, when) = match rest.split_once('@') {
            Some((rest, when)) => (rest, read_when(when)?),
            None => (rest, When::Always),
        };
        let (name, value) = match rest.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        let at = At::ALL.iter().find(|(_, name)| *name == function).map(|(at, _)| *at);
        let at = at.ok_or_else(|| FaultError::Function { name: function.to_owned() })?;
        let row = ROWS.iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| FaultError::Kind { name: name.to_owned(), at })?;
        if !row.at.contains(&at) {
            return Err(FaultError::Place { row, at });
        }
        let value = read_value(row, value)?;
        Ok(Self { at, row, value, when })
    }
}

/// Segments of a package of 4 MiB, more than an eUICC has room for: each holds 1,007 octets of it, and three more are for what
/// comes before.
const MOST_SEGMENTS: u32 = (4 << 20) / 1007 + 3;

fn read_when(text: &str) -> Result<When, FaultError> {
    match text {
        "always" => Ok(When::Always),
        "once" => Ok(When::Once),
        number => match number.parse() {
            Ok(number @ 1..) if text.bytes().all(|octet| octet.is_ascii_digit()) => Ok(When::Nth(number)),
            _ => Err(FaultError::When(text.to_owned())),
        },
    }
}

fn read_value(row: &'static Row, text: Option<&str>) -> Result<Given, FaultError> {
    let wrong = || FaultError::Value { row, given: text.unwrap_or_default().to_owned() };
    let number = |range: core::ops::RangeInclusive<u32>| {
        let digits = text.filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok());
        number.filter(|number| range.contains(number)).map(Given::Number).ok_or_else(wrong)
    };
    match (row.value, text) {
        (Value::None | Value::Segment, None) => Ok(Given::Nothing),
        (Value::None, Some(_)) => Err(wrong()),
        (Value::Status, _) => {
            let (subject, reason) = text.and_then(|text| text.split_once('/')).ok_or_else(wrong)?;
            let is_code = |code: &str| {
                code.split('.').all(|part| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit()))
            };
            if !is_code(subject) || !is_code(reason) {
                return Err(wrong());
            }
            Ok(Given::Status(subject.to_owned(), reason.to_owned()))
        }
        (Value::Http, _) => number(300..=599),
        (Value::Seconds, _) => number(1..=86_400),
        (Value::Segment, _) => match number(1..=u32::MAX)? {
            Given::Number(number) if number > MOST_SEGMENTS => Err(FaultError::NoSuchSegment { row, number }),
            given => Ok(given),
        },
    }
}

/// Refuses those that can never strike together, or at such a server.
pub(super) fn check(ordered: &[Fault], listeners: Listeners) -> Result<(), FaultError> {
    for (number, fault) in ordered.iter().enumerate() {
        if fault.at.is_of_operators() && !listeners.has_es2plus {
            return Err(FaultError::NoOperators(fault.to_string()));
        }
        let before = || ordered.iter().take(number).filter(|before| before.at == fault.at);
        if fault.at == At::Tls {
            if !listeners.has_tls {
                return Err(FaultError::NoTls(fault.to_string()));
            }
            if fault.when != When::Always {
                return Err(FaultError::TlsWhen(fault.to_string()));
            }
            if let Some(first) = before().next() {
                return Err(FaultError::SecondTls(fault.to_string(), first.to_string()));
            }
        }
        let shadows = |before: &&Fault| before.when == When::Always && before.row.kind.ends_the_call();
        if let Some(first) = before().find(shadows) {
            return Err(FaultError::Shadowed(fault.to_string(), first.to_string()));
        }
    }
    Ok(())
}

fn did_you_mean(name: &str, names: impl IntoIterator<Item = &'static str>) -> String {
    /// As similar as a typing error.
    const SIMILAR: f64 = 0.75;
    let scored = names.into_iter().map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    let best = scored.filter(|(score, _)| *score > SIMILAR).max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map(|(_, best)| format!(" (did you mean {best}?)")).unwrap_or_default()
}

fn kinds_at(at: At) -> String {
    ROWS.iter().filter(|row| row.at.contains(&at)).map(|row| row.name).collect::<Vec<_>>().join(", ")
}

/// Where a kind can strike.
pub fn places(row: &Row) -> String {
    row.at.iter().map(|at| at.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::kind::Kind;
    use super::*;

    const ALL: Listeners = Listeners { has_tls: true, has_es2plus: true };

    fn fault(text: &str) -> Fault {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn orders_are_read_and_written() {
        for row in ROWS {
            assert!(!row.played.is_empty(), "{} is played by nothing", row.name);
            for played in row.played {
                let read = fault(played.order);
                assert_eq!((read.row.name, read.to_string()), (row.name, played.order.to_owned()));
            }
        }
        assert_eq!(fault("cancelSession=status:8.1/6.1@always").when, When::Always);
        assert_eq!(fault("cancelSession=cut@2").when, When::Nth(2));
    }

    #[test]
    fn names_are_unique() {
        for (number, row) in ROWS.iter().enumerate() {
            assert!(ROWS.iter().skip(number + 1).all(|other| other.name != row.name && other.kind != row.kind));
        }
    }

    /// Each kind is played at each of its places, but for those where nothing of the place goes into what is done: a call
    /// that ends, or an answer of whatever is in it.
    #[test]
    fn what_differs_by_its_place_is_played_at_each() {
        for row in ROWS.iter().filter(|row| !row.kind.ends_the_call()) {
            let is_same_everywhere = matches!(row.kind, Kind::Slow | Kind::UnknownField);
            for at in row.at.iter().filter(|_| !is_same_everywhere) {
                let is_played = row.played.iter().any(|played| fault(played.order).at == *at);
                assert!(is_played, "{} at {} is played by nothing", row.name, at.name());
            }
        }
    }

    #[test]
    fn what_can_never_strike_comes_with_the_wish() {
        for (order, cause) in [
            ("initiateAuthentification=cut", "did you mean initiateAuthentication?"),
            ("getboundprofilepackage=cut", "there are initiateAuthentication, "),
            ("tls=expird", "did you mean expired?"),
            (
                "authenticateClient=segment-mac:1",
                "can never strike at authenticateClient: it is for getBoundProfilePackage",
            ),
            ("tls=cut", "it is for initiateAuthentication, "),
            ("cancelSession", "write FUNCTION=KIND[:VALUE][@WHEN]"),
            ("cancelSession=status", "write status:SUBJECT/REASON"),
            ("cancelSession=status:8.1", "write status:SUBJECT/REASON"),
            ("cancelSession=status:a/b", "write status:SUBJECT/REASON"),
            ("cancelSession=http:200", "write http:CODE"),
            ("cancelSession=slow:0", "write slow:SECONDS"),
            ("cancelSession=cut:3", "write cut"),
            ("cancelSession=http:+500", "write http:CODE"),
            ("getBoundProfilePackage=segment-mac:0", "write segment-mac[:N]"),
            ("getBoundProfilePackage=segment-mac:9999@once", "can never strike: a package has 4168 segments at most"),
            ("getBoundProfilePackage=segment-missing:4169", "can never strike: a package has 4168 segments at most"),
            ("cancelSession=cut@0", "@once, @always"),
            ("cancelSession=cut@never", "@once, @always"),
            ("cancelSession=cut@+1", "@once, @always"),
        ] {
            let error = order.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(cause), "{order}: {error}");
        }
    }

    #[test]
    fn what_can_never_strike_together() {
        let check = |orders: &[&str], listeners| {
            let faults: Vec<_> = orders.iter().map(|order| fault(order)).collect();
            check(&faults, listeners).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["cancelSession=slow:1", "cancelSession=cut", "authenticateClient=cut"], ALL), Ok(()));
        assert_eq!(check(&["cancelSession=cut@once", "cancelSession=http:500"], ALL), Ok(()));
        for (orders, listeners, cause) in [
            (&["cancelSession=cut", "cancelSession=http:500"][..], ALL, "`cancelSession=cut` comes first"),
            (&["tls=expired", "tls=wrong-oid"], ALL, "`tls=expired` decides"),
            (&["tls=expired@once"], ALL, "in every handshake"),
            (&["tls=expired"], Listeners { has_tls: false, ..ALL }, "speaks no TLS"),
            (&["downloadOrder=cut"], Listeners { has_es2plus: false, ..ALL }, "no listener for operators"),
        ] {
            let error = check(orders, listeners).unwrap_err();
            assert!(error.contains(cause), "{orders:?}: {error}");
        }
    }
}
