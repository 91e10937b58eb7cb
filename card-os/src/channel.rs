//! What a logical channel remembers between commands.

use crate::domain::ApplicationId;
use crate::fs::{FileNumber, Transfer};
use apdu::Response;

/// Channels a card can have open, the basic one included. TS 102 221 §11.1.17.
pub(crate) const CHANNELS: usize = 20;

/// One open logical channel.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// The application whose session is open here.
    pub(crate) application: Option<ApplicationId>,
    /// Current directory.
    pub(crate) current_df: FileNumber,
    /// Current elementary file.
    pub(crate) current_ef: Option<FileNumber>,
    /// Record pointer, from 1.
    pub(crate) record: Option<u8>,
    /// A BER-TLV object on its way.
    pub(crate) transfer: Option<Transfer>,
    /// What GET RESPONSE fetches, with the status word that ends it.
    pub(crate) response: Option<Response>,
}

impl Default for Channel {
    /// A channel opened from the basic one: the MF is selected.
    fn default() -> Self {
        Self {
            application: None,
            current_df: FileNumber::MF,
            current_ef: None,
            record: None,
            transfer: None,
            response: None,
        }
    }
}

impl Channel {
    /// A channel opened from this one: its directory is inherited. TS 102 221 §8.7.
    pub(crate) fn opened_from(&self) -> Self {
        Self { application: self.application, current_df: self.current_df, ..Self::default() }
    }

    /// Makes a directory current.
    pub(crate) fn select_df(&mut self, df: FileNumber) {
        self.current_df = df;
        self.current_ef = None;
        self.record = None;
        self.transfer = None;
    }

    /// Makes an EF current; its record pointer is undefined.
    pub(crate) fn select_ef(&mut self, ef: FileNumber) {
        self.current_ef = Some(ef);
        self.record = None;
        self.transfer = None;
    }
}
