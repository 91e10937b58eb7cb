//! `vuicc modem run`: options, the card, and what is told of the modem.

use std::path::{Path, PathBuf};

use clap::Args;
use identities::Imei;
use modem::{Identity, Modem, Quirks};

use super::listener::{self, Endpoint};
use super::network::NetworkArguments;
use super::quirks;
use super::serve::{self, Places};
use super::thread::Start;
use crate::Context;
use crate::asynchronous::Stoppable;
use crate::card::detach::Parent;
use crate::card::ready::{Ready, ReadyCard, ReadyFile, folder, running};
use crate::card::run::StayArguments;
use crate::exposure;
use crate::failure::{AtPath as _, Failure};
use crate::file::{image, not_stdout};
use crate::target::TargetArguments;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The image of the card in the modem [default: the card that --reader or --card names]
    #[arg(value_name = "PATH", conflicts_with_all = ["reader", "card"], value_parser = image)]
    image: Option<PathBuf>,
    /// Make the pseudo-terminal known under this path, a symbolic link, as long as the modem runs
    #[arg(long, value_name = "PATH", value_parser = not_stdout)]
    link: Option<PathBuf>,
    /// Listen for programs: HOST:PORT (port 0 takes a free one), unix:PATH, or abstract:NAME of a socket without a file.
    /// There is no pseudo-terminal then, unless --link asks for one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Endpoint>,
    /// Let --listen take an address that other machines reach: whatever reaches it can use the card
    #[arg(long, requires = "listen")]
    expose: bool,
    /// Behave as this modem does, or as this file in TOML says [default: as TS 27.007 has it]
    #[arg(long, value_name = "NAME|FILE")]
    quirks: Option<String>,
    /// IMEI of the modem
    #[arg(long, value_name = "DIGITS", default_value = "004999010640000")]
    imei: Imei,
    #[command(flatten)]
    network: NetworkArguments,
    #[command(flatten)]
    stay: StayArguments,
    #[command(flatten)]
    target: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    arguments.stay.run(arguments.name().as_ref(), context, |parent| serve(arguments, context, parent))
}

impl Arguments {
    fn image(&self) -> Option<&Path> {
        self.image.as_deref().or(self.target.image())
    }

    /// The name of the log of a modem in the background.
    fn name(&self) -> String {
        let image = self.image().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        image.unwrap_or_else(|| "modem".to_owned())
    }

    fn quirks(&self) -> Result<Quirks, Failure> {
        self.quirks.as_deref().map_or_else(|| Ok(Quirks::default()), quirks::read)
    }

    fn check_exposure(&self) -> Result<(), Failure> {
        let Some(endpoint) = &self.listen else { return Ok(()) };
        exposure::check(endpoint, endpoint.is_local(), self.expose, "AT commands have")
    }

    /// The link of a modem that runs is not taken over: its programs would come to another card.
    fn check_link(&self, context: &Context) -> Result<(), Failure> {
        let Some(link) = &self.link else { return Ok(()) };
        let link = std::path::absolute(link).at("look into", link)?;
        for (_, record) in running(&folder(&context.state)?) {
            let mut cards = record.ready.cards.iter();
            if let Some(card) =
                cards.find(|card| card.terminal.as_deref().is_some_and(|terminal| link == Path::new(terminal)))
            {
                let (link, pid, card) = (link.display(), record.ready.pid, card.image.display());
                return Err(Failure::because(format!(
                    "{link} is the terminal of the modem with {card}, process {pid}; name another path, or end that one with \
                     `vuicc card eject`"
                )));
            }
        }
        Ok(())
    }
}

fn serve(arguments: &Arguments, context: &Context, parent: Option<&mut Parent>) -> Result<(), Failure> {
    let quirks = arguments.quirks()?;
    arguments.check_exposure()?;
    arguments.check_link(context)?;
    let card = arguments.target.connect_or(arguments.image.as_deref())?;
    let mut seen = match arguments.image() {
        Some(image) => ReadyCard::of(image)?,
        None => ReadyCard::named(arguments.target.reader().unwrap_or("the first card"), card.atr()),
    };
    let identity = Identity {
        manufacturer: "vuicc".to_owned(),
        model: "AT modem".to_owned(),
        revision: env!("CARGO_PKG_VERSION").to_owned(),
        imei: arguments.imei.as_str().to_owned(),
    };
    // Until here a signal ends the process, though the card does not answer; nothing is left behind yet.
    let start = Start::new();
    let ask = arguments.network.start(&start, &seen.image.display().to_string(), context)?;
    let modem = Modem::new(card, identity, quirks).with_coverage(arguments.network.coverage());
    Stoppable::begin_alone()?.run(async |signals| {
        let socket = match &arguments.listen {
            Some(endpoint) => Some(listener::bind(endpoint).await?),
            None => None,
        };
        let needs_terminal = arguments.link.is_some() || socket.is_none();
        let terminal = needs_terminal.then(|| serve::terminal(arguments.link.as_deref())).transpose()?;
        seen.terminal = terminal.as_ref().map(|terminal| terminal.path().display().to_string());
        seen.socket = socket.as_ref().map(|socket| socket.address().to_string());
        // The last, so that nothing else that is wrong costs an earlier one.
        let ready_file = ReadyFile::at(arguments.stay.ready_file.as_deref(), &context.state)?;
        let told = serve::Told { ready: Ready::new(vec![seen]), ready_file, limit: arguments.stay.limit() };
        let (modem, ended) = start.start(modem, ask)?;
        serve::serve((modem, ended), Places { terminal, socket }, told, context, parent, signals).await
    })
}
