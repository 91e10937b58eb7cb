//! What is shown only on request: PINs, keys, and what a network computes with them.
//!
//! Who reads a value leaves it out of its field ([`Value::Hidden`]). A [`Veil`] leaves the same octets out of everything else: the
//! command, the response, and fields that hold them under another name, as those of what cannot be decoded do.

use core::ops::Range;
use std::collections::BTreeMap;

use apdu::{Command, Ins};
use saip::templates::NamedFile;

use crate::channel::{Channel, Directory, File, MF};
use crate::field::{Field, Hidden, Name, Place, Source, Value};
use crate::names;

/// Values that are secret wherever they stand.
const SECRET: &[Name] =
    &[names::RES, names::CK, names::IK, names::KC, names::SRES, names::KS_EXT_NAF, names::VSTK, names::PIN_OCTETS];

/// Names of values that are secret wherever they stand, for other programs' tables.
pub fn secret_names() -> impl Iterator<Item = Name> {
    SECRET.iter().copied()
}

/// Identifiers of files of keys directly in an ADF, for programs that do not know in which one they are.
pub fn key_files() -> impl Iterator<Item = u16> {
    let named = named_key_files().filter(|file| file.within.is_none()).map(|file| file.file_id);
    named.chain(KEY_FILES.iter().filter_map(|(_, id)| *id)).chain(MAKERS_KEY_FILES.iter().copied())
}

/// Short identifiers of files of keys, each with the DF that the file lies in; none: directly in an ADF.
pub fn short_key_files() -> impl Iterator<Item = (u8, Option<u16>)> {
    named_key_files().filter_map(|file| Some((file.sfi?, file.within)))
}

fn named_key_files() -> impl Iterator<Item = &'static NamedFile> {
    saip::templates::named_files().iter().filter(|file| KEY_FILES.iter().any(|(name, _)| *name == file.name))
}

/// Instructions of cards of one maker that carry Ki and OPc, or an administrator's code: of sysmoUSIM-GR1.
pub fn programming() -> &'static [u8] {
    &[0x99]
}

/// Directories with files of keys, and which they are; none: all of them.
pub fn key_folders() -> BTreeMap<u16, Vec<u16>> {
    let mut folders: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
    for (folder, file) in KEY_PLACES {
        folders.entry(*folder).or_default().extend(file);
    }
    folders
}

/// Whether values of this name are secret.
pub(crate) fn is_secret(name: Name) -> bool {
    SECRET.contains(&name)
}

/// Names of EFs that hold keys, and their identifiers where a recording does not say in which directory it is. TS 31.102 §4.2.3,
/// §4.2.4, §4.2.92, §4.4.3, §4.4.5, §4.4.11, TS 51.011 §10.3.3, §10.3.34; TS 102 310 for EAP
const KEY_FILES: &[(&str, Option<u16>)] = &[
    ("EF.Keys", Some(0x6F08)),
    ("EF.KeysPS", Some(0x6F09)),
    ("EF.EPSNSC", Some(0x6FE4)),
    ("EF.Kc", Some(0x6F20)),
    ("EF.KcGPRS", Some(0x6F52)),
    ("EF.5GS3GPPNSC", None),
    ("EF.5GSN3GPPNSC", None),
    ("EF.5GAUTHKEYS", None),
    ("EF.WRI", None),
    ("EF.EAPKEYS", None),
];

/// The same of cards that are sold to be programmed, where no specification has a file of this identifier: K and OPc below the ADFs
/// of sysmoISIM-SJA2 and SJA5, for 3G, 2G and GBA; in DF.GSM of sysmoUSIM-SJS1 and of Fairwaves' cards; of gialersim; of MagicSIM.
const MAKERS_KEY_FILES: &[u16] =
    &[0xAF20, 0xAF22, 0xAF31, 0xAF33, 0x00FF, 0x00F7, 0xFF01, 0xFF02, 0x6002, 0x6F1B, 0x8F0C, 0x8F0D, 0x8F0E];

