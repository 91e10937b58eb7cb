//! `vuicc reader`: lists readers and their cards; readers on a USB made of software.

mod hand;
mod usb;

use std::fmt;
use std::time::{Duration, Instant};

use apdu::Transport as _;
use clap::Subcommand;
use console::Exit;
use reader_bridge::ReaderError;
use reader_bridge::pcsc_reader::{Reader, list_readers, wait_for_card, wait_until_empty};
use reader_bridge::socket::{CardAddress, SocketCard, is_listening};
use serde::Serialize;

use crate::card::control::Moved;
use crate::failure::Failure;
use crate::{Context, hexadecimal};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the readers of the PC/SC service, real and virtual
    #[command(after_help = "\
Examples:
  vuicc reader list
  vuicc reader list --json | jq -r 'select(.card) | .name'

The number or any unmistakable part of the name is what --reader takes. Which program uses a card, the PC/SC service does \
not tell; `lsof` shows who has opened its socket.")]
    List,
    /// Put a card into QEMU's USB reader, where its guest finds it
    #[command(after_help = "\
Examples:
  vuicc reader qemu my.img --listen 127.0.0.1:2001
  qemu-system-x86_64 … -device qemu-xhci -device usb-ccid \\
      -chardev socket,id=card,host=127.0.0.1,port=2001,nodelay=on \\
      -device ccid-card-passthru,chardev=card
      QEMU connects to the card; with reconnect=1 also to the next one
  vuicc reader qemu my.img --connect unix:card.sock
      where QEMU listens:
      -chardev socket,id=card,path=card.sock,server=on,wait=off
  vuicc reader qemu --reader ACS --listen unix:card.sock
      a card of plastic for the guest
  vuicc reader pull, vuicc reader insert, vuicc reader reset
      by hand, while it runs

QEMU answers the resets of its guest itself: none reaches the card. So when the enabled profile has changed, the card is taken \
out, reset and inserted again as soon as the guest has been quiet for a second, at the latest after ten seconds, but not within a chain \
of commands or a download; --keep-inserted leaves that to `vuicc reader reset`. Channels and PINs survive a restart of the guest. docs/usb.md has more.")]
    Qemu(Box<usb::QemuArguments>),
    /// Serve a USB reader with a card over USB/IP, for machines that attach it
    #[command(after_help = "\
Examples:
  vuicc reader usbip my.img
      on port 3240 of this machine
  usbip list -r 127.0.0.1
  modprobe vhci-hcd && usbip attach -r 127.0.0.1 -b 1-1
      as root, where the card is to be used; 10.0.2.2 is the host of a QEMU
  vuicc reader usbip my.img --listen 192.0.2.7:3240 --expose
      for other machines: whatever reaches the port can use the card
  vuicc reader pull, vuicc reader insert, vuicc reader reset
      by hand, while it runs

The reader is of the CCID class, at TPDU level for T=0. Linux drives only readers that libccid knows by their numbers, so it has \
those of one (0BDA:0165). One machine has it at a time; its resets reach the card. docs/usb.md has more.")]
    Usbip(Box<usb::UsbipArguments>),
    /// Pull a card out of its USB reader
    #[command(after_help = "\
Examples:
  vuicc reader pull
  vuicc reader pull my.img && vuicc reader insert my.img

For cards of `vuicc reader qemu` and `vuicc reader usbip` that were started with the same state directory. What runs goes on: \
the card loses its power, and the host sees an empty reader.")]
    Pull(hand::Arguments),
    /// Insert a card that was pulled
    #[command(after_help = "\
Examples:
  vuicc reader insert
  vuicc reader insert my.img")]
    Insert(hand::Arguments),
    /// Take a card out of its USB reader, reset it, and insert it again
    #[command(after_help = "\
Examples:
  vuicc reader reset
  vuicc reader reset my.img

Returns when the card is in again. The host has seen it go and come, and begins anew.")]
    Reset(hand::Arguments),
    /// Wait until a reader has a card that answers to reset, or holds none any more, and show that reader
    #[command(after_help = "\
Examples:
  vuicc card run my.img & vuicc reader wait
      goes on as soon as any PC/SC program can use the card
  vuicc reader wait --reader 'Virtual PCD 00 01' --timeout 60
  vuicc reader wait --reader unix:card.sock
      until the card behind a socket answers
  vuicc reader wait --gone
      until no reader holds a card any more

