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
    /// What it says: what the command did.
    pub meaning: &'static str,
}

/// All of them, by code.
pub const TABLE: [Row; 8] = [
    Exit::Done.row(),
    Exit::Failed.row(),
    Exit::Usage.row(),
    Exit::Difference.row(),
    Exit::Card.row(),
    Exit::Input.row(),
    Exit::Network.row(),
    Exit::TimedOut.row(),
];

const fn row(exit: Exit, code: u8, name: &'static str, meaning: &'static str) -> Row {
    Row { exit, code, name, meaning }
}

impl Exit {
    /// Its row in the table.
    pub const fn row(self) -> Row {
        match self {
            Self::Done => row(self, 0, "done", "has done what it was asked for"),
            Self::Failed => row(self, 1, "failed", "failed, for a reason without a code of its own"),
            Self::Usage => row(self, 2, "usage", "was given a wrong command line"),
            Self::Difference => row(self, 3, "difference", "found what it compared different: answers, cards"),
            Self::Card => row(self, 4, "card", "found a card or reader missing or in use, or lost it"),
            Self::Input => row(self, 5, "input", "found a script or other input file missing or wrong"),
            Self::Network => row(self, 6, "network", "was refused by a server, or did not reach it"),
            Self::TimedOut => row(self, 7, "timeout", "ran out of time, by its own limit or an option"),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.row().code)
    }
}

/// The table for people, a row a line, each after `indent`.
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
        let page = include_str!("../../docs/json.md");
        for row in TABLE {
            let line = format!("| {} | `{}` | {} |", row.code, row.name, row.meaning);
            assert!(page.contains(&line), "docs/json.md lacks {line}");
        }
        assert!(table("  ").lines().all(|line| line.starts_with("  ") && line.len() < 80));
    }
}
