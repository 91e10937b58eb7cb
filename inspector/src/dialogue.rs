//! What is done to a card by commands, under its own access rules, on a logical channel of its own.

use apdu::transport::{TransportError, exchange};
use apdu::{Class, CommandBuf, Ins, Response, StatusWord, Transport};
use card::inspect::key_name;
use card_os::fs::KeyReference;
use es10::{Error, Euicc, Options};
use rsp::es10c::ProfileIdentifier;
use zeroize::Zeroizing;

use identities::Iccid;

use crate::handle::Refusal;
use crate::model::Place;
use crate::subject::{Key, ProfileChange};

/// Octets that one READ or UPDATE BINARY takes.
const PIECE: usize = 255;
/// How far READ and UPDATE BINARY reach: bit 8 of P1 says that an SFI follows. TS 102 221 §11.1.3.2
pub(crate) const REACH: usize = 0x8000;
/// Commands for one file at most: a card may answer with less than it is asked for.
const READS: usize = 1_024;

impl From<TransportError> for Refusal {
    fn from(error: TransportError) -> Self {
        Self(error.to_string())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// A logical channel, open.
pub(crate) struct Dialogue<'a> {
    card: &'a mut dyn Transport,
    channel: u8,
}

impl<'a> Dialogue<'a> {
    /// Runs `task` on a channel of its own, which is closed afterwards; on the basic one if the card has no other.
    pub(crate) fn with<T>(
        card: &'a mut dyn Transport,
        task: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let open = CommandBuf::new(Class::BASIC, Ins::MANAGE_CHANNEL, 0, 0).le(1);
        let answer = exchange(card, &open.to_bytes())?;
        let channel = match answer.data.as_slice() {
            [channel @ 1..=19] if answer.sw.is_ok() => *channel,
            _ => 0,
        };
        let mut dialogue = Self { card, channel };
        let outcome = task(&mut dialogue);
        if channel != 0 {
            let close = CommandBuf::new(Class::BASIC, Ins::MANAGE_CHANNEL, 0x80, channel);
            // A card that is gone has no channels either.
            let _ = exchange(dialogue.card, &close.to_bytes());
        }
        outcome
    }

    fn send(&mut self, ins: Ins, (p1, p2): (u8, u8), data: &[u8], le: Option<u8>) -> Result<Response, Refusal> {
        let class = Class::on_channel(false, self.channel).unwrap_or(Class::BASIC);
        let mut command = CommandBuf::new(class, ins, p1, p2).data(data);
        if let Some(le) = le {
            command = command.le(le);
        }
        let octets = Zeroizing::new(command.to_bytes());
        Ok(exchange(self.card, &octets)?)
    }

    /// Selects what lies at a place, and returns its control parameters.
    pub(crate) fn select(&mut self, place: &Place) -> Result<Vec<u8>, Refusal> {
        let mut answer = match &place.application {
            Some(aid) => self.send(Ins::SELECT, (0x04, 0x04), aid, Some(0))?,
            None => self.send(Ins::SELECT, (0x00, 0x04), &[0x3F, 0x00], Some(0))?,
        };
        for fid in &place.below {
            found(&answer, "SELECT")?;
            answer = self.send(Ins::SELECT, (0x00, 0x04), &fid.to_be_bytes(), Some(0))?;
        }
        found(&answer, "SELECT")?;
        Ok(answer.data)
    }

    /// Presents a key. Whether that is worth a try is asked before: a key that is not needed is not sent, and the last try is used
    /// only if the key says so. TS 102 221 §11.1.9.1.2
    pub(crate) fn verify(&mut self, key: &Key) -> Result<(), Refusal> {
        let value = octets_of(key)?;
        let name = key_name(KeyReference(key.reference));
        let tries = self.send(Ins::VERIFY_PIN, (0x00, key.reference), &[], None)?;
        match tries.sw {
            sw if sw.is_ok() => return Ok(()),
            StatusWord(0x6983 | 0x63C0) => return Err(Refusal(format!("{name} is blocked"))),
            StatusWord(0x63C2..=0x63CF) => {}
            _ if key.last_try => {}
            StatusWord(0x63C1) => {
                return Err(Refusal(format!(
                    "{name} has one try left, and was not tried; allow the last try if it is to be"
                )));
            }
            sw => {
                let meaning = meaning(Ins::VERIFY_PIN, sw);
                let line = format!(
                    "{name} was not tried: how many tries are left is not told ({meaning}); allow the last try if it is to be"
                );
                return Err(Refusal(line));
            }
        }
        let answer = self.send(Ins::VERIFY_PIN, (0x00, key.reference), value.as_slice(), None)?;
        match answer.sw {
            sw if sw.is_ok() => Ok(()),
            StatusWord(sw @ 0x63C0..=0x63CF) => {
                let left = sw & 0x0F;
                Err(Refusal(format!("{name} is wrong; {left} {} left", if left == 1 { "try is" } else { "tries are" })))
            }
            StatusWord(0x6983) => Err(Refusal(format!("{name} is blocked"))),
            sw => Err(Refusal(format!("{name}: {}", meaning(Ins::VERIFY_PIN, sw)))),
        }
    }

