//! `vuicc smdp`: the SM-DP+, its profiles and their orders.

mod certify;
mod notification;
mod profile;
mod reset;
mod rules;
mod serve;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use database::without_password;
use serde_json::json;
use smdp::store::Damaged;
use smdp::{MasterKey, OpenError, Rotation, SqlStore};

use crate::failure::{AtPath, Failure};
use crate::file::{self, Readers, replace};
use crate::master_key::KeyFile;
use crate::output::tell;
use crate::server_address::host_of;
use crate::state::{has_to_be_there, is_there};
use crate::{Context, asynchronous, waiting};

/// Default address of `serve`, and so the address in activation codes.
const DEFAULT_LISTEN: &str = "127.0.0.1:8443";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve ES9+ over HTTPS until interrupted
    #[command(after_help = "\
Examples:
  vuicc smdp serve
      on this machine, with a test PKI of its own
  vuicc smdp serve --listen 0.0.0.0:443 --address smdp.example.com --pki DIR
  vuicc smdp serve --es2-listen 127.0.0.1:8444
      with an ES2+ listener for the operator (vuicc operator serve)
  vuicc smdp serve --plain
      HTTP, behind a TLS proxy
  vuicc smdp serve --address smdp.example.com --database postgres://smdp@db/smdp
      one of several that share a database, under one address
  vuicc smdp serve --es2-listen 0.0.0.0:8444 --operator https://op.test:8446
      another operator, which hears of progress at 8446
  vuicc smdp serve --keep-rejected --download-tries 1000
      for tests that try one order again and again

An operator shows a TLS certificate for the name given here, which is its functionRequesterIdentifier too; for tests \
there is one by: vuicc smdp certify op.test

Profiles and orders may change while it runs: vuicc smdp profile --help")]
    Serve(Box<serve::Arguments>),
    /// Wait until a server that was just started accepts connections
    #[command(after_help = "\
Examples:
  vuicc smdp serve & vuicc smdp wait
  vuicc smdp wait --at 127.0.0.1:8444 --timeout 60

Without --at it is the server of this state directory, at its --address.")]
    Wait(waiting::Arguments),
    /// Profiles and their orders
    #[command(subcommand)]
    Profile(profile::Command),
    /// Notifications that eUICCs sent
    #[command(subcommand)]
    Notification(notification::Command),
    /// Issue a TLS certificate to an operator, for its ES2+ calls and its progress listener
    #[command(after_help = "\
Examples:
  vuicc smdp certify operator.example
      makes operator.example.pem, certificate and key in one file
  vuicc smdp certify operator.example --host 192.0.2.7 --out es2.pem
      for a server at that address; --host 127.0.0.1 for one on this machine

The certificate is of the CI in the state directory, or of that in --pki, whose key has to be there. With it pySim's \
ES2+ client, for one, can order here; the SM-DP+ has to know the name: vuicc smdp serve --operator")]
    Certify(certify::Arguments),
    /// Re-encrypt the database with a new master key
    #[command(after_help = "\
Examples:
  vuicc smdp rotate-key
      a new key in the state directory; end the servers before, start them after

Profiles are sealed anew, all or none, and what the old key opens is taken from the file. The old key is kept beside the \
new one, for copies made before, and for other databases sealed with it: destroy it when there are none.")]
    RotateKey(DatabaseArguments),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    asynchronous::run(async {
        match command {
            Command::Serve(arguments) => serve::run(arguments, context).await,
            Command::Wait(arguments) => waiting::until_reachable("the SM-DP+", arguments, context, || {
                let address = last_address(context)?;
                Ok(if host_of(&address) == address { format!("{address}:443") } else { address })
            }),
            Command::Profile(command) => profile::run(command, context).await,
            Command::Notification(command) => notification::run(command, context).await,
            Command::Certify(arguments) => certify::run(arguments, context),
            Command::RotateKey(database) => database.rotate_key(context).await,
        }
    })
}

/// The option that names a database.
#[derive(Debug, Args)]
pub(crate) struct DatabaseArguments {
    /// The database: a file, or postgres://…, which several servers may share [default: smdp.db in the state directory]
    #[arg(
        long,
        alias = "db",
        value_name = "URL",
        env = "VUICC_SMDP_DATABASE",
        hide_env_values = true,
        value_parser = file::named
    )]
    database: Option<String>,
    /// The file with the key that encrypts profiles; created with the database, and always the same for it [default:
    /// smdp-master.key in the state directory]
    #[arg(long, value_name = "FILE", value_parser = file::not_stdout)]
    master_key: Option<PathBuf>,
}

/// Its file in the state directory.
pub(crate) const DATABASE: &str = "smdp.db";
/// The file of its master key there.
pub(crate) const MASTER_KEY: &str = "smdp-master.key";

impl DatabaseArguments {
    fn url(&self, context: &Context) -> Result<String, Failure> {
        match &self.database {
            Some(url) => Ok(url.clone()),
            None => Ok(context.state.path()?.join(DATABASE).to_string_lossy().into_owned()),
        }
    }

    /// Opens the existing database.
    async fn open_existing(&self, context: &Context) -> Result<SqlStore, Failure> {
        has_to_be_there(&self.url(context)?, "database of an SM-DP+", MAKERS)?;
        self.open(context).await
    }

    /// Opens the database, which is created if it does not exist.
    async fn open(&self, context: &Context) -> Result<SqlStore, Failure> {
        Ok(self.open_within(context, Duration::ZERO).await?.0)
    }

