//! pySim, of which Debian has no package: its sources, and a Python that has what they need.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::peer;

/// A checkout of pySim, and the Python to run it.
#[derive(Clone, Debug)]
pub struct PySim {
    sources: PathBuf,
    python: PathBuf,
}

impl PySim {
    /// What the environment variables `PYSIM` and `PYSIM_PYTHON` name, or `None`, said aloud.
    ///
    /// # Panics
    /// If they name something that is not there.
    pub fn find() -> Option<Self> {
        Some(Self { sources: peer::named_by("PYSIM", "pySim")?, python: peer::named_by("PYSIM_PYTHON", "pySim")? })
    }

    /// Where its sources are.
    pub fn sources(&self) -> &Path {
        &self.sources
    }

    /// A program of it, named by its path below the sources, ready for its arguments.
    pub fn program(&self, path: &str) -> Command {
        let mut program = Command::new(&self.python);
        program.arg(self.sources.join(path));
        // What these say would count for more than the options.
        program.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE").env("NO_PROXY", "*");
        program.env("PYTHONPATH", &self.sources).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        program
    }
}
