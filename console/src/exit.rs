//! What the exit code of a command says: one table, for programs, help, pages and errors.

use std::fmt::Write as _;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It has done what it was asked for.
    Done,
    /// It failed for a reason that has no code of its own.
    Failed,
    /// The command line is wrong.
    Usage,
    /// Two things that are compared differ.
    Difference,
    /// A card or a reader is not there, in use, or gone.
    Card,
    /// An input file is wrong.
    Input,
    /// A server or the network.
    Network,
    /// A time limit.
    TimedOut,
}

/// One way to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// How.
    pub exit: Exit,
    /// The exit code.
    pub code: u8,
    /// Its name in JSON.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

/// All of them, by code.
pub const TABLE: [Row; 8] = [
    row(Exit::Done, 0, "done", "the command has done what it was asked for"),
    row(Exit::Failed, 1, "failed", "it failed, for a reason that has no code of its own"),
    row(Exit::Usage, 2, "usage", "the command line is wrong"),
    row(
        Exit::Difference,
        3,
        "difference",
        "what was compared differs: a script from the card's answers, a card from another",
    ),
    row(Exit::Card, 4, "card", "a card or a reader is not there, is in use, or was lost"),
    row(Exit::Input, 5, "input", "a script or another input file is missing or wrong"),
    row(Exit::Network, 6, "network", "a server refused or failed, or was not reached"),
    row(Exit::TimedOut, 7, "timeout", "a time limit elapsed"),
];

const fn row(exit: Exit, code: u8, name: &'static str, meaning: &'static str) -> Row {
    Row { exit, code, name, meaning }
}

impl Exit {
    /// Its row in the table.
    pub const fn row(self) -> Row {
        let [done, failed, usage, difference, card, input, network, timed_out] = TABLE;
        match self {
            Self::Done => done,
            Self::Failed => failed,
            Self::Usage => usage,
            Self::Difference => difference,
            Self::Card => card,
            Self::Input => input,
            Self::Network => network,
            Self::TimedOut => timed_out,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.row().code)
    }
}

/// The table for people, a row a line, each line after `indent`.
pub fn table(indent: &str) -> String {
    TABLE.iter().fold(String::new(), |mut text, row| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{indent}{}  {:<10}  {}", row.code, row.name, row.meaning);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts of users depend on every number and name.
    #[test]
    fn codes_and_names_stay() {
        let told: Vec<_> = TABLE.iter().map(|row| (row.code, row.name)).collect();
        let names = ["done", "failed", "usage", "difference", "card", "input", "network", "timeout"];
        assert_eq!(told, (0..).zip(names).collect::<Vec<(u8, _)>>());
        for row in TABLE {
            assert_eq!(row.exit.row(), row);
        }
        assert!(table("  ").lines().all(|line| line.starts_with("  ") && line.len() < 100));
    }
}