/// The same below a directory that has no name here, and directories whose files are all keys: DF.SYSTEM of sysmocom's cards and
/// what MagicSIM has in their place. 0001 is a file of sysmoSIM-GR2 and gialersim, 000C one of other MagicSIMs.
const KEY_PLACES: &[(u16, Option<u16>)] = &[
    (0x5F3B, Some(0x4F20)),
    (0x5F3B, Some(0x4F52)),
    (0x5F40, Some(0x4F46)),
    (0x5FC0, Some(0x4F03)),
    (0x5FC0, Some(0x4F04)),
    (0x5FC0, Some(0x4F05)),
    (0xA515, None),
    (0x7F4D, None),
    (MF, Some(0x0001)),
    (MF, Some(0x000C)),
    (0x7F20, Some(0x0001)),
];

/// Whether a file of this name, or without one of this identifier in this directory, holds keys.
pub(crate) fn holds_keys(name: Option<&str>, id: Option<u16>, directory: Option<u16>) -> bool {
    let mut places = KEY_PLACES.iter().filter(|(df, _)| directory == Some(*df));
    match (name, id) {
        (Some(name), _) => KEY_FILES.iter().any(|(known, _)| *known == name) || places.any(|(_, file)| file.is_none()),
        (None, Some(id)) => {
            MAKERS_KEY_FILES.contains(&id)
                || KEY_FILES.iter().any(|(_, known)| *known == Some(id))
                || places.any(|(_, file)| file.is_none_or(|file| file == id))
        }
        (None, None) => places.any(|(_, file)| file.is_none()),
    }
}

/// Whether this file holds keys, or may: where a recording begins in the middle, or the application has no name here, nothing may
/// be known of it but its short identifier, and not even that.
pub(crate) fn is_key_file(directory: &Directory, file: &File) -> bool {
    let within = directory.dfs.last().copied();
    let innermost = within.or_else(|| directory.adf.is_none().then_some(MF));
    let may_be = |sfi| short_key_files().any(|known| known.0 == sfi && (within.is_none() || known.1 == within));
    let is_unknown = file.name.is_none() && file.id.is_none() && !directory.is_known;
    holds_keys(file.name, file.id, innermost) || is_unknown && file.sfi.is_none_or(may_be)
}

/// Where the key octets of such a file begin: EF.Keys and EF.KeysPS begin with an identifier that is none.
pub(crate) fn keys_from(name: Option<&str>, offset: usize) -> usize {
    usize::from(matches!(name, Some("EF.Keys" | "EF.KeysPS")) && offset == 0)
}

/// Whether the data of a command that cannot be read, or that nobody answered, may hold a secret.
pub(crate) fn may_hold_secret(command: &[u8], channel: Option<&Channel>) -> bool {
    let &[_, ins, p1, p2, ref body @ ..] = command else { return false };
    match Ins(ins) {
        // sysmoSIM-GR1 and GR2 have another command of this instruction, with Ki or a code. TS 102 222 §6.10
        Ins::RESIZE_FILE => !matches!(body, [] | [_] | [_, 0x62, ..]),
        _ if programming().contains(&ins) => true,
        Ins::PUT_KEY | Ins::EXTERNAL_AUTHENTICATE | Ins::ENVELOPE | Ins::TERMINAL_RESPONSE => true,
        Ins::STORE_DATA => !channel.is_some_and(Channel::is_isd_r),
        _ if capture::secret_part(command).is_some() => true,
        ins => channel.is_some_and(|channel| {
            let short = match ins {
                Ins::UPDATE_BINARY => (p1 & 0x80 != 0).then_some(p1 & 0x1F),
                Ins::UPDATE_RECORD => (p2 >> 3 != 0).then_some(p2 >> 3),
                _ => None,
            };
            let reaches = matches!(ins, Ins::UPDATE_BINARY | Ins::UPDATE_RECORD) || channel.file.is_some();
            reaches && is_key_file(&channel.directory, &channel.target(short))
        }),
    }
}

/// Whether a command of a script over the air, or one for another card, carries a secret.
fn carries_secret(command: &[u8]) -> bool {
    let ins = command.get(1).copied().map(Ins);
    command.len() > 5
        && (capture::secret_part(command).is_some()
            || matches!(ins, Some(Ins::PUT_KEY | Ins::STORE_DATA | Ins::EXTERNAL_AUTHENTICATE))
            || ins.is_some_and(|ins| programming().contains(&ins.0)))
}