The PC/SC service looks for a card two or three times a second; one that is in a virtual reader already is trusted after \
half a second. Commands of vuicc that use a card wait two seconds for it by \
themselves; other programs do not.")]
    Wait {
        /// In this reader: its number, its name or a part of it; or behind a socket, tcp:HOST:PORT or unix:PATH [default: any
        /// reader]
        #[arg(long, value_name = "NAME")]
        reader: Option<String>,
        /// Until it is empty; without --reader, until all are
        #[arg(long)]
        gone: bool,
        /// How long to wait
        #[arg(long, value_name = "SECONDS", default_value_t = 10)]
        timeout: u64,
    },
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::List => list(context),
        Command::Wait { reader, gone, timeout } => {
            wait(reader.as_deref(), *gone, Duration::from_secs(*timeout), context)
        }
        Command::Qemu(arguments) => usb::qemu(arguments, context),
        Command::Usbip(arguments) => usb::usbip(arguments, context),
        Command::Pull(arguments) => hand::run(arguments, Moved::Pulled, context),
        Command::Insert(arguments) => hand::run(arguments, Moved::Inserted, context),
        Command::Reset(arguments) => hand::run(arguments, Moved::Reset, context),
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let readers = match list_readers() {
        // A service without readers is an answer, not a failure.
        Err(ReaderError::NoReaders) => Vec::new(),
        outcome => outcome?,
    };
    if readers.is_empty() {
        context.output.text(ReaderError::NoReaders)?;
    }
    for reader in readers {
        context.output.put(&Line::from(reader))?;
    }
    Ok(())
}

fn wait(reader: Option<&str>, gone: bool, limit: Duration, context: &Context) -> Result<(), Failure> {
    if let Some(address) = reader.and_then(CardAddress::of_reader) {
        let address = address?;
        let found = if gone { until_silent(&address, limit) } else { until_answered(&address, limit) };
        return Ok(context.output.put(&found.map_err(in_vain)?)?);
    }
    let found =
        if gone { wait_until_empty(reader, limit) } else { wait_for_card(reader, limit).map(|reader| vec![reader]) };
    for reader in found.map_err(in_vain)? {
        context.output.put(&Line::from(reader))?;
    }
    Ok(())
}

/// Between two looks at a socket.
const GLANCE: Duration = Duration::from_millis(50);
/// The same while a card is there, which is told of each.
const GLANCE_AT_CARD: Duration = Duration::from_millis(250);

/// Waits until a card behind a socket answers.
fn until_answered(address: &CardAddress, limit: Duration) -> Result<Behind, ReaderError> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match SocketCard::connect_within(address, left.max(GLANCE)) {
            Ok(card) => {
                let atr = Some(hexadecimal::whole(card.atr()));
                return Ok(Behind { socket: address.to_string(), card: true, atr });
            }
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(GLANCE),
        }
    }
}

/// Waits until nothing listens at the address of a socket.
fn until_silent(address: &CardAddress, limit: Duration) -> Result<Behind, ReaderError> {
    let deadline = Instant::now() + limit;
    while is_listening(&address.socket, GLANCE_AT_CARD) {
        if Instant::now() >= deadline {
            return Err(ReaderError::Occupied { reader: address.to_string() });
        }
        std::thread::sleep(GLANCE_AT_CARD);
    }
    Ok(Behind { socket: address.to_string(), card: false, atr: None })
}

/// Why nothing came of waiting: the time was over, or waiting does not help.
fn in_vain(error: ReaderError) -> Failure {
    let exit = match error {
        ReaderError::WithoutPcsc | ReaderError::AccessDenied { .. } => Exit::Card,
        ReaderError::ReaderAmbiguous { .. } => Exit::Usage,
        _ => Exit::TimedOut,
    };
    Failure::from(error).with(exit)
}

/// A card behind a socket.
#[derive(Serialize)]
struct Behind {
    socket: String,
    card: bool,
    atr: Option<String>,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.socket, self.atr.as_deref().unwrap_or("no card"))
    }
}

#[derive(Serialize)]
struct Line {
    index: usize,
    name: String,
    card: bool,
    atr: Option<String>,
    in_use: bool,
    exclusive: bool,
}

impl From<Reader> for Line {
    fn from(reader: Reader) -> Self {
        let atr = reader.card.as_deref().filter(|atr| !atr.is_empty()).map(hexadecimal::whole);
        let Reader { index, name, card, in_use, exclusive, events: _ } = reader;
        Self { index, name, card: card.is_some(), atr, in_use, exclusive }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let card = match (&self.atr, self.card) {
            (Some(atr), _) => atr,
            (None, true) => "a card that does not answer to reset",
            (None, false) => "empty",
        };
        let used = match (self.in_use, self.exclusive) {
            (_, true) => "  (in use, exclusively)",
            (true, false) => "  (in use, shared)",
            (false, false) => "",
        };
        write!(f, "{:>2}  {}  {card}{used}", self.index, self.name)
    }
}
