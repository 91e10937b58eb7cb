//! Opens the cards, lets them run, and knows whether all of them can be used.

use std::future;
use std::iter;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use apdu::Icc;
use console::Exit;
use reader_bridge::socket::{Address, Listener};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Arguments;
use super::cards::{Event, Place, Seat, What};
use super::neighbours::Neighbours;
use crate::Context;
use crate::asynchronous::{Signals, Stoppable};
use crate::card::control::{Control, Seated};
use crate::card::detach::{Parent, Word};
use crate::card::eject::Departing;
use crate::card::ready::{Ready, ReadyCard, ReadyFile, Recorded};
use crate::card::shared::{Presence, Shared};
use crate::failure::Failure;
use crate::output::{beside, tell};
use crate::target::{IN_USE, once_free};
use crate::trace::Watcher;

/// How long a process in the background tries to find its readers, unless it is told.
const DETACHED: Duration = Duration::from_secs(30);
/// How long the PC/SC service may take to notice that a card was taken out: it looks two or three times a second, less often on a
/// machine with much else to do.
const MISSED: Duration = Duration::from_secs(10);

/// Runs the cards until that is interrupted, or one cannot be used for too long.
pub(super) fn run(arguments: &Arguments, context: &Context, parent: Option<&mut Parent>) -> Result<(), Failure> {
    // All images are opened and all addresses taken before any card is inserted, so a bad one is reported at once.
    let cards: Vec<_> = open(arguments)?.into_iter().map(Shared::in_place).collect();
    let seated: Vec<_> = cards.iter().cloned().map(Seated::from).collect();
    let stoppable = Stoppable::begin()?;
    let places = places(arguments)?;
    let seen = arguments.images.iter().map(|image| ReadyCard::of(image)).collect::<Result<Vec<_>, _>>()?;
    let seen = placed(seen, &places);
    let labels: Vec<_> = seen.iter().map(|card| card.place().to_owned()).collect();
    let labels: Vec<_> = labels.iter().map(String::as_str).collect();
    // The last, so that nothing else that is wrong costs an earlier one.
    let ready_file = ReadyFile::at(arguments.stay.ready_file.as_deref(), &context.state)?;
    let tracers = arguments.trace.observers(&labels)?;
    let (names, limit) = (arguments.images.clone(), arguments.stay.limit());
    // Without it the cards run as well.
    let presences = cards.iter().map(Shared::presence).collect();
    let control = Control::of(seated, &context.state).map_err(|failure| failure.tell()).ok();
    let running = Running { cards, names, seen, places, presences, tracers, ready_file, limit, stoppable };
    running.serve(context, parent, async {
        match control {
            Some(control) => control.serve().await,
            None => future::pending().await,
        }
    })
}

/// What is known of cards, with the places they are to have.
pub(crate) fn placed(mut seen: Vec<ReadyCard>, places: &[Place]) -> Vec<ReadyCard> {
    for (card, place) in seen.iter_mut().zip(places) {
        match place {
            Place::Slot(slot) => card.slot = Some(slot.clone()),
            Place::Socket(listener, _) => card.socket = Some(listener.address().to_string()),
            Place::Usb(reader, _) => card.usb = Some(reader.via.to_string()),
        }
    }
    seen
}

/// Cards that are open, and what surrounds them.
pub(crate) struct Running<C> {
    /// The cards.
    pub(crate) cards: Vec<C>,
    /// What users call each.
    pub(crate) names: Vec<PathBuf>,
    /// What is told of each.
    pub(crate) seen: Vec<ReadyCard>,
    /// Where each is to be.
    pub(crate) places: Vec<Place>,
    /// Whether each is to be in its place; of none: always.
    pub(crate) presences: Vec<watch::Receiver<Presence>>,
    /// Who watches each, if anybody does.
    pub(crate) tracers: Vec<Watcher>,
    /// The file that says that all can be used.
    pub(crate) ready_file: ReadyFile,
    /// How many seconds one may be without a reader.
    pub(crate) limit: Option<u64>,
    /// Who may end it.
    pub(crate) stoppable: Stoppable,
}

