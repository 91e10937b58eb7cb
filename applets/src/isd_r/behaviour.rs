//! What an ISD-R may do otherwise than SGP.22 has it, as eUICCs in the field do: configuration, written when the card is made.

use apdu::StatusWord;
use apdu::tlv::{Reader, Tag, Writer};
use card_os::Context;
use rsp::es10c::ProfileIdentifier;

/// When an eUICC sends REFRESH after a change of the enabled profile that was asked for with refreshFlag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refresh {
    /// If TERMINAL PROFILE announced it. SGP.22 §5.7.16.
    #[default]
    Announced,
    /// Never: the change happens at once.
    Never,
    /// Always, as UICC reset, also to a terminal that announced nothing.
    Always,
}

/// Which requests to enable or disable a profile an eUICC carries out: by what they name it, and with which refreshFlag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes(u8);

impl Takes {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// By ICCID, refreshFlag set.
    pub const ICCID_WITH_REFRESH: Self = Self(1);
    /// By ICCID, refreshFlag not set.
    pub const ICCID: Self = Self(2);
    /// By AID of the ISD-P, refreshFlag set.
    pub const AID_WITH_REFRESH: Self = Self(4);
    /// By AID of the ISD-P, refreshFlag not set.
    pub const AID: Self = Self(8);
    /// All of them, as SGP.22 wants it.
    pub const ALL: Self = Self(15);

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of `others` are among these.
    pub const fn contains(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// Whether a request is carried out.
    pub(super) const fn takes(self, identifier: &ProfileIdentifier, refresh: bool) -> bool {
        self.contains(match (identifier, refresh) {
            (ProfileIdentifier::Iccid(_), true) => Self::ICCID_WITH_REFRESH,
            (ProfileIdentifier::Iccid(_), false) => Self::ICCID,
            (ProfileIdentifier::IsdpAid(_), true) => Self::AID_WITH_REFRESH,
            (ProfileIdentifier::IsdpAid(_), false) => Self::AID,
        })
    }
}

/// How an ISD-R behaves where eUICCs in the field differ. The default is what SGP.22 asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// The answer to SELECT, whole; `None`: made of its AID and SVN. SGP.22 §5.7.1.
    pub fci: Option<Vec<u8>>,
    /// What a request gets whose tag no function has; `9000` comes without data.
    pub unknown_tag: StatusWord,
    /// Octets of the longest command data that one STORE DATA may have; a longer block gets `6700`.
    pub longest_block: u8,
    /// Octets of the longest segment of a bound profile package. SGP.22 §2.5.4 says 1020; servers in the field send more.
    pub longest_segment: usize,
    /// Octets of the longest nickname; a longer one gets `undefinedError`, and one of more than 64, which SGP.22 §5.7.21 does not
    /// have, is not decodable: `6A80`.
    pub longest_nickname: usize,
    /// When REFRESH is sent.
    pub refresh: Refresh,
    /// Whether every ES10 function is refused with `6985` after a change of the enabled profile, until the next reset.
    pub reset_after_change: bool,
    /// Which requests to enable a profile are carried out; the others get `undefinedError`.
    pub enables: Takes,
    /// Which requests to disable a profile are carried out; likewise.
    pub disables: Takes,
    /// Whether a primitive element of a request is taken under the universal tag of its type too, where SGP.22 gives it one of its
    /// own: a refreshFlag as `01 01 01`. A strict card finds the element missing: `6A80`.
    pub lenient: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            fci: None,
            unknown_tag: StatusWord::REFERENCED_DATA_NOT_FOUND,
            longest_block: u8::MAX,
            longest_segment: 4096,
            longest_nickname: 64,
            refresh: Refresh::Announced,
            reset_after_change: false,
            enables: Takes::ALL,
            disables: Takes::ALL,
            lenient: false,
        }
    }
}

/// What is written down, each where it is not the default. A retired tag is never given out again.
mod tag {
    use super::Tag;
    pub(super) const FCI: Tag = Tag(0xA0);
    pub(super) const UNKNOWN_TAG: Tag = Tag(0x81);
    pub(super) const LONGEST_BLOCK: Tag = Tag(0x82);
    pub(super) const LONGEST_SEGMENT: Tag = Tag(0x83);
    pub(super) const LONGEST_NICKNAME: Tag = Tag(0x84);
    pub(super) const REFRESH: Tag = Tag(0x85);
    pub(super) const RESET_AFTER_CHANGE: Tag = Tag(0x86);
    pub(super) const ENABLES: Tag = Tag(0x87);
    pub(super) const DISABLES: Tag = Tag(0x88);
    pub(super) const LENIENT: Tag = Tag(0x89);
}

