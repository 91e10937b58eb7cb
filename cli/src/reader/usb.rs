//! `vuicc reader qemu` and `vuicc reader usbip`: cards in readers on a USB made of software.

use std::future;
use std::path::{Path, PathBuf};

use apdu::{Icc, TransportError};
use clap::Args;
use console::Exit;
use reader_bridge::proxy::Proxy;
use reader_bridge::socket::Address;
use reader_bridge::usb_reader::{Hand, Identity, UsbReader, Via};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::Context;
use crate::apdu::proxy::{cause, gone_from};
use crate::asynchronous::Stoppable;
use crate::card::control::{Control, Seated};
use crate::card::detach::Parent;
use crate::card::ready::{ReadyCard, ReadyFile};
use crate::card::run::{Place, Running, StayArguments, bind, placed};
use crate::card::shared::Shared;
use crate::exposure::ExposureArguments;
use crate::failure::Failure;
use crate::file::image;
use crate::target::TargetArguments;

/// What both commands have in common.
#[derive(Debug, Args)]
struct CardArguments {
    /// The image of the card in the reader [default: the card that --reader or --card names]
    #[arg(value_name = "PATH", conflicts_with_all = ["reader", "card"], value_parser = image)]
    image: Option<PathBuf>,
    #[command(flatten)]
    stay: StayArguments,
    #[command(flatten)]
    target: TargetArguments,
}

