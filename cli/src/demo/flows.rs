//! The demo's flows of phone, watch and operator.

use console::Exit;
use std::fmt::Display;
use std::path::Path;

use clap::Args;
use demo::Run;
use demo::flow::{self, Flow, Options, Surroundings};

use crate::failure::Failure;
use crate::operator::provision::{self, ACTOR};
use crate::operator::state;
use crate::output::Output;
use crate::qr;
use crate::subscriber::invent;

/// Examples, behind those of the demo without a flow.
pub(super) const EXAMPLES: &str = "
  vuicc demo --list
      which stories there are of phone, watch and operator
  vuicc demo --in-process companion-download --proof sim --chart chart.mmd
      one of them, the phone proved by EAP-SIM, with a sequence chart
  vuicc demo unbind --pairing bluetooth --hci HOST:9001 --hci HOST:9002
      one over Bluetooth, with two controllers
  vuicc demo --in-process one-device --then bash
      a shell in which operator and SM-DP+ still run";

/// What the flows add to the end of the help.
pub(super) fn variables() -> String {
    format!("\n\n{}", flow::VARIABLES)
}

#[derive(Debug, Args)]
pub(super) struct FlowArguments {
    /// A flow between devices and operator, instead of the profile's life cycle: see `--list`
    #[arg(value_enum, id = "flow", value_name = "FLOW", hide_possible_values = true)]
    flow: Option<Flow>,
    /// List the flows
    #[arg(long, conflicts_with = "flow")]
    list: bool,
    #[command(flatten)]
    options: Options,
}

impl FlowArguments {
    /// Lists the flows, if that is wanted.
    pub(super) fn list(&self, output: Output) -> Result<bool, Failure> {
        if self.list {
            flow::list(output)?;
        }
        Ok(self.list)
    }

    /// Plays the flow that was chosen. Without one, the run is returned for the demo without a flow.
    pub(super) fn play<'a>(&self, run: Run<'a>, is_traced: bool) -> Result<Option<Run<'a>>, Failure> {
        let Some(flow) = self.flow else { return Ok(Some(run)) };
        if is_traced {
            return Err(
                Failure::because("--trace is for the demo without a flow; a flow has --chart").with(Exit::Usage)
            );
        }
        flow::run(flow, &self.options, run)?;
        Ok(None)
    }
}

/// What the flows share with other commands.
pub(super) fn surroundings() -> Surroundings {
    Surroundings {
        actor: ACTOR,
        operator_files: (state::DATABASE, state::MASTER_KEY),
        invent: invent::usual,
        subscription: |subscriber, status| provision::subscription(subscriber, status, false),
        scanned: |text: &str, picture: &Path| {
            qr::write(&qr::of(text)?, picture)?;
            qr::scan(picture)
        },
    }
}

/// What to try after the demo without a flow.
pub(super) fn next_steps(program: &impl Display) -> String {
    format!(
        "
  {program} demo --in-process companion-download
      a phone gets a profile for a watch, from an operator
  {program} demo --list
      seven more stories of phone, watch and operator"
    )
}
