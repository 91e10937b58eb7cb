//! Cards at work, each in a thread of its own, so that they do not wait for each other's computations.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apdu::{Icc, StatusWord};
use reader_bridge::ReaderError;
use reader_bridge::pcsc_reader::{Reader, list_readers, touch, wait_for_new_card};
use reader_bridge::socket::{self, Address, Client, Listener};
use reader_bridge::trace::Tracer;
use reader_bridge::usb_reader::UsbReader;
use reader_bridge::vpcd::{self, Link, no_reader};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::first_port;
use super::neighbours::Neighbours;
use super::usb_links::UsbLinks;
use crate::card::shared::Presence;
use crate::failure::Failure;
use crate::output::{Output, beside};
use crate::random;
use crate::trace::Watcher;
use crate::way_out::OTHER_SLOT;

/// How long a card whose reader has its answer to reset may take until the PC/SC service shows it.
const SHOWN: Duration = Duration::from_secs(3);

/// Between two looks at several readers.
const GLANCE: Duration = Duration::from_millis(20);
/// Why a card that has its power is not ready.
const UNSEEN: &str = "the PC/SC service of this machine does not show the card";

/// Where the PC/SC service of this machine shows a card.
enum Seen {
    /// In this reader.
    In(String),
    /// It has nothing to do with the card's slot.
    Elsewhere,
    /// It should, and does not.
    Nowhere,
}

/// Looks for the reader that a card was put into since `before` was listed.
fn own_reader(before: &[Reader], atr: &[u8], mark: &Mark) -> Seen {
    let deadline = Instant::now() + SHOWN;
    loop {
        let mut names: Vec<_> = wait_for_new_card(before, atr, SHOWN).into_iter().map(|reader| reader.name).collect();
        // Cards were put into several at once: the one that this card is touched in is its own. It may not be among them yet.
        let own = match names.len() {
            0 | 1 => names.pop(),
            _ => names.into_iter().find(|name| mark.is_touched_by(|| touch(name, &mark.command))),
        };
        match own {
            Some(name) => return Seen::In(name),
            None if !has_virtual_reader(&list_readers()) => return Seen::Elsewhere,
            None if Instant::now() >= deadline => return Seen::Nowhere,
            None => thread::sleep(GLANCE),
        }
    }
}

/// Whether the PC/SC service of this machine has a virtual reader, whose slots are here: one that has none is not the one that
/// a slot of this machine belongs to.
fn has_virtual_reader(readers: &Result<Vec<Reader>, ReaderError>) -> bool {
    readers.as_ref().is_ok_and(|readers| readers.iter().any(Reader::is_virtual))
}

/// Where a card is to be.
pub(crate) enum Place {
    /// In a slot of the virtual reader: its address.
    Slot(String),
    /// Behind a socket that listens, in a runtime of its own.
    Socket(Listener, Runtime),
    /// In a USB reader, likewise.
    Usb(UsbReader, Runtime),
}

/// What a card's thread tells.
#[derive(Debug)]
pub(super) struct Event {
    /// The number of the card.
    pub(super) card: usize,
    /// Counts how often hosts could or could not use the card: what is told of an earlier time is late.
    pub(super) generation: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// The reader has turned to the card.
    Inserted,
    /// Hosts can use it, in a reader of one of these names, or of a name that is not known.
    Usable(Vec<String>),
    /// Hosts cannot use it: why.
    Unusable(String),
    /// Nor will they soon, as another card is in its slot.
    Full(String),
}

/// One card, its place and who is told.
pub(super) struct Seat<'a> {
    pub(super) number: usize,
    pub(super) image: &'a Path,
    pub(super) place: Place,
    pub(super) tracer: Option<Watcher>,
    pub(super) output: Output,
    /// All slots that this process fills.
    pub(super) slots: &'a [String],
    /// Who may be in its slot.
    pub(super) neighbours: Neighbours,
    pub(super) stopped: watch::Receiver<bool>,
    /// Whether it is to be in its place; `None`: always.
    pub(super) presence: Option<watch::Receiver<Presence>>,
    /// When hosts have noticed that the card is gone: until then nobody else gets it.
    pub(super) missed: watch::Receiver<bool>,
    /// The number of the card that may look for its reader; those before it have.
    pub(super) turn: watch::Receiver<usize>,
    pub(super) events: UnboundedSender<Event>,
}

