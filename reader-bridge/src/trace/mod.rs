//! Watching a card: a wrapper that reports every reset and every command, whichever side of the reader it sits on.

use std::time::{Duration, Instant};

use apdu::Icc;
use capture::{LeftOut, What};

pub use capture::secret_part;
pub(crate) use decode::hex;
pub use decode::{describe_command, describe_response, pretty_tlv};

use apdu::transport::{Transport, TransportError};

/// What APDUs mean, for recordings.
pub const DESCRIBE: capture::Describe =
    capture::Describe { command: describe_command, response: describe_response, tree: pretty_tlv };

/// What was seen to happen to a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A cold reset.
    PowerOn {
        /// Answer to reset.
        atr: &'a [u8],
    },
    /// A warm reset.
    WarmReset {
        /// Answer to reset.
        atr: &'a [u8],
    },
    /// The power was taken away.
    PowerOff,
    /// A command was answered.
    Exchange {
        /// Command APDU.
        command: &'a [u8],
        /// Response APDU: data, SW1, SW2. Empty if the card stayed mute.
        response: &'a [u8],
        /// Time between the two, as seen from here; with the time that a card holds its response back.
        took: Duration,
        /// Octets of both that are not told.
        left_out: &'a [LeftOut],
    },
    /// A command was not answered, or a reset failed.
    Failed {
        /// Command APDU; empty for a reset.
        command: &'a [u8],
        /// What went wrong.
        cause: &'a str,
        /// Octets of the command that are not told.
        left_out: &'a [LeftOut],
    },
}

impl Event<'_> {
    /// The same as recordings have it; `at` is the time since 1970-01-01 UTC.
    pub fn recorded(self, at: Option<Duration>) -> capture::Event {
        let (took, what, left_out) = match self {
            Self::PowerOn { atr } => (None, What::Reset { atr: atr.into(), warm: false }, &[][..]),
            Self::WarmReset { atr } => (None, What::Reset { atr: atr.into(), warm: true }, &[][..]),
            Self::PowerOff => (None, What::PowerOff, &[][..]),
            Self::Exchange { command, response, took, left_out } => {
                (Some(took), What::Exchange { command: command.into(), response: response.into() }, left_out)
            }
            Self::Failed { command, cause, left_out } => {
                (None, What::Failed { command: command.into(), cause: cause.into() }, left_out)
            }
        };
        capture::Event { at, took, left_out: left_out.to_vec(), ..capture::Event::new(what) }
    }

    /// An event of a recording, as an observer would have seen it.
    pub fn of(event: &capture::Event) -> Event<'_> {
        let left_out = event.left_out.as_slice();
        match &event.what {
            What::Reset { atr, warm: false } => Event::PowerOn { atr },
            What::Reset { atr, warm: true } => Event::WarmReset { atr },
            What::PowerOff => Event::PowerOff,
            What::Exchange { command, response } => {
                Event::Exchange { command, response, took: event.took.unwrap_or_default(), left_out }
            }
            What::Failed { command, cause } => Event::Failed { command, cause, left_out },
        }
    }
}