    /// Writes the whole of the selected transparent file, as far as it differs from what is there.
    pub(crate) fn update_binary(&mut self, before: Option<&[u8]>, octets: &[u8]) -> Result<(), Refusal> {
        let differs = |at: usize| before.and_then(|before| before.get(at)) != octets.get(at);
        let Some(first) = (0..octets.len()).find(|at| differs(*at)) else { return Ok(()) };
        let last = (first..octets.len()).rev().find(|at| differs(*at)).unwrap_or(first);
        // Before anything is written.
        if first + (last - first) / PIECE * PIECE >= REACH {
            return Err(Refusal::because("UPDATE BINARY does not reach that far"));
        }
        for (piece, part) in octets.get(first..=last).unwrap_or_default().chunks(PIECE).enumerate() {
            let [p1, p2] = u16::try_from(first + piece * PIECE).unwrap_or(u16::MAX).to_be_bytes();
            let answer = self.send(Ins::UPDATE_BINARY, (p1, p2), part, None)?;
            done(&answer, Ins::UPDATE_BINARY)?;
        }
        Ok(())
    }

    /// Writes a record of the selected linear fixed file.
    pub(crate) fn update_record(&mut self, record: u8, octets: &[u8]) -> Result<(), Refusal> {
        let answer = self.send(Ins::UPDATE_RECORD, (record, 0x04), octets, None)?;
        done(&answer, Ins::UPDATE_RECORD)
    }

    /// Reads octets of the selected transparent file, as many as READ BINARY reaches ([`REACH`]).
    pub(crate) fn read_binary(&mut self, size: usize) -> Result<Result<Vec<u8>, StatusWord>, Refusal> {
        let (mut content, size) = (Vec::new(), size.min(REACH));
        for _ in 0..READS {
            if content.len() >= size {
                return Ok(Ok(content));
            }
            let [p1, p2] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
            let wanted = (size - content.len()).min(PIECE);
            let le = u8::try_from(wanted).unwrap_or(u8::MAX);
            let answer = self.send(Ins::READ_BINARY, (p1, p2), &[], Some(le))?;
            if !answer.sw.is_ok() || answer.data.is_empty() {
                return Ok(Err(answer.sw));
            }
            content.extend(answer.data.into_iter().take(wanted));
        }
        Err(Refusal(format!("the card has not told all {size} octets in {READS} answers")))
    }

    /// Reads a record of the selected file.
    pub(crate) fn read_record(&mut self, record: u8, length: u8) -> Result<Result<Vec<u8>, StatusWord>, Refusal> {
        let answer = self.send(Ins::READ_RECORD, (record, 0x04), &[], Some(length))?;
        Ok(if answer.sw.is_ok() { Ok(answer.data) } else { Err(answer.sw) })
    }

