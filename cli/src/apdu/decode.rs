//! `vuicc apdu decode`: explains a recorded session, or single APDUs.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use capture::{Event, What};
use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args};
use console::Exit;
use crypto::key_log::KeyLog;
use decode::{Decoded, Decoder, Text, Topic};

use crate::failure::{AtPath, Failure};
use crate::{Context, hexadecimal};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "options")]
#[command(group = ArgGroup::new("input").required(true))]
pub(crate) struct Arguments {
    /// A recorded session: a trace as text or JSON lines, a log of lpac or pySim, packets of GSMTAP; `-` is stdin
    #[arg(value_name = "FILE", group = "input")]
    file: Option<PathBuf>,
    /// A command, or a command and its response, in hexadecimal; repeat for more, which follow each other on one card
    #[arg(long = "apdu", value_name = "COMMAND[:RESPONSE]", group = "input")]
    apdus: Vec<String>,
    /// A line for each event, without its fields
    #[arg(long, conflicts_with = "whole")]
    brief: bool,
    /// Long values in full, and the header of every command
    #[arg(long)]
    whole: bool,
    /// Only what is about this; repeat for more
    #[arg(long, value_name = "TOPIC", value_parser = PossibleValuesParser::new(Topic::ALL.map(Topic::name)))]
    only: Vec<String>,
    /// Only what the card refused, or reported as failed
    #[arg(long)]
    failed: bool,
    /// Open bound profile packages with the session keys in FILE, which `--keylog` of a card or an SM-DP+ wrote
    #[arg(long, value_name = "FILE")]
    keylog: Option<PathBuf>,
    /// Show PINs, and the keys and codes in profiles
    #[arg(long)]
    secrets: bool,
}

/// A command and its response; none if it is not known.
fn exchange(text: &str) -> Result<Event, String> {
    let (command, response) =
        text.split_once(':').map_or((text, None), |(command, response)| (command, Some(response)));
    let octets = |text| hexadecimal::parse(text).map_err(|_| "no hexadecimal; write two digits per byte".to_owned());
    let command = octets(command)?;
    if command.len() < 4 {
        return Err("a command has four octets at least".to_owned());
    }
    if response.is_some_and(|response| response.contains(':')) {
        return Err("COMMAND:RESPONSE: one colon, between a command and its response".to_owned());
    }
    let response = response.map(octets).transpose()?.unwrap_or_default();
    if response.len() == 1 {
        return Err("a response has two octets of status word at least".to_owned());
    }
    Ok(Event::exchange(command, response))
}

impl Arguments {
    fn events(&self) -> Result<Vec<Event>, Failure> {
        let Some(path) = &self.file else {
            // Not while options are read: what they say of a value quotes it, with the PIN in it.
            let read = |(at, text): (usize, &String)| {
                exchange(text)
                    .map_err(|cause| Failure::because(format!("--apdu {}: {cause}", at + 1)).with(Exit::Usage))
            };
            return self.apdus.iter().enumerate().map(read).collect();
        };
        let mut bytes = Vec::new();
        if path == Path::new("-") {
            std::io::stdin().read_to_end(&mut bytes)?;
        } else {
            bytes = std::fs::read(path).at("read the recording", path)?;
        }
        let session = capture::read(&bytes).map_err(|error| {
            Failure::because(format!("cannot decode {}: {error}", path.display())).with(Exit::Input)
        })?;
        Ok(session.events)
    }

    fn keys(&self) -> Result<KeyLog, Failure> {
        let Some(path) = &self.keylog else { return Ok(KeyLog::default()) };
        let text = std::fs::read_to_string(path).at("read the key log", path)?;
        KeyLog::parse(&text).map_err(|error| Failure::because(format!("{}: {error}", path.display())).with(Exit::Input))
    }

    fn shows(&self, decoded: &Decoded) -> bool {
        let topic = self.only.is_empty() || self.only.iter().any(|only| only == decoded.topic.name());
        topic && (!self.failed || decoded.failed)
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let events = arguments.events()?;
    let mut decoder = Decoder::new().with_secrets(arguments.secrets).with_keys(arguments.keys()?);
    let text = Text { brief: arguments.brief, whole: arguments.whole };
    for event in &events {
        let unanswered =
            arguments.file.is_none() && matches!(&event.what, What::Exchange { response, .. } if response.is_empty());
        let mut explained = decoder.recorded(&event.what);
        if unanswered {
            // Nobody asked a card.
            explained.outcome.clear();
            explained.failed = false;
        }
        if !arguments.shows(&explained) {
            continue;
        }
        context.output.json(&decode::json::event(&explained))?;
        context.output.block(text.write(&explained).trim_end())?;
    }
    Ok(())
}
