//! The cards of a fleet in one process: opened, asked for their EIDs, and kept for clients.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use apdu::{Icc as _, InProcess};
use card::Card;
use card::assemble;
use card::entropy::ChaCha;
use card::image::fleet::Member;
use console::Exit;
use crypto::provider::Provider;
use lpa::{Euicc, Options};
use reader_bridge::socket::fleet::{Cards, Unselected};

use super::Folder;
use crate::failure::Failure;

/// A card of a fleet, without power.
pub(super) struct FleetCard {
    pub(super) member: Member,
    pub(super) card: Box<Card>,
}

/// Opens all cards of a fleet, for this process alone. They share what they verify.
pub(super) fn open(folder: &Folder) -> Result<(Vec<u8>, Vec<FleetCard>), Failure> {
    let provider: Arc<dyn Provider> = crypto_ring::provider();
    let fleet = folder.open()?;
    let manufacture = &fleet.manufacture;
    let cards = fleet.cards.into_iter().map(|(member, memory)| {
        let entropy = Box::new(ChaCha::from_operating_system()?);
        let card = assemble::card(manufacture, Box::new(memory), entropy, Arc::clone(&provider));
        Ok(FleetCard { member, card: Box::new(card) })
    });
    let cards = cards.collect::<Result<_, Failure>>()?;
    Ok((manufacture.profile.atr.clone(), cards))
}

/// Asks every card for its EID, by as many threads as there are processors.
pub(super) fn wake(cards: Vec<FleetCard>) -> Result<Vec<FleetCard>, Failure> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let count = cards.len();
    let waiting = Mutex::new(cards.into_iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let awake = thread::scope(|scope| {
        let threads: Vec<_> = (0..processors)
            .map(|_| {
                scope.spawn(|| {
                    let mut awake = Vec::with_capacity(count / processors);
                    while let Some(card) = next() {
                        awake.push(asked(card)?);
                    }
                    Ok::<_, Failure>(awake)
                })
            })
            .collect();
        let ended = || Failure::because("a thread stopped unexpectedly; run it with RUST_BACKTRACE=1");
        let mut awake = Vec::with_capacity(count);
        for thread in threads {
            awake.extend(thread.join().map_err(|_| ended())??);
        }
        Ok::<_, Failure>(awake)
    })?;
    Ok(awake)
}

fn asked(mut one: FleetCard) -> Result<FleetCard, Failure> {
    let named = |failure: Failure| failure.while_doing(&format!("card {}", one.member.eid)).with(Exit::Card);
    let asked = Euicc::open(InProcess::connect(&mut *one.card), Options::default()).and_then(|mut euicc| euicc.eid());
    let eid = asked.map_err(|error| named(error.into()))?;
    if eid != one.member.eid {
        return Err(named(Failure::because(format!("says it is {eid}; the file of the fleet is damaged"))));
    }
    one.card.power_off();
    Ok(one)
}

/// Cards by EID, for the clients of a socket.
pub(super) struct Shelf {
    /// `None` while a client has it.
    cards: HashMap<[u8; 16], Mutex<Option<Box<Card>>>>,
    given_out: AtomicUsize,
}

impl Shelf {
    pub(super) fn of(cards: Vec<FleetCard>) -> Self {
        let cards = cards.into_iter().map(|one| (*one.member.eid.octets(), Mutex::new(Some(one.card))));
        Self { cards: cards.collect(), given_out: AtomicUsize::new(0) }
    }

    /// How many cards clients have had.
    pub(super) fn given_out(&self) -> usize {
        self.given_out.load(Ordering::Relaxed)
    }
}

impl Cards for Shelf {
    type Card = Box<Card>;

    fn take(&self, eid: [u8; 16]) -> Result<Box<Card>, Unselected> {
        let place = self.cards.get(&eid).ok_or(Unselected::NoSuchCard)?;
        let card = place.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(Unselected::InUse)?;
        self.given_out.fetch_add(1, Ordering::Relaxed);
        Ok(card)
    }

    fn put_back(&self, eid: [u8; 16], card: Box<Card>) {
        if let Some(place) = self.cards.get(&eid) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(card);
        }
    }
}
