//! A card that its place and the control channel have in turn: each for one command, or one order.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use apdu::{Class, Icc};
use card::Card;
use card_os::DomainId;
use card_os::fs::FileNumber;
use console::Exit;
use inspector::{By, Seen};
use reader_bridge::trace::Event;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::control::{
    Answer, Beside, Demand, Moved, Order, Overwrite, no_such_fault, not_in_a_usb_reader, not_ordered, not_written,
};
use crate::failure::Failure;
use crate::hexadecimal;

/// Hears what happens to a card, in order; `false` when it does not any more.
pub(crate) type Tap = Box<dyn FnMut(Seen) -> bool + Send>;

/// A card that its place and the control channel have in turn: each for one command, or one order.
#[derive(Clone)]
pub(crate) struct Shared {
    held: Arc<Mutex<Held>>,
    /// Told when the host is not in the middle of something any more.
    is_between: Arc<Condvar>,
    presence: watch::Sender<Presence>,
    /// Whether its place heeds that.
    is_heeded: bool,
}

/// Whether a card is to be in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    /// Now.
    pub(crate) is_in: bool,
    /// How often it was pulled: its host is to miss it each time, however soon it is back.
    pub(crate) pulls: u64,
}

struct Held {
    card: Card,
    is_powered: bool,
    /// Its power was cut, and its host does not know.
    is_cut: bool,
    /// The host is in the middle of something: a response waits to be fetched, or more of a command is to come.
    host_is_busy: bool,
    taps: Vec<Tap>,
}

impl Held {
    fn tell(&mut self, by: By, event: Event<'_>) {
        if self.taps.is_empty() {
            return;
        }
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
        let seen = Seen { by, event: event.recorded(at) };
        self.taps.retain_mut(|tap| tap(seen.clone()));
    }

    fn power_on(&mut self, by: By) -> Vec<u8> {
        let atr = Icc::power_on(&mut self.card);
        (self.is_powered, self.is_cut, self.host_is_busy) = (true, false, false);
        self.tell(by, Event::PowerOn { atr: &atr });
        atr
    }

    fn power_off(&mut self, by: By) {
        Icc::power_off(&mut self.card);
        if std::mem::take(&mut self.is_powered) {
            self.tell(by, Event::PowerOff);
        }
        self.host_is_busy = false;
    }

    fn transmit(&mut self, by: By, command: &[u8], response: &mut Vec<u8>) {
        let (from, begun) = (response.len(), Instant::now());
        self.card.transmit_into(command, response);
        if self.taps.is_empty() {
            return;
        }
        let response = response.get(from..).unwrap_or_default().to_vec();
        self.tell(by, Event::Exchange { command, response: &response, took: begun.elapsed(), left_out: &[] });
    }
}

impl Shared {
    /// One that stays where it is, or whose reader pulls it.
    pub(crate) fn new(card: Card) -> Self {
        let held = Held { card, is_powered: false, is_cut: false, host_is_busy: false, taps: Vec::new() };
        let presence = watch::channel(Presence { is_in: true, pulls: 0 }).0;
        Self { held: Arc::new(Mutex::new(held)), is_between: Arc::default(), presence, is_heeded: false }
    }

