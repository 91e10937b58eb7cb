//! `vuicc`: an emulated SIM and eUICC, its LPA and its SM-DP+, on the command line.
//!
//! This crate only combines the other crates: one module per command, besides [`target`] (which card is meant),
//! [`output`] (text or JSON), [`question`], [`failure`], [`mod@file`] (how files are written), [`spared`] (over what not) and [`state`] (where
//! things are kept).

// All output goes through `output`, which keeps control characters from outside off the terminal.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(feature = "operator"))]
mod absent;
mod apdu;
mod asynchronous;
#[cfg(test)]
#[path = "../build.rs"]
#[expect(dead_code, clippy::print_stdout, reason = "run by Cargo; its reading is tested here")]
mod build_script;
mod card;
mod command_line;
mod demo;
#[cfg(feature = "operator")]
mod device;
mod dissector;
mod element;
mod exit_code;
mod exposure;
mod extcap;
mod fields;
mod fleet;
mod generate;
mod inspect;
mod key_log;
mod log;
mod lpa;
mod master_key;
mod modem;
#[cfg(feature = "operator")]
mod operator;
mod package;
mod pki;
mod qr;
mod question;
mod reader;
mod remsim;
mod repeatable;
mod schema;
mod server_address;
mod smdp;
mod spared;
mod state;
mod subscriber;
mod target;
mod trace;
mod waiting;
mod way_out;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use console::{exit, failure, file, hexadecimal, output, random};

use crate::output::Output;
use crate::state::State;

/// An emulated SIM and eUICC that a host cannot tell from hardware, with LPA, SM-DP+ and operator
#[derive(Debug, Parser)]
#[command(name = "vuicc", version = VERSION, arg_required_else_help = true, after_help = after_help())]
struct Cli {
    /// Print JSON, one object per line, instead of text
    #[arg(long, global = true, help_heading = GENERAL)]
    json: bool,
    /// Directory for databases, keys and the PKI [default: vuicc in XDG_DATA_HOME, else ~/.local/share/vuicc; on macOS
    /// ~/Library/Application Support/vuicc]
    #[arg(long, global = true, value_name = "DIR", value_parser = file::not_stdout, help_heading = GENERAL)]
    state: Option<PathBuf>,
    /// Log to stderr (-v info, -vv debug)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = GENERAL)]
    verbose: u8,
    /// The log format
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = log::Format::Text, help_heading = GENERAL)]
    log: log::Format,
    #[command(subcommand)]
    command: Command,
}

/// Version and commit, from `build.rs`.
const VERSION: &str = env!("VUICC_VERSION");

/// Heading of the options that every command has.
const GENERAL: &str = "General";

const EXAMPLES: &str = "\
Examples:
  vuicc demo --in-process
      everything at once, explained
  vuicc card new my.img
      an eUICC with an EID and keys of its own
  vuicc card run my.img
      in the virtual reader, for any PC/SC program
  vuicc reader list
      which readers are there, and what is in them
  vuicc inspect my.img
      its files and APDUs, in a browser
  vuicc apdu run scripts/apdu/select-mf.apdu
      a first dialogue with a card
  vuicc smdp serve
      a server to download profiles from
  vuicc lpa profile download 'LPA:1$127.0.0.1:8443$…'
      and a profile from it

Every command has examples of its own: vuicc reader list --help";

/// What follows the options: examples, and what exit codes say.
fn after_help() -> String {
    format!("{EXAMPLES}\n\nExit codes: the command…\n{}\nWith --json: docs/json.md, vuicc schema", exit::table("  "))
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Emulated cards: create, insert, inspect
    #[command(subcommand)]
    Card(card::Command),
    /// Subscribers: descriptions for cards, profiles and the operator's register
    #[command(subcommand)]
    Subscriber(subscriber::Command),
    /// Smart card readers
    #[command(subcommand)]
    Reader(reader::Command),
    /// The LPA: the eUICC in a reader or image, its profiles, and new ones for it
    Lpa(lpa::Lpa),
    /// APDU scripts: run, record, compare
    #[command(subcommand)]
    Apdu(apdu::Command),
    /// A page that shows a card: files decoded, APDUs as they pass, profiles, memory; and changes it
    #[command(after_help = inspect::HELP)]
    Inspect(Box<inspect::Arguments>),
    /// An AT modem whose SIM is a card
    #[command(subcommand)]
    Modem(modem::Command),
    /// Fleets: thousands of eUICCs in one process, and load for servers
    #[command(subcommand)]
    Fleet(fleet::Command),
    /// Cards used from elsewhere, as osmo-remsim does it
    #[command(subcommand)]
    Remsim(remsim::Command),
    /// The SM-DP+: the server that profiles are downloaded from
    #[command(subcommand)]
    Smdp(smdp::Command),
    /// The operator: subscriptions, and the servers of its network
    #[cfg(feature = "operator")]
    #[command(subcommand)]
    Operator(operator::Command),
    /// Devices: a phone that gets profiles and shares its number, a watch that receives them
    #[cfg(feature = "operator")]
    #[command(subcommand)]
    Device(device::Command),
    /// The operator: not in this build
    #[cfg(not(feature = "operator"))]
    Operator(absent::Arguments),
    /// Devices: not in this build
    #[cfg(not(feature = "operator"))]
    Device(absent::Arguments),
    /// A guided tour, step by step: a profile from the server to the card, used, and deleted
    Demo(demo::Arguments),
    /// The JSON Schema of what commands print with --json
    #[command(after_help = "\
Examples:
  vuicc schema > vuicc-1.json
  vuicc schema card new
      of one command

Within version 1 objects and fields may be added; none is renamed or removed.")]
    Schema(schema::Arguments),
    /// Man pages and shell completions, made of the command line itself; a dissector for Wireshark
    #[command(subcommand)]
    Generate(generate::Command),
}