/// Whether octets that are said to be a command carry a secret: also if they are none.
pub(crate) fn of_apdu(command: &[u8]) -> bool {
    carries_secret(command) || Command::parse(command).is_err() && may_hold_secret(command, None)
}

/// Whether the commands in a packet over the air carry a secret; also if they cannot be taken apart. TS 102 226 §5.2.1
pub(crate) fn of_script(script: &[u8]) -> bool {
    let (mut rest, mut keys_selected, mut folder) = (script, false, MF);
    while let &[_, ins, _, _, p3, ref after @ ..] = rest {
        let sent = if capture::OUTGOING.contains(&Ins(ins)) { 0 } else { usize::from(p3) };
        let Some((data, behind)) = after.split_at_checked(sent) else { return true };
        let command = rest.get(..5 + sent).unwrap_or(rest);
        if Ins(ins) == Ins::SELECT {
            for id in data.chunks_exact(2).filter_map(|id| id.first_chunk()).map(|id| u16::from_be_bytes(*id)) {
                keys_selected |= holds_keys(None, Some(id), Some(folder));
                folder = id;
            }
        }
        if carries_secret(command) || keys_selected && sent > 0 && Ins(ins) != Ins::SELECT {
            return true;
        }
        rest = behind;
    }
    !rest.is_empty()
}

/// Whether a response whose command is not known looks like the answer to AUTHENTICATE. TS 31.102 §7.1.2, TS 51.011 §9.2.16
pub(crate) fn looks_like_keys(data: &[u8]) -> bool {
    const KEY: usize = 16;
    // No answer has more values than these.
    const MOST: usize = 4;
    let values = |octets: &[u8]| {
        let (mut rest, mut lengths) = (octets, Vec::new());
        while let Some((&length, after)) = rest.split_first().filter(|_| lengths.len() < MOST) {
            lengths.push(usize::from(length));
            rest = after.get(usize::from(length)..)?;
        }
        rest.is_empty().then_some(lengths)
    };
    match data {
        [0xDB, rest @ ..] => {
            values(rest).is_some_and(|lengths| matches!(*lengths, [4..=16 | 32] | [_, KEY, KEY] | [_, KEY, KEY, 8]))
        }
        [4, ..] => values(data).is_some_and(|lengths| lengths == [4, 8]),
        _ => data.len() == 12,
    }
}

/// Octets that are left out.
#[derive(Debug, Default)]
pub(crate) struct Veil {
    /// Sorted by where they end; those of a source do not touch each other.
    places: Vec<Place>,
}

impl Veil {
    /// Over a PIN, also where the command ends too early or too late.
    pub(crate) fn of_pin(command: &[u8]) -> Self {
        let mut veil = Self::default();
        if let Some(secret) = capture::secret_part(command) {
            veil.hide(Source::Command, secret.start..command.len());
        }
        veil
    }

    /// Over all that stands behind the header of a command.
    pub(crate) fn of_body(command: &[u8]) -> Self {
        let mut veil = Self::default();
        veil.hide(Source::Command, 4..command.len());
        veil
    }

    fn hide(&mut self, source: Source, octets: Range<usize>) {
        if !octets.is_empty() {
            self.places.push(Place { source, octets });
        }
    }

    /// Sorts the places and joins those that touch each other.
    fn settle(&mut self) {
        self.places.sort_by_key(|place| (place.source, place.octets.start));
        self.places.dedup_by(|next, place| {
            let touch = next.source == place.source && next.octets.start <= place.octets.end;
            if touch {
                place.octets.end = place.octets.end.max(next.octets.end);
            }
            touch
        });
    }

    /// Over what these fields leave out. Of what was put together from several commands or responses, the last is left out as a
    /// whole.
    pub(crate) fn learn(&mut self, fields: &[Field], command: Range<usize>, response: Range<usize>) {
        for field in fields.iter().flat_map(Field::all) {
            let (Value::Hidden(_), Some(place)) = (&field.value, &field.place) else { continue };
            let end = match place.source {
                // What seems to be Le behind it may be a part of it.
                Source::Command if field.name == names::MALFORMED => command.end,
                _ => place.octets.end,
            };
            self.hide(place.source, place.octets.start..end);
            match place.source {
                Source::Request => self.hide(Source::Command, command.clone()),
                Source::Answer => self.hide(Source::Response, response.clone()),
                Source::Command | Source::Response | Source::Opened => {}
            }
        }
        self.settle();
    }

