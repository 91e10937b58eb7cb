//! Response APDUs.

use crate::StatusWord;

/// Data and status together. `6283`, `62F1`, `63CX` and `91XX` come with data, so one value holds both.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// Response data, without the status word.
    pub data: Vec<u8>,
    /// Status word.
    pub sw: StatusWord,
}

impl Response {
    /// Normal ending with data.
    pub fn ok(data: impl Into<Vec<u8>>) -> Self {
        Self { data: data.into(), sw: StatusWord::OK }
    }

    /// Normal ending without data.
    pub const fn done() -> Self {
        Self { data: Vec::new(), sw: StatusWord::OK }
    }

    /// The bytes on the wire: data, SW1, SW2.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.data.extend(self.sw.0.to_be_bytes());
        self.data
    }

    /// Splits what a card sent; `None` for fewer than two bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (data, sw) = bytes.split_last_chunk::<2>()?;
        Some(Self { data: data.to_vec(), sw: StatusWord::from(*sw) })
    }
}

impl From<StatusWord> for Response {
    fn from(sw: StatusWord) -> Self {
        Self { data: Vec::new(), sw }
    }
}

impl core::fmt::Debug for Response {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for byte in &self.data {
            write!(f, "{byte:02X}")?;
        }
        write!(f, "{}{:?}", if self.data.is_empty() { "" } else { " " }, self.sw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let response = Response { data: vec![1, 2], sw: StatusWord(0x6283) };
        assert_eq!(response.clone().into_bytes(), [1, 2, 0x62, 0x83]);
        assert_eq!(Response::parse(&[1, 2, 0x62, 0x83]), Some(response));
        assert_eq!(Response::parse(&[0x90]), None);
    }
}
