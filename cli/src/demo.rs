//! `vuicc demo`: a profile's life cycle, or a flow between devices and operator, step by step, every step checked.

use std::path::{Path, PathBuf};

use clap::Args;
use console::Exit;
use demo::flow::{self, Flow, Options};
use demo::{Names, Run, Surroundings};

use crate::card::first_port;
use crate::failure::Failure;
use crate::master_key::KeyFile;
use crate::operator::provision::{self, ACTOR};
use crate::operator::state;
use crate::output::Plain;
use crate::server_address::OPERATOR;
use crate::subscriber::invent::{self, SMSC};
use crate::trace::TraceArguments;
use crate::{Context, pki, qr, smdp};

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
      every APDU, as a script
  vuicc demo --list
      which stories there are of phone, watch and operator
  vuicc demo --in-process companion-download --proof sim --chart chart.mmd
      one of them, the phone proved by EAP-SIM, with a sequence chart
  vuicc demo unbind --pairing bluetooth --hci HOST:9001 --hci HOST:9002
      one over Bluetooth, with two controllers
  vuicc demo --in-process one-device --then bash
      a shell in which operator and SM-DP+ still run

A run that succeeded says so at its end, and the exit code is 0; otherwise the step and the cause are named.";

#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", flow::VARIABLES))]
pub(crate) struct Arguments {
    /// A flow between devices and operator, instead of the profile's life cycle: see `--list`
    #[arg(value_enum, id = "flow", value_name = "FLOW", hide_possible_values = true)]
    flow: Option<Flow>,
    /// List the flows
    #[arg(long, conflicts_with = "flow")]
    list: bool,
    #[command(flatten)]
    options: Options,
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
    if arguments.list {
        return flow::list(context.output);
    }
    let run = Run {
        surroundings: surroundings(context),
        in_process: arguments.in_process,
        reader: arguments.reader.as_deref(),
        keep: arguments.keep.clone(),
    };
    if let Some(flow) = arguments.flow {
        if arguments.trace.is_given() {
            return Err(
                Failure::because("--trace is for the demo without a flow; a flow has --chart").with(Exit::Usage)
            );
        }
        return flow::run(flow, &arguments.options, run);
    }
    demo::tour(run, |host| arguments.trace.watch(host))?;
    let program = std::env::args().next().unwrap_or_else(|| "vuicc".to_owned());
    Ok(context.output.block(next_steps(&Plain(program), arguments.keep.as_deref()))?)
}

/// What the demo shares with other commands.
fn surroundings(context: &Context) -> Surroundings {
    Surroundings {
        names: Names {
            operator: OPERATOR,
            service_centre: SMSC,
            actor: ACTOR,
            operator_files: (state::DATABASE, state::MASTER_KEY),
            smdp_files: (smdp::DATABASE, smdp::MASTER_KEY),
        },
        output: context.output,
        first_port,
        write_pki: pki::write,
        master_key: |path| KeyFile::new(path.to_owned()).key(),
        invent: invent::usual,
        subscription: |subscriber, status| provision::subscription(subscriber, status, false),
        scanned: |text: &str, picture: &Path| {
            qr::write(&qr::of(text)?, picture)?;
            qr::scan(picture)
        },
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
    format!(
        "
What to try next:
  {program} demo --in-process companion-download
      a phone gets a profile for a watch, from an operator
  {program} demo --list
      seven more stories of phone, watch and operator{again}
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
        assert_eq!(commands.len(), 4, "{text}");
        for command in commands {
            let parsed = Cli::try_parse_from(["vuicc"].into_iter().chain(command.split(' ')));
            assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
        }
    }
}