#[derive(Debug, Args)]
pub(crate) struct QemuArguments {
    #[command(flatten)]
    card: CardArguments,
    /// Listen for QEMU here: HOST:PORT (port 0 takes a free one), or unix:PATH
    #[arg(long, value_name = "ADDRESS", required_unless_present = "connect", conflicts_with = "connect")]
    listen: Option<Address>,
    /// Connect to QEMU here, where its character device listens; again when that is gone
    #[arg(long, value_name = "ADDRESS")]
    connect: Option<Address>,
    #[command(flatten)]
    exposure: ExposureArguments,
    /// Leave the card in when the enabled profile has changed, and do not reset it for the guest
    #[arg(long)]
    keep_inserted: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UsbipArguments {
    #[command(flatten)]
    card: CardArguments,
    /// Listen for USB/IP clients here: HOST:PORT (port 0 takes a free one)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3240", value_parser = tcp)]
    listen: Address,
    #[command(flatten)]
    exposure: ExposureArguments,
    /// Numbers of the device, in hexadecimal: one that the driver of the other machine knows
    #[arg(long, value_name = "VENDOR:PRODUCT", default_value = "0bda:0165", value_parser = device)]
    device: (u16, u16),
}

fn tcp(text: &str) -> Result<Address, String> {
    match text.parse() {
        Ok(Address::Unix(_)) => Err("USB/IP is for TCP: HOST:PORT".into()),
        read => read.map_err(|error| error.to_string()),
    }
}

fn device(text: &str) -> Result<(u16, u16), String> {
    let number = |digits: &str| {
        let is_number = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_number.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    };
    let numbers = text.split_once(':').and_then(|(vendor, product)| Some((number(vendor)?, number(product)?)));
    numbers.ok_or_else(|| format!("`{text}` has not the form of 0bda:0165"))
}

pub(crate) fn qemu(arguments: &QemuArguments, context: &Context) -> Result<(), Failure> {
    let card = &arguments.card;
    card.stay.run(card.log_name("qemu").as_ref(), context, |parent| {
        let listen = arguments.listen.as_ref();
        if let Some(address) = listen {
            arguments.exposure.check(address, address.is_local(), "VSCard has")?;
        }
        card.serve(context, parent, arguments.keep_inserted, || match (listen, &arguments.connect) {
            (Some(address), _) => bind(address).map(|(listener, runtime)| (Via::ForQemu(listener), runtime)),
            (None, Some(address)) => Ok((Via::ToQemu(address.clone()), runtime()?)),
            (None, None) => Err(Failure::because("give --listen or --connect").with(Exit::Usage)),
        })
    })
}

pub(crate) fn usbip(arguments: &UsbipArguments, context: &Context) -> Result<(), Failure> {
    let card = &arguments.card;
    card.stay.run(card.log_name("usbip").as_ref(), context, |parent| {
        arguments.exposure.check(&arguments.listen, arguments.listen.is_local(), "USB/IP has")?;
        card.serve(context, parent, false, || {
            let (listener, runtime) = bind(&arguments.listen)?;
            let (vendor, product) = arguments.device;
            Ok((Via::ForUsbip(listener, Identity { vendor, product, ..Identity::default() }), runtime))
        })
    })
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

impl CardArguments {
    fn image(&self) -> Option<&Path> {
        self.image.as_deref().or(self.target.image())
    }

    /// The name of the log of a reader in the background.
    fn log_name(&self, otherwise: &str) -> String {
        let image = self.image().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        image.unwrap_or_else(|| otherwise.to_owned())
    }

    fn serve(
        &self,
        context: &Context,
        parent: Option<&mut Parent>,
        keeps_card: bool,
        via: impl FnOnce() -> Result<(Via, Runtime), Failure>,
    ) -> Result<(), Failure> {
        if let Some(image) = self.image() {
            let card = Shared::new(self.target.open(image)?);
            let seen = ReadyCard::of(image)?;
            let (hand, reader) = reader(via, keeps_card)?;
            let seated = Seated::by_hand(Some(card.clone()), hand);
            let tracers = self.target.trace().observers(&[""])?;
            let running = Running { tracers, ..self.running(card, image.to_owned(), seen, reader, context)? };
            return Self::run(running, seated, context, parent, future::pending());
        }
        let (card, lookout) = self.target.connect_watched()?;
        let service = self.target.reader_of_service();
        let name = self.target.name(service.as_ref());
        let (gone, notice) = watch::channel(None);
        let proxy = Proxy::new(card, |why: &TransportError| {
            gone.send_replace(Some(cause(why)));
        });
        let seen = ReadyCard::named(&name, &proxy.atr());
        let (hand, reader) = reader(via, keeps_card)?;
        let running = self.running(proxy, name.clone().into(), seen, reader, context)?;
        Self::run(running, Seated::by_hand(None, hand), context, parent, async {
            let why = gone_from(service, lookout, notice).await;
            Err(Failure::because(format!("{name} is gone: {why}. The card that stood for it is gone too"))
                .with(Exit::Card))
        })
    }

    /// A card, its place and who is told.
    fn running<C: Icc + Send>(
        &self,
        card: C,
        name: PathBuf,
        seen: ReadyCard,
        reader: (UsbReader, Runtime),
        context: &Context,
    ) -> Result<Running<C>, Failure> {
        let stoppable = Stoppable::begin()?;
        let places = vec![Place::Usb(reader.0, reader.1)];
        let seen = placed(vec![seen], &places);
        // The last, so that nothing else that is wrong costs an earlier one.
        let ready_file = ReadyFile::at(self.stay.ready_file.as_deref(), &context.state)?;
        // One that is connected to is watched already.
        let tracers = Vec::new();
        let limit = self.stay.limit();
        // Its reader has its own hand.
        let presences = Vec::new();
        let (cards, names) = (vec![card], vec![name]);
        Ok(Running { cards, names, seen, places, presences, tracers, ready_file, limit, stoppable })
    }

    fn run<C: Icc + Send>(
        running: Running<C>,
        seated: Seated,
        context: &Context,
        parent: Option<&mut Parent>,
        ended: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        // Without it the card runs as well.
        let control = Control::of(vec![seated], &context.state).map_err(|failure| failure.tell()).ok();
        running.serve(context, parent, async {
            let control = async {
                match control {
                    Some(control) => control.serve().await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                outcome = control => outcome,
                outcome = ended => outcome,
            }
        })
    }
}

/// The reader, and what moves its card.
fn reader(
    via: impl FnOnce() -> Result<(Via, Runtime), Failure>,
    keeps_card: bool,
) -> Result<(Hand, (UsbReader, Runtime)), Failure> {
    let (via, runtime) = via()?;
    let (hand, moves) = Hand::new();
    Ok((hand, (UsbReader { via, moves, keeps_card }, runtime)))
}