impl Command {
    /// Whether it runs until it is interrupted, and is logged as a server.
    fn serves(&self) -> bool {
        match self {
            Self::Smdp(smdp::Command::Serve(_)) => true,
            #[cfg(feature = "operator")]
            Self::Operator(operator::Command::Serve(_)) => true,
            _ => false,
        }
    }
}

fn main() -> ExitCode {
    failure::advise(way_out::of);
    failure::classify(exit_code::of);
    file::guard(spared::kept);
    if let Some(call) = extcap::call() {
        return extcap::run(&call).map_or_else(|failure| failure.report(Output::new(false)), |()| ExitCode::SUCCESS);
    }
    let cli: Cli = match command_line::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    log::start(cli.verbose, cli.log, cli.command.serves());
    let context = Context { output: Output::new(cli.json), state: State::new(cli.state) };
    let outcome = match cli.command {
        Command::Card(command) => card::run(&command, &context),
        Command::Subscriber(command) => subscriber::run(&command, &context),
        Command::Reader(command) => reader::run(&command, &context),
        Command::Lpa(command) => lpa::run(&command, &context),
        Command::Apdu(command) => apdu::run(&command, &context),
        Command::Inspect(arguments) => inspect::run(&arguments, &context),
        Command::Modem(command) => modem::run(&command, &context),
        Command::Fleet(command) => fleet::run(&command, &context),
        Command::Remsim(command) => remsim::run(&command, &context),
        Command::Smdp(command) => smdp::run(&command, &context),
        #[cfg(feature = "operator")]
        Command::Operator(command) => operator::run(&command, &context),
        #[cfg(feature = "operator")]
        Command::Device(command) => device::run(&command, &context),
        #[cfg(not(feature = "operator"))]
        Command::Operator(_) => Err(absent::refusal("operator")),
        #[cfg(not(feature = "operator"))]
        Command::Device(_) => Err(absent::refusal("device")),
        Command::Demo(arguments) => demo::run(&arguments, &context),
        Command::Schema(arguments) => schema::run(&arguments, &context),
        Command::Generate(command) => generate::run(&command, &context),
    };
    match (outcome, output::lost()) {
        (Ok(()), None) => ExitCode::SUCCESS,
        (Ok(()), Some(cause)) => failure::report_lost(context.output, cause),
        (Err(failure), _) => failure.report(context.output),
    }
}

/// What every command gets besides its own arguments.
#[derive(Debug)]
struct Context {
    output: Output,
    state: State,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Two arguments of one name are one argument, whatever their definitions.
    #[test]
    fn no_command_takes_the_name_of_a_general_option() {
        fn visit(command: &clap::Command, general: &[&str], path: &str) {
            let path = format!("{path} {}", command.get_name());
            for argument in command.get_arguments() {
                assert!(!general.contains(&argument.get_id().as_str()), "{path}: --{}", argument.get_id());
            }
            command.get_subcommands().for_each(|sub| visit(sub, general, &path));
        }
        let whole = Cli::command();
        let general: Vec<_> = whole.get_arguments().map(|argument| argument.get_id().as_str()).collect();
        assert!(general.contains(&"state"));
        whole.get_subcommands().for_each(|sub| visit(sub, &general, ""));
    }

    /// In a debug build the commit is left out, and that is said.
    #[test]
    fn the_version_tells_what_was_built() {
        let told = Cli::command().render_version();
        let (program, rest) = told.trim_end().split_once(' ').unwrap();
        let (version, build) = rest.split_once(' ').unwrap_or((rest, ""));
        assert_eq!((program, version), ("vuicc", env!("CARGO_PKG_VERSION")));
        assert!(!cfg!(debug_assertions) || build == "(debug build)", "{told}");
    }

