//! Certificates and keys shared by the cards and the SM-DP+ of one machine: a folder in the shape of SGP.26.
//!
//! Without `--pki` it is `pki` in the state directory, generated when it is first needed: a private test CI, which the
//! cards personalised here trust, and which certifies them and the SM-DP+ run here.

use std::path::{Path, PathBuf};

use card::personalise::{load_pki, mint_pki};
use clap::Args;
use rsp::certificate::Role;
use test_pki::{Pki, PkiError};

use crate::failure::{AtPath, Failure};
use crate::file::{Readers, write_new};
use crate::repeatable::{ClockArguments, SeedArguments};
use crate::{Context, state};

/// The option that names a PKI folder.
#[derive(Debug, Args)]
pub(crate) struct PkiArguments {
    /// Folder of certificates and keys, laid out as in SGP.26 [default: one generated in the state directory]
    #[arg(long, global = true, value_name = "DIR")]
    pki: Option<PathBuf>,
}

impl PkiArguments {
    /// Whether a folder was chosen.
    pub(crate) const fn is_given(&self) -> bool {
        self.pki.is_some()
    }

    /// The PKI in the given folder, or the machine's own.
    pub(crate) fn open(&self, context: &Context) -> Result<Pki, Failure> {
        match &self.pki {
            Some(directory) => load(directory),
            None => own(&context.state.directory()?.join("pki"), &SeedArguments::default(), &ClockArguments::default()),
        }
    }

    /// The same; where it has to be minted now, of this seed and at this time.
    pub(crate) fn open_at(
        &self,
        context: &Context,
        seed: &SeedArguments,
        clock: &ClockArguments,
    ) -> Result<Pki, Failure> {
        match &self.pki {
            Some(directory) => load(directory),
            None => own(&context.state.directory()?.join("pki"), seed, clock),
        }
    }
}

/// Reads a PKI folder. It has to contain at least a CI.
pub(crate) fn load(directory: &Path) -> Result<Pki, Failure> {
    let pki = load_pki(directory)?;
    let named = |error: PkiError| Failure::from(error).while_doing(&format!("PKI in {}", directory.display()));
    pki.get(Role::Ci).map_err(named)?;
    Ok(pki)
}

/// A marker next to the default folder that it existed, and which it was: the subject key identifier of its CI.
const MARK: &str = "pki-ci";

/// The machine's own PKI, generated if there never was one.
fn own(directory: &Path, seed: &SeedArguments, clock: &ClockArguments) -> Result<Pki, Failure> {
    let mark = directory.with_file_name(MARK);
    if !directory.exists() {
        // Another process may have made both since.
        if mark.exists() && !directory.exists() {
            let (directory, mark) = (directory.display(), mark.display());
            return Err(Failure::because(format!(
                "{directory} is missing, and cards and servers have certificates issued by it: restore it, or name a copy \
                 with --pki DIR; if nothing made with it is needed, remove {mark}, and another one is minted, which none of \
                 them trusts"
            )));
        }
        let pki = mint_pki(None, clock.now(), &mut seed.entropy("PKI")?)?;
        // Written to a temporary folder and moved into place: completely or not at all; if another process was faster,
        // its PKI is used.
        let beside = directory.with_extension(format!("new-{}", std::process::id()));
        if let Err(failure) = write(&pki, &beside) {
            let _ = std::fs::remove_dir_all(&beside);
            return Err(failure);
        }
        if let Err(error) = std::fs::rename(&beside, directory) {
            // Left behind it would be a second set of keys that nobody uses.
            let _ = std::fs::remove_dir_all(&beside);
            if !directory.exists() {
                return Err(error).at("make the directory", directory);
            }
        } else {
            tracing::info!("minted a test PKI in {}", directory.display());
        }
    }
    let pki = load(directory)?;
    if !mark.exists() {
        let ci = pki.get(Role::Ci)?.certificate().subject_key_identifier().map(|id| hex::encode(id.octets()));
        // A disk that does not accept it is no reason to stop: the next command retries.
        let _ = ci.map(|ci| write_new(&mark, format!("{ci}\n").as_bytes(), Readers::Owner));
    }
    Ok(pki)
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
        let own = |directory: &Path| own(directory, &SeedArguments::default(), &ClockArguments::default());
        let first = own(&directory).unwrap();
        let second = own(&directory).unwrap();
        assert_eq!(first.get(Role::Ci).unwrap().der(), second.get(Role::Ci).unwrap().der());
        assert!(second.key(Role::Eum).is_ok() && second.key(Role::DpPb).is_ok());
        let strays: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let strays: std::collections::BTreeSet<_> = strays.into_iter().collect();
        assert_eq!(strays, ["pki", MARK].map(Into::into).into());
        // A lost PKI is reported, and not regenerated unasked.
        std::fs::remove_dir_all(&directory).unwrap();
        let Err(Failure::Because(text)) = own(&directory) else { panic!() };
        assert!(text.contains("--pki DIR") && text.contains(MARK) && !directory.exists(), "{text}");
        std::fs::remove_file(folder.path().join(MARK)).unwrap();
        let another = own(&directory).unwrap();
        assert_ne!(first.get(Role::Ci).unwrap().der(), another.get(Role::Ci).unwrap().der());
    }

    #[test]
    fn an_empty_folder_is_no_pki() {
        let folder = tempfile::tempdir().unwrap();
        let Err(Failure::Because(text)) = load(folder.path()) else { panic!() };
        assert!(text.contains("CertificateIssuer"), "{text}");
    }
}
