//! The command line: errors in clap's words, without control characters from the arguments.

use std::ffi::{OsStr, OsString};

use clap::{Error, Parser};

use crate::failure;
use crate::output::{Output, steers, within_a_line};

/// Parses the command line. On an error, or for help, prints it and exits.
pub(crate) fn read<P: Parser>() -> P {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    P::try_parse_from(&arguments).unwrap_or_else(|error| {
        let error = harmless::<P>(error, &arguments);
        if error.use_stderr() && arguments.iter().any(|argument| argument == "--json") {
            failure::report_usage(Output::new(true), &message_of(&error));
        }
        error.exit()
    })
}

/// The first paragraph of what clap says, without the usage that follows it.
fn message_of(error: &Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or(&text);
    within_a_line(first.strip_prefix("error: ").unwrap_or(first).trim_end())
}

/// The same error, for arguments in printable characters.
///
/// clap formats its messages with its own line breaks and colours, among which those from an argument cannot be told
/// apart. So the arguments are escaped and parsed again.
fn harmless<P: Parser>(error: Error, arguments: &[OsString]) -> Error {
    let all_are_printable = !arguments.iter().any(|argument| argument.to_string_lossy().contains(steers));
    if !error.use_stderr() || (all_are_printable && is_harmless(&error)) {
        return error;
    }
    match P::try_parse_from(arguments.iter().map(|argument| escaped(argument))) {
        Err(same) if same.kind() == error.kind() && is_harmless(&same) => same,
        // Escaped it is valid, or wrong in another way; or the fault is in the environment.
        _ => Error::raw(error.kind(), format!("{}\n", told_in_a_line(&error))).with_cmd(&P::command()),
    }
}

/// Line breaks are clap's own if no argument contains any.
fn is_harmless(error: &Error) -> bool {
    !error.render().to_string().contains(|character| steers(character) && character != '\n')
}

fn escaped(argument: &OsStr) -> OsString {
    let text = argument.to_string_lossy();
    let escape = |character: char| {
        if steers(character) { character.escape_default().to_string() } else { character.to_string() }
    };
    text.chars().map(escape).collect::<String>().into()
}

fn told_in_a_line(error: &Error) -> String {
    let text = error.render().to_string();
    within_a_line(text.strip_prefix("error: ").unwrap_or(&text).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::error::ErrorKind;

    fn told(arguments: &[&str]) -> (Error, String) {
        let arguments: Vec<OsString> = core::iter::once(&"vuicc").chain(arguments).map(Into::into).collect();
        let error = harmless::<Cli>(Cli::try_parse_from(&arguments).unwrap_err(), &arguments);
        let text = error.render().to_string();
        (error, text)
    }

    /// Values, names of options and commands, parser messages about a value: each stays within its line and is
    /// printable.
    #[test]
    fn what_an_argument_holds_does_not_steer_the_terminal() {
        let evil = "a\u{9b}31m\nerror: forged\r\x1b[2J\t\u{202E}x\u{2028}";
        let shown = r"a\u{9b}31m\nerror: forged\r\u{1b}[2J\t\u{202e}x\u{2028}";
        let code = format!("LPA:1${evil}$M");
        let with_a_name = format!("{evil}=127.0.0.1");
        let option = format!("--{evil}");
        for arguments in [
            &["lpa", "profile", "download", &code][..],
            &["lpa", "profile", "download", "--smdp", evil],
            &["lpa", "profile", "discover", "--smds", evil],
            &["lpa", "profile", "enable", evil],
            &["lpa", "profile", "nickname", evil],
            &["lpa", "notification", "remove", evil],
            &["lpa", "profile", "list", "--connect", &with_a_name],
            &["lpa", "chip", "default-smdp", evil],
            &["smdp", "profile", "show", evil],
            &["card", "new", "--type", evil, "x"],
            &["card", "new", "--eid", evil, "x"],
            &["lpa", &option],
            &[evil],
        ] {
            let (error, text) = told(arguments);
            assert!(is_harmless(&error), "{text:?}");
            assert!(text.contains(shown), "{text}");
            assert!(!text.lines().any(|line| line.starts_with("error: forged")), "{text}");
            assert_eq!(text.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{text}");
            assert_eq!(error.exit_code(), 2);
            assert!(text.contains("--help"), "{text}");
        }
    }

    /// Arguments that become valid when escaped are reported in one line; a trailing line feed can be such a case.
    #[test]
    fn what_only_the_characters_make_wrong() {
        let arguments = ["vuicc", "reader", "wait", "--timeout", "1\u{9b}\n"].map(OsString::from);
        let raw = Error::raw(ErrorKind::ValueValidation, "invalid value '1\u{9b}\nerror: forged'");
        let told = harmless::<Cli>(raw, &arguments[..3]);
        let text = told.render().to_string();
        assert!(text.starts_with("error: invalid value '1 error: forged'\n"), "{text:?}");
        assert_eq!((text.matches("error").count(), told.exit_code()), (2, 2), "{text}");
    }

    #[test]
    fn what_needs_no_escaping_stays_as_clap_says_it() {
        let arguments = ["vuicc", "lpa", "profile", "enable", "x"].map(OsString::from);
        let as_clap_says = Cli::try_parse_from(&arguments).unwrap_err().render().to_string();
        assert_eq!(told(&["lpa", "profile", "enable", "x"]).1, as_clap_says);
        let (help, _) = told(&["lpa", "--help", "\u{9b}"]);
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
    }
}
