//! `vuicc card fault`: orders what is to go wrong with a card, lists and clears it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use card::fault::is_of_an_euicc;
use card::image::{self, CardType, FileNvm, ImageError};
use card::inspect::{Fault, faults};
use card::{OpenError, fault};
use clap::{Args, Subcommand};
use console::Exit;
use reader_bridge::ReaderError;
use reader_bridge::pcsc_reader::find_reader;
use reader_bridge::socket::Address;
use serde::Serialize;
use serde_json::json;

use super::control::{Order, ask_about_faults, no_such_fault, not_ordered, not_written};
use super::eject::is_same;
use super::ready::{ReadyCard, Record, folder, running as running_in};
use crate::Context;
use crate::failure::{AtPath, Failure};
use crate::file::image;
use crate::output::within_a_line;
use crate::target::once_free;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Order faults: what goes wrong, where, from which time on, how often
    #[command(after_help = after_help(), override_usage = "vuicc card fault add <PATH|--reader <NAME>> <FAULT>...")]
    Add(Add),
    /// List the faults that are ordered, and what has become of them
    #[command(after_help = "\
Examples:
  vuicc card fault list my.img
  vuicc card fault list --reader 'Virtual PCD 00 00'
  vuicc card fault list my.img --json | jq .left

A card that runs may be looked at as well.")]
    List(List),
    /// Clear faults: they do not strike any more
    #[command(
        after_help = "\
Examples:
  vuicc card fault clear my.img
      all of them
  vuicc card fault clear my.img 2 3
      those of these numbers, as listed
  vuicc card fault clear --reader 0
      all of the card that `vuicc card run` has put into reader 0",
        override_usage = "vuicc card fault clear <PATH|--reader <NAME>> [NUMBER]..."
    )]
    Clear(Clear),
}

/// Which card, where the image is not named in its place.
#[derive(Debug, Args)]
struct Running {
    /// The card that `vuicc card run` has put there, in place of its image: number, name or a part of the name of a reader,
    /// HOST:PORT of a slot, or tcp:HOST:PORT or unix:PATH of a socket
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The card image, which may be one that runs; and what is to go wrong
    #[arg(value_name = "PATH> <FAULT", required_unless_present = "reader")]
    words: Vec<OsString>,
    #[command(flatten)]
    running: Running,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The card image, which may be one that runs
    #[arg(value_name = "PATH", value_parser = image, required_unless_present = "reader", conflicts_with = "reader")]
    image: Option<PathBuf>,
    #[command(flatten)]
    running: Running,
}

#[derive(Debug, Args)]
pub(crate) struct Clear {
    /// The card image, which may be one that runs; and numbers of faults [default: all]
    #[arg(value_name = "PATH> <NUMBER", required_unless_present = "reader")]
    words: Vec<OsString>,
    #[command(flatten)]
    running: Running,
}

/// What the table of faults says.
fn after_help() -> String {
    let kinds: Vec<String> =
        fault::KINDS.iter().map(|kind| format!("  {}\n{}", kind.form(), indented(kind.meaning))).collect();
    let kinds = kinds.concat();
    let instructions = indented(&apdu::Ins::names().collect::<Vec<_>>().join(" "));
    format!(
        "\
A fault is written WHAT[@PLACE][,before|,after][,from=N][,times=N|,always]. Without more it strikes once, the next time.

WHAT:
  FUNCTION=CODE
      an ES10 function answers with this result code, by name or number,
      instead of being carried out; with `after` it is carried out
  COMMAND=REASON
      a command within a bound profile package fails with this errorReason
{kinds}
PLACE: an instruction by name or two digits, an ES10 function (LoadBoundProfilePackage at each piece an LPA sends), or for \
`cut` also `write`: where non-volatile memory is written. Without it, any command. Instructions by name:
{instructions}
Of several that decide the answer to one command only one strikes, the one met first, and of those at one place the one \
ordered first; the others strike the next time. Flipped bits and delays strike beside it.

Examples:
  vuicc card fault add my.img EnableProfile=catBusy,times=2
  vuicc card fault add my.img loadProfileElements=scp03tSecurityError,always
  vuicc card fault add my.img cut@LoadBoundProfilePackage,from=12
  vuicc card fault add my.img slow=3s@CancelSession status=6F00@SELECT,from=2
  vuicc card fault add --reader 'Virtual PCD 00 00' EnableProfile=catBusy
      while `vuicc card run` has the card there, and an LPA uses it

A fault lies in the image, is counted down there, and strikes in whatever the card is in: a reader, a socket, a command with \
--card. docs/faults.md says which to order to test what."
    )
}

