//! `vuicc generate`: man pages and shell completions, made of the command line itself; and what of this program others can
//! use: a dissector for Wireshark.

use std::path::{Path, PathBuf};

use clap::{CommandFactory, Subcommand};
use clap_complete::Shell;
use console::exit;
use serde_json::json;

use crate::failure::{AtPath, Failure};
use crate::file::{Readers, put};
use crate::output::Output;
use crate::{Cli, Context, dissector, file};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a man page for each command
    #[command(after_help = "\
Example:
  vuicc generate man ~/.local/share/man/man1 && man vuicc-card-new")]
    Man {
        /// The folder to write them to; it is made if it is missing
        #[arg(value_name = "DIR", value_parser = file::not_stdout)]
        folder: PathBuf,
    },
    /// Print what a shell needs to complete commands and options
    #[command(after_help = "\
Examples:
  source <(vuicc generate completions bash)
      in ~/.bashrc
  vuicc generate completions zsh > ~/.zfunc/_vuicc
  vuicc generate completions fish > ~/.config/fish/completions/vuicc.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a dissector for Wireshark, in Lua: APDUs in GSMTAP, and what they mean
    #[command(after_help = "\
Examples:
  vuicc generate dissector > ~/.local/lib/wireshark/plugins/vuicc.lua
      for each start of Wireshark and tshark
  vuicc generate dissector > vuicc.lua
      for tshark -X lua_script:vuicc.lua -r trace.pcapng")]
    Dissector,
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Man { folder } => {
            let pages = man(folder)?;
            context.output.json(&json!({ "folder": folder, "pages": pages }))?;
            Ok(context.output.text(format_args!("{pages} man pages in {}", folder.display()))?)
        }
        Command::Dissector => script(context.output, dissector::script().trim_end()),
        Command::Completions { shell } => script(context.output, completions(*shell).trim_end()),
    }
}

/// Prints a script as it is, or within an object.
fn script(output: Output, text: &str) -> Result<(), Failure> {
    if output.is_json() {
        return Ok(output.json(&json!({ "script": text }))?);
    }
    Ok(output.drawing(text)?)
}

/// Returns how many pages were written.
fn man(folder: &Path) -> Result<usize, Failure> {
    std::fs::create_dir_all(folder).at("make the folder", folder)?;
    // They are laid out elsewhere, so that each appears whole.
    let made = tempfile::tempdir()?;
    clap_mangen::generate_to(whole(), &made).at("write man pages to", made.path())?;
    let mut pages = 0;
    for page in std::fs::read_dir(&made)? {
        let page = page?;
        let text = std::fs::read_to_string(page.path())?;
        put(&folder.join(page.file_name()), laid_out(&text).as_bytes(), Readers::Everybody, "the page")?;
        pages += 1;
    }
    Ok(pages)
}

/// Examples under their name, and as they are typed: neither stretched to both margins nor hyphenated.
fn laid_out(page: &str) -> String {
    let page = page.replace(".SH EXTRA\n", ".SH EXAMPLES\n.ad l\n.nh\n");
    // The first page has them in its examples.
    if page.contains("Exit codes:") {
        return page;
    }
    let codes = exit::TABLE.iter().map(|row| format!(".TP\n\\fB{}\\fR\nThe command {}.\n", row.code, row.meaning));
    format!("{}\n.SH \"EXIT STATUS\"\n{}", page.trim_end(), codes.collect::<String>())
}

fn completions(shell: Shell) -> String {
    let mut octets = Vec::new();
    clap_complete::generate(shell, &mut whole(), "vuicc", &mut octets);
    String::from_utf8_lossy(&octets).into_owned()
}

/// The command line as pages show it: the version alone, so that they are the same for each build of a release.
fn whole() -> clap::Command {
    Cli::command().version(env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use std::process;

    use clap::ValueEnum;

    use super::*;

    /// Names of pages, and whether there are none below.
    fn commands(command: &clap::Command, name: &str, found: &mut Vec<(String, bool)>) {
        found.push((name.to_owned(), !command.has_subcommands()));
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            commands(sub, &format!("{name}-{}", sub.get_name()), found);
        }
    }

    /// Each command has its page, with its options and its examples.
    #[test]
    fn every_command_has_a_man_page() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("man/man1");
        let pages = man(&folder).unwrap();
        let mut names = Vec::new();
        commands(&whole(), "vuicc", &mut names);
        assert_eq!(pages, names.len());
        assert!(names.len() > 60, "{names:?}");
        for (name, is_last) in names {
            let page = std::fs::read_to_string(folder.join(format!("{name}.1"))).unwrap_or_default();
            assert!(page.starts_with(".ie") || page.contains(".TH"), "{name}: {page}");
            assert!(!is_last || page.contains("Example"), "{name} has no example");
        }
        let page = std::fs::read_to_string(folder.join("vuicc-card-new.1")).unwrap();
        assert!(page.contains("\\-\\-subscriber") && page.contains("\n.SH EXAMPLES\n.ad l\n"), "{page}");
        assert!(page.contains("EXIT STATUS") && page.contains("\n\\fB7\\fR\nThe command ran out of time"), "{page}");
        let page = std::fs::read_to_string(folder.join("vuicc.1")).unwrap();
        assert!(page.contains(env!("CARGO_PKG_VERSION")) && !page.contains("debug build"), "{page}");
    }

    /// A file where the folder belongs is named.
    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let Err(Failure::Because(text)) = man(&file.path().join("man1")) else { panic!() };
        assert!(text.contains("man1"), "{text}");
    }

    #[test]
    fn shells_complete_commands_and_options() {
        for shell in Shell::value_variants() {
            let script = completions(*shell);
            // Options of commands below commands, clap_complete does not tell fish.
            let words = ["subscriber", "download", "matching-id"];
            for word in words.iter().take(if *shell == Shell::Fish { 2 } else { 3 }) {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }

    /// bash itself completes `vuicc card n`.
    #[test]
    #[expect(clippy::print_stderr, reason = "what is skipped is said")]
    fn bash_takes_its_script() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("vuicc");
        std::fs::write(&script, completions(Shell::Bash)).unwrap();
        let ask =
            "source \"$1\"; COMP_WORDS=(vuicc card n); COMP_CWORD=2; _vuicc vuicc n card; echo \"${COMPREPLY[*]}\"";
        match process::Command::new("bash").args(["--norc", "-c", ask, "bash"]).arg(&script).output() {
            Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "new"),
            Err(missing) => eprintln!("skipped: no bash: {missing}"),
        }
    }
}
