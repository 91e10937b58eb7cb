//! Commands that this build leaves out, and how to get them: the features in `Cargo.toml`.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Args, Error};

/// Whatever follows the name of a command that is not there.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// As in a build that has the command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true, value_name = "ARGUMENT")]
    rest: Vec<OsString>,
}

/// Ends the program, as every command line does that is wrong.
pub(crate) fn refuse(command: &str) -> ! {
    refusal(command).exit()
}

fn refusal(command: &str) -> Error {
    let text = format!(
        "this build has no `vuicc {command}`: build it with the feature `operator`, as `cargo build -p vuicc` does"
    );
    Error::raw(ErrorKind::InvalidSubcommand, text + "\n")
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
        let error = refusal("operator");
        assert_eq!(error.exit_code(), 2);
        let text = error.render().to_string();
        assert!(text.starts_with("error: this build has no `vuicc operator`: ") && text.lines().count() == 1, "{text}");
    }
}
