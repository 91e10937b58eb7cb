//! Fields: what a decoded APDU consists of, each with a name that stays the same between releases.

use core::fmt;
use core::ops::Range;

use zeroize::Zeroizing;

/// What every field of one kind has in common: a row of the table of [names](crate::names()).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// For programs: `select.aid`. It does not change between releases.
    pub name: &'static str,
    /// For people: `AID`, or the name in the specification.
    pub label: &'static str,
    /// What its values are.
    pub kind: Kind,
}

impl Name {
    /// A name.
    pub const fn new(name: &'static str, label: &'static str, kind: Kind) -> Self {
        Self { name, label, kind }
    }
}

/// What the values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No value of its own: other fields are in it.
    Group,
    /// An unsigned number.
    Number,
    /// True or false.
    Flag,
    /// Text: names, digits, versions.
    Text,
    /// Octets.
    Octets,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// None of its own.
    None,
    /// A number.
    Number(u64),
    /// True or false.
    Flag(bool),
    /// Text.
    Text(String),
    /// Octets.
    Octets(Vec<u8>),
    /// Octets that are secret and were not asked for.
    Hidden(Hidden),
}

/// Octets that are secret: how many are told, not which. Two are equal if their octets are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden {
    octets: Zeroizing<Vec<u8>>,
    length: usize,
}

impl Hidden {
    pub(crate) fn new(octets: &[u8]) -> Self {
        Self { octets: Zeroizing::new(octets.to_vec()), length: octets.len() }
    }

    /// What a value says that was found in so many octets.
    pub(crate) fn of_value(value: &Value, length: usize) -> Self {
        let octets = match value {
            Value::Octets(octets) => octets.clone(),
            Value::Text(text) => text.clone().into_bytes(),
            Value::Number(number) => number.to_be_bytes().to_vec(),
            Value::Flag(flag) => vec![u8::from(*flag)],
            Value::Hidden(hidden) => return hidden.clone(),
            Value::None => Vec::new(),
        };
        Self { octets: Zeroizing::new(octets), length }
    }

    /// How many octets are left out.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether none are.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.length)
    }
}

impl Value {
    /// What text shows of it; nothing if there is no value.
    fn shown(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Number(number) => Some(number.to_string()),
            Self::Flag(flag) => Some(if *flag { "yes" } else { "no" }.to_owned()),
            Self::Text(text) => Some(Plain(text).to_string()),
            Self::Octets(octets) => Some(hex(octets)),
            Self::Hidden(hidden) => Some(format!("({} octets, secret)", hidden.len())),
        }
    }
}

/// In which octets a field was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The command APDU.
    Command,
    /// The response APDU.
    Response,
    /// The data of several commands, put together.
    Request,
    /// The data of several responses, put together.
    Answer,
    /// What was decrypted.
    Opened,
}

impl Source {
    /// For programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Response => "response",
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Opened => "opened",
        }
    }
}

/// Where a field was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In what.
    pub source: Source,
    /// In which octets of it.
    pub octets: Range<usize>,
}

/// Where the first of some octets stand, to say where each of them does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    pub(crate) source: Source,
    pub(crate) offset: usize,
}

impl Base {
    pub(crate) const fn new(source: Source, offset: usize) -> Self {
        Self { source, offset }
    }

    /// So many octets further on.
    pub(crate) const fn plus(self, octets: usize) -> Self {
        Self { source: self.source, offset: self.offset.saturating_add(octets) }
    }

    /// The place of so many octets from here.
    pub(crate) const fn place(self, octets: usize) -> Place {
        Place { source: self.source, octets: self.offset..self.offset.saturating_add(octets) }
    }
}

/// One field, with those inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Value,
    /// What the value means, in words.
    pub meaning: Option<String>,
    /// Where it was found; nothing for what follows from others.
    pub place: Option<Place>,
    /// Fields inside it.
    pub fields: Vec<Field>,
}

impl Field {
    pub(crate) const fn new(name: Name, value: Value) -> Self {
        Self { name, value, meaning: None, place: None, fields: Vec::new() }
    }

    pub(crate) const fn group(name: Name, fields: Vec<Self>) -> Self {
        Self { name, value: Value::None, meaning: None, place: None, fields }
    }

    pub(crate) fn number(name: Name, number: impl Into<u64>) -> Self {
        Self::new(name, Value::Number(number.into()))
    }

    pub(crate) fn text(name: Name, text: impl Into<String>) -> Self {
        Self::new(name, Value::Text(text.into()))
    }

    pub(crate) fn octets(name: Name, octets: &[u8]) -> Self {
        Self::new(name, Value::Octets(octets.to_vec()))
    }

    pub(crate) fn meaning(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = Some(meaning.into());
        self
    }

    pub(crate) fn meaning_if(mut self, meaning: Option<impl Into<String>>) -> Self {
        self.meaning = meaning.map(Into::into);
        self
    }

    pub(crate) fn at(mut self, base: Base, octets: usize) -> Self {
        self.place = Some(base.place(octets));
        self
    }

    pub(crate) fn with(mut self, fields: Vec<Self>) -> Self {
        self.fields = fields;
        self
    }

    /// The same without places: its octets did not come as one.
    pub(crate) fn nowhere(mut self) -> Self {
        self.place = None;
        self.fields = self.fields.into_iter().map(Self::nowhere).collect();
        self
    }

    /// What could not be decoded, and why.
    pub(crate) fn malformed(octets: &[u8], base: Base, reason: impl Into<String>) -> Self {
        Self::octets(crate::names::MALFORMED, octets).meaning(reason).at(base, octets.len())
    }

    /// This field and all in it, depth first.
    pub fn all(&self) -> Vec<&Self> {
        let mut found = vec![self];
        found.extend(self.fields.iter().flat_map(Self::all));
        found
    }

    /// The first field with this name, in here or this one itself.
    pub fn find(&self, name: &str) -> Option<&Self> {
        if self.name.name == name { Some(self) } else { self.fields.iter().find_map(|field| field.find(name)) }
    }

    /// The value in words: `enabled (1)`, `89…`, `yes`.
    pub fn shown(&self) -> Option<String> {
        match (self.value.shown(), &self.meaning) {
            (Some(value), Some(meaning)) => Some(format!("{value}  {}", Plain(meaning))),
            (None, Some(meaning)) => Some(Plain(meaning).to_string()),
            (value, None) => value,
        }
    }
}

/// Text from a card or a host, with what steers a terminal left out.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0.chars().try_for_each(|letter| {
            if letter.is_control() || printable::steers(letter) {
                write!(f, "{}", letter.escape_default())
            } else {
                f.write_char(letter)
            }
        })
    }
}

/// Upper-case hexadecimal without blanks.
pub fn hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'?').into();
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 0xF)]).collect::<Vec<char>>().into_iter().collect()
}