/// A text in lines of at most 80 columns, below what it explains.
fn indented(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 80;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column + 1 + length > 80 {
            lines.push_str(if lines.is_empty() { "      " } else { "\n      " });
            column = 6;
        } else {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines.push('\n');
    lines
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Add(add) => {
            let (place, faults) = Place::of(&add.running, &add.words, context)?;
            if faults.is_empty() {
                return Err(Failure::because(
                    "what is to go wrong? `vuicc card fault add --help` has the words for it",
                )
                .with(Exit::Usage));
            }
            let faults = faults.iter().map(|word| fault::parse(&word.to_string_lossy())).collect::<Result<Vec<_>, _>>();
            let faults = faults.map_err(|error| Failure::because(error.to_string()).with(Exit::Usage))?;
            let (manufacture, _) = image::read(&place.image)?;
            if manufacture.card_type != CardType::Euicc
                && let Some(never) = faults.iter().find(|fault| is_of_an_euicc(fault))
            {
                return Err(never_on_a_uicc(never, &place.image));
            }
            let numbers = place.carry_out(Order::add(&faults))?;
            place.tell(context, |fault| numbers.contains(&fault.number))
        }
        Command::List(list) => {
            let words: Vec<OsString> = list.image.iter().map(|image| image.clone().into_os_string()).collect();
            let (place, _) = Place::of(&list.running, &words, context)?;
            let (_, memory) = image::read(&place.image)?;
            if faults(&memory).is_empty() {
                context.output.text(format_args!("{}: no faults", place.image.display()))?;
            }
            place.tell(context, |_| true)
        }
        Command::Clear(clear) => {
            let (place, words) = Place::of(&clear.running, &clear.words, context)?;
            let numbers = words.iter().map(|word| number(&word.to_string_lossy())).collect::<Result<_, _>>()?;
            let cleared = place.carry_out(Order::Clear(numbers))?;
            let image = &place.image;
            context.output.json(&json!({ "image": image, "reader": place.reader, "cleared": cleared }))?;
            Ok(context.output.text(format_args!("{}: {} cleared", image.display(), cleared.len()))?)
        }
    }
}

fn number(word: &str) -> Result<u16, Failure> {
    let digits = Some(word).filter(|word| word.bytes().all(|digit| digit.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        let told = format!("`{}` is no number of a fault; `vuicc card fault list` lists them", within_a_line(word));
        Failure::because(told).with(Exit::Usage)
    })
}

fn never_on_a_uicc(never: &fault::Fault, image: &Path) -> Failure {
    let text = fault::text(never);
    Failure::because(format!(
        "{text} can never strike: {} is a UICC, which has no ES10; order it for an eUICC",
        image.display()
    ))
    .with(Exit::Usage)
}

/// A card, and who has it.
#[derive(Debug)]
struct Place {
    image: PathBuf,
    /// The reader, slot or socket it was named by.
    reader: Option<String>,
    /// The process that runs it, the card's number there, and the folder of the record.
    run: Option<(u32, usize, PathBuf)>,
}

impl Place {
    /// The card that the options or the first word name, and the other words.
    fn of<'a>(running: &Running, words: &'a [OsString], context: &Context) -> Result<(Self, &'a [OsString]), Failure> {
        let folder = folder(&context.state)?;
        if let Some(reader) = &running.reader {
            let wanted = Wanted::of(reader)?;
            let (pid, number, image) = wanted.find(&folder)?;
            return Ok((Self { image, reader: Some(wanted.name), run: Some((pid, number, folder)) }, words));
        }
        let Some((path, words)) = words.split_first() else {
            return Err(Failure::because("which card? Name its image, or with --reader where it is").with(Exit::Usage));
        };
        let image = image_of(path)?;
        let whole = std::path::absolute(&image).at("look into", &image)?;
        let records = running_in(&folder);
        let run = find(&records, |card| is_same(&card.image, &whole));
        let run = run.map(|(pid, number, _)| (pid, number, folder));
        Ok((Self { image, reader: None, run }, words))
    }

    /// Has the process that runs the card carry an order out, or carries it out in the image.
    fn carry_out(&self, order: Order) -> Result<Vec<u16>, Failure> {
        if let Some((pid, number, folder)) = &self.run {
            return ask_about_faults(folder, *pid, *number, order);
        }
        let mut nvm = open(&self.image)?;
        match order {
            Order::Add(texts) => {
                let faults = texts.iter().map(|text| fault::parse(text)).collect::<Result<Vec<_>, _>>();
                let faults = faults.map_err(|error| Failure::because(error.to_string()).with(Exit::Usage))?;
                fault::order(&mut nvm, &faults).map_err(|error| not_ordered(&error))
            }
            Order::Clear(numbers) => {
                let there = faults(nvm.memory());
                let is_there = |number: &u16| there.iter().any(|fault| fault.number == *number);
                if let Some(missing) = numbers.iter().find(|number| !is_there(number)) {
                    return Err(no_such_fault(*missing));
                }
                let wanted = (!numbers.is_empty()).then_some(numbers.as_slice());
                fault::clear(&mut nvm, wanted).map_err(|_| not_written())
            }
        }
    }

    /// Shows its faults, as the image has them.
    fn tell(&self, context: &Context, is_told: impl Fn(&Fault) -> bool) -> Result<(), Failure> {
        let (_, memory) = image::read(&self.image)?;
        let (image, reader) = (self.image.as_path(), self.reader.as_deref());
        for fault in faults(&memory).into_iter().filter(is_told) {
            context.output.put(&Listed { image, reader, fault })?;
        }
        Ok(())
    }
}

