//! APDU scripts: a dialogue with a card, written down, replayed, compared.
//!
//! A script is lines of text: `>` a command, `<` the response that is expected, with wildcards, captures and
//! alternatives where cards may differ; conditions on the TLVs of a response, and loops over them. The format is described
//! in `docs/apdu-scripts.md`. [`Scriptor`] reads the files of another program, scriptor.
//!
//! [`Script::parse`] reads one; [`Run`] plays it step by step over any [`Transport`](apdu::Transport);
//! [`Mismatch`] says where a response differs, to the nibble; [`Recorder`] writes a script from what it sees;
//! [`diff`] lays two runs side by side.

mod check;
mod compare;
mod condition;
mod hiding;
mod parse;
mod pattern;
mod record;
mod run;
mod scanner;
mod scriptor;
mod template;
mod variables;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use compare::{Difference, diff};
pub use condition::{Condition, Item, List, Path, Source, Subject};
pub use hiding::Hiding;
pub use parse::ScriptError;
pub use pattern::{Expectation, Mismatch};
pub use record::Recorder;
pub use run::{Done, NoStart, Outcome, Run, RunError};
pub use scriptor::{Scriptor, is_scriptor};
pub use template::{Template, Unfilled};
pub use variables::{SHORTEST_SECRET, Variables};

/// A script, read and checked, its includes in place.
#[derive(Clone, Debug)]
pub struct Script {
    steps: Vec<Step>,
}

impl Script {
    /// Reads a script. `name` stands for it in messages; `resolve` finds what it includes.
    ///
    /// # Errors
    /// [`ScriptError`] with file, line, column, cause and way out: a line is wrong, a block has no end, an include cannot be
    /// read, or there is too much of something; or nothing is done to a card.
    pub fn parse(name: &str, text: &str, resolve: &mut Resolve<'_>) -> Result<Self, ScriptError> {
        parse::script(name, text, resolve)
    }

    /// The names of the secrets it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Secret { name } => Some(name.as_str()),
            _ => None,
        })
    }

    /// What it does, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// Finds an included script, given the name of the including one and the path as written; the error says why not.
pub type Resolve<'a> = dyn FnMut(&str, &str) -> Result<Included, String> + 'a;

/// A script that another one includes.
#[derive(Clone, Debug)]
pub struct Included {
    /// Its name, which stands for it in messages and in further calls of [`Resolve`].
    pub name: String,
    /// Its text.
    pub text: String,
}

/// One thing a script does.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it is written.
    pub location: Location,
    /// The line of the whole script that it belongs to: its own, or that of the outermost `if`, `for` or `include` around it.
    pub outer: usize,
    /// How many `if` and `for` are around it: whether and how often it is played is not known before.
    pub blocks: usize,
    /// What it does.
    pub action: Action,
    /// The comment at the end of its line.
    pub note: Option<String>,
}

/// A line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The script's name.
    pub file: Arc<str>,
    /// Line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// `>`, with the `<` behind it.
    Send {
        /// The command.
        command: Template,
        /// What must come back; `None` if anything may.
        expected: Option<Expectation>,
        /// The time the response should take at most.
        within: Option<Duration>,
    },
    /// `reset`, `reset warm`.
    Reset {
        /// Whether power stays on.
        warm: bool,
    },
    /// `auto`, `raw`.
    Mode(Mode),
    /// `set NAME VALUE`.
    Set {
        /// The variable.
        name: String,
        /// Its value.
        value: Template,
    },
    /// `set NAME from SUBJECT PATH`.
    Take {
        /// The variable.
        name: String,
        /// Where its value is.
        source: Source,
    },
    /// `secret NAME`.
    Secret {
        /// The variable, which the caller must have given.
        name: String,
    },
    /// `expect CONDITION`.
    Expect {
        /// What must be so.
        condition: Condition,
    },
    /// `if CONDITION`.
    If {
        /// If it is so the run goes on behind this step.
        condition: Condition,
        /// The step where it goes on otherwise.
        otherwise: usize,
        /// How many steps are left out if neither this nor any branch before it is played and there is no `else`; `None` where
        /// another branch follows.
        left_out: Option<usize>,
    },
    /// The end of a branch that has others behind it.
    Jump {
        /// The step where the run goes on.
        to: usize,
    },
    /// `for NAME in …`, `for NAME from …`.
    For {
        /// The variable.
        name: String,
        /// Its values.
        list: List,
        /// The step [`Action::Next`] of this loop.
        end: usize,
    },
    /// The `end` of a loop.
    Next {
        /// The step [`Action::For`] of this loop.
        start: usize,
    },
    /// `skip unless PATTERN`: goes on at step `to` if the last response is another.
    SkipUnless {
        /// What the last response must be like.
        expected: Expectation,
        /// Index of the step behind the script (or included script) that the line is in.
        to: usize,
    },
}

impl Action {
    /// Whether a run never tells of it.
    const fn is_quiet(&self) -> bool {
        matches!(
            self,
            Self::Mode(_)
                | Self::Set { .. }
                | Self::Secret { .. }
                | Self::If { .. }
                | Self::Jump { .. }
                | Self::Next { .. }
        )
    }
}

/// What follows `61XX` and `6CXX`: the player, or the script itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The runner: a response is all its data and the last status word.
    #[default]
    Auto,
    /// The script: a response is what the card sent.
    Raw,
}
