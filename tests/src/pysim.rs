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

    /// The interpreter that has what it needs.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// A program of it with the card in the first reader. What it keeps for its user goes into `home`.
    pub fn program_at_reader(&self, path: &str, home: &Path) -> Command {
        let mut program = self.program(path);
        program.current_dir(&self.sources).env("HOME", home).args(["-p", "0"]);
        program
    }

    /// A program of it that reaches its card by AT commands. It waits a fifth of a second for each answer, which a busy machine
    /// exceeds, and has no option for that: here its default is a minute.
    pub fn program_at_modem(&self, path: &str) -> Command {
        const START: &str = "import runpy, sys\n\
            from pySim.transport.modem_atcmd import ModemATCommandLink\n\
            ModemATCommandLink.send_at_cmd.__defaults__ = (60, 0.002)\n\
            del sys.argv[0]\n\
            runpy.run_path(sys.argv[0], run_name='__main__')";
        self.of([Path::new("-c"), Path::new(START), &self.sources.join(path)])
    }

    /// A program of it, named by its path below the sources, ready for its arguments.
    pub fn program(&self, path: &str) -> Command {
        self.of([self.sources.join(path)])
    }

    fn of(&self, arguments: impl IntoIterator<Item = impl AsRef<Path>>) -> Command {
        let mut program = Command::new(&self.python);
        program.args(arguments.into_iter().map(|argument| argument.as_ref().as_os_str().to_owned()));
        // What these say would count for more than the options.
        program.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE").env("NO_PROXY", "*");
        program.env("PYTHONPATH", &self.sources).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        program
    }
}
