//! The sheets and the descriptions of cards that are shipped.

use crate::sheet::{Sheet, SheetError};

/// A card that rows need.
#[derive(Debug, PartialEq, Eq)]
pub struct CardKind {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The values of this card that rows use, as a script.
    pub values: &'static str,
}

/// All cards.
pub const CARDS: &[CardKind] = &[
    CardKind {
        name: "uicc",
        about: "a UICC with the USIM and the ISIM of one subscriber, as an operator gives it to a customer",
        values: include_str!("../cards/uicc.apdu"),
    },
    CardKind {
        name: "files",
        about: "a UICC with a file of each structure and access rules of each form",
        values: include_str!("../cards/files.apdu"),
    },
    CardKind {
        name: "euicc",
        about: "an eUICC with two profiles, the first one enabled",
        values: include_str!("../cards/euicc.apdu"),
    },
];

/// Descriptions that the cards are made of.
#[derive(Debug)]
pub struct Descriptions {
    /// The subscriber of every card.
    pub subscriber: &'static str,
    /// The one of the second profile on the eUICC.
    pub second: &'static str,
    /// The files of the card `files`.
    pub files: &'static str,
}

/// They are TOML.
pub const DESCRIPTIONS: Descriptions = Descriptions {
    subscriber: include_str!("../cards/subscriber.toml"),
    second: include_str!("../cards/second.toml"),
    files: include_str!("../cards/files.toml"),
};

/// The card of this name.
pub fn card(name: &str) -> Option<&'static CardKind> {
    CARDS.iter().find(|card| card.name == name)
}

macro_rules! sheets {
    ($($name:literal,)+) => {
        /// Names and texts of all sheets, in the order in which they are played.
        pub const SHEETS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../rows/", $name, ".apdu"))),)+];
    };
}

sheets! {
    "select",
    "status",
    "read-binary",
    "update-binary",
    "read-record",
    "update-record",
    "search-record",
    "increase",
    "verify-pin",
    "change-pin",
    "disable-pin",
    "enable-pin",
    "unblock-pin",
    "universal-pin",
    "life-cycle",
    "authenticate",
    "manage-channel",
    "get-challenge",
    "terminal-capability",
    "toolkit",
    "proactive",
    "ber-tlv",
    "get-response",
    "get-identity",
    "uicc-power",
    "access-rules",
    "not-shareable",
    "command-structure",
    "create-file",
    "delete-file",
    "resize-file",
    "terminate",
    "mf-isim-files",
    "usim-files",
    "gsm",
    "global-platform",
    "ara-m",
    "es10",
}

/// Reads all sheets.
///
/// # Errors
/// The first that is wrong.
pub fn shipped() -> Result<Vec<Sheet>, SheetError> {
    SHEETS.iter().map(|(name, text)| Sheet::parse(name, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a card has to refuse nothing, nothing is known of it.
    #[test]
    fn every_sheet_has_rows_that_a_card_must_refuse() {
        for sheet in shipped().unwrap() {
            let negative = sheet.rows.iter().filter(|row| row.is_negative).count();
            assert!(negative > 0, "{} has no negative row", sheet.name);
        }
    }
}
