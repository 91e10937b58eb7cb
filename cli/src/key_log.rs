//! `--keylog`: the session keys of bound profile packages, for `vuicc apdu decode` to open them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use crypto::provider::{KeyLogging, Provider};

use crate::failure::Failure;
use crate::file::{Readers, append, not_stdout};
use crate::output::{lose, tell};

/// The option that writes a key log.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct KeyLogArguments {
    /// Append the session keys of each download to FILE, readable by its owner only. Who has it can open the profiles
    /// that were downloaded, their keys included
    #[arg(long, value_name = "FILE", value_parser = not_stdout)]
    keylog: Option<PathBuf>,
}

impl KeyLogArguments {
    /// `provider`, with a key log before it if one was requested.
    pub(crate) fn before(&self, provider: Arc<dyn Provider>) -> Result<Arc<dyn Provider>, Failure> {
        before(self.keylog.as_deref(), provider)
    }
}

/// `provider`, with a key log at `path` before it, if there is a path.
pub(crate) fn before(path: Option<&Path>, provider: Arc<dyn Provider>) -> Result<Arc<dyn Provider>, Failure> {
    let Some(path) = path else { return Ok(provider) };
    let file = append(path, Readers::Owner, "the key log")?;
    tell(&format!(
        "vuicc: session keys go to {}; who has it can open the profiles that are downloaded, with the keys in them",
        path.display()
    ));
    let (file, path) = (Mutex::new(file), path.to_owned());
    Ok(Arc::new(KeyLogging::new(provider, move |lines| {
        // A log that cannot be written must not stop the download.
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(lines.as_bytes()) {
            lose(&format!("cannot write the key log {}: {error}; keys are missing there", path.display()));
        }
    })))
}