    /// One that can be pulled: its place heeds [`Shared::presence`], or it has none.
    pub(crate) fn in_place(card: Card) -> Self {
        Self { is_heeded: true, ..Self::new(card) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the card is to be in its place.
    pub(crate) fn presence(&self) -> watch::Receiver<Presence> {
        self.presence.subscribe()
    }

    /// Its reader has moved it.
    pub(crate) fn is_moved(&self, is_in: bool) {
        self.presence.send_modify(|presence| presence.is_in = is_in);
    }

    /// Tells a tap what happens from now on.
    pub(crate) fn tap(&self, tap: Tap) {
        self.held().taps.push(tap);
    }

    /// Has the card, and waits until its host is not in the middle of something: whether it has come to that.
    fn between_commands(&self) -> (MutexGuard<'_, Held>, bool) {
        const LONGEST: Duration = Duration::from_millis(500);
        let waited = self.is_between.wait_timeout_while(self.held(), LONGEST, |held| held.host_is_busy);
        let (held, late) = waited.unwrap_or_else(PoisonError::into_inner);
        (held, !late.timed_out())
    }

    /// The same of a card that is in, for what would cost its host the response that waits for it.
    fn undisturbed(&self) -> Result<MutexGuard<'_, Held>, Failure> {
        let (held, is_between) = self.between_commands();
        if !self.presence.borrow().is_in {
            return Err(Failure::because("the card is out of its place; put it back first").with(Exit::Card));
        }
        if !is_between {
            return Err(Failure::because(
                "the host of the card has not fetched the response that waits for it, or sends a command in parts; try again, or pull \
                 the card",
            )
            .with(Exit::Card));
        }
        Ok(held)
    }

    /// Carries an order out.
    pub(crate) fn obey(&self, demand: &Demand) -> Answer {
        let outcome = match demand {
            Demand::Faults(Order::Add(texts)) => self.add(texts).map(Answer::Done),
            Demand::Faults(Order::Clear(numbers)) => self.clear(numbers).map(Answer::Done),
            Demand::Place { moved } => self.put(*moved).map(|()| Answer::Done(Vec::new())),
            Demand::Beside(wanted) => self.serve_owner(wanted),
        };
        outcome.unwrap_or_else(|failure| Answer::refusal(&failure))
    }

    fn serve_owner(&self, wanted: &Beside) -> Result<Answer, Failure> {
        match wanted {
            Beside::State => {
                let is_powered = self.held().is_powered;
                return Ok(Answer::State { is_in: self.presence.borrow().is_in, is_powered });
            }
            Beside::Transmit(command) => return self.transmit_beside(&command.0).map(Answer::Response),
            Beside::Cut => {
                let mut held = self.undisturbed()?;
                held.power_off(By::Owner);
                held.is_cut = true;
            }
            Beside::Reset => drop(self.undisturbed()?.power_on(By::Owner)),
            Beside::Overwrite(wanted) => self.overwrite(wanted)?,
            Beside::Watch => return Err(Failure::because("this is told over a connection of its own")),
        }
        Ok(Answer::Done(Vec::new()))
    }

    /// Pulls the card, which its host notices whatever it is about, or puts it back.
    fn put(&self, moved: Moved) -> Result<(), Failure> {
        if !self.is_heeded {
            return Err(not_in_a_usb_reader());
        }
        let (mut held, _) = self.between_commands();
        let is_in = self.presence.borrow().is_in;
        match moved {
            Moved::Inserted if is_in => {
                return Err(Failure::because("the card is in its place already").with(Exit::Card));
            }
            Moved::Pulled | Moved::Reset if !is_in => {
                return Err(Failure::because("the card is out of its place already").with(Exit::Card));
            }
            Moved::Inserted => self.is_moved(true),
            Moved::Pulled | Moved::Reset => {
                held.power_off(By::Owner);
                // Until its place has let go of it.
                held.is_cut = true;
                self.presence.send_modify(|presence| {
                    *presence = Presence { is_in: moved == Moved::Reset, pulls: presence.pulls + 1 };
                });
                self.is_between.notify_all();
            }
        }
        Ok(())
    }

    fn add(&self, texts: &[String]) -> Result<Vec<u16>, Failure> {
        let faults = texts.iter().map(|text| card::fault::parse(text)).collect::<Result<Vec<_>, _>>();
        let faults = faults.map_err(|error| Failure::because(error.to_string()).with(Exit::Usage))?;
        self.held().card.order_faults(&faults).map_err(|error| not_ordered(&error))
    }

    fn clear(&self, numbers: &[u16]) -> Result<Vec<u16>, Failure> {
        let mut held = self.held();
        let there: Vec<u16> = held.card.faults().iter().map(|fault| fault.number).collect();
        if let Some(missing) = numbers.iter().find(|number| !there.contains(number)) {
            return Err(no_such_fault(*missing));
        }
        let wanted = (!numbers.is_empty()).then_some(numbers);
        held.card.clear_faults(wanted).map_err(|_| not_written())
    }

    /// A command beside the host. A card without power gets it.
    fn transmit_beside(&self, command: &str) -> Result<String, Failure> {
        let command = Zeroizing::new(octets(command)?);
        let mut held = self.undisturbed()?;
        if held.is_cut {
            return Err(Failure::because("the card has no power; reset it first").with(Exit::Card));
        }
        if !held.is_powered {
            held.power_on(By::Owner);
        }
        let mut response = Vec::new();
        held.transmit(By::Owner, &command, &mut response);
        // What holds it back is for the one who waits for it.
        let delay = Icc::delay(&mut held.card);
        drop(held);
        thread::sleep(delay);
        Ok(hexadecimal::whole(&response))
    }

    fn overwrite(&self, wanted: &Overwrite) -> Result<(), Failure> {
        let octets = octets(&wanted.octets)?;
        let (domain, file) = (DomainId(wanted.domain), FileNumber(wanted.file));
        let written = self.held().card.overwrite(domain, file, wanted.offset, &octets);
        written.map_err(|why| Failure::because(why.to_string()))
    }
}

fn octets(text: &str) -> Result<Vec<u8>, Failure> {
    hexadecimal::parse(text)
        .map_err(|_| Failure::because("no hexadecimal; write two digits per byte").with(Exit::Usage))
}

/// Whether a host that got this answer to this command sends another one that belongs to it.
fn has_more(command: &[u8], response: &[u8]) -> bool {
    let is_chained = command.first().copied().and_then(Class::parse).is_some_and(Class::is_chained);
    is_chained || matches!(response.last_chunk(), Some([0x61 | 0x9F, _]))
}

impl Icc for Shared {
    fn power_on(&mut self) -> Vec<u8> {
        let atr = self.held().power_on(By::Host);
        self.is_between.notify_all();
        atr
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        let mut held = self.held();
        let atr = held.card.warm_reset();
        (held.is_powered, held.is_cut, held.host_is_busy) = (true, false, false);
        held.tell(By::Host, Event::WarmReset { atr: &atr });
        self.is_between.notify_all();
        atr
    }