impl<C: Icc + Send> Running<C> {
    /// Runs the cards until that is interrupted, one cannot be used for too long, or `ended` says so.
    pub(crate) fn serve(
        self,
        context: &Context,
        parent: Option<&mut Parent>,
        ended: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let Self { cards, names, seen, places, presences, tracers, ready_file, limit, stoppable } = self;
        let ready = Ready::new(seen);
        let neighbours = Neighbours::of(&ready, &context.state);
        let is_impatient = parent.is_some() && limit.is_none();
        if is_impatient {
            neighbours.are_gone()?;
        }
        let recorded = Recorded::needed(&ready, ready_file.path(), &context.state, parent.is_some())?;
        let slots: Vec<_> = ready.cards.iter().filter_map(|card| card.slot.clone()).collect();
        let tracers = tracers.into_iter().map(Some).chain(iter::repeat_with(|| None));
        let limit = limit.map(Duration::from_secs).or_else(|| parent.is_some().then_some(DETACHED));
        let (stop, stopped) = watch::channel(false);
        let (tell_missed, missed) = watch::channel(false);
        let (take_turn, turn) = watch::channel(0);
        let (tell_event, events) = unbounded_channel();
        thread::scope(|scope| {
            let mut running = Vec::new();
            for (number, ((place, card), tracer)) in places.into_iter().zip(cards).zip(tracers).enumerate() {
                let image = names.get(number).map_or(Path::new(""), AsRef::as_ref);
                let (stopped, missed, turn) = (stopped.clone(), missed.clone(), turn.clone());
                let (events, neighbours) = (tell_event.clone(), neighbours.clone());
                let presence = presences.get(number).cloned();
                let (output, slots) = (context.output, slots.as_slice());
                let seat = Seat {
                    number,
                    image,
                    place,
                    tracer,
                    output,
                    slots,
                    neighbours,
                    stopped,
                    presence,
                    missed,
                    turn,
                    events,
                };
                running.push(scope.spawn(move || seat.serve(card)));
            }
            // Each thread has its own.
            drop(tell_event);
            let mut coordinator = Coordinator::new(ready, ready_file, recorded, limit, context, parent, neighbours);
            coordinator.is_impatient = is_impatient;
            let outcome = stoppable.run(async |signals| coordinator.wait(events, &take_turn, ended, signals).await);
            let departing = Departing::of(&coordinator.ready.cards);
            coordinator.withdraw();
            stop.send_replace(true);
            // The next command finds the readers empty.
            let _ = departing.still_there(std::time::Instant::now() + MISSED);
            tell_missed.send_replace(true);
            for card in running {
                let stopped = || Failure::because("a card stopped unexpectedly; run it with RUST_BACKTRACE=1");
                card.join().map_err(|_| stopped())??;
            }
            outcome.and_then(|()| coordinator.all_were_in())
        })
    }
}

/// Where each card is to be; sockets listen already.
fn places(arguments: &Arguments) -> Result<Vec<Place>, Failure> {
    if arguments.listeners.is_empty() {
        return Ok(arguments.slots()?.into_iter().map(Place::Slot).collect());
    }
    let (addresses, images) = (arguments.listeners.len(), arguments.images.len());
    if addresses != images {
        return Err(Failure::because(format!(
            "{addresses} addresses for {images} cards; give --listen once for each image"
        ))
        .with(Exit::Usage));
    }
    arguments.listeners.iter().map(listen).collect()
}

/// Listens there.
pub(crate) fn listen(address: &Address) -> Result<Place, Failure> {
    let (listener, runtime) = bind(address)?;
    if !address.is_local() {
        tell(&format!("vuicc: whatever reaches {} can use the card, without any authentication", listener.address()));
    }
    Ok(Place::Socket(listener, runtime))
}

/// The same, for who has other messages there.
pub(crate) fn bind(address: &Address) -> Result<(Listener, Runtime), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(Listener::bind(address)).map_err(|error| unbound(address, &error))?;
    Ok((listener, runtime))
}

