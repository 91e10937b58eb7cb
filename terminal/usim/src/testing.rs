//! A small card for tests of programs that stand on this crate (feature `testing`).

use std::collections::VecDeque;

use apdu::{Transport, TransportError};

/// A card that expects the commands of a list, in order, and answers from the list.
#[derive(Debug)]
pub struct Dialogue {
    steps: VecDeque<(String, Vec<u8>)>,
}

impl Dialogue {
    /// A card with these commands and their responses, in upper-case hexadecimal digits.
    ///
    /// # Panics
    /// On a response that is not hexadecimal.
    pub fn new(steps: &[(&str, &str)]) -> Self {
        let octets = |response: &str| {
            let octets = hex::decode(response);
            assert!(octets.is_ok(), "not hexadecimal: {response}");
            octets.unwrap_or_default()
        };
        Self { steps: steps.iter().map(|(command, response)| ((*command).into(), octets(response))).collect() }
    }

    /// Whether all its commands came.
    pub fn is_finished(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Transport for Dialogue {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(vec![])
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(vec![])
    }

    /// # Panics
    /// On a command that is not the next of the list.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let (expected, response) = self.steps.pop_front().unwrap_or_default();
        assert_eq!(hex::encode_upper(command), expected);
        Ok(response)
    }

    fn atr(&self) -> &[u8] {
        &[]
    }
}
