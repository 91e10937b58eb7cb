//! What a card was made as: the part of an image that no command changes.

use apdu::Aid;
use card_os::CardProfile;
use card_os::dialect::Dialect;
use std::collections::BTreeMap;

/// What the card is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardType {
    /// A UICC with profiles of its own choosing: SGP.22.
    Euicc,
    /// A UICC personalised once: TS 102 221 alone.
    Uicc,
}

/// What a card was made as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manufacture {
    /// What the card is.
    pub card_type: CardType,
    /// Answer to reset, memory sizes, channels, further names of applications.
    pub profile: CardProfile,
    /// The card in the field that it is like, where it was made like one.
    pub like: Option<String>,
    /// Program and version that made it.
    pub made_by: String,
    /// When, in seconds since 1970.
    pub made_at: u64,
}

impl Manufacture {
    /// A card of this type and profile, made by this release at this time.
    pub fn new(card_type: CardType, profile: CardProfile, made_at: u64) -> Self {
        let made_by = concat!("vuicc ", env!("CARGO_PKG_VERSION")).to_owned();
        Self { card_type, profile, like: None, made_by, made_at }
    }
}

/// Names of the entries.
pub(super) mod name {
    pub(in super::super) const FORMAT: &str = "format";
    pub(super) const CARD_TYPE: &str = "card type";
    pub(super) const ATR: &str = "answer to reset";
    pub(super) const NON_VOLATILE_MEMORY: &str = "non-volatile memory";
    pub(super) const VOLATILE_MEMORY: &str = "volatile memory";
    pub(super) const CHANNELS: &str = "channels";
    pub(super) const FURTHER_NAMES: &str = "further names";
    pub(super) const GSM: &str = "class A0";
    pub(super) const DIALECT: &str = "dialect";
    pub(super) const LIKE: &str = "like";
    pub(super) const MADE_BY: &str = "made by";
    pub(super) const MADE_AT: &str = "made at";
}

/// How the card types are called in an image.
const TYPES: [(CardType, &str); 2] = [(CardType::Euicc, "eUICC"), (CardType::Uicc, "UICC")];

/// Entries by name. Numbers are eight bytes, the most significant first; entries of other names are left alone.
pub(super) type Entries = BTreeMap<String, Vec<u8>>;

impl Manufacture {
    pub(super) fn to_entries(&self) -> Entries {
        let card_type = TYPES.iter().find(|(card_type, _)| *card_type == self.card_type).map_or("", |(_, text)| text);
        let mut entries = Entries::new();
        let mut put = |name: &str, value: &[u8]| drop(entries.insert(name.to_owned(), value.to_vec()));
        put(name::FORMAT, &u64::from(super::FORMAT).to_be_bytes());
        put(name::CARD_TYPE, card_type.as_bytes());
        put(name::ATR, &self.profile.atr);
        put(name::NON_VOLATILE_MEMORY, &(self.profile.non_volatile_memory as u64).to_be_bytes());
        put(name::VOLATILE_MEMORY, &(self.profile.volatile_memory as u64).to_be_bytes());
        put(name::MADE_BY, self.made_by.as_bytes());
        put(name::MADE_AT, &self.made_at.to_be_bytes());
        // Only what is not as on a card of an earlier release.
        let standard = CardProfile::default();
        if self.profile.channels != standard.channels {
            put(name::CHANNELS, &u64::from(self.profile.channels).to_be_bytes());
        }
        if !self.profile.further_names.is_empty() {
            put(name::FURTHER_NAMES, &names_to_bytes(&self.profile.further_names));
        }
        if self.profile.gsm {
            put(name::GSM, &[1]);
        }
        if self.profile.dialect != standard.dialect {
            put(name::DIALECT, self.profile.dialect.to_text().as_bytes());
        }
        if let Some(like) = &self.like {
            put(name::LIKE, like.as_bytes());
        }
        entries
    }