impl Seat<'_> {
    /// Serves the card until that is stopped.
    pub(super) fn serve(mut self, card: impl Icc) -> Result<(), Failure> {
        if let Some(tracer) = self.tracer.take() {
            return self.serve_on(&mut Tracer::new(card, tracer));
        }
        let mut card = card;
        self.serve_on(&mut card)
    }

    fn serve_on(self, card: &mut impl Icc) -> Result<(), Failure> {
        let mark = Mark::new();
        let card = &mut Marked { card, mark: mark.clone() };
        let Self { number, image, place, output, slots, neighbours, stopped, presence, .. } = self;
        let (mut missed, mut turn, events) = (self.missed, self.turn, self.events);
        let mut staying = Staying { stopped, presence, missed: 0 };
        match place {
            Place::Socket(listener, runtime) => {
                let address = listener.address().to_string();
                let _ = events.send(Event { card: number, generation: 0, what: What::Usable(Vec::new()) });
                let told = |client: Client<'_>| tell_of_client(output, image, &address, &client);
                runtime.block_on(async {
                    while staying.is_back(Duration::ZERO).await {
                        socket::serve(card, &listener, staying.is_over(), told).await;
                    }
                });
            }
            Place::Usb(reader, runtime) => {
                let mut links = UsbLinks::new(number, image, &reader.via, output, events);
                runtime.block_on(reader.serve(card, staying.is_stopped(), |link| links.hear(&link)));
            }
            Place::Slot(slot) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let mut slot = Slot::new(number, image, slot, slots, (card.atr(), mark), events);
                runtime.block_on(async {
                    tokio::select! {
                        () = staying.is_stopped() => return,
                        _ = turn.wait_for(|turn| *turn >= number) => {}
                    }
                    let address = slot.address.clone();
                    tokio::select! {
                        () = staying.is_stopped() => return,
                        () = neighbours.vacancy(&address, |told| slot.is_taken(&told)) => {}
                    }
                    while staying.is_back(ABSENCE).await {
                        slot.look();
                        vpcd::serve(card, &address, staying.is_over(), |link| slot.hear(output, &link)).await;
                        if staying.is_pulled() {
                            slot.lose(What::Unusable("it was pulled out".to_owned()));
                        }
                    }
                    // An error means that nobody looks.
                    let _ = missed.wait_for(|is_missed| *is_missed).await;
                });
            }
        }
        Ok(())
    }
}

/// How long a card stays out of a reader that is to miss it: it would take one that is back before that for the same, that has power.
const ABSENCE: Duration = Duration::from_millis(1500);

/// How long a card is to be in its place.
struct Staying {
    stopped: watch::Receiver<bool>,
    presence: Option<watch::Receiver<Presence>>,
    /// How many pulls its host has missed it for.
    missed: u64,
}

impl Staying {
    async fn is_stopped(&mut self) {
        // An error means that the sender is gone, which is a stop too.
        let _ = self.stopped.wait_for(|stop| *stop).await;
    }

    /// Whether it was pulled since it was put in.
    fn is_pulled(&self) -> bool {
        self.presence.as_ref().is_some_and(|presence| presence.borrow().pulls != self.missed)
    }

    /// Completes when the card is pulled, or stopped.
    async fn is_over(&mut self) {
        let Self { stopped, presence, missed } = self;
        let pulled = async {
            match presence {
                Some(presence) => drop(presence.wait_for(|presence| presence.pulls != *missed).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => {}
            () = pulled => {}
        }
    }

    /// Waits until the card is to be in its place, which may be now; one that was pulled is out for `absence` at least.
    /// `false`: it is stopped.
    async fn is_back(&mut self, absence: Duration) -> bool {
        if *self.stopped.borrow() {
            return false;
        }
        let absence = if self.is_pulled() { absence } else { Duration::ZERO };
        let Self { stopped, presence: Some(presence), missed } = self else { return true };
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => return false,
            () = async {
                tokio::time::sleep(absence).await;
                let back = presence.wait_for(|presence| presence.is_in).await;
                // What was pulled meanwhile was not in.
                *missed = back.map_or(*missed, |presence| presence.pulls);
            } => {}
        }
        true
    }
}

/// A command that no host sends, by which a card finds out in which reader it is.
#[derive(Clone)]
struct Mark {
    command: Vec<u8>,
    is_touched: Arc<AtomicBool>,
}

impl Mark {
    fn new() -> Self {
        // GET DATA of nothing, with data: any other card refuses it.
        let command = [&[0x80, 0xCA, 0x00, 0x00, 0x10][..], &random::bytes::<16>()].concat();
        Self { command, is_touched: Arc::default() }
    }

