//! Keeping secrets out of traces.

use capture::{LeftOut, MASK, Part};

use super::Variables;
use super::variables::Places;
use crate::trace::{Event, Observer};

/// An [`Observer`] that tells another one everything but the values of secret variables: each byte of them is [`MASK`], and the
/// name of the variable is told with it.
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
}

/// `bytes` with masks, and what is left out so.
fn masked(bytes: &[u8], places: Places, part: Part, left_out: &mut Vec<LeftOut>) -> Vec<u8> {
    let mut masked = bytes.to_vec();
    for (range, name) in places {
        if let Some(secret) = masked.get_mut(range.clone()) {
            secret.fill(MASK);
        }
        left_out.push(LeftOut { part, range, name });
    }
    masked
}

impl<O: Observer> Observer for Hiding<O> {
    fn observe(&mut self, event: Event<'_>) {
        let mut left_out = Vec::new();
        match event {
            Event::Exchange { command, response, took, left_out: known } => {
                let command = masked(command, self.secrets.of_command(command, known), Part::Command, &mut left_out);
                let places = self.secrets.of_response(response, known);
                let response = masked(response, places, Part::Response, &mut left_out);
                self.inner.observe(Event::Exchange {
                    command: &command,
                    response: &response,
                    took,
                    left_out: &left_out,
                });
            }
            Event::Failed { command, cause, left_out: known } => {
                let command = masked(command, self.secrets.of_command(command, known), Part::Command, &mut left_out);
                self.inner.observe(Event::Failed { command: &command, cause, left_out: &left_out });
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
                if let Event::Exchange { command, response, left_out, .. } = event {
                    seen.push((command.to_vec(), response.to_vec(), left_out.to_vec()));
                }
            },
            secrets,
        );
        let (command, response) = (&[0, 0xDA, 1, 2, 3, 4], &[1, 2, 3, 0x90, 0]);
        hiding.observe(Event::Exchange { command, response, took: Duration::ZERO, left_out: &[] });
        drop(hiding);
        let left_out = vec![LeftOut { part: Part::Command, range: 2..6, name: "key".into() }];
        assert_eq!(seen, [(vec![0, 0xDA, 0x2A, 0x2A, 0x2A, 0x2A], response.to_vec(), left_out)]);
    }
}
