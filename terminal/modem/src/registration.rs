//! Registration: whether a network has authenticated the card. TS 27.007 §7.2, §10.1.20, §10.1.22.

use std::time::Duration;

use crate::card::Card;
use crate::modem::{Function, Modem};
use crate::network::{Coverage, Request, cause};
use crate::unsolicited::Unsolicited;

/// How long until a network that could not be reached is tried again: first, and at most; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The state of `+CREG`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Not registered, and not looking for a network.
    #[default]
    None = 0,
    /// Registered at home.
    Home = 1,
    /// Not registered; looking for a network, or being authenticated.
    Searching = 2,
    /// The network refused the card.
    Denied = 3,
}

/// A network's code: MCC and MNC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plmn(pub(crate) String);

#[derive(Debug, Default)]
pub(crate) struct Registration {
    state: State,
    /// How the network is chosen, as `+COPS` has it: 0 by the modem, 1 by the program, 4 by the program if that network is there;
    /// 2 none, until another is chosen.
    pub(crate) mode: u8,
    /// Counts the attempts.
    attempt: u64,
    /// The last of them is under way or has succeeded: the network is heard. After a refusal `+CREG` goes on to show that one.
    is_heard: bool,
    /// The card's generation that was looked at.
    looked_at: Option<u64>,
    /// Its PIN is asked for, and was not verified.
    is_locked: bool,
    /// The subscription of the card.
    subscription: Option<Subscription>,
    pause: Duration,
    retry_at: Option<Duration>,
}

#[derive(Debug)]
struct Subscription {
    imsi: String,
    mnc_length: usize,
    name: Option<String>,
}

impl Registration {
    /// Whether the program has deregistered: `+COPS=2`; `+CGATT=0` does not.
    pub(crate) const fn is_refrained(&self) -> bool {
        self.mode == 2
    }

    pub(crate) const fn is_registered(&self) -> bool {
        matches!(self.state, State::Home)
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// The network of the card.
    pub(crate) fn plmn(&self) -> Option<Plmn> {
        let subscription = self.subscription.as_ref()?;
        subscription.imsi.get(..3 + subscription.mnc_length).map(|digits| Plmn(digits.to_owned()))
    }

    /// What the card calls its network.
    pub(crate) fn name(&self) -> Option<&str> {
        self.subscription.as_ref()?.name.as_deref()
    }

    /// Whether an event is of the present attempt.
    pub(crate) const fn is_of(&self, attempt: u64) -> bool {
        self.attempt == attempt && self.is_heard
    }
}

impl Modem {
    /// Registers, if there is what that needs; or ends it.
    pub(crate) fn register(&mut self) {
        if self.coverage == Coverage::None {
            return;
        }
        let generation = self.card.generation();
        let may = self.function == Function::Full && !self.registration.is_refrained() && !self.is_starting();
        if self.registration.looked_at != Some(generation) || !may {
            self.deregister();
        }
        if !may {
            return;
        }
        if self.registration.looked_at != Some(generation) {
            // Not again until another reset, unless a PIN is verified.
            self.registration.looked_at = Some(generation);
            self.registration.is_locked = false;
            self.registration.subscription = None;
            if !self.card.is_on() {
                return;
            }
            match self.card.is_pin_enabled() {
                Ok(true) if !self.card.is_pin_verified() => self.registration.is_locked = true,
                Ok(_) => self.begin(),
                Err(_) => {}
            }
            // The card may have gone meanwhile, which is another generation.
        } else if self.registration.is_locked {
            if self.card.is_pin_verified() {
                self.registration.is_locked = false;
                self.begin();
            }
        } else if self.registration.subscription.is_none() {
        } else if self.registration.state == State::None
            || self.registration.retry_at.is_some_and(|retry_at| retry_at <= self.now)
        {
            self.attach();
        }
    }

    fn begin(&mut self) {
        self.registration.pause = FIRST_PAUSE;
        self.registration.subscription = subscription(&mut self.card);
        if self.registration.subscription.is_some() {
            self.attach();
        }
    }

    fn attach(&mut self) {
        let registration = &mut self.registration;
        let Some(Subscription { imsi, mnc_length, .. }) = &registration.subscription else { return };
        registration.retry_at = None;
        if self.coverage == Coverage::Simulated {
            return self.note(State::Home);
        }
        registration.attempt += 1;
        registration.is_heard = true;
        let (attempt, imsi, mnc_length) = (registration.attempt, imsi.clone(), *mnc_length);
        self.requests.push(Request::Attach { attempt, imsi, mnc_length });
        // A refusal stays one until the network takes it back.
        if self.registration.state != State::Denied {
            self.note(State::Searching);
        }
    }

    /// Ends the registration, and what it carries.
    fn deregister(&mut self) {
        if self.registration.state == State::None && self.registration.retry_at.is_none() {
            return;
        }
        self.registration.is_heard = false;
        self.registration.retry_at = None;
        self.registration.pause = FIRST_PAUSE;
        if self.coverage == Coverage::Real {
            self.requests.push(Request::Detach);
        }
        self.note(State::None);
        self.forget_network();
    }

    /// What was under way is not heard of again.
    fn forget_network(&mut self) {
        for number in std::mem::take(&mut self.submitted) {
            self.outcomes.insert(number, Some(cause::NETWORK_OUT_OF_ORDER));
        }
        self.incoming.forget();
    }

    /// The network has authenticated the card.
    pub(crate) fn attached(&mut self) {
        self.registration.pause = FIRST_PAUSE;
        self.registration.retry_at = None;
        self.note(State::Home);
        self.announce_memory();
    }

    /// The network refuses the card. It may be in service later.
    pub(crate) fn refused(&mut self) {
        self.registration.is_heard = false;
        self.registration.retry_at = Some(self.now + LONGEST_PAUSE);
        self.note(State::Denied);
        self.forget_network();
    }

    /// The network is not there, for now.
    pub(crate) fn lost(&mut self) {
        let pause = self.registration.pause.max(FIRST_PAUSE);
        self.registration.is_heard = false;
        self.registration.retry_at = Some(self.now + pause);
        self.registration.pause = (pause * 2).min(LONGEST_PAUSE);
        self.note(State::Searching);
        self.forget_network();
    }

    fn note(&mut self, state: State) {
        if std::mem::replace(&mut self.registration.state, state) != state {
            self.unsolicited.put(None, Unsolicited::Registration);
        }
    }
}

/// The subscription of a card; `None` if it has none, or one that cannot be read.
fn subscription(card: &mut Card) -> Option<Subscription> {
    let name = card.service_provider();
    let mut usim = card.usim().ok()?;
    let (imsi, mnc_length) = (usim.imsi().ok()?, usim.mnc_length().ok()?);
    Some(Subscription { imsi: imsi.as_str().to_owned(), mnc_length, name })
}
