//! What modems in the field do otherwise, as data: each a name, what it does, and where that is known from.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a modem does otherwise than TS 27.007 and this crate's modem. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// What it is, in a sentence.
    pub summary: String,
    /// Where it is known from: repository and number of an issue or a change.
    pub sources: Vec<String>,
    /// How lines of information are written, by the name of their command.
    pub answers: BTreeMap<String, Shape>,
    /// Commands that are not known: `ERROR` in every form.
    pub unknown: Vec<String>,
    /// Commands whose test form `=?` gets `ERROR`.
    pub no_test: Vec<String>,
    /// Commands that fail, each with the number of its `+CME ERROR`.
    pub fails: BTreeMap<String, u16>,
    /// How errors are told, whatever the program asked for with `+CMEE`.
    pub errors: Option<ErrorForm>,
    /// Words of its own for a `+CME ERROR`, by number.
    pub words: BTreeMap<String, String>,
    /// What an unknown command gets instead of `ERROR`.
    pub unknown_command: Option<String>,
    /// What sessions are called.
    pub sessions: SessionForm,
    /// Whether the modem fetches the response that `61XX` announces, in `+CSIM` and `+CGLA`.
    pub get_response: bool,
    /// The `+CME ERROR` of a `+CSIM` on a logical channel other than 0.
    pub csim_channels: Option<u16>,
    /// Octets of the longest command line; a longer one gets `ERROR`.
    pub line_limit: Option<usize>,
    /// How many seconds after its start the card is busy.
    pub busy_seconds: u64,
    /// How many seconds after its start the modem answers nothing.
    pub silent_seconds: u64,
    /// Whether the `F` that fills up an ICCID of 19 digits is shown.
    pub iccid_filler: bool,
    /// How the toolkit is spoken of.
    pub toolkit: ToolkitForm,
}

/// How lines of information of one command are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shape {
    /// What stands before the values.
    pub prefix: Prefix,
    /// Whether quotes are left out.
    pub unquoted: bool,
    /// Whether hexadecimal digits are small.
    pub lowercase: bool,
    /// A line besides.
    pub also: Option<String>,
}

/// What stands before the values of a line of information.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prefix {
    /// The command's name, a colon and a space.
    #[default]
    Spaced,
    /// Without the space.
    Tight,
    /// Nothing.
    None,
}

/// How errors are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorForm {
    /// `ERROR`, always.
    Plain,
    /// By number, always.
    Number,
    /// In words, always.
    Words,
}

/// What sessions are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionForm {
    /// The number of their logical channel.
    #[default]
    Channel,
    /// A handle of sixteen hexadecimal digits.
    Handle,
}

/// How a program and the modem speak of the toolkit. The default is TS 27.007 §12.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolkitForm {
    /// The line with a proactive command; `{}` stands for its hexadecimal digits.
    pub command: String,
    /// The line that says that there are no more.
    pub end: String,
    /// The command with a TERMINAL RESPONSE.
    pub response: String,
    /// The command with an ENVELOPE.
    pub envelope: String,
    /// What begins the answer to an ENVELOPE.
    pub envelope_answer: String,
    /// TERMINAL PROFILE with which the program takes part from the start; empty if it has to say so.
    #[serde(with = "hex::serde")]
    pub profile: Vec<u8>,
}

impl Default for ToolkitForm {
    fn default() -> Self {
        Self {
            command: "+CUSATP: {}".to_owned(),
            end: "+CUSATEND".to_owned(),
            response: RESPONSE.to_owned(),
            envelope: ENVELOPE.to_owned(),
            envelope_answer: ENVELOPE.to_owned(),
            profile: Vec::new(),
        }
    }
}

/// Commands of TS 27.007 §12.3.
const RESPONSE: &str = "+CUSATT";
const ENVELOPE: &str = "+CUSATE";

impl ToolkitForm {
    pub(crate) fn command_line(&self, command: &[u8]) -> String {
        self.command.replace("{}", &hex::encode_upper(command))
    }

    pub(crate) fn end_line(&self) -> String {
        self.end.clone()
    }

    /// What TS 27.007 calls a command.
    pub(crate) fn usual_name<'a>(&self, name: &'a str) -> &'a str {
        match name {
            _ if name.eq_ignore_ascii_case(&self.response) => RESPONSE,
            _ if name.eq_ignore_ascii_case(&self.envelope) => ENVELOPE,
            name => name,
        }
    }
}

macro_rules! published {
    ($($name:literal)*) => {
        /// The published ones: name, and description in TOML.
        const PUBLISHED: &[(&str, &str)] = &[$(($name, include_str!(concat!("quirks/", $name, ".toml"))),)*];
    };
}

published! {
    "a7-cpin-nospace"
    "always-error"
    "cchc-echo"
    "ccho-cme13"
    "clck-sim-failure"
    "command-not-support"
    "cpin-silent-boot"
    "dell-dw5821e"
    "eg95-csim-ch1"
    "fibocom-fg132"
    "fibocom-fm350"
    "line-limit-127"
    "modem-gets-response"
    "phonesim"
    "qccid-trailing-f"
    "sierra-em7590"
    "sierra-em9191"
    "sierra-mc7455"
    "sim-busy-10s"
    "sim800-ccid-bare"
    "simcom-a7908"
    "simcom-stk"
}

/// A description that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidQuirks(String);

impl Quirks {
    /// The names of the published ones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PUBLISHED.iter().map(|(name, _)| *name)
    }

    /// The published ones of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::parse(text(name)?).ok()
    }

    /// Reads a description in TOML.
    pub fn parse(text: &str) -> Result<Self, InvalidQuirks> {
        toml::from_str(text).map_err(|error| InvalidQuirks(error.to_string().trim_end().to_owned()))
    }

    /// How lines of a command are written.
    pub(crate) fn shape(&self, command: &str) -> Shape {
        self.answers.get(command).cloned().unwrap_or_default()
    }
}

/// The description of the published ones of this name, in TOML.
pub fn text(name: &str) -> Option<&'static str> {
    PUBLISHED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_ones_say_what_and_where_from() {
        let mut before = "";
        for name in Quirks::names() {
            let quirks = Quirks::parse(PUBLISHED.iter().find(|(known, _)| *known == name).unwrap().1);
            let quirks = quirks.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!quirks.summary.is_empty() && quirks.summary.ends_with('.'), "{name}");
            assert!(!quirks.sources.is_empty(), "{name}");
            let nothing =
                Quirks { summary: quirks.summary.clone(), sources: quirks.sources.clone(), ..Quirks::default() };
            assert_ne!(quirks, nothing, "{name} does nothing");
            assert!(before < name, "{name} is out of order");
            before = name;
        }
        assert_eq!(Quirks::named("nobody"), None);
    }

    #[test]
    fn a_wrong_description_is_refused_with_its_place() {
        let refused = Quirks::parse("summary = 'x'\nsesions = 'handle'\n").unwrap_err().to_string();
        assert!(refused.contains("sesions") && refused.contains("line 2"), "{refused}");
    }
}