impl Behaviour {
    /// What the ISD-R of this card was made with: its install parameters. Those of an earlier release are empty.
    pub(super) fn of(cx: &Context<'_, '_>) -> Self {
        Self::from_bytes(cx.parameters())
    }

    /// As install parameters: empty for the default.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (own, standard) = (self, Self::default());
        let refresh = match own.refresh {
            Refresh::Announced => 0,
            Refresh::Never => 1,
            Refresh::Always => 2,
        };
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        let rows: [(Tag, bool, Vec<u8>); 10] = [
            (tag::FCI, own.fci != standard.fci, own.fci.clone().unwrap_or_default()),
            (tag::UNKNOWN_TAG, own.unknown_tag != standard.unknown_tag, own.unknown_tag.0.to_be_bytes().to_vec()),
            (tag::LONGEST_BLOCK, own.longest_block != standard.longest_block, vec![own.longest_block]),
            (tag::LONGEST_SEGMENT, own.longest_segment != standard.longest_segment, length(own.longest_segment)),
            (tag::LONGEST_NICKNAME, own.longest_nickname != standard.longest_nickname, length(own.longest_nickname)),
            (tag::REFRESH, own.refresh != standard.refresh, vec![refresh]),
            (tag::RESET_AFTER_CHANGE, own.reset_after_change, Vec::new()),
            (tag::ENABLES, own.enables != standard.enables, vec![own.enables.0]),
            (tag::DISABLES, own.disables != standard.disables, vec![own.disables.0]),
            (tag::LENIENT, own.lenient, Vec::new()),
        ];
        let mut out = Writer::new();
        for (tag, _, value) in rows.iter().filter(|(_, differs, _)| *differs) {
            out.primitive(*tag, value);
        }
        out.into_bytes()
    }

    /// What is not understood keeps its default.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut behaviour = Self::default();
        if bytes.is_empty() {
            return behaviour;
        }
        let find = |tag| Reader::new(bytes).find(tag).ok().flatten().map(|tlv| tlv.value);
        let byte = |tag| find(tag).and_then(|value| value.first().copied());
        let length = |tag| {
            let octets = find(tag).and_then(|value| value.try_into().ok());
            octets.and_then(|octets| usize::try_from(u32::from_be_bytes(octets)).ok())
        };
        behaviour.fci = find(tag::FCI).map(<[u8]>::to_vec);
        if let Some(sw) = find(tag::UNKNOWN_TAG).and_then(|value| value.try_into().ok()) {
            behaviour.unknown_tag = StatusWord(u16::from_be_bytes(sw));
        }
        behaviour.longest_block = byte(tag::LONGEST_BLOCK).unwrap_or(behaviour.longest_block);
        behaviour.longest_segment = length(tag::LONGEST_SEGMENT).unwrap_or(behaviour.longest_segment);
        behaviour.longest_nickname = length(tag::LONGEST_NICKNAME).unwrap_or(behaviour.longest_nickname);
        behaviour.refresh = match byte(tag::REFRESH) {
            Some(1) => Refresh::Never,
            Some(2) => Refresh::Always,
            _ => Refresh::Announced,
        };
        behaviour.reset_after_change = find(tag::RESET_AFTER_CHANGE).is_some();
        behaviour.enables = byte(tag::ENABLES).map_or(Takes::ALL, Takes);
        behaviour.disables = byte(tag::DISABLES).map_or(Takes::ALL, Takes);
        behaviour.lenient = find(tag::LENIENT).is_some();
        behaviour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_whole_and_the_default_takes_nothing() {
        assert!(Behaviour::default().to_bytes().is_empty());
        assert_eq!(Behaviour::from_bytes(&[]), Behaviour::default());
        let odd = Behaviour {
            fci: Some(vec![0x6F, 0]),
            unknown_tag: StatusWord(0x9000),
            longest_block: 120,
            longest_segment: 1020,
            longest_nickname: 16,
            refresh: Refresh::Always,
            reset_after_change: true,
            enables: Takes::ICCID,
            disables: Takes::AID_WITH_REFRESH.and(Takes::AID),
            lenient: true,
        };
        assert_eq!(Behaviour::from_bytes(&odd.to_bytes()), odd);
    }
}
