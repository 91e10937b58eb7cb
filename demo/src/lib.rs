//! A guided tour: a profile's life cycle, or a flow between devices and operator, step by step, every step checked.
//!
//! | module | what |
//! |---|---|
//! | [`tour`] | a profile from the server to the card, used, and deleted |
//! | `flow` | a phone, a watch and an operator; feature `operator` |
//!
//! Everything runs in this process, on loopback, except for the reader. What the program around it has anyway, it
//! passes in: [`Surroundings`].

#[cfg(feature = "operator")]
pub mod flow;
mod narrator;
mod operator;
mod stage;
mod story;

use std::path::{Path, PathBuf};

use apdu::Transport;
#[cfg(feature = "operator")]
use console::Exit;
use console::{Failure, Output};
use database::seal::MasterKey;
use test_pki::Pki;

pub use story::tour;

/// What the commands of the program around the demo call things: they find those of the demo by these names.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// The operator, at the SM-DP+ and in its certificate.
    pub operator: &'static str,
    /// The number of the service centre, with `+`.
    pub service_centre: &'static str,
    /// Files of the SM-DP+'s database and its master key, in the directory.
    pub smdp_files: (&'static str, &'static str),
}

/// What the program around the demo provides.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// The names of things.
    pub names: Names,
    /// Where the report goes.
    pub output: Output,
    /// The port of the virtual reader's first slot.
    pub first_port: fn() -> Result<u16, Failure>,
    /// Writes a PKI into a folder.
    pub write_pki: fn(&Pki, &Path) -> Result<(), Failure>,
    /// The master key in a file, made if there is none.
    pub master_key: fn(&Path) -> Result<MasterKey, Failure>,
    /// What the flows need besides.
    #[cfg(feature = "operator")]
    pub flows: flow::Surroundings,
}

/// How a demo runs.
pub struct Run<'a> {
    /// What the program around it provides.
    pub surroundings: Surroundings,
    /// Without the virtual reader: the LPA reaches the card inside this process.
    pub in_process: bool,
    /// Address of the virtual reader's slot; `None`: this machine.
    pub reader: Option<&'a str>,
    /// Keeps card image, PKI and database in this new directory.
    pub keep: Option<PathBuf>,
}

impl Run<'_> {
    /// The first slot of the virtual reader, as HOST and PORT.
    #[cfg(feature = "operator")]
    fn slot(&self) -> Result<(String, u16), Failure> {
        let Some(reader) = self.reader else { return Ok(("127.0.0.1".into(), (self.surroundings.first_port)()?)) };
        let wrong = || Failure::because(format!("--reader: `{reader}` is not HOST:PORT")).with(Exit::Usage);
        let (host, port) = reader.rsplit_once(':').ok_or_else(wrong)?;
        Ok((host.into(), port.parse().map_err(|_| wrong())?))
    }
}

/// A card, in a reader or in this process.
type Host = Box<dyn Transport>;