/// The first card that fits, of those that run: its process, its number there, and what is known of it.
fn find(records: &[(PathBuf, Record)], is_it: impl Fn(&ReadyCard) -> bool) -> Option<(u32, usize, &ReadyCard)> {
    let mut cards = records.iter().flat_map(|(_, record)| {
        record.ready.cards.iter().enumerate().map(|(number, card)| (record.ready.pid, number, card))
    });
    cards.find(|(_, _, card)| is_it(card))
}

fn image_of(path: &OsStr) -> Result<PathBuf, Failure> {
    let text = path.to_str();
    match text {
        Some(text) => image(text).map_err(|error| Failure::because(error).with(Exit::Usage)),
        None => Ok(path.into()),
    }
}

/// Where a card is wanted.
#[derive(Debug)]
struct Wanted {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Slot,
    Socket,
    /// Whether a card is in it.
    Reader(bool),
}

impl Wanted {
    fn of(text: &str) -> Result<Self, Failure> {
        let host_and_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if let Some(address) = Address::of_reader(text) {
            let address = address.map_err(|error| Failure::from(error).with(Exit::Usage))?;
            return Ok(Self { name: address.to_string(), kind: Kind::Socket });
        }
        if host_and_port {
            return Ok(Self { name: text.to_owned(), kind: Kind::Slot });
        }
        let reader = find_reader(text).map_err(|error| match error {
            error @ ReaderError::ReaderAmbiguous { .. } => Failure::from(error).with(Exit::Usage),
            error => error.into(),
        })?;
        Ok(Self { kind: Kind::Reader(reader.card.is_some()), name: reader.name })
    }

    fn is(&self, card: &ReadyCard) -> bool {
        let at = match self.kind {
            Kind::Slot => &card.slot,
            Kind::Socket => &card.socket,
            Kind::Reader(_) => &card.reader,
        };
        at.as_deref() == Some(&self.name)
    }

    /// The card there: its process, its number there, its image.
    fn find(&self, folder: &Path) -> Result<(u32, usize, PathBuf), Failure> {
        /// How long a card that was just put in may take until its process knows the reader.
        const FOUND: Duration = Duration::from_secs(3);
        const GLANCE: Duration = Duration::from_millis(20);
        let deadline = Instant::now() + FOUND;
        loop {
            let records = running_in(folder);
            if let Some((pid, number, card)) = find(&records, |card| self.is(card)) {
                if !card.image.is_absolute() {
                    return Err(not_an_image(&card.image));
                }
                return Ok((pid, number, card.image.clone()));
            }
            let is_on_its_way = find(&records, |card| card.slot.is_some() && card.reader.is_none()).is_some();
            if !(is_on_its_way && matches!(self.kind, Kind::Reader(true)) && Instant::now() < deadline) {
                return Err(self.not_ours());
            }
            std::thread::sleep(GLANCE);
        }
    }

    fn not_ours(&self) -> Failure {
        let name = &self.name;
        let told = match self.kind {
            Kind::Reader(false) => format!("{name} is empty; `vuicc card run IMAGE` puts a card in"),
            Kind::Reader(true) => format!(
                "the card in {name} is none that `vuicc card run` runs with this state directory (--state); faults are for \
                 such cards, real ones cannot be told to fail"
            ),
            Kind::Slot | Kind::Socket => format!(
                "no card runs at {name} that was started with this state directory (--state); `vuicc card run` starts one"
            ),
        };
        Failure::because(told).with(Exit::Card)
    }
}

fn not_an_image(name: &Path) -> Failure {
    Failure::because(format!(
        "{} is a card that `vuicc apdu proxy`, `vuicc apdu replay` or `vuicc modem run` has from elsewhere: faults are of card \
         images, and it is none",
        name.display()
    ))
    .with(Exit::Card)
}

/// The image, to be changed.
fn open(image: &Path) -> Result<FileNvm, Failure> {
    const A_COMMAND: Duration = Duration::from_secs(2);
    once_free(|| Ok(FileNvm::open(image)?), A_COMMAND).map_err(|error| match error {
        OpenError::Image(ImageError::InUse { path, holder }) => Failure::because(format!(
            "{} is in use by {holder}; if that is `vuicc card run`, name the state directory it was started with (--state), and \
             it takes the order; otherwise wait until it is done",
            path.display()
        ))
        .with(Exit::Card),
        other => other.into(),
    })
}

#[derive(Serialize)]
struct Listed<'a> {
    image: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    reader: Option<&'a str>,
    #[serde(flatten)]
    fault: Fault,
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault)
    }
}
