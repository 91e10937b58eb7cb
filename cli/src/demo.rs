//! `vuicc demo`: a profile's life cycle, or a flow between devices and operator, step by step, every step checked.

use std::path::{Path, PathBuf};

use clap::Args;
use demo::{Names, Run, Surroundings};

use crate::card::first_port;
use crate::failure::Failure;
use crate::master_key::KeyFile;
use crate::output::Plain;
use crate::server_address::OPERATOR;
use crate::subscriber::invent::SMSC;
use crate::trace::TraceArguments;
use crate::{Context, pki, smdp};

#[cfg_attr(not(feature = "operator"), path = "demo/no_flows.rs")]
mod flows;

const EXAMPLES: &str = "\
Examples:
  scripts/demo
      everything: builds, starts a smart card service, runs the demo
  vuicc demo
      with the pcscd of this machine and its virtual reader
  vuicc demo --in-process
      host and card in one process: no reader, no service, no root
  vuicc demo --keep play
      leaves card, keys and database in `play`, to go on by hand
  vuicc demo --trace demo.apdu
      every APDU, as a script";

const OUTCOME: &str =
    "A run that succeeded says so at its end, and the exit code is 0; otherwise the step and the cause are named.";

#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}{}\n\n{OUTCOME}{}", flows::EXAMPLES, flows::variables()))]
pub(crate) struct Arguments {
    #[command(flatten)]
    flows: flows::FlowArguments,
    /// Run without the virtual reader: the LPA reaches the card inside this process
    #[arg(long)]
    in_process: bool,
    /// Address of the virtual reader's slot [default: this machine, port 35963 or VPCD_PORT]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "in_process")]
    reader: Option<String>,
    /// Keep card image, PKI and database in this new directory
    #[arg(long, value_name = "DIR", value_parser = crate::file::not_stdout)]
    keep: Option<PathBuf>,
    #[command(flatten)]
    trace: TraceArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if arguments.flows.list(context.output)? {
        return Ok(());
    }
    let run = Run {
        surroundings: surroundings(context),
        in_process: arguments.in_process,
        reader: arguments.reader.as_deref(),
        keep: arguments.keep.clone(),
    };
    let Some(run) = arguments.flows.play(run, arguments.trace.is_given())? else { return Ok(()) };
    demo::tour(run, |host| arguments.trace.watch(host))?;
    let program = std::env::args().next().unwrap_or_else(|| "vuicc".to_owned());
    Ok(context.output.block(next_steps(&Plain(program), arguments.keep.as_deref()))?)
}

/// What the demo shares with other commands.
fn surroundings(context: &Context) -> Surroundings {
    Surroundings {
        names: Names { operator: OPERATOR, service_centre: SMSC, smdp_files: (smdp::DATABASE, smdp::MASTER_KEY) },
        output: context.output,
        first_port,
        write_pki: pki::write,
        master_key: |path| KeyFile::new(path.to_owned()).key(),
        #[cfg(feature = "operator")]
        flows: flows::surroundings(),
    }
}

/// What to try after this, as it is typed where `program` was started.
fn next_steps(program: &impl std::fmt::Display, kept: Option<&Path>) -> String {
    let again = match kept {
        Some(_) => String::new(),
        None => format!(
            "
  {program} demo --in-process --keep play
      the same once more, and card, keys and database stay in `play`"
        ),
    };
    let kept = kept.unwrap_or(Path::new("play"));
    let image = quoted(&kept.join("card.img"));
    let state = quoted(kept);
    let flows = flows::next_steps(program);
    format!(
        "
What to try next:{flows}{again}
  {program} lpa --state {state} --card {image} chip info
      the card that was kept; any command works on it: {program} --help"
    )
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|one| one.is_alphanumeric() || "/._-".contains(one));
    Plain(if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }).to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::Cli;

    /// Each command that is recommended is one.
    #[test]
    fn what_is_recommended_can_be_typed() {
        let kept = next_steps(&"vuicc", Some(Path::new("my kept")));
        assert!(
            kept.contains("--state 'my kept' --card 'my kept/card.img'") && !kept.contains("--keep play"),
            "{kept}"
        );
        let text = next_steps(&"vuicc", None);
        let commands: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  vuicc ")).collect();
        assert_eq!(commands.len(), if cfg!(feature = "operator") { 4 } else { 2 }, "{text}");
        for command in commands {
            let parsed = Cli::try_parse_from(["vuicc"].into_iter().chain(command.split(' ')));
            assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
        }
    }
}
