//! Files of the card, as the modem finds them. TS 102 221 §8, §11.1.1.

use apdu::tlv::{Tag, Tlv};
use apdu::{Class, CommandBuf, Ins, Response, StatusWord};

use super::{Card, failure};
use crate::result_code::Cme;

/// The part of its AID that all USIMs share. TS 101 220 annex E.
const AID_USIM: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02];

pub(crate) const MF: u16 = 0x3F00;
/// The current application's directory, in a path. TS 102 221 §8.3.
const CURRENT: u16 = 0x7FFF;
const TELECOM: u16 = 0x7F10;

/// P2 of SELECT: with FCP.
const WITH_FCP: u8 = 0x04;
/// P2 of READ RECORD: the record of the number in P1.
const ABSOLUTE: u8 = 0x04;

/// A file, by its path from the MF, which is left out, or from the USIM's directory `7FFF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File(Vec<u16>);

impl File {
    pub(crate) const ICCID: u16 = 0x2FE2;
    pub(crate) const DIR: u16 = 0x2F00;
    pub(crate) const IMSI: u16 = 0x6F07;
    pub(crate) const MSISDN: u16 = 0x6F40;
    pub(crate) const SMS: u16 = 0x6F3C;
    pub(crate) const SMSP: u16 = 0x6F42;
    pub(crate) const SMSS: u16 = 0x6F43;
    pub(crate) const EST: u16 = 0x6F56;
    pub(crate) const SPN: u16 = 0x6F46;

    /// A file beneath the MF.
    pub(crate) fn of_mf(id: u16) -> Self {
        Self(vec![id])
    }

    /// A file of the USIM.
    pub(crate) fn of_usim(id: u16) -> Self {
        Self(vec![CURRENT, id])
    }

    /// A file at a path from the MF, given without the file itself as TS 27.007 §8.18 has it; `None` if that has half identifiers.
    pub(crate) fn at(path: &[u8], id: u16) -> Option<Self> {
        let (pairs, []) = path.as_chunks::<2>() else { return None };
        let mut whole: Vec<_> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
        if whole.first() == Some(&MF) {
            whole.remove(0);
        }
        whole.push(id);
        Some(Self(whole))
    }

    fn octets(path: &[u16]) -> Vec<u8> {
        path.iter().flat_map(|id| id.to_be_bytes()).collect()
    }
}

/// The structure of a file of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) length: u8,
    pub(crate) count: u8,
}

impl Card {
    /// Selects the USIM on the basic channel.
    pub(crate) fn select_usim(&mut self) -> Result<Response, Cme> {
        self.send(&CommandBuf::new(Class::BASIC, Ins::SELECT, 0x04, WITH_FCP).data(AID_USIM).le(0))
    }

    /// Selects a file on the basic channel; with the answer of the card, which may be a refusal.
    pub(crate) fn select(&mut self, file: &File) -> Result<Response, Cme> {
        if file.0 == [MF] || file.0.is_empty() {
            return self.send(&by_identifier(Class::BASIC, MF));
        }
        if file.0.first() == Some(&CURRENT) {
            let usim = self.select_usim()?;
            if !usim.sw.is_ok() || file.0 == [CURRENT] {
                return Ok(usim);
            }
        }
        self.send(&by_path(Class::BASIC, file))
    }

    /// Selects the file of this identifier where it is usually found: beneath the MF, in the USIM, or in TELECOM.
    pub(crate) fn find(&mut self, id: u16) -> Result<Response, Cme> {
        if id >> 8 == MF >> 8 || id >> 8 == 0x2F || id >> 8 == 0x7F {
            return self.select(&File(vec![id]));
        }
        let selected = self.select(&File::of_usim(id))?;
        if selected.sw == StatusWord::FILE_NOT_FOUND {
            let elsewhere = self.select(&File(vec![TELECOM, id]))?;
            if elsewhere.sw.is_ok() {
                return Ok(elsewhere);
            }
        }
        Ok(selected)
    }

    /// Selects a file of the application that is selected on a channel.
    pub(crate) fn select_on(&mut self, class: Class, path: &[u8], id: u16) -> Result<Response, Cme> {
        let file =
            if path.is_empty() { File::of_usim(id) } else { File::at(path, id).ok_or(Cme::INCORRECT_PARAMETERS)? };
        if file.0 == [MF] {
            return self.send(&by_identifier(class, MF));
        }
        self.send(&by_path(class, &file))
    }

    /// The first octets of a file.
    pub(crate) fn read(&mut self, file: &File, length: u8) -> Result<Vec<u8>, Cme> {
        let selected = self.select(file)?;
        if !selected.sw.is_ok() && !selected.sw.is_warning() {
            return Err(failure(selected.sw));
        }
        let read = self.send(&CommandBuf::new(Class::BASIC, Ins::READ_BINARY, 0, 0).le(length))?;
        if read.sw.is_ok() { Ok(read.data) } else { Err(failure(read.sw)) }
    }