/// Why nobody listens there, and the way out.
pub(crate) fn unbound(address: &Address, error: &std::io::Error) -> Failure {
    let way_out = match (error.kind(), address) {
        (std::io::ErrorKind::AddrInUse, Address::Tcp(_)) => "; take another port, or 0 for a free one",
        (std::io::ErrorKind::AddrInUse, Address::Unix(_)) => ": a process listens there; take another path",
        (std::io::ErrorKind::AlreadyExists, _) => "; take another path",
        _ => "",
    };
    Failure::because(format!("cannot listen at {address}: {error}{way_out}"))
}

fn open(arguments: &Arguments) -> Result<Vec<card::Card>, Failure> {
    let provider = arguments.key_log.before(arguments.seed.provider())?;
    arguments.seed.warn();
    let open = |(slot, image): (usize, &PathBuf)| once_free(|| arguments.seed.open(image, slot, &provider), IN_USE);
    let cards = arguments.images.iter().enumerate().map(open);
    Ok(cards.collect::<Result<Vec<_>, _>>()?)
}

/// What is known of one card.
#[derive(Clone, Debug)]
struct Known {
    generation: u64,
    is_usable: bool,
    was_in: bool,
    was_usable: bool,
    /// Since when it can be used or not.
    since: Instant,
    /// Why it cannot be used.
    why: String,
}

struct Coordinator<'a> {
    ready: Ready,
    known: Vec<Known>,
    ready_file: ReadyFile,
    recorded: Option<Recorded>,
    limit: Option<Duration>,
    context: &'a Context,
    parent: Option<&'a mut Parent>,
    /// Who may be in a slot that is full.
    neighbours: Neighbours,
    /// Whether a full slot is no reason to wait.
    is_impatient: bool,
    is_published: bool,
}

impl<'a> Coordinator<'a> {
    fn new(
        ready: Ready,
        ready_file: ReadyFile,
        recorded: Option<Recorded>,
        limit: Option<Duration>,
        context: &'a Context,
        parent: Option<&'a mut Parent>,
        neighbours: Neighbours,
    ) -> Self {
        let why = "the reader does not answer".to_owned();
        let known =
            Known { generation: 0, is_usable: false, was_in: false, was_usable: false, since: Instant::now(), why };
        let known = vec![known; ready.cards.len()];
        let (is_impatient, is_published) = (false, false);
        Self { ready, known, ready_file, recorded, limit, context, parent, neighbours, is_impatient, is_published }
    }

