//! What can be inspected, and what can be done to it.

use serde::Deserialize;
use serde_json::Value;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::handle::Refusal;

/// A card that is laid open. All calls may take as long as the card does.
pub trait Subject: Send + Sync {
    /// What it is: identity, tree, profiles, memory, what can be done to it.
    ///
    /// # Errors
    /// It cannot be read.
    fn card(&self) -> Result<Value, Refusal>;

    /// One file: its content as octets and fields, its access rules, its control parameters.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    fn file(&self, domain: u16, file: u16) -> Result<Value, Refusal>;

    /// Does something to it, and returns what there is to say of it.
    ///
    /// # Errors
    /// It was not done: why, and what would help.
    fn act(&self, act: &Act) -> Result<String, Refusal>;

    /// How it is: in its place, with power. Asked again and again, so it has to be cheap.
    fn state(&self) -> Value;

    /// Looks whether its memory has changed since the last look, and returns what has.
    fn changes(&self) -> Vec<Value>;
}

/// Something that is done to a card.
#[derive(Debug, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Writes a file, or a record of it.
    Update {
        /// The domain of the file.
        domain: u16,
        /// The number of the file in it.
        file: u16,
        /// The record, from 1; none of a transparent file.
        record: Option<u8>,
        /// All octets of the file or the record, in hexadecimal.
        octets: String,
        /// Whether as the owner, beside the access rules.
        #[serde(default)]
        owner: bool,
        /// Keys to present before.
        #[serde(default)]
        keys: Vec<Key>,
    },
    /// Enables, disables or deletes a profile.
    Profile {
        /// Its ICCID, digits as printed.
        iccid: String,
        /// What is done to it.
        change: ProfileChange,
    },
    /// Takes the power away.
    Cut,
    /// Resets the card.
    Reset,
    /// Pulls the card.
    Pull,
    /// Puts it back.
    Insert,
    /// Orders a fault.
    Fault {
        /// As it is written.
        fault: String,
    },
    /// Clears faults; all without numbers.
    ClearFaults {
        /// Which.
        #[serde(default)]
        numbers: Vec<u16>,
    },
    /// Reads the card anew.
    Read,
}

/// What is done to a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileChange {
    /// ES10c.EnableProfile
    Enable,
    /// ES10c.DisableProfile
    Disable,
    /// ES10c.DeleteProfile
    Delete,
}

/// A PIN or administrative key to present.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    /// Key reference, TS 102 221 table 9.3.
    pub reference: u8,
    /// Digits or text of at most eight characters, or 16 hexadecimal digits.
    pub value: String,
    /// Whether it is presented also if that may be its last try.
    #[serde(default)]
    pub last_try: bool,
}

/// Its reference, never its value.
impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Key({:02X})", self.reference)
    }
}
