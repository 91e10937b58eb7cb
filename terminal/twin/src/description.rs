//! What was learned of a card, as a description has it.

use core::fmt;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Octets, written in hexadecimal.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Octets(pub Vec<u8>);

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_upper(&self.0))
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let plain: String = text.chars().filter(|character| *character != ' ').collect();
        hex::decode(plain).map(Self).map_err(|_| D::Error::custom("wants hexadecimal digits, two for each octet"))
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_upper(&self.0))
    }
}

/// Where a file lies: from the MF, or from the ADF of an application, which goes by its AID.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// AID of the application; none: from the MF.
    pub application: Option<Vec<u8>>,
    /// File identifiers below.
    pub below: Vec<u16>,
}

impl Path {
    /// The MF.
    pub const fn mf() -> Self {
        Self { application: None, below: Vec::new() }
    }

    /// The ADF of an application.
    pub fn adf(aid: &[u8]) -> Self {
        Self { application: Some(aid.to_vec()), below: Vec::new() }
    }

    /// A file in this directory.
    #[must_use]
    pub fn child(&self, fid: u16) -> Self {
        let below = self.below.iter().copied().chain([fid]).collect();
        Self { application: self.application.clone(), below }
    }

    /// The directory around; none around the MF. Around an ADF it is the MF.
    pub fn parent(&self) -> Option<Self> {
        match (self.below.split_last(), &self.application) {
            (Some((_, around)), application) => Some(Self { application: application.clone(), below: around.to_vec() }),
            (None, Some(_)) => Some(Self::mf()),
            (None, None) => None,
        }
    }

    /// Its file identifier; none of an ADF.
    pub fn fid(&self) -> Option<u16> {
        match (self.below.last(), &self.application) {
            (Some(fid), _) => Some(*fid),
            (None, None) => Some(MF),
            (None, Some(_)) => None,
        }
    }
}

pub(crate) const MF: u16 = 0x3F00;

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.application {
            Some(aid) => f.write_str(&hex::encode_upper(aid))?,
            None => write!(f, "{MF:04X}")?,
        }
        self.below.iter().try_for_each(|fid| write!(f, "/{fid:04X}"))
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WANTS: &str = "wants a path from the MF or an AID: 3F00/2FE2, A0000000871002FF/6F07";
        let text = String::deserialize(deserializer)?;
        let mut parts = text.split('/').map(hex::decode);
        let wrong = || D::Error::custom(WANTS);
        let root = parts.next().and_then(Result::ok).ok_or_else(wrong)?;
        let application = match root.as_slice() {
            [0x3F, 0x00] => None,
            aid if (5..=16).contains(&aid.len()) => Some(root),
            _ => return Err(wrong()),
        };
        let fid = |part: Result<Vec<u8>, _>| part.ok().and_then(|fid| fid.try_into().ok()).map(u16::from_be_bytes);
        let below = parts.map(fid).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        if below.len() > DEEPEST {
            return Err(D::Error::custom("leads too deep; a card has few directories in each other"));
        }
        Ok(Self { application, below })
    }
}

/// Directories in each other, at most.
pub(crate) const DEEPEST: usize = 6;

/// What was learned of a card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Learned {
    /// Whether all of the card was looked at. A card that was pulled out has not told everything.
    pub complete: bool,
    /// Directories that were looked through; where learning is resumed, they are not looked through again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub searched: Vec<Path>,
    /// Key references of PINs that were sent and not accepted: where learning is resumed, they are not sent again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<Octets>,
    /// Applications that SELECT finds by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<Application>,
    /// Whether it is a SIM as well: it answers the class `A0` of TS 51.011.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub class_a0: bool,
    /// Where it says and does otherwise than the standard card.
    pub dialect: LearnedDialect,
    /// How long its commands took.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timing: Vec<Timing>,
    /// PINs and keys, as far as the card tells of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<LearnedPin>,
    /// Files, directories before what lies in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<LearnedFile>,
    /// What could not be learned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// What the emulated card still answered otherwise while learning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

impl Learned {
    /// The file at a place.
    pub fn file(&self, path: &Path) -> Option<&LearnedFile> {
        self.files.iter().find(|file| file.path == *path)
    }
}

/// An application that SELECT finds by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Its whole AID.
    pub aid: Octets,
    /// What it answers to SELECT, where it has no files; with files it is their control parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fci: Option<Octets>,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedFile {
    /// Where it lies.
    pub path: Path,
    /// File control parameters, the whole answer to SELECT.
    pub fcp: Octets,
    /// Content of a transparent EF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Octets>,
    /// Records; one that could not be read is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<Octets>>,
    /// The status word that refused reading without a PIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Octets>,
    /// Who may read, where the access rules that the card shows do not say what it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<ReadAccess>,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadAccess {
    /// Everybody.
    Always,
    /// Nobody.
    Never,
}

/// A PIN or key, as far as the card tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedPin {
    /// Key reference.
    pub reference: Octets,
    /// The directory that it belongs to.
    pub at: Path,
    /// Whether it is asked for.
    pub enabled: bool,
    /// Tries left.
    pub tries: u8,
    /// Tries left of its PUK, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub puk_tries: Option<u8>,
    /// Its value, eight octets as VERIFY PIN sends them. No card tells it: who wrote the description does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<KnownCode>,
    /// The value of its PUK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub puk_code: Option<KnownCode>,
}

/// The value of a PIN, PUK or key, as VERIFY PIN sends it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct KnownCode(pub Octets);

impl<'de> Deserialize<'de> for KnownCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = Octets::deserialize(deserializer)?;
        if code.0.len() == 8 {
            Ok(Self(code))
        } else {
            Err(D::Error::custom("wants eight octets, as VERIFY PIN sends them"))
        }
    }
}

impl fmt::Debug for KnownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownCode(…)")
    }
}

/// Where a card says and does otherwise than the standard card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnedDialect {
    /// How it finds and shows files.
    pub habits: Vec<String>,
    /// Rows by command, asked in their order.
    pub rules: Vec<String>,
}

/// How long commands of an instruction took, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Instruction.
    pub ins: Octets,
    /// How many there were.
    pub commands: u32,
    /// Half of them were faster.
    pub median: u32,
    /// One in twenty was slower.
    pub p95: u32,
}

/// What could not be learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// What.
    pub what: String,
    /// How it can be supplied.
    pub supply: String,
}

/// What the emulated card answers otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The situation.
    pub probe: String,
    /// The command.
    pub command: Octets,
    /// What the card answered, response by response.
    pub card: Vec<Octets>,
    /// What the emulated one answers.
    pub emulated: Vec<Octets>,
}
