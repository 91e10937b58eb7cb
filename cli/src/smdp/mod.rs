//! `vuicc smdp`: the SM-DP+, its profiles and their orders.

mod certify;
mod notification;
mod profile;
mod serve;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use database::without_password;
pub(crate) use profile::Offered;
pub(crate) use serve::{host_of, socket_address, tls_identity};
use smdp::SqlStore;

use crate::failure::{AtPath, Failure};
use crate::file::{self, Readers, replace};
use crate::state::has_to_be_there;
use crate::{Context, asynchronous};

/// Where `serve` listens unless told otherwise, and so the address in activation codes.
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
      with a door for the operator (vuicc operator serve)
  vuicc smdp serve --plain
      HTTP, behind a TLS proxy
  vuicc smdp serve --address smdp.example.com --database postgres://smdp@db/smdp
      one of several that share a database, under one address
  vuicc smdp serve --es2-listen 0.0.0.0:8444 --operator https://op.test:8446
      another operator, which hears of progress at 8446

An operator shows a TLS certificate for the name given here, which is its functionRequesterIdentifier too; for tests \
there is one by: vuicc smdp certify op.test

Profiles and orders may change while it runs: vuicc smdp profile --help")]
    Serve(serve::Arguments),
    /// Profiles and their orders
    #[command(subcommand)]
    Profile(profile::Command),
    /// Notifications that eUICCs sent
    #[command(subcommand)]
    Notification(notification::Command),
    /// Make an operator a TLS certificate, for its calls and for where it hears of progress
    #[command(after_help = "\
Examples:
  vuicc smdp certify operator.example
      makes operator.example.pem, certificate and key in one file
  vuicc smdp certify operator.example --host 192.0.2.7 --out es2.pem

The certificate is of the CI in the state directory, or of that in --pki, whose key has to be there. With it pySim's \
ES2+ client, for one, can order here; the SM-DP+ has to know the name: vuicc smdp serve --operator")]
    Certify(certify::Arguments),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    asynchronous::run(async {
        match command {
            Command::Serve(arguments) => serve::run(arguments, context).await,
            Command::Profile(command) => profile::run(command, context).await,
            Command::Notification(command) => notification::run(command, context).await,
            Command::Certify(arguments) => certify::run(arguments, context),
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
}

impl DatabaseArguments {
    fn url(&self, context: &Context) -> Result<String, Failure> {
        match &self.database {
            Some(url) => Ok(url.clone()),
            None => Ok(context.state.path()?.join("smdp.db").to_string_lossy().into_owned()),
        }
    }

    /// Opens the database that is there.
    async fn open_existing(&self, context: &Context) -> Result<SqlStore, Failure> {
        let makers = "`vuicc smdp profile add` and `vuicc smdp serve`";
        has_to_be_there(&self.url(context)?, "database of an SM-DP+", makers)?;
        self.open(context).await
    }

    /// Opens the database, which is made if it is not there.
    async fn open(&self, context: &Context) -> Result<SqlStore, Failure> {
        let url = self.url(context)?;
        if self.database.is_none() {
            context.state.directory()?;
        }
        SqlStore::open(&url).await.map_err(|error| Failure::from(error).while_doing(&without_password(&url)))
    }
}

/// The file in which `serve` leaves its address for those who write activation codes.
fn address_file(context: &Context) -> Result<PathBuf, Failure> {
    Ok(context.state.path()?.join("smdp-address"))
}

fn remember_address(context: &Context, address: &str) -> Result<(), Failure> {
    context.state.directory()?;
    let path = address_file(context)?;
    replace(&path, address.as_bytes(), Readers::Everybody).at("write", &path)
}

/// The address a server of this state directory was last reached at.
pub(crate) fn last_address(context: &Context) -> Result<String, Failure> {
    let remembered = std::fs::read_to_string(address_file(context)?).map(|text| text.trim().to_owned());
    Ok(remembered.unwrap_or_else(|_| DEFAULT_LISTEN.into()))
}
