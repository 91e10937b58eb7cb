//! Keeping secrets out of traces.

use capture::MASK;

use super::Variables;
use crate::trace::{Event, Observer};

/// An [`Observer`] that tells another one everything but the values of secret variables: each byte of them is [`MASK`].
#[derive(Debug)]
pub struct Hiding<O> {
    inner: O,
    secrets: Variables,
}

impl<O> Hiding<O> {
    /// Tells `inner`.
    pub const fn new(inner: O, secrets: Variables) -> Self {
        Self { inner, secrets }
    }

    fn masked(&self, bytes: &[u8]) -> Vec<u8> {
        let mut masked = bytes.to_vec();
        for range in self.secrets.secrets_of_response(bytes) {
            if let Some(secret) = masked.get_mut(range) {
                secret.fill(MASK);
            }
        }
        masked
    }
}

impl<O: Observer> Observer for Hiding<O> {
    fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Exchange { command, response, took } => {
                let (command, response) = (self.masked(command), self.masked(response));
                self.inner.observe(Event::Exchange { command: &command, response: &response, took });
            }
            Event::Failed { command, cause } => {
                let command = self.masked(command);
                self.inner.observe(Event::Failed { command: &command, cause });
            }
            Event::PowerOn { .. } | Event::WarmReset { .. } | Event::PowerOff => self.inner.observe(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn secrets_are_masked() {
        let mut secrets = Variables::new();
        secrets.set_secret("key", vec![1, 2, 3, 4]);
        let mut seen = Vec::new();
        let mut hiding = Hiding::new(
            |event: Event<'_>| {
                if let Event::Exchange { command, response, .. } = event {
                    seen.push((command.to_vec(), response.to_vec()));
                }
            },
            secrets,
        );
        let (command, response) = (&[0, 0xDA, 1, 2, 3, 4], &[1, 2, 3, 0x90, 0]);
        hiding.observe(Event::Exchange { command, response, took: Duration::ZERO });
        drop(hiding);
        assert_eq!(seen, [(vec![0, 0xDA, 0x2A, 0x2A, 0x2A, 0x2A], response.to_vec())]);
    }
}