    /// Whether the card was sent this command meanwhile.
    fn is_touched_by<E>(&self, touch: impl FnOnce() -> Result<(), E>) -> bool {
        self.is_touched.store(false, Ordering::Relaxed);
        touch().is_ok() && self.is_touched.load(Ordering::Relaxed)
    }
}

/// A card that notes its mark, and otherwise does not notice it.
struct Marked<'a, C> {
    card: &'a mut C,
    mark: Mark,
}

impl<C: Icc> Icc for Marked<'_, C> {
    fn power_on(&mut self) -> Vec<u8> {
        self.card.power_on()
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        self.card.warm_reset()
    }

    fn power_off(&mut self) {
        self.card.power_off();
    }

    fn atr(&self) -> Vec<u8> {
        self.card.atr()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        if command == self.mark.command {
            self.mark.is_touched.store(true, Ordering::Relaxed);
            response.extend(StatusWord::REFERENCED_DATA_NOT_FOUND.0.to_be_bytes());
            return;
        }
        self.card.transmit(command, response);
    }

    fn delay(&mut self) -> Duration {
        self.card.delay()
    }
}

/// A card in a slot: what is told of it.
struct Slot<'a> {
    number: usize,
    image: &'a Path,
    address: String,
    slots: &'a [String],
    atr: Vec<u8>,
    mark: Mark,
    events: UnboundedSender<Event>,
    generation: u64,
    /// The same, for those who look for the card meanwhile.
    newest: Arc<AtomicU64>,
    /// What the readers of this machine held before the card was put in.
    before: Vec<Reader>,
    /// The last cause of waiting that was told: a card may wait long, and tries every two seconds.
    last: Option<String>,
}

impl<'a> Slot<'a> {
    fn new(
        number: usize,
        image: &'a Path,
        address: String,
        slots: &'a [String],
        (atr, mark): (Vec<u8>, Mark),
        events: UnboundedSender<Event>,
    ) -> Self {
        let (newest, before) = (Arc::default(), Vec::new());
        Self { number, image, address, slots, atr, mark, events, generation: 0, newest, before, last: None }
    }

    /// Looks at what the readers hold now.
    fn look(&mut self) {
        self.before = list_readers().unwrap_or_default();
    }

    fn hear(&mut self, output: Output, link: &Link<'_>) {
        match link {
            Link::Inserted => self.say(What::Inserted),
            Link::Powered => self.find(),
            Link::Unanswered => self.lose(What::Full(format!("{link}{}", other_slot(&self.address, self.slots)))),
            Link::Waiting { cause, .. } if cause.kind() == ErrorKind::TimedOut => {
                self.lose(What::Full(format!("{}{}", no_reader(cause), other_slot(&self.address, self.slots))));
            }
            Link::Waiting { cause, .. } => self.lose(What::Unusable(no_reader(cause))),
            Link::Reinserting { why, .. } => self.lose(What::Unusable(why.to_string())),
            Link::Ejected => {}
        }
        self.tell(output, link);
    }

    /// Another card is there, for longer than it takes to end.
    fn is_taken(&self, told: &Failure) {
        told.tell();
        if let Failure::Because(cause) = told {
            self.say(What::Unusable(cause.to_string()));
        }
    }

    fn say(&self, what: What) {
        // The receiver is gone when all cards are stopped.
        let _ = self.events.send(Event { card: self.number, generation: self.generation, what });
    }

    fn lose(&mut self, why: What) {
        self.begin_anew();
        self.say(why);
        self.look();
    }

    fn begin_anew(&mut self) {
        self.generation += 1;
        self.newest.store(self.generation, Ordering::Relaxed);
    }

    /// Finds out, beside the card, when hosts see it and what they call its reader.
    fn find(&mut self) {
        self.begin_anew();
        let is_here = Address::Tcp(self.address.clone()).is_local();
        let (card, generation, events) = (self.number, self.generation, self.events.clone());
        let (before, atr, mark) = (std::mem::take(&mut self.before), self.atr.clone(), self.mark.clone());
        let newest = Arc::clone(&self.newest);
        thread::spawn(move || {
            let say = |what| events.send(Event { card, generation, what }).is_ok();
            while is_here && newest.load(Ordering::Relaxed) == generation {
                match own_reader(&before, &atr, &mark) {
                    Seen::In(name) => {
                        say(What::Usable(vec![name]));
                        return;
                    }
                    Seen::Elsewhere => break,
                    Seen::Nowhere if say(What::Unusable(UNSEEN.to_owned())) => {}
                    // Nobody wants to know any more.
                    Seen::Nowhere => return,
                }
            }
            say(What::Usable(Vec::new()));
        });
    }

