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

/// Octets that one UPDATE BINARY takes.
const PIECE: usize = 255;

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

    /// Presents a key.
    pub(crate) fn verify(&mut self, key: &Key) -> Result<(), Refusal> {
        let value = octets_of(key)?;
        let answer = self.send(Ins::VERIFY_PIN, (0x00, key.reference), value.as_slice(), None)?;
        let name = key_name(KeyReference(key.reference));
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
        for (piece, part) in octets.get(first..=last).unwrap_or_default().chunks(PIECE).enumerate() {
            let offset = u16::try_from(first + piece * PIECE).ok().filter(|offset| *offset < 0x8000);
            let [p1, p2] =
                offset.ok_or_else(|| Refusal::because("UPDATE BINARY does not reach that far"))?.to_be_bytes();
            let answer = self.send(Ins::UPDATE_BINARY, (p1, p2), part, None)?;
            done(&answer, Ins::UPDATE_BINARY)?;
        }
        Ok(())
    }

    /// Writes a record of the selected file; the newest one of a cyclic file.
    pub(crate) fn update_record(&mut self, record: u8, is_cyclic: bool, octets: &[u8]) -> Result<(), Refusal> {
        let which = if is_cyclic { (0, 0x03) } else { (record, 0x04) };
        let answer = self.send(Ins::UPDATE_RECORD, which, octets, None)?;
        done(&answer, Ins::UPDATE_RECORD)
    }

    /// Reads octets of the selected transparent file.
    pub(crate) fn read_binary(&mut self, size: usize) -> Result<Result<Vec<u8>, StatusWord>, Refusal> {
        let mut content = Vec::new();
        while content.len() < size {
            let [p1, p2] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
            let wanted = (size - content.len()).min(PIECE);
            let le = u8::try_from(wanted).unwrap_or(u8::MAX);
            let answer = self.send(Ins::READ_BINARY, (p1, p2), &[], Some(le))?;
            if !answer.sw.is_ok() || answer.data.is_empty() {
                return Ok(Err(answer.sw));
            }
            content.extend(answer.data);
        }
        Ok(Ok(content))
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

/// The octets of a key as VERIFY has them. TS 102 221 §11.1.9, §9.5.1.
fn octets_of(key: &Key) -> Result<Zeroizing<[u8; 8]>, Refusal> {
    let mut octets = Zeroizing::new([0xFF; 8]);
    let value = key.value.trim();
    if value.len() == 16 && value.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        for (octet, at) in octets.iter_mut().zip((0..16).step_by(2)) {
            *octet = value.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()).unwrap_or_default();
        }
        return Ok(octets);
    }
    if value.is_empty() || value.len() > 8 || !value.bytes().all(|octet| octet.is_ascii_graphic()) {
        let name = key_name(KeyReference(key.reference));
        return Err(Refusal(format!("{name} is written as up to eight characters, or as 16 hexadecimal digits")));
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
        let key = |value: &str| octets_of(&Key { reference: 0x0A, value: value.into() }).map(|octets| *octets);
        assert_eq!(key("0000").unwrap(), [0x30, 0x30, 0x30, 0x30, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(key("0011223344556677").unwrap(), [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]);
        for wrong in ["", "123456789", "00112233445566", "é", "1\n2"] {
            assert!(key(wrong).unwrap_err().to_string().contains("16 hexadecimal digits"), "{wrong}");
        }
        assert_eq!(format!("{:?}", Key { reference: 1, value: "1234".into() }), "Key(01)");
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

    #[test]
    fn a_wrong_key_tells_the_tries_left() {
        let mut card = apdu::transport::Dialogue::new([
            (vec![0x00, 0x70, 0x00, 0x00, 0x01], vec![0x01, 0x90, 0x00]),
            (vec![0x01, 0x20, 0x00, 0x01, 0x08, 0x31, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], vec![0x63, 0xC2]),
            (vec![0x00, 0x70, 0x80, 0x01], vec![0x90, 0x00]),
        ]);
        let key = Key { reference: 1, value: "1".into() };
        let refused = Dialogue::with(&mut card, |dialogue| dialogue.verify(&key)).unwrap_err();
        assert_eq!(refused.to_string(), "PIN1 is wrong; 2 tries are left");
        assert!(card.is_finished(), "the channel is closed again");
    }
}