    /// Selects a file and says whether it is there; its control parameters.
    pub(crate) fn look(&mut self, fid: u16) -> Result<Option<Vec<u8>>, Refusal> {
        let answer = self.send(Ins::SELECT, (0x00, 0x04), &fid.to_be_bytes(), Some(0))?;
        Ok((answer.sw.is_ok() || answer.sw.is_warning()).then_some(answer.data))
    }
}

fn found(answer: &Response, what: &str) -> Result<(), Refusal> {
    if answer.sw.is_ok() || answer.sw.is_warning() {
        return Ok(());
    }
    Err(Refusal(format!("{what}: {}", meaning(Ins::SELECT, answer.sw))))
}

fn done(answer: &Response, ins: Ins) -> Result<(), Refusal> {
    if answer.sw.is_ok() {
        return Ok(());
    }
    Err(Refusal(format!("the card refuses {}: {}", decode::instruction(0, ins), meaning(ins, answer.sw))))
}

/// A status word, and what it means.
pub(crate) fn meaning(ins: Ins, sw: StatusWord) -> String {
    match decode::status_meaning(Some(ins), sw) {
        words if words.is_empty() => sw.to_string(),
        words => format!("{sw}, {words}"),
    }
}

/// The refusal of an edit that cannot be done as it looks: UPDATE RECORD writes the oldest record of a cyclic file, which becomes the
/// first. TS 102 221 §11.1.6
pub(crate) const CYCLIC: &str = "a cyclic file takes new records only, over the oldest one: UPDATE RECORD, mode PREVIOUS, in a script, `vuicc apdu run`";

/// The octets of a key as VERIFY has them, none of which costs a try in vain. TS 102 221 §11.1.9, §9.5.1.
pub(crate) fn octets_of(key: &Key) -> Result<Zeroizing<[u8; 8]>, Refusal> {
    let mut octets = Zeroizing::new([0xFF; 8]);
    let value = key.value.trim();
    if value.len() == 16 && value.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        for (octet, at) in octets.iter_mut().zip((0..16).step_by(2)) {
            *octet = value.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()).unwrap_or_default();
        }
        return Ok(octets);
    }
    let name = key_name(KeyReference(key.reference));
    let is_pin = matches!(key.reference, 0x01..=0x08 | 0x11 | 0x81..=0x88);
    if is_pin && !((4..=8).contains(&value.len()) && value.bytes().all(|digit| digit.is_ascii_digit())) {
        return Err(Refusal(format!("{name} is written as four to eight digits, or as 16 hexadecimal digits")));
    }
    if !(4..=8).contains(&value.len()) || !value.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(Refusal(format!("{name} is written as four to eight characters, or as 16 hexadecimal digits")));
    }
    for (octet, character) in octets.iter_mut().zip(value.bytes()) {
        *octet = character;
    }
    Ok(octets)
}