    /// The same, waiting this long for a server that is not up yet; returns also the key that encrypts its secrets.
    async fn open_within(&self, context: &Context, timeout: Duration) -> Result<(SqlStore, Arc<MasterKey>), Failure> {
        self.open_as(context, Opening::Shared(timeout)).await
    }

    async fn open_as(&self, context: &Context, how: Opening) -> Result<(SqlStore, Arc<MasterKey>), Failure> {
        let url = self.url(context)?;
        if self.database.is_none() {
            context.state.directory()?;
        }
        let named = |error: OpenError| Failure::from(error).while_doing(&without_password(&url));
        let file = self.key_file(context)?;
        let shown = file.path().display();
        let timeout = match how {
            Opening::Shared(timeout) => timeout,
            Opening::Alone => Duration::ZERO,
        };
        let is_lost = !file.path().exists()
            && is_there(&url)
            && SqlStore::is_sealed(&url, timeout).await.map_err(named)?
            // Another process may have created both in between.
            && !file.path().exists();
        if is_lost {
            return Err(Failure::because(format!(
                "{shown} does not exist, and the SM-DP+'s database is encrypted with it: {WAY_OUT}"
            )));
        }
        let open = async |key: &Arc<MasterKey>| match how {
            Opening::Shared(timeout) => SqlStore::open_within(&url, Arc::clone(key), timeout).await,
            Opening::Alone => SqlStore::open_alone(&url, Arc::clone(key)).await,
        };
        let key = Arc::new(file.key()?);
        match open(&key).await {
            Err(OpenError::OtherKey) => {
                // A key change may have been interrupted before the last step,
                if let Some(next) = file.next()?.map(Arc::new)
                    && let Ok(store) = open(&next).await
                {
                    file.adopt_next()?;
                    return Ok((store, next));
                }
                // or have finished since the key was read.
                let key = Arc::new(file.key()?);
                if let Ok(store) = open(&key).await {
                    return Ok((store, key));
                }
                Err(Failure::because(format!(
                    "{shown} is not the master key that the SM-DP+'s database is encrypted with: {WAY_OUT}"
                )))
            }
            opened => Ok((opened.map_err(named)?, key)),
        }
    }

    fn key_file(&self, context: &Context) -> Result<KeyFile, Failure> {
        Ok(KeyFile::new(match &self.master_key {
            Some(path) => path.clone(),
            None => context.state.directory()?.join(MASTER_KEY),
        }))
    }

    async fn rotate_key(&self, context: &Context) -> Result<(), Failure> {
        let (url, file) = (self.url(context)?, self.key_file(context)?);
        has_to_be_there(&url, "database of an SM-DP+", MAKERS)?;
        // Until the new key is in its place nobody else can open the database.
        let (mut store, _) = self.open_as(context, Opening::Alone).await?;
        let Rotation { sealed, damaged } = store.rotate(file.make_next()?).await?;
        let (path, old) = (file.path(), file.adopt_next()?);
        store.close().await;
        let left: Vec<_> =
            damaged.iter().map(|one| json!({ "what": one.what, "name": one.name, "why": one.why })).collect();
        context.output.json(&json!({ "key": path, "old_key": old, "profiles": sealed, "damaged": left }))?;
        context.output.text(format_args!(
            "{sealed} profiles are encrypted with a new key, in {}\nthe old one is in {}: destroy it once no other database \
             or copy needs it",
            path.display(),
            old.display()
        ))?;
        for Damaged { what, name, why } in &damaged {
            tell(&format!("vuicc: the {what} of profile {name} cannot be decrypted and is left as it is: {why}"));
        }
        if damaged.is_empty() {
            return Ok(());
        }
        Err(Failure::because(
            "the key is changed, and the records named above cannot be read with either key; `vuicc smdp profile add` adds a \
             profile's package again",
        ))
    }
}

/// How a database is opened.
#[derive(Clone, Copy)]
enum Opening {
    /// Shared, with this timeout.
    Shared(Duration),
    /// Exclusively.
    Alone,
}

/// Commands that create a database.
const MAKERS: &str = "`vuicc smdp profile add` and `vuicc smdp serve`";
/// The way out without the right master key.
const WAY_OUT: &str = "restore that key, or name its file with --master-key; without it no profile can be read, and the \
    SM-DP+ begins anew with another --database";

/// The file in which `serve` leaves its address for commands that create activation codes.
fn address_file(context: &Context) -> Result<PathBuf, Failure> {
    Ok(context.state.path()?.join("smdp-address"))
}

fn remember_address(context: &Context, address: &str) -> Result<(), Failure> {
    context.state.directory()?;
    let path = address_file(context)?;
    replace(&path, address.as_bytes(), Readers::Everybody).at("write", &path)
}

/// Whether a server of this state directory was started at this time or after it, in seconds since 1970.
fn served_since(time: u64, context: &Context) -> Result<bool, Failure> {
    let started = std::fs::metadata(address_file(context)?).and_then(|file| file.modified()).ok();
    let started = started.and_then(|started| started.duration_since(std::time::UNIX_EPOCH).ok());
    Ok(started.is_some_and(|started| started.as_secs() >= time))
}

/// The last address of a server of this state directory.
pub(crate) fn last_address(context: &Context) -> Result<String, Failure> {
    let remembered = std::fs::read_to_string(address_file(context)?).map(|text| text.trim().to_owned());
    Ok(remembered.unwrap_or_else(|_| DEFAULT_LISTEN.into()))
}
