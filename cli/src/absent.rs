//! Commands that this build leaves out, and how to get them: the features in `Cargo.toml`.

use std::ffi::OsString;

use clap::Args;
use console::Exit;

use crate::failure::Failure;

/// Whatever follows the name of a command that is not there.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// As in a build that has the command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true, value_name = "ARGUMENT")]
    rest: Vec<OsString>,
}

/// The failure of such a command: as of every command line that is wrong.
pub(crate) fn refusal(command: &str) -> Failure {
    Failure::because(format!(
        "this build has no `vuicc {command}`: build it with the feature `operator`, as `cargo build -p vuicc` does"
    ))
    .with(Exit::Usage)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{Cli, Command};

    /// Whatever they are given, what is said is that they are not there.
    #[test]
    fn commands_that_are_absent_are_known() {
        for line in ["operator", "operator serve --only radius", "operator --help", "device primary --card a.img pair"]
        {
            let parsed = Cli::try_parse_from(["vuicc"].into_iter().chain(line.split(' ')));
            let parsed = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(matches!(parsed.command, Command::Operator(_) | Command::Device(_)), "{line}");
        }
        assert_eq!(refusal("operator").exit(), Exit::Usage);
    }
}