    /// Reads the entries; the error is the name of one that is missing or not understood.
    pub(super) fn from_entries(entries: &Entries) -> Result<Self, &'static str> {
        let text = |name| entries.get(name).and_then(|value| core::str::from_utf8(value).ok()).ok_or(name);
        let size = |name| number(entries, name).and_then(|size| usize::try_from(size).map_err(|_| name));
        let card_type = text(name::CARD_TYPE)?;
        let (card_type, _) = TYPES.iter().find(|(_, text)| *text == card_type).ok_or(name::CARD_TYPE)?;
        Ok(Self {
            card_type: *card_type,
            profile: CardProfile {
                atr: entries.get(name::ATR).cloned().ok_or(name::ATR)?,
                non_volatile_memory: size(name::NON_VOLATILE_MEMORY)?,
                volatile_memory: size(name::VOLATILE_MEMORY)?,
                channels: match entries.get(name::CHANNELS) {
                    Some(_) => number(entries, name::CHANNELS)?.try_into().map_err(|_| name::CHANNELS)?,
                    None => CardProfile::default().channels,
                },
                further_names: match entries.get(name::FURTHER_NAMES) {
                    Some(names) => names_from_bytes(names).ok_or(name::FURTHER_NAMES)?,
                    None => Vec::new(),
                },
                gsm: entries.contains_key(name::GSM),
                dialect: match entries.get(name::DIALECT) {
                    Some(_) => Dialect::from_text(text(name::DIALECT)?).map_err(|_| name::DIALECT)?,
                    None => Dialect::default(),
                },
            },
            like: entries.get(name::LIKE).map(|_| text(name::LIKE).map(ToOwned::to_owned)).transpose()?,
            made_by: text(name::MADE_BY)?.to_owned(),
            made_at: number(entries, name::MADE_AT)?,
        })
    }
}

/// Each name behind its length.
fn names_to_bytes(names: &[(Aid, Aid)]) -> Vec<u8> {
    let with_length = |aid: &Aid| [&[u8::try_from(aid.len()).unwrap_or_default()], &**aid].concat();
    names.iter().flat_map(|(further, registered)| [with_length(further), with_length(registered)]).flatten().collect()
}

fn names_from_bytes(mut bytes: &[u8]) -> Option<Vec<(Aid, Aid)>> {
    let aid = |bytes: &mut &[u8]| {
        let (length, rest) = bytes.split_first()?;
        let (aid, rest) = rest.split_at_checked(usize::from(*length))?;
        *bytes = rest;
        Aid::new(aid).ok()
    };
    let mut names = Vec::new();
    while !bytes.is_empty() {
        names.push((aid(&mut bytes)?, aid(&mut bytes)?));
    }
    Some(names)
}

pub(super) fn number(entries: &Entries, name: &'static str) -> Result<u64, &'static str> {
    let value = entries.get(name).ok_or(name)?;
    value.as_slice().try_into().map(u64::from_be_bytes).map_err(|_| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_say_all_of_it() {
        for card_type in [CardType::Euicc, CardType::Uicc] {
            let card = Manufacture::new(card_type, CardProfile::default(), 1_767_225_600);
            assert_eq!(Manufacture::from_entries(&card.to_entries()), Ok(card.clone()));
            let other = Aid::full([7; 16]);
            let further_names = vec![(other, rsp::ids::AID_ISD_R), (rsp::ids::AID_ECASD, other)];
            let dialect = Dialect::from_text("adf-has-fid\nins=A4 p1=01 -> 6A81").unwrap();
            let profile = CardProfile { channels: 1, further_names, dialect, ..CardProfile::default() };
            let odd = Manufacture { profile, like: Some("one in the field".into()), ..card };
            let mut entries = odd.to_entries();
            assert_eq!(Manufacture::from_entries(&entries), Ok(odd));
            let mut wrong = entries.clone();
            wrong.insert(name::DIALECT.into(), b"ins=".to_vec());
            assert_eq!(Manufacture::from_entries(&wrong), Err(name::DIALECT));
            entries.insert(name::FURTHER_NAMES.into(), vec![16, 1]);
            assert_eq!(Manufacture::from_entries(&entries), Err(name::FURTHER_NAMES));
        }
    }

    #[test]
    fn every_entry_is_needed() {
        let whole = Manufacture::new(CardType::Euicc, CardProfile::default(), 0).to_entries();
        for name in whole.keys().filter(|name| *name != name::FORMAT) {
            let mut entries = whole.clone();
            entries.remove(name);
            assert_eq!(Manufacture::from_entries(&entries).map_err(str::to_owned), Err(name.clone()));
        }
        let mut odd = whole.clone();
        odd.insert(name::VOLATILE_MEMORY.into(), vec![1, 2, 3]);
        assert_eq!(Manufacture::from_entries(&odd), Err(name::VOLATILE_MEMORY));
    }
}