/// Changes the state of a profile. On a card that has a host the host is asked to refresh, as it announced; one that is this
/// program's alone is reset.
pub(crate) fn change_profile(
    card: &mut dyn Transport,
    iccid: &str,
    change: ProfileChange,
    is_shared: bool,
) -> Result<(), Refusal> {
    let iccid: Iccid = iccid.parse().map_err(|_| Refusal(format!("{iccid} is no ICCID")))?;
    let profile = ProfileIdentifier::Iccid(iccid);
    let mut euicc = Euicc::open(card, Options { shared: is_shared, ..Options::default() })?;
    let outcome = match change {
        ProfileChange::Enable => euicc.enable_profile(profile, is_shared),
        ProfileChange::Disable => euicc.disable_profile(profile, is_shared),
        ProfileChange::Delete => euicc.delete_profile(profile),
    };
    euicc.close();
    Ok(outcome?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_padded_or_hexadecimal() {
        let of = |reference, value: &str| octets_of(&Key { reference, value: value.into(), last_try: false });
        let key = |value: &str| of(0x0A, value).map(|octets| *octets);
        assert_eq!(key("0000").unwrap(), [0x30, 0x30, 0x30, 0x30, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(key("0011223344556677").unwrap(), [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]);
        for wrong in ["", "123", "123456789", "00112233445566", "é", "1\n2"] {
            assert!(key(wrong).unwrap_err().to_string().contains("16 hexadecimal digits"), "{wrong}");
        }
        for wrong in ["", "123", "12345678 9", "123A", "123456789"] {
            assert!(of(0x01, wrong).unwrap_err().to_string().contains("eight digits"), "{wrong}");
        }
        assert_eq!(format!("{:?}", Key { reference: 1, value: "1234".into(), last_try: false }), "Key(01)");
    }

    #[test]
    fn only_what_differs_is_written() {
        let mut card = apdu::transport::Dialogue::new([
            (vec![0x00, 0x70, 0x00, 0x00, 0x01], vec![0x02, 0x90, 0x00]),
            (vec![0x02, 0xD6, 0x00, 0x01, 0x02, 0xAA, 0xBB], vec![0x90, 0x00]),
            (vec![0x00, 0x70, 0x80, 0x02], vec![0x90, 0x00]),
        ]);
        Dialogue::with(&mut card, |dialogue| dialogue.update_binary(Some(&[1, 2, 3, 4]), &[1, 0xAA, 0xBB, 4])).unwrap();
        assert!(card.is_finished());
    }

    /// A card on whose first channel these commands come, and their answers.
    fn card(exchanges: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> apdu::transport::Dialogue {
        let open = (vec![0x00, 0x70, 0x00, 0x00, 0x01], vec![0x01, 0x90, 0x00]);
        let close = (vec![0x00, 0x70, 0x80, 0x01], vec![0x90, 0x00]);
        apdu::transport::Dialogue::new([open].into_iter().chain(exchanges).chain([close]))
    }

    const ASKED: [u8; 4] = [0x01, 0x20, 0x00, 0x01];
    const TRIED: [u8; 13] = [0x01, 0x20, 0x00, 0x01, 0x08, 0x31, 0x32, 0x33, 0x34, 0xFF, 0xFF, 0xFF, 0xFF];

    #[test]
    fn a_wrong_key_tells_the_tries_left() {
        let mut card = self::card([(ASKED.to_vec(), vec![0x63, 0xC3]), (TRIED.to_vec(), vec![0x63, 0xC2])]);
        let key = Key { reference: 1, value: "1234".into(), last_try: false };
        let refused = Dialogue::with(&mut card, |dialogue| dialogue.verify(&key)).unwrap_err();
        assert_eq!(refused.to_string(), "PIN1 is wrong; 2 tries are left");
        assert!(card.is_finished(), "the channel is closed again");
    }

    #[test]
    fn the_last_try_is_used_only_if_told() {
        let key = |last_try| Key { reference: 1, value: "1234".into(), last_try };
        for (answer, told) in [
            ([0x63, 0xC1], "one try left"),
            ([0x67, 0x00], "is not told"),
            ([0x63, 0xC0], "blocked"),
            ([0x69, 0x83], "blocked"),
        ] {
            let mut card = self::card([(ASKED.to_vec(), answer.to_vec())]);
            let refused = Dialogue::with(&mut card, |dialogue| dialogue.verify(&key(false))).unwrap_err();
            assert!(refused.to_string().contains(told), "{refused}");
            assert!(card.is_finished());
        }
        let mut card = self::card([(ASKED.to_vec(), vec![0x63, 0xC1]), (TRIED.to_vec(), vec![0x90, 0x00])]);
        Dialogue::with(&mut card, |dialogue| dialogue.verify(&key(true))).unwrap();
        assert!(card.is_finished());
    }

    /// Behind 0x7FFF the offset would be an SFI, and another file be read.
    #[test]
    fn a_file_is_read_as_far_as_the_command_reaches() {
        let pieces = (0..REACH).step_by(PIECE).map(|at| {
            let (length, at) = (u8::try_from((REACH - at).min(PIECE)).unwrap(), u16::try_from(at).unwrap());
            let [high, low] = at.to_be_bytes();
            (vec![0x01, 0xB0, high, low, length], [&vec![0x55; usize::from(length)][..], &[0x90, 0x00]].concat())
        });
        let mut card = self::card(pieces);
        let read = Dialogue::with(&mut card, |dialogue| dialogue.read_binary(usize::MAX)).unwrap().unwrap();
        assert_eq!(read.len(), REACH);
        assert!(card.is_finished());
        let octet = (0..READS).map(|at| {
            let [high, low] = u16::try_from(at).unwrap().to_be_bytes();
            (vec![0x01, 0xB0, high, low, 0xFF], vec![0x55, 0x90, 0x00])
        });
        let mut card = self::card(octet);
        let refused = Dialogue::with(&mut card, |dialogue| dialogue.read_binary(REACH)).unwrap_err();
        assert!(refused.to_string().contains("1024 answers"), "{refused}");
        assert!(card.is_finished());
    }

    /// What cannot be written whole is not begun.
    #[test]
    fn nothing_is_written_that_would_end_halfway() {
        let mut card = self::card([]);
        let (before, after) = (vec![0; REACH + 600], vec![1; REACH + 600]);
        let refused = Dialogue::with(&mut card, |dialogue| dialogue.update_binary(Some(&before), &after)).unwrap_err();
        assert!(refused.to_string().contains("does not reach"), "{refused}");
        assert!(card.is_finished());
    }
}