    fn power_off(&mut self) {
        self.held().power_off(By::Host);
        self.is_between.notify_all();
    }

    fn atr(&self) -> Vec<u8> {
        self.held().card.atr()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        let mut held = self.held();
        if held.is_cut {
            // A card without power is silent.
            return;
        }
        held.transmit(By::Host, command, response);
        held.host_is_busy = has_more(command, response);
        if !held.host_is_busy {
            self.is_between.notify_all();
        }
    }

    fn delay(&mut self) -> Duration {
        Icc::delay(&mut self.held().card)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

#[cfg(test)]
mod tests {
    use card::entropy::ChaCha;
    use card::personalise::{Euicc, euicc, mint_pki};

    use super::super::control::Digits;
    use super::*;

    /// Between a command and the response that waits nobody else's comes.
    #[test]
    fn a_host_that_has_to_fetch_is_in_the_middle_of_something() {
        assert!(has_more(&[0x00, 0xA4, 0, 4, 2, 0x2F, 0xE2], &[0x61, 0x20]));
        assert!(!has_more(&[0x00, 0xB0, 0, 0, 0], &[0x6C, 0x0A]), "the whole command comes again");
        assert!(has_more(&[0x10, 0xE2, 0, 0, 1, 0], &[0x90, 0x00]));
        assert!(!has_more(&[0x00, 0xC0, 0, 0, 0x20], &[0x62, 0x00, 0x90, 0x00]));
        assert!(!has_more(&[], &[]));
    }

    fn shared(make: fn(Card) -> Shared) -> Shared {
        const NOW: u64 = 1_767_225_600;
        let mut entropy = ChaCha::from_number(1);
        let pki = mint_pki(None, NOW, &mut entropy).unwrap();
        let new = euicc(&Euicc::new(pki, NOW), &mut entropy).unwrap();
        make(new.insert(Box::new(ChaCha::from_number(2))))
    }

    fn done(answer: Answer) -> Vec<u16> {
        if let Answer::Done(numbers) = answer { numbers } else { panic!("{answer:?}") }
    }

    fn refused(answer: Answer) -> String {
        if let Answer::Refused { line, .. } = answer { line } else { panic!("{answer:?}") }
    }

    /// In a reader as behind a socket: what holds the response back asks the card itself.
    #[test]
    fn a_shared_card_is_the_card() {
        let mut shared = shared(Shared::new);
        assert_eq!(shared.power_on(), shared.atr());
        let order = Order::Add(vec!["slow=2500ms@SELECT".to_owned(), "mute@SELECT,from=2".to_owned()]);
        assert_eq!(done(shared.clone().obey(&order.into())), [1, 2]);
        let mut answer = Vec::new();
        shared.transmit(&[0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00], &mut answer);
        assert_eq!((answer, shared.delay().as_millis()), (vec![0x90, 0x00], 2500));
        assert_eq!(done(shared.obey(&Order::Clear(vec![]).into())), [1, 2]);
        assert!(matches!(shared.obey(&Order::Clear(vec![1]).into()), Answer::Refused { exit_code: 2, .. }));
    }

    /// What waits for the host stays for it: its owner is refused, or waits.
    #[test]
    fn the_response_of_a_host_is_not_lost() {
        let mut shared = shared(Shared::new);
        shared.power_on();
        let mut waiting = Vec::new();
        shared.transmit(&[0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00], &mut waiting);
        let [0x61, length] = waiting[..] else { panic!("{waiting:02X?}") };
        let status = || Demand::Beside(Beside::Transmit(Digits("80F2000000".to_owned())));
        for order in [status(), Demand::Beside(Beside::Reset), Demand::Beside(Beside::Cut)] {
            assert!(refused(shared.obey(&order)).contains("has not fetched"), "{order:?}");
        }
        let owner = shared.clone();
        // However long the host takes: who is refused tries again.
        let waits = thread::spawn(move || {
            loop {
                match owner.obey(&status()) {
                    Answer::Refused { line, .. } => assert!(line.contains("has not fetched"), "{line}"),
                    answer => break answer,
                }
            }
        });
        let mut fetched = Vec::new();
        shared.transmit(&[0x00, 0xC0, 0x00, 0x00, length], &mut fetched);
        assert!(fetched.starts_with(&[0x62]) && fetched.ends_with(&[0x90, 0x00]), "{fetched:02X?}");
        assert!(matches!(waits.join().unwrap(), Answer::Response(_)));
    }

    /// However soon it is back.
    #[test]
    fn a_pulled_card_is_missed_each_time() {
        let mut shared = shared(Shared::in_place);
        let mut heeded = shared.presence();
        shared.power_on();
        let put = |moved| shared.obey(&Demand::Place { moved });
        assert!(refused(put(Moved::Inserted)).contains("in its place already"));
        done(put(Moved::Pulled));
        assert!(refused(put(Moved::Reset)).contains("out of its place already"));
        done(put(Moved::Inserted));
        done(put(Moved::Reset));
        assert!(heeded.has_changed().unwrap());
        assert_eq!(*heeded.borrow_and_update(), Presence { is_in: true, pulls: 2 });
        let mut answer = Vec::new();
        shared.transmit(&[0x80, 0xF2, 0x00, 0x00, 0x00], &mut answer);
        assert!(answer.is_empty(), "it has no power");
        let elsewhere = super::tests::shared(Shared::new);
        assert!(refused(elsewhere.obey(&Demand::Place { moved: Moved::Pulled })).contains("USB reader"));
    }
}
