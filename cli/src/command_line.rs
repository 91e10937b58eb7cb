//! The command line: errors in clap's words, without control characters and secrets from the arguments.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command, Error, Parser};

use crate::output::{Output, steers, within_a_line};
use crate::{failure, spared};

/// Options whose values are PINs, keys, or may contain some.
const SECRET: [&str; 4] = ["--apdu", "--set", "--pin", "--confirmation-code"];

/// Parses the command line, and refuses one that would write over what lasts. On an error, or for help, prints it; the exit code
/// is left to return.
pub(crate) fn read<P: Parser>() -> Result<P, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let is_json = arguments.iter().any(|argument| argument == "--json");
    let parsed = parse::<P>(&arguments).map_err(|error| {
        let error = harmless::<P>(error, &arguments);
        if error.use_stderr() && is_json {
            failure::report_usage(Output::new(true), &message_of(&error), tip_of(&error).as_deref());
        }
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    });
    let (command_line, matches) = parsed?;
    spared::check(&P::command(), &matches).map_err(|failure| failure.report(Output::new(is_json)))?;
    Ok(command_line)
}

fn parse<P: Parser>(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<(P, ArgMatches), Error> {
    let matches = with_negative_numbers(P::command()).try_get_matches_from(arguments).map_err(plain)?;
    let command_line = P::from_arg_matches(&matches).map_err(|error| error.format(&mut P::command()))?;
    Ok((command_line, matches))
}

/// So that `-1` behind an option is its value, which is refused as such, and no unknown option.
fn with_negative_numbers(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let takes_one = argument.get_long().is_some() && argument.get_action().takes_values();
        if takes_one { argument.allow_negative_numbers(true) } else { argument }
    });
    command.mut_subcommands(with_negative_numbers)
}

/// Without what an error must not repeat, and without advice that is wrong: no command has a use for an unknown option as a
/// value.
fn plain(mut error: Error) -> Error {
    if error.kind() == ErrorKind::UnknownArgument {
        let _ = error.remove(ContextKind::Suggested);
    }
    let is_secret = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => SECRET.iter().any(|secret| {
            option.strip_prefix(secret).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '=']))
        }),
        _ => false,
    };
    if is_secret && error.get(ContextKind::InvalidValue).is_some() {
        let _ = error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    error
}

/// The first paragraph of what clap says, without the usage that follows it.
fn message_of(error: &Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or(&text);
    within_a_line(first.strip_prefix("error: ").unwrap_or(first).trim_end())
}

/// What clap advises.
fn tip_of(error: &Error) -> Option<String> {
    let text = error.render().to_string();
    text.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")).map(within_a_line)
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
    match parse::<P>(arguments.iter().map(|argument| escaped(argument))) {
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

    fn told(arguments: &[&str]) -> (Error, String) {
        let arguments: Vec<OsString> = core::iter::once(&"vuicc").chain(arguments).map(Into::into).collect();
        let error = harmless::<Cli>(parse::<Cli>(&arguments).unwrap_err(), &arguments);
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

    /// A PIN is not repeated because a digit is missing.
    #[test]
    fn secrets_are_not_repeated() {
        for arguments in [
            &["apdu", "run", "x", "--set", "pin=3132373839363738F"][..],
            &["apdu", "run", "x", "--set", "3132373839363738"],
        ] {
            let (error, text) = told(arguments);
            assert!(text.contains("'…'") && !text.contains("3738"), "{text}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    /// Advice that leads nowhere is none; what there is reaches programs as well.
    #[test]
    fn advice_is_right() {
        let (_, number) = told(&["smdp", "profile", "order", "--expires-in", "-1"]);
        assert!(number.contains("invalid value '-1' for '--expires-in"), "{number}");
        let (_, unknown) = told(&["card", "run", "a.img", "--clock", "+1d"]);
        assert!(unknown.contains("'--clock'") && !unknown.contains("-- --clock"), "{unknown}");
        let (near, text) = told(&["card", "neww"]);
        assert_eq!(tip_of(&near).as_deref(), Some("a similar subcommand exists: 'new'"), "{text}");
        assert_eq!(message_of(&near), "unrecognized subcommand 'neww'");
        assert_eq!(tip_of(&told(&["card", "new"]).0), None);
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