    fn touches(&self, place: &Place) -> bool {
        let is_before = |hidden: &Place| (hidden.source, hidden.octets.end) <= (place.source, place.octets.start);
        let next = self.places.get(self.places.partition_point(is_before));
        next.is_some_and(|hidden| hidden.source == place.source && hidden.octets.start < place.octets.end)
    }

    /// Leaves the octets out of fields: of those whose value has some of them.
    pub(crate) fn draw(&self, fields: &mut [Field]) {
        for field in fields {
            let touched = field.place.as_ref().filter(|place| self.touches(place)).map(|place| place.octets.len());
            if let Some(length) = touched {
                let is_label = matches!(field.value, Value::Text(_)) && !field.fields.is_empty();
                if !is_label && !matches!(field.value, Value::None | Value::Hidden(_)) {
                    let hidden = Hidden::of_value(&field.value, length);
                    (field.value, field.meaning) = (Value::Hidden(hidden), None);
                }
            }
            self.draw(&mut field.fields);
        }
    }

    /// Where the first octet of a command stands that is left out.
    pub(crate) fn start(&self, source: Source) -> Option<usize> {
        self.places.iter().filter(|place| place.source == source).map(|place| place.octets.start).min()
    }

    /// A command up to what is left out, and how much that is.
    pub(crate) fn command(&self, command: &[u8]) -> (Vec<u8>, usize) {
        let shown = self.start(Source::Command).unwrap_or(command.len()).min(command.len());
        (command.get(..shown).unwrap_or_default().to_vec(), command.len() - shown)
    }

    /// A response without what is left out before its status word, and that.
    pub(crate) fn response(&self, response: &[u8]) -> (Vec<u8>, Hidden) {
        let Some((data, status)) = response.split_last_chunk::<2>() else {
            return (response.to_vec(), Hidden::default());
        };
        let shown = self.start(Source::Response).unwrap_or(data.len()).min(data.len());
        let (visible, hidden) = data.split_at(shown);
        ([visible, status].concat(), Hidden::new(hidden))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_joined_and_found() {
        let mut veil = Veil::default();
        for (source, octets) in [
            (Source::Response, 40..50),
            (Source::Command, 20..30),
            (Source::Command, 10..12),
            (Source::Command, 11..20),
            (Source::Command, 60..60),
            (Source::Command, 22..25),
        ] {
            veil.hide(source, octets);
        }
        veil.settle();
        assert_eq!(veil.places.len(), 2);
        let touches = |source, octets| veil.touches(&Place { source, octets });
        assert!(
            touches(Source::Command, 0..11) && touches(Source::Command, 29..99) && touches(Source::Command, 15..15)
        );
        assert!(!touches(Source::Command, 0..10) && !touches(Source::Command, 30..60));
        assert!(touches(Source::Response, 49..50) && !touches(Source::Response, 10..30));
        assert!(!touches(Source::Opened, 0..99) && !touches(Source::Request, 0..99));
    }

    #[test]
    fn answers_of_authentication_are_known_by_their_lengths() {
        let values = |lengths: &[u8]| {
            let values = lengths.iter().flat_map(|length| [vec![*length], vec![1; usize::from(*length)]].concat());
            [0xDB].into_iter().chain(values).collect::<Vec<u8>>()
        };
        assert!(looks_like_keys(&values(&[8, 16, 16])) && looks_like_keys(&values(&[8, 16, 16, 8])));
        assert!(looks_like_keys(&values(&[32])) && looks_like_keys(&[1; 12]));
        assert!(!looks_like_keys(&values(&[8, 16, 16, 8, 0])) && !looks_like_keys(&values(&vec![0; 60_000])));
        assert!(!looks_like_keys(&values(&[8, 16, 16])[..30]));
    }
}
