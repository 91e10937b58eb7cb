//! What stands for readers in a build without PC/SC: there are none, and why is said.

use std::time::Duration;

use super::{Options, Reader};
use crate::reader_error::ReaderError;
use apdu::{Transport, TransportError};

/// See [`ReaderError::WithoutPcsc`].
pub const fn list_readers() -> Result<Vec<Reader>, ReaderError> {
    Err(ReaderError::WithoutPcsc)
}

/// See [`ReaderError::WithoutPcsc`].
///
/// # Errors
/// Always.
pub const fn find_reader(_wanted: &str) -> Result<Reader, ReaderError> {
    Err(ReaderError::WithoutPcsc)
}

/// See [`ReaderError::WithoutPcsc`]. Nothing is waited for.
pub const fn wait_for_card(_wanted: Option<&str>, _limit: Duration) -> Result<Reader, ReaderError> {
    Err(ReaderError::WithoutPcsc)
}

/// See [`ReaderError::WithoutPcsc`]. Nothing is waited for.
pub const fn wait_until_empty(_wanted: Option<&str>, _limit: Duration) -> Result<Vec<Reader>, ReaderError> {
    Err(ReaderError::WithoutPcsc)
}

/// See [`ReaderError::WithoutPcsc`].
pub const fn touch(_reader: &str, _command: &[u8]) -> Result<(), ReaderError> {
    Err(ReaderError::WithoutPcsc)
}

/// A reader that cannot be: this build has no PC/SC.
#[derive(Debug)]
pub enum PcscReader {}

impl PcscReader {
    /// See [`ReaderError::WithoutPcsc`].
    pub const fn connect(_wanted: &str) -> Result<Self, ReaderError> {
        Err(ReaderError::WithoutPcsc)
    }

    /// See [`ReaderError::WithoutPcsc`].
    pub const fn connect_first() -> Result<Self, ReaderError> {
        Err(ReaderError::WithoutPcsc)
    }

    /// See [`ReaderError::WithoutPcsc`].
    pub const fn open(_wanted: Option<&str>, _options: Options) -> Result<Self, ReaderError> {
        Err(ReaderError::WithoutPcsc)
    }

    /// The reader's name.
    pub const fn reader(&self) -> String {
        match *self {}
    }

    /// The protocol agreed on.
    pub const fn protocol(&self) -> &'static str {
        match *self {}
    }
}

impl Transport for PcscReader {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        match *self {}
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        match *self {}
    }

    fn transmit(&mut self, _command: &[u8]) -> Result<Vec<u8>, TransportError> {
        match *self {}
    }

    fn atr(&self) -> &[u8] {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_is_said() {
        for refused in [
            list_readers().map(|_| ()),
            wait_for_card(None, Duration::MAX).map(|_| ()),
            wait_until_empty(None, Duration::MAX).map(|_| ()),
            touch("0", &[]),
            PcscReader::connect("0").map(|_| ()),
        ] {
            let told = refused.unwrap_err().to_string();
            assert!(
                told.contains("built without")
                    && told.contains("libpcsclite-dev")
                    && told.ends_with("a card in an image"),
                "{told}"
            );
            assert_eq!(told.lines().count(), 1);
        }
    }
}