    /// Reports an event between card and reader.
    fn tell(&mut self, output: Output, link: &Link<'_>) {
        let (event, cause) = match link {
            Link::Inserted => ("inserted", None),
            Link::Unanswered => ("unanswered", None),
            Link::Waiting { cause, .. } => ("waiting", Some(cause.to_string())),
            Link::Reinserting { why, .. } => ("reinserting", Some(why.to_string())),
            Link::Ejected => ("ejected", None),
            // That it can be used is told when hosts see it.
            Link::Powered => return,
        };
        let waits_for = cause.clone().filter(|_| event == "waiting");
        let is_told = waits_for.is_some() && self.last == waits_for;
        self.last = waits_for;
        if is_told {
            return;
        }
        let (image, slot) = (self.image, self.address.as_str());
        // An unreachable reader is no reason to eject the card.
        beside(output.json(&json!({ "card": image, "reader": slot, "event": event, "cause": cause })));
        let is_taken = match link {
            Link::Unanswered => true,
            Link::Waiting { cause, .. } => cause.kind() == ErrorKind::TimedOut,
            _ => false,
        };
        let way_out = if is_taken { other_slot(slot, self.slots) } else { String::new() };
        beside(output.text(format_args!("{} in {slot}: {link}{way_out}", image.display())));
    }
}

/// Reports an event between card and client.
fn tell_of_client(output: Output, image: &Path, address: &str, client: &Client<'_>) {
    let (event, cause) = match client {
        Client::Connected => ("connected", None),
        Client::Gone(cause) => ("disconnected", Some(cause.to_string())),
        Client::Unaccepted(cause) => ("unaccepted", Some(cause.to_string())),
    };
    beside(output.json(&json!({ "card": image, "socket": address, "event": event, "cause": cause })));
    beside(output.text(format_args!("{} at {address}: {client}", image.display())));
}

/// The option for the other slot of the same virtual reader, which has two; `all` are those that this program fills.
fn other_slot(slot: &str, all: &[String]) -> String {
    let port =
        |slot: &str| slot.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse::<u16>().ok()?)));
    let Some((host, port)) = port(slot) else { return OTHER_SLOT.to_owned() };
    let first = first_port().unwrap_or(port);
    let other = if port == first { port.checked_add(1) } else { Some(first) };
    let other = other.map(|other| format!("{host}:{other}")).filter(|other| !all.contains(other));
    other.map_or_else(|| OTHER_SLOT.to_owned(), |other| format!(" (--reader {other})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that has no virtual reader, or no service at all, shows no card of a slot that is somebody else's.
    #[test]
    fn who_would_show_a_card() {
        let reader = |name: &str| Reader {
            index: 0,
            name: name.to_owned(),
            card: None,
            in_use: false,
            exclusive: false,
            events: 0,
        };
        assert!(has_virtual_reader(&Ok(vec![reader("ACS ACR38U 00 00"), reader("Virtual PCD 00 00")])));
        assert!(!has_virtual_reader(&Ok(vec![reader("ACS ACR38U 00 00")])));
        assert!(!has_virtual_reader(&Err(ReaderError::NoService)));
    }

    /// Where another card is in a slot, the option for the other one is given whole.
    #[test]
    fn the_other_slot_is_named() {
        let first = first_port().unwrap();
        let other_slot = |slot: &str| super::other_slot(slot, &["127.0.0.2:7".into(), format!("127.0.0.2:{first}")]);
        assert_eq!(other_slot(&format!("127.0.0.2:{}", first + 1)), OTHER_SLOT, "it has a card of this program");
        assert_eq!(other_slot(&format!("127.0.0.1:{first}")), format!(" (--reader 127.0.0.1:{})", first + 1));
        assert_eq!(other_slot(&format!("[::1]:{}", first + 1)), format!(" (--reader [::1]:{first})"));
        assert_eq!(other_slot("nowhere"), OTHER_SLOT);
    }
}
