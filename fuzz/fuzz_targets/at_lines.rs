//! What a program writes to a modem, and what the card answers, one response after the other.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/src/host.rs"]
mod host;

use std::time::Duration;

use apdu::{Transport, TransportError};
use modem::{Identity, Modem, Port, Quirks};

/// A card with these responses; it is mute behind them.
struct Responses(std::vec::IntoIter<Vec<u8>>);

impl Transport for Responses {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(self.atr().to_vec())
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.reset()
    }

    fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.0.next().ok_or(TransportError::Mute)
    }

    fn atr(&self) -> &[u8] {
        &[0x3B, 0x80]
    }
}

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let frames = host::unpack(octets);
    let Some((written, responses)) = frames.split_first() else { return };
    for mut port in [Port::new(), Port::of_socket()] {
        let responses: Vec<Vec<u8>> = responses.iter().map(|response| response.to_vec()).collect();
        let identity = Identity {
            manufacturer: "vuicc".to_owned(),
            model: "AT modem".to_owned(),
            revision: "0".to_owned(),
            imei: "004999010640000".to_owned(),
        };
        let mut modem = Modem::new(Box::new(Responses(responses.into_iter())), identity, Quirks::default());
        modem.receive(&mut port, written, Duration::ZERO);
        if port.is_foreign() {
            assert!(modem.receive(&mut port, b"\rAT\r", Duration::ZERO).is_empty());
        }
        let answer = modem.receive(&mut Port::new(), b"AT\r", Duration::ZERO).concat();
        assert_eq!(answer, b"AT\r\r\nOK\r\n");
    }
});