    /// Selects a file of records of the USIM or of TELECOM, with its structure; `None` if there is none.
    pub(crate) fn records(&mut self, id: u16) -> Result<Option<Records>, Cme> {
        let selected = self.find(id)?;
        match selected.sw {
            StatusWord::FILE_NOT_FOUND => Ok(None),
            sw if sw.is_ok() => Records::parse(&selected.data).map(Some).ok_or(Cme::SIM_FAILURE),
            sw => Err(failure(sw)),
        }
    }

    /// A record of the file that is selected.
    pub(crate) fn read_record(&mut self, number: u8, length: u8) -> Result<Vec<u8>, Cme> {
        let read = self.send(&CommandBuf::new(Class::BASIC, Ins::READ_RECORD, number, ABSOLUTE).le(length))?;
        if read.sw.is_ok() { Ok(read.data) } else { Err(failure(read.sw)) }
    }
}

impl Card {
    /// Writes the first octets of the file that is selected.
    pub(crate) fn update_binary(&mut self, octets: &[u8]) -> Result<(), Cme> {
        let sw = self.send(&CommandBuf::new(Class::BASIC, Ins::UPDATE_BINARY, 0, 0).data(octets))?.sw;
        if sw.is_ok() { Ok(()) } else { Err(failure(sw)) }
    }

    /// Writes a record of the file that is selected.
    pub(crate) fn update_record(&mut self, number: u8, octets: &[u8]) -> Result<(), Cme> {
        let command = CommandBuf::new(Class::BASIC, Ins::UPDATE_RECORD, number, ABSOLUTE).data(octets);
        let sw = self.send(&command)?.sw;
        if sw.is_ok() { Ok(()) } else { Err(failure(sw)) }
    }
}

fn by_identifier(class: Class, id: u16) -> CommandBuf {
    CommandBuf::new(class, Ins::SELECT, 0, WITH_FCP).data(id.to_be_bytes()).le(0)
}

fn by_path(class: Class, file: &File) -> CommandBuf {
    const FROM_MF: u8 = 0x08;
    CommandBuf::new(class, Ins::SELECT, FROM_MF, WITH_FCP).data(File::octets(&file.0)).le(0)
}

impl Records {
    /// From the file descriptor: two octets of type, two of record length, one of record count. TS 102 221 §11.1.1.4.3.
    fn parse(parameters: &[u8]) -> Option<Self> {
        let &[_, _, high, length, count] = in_fcp(parameters, Tag(0x82))? else { return None };
        (high == 0 && length > 0).then_some(Self { length, count })
    }
}

/// A data object of file control parameters. TS 102 221 §11.1.1.3.
pub(crate) fn in_fcp(parameters: &[u8], tag: Tag) -> Option<&[u8]> {
    let template = Tlv::parse(parameters).ok().filter(|template| template.tag == Tag(0x62))?;
    Some(template.children().find(tag).ok()??.value)
}

/// An alpha identifier: the default alphabet, or UCS2. TS 102 221 annex A.
pub(crate) fn alpha(octets: &[u8]) -> String {
    let used = octets.iter().rposition(|octet| *octet != 0xFF).map_or(0, |last| last + 1);
    match octets.get(..used).unwrap_or_default() {
        [0x80, ucs2 @ ..] => sms::coding::decode_ucs2(ucs2),
        [0x81 | 0x82, ..] => String::new(),
        gsm => sms::alphabet::decode(gsm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_given_without_the_file_and_with_or_without_the_mf() {
        let path = |octets: &[u8]| File::at(octets, 0x6F07).map(|file| file.0);
        assert_eq!(path(&[]), Some(vec![0x6F07]));
        assert_eq!(path(&[0x3F, 0]), Some(vec![0x6F07]));
        assert_eq!(path(&[0x3F, 0, 0x7F, 0x20]), Some(vec![0x7F20, 0x6F07]));
        assert_eq!(path(&[0x7F, 0xFF]), Some(vec![0x7FFF, 0x6F07]));
        assert_eq!(path(&[0x7F]), None);
    }

    #[test]
    fn structures_of_records() {
        let fcp = hex::decode("620A82054221001C0283026F40").unwrap();
        assert_eq!(Records::parse(&fcp), None, "the template is too short for what is in it");
        let fcp = hex::decode("620B82054221001C0283026F40").unwrap();
        assert_eq!(Records::parse(&fcp), Some(Records { length: 0x1C, count: 2 }));
        assert_eq!(Records::parse(&hex::decode("620482024121").unwrap()), None, "a transparent file");
    }
}
