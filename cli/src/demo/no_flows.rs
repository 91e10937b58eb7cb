//! In place of the demo's flows, in a build without them.

use std::ffi::OsString;
use std::fmt::Display;

use clap::Args;
use demo::Run;

use crate::absent::refusal;
use crate::failure::Failure;
use crate::output::Output;

pub(super) const EXAMPLES: &str = "
  scripts/demo companion-download
      a flow of phone, watch and operator, which this build leaves out: builds all of vuicc first";

pub(super) fn variables() -> String {
    String::new()
}

#[derive(Debug, Args)]
pub(super) struct FlowArguments {
    /// A flow between devices and operator: not in this build
    #[arg(id = "flow", value_name = "FLOW", hide = true)]
    flow: Option<OsString>,
    /// List the flows: not in this build
    #[arg(long, conflicts_with = "flow", hide = true)]
    list: bool,
    /// A variant of the flow
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true, value_name = "VARIANT")]
    variants: Vec<OsString>,
}

impl FlowArguments {
    pub(super) fn list(&self, _: Output) -> Result<bool, Failure> {
        if self.list {
            return Err(refusal("demo --list"));
        }
        Ok(false)
    }

    pub(super) fn play<'a>(&self, run: Run<'a>, _: bool) -> Result<Option<Run<'a>>, Failure> {
        if self.flow.is_some() || !self.variants.is_empty() {
            return Err(refusal("demo FLOW"));
        }
        Ok(Some(run))
    }
}

pub(super) fn next_steps(_: &impl Display) -> String {
    "
  scripts/demo companion-download
      a phone gets a profile for a watch, from an operator; builds the rest of vuicc first
  scripts/demo --list
      seven more stories of phone, watch and operator, from the same build"
        .to_owned()
}