    /// Waits until the user or the system interrupts, or something is wrong.
    async fn wait(
        &mut self,
        mut events: UnboundedReceiver<Event>,
        turn: &watch::Sender<usize>,
        ended: impl Future<Output = Result<(), Failure>>,
        signals: &mut Signals,
    ) -> Result<(), Failure> {
        let mut ended = std::pin::pin!(ended);
        let mut interrupted = std::pin::pin!(signals.received());
        let gone = match &self.parent {
            Some(parent) => Some(parent.gone()?),
            None => None,
        };
        let mut abandoned = std::pin::pin!(async {
            match gone {
                Some(gone) => gone.await,
                None => future::pending().await,
            }
        });
        loop {
            let deadline = self.deadline();
            let elapsed = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                () = &mut interrupted => return Ok(()),
                outcome = &mut ended => return outcome,
                () = &mut abandoned, if self.parent.is_some() => {
                    return Err(Failure::because("the command that has started this process was ended before the cards were ready"));
                }
                () = elapsed => self.check_limit()?,
                Some(event) = events.recv() => {
                    // Whether it has found its reader or not: the next one may look for its own.
                    let number = event.card + 1;
                    if !matches!(event.what, What::Inserted) {
                        turn.send_if_modified(|turn| number > std::mem::replace(turn, number.max(*turn)));
                    }
                    self.take(event)?;
                }
            }
        }
    }

    /// When the first card that cannot be used has been so for too long.
    fn deadline(&self) -> Option<Instant> {
        let limit = self.limit?;
        self.known.iter().filter(|known| !known.is_usable).map(|known| known.since + limit).min()
    }

    fn check_limit(&self) -> Result<(), Failure> {
        let Some(limit) = self.limit else { return Ok(()) };
        let late = self.ready.cards.iter().zip(&self.known);
        let mut late = late.filter(|(_, known)| !known.is_usable && known.since.elapsed() >= limit);
        let Some((card, known)) = late.next() else { return Ok(()) };
        let place = card.wanted_place();
        let (image, why, seconds) = (card.image.display(), &known.why, limit.as_secs());
        Err(if known.was_usable {
            Failure::because(format!(
                "{image} lost its reader at {place} and did not find it again within {seconds} s: {why}"
            ))
            .with(Exit::Card)
        } else {
            let late = format!("{image} found no reader at {place} within {seconds} s");
            // What has the slot is the cause, whatever was noticed of it until now.
            let full = if known.was_in { None } else { self.neighbours.refusal(place) };
            full.unwrap_or_else(|| Failure::because(why.as_str())).while_doing(&late).with(Exit::TimedOut)
        })
    }

    fn take(&mut self, event: Event) -> Result<(), Failure> {
        let Some(known) = self.known.get_mut(event.card) else { return Ok(()) };
        if event.generation < known.generation {
            return Ok(());
        }
        known.generation = event.generation;
        match event.what {
            What::Inserted => known.was_in = true,
            What::Full(why) if !known.was_in && self.is_impatient => {
                let card = self.ready.cards.get(event.card);
                let place = card.map(ReadyCard::wanted_place).unwrap_or_default();
                let known = self.neighbours.refusal(place);
                return Err(known.unwrap_or_else(|| Failure::because(format!("{place}: {why}")).with(Exit::Card)));
            }
            What::Unusable(why) | What::Full(why) => {
                known.why = why;
                if std::mem::replace(&mut known.is_usable, false) {
                    known.since = Instant::now();
                }
                self.withdraw();
                self.is_nowhere(event.card)?;
            }
            What::Usable(names) => {
                (known.is_usable, known.was_in, known.was_usable) = (true, true, true);
                self.name(event.card, names);
                if self.known.iter().all(|known| known.is_usable) {
                    self.publish()?;
                }
            }
        }
        Ok(())
    }

    /// A card that hosts cannot use is in no reader: who ends this process does not wait for one.
    fn is_nowhere(&mut self, number: usize) -> Result<(), Failure> {
        let Some(card) = self.ready.cards.get_mut(number) else { return Ok(()) };
        match (card.reader.take(), &self.recorded) {
            (Some(_), Some(recorded)) => recorded.update(&self.ready),
            _ => Ok(()),
        }
    }

    /// Which of these readers a card is in: those of the others are not it.
    fn name(&mut self, number: usize, mut names: Vec<String>) {
        let others = self.ready.cards.iter().enumerate().filter(|(other, _)| *other != number);
        let taken: Vec<_> = others.filter_map(|(_, card)| card.reader.clone()).collect();
        names.retain(|name| !taken.contains(name));
        let Some(card) = self.ready.cards.get_mut(number) else { return };
        let is_kept = card.reader.as_ref().is_some_and(|before| names.contains(before));
        if !is_kept {
            card.reader = if names.len() == 1 { names.pop() } else { None };
        }
    }

    /// All cards can be used.
    fn publish(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.is_published, true) {
            return Ok(());
        }
        self.ready_file.write(&self.ready)?;
        if let Some(recorded) = &self.recorded {
            recorded.update(&self.ready)?;
        }
        beside(self.context.output.json(&json!({ "event": "ready", "ready": self.ready })));
        beside(self.context.output.text(&self.ready));
        if let Some(parent) = self.parent.take() {
            parent.tell(&Word::Ready(self.ready.clone()));
        }
        Ok(())
    }

    /// Not all cards can be used any more.
    fn withdraw(&mut self) {
        self.is_published = false;
        self.ready_file.remove();
    }

    /// Fails if a card was never in a reader.
    fn all_were_in(&self) -> Result<(), Failure> {
        let never_in = self.ready.cards.iter().zip(&self.known).filter(|(_, known)| !known.was_in);
        let told: Vec<_> = never_in
            .map(|(card, _)| format!("{} was never in the reader at {}", card.image.display(), card.wanted_place()))
            .collect();
        if told.is_empty() { Ok(()) } else { Err(Failure::because(told.join("; ")).with(Exit::Card)) }
    }
}
