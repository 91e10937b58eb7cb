//! `vuicc modem quirks`: published faults of modems; and reading one for `modem run --quirks`.

use std::fmt;
use std::path::Path;

use clap::Args;
use console::Exit;
use modem::Quirks;
use serde::Serialize;

use crate::Context;
use crate::failure::{AtPath, Failure};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print this one as a file of --quirks
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    about: String,
    sources: Vec<String>,
    /// The whole file, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:20}  {}", self.name, self.about)
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if let Some(name) = &arguments.name {
        let text = modem::quirks::text(name).ok_or_else(|| unknown(name))?;
        let Quirks { summary, sources, .. } = Quirks::parse(text)?;
        context.output.json(&Listed { name, about: summary, sources, text: Some(text) })?;
        return Ok(context.output.block(text.trim_end())?);
    }
    for name in Quirks::names() {
        let Some(Quirks { summary, sources, .. }) = Quirks::named(name) else { continue };
        context.output.put(&Listed { name, about: summary, sources, text: None })?;
    }
    Ok(())
}

fn unknown(name: &str) -> Failure {
    Failure::because(format!("there are no quirks `{name}`, and no such file; `vuicc modem quirks` lists them"))
        .with(Exit::Usage)
}

/// The quirks of this name, or in this file.
pub(super) fn read(name: &str) -> Result<Quirks, Failure> {
    if let Some(quirks) = Quirks::named(name) {
        return Ok(quirks);
    }
    let path = Path::new(name);
    if !path.exists() {
        return Err(unknown(name));
    }
    let text = std::fs::read_to_string(path).at("read the quirks in", path)?;
    Quirks::parse(&text)
        .map_err(|error| Failure::because(format!("cannot read the quirks in {name}: {error}")).with(Exit::Input))
}
