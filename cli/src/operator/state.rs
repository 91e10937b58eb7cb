//! Where an operator keeps its data: the database all its parts meet in, and the key that seals what is secret there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use database::without_password;
use operator::database::Database;
use operator::hlr::{Hlr, HlrError, MasterKey};
use zeroize::Zeroizing;

use crate::failure::{AtPath, Failure};
use crate::state::has_to_be_there;
use crate::{Context, file, random};

/// Octets of the master key.
const KEY_LENGTH: usize = 32;
/// What to do without the right one.
const WAY_OUT: &str = "bring that key back, or name its file with --master-key; without it nobody's keys can be read, and \
    the operator begins anew with another --database";

/// The options that name database and key.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct DatabaseArguments {
    /// The operator's database: a file, or postgres://… [default: operator.db in the state directory]
    #[arg(
        long,
        value_name = "URL",
        env = "VUICC_OPERATOR_DATABASE",
        hide_env_values = true,
        value_parser = file::named
    )]
    database: Option<String>,
    /// The file with the key that subscribers' keys are sealed with; made with the database, and always the same for it
    /// [default: operator-master.key in the state directory]
    #[arg(long, value_name = "FILE", value_parser = file::not_stdout)]
    master_key: Option<PathBuf>,
}

/// The option that says how long a server waits for its database.
#[derive(Clone, Debug, Args)]
pub(crate) struct DatabaseWait {
    /// How long to wait for a PostgreSQL that does not take connections yet; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    database_wait: u32,
}

impl DatabaseWait {
    /// How long.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.database_wait.into())
    }
}

impl DatabaseArguments {
    /// What names the database.
    pub(crate) fn url(&self, context: &Context) -> Result<String, Failure> {
        match &self.database {
            Some(url) => Ok(url.clone()),
            None => Ok(context.state.path()?.join("operator.db").to_string_lossy().into_owned()),
        }
    }

    /// The master key this database is sealed with. Only for a database with nothing sealed in it a key is made.
    pub(crate) async fn key(&self, context: &Context, database: &Database) -> Result<Arc<MasterKey>, Failure> {
        let path = match &self.master_key {
            Some(path) => path.clone(),
            None => context.state.directory()?.join("operator-master.key"),
        };
        let shown = path.display();
        if !path.exists() && Hlr::is_sealed(database).await? {
            return Err(Failure::because(format!(
                "{shown} is not there, and the operator's database is sealed with it: {WAY_OUT}"
            )));
        }
        let key = Arc::new(master_key(&path)?);
        match Hlr::new(database.clone(), Arc::clone(&key)).check_key().await {
            Err(HlrError::OtherKey) => Err(Failure::because(format!(
                "{shown} is another master key than the one the operator's database is sealed with: {WAY_OUT}"
            ))),
            checked => Ok(checked.map(|()| key)?),
        }
    }

    /// Opens the database, which is made if it is not there.
    pub(crate) async fn open(&self, context: &Context) -> Result<Database, Failure> {
        self.open_within(context, Duration::ZERO).await
    }

    /// The same, waiting so long for a server that is not up yet.
    pub(crate) async fn open_within(&self, context: &Context, patience: Duration) -> Result<Database, Failure> {
        let url = self.url(context)?;
        if self.database.is_none() {
            context.state.directory()?;
        }
        Database::open_within(&url, patience)
            .await
            .map_err(|error| Failure::from(error).while_doing(&without_password(&url)))
    }

    /// Opens the database that is there.
    pub(crate) async fn open_existing(&self, context: &Context) -> Result<Database, Failure> {
        let makers = "`vuicc operator subscriber add` and `vuicc operator serve`";
        has_to_be_there(&self.url(context)?, "operator's database", makers)?;
        self.open(context).await
    }

    /// Opens the register in the database that is there.
    pub(crate) async fn existing_register(&self, context: &Context) -> Result<Hlr, Failure> {
        let database = self.open_existing(context).await?;
        let key = self.key(context, &database).await?;
        Ok(Hlr::new(database, key))
    }

    /// Opens the register in it.
    pub(crate) async fn register(&self, context: &Context) -> Result<Hlr, Failure> {
        let database = self.open(context).await?;
        let key = self.key(context, &database).await?;
        Ok(Hlr::new(database, key))
    }
}

/// The secret in a file, 32 hexadecimal digits made up if there is no such file, for its owner only.
pub(crate) fn secret_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    if !path.exists() {
        make_private(path, &Zeroizing::new(hex::encode(random::bytes::<16>())))?;
    }
    let text = Zeroizing::new(fs::read_to_string(path).at("read the secret", path)?);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// The key in a file: 64 hexadecimal digits. Where there is no such file, it is made, for its owner only.
fn master_key(path: &Path) -> Result<MasterKey, Failure> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_key(path)?;
            fs::read(path)
        }
        read => read,
    };
    let text = Zeroizing::new(text.at("read the master key", path)?);
    let mut octets = Zeroizing::new([0; KEY_LENGTH]);
    hex::decode_to_slice(text.trim_ascii(), &mut *octets).map_err(|_| {
        let path = path.display();
        Failure::because(format!("{path} is no master key: that is {} hexadecimal digits", 2 * KEY_LENGTH))
    })?;
    Ok(MasterKey::new(*octets))
}

fn make_key(path: &Path) -> Result<(), Failure> {
    make_private(path, &Zeroizing::new(hex::encode(*Zeroizing::new(random::bytes::<KEY_LENGTH>()))))
}

/// There is never half a secret, and of two processes one wins.
fn make_private(path: &Path, text: &str) -> Result<(), Failure> {
    match file::write_new(path, text.as_bytes(), file::Readers::Owner) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written.at("make a secret in", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_key_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator-master.key");
        let sealed = master_key(&path).unwrap().seal("k", b"secret", [1; 12]).unwrap();
        assert_eq!(*master_key(&path).unwrap().open("k", &sealed).unwrap(), b"secret");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(&path, [0xFF; 32]).unwrap();
        let Err(Failure::Because(text)) = master_key(&path).map(drop) else { panic!() };
        assert!(text.contains("64 hexadecimal digits"), "{text}");
        fs::write(&path, "too short").unwrap();
        let Err(Failure::Because(text)) = master_key(&path).map(drop) else { panic!() };
        assert!(text.contains("64 hexadecimal digits") && !text.contains("too short"), "{text}");
    }
}