/// Receives [`Event`]s. Closures of the right shape are observers.
pub trait Observer {
    /// Hears of one event, in order.
    fn observe(&mut self, event: Event<'_>);
}

impl<F: FnMut(Event<'_>)> Observer for F {
    fn observe(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// A card (as [`Icc`]) or a connection to one (as [`Transport`]) with an observer.
#[derive(Debug)]
pub struct Tracer<T, O> {
    inner: T,
    observer: O,
    /// Whether there is power that can be taken away: hosts do so again and again.
    is_powered: bool,
    /// How long the last response is to be held back.
    delay: Duration,
}

impl<T, O> Tracer<T, O> {
    /// Lets `observer` watch `inner` from now on.
    pub const fn new(inner: T, observer: O) -> Self {
        Self { inner, observer, is_powered: false, delay: Duration::ZERO }
    }

    /// What is watched.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    /// What is watched, to be changed behind the observer's back.
    pub const fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gets every exchange.
    pub const fn observer(&self) -> &O {
        &self.observer
    }

    /// Ends the watch.
    pub fn into_parts(self) -> (T, O) {
        (self.inner, self.observer)
    }
}

impl<T, O: Observer> Tracer<T, O> {
    fn report(&mut self, command: &[u8], took: Duration, outcome: &Result<Vec<u8>, TransportError>) {
        match outcome {
            Ok(response) => self.observer.observe(Event::Exchange { command, response, took, left_out: &[] }),
            Err(error) => {
                self.observer.observe(Event::Failed { command, cause: &error.to_string(), left_out: &[] });
            }
        }
    }
}

impl<T: Transport, O: Observer + Send> Transport for Tracer<T, O> {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        let outcome = self.inner.reset();
        match &outcome {
            Ok(atr) => self.observer.observe(Event::PowerOn { atr }),
            Err(_) => self.report(&[], Duration::ZERO, &outcome),
        }
        outcome
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        let outcome = self.inner.warm_reset();
        match &outcome {
            Ok(atr) => self.observer.observe(Event::WarmReset { atr }),
            Err(_) => self.report(&[], Duration::ZERO, &outcome),
        }
        outcome
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let start = Instant::now();
        let outcome = self.inner.transmit(command);
        self.report(command, start.elapsed(), &outcome);
        outcome
    }

    fn atr(&self) -> &[u8] {
        self.inner.atr()
    }

    fn hold(&mut self) -> Result<(), TransportError> {
        self.inner.hold()
    }

    fn release(&mut self) {
        self.inner.release();
    }

    fn is_emulated(&self) -> bool {
        self.inner.is_emulated()
    }
}

impl<T: Icc, O: Observer> Icc for Tracer<T, O> {
    fn power_on(&mut self) -> Vec<u8> {
        let atr = self.inner.power_on();
        self.is_powered = true;
        self.observer.observe(Event::PowerOn { atr: &atr });
        atr
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        let atr = self.inner.warm_reset();
        self.is_powered = true;
        self.observer.observe(Event::WarmReset { atr: &atr });
        atr
    }

    fn power_off(&mut self) {
        self.inner.power_off();
        if std::mem::replace(&mut self.is_powered, false) {
            self.observer.observe(Event::PowerOff);
        }
    }

    fn atr(&self) -> Vec<u8> {
        self.inner.atr()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        self.is_powered = true;
        let before = response.len();
        let start = Instant::now();
        self.inner.transmit(command, response);
        let took = start.elapsed();
        // It is asked once: here, so that the time told is the one that a host sees.
        self.delay = self.inner.delay();
        let response = response.get(before..).unwrap_or_default();
        self.observer.observe(Event::Exchange { command, response, took: took + self.delay, left_out: &[] });
    }

    fn delay(&mut self) -> Duration {
        std::mem::take(&mut self.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeCard;
    use apdu::InProcess;

    fn name(event: Event<'_>) -> String {
        match event {
            Event::Exchange { command, response, .. } => {
                format!("{}: {}", hex::encode_upper(command), hex::encode_upper(response))
            }
            Event::Failed { cause, .. } => format!("failed: {cause}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn host_and_card_side_see_the_same_commands() {
        let (mut host_saw, mut card_saw) = (Vec::new(), Vec::new());
        let card = Tracer::new(FakeCard::default(), |event: Event<'_>| card_saw.push(name(event)));
        let mut host = Tracer::new(InProcess::connect(card), |event: Event<'_>| host_saw.push(name(event)));
        host.reset().unwrap();
        host.transmit(&[0, 0xB0, 0, 0, 1]).unwrap();
        host.transmit(FakeCard::SILENT).unwrap_err();
        drop(host);
        assert_eq!(host_saw[1], "00B0000001: 009000");
        assert!(host_saw[2].starts_with("failed: the card did not answer"));
        assert_eq!(card_saw[1..3], ["PowerOff", "PowerOn { atr: [59, 2, 20, 80] }"]);
        assert_eq!(card_saw[3..], ["00B0000001: 009000", "00FE0000: "]);
    }

    /// A card that is two hours late.
    struct Slow(FakeCard);

    impl Icc for Slow {
        fn power_on(&mut self) -> Vec<u8> {
            self.0.power_on()
        }
        fn warm_reset(&mut self) -> Vec<u8> {
            self.0.warm_reset()
        }
        fn power_off(&mut self) {
            self.0.power_off();
        }
        fn atr(&self) -> Vec<u8> {
            self.0.atr()
        }
        fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
            self.0.transmit(command, response);
        }
        fn delay(&mut self) -> Duration {
            Duration::from_hours(2)
        }
    }

    #[test]
    fn the_time_of_a_slow_card_is_the_one_a_host_sees() {
        let mut seen = Vec::new();
        let mut card = Tracer::new(Slow(FakeCard::default()), |event: Event<'_>| {
            if let Event::Exchange { took, .. } = event {
                seen.push(took);
            }
        });
        card.transmit(&[0, 0xB0, 0, 0, 1], &mut Vec::new());
        assert_eq!((card.delay(), card.delay()), (Duration::from_hours(2), Duration::ZERO));
        drop(card);
        assert!(seen[0] >= Duration::from_hours(2), "{seen:?}");
    }
}