    /// Where there is no Git: a package, an archive, a folder of files.
    #[test]
    fn the_commit_is_found_without_git() {
        let packed = "{\n  \"git\": {\n    \"sha1\": \"0123456789abcdef0123456789abcdef01234567\"\n  },\n  \"path_in_vcs\": \"cli\"\n}";
        assert_eq!(build_script::of_package(packed).as_deref(), Some("0123456789ab"));
        for none in ["", "{}", "{\"git\":{\"sha1\":\"\"}}", "{\"git\":{\"sha1\":\"zzzzzzzzzzzz\"}}", "\"sha1\""] {
            assert_eq!(build_script::of_package(none), None, "{none}");
        }
        assert_eq!(
            build_script::of_archive("# said\n0123456789ab 2026-11-30\n").as_deref(),
            Some("0123456789ab 2026-11-30")
        );
        assert_eq!(build_script::of_archive(include_str!("../commit.txt")), None, "filled in by git archive alone");
        assert_eq!(build_script::of_archive(""), None);
    }

    /// The same option for a database in all commands, and its alias from the first release.
    #[test]
    fn a_database_has_one_name() {
        fn visit(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            for argument in command.get_arguments().filter(|argument| argument.get_long() == Some("database")) {
                assert_eq!(argument.get_all_aliases(), Some(vec!["db"]), "{path}");
                assert_eq!(argument.get_visible_aliases().unwrap_or_default(), Vec::<&str>::new(), "{path}");
            }
            command.get_subcommands().for_each(|sub| visit(sub, &path));
        }
        visit(&Cli::command(), "");
        for command in
            ["smdp serve", "smdp profile list", "smdp notification list", "operator serve", "operator order list"]
        {
            for word in ["--database", "--db"] {
                let arguments = format!("vuicc {command} {word} x.db");
                let parsed = Cli::try_parse_from(arguments.split(' '));
                assert!(parsed.is_ok(), "{arguments}: {}", parsed.unwrap_err());
            }
        }
    }

    /// Of every option that names a file it is known whether it is written.
    #[test]
    fn files_to_write_are_known() {
        const READ: [&str; 14] = [
            "card",
            "codes",
            "secrets",
            "settings",
            "master-key",
            "ci",
            "ca",
            "subscriber",
            "profile",
            "es2-clients",
            "quirks",
            "csv",
            "adm-file",
            "resume",
        ];
        const OTHERS: [&str; 7] = ["eap-sim-db", "scan", "primary-scan", "euicc-card", "from", "like", "link"];
        fn visit(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            for argument in command.get_arguments() {
                let names = argument.get_value_names().unwrap_or_default();
                let is_file =
                    names.iter().any(|name| name.split(['|', ':']).any(|word| matches!(word, "FILE" | "PATH")));
                if let (true, Some(long)) = (is_file, argument.get_long()) {
                    let is_known = [&spared::OUTPUTS[..], &READ, &OTHERS].iter().any(|known| known.contains(&long));
                    assert!(is_known, "{path} --{long}: add it to OUTPUTS in spared.rs if it is written over, or here");
                }
            }
            command.get_subcommands().for_each(|sub| visit(sub, &path));
        }
        visit(&Cli::command(), "");
    }

    /// All listeners are on loopback by default.
    #[test]
    fn what_listens_is_reached_from_this_machine_only() {
        fn visit(command: &clap::Command, path: &str, seen: &mut usize) {
            let path = format!("{path} {}", command.get_name());
            for argument in
                command.get_arguments().filter(|one| one.get_long().is_some_and(|long| long.ends_with("listen")))
            {
                *seen += 1;
                for usual in argument.get_default_values() {
                    let at: Result<std::net::SocketAddr, _> = usual.to_string_lossy().parse();
                    assert!(at.as_ref().is_ok_and(|at| at.ip().is_loopback()), "{path}: {at:?}");
                }
            }
            command.get_subcommands().for_each(|sub| visit(sub, &path, seen));
        }
        let mut seen = 0;
        visit(&Cli::command(), "", &mut seen);
        assert!(seen > 6, "{seen}");
    }

    /// Preformatted lines fit a terminal of 80 columns; the others are left to be wrapped.
    #[test]
    fn examples_are_there_and_fit() {
        fn visit(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(command.has_subcommands() || help.contains("Example"), "{path} has no example");
            let mut before = "";
            for line in help.lines() {
                if line.starts_with(' ') {
                    assert!(line.chars().count() <= 80, "{path}: {line}");
                } else {
                    let follows = !line.is_empty() && !before.is_empty() && !before.starts_with(' ');
                    assert!(!follows, "{path}: broken by hand before: {line}");
                }
                before = line;
            }
            command.get_subcommands().for_each(|sub| visit(sub, &path));
        }
        visit(&Cli::command(), "");
    }

    #[test]
    fn every_command_explains_itself() {
        fn visit(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no description");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {} has no description", argument.get_id());
            }
            command.get_subcommands().for_each(|sub| visit(sub, &path));
        }
        visit(&Cli::command(), "");
    }
}
