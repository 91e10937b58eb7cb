//! Certificates and keys that the cards and the SM-DP+ of one machine share: a folder in the shape of SGP.26.
//!
//! Without `--pki` it is `pki` in the state directory, minted when it is first needed: a test CI of one's own, which
//! the cards personalised here trust, and which vouches for them and for the SM-DP+ run here.

use std::path::{Path, PathBuf};

use card::entropy::ChaCha;
use card::personalise::{load_pki, mint_pki};
use clap::Args;
use rsp::certificate::Role;
use rsp::pki::{Pki, PkiError};

use crate::failure::{AtPath, Failure};
use crate::file::{Readers, write_new};
use crate::{Context, random, state};

/// The option that names a PKI folder.
#[derive(Debug, Args)]
pub(crate) struct PkiArguments {
    /// Folder of certificates and keys, laid out as in SGP.26 [default: one minted in the state directory]
    #[arg(long, global = true, value_name = "DIR")]
    pki: Option<PathBuf>,
}

impl PkiArguments {
    /// Whether a folder was chosen.
    pub(crate) const fn is_given(&self) -> bool {
        self.pki.is_some()
    }

    /// The PKI of the folder chosen, or the machine's own.
    pub(crate) fn open(&self, context: &Context) -> Result<Pki, Failure> {
        match &self.pki {
            Some(directory) => load(directory),
            None => own(&context.state.directory()?.join("pki")),
        }
    }
}

/// Reads a PKI folder. It must hold a CI at least.
pub(crate) fn load(directory: &Path) -> Result<Pki, Failure> {
    let pki = load_pki(directory)?;
    let named = |error: PkiError| Failure::from(error).while_doing(&format!("PKI in {}", directory.display()));
    pki.get(Role::Ci).map_err(named)?;
    Ok(pki)
}

/// The machine's own PKI, minted if it is not there yet.
fn own(directory: &Path) -> Result<Pki, Failure> {
    if !directory.exists() {
        let pki = mint_pki(None, random::now(), &mut ChaCha::from_operating_system()?)?;
        // Written beside and moved into place: whole or not at all, and if another process was faster, its PKI counts.
        let beside = directory.with_extension(format!("new-{}", std::process::id()));
        if let Err(failure) = write(&pki, &beside) {
            let _ = std::fs::remove_dir_all(&beside);
            return Err(failure);
        }
        if let Err(error) = std::fs::rename(&beside, directory) {
            // Left behind it would be a second set of keys nobody uses.
            let _ = std::fs::remove_dir_all(&beside);
            if !directory.exists() {
                return Err(error).at("make the directory", directory);
            }
        } else {
            tracing::info!("minted a test PKI in {}", directory.display());
        }
    }
    load(directory)
}

/// Writes a PKI folder, keys readable by their owner only.
pub(crate) fn write(pki: &Pki, directory: &Path) -> Result<(), Failure> {
    state::create_private(directory)?;
    for file in pki.files() {
        let path = directory.join(&file.path);
        if let Some(parent) = path.parent() {
            state::create_private(parent)?;
        }
        let readers = if file.is_secret { Readers::Owner } else { Readers::Everybody };
        write_new(&path, &file.contents, readers).at("write", &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_pki_is_minted_once() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("pki");
        let first = own(&directory).unwrap();
        let second = own(&directory).unwrap();
        assert_eq!(first.get(Role::Ci).unwrap().der(), second.get(Role::Ci).unwrap().der());
        assert!(second.key(Role::Eum).is_ok() && second.key(Role::DpPb).is_ok());
        let strays: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(strays, ["pki"]);
    }

    #[test]
    fn an_empty_folder_is_no_pki() {
        let folder = tempfile::tempdir().unwrap();
        let Err(Failure::Because(text)) = load(folder.path()) else { panic!() };
        assert!(text.contains("CertificateIssuer"), "{text}");
    }
}
