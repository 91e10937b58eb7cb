//! Which card a command is about: one in a reader, or an image run inside this process.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use reader_bridge::trace::{Event, JsonTrace, Observer, TextTrace, Tracer};
use reader_bridge::{PcscReader, Transport};

use crate::failure::{AtPath, Failure};

/// The options that choose a card.
#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
    /// The card in this reader: its number, its name or a part of it [default: the first reader with a card]
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
    #[command(flatten)]
    trace: TraceArguments,
}

/// The option that writes down what passes between host and card.
#[derive(Clone, Debug, Args)]
pub(crate) struct TraceArguments {
    /// Write every APDU to FILE: text, or JSON lines if its name ends in .json; `-` is stderr
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl TargetArguments {
    /// Connects to the card.
    pub(crate) fn connect(&self) -> Result<Box<dyn Transport>, Failure> {
        let card = connect(self.reader.as_deref().map(Target::Reader))?;
        self.trace.watch(card)
    }
}

/// An observer of any kind.
pub(crate) type Watcher = Box<dyn FnMut(Event<'_>) + Send>;

fn watcher(mut observer: impl Observer + Send + 'static) -> Watcher {
    Box::new(move |event| observer.observe(event))
}

/// One card.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// In a reader.
    Reader(&'a str),
}

/// Connects to a card, by default the one in the first reader that has one.
pub(crate) fn connect(target: Option<Target<'_>>) -> Result<Box<dyn Transport>, Failure> {
    Ok(match target {
        Some(Target::Reader(name)) => Box::new(PcscReader::connect(name)?),
        None => Box::new(PcscReader::connect_first()?),
    })
}

impl TraceArguments {
    /// Lets the trace, if there is to be one, watch the card.
    pub(crate) fn watch(&self, card: Box<dyn Transport>) -> Result<Box<dyn Transport>, Failure> {
        Ok(match self.observer()? {
            Some(observer) => Box::new(Tracer::new(card, observer)),
            None => card,
        })
    }

    /// The observer that writes the trace.
    pub(crate) fn observer(&self) -> Result<Option<Watcher>, Failure> {
        let Some(path) = &self.trace else { return Ok(None) };
        let file: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stderr())
        } else {
            Box::new(File::create(path).at("write the trace to", path)?)
        };
        let json = path.extension().is_some_and(|extension| extension == "json");
        Ok(Some(if json { watcher(JsonTrace::new(file)) } else { watcher(TextTrace::new(file)) }))
    }
}
