//! The card as it is asked and written to, in either class.

use apdu::tlv::{Tag, Tlv};
use apdu::transport::exchange;
use apdu::{Ins, Response, StatusWord, Transport, TransportError};
use identities::Iccid;
use zeroize::Zeroizing;

use crate::kind::{Dialect, Kind, of_atr};
use crate::order::Adm;

/// The parts of an AID that all USIMs and all ISIMs share. TS 101 220 annex E.
const AID_USIM: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02];
const AID_ISIM: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x04];

const MF: u16 = 0x3F00;
const ICCID: u16 = 0x2FE2;
const ICCID_OCTETS: u8 = 10;

/// P2 of READ RECORD and UPDATE RECORD: the record of this number.
const ABSOLUTE: u8 = 0x04;

/// Why the card cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// The card could not be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A command ended with another status word than success.
    #[error("the card refused {command}: {sw}, {}", .sw.description())]
    Refused {
        /// The command.
        command: &'static str,
        /// Status word.
        sw: StatusWord,
    },
    /// An answer does not conform to the specification.
    #[error("the card describes a file in a way that is not understood")]
    Description,
    /// It has no ICCID.
    #[error("the card has no ICCID that can be read")]
    NoIccid,
}

/// What was found in the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The type, if its answer to reset is known.
    pub kind: Option<&'static Kind>,
    /// Its answer to reset.
    pub atr: Vec<u8>,
    /// Its ICCID.
    pub iccid: Iccid,
}

/// How many more wrong keys the card bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmState {
    /// It says: so many tries are left.
    Left(u8),
    /// None: it is blocked for good.
    Blocked,
    /// It does not say.
    Untold,
    /// There is no such key.
    Missing,
}

/// Resets a card and looks what it is.
///
/// # Errors
/// It does not answer, or has no ICCID.
pub fn identify<T: Transport>(card: &mut T) -> Result<Found, CardError> {
    let atr = card.reset()?;
    let kind = of_atr(&atr);
    let dialects = [kind.map_or(Dialect::Uicc, |kind| kind.dialect), Dialect::Uicc, Dialect::Sim];
    for dialect in dialects {
        let mut host = Host { card: &mut *card, dialect };
        if host.select(&Place::in_mf(&[ICCID]))?.is_some()
            && let Some(octets) = host.read_binary(0, ICCID_OCTETS)?
        {
            let iccid = Iccid::from(octets.as_slice());
            return Ok(Found { kind, atr, iccid });
        }
    }
    Err(CardError::NoIccid)
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Mf,
    Usim,
    Isim,
}

/// Where a file lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) root: Root,
    pub(crate) path: Vec<u16>,
}

impl Place {
    pub(crate) fn in_mf(path: &[u16]) -> Self {
        Self { root: Root::Mf, path: path.to_vec() }
    }

    pub(crate) fn in_usim(fid: u16) -> Self {
        Self { root: Root::Usim, path: vec![fid] }
    }

    pub(crate) fn in_isim(fid: u16) -> Self {
        Self { root: Root::Isim, path: vec![fid] }
    }
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self.root {
            Root::Mf => "3F00",
            Root::Usim => "USIM",
            Root::Isim => "ISIM",
        })?;
        self.path.iter().try_for_each(|fid| write!(f, "/{fid:04X}"))
    }
}

/// What a selected file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Transparent { size: usize },
    Records { length: usize },
    Directory,
}

pub(crate) struct Host<T> {
    pub(crate) card: T,
    pub(crate) dialect: Dialect,
}

impl<T: Transport> Host<T> {
    /// Selects a file; `None` if it is not there.
    pub(crate) fn select(&mut self, place: &Place) -> Result<Option<Shape>, CardError> {
        let mut shape = match place.root {
            Root::Mf => self.select_by(MF.to_be_bytes().as_slice(), 0)?,
            Root::Usim => self.select_by(&AID_USIM, 0x04)?,
            Root::Isim => self.select_by(&AID_ISIM, 0x04)?,
        };
        for fid in &place.path {
            if shape.is_none() {
                return Ok(None);
            }
            shape = self.select_by(fid.to_be_bytes().as_slice(), 0)?;
        }
        Ok(shape)
    }

    fn select_by(&mut self, name: &[u8], p1: u8) -> Result<Option<Shape>, CardError> {
        /// P2: with FCP.
        const WITH_FCP: u8 = 0x04;
        let (p2, le) = match self.dialect {
            Dialect::Uicc => (WITH_FCP, Some(0)),
            Dialect::Sim => (0, None),
        };
        let response = self.send(Ins::SELECT, p1, p2, name, le)?;
        match response.sw {
            StatusWord::FILE_NOT_FOUND | StatusWord::GSM_FILE_NOT_FOUND | StatusWord::CLA_NOT_SUPPORTED => Ok(None),
            // `62XX`: selected, and deactivated.
            sw if sw.is_ok() || sw.is_warning() => {
                let shape = match self.dialect {
                    Dialect::Uicc => of_fcp(&response.data),
                    Dialect::Sim => of_gsm(&response.data),
                };
                shape.map(Some).ok_or(CardError::Description)
            }
            sw => Err(CardError::Refused { command: "SELECT", sw }),
        }
    }

    /// What the selected file has; `None` if it may not be read.
    pub(crate) fn read_binary(&mut self, offset: u16, length: u8) -> Result<Option<Zeroizing<Vec<u8>>>, CardError> {
        let [p1, p2] = offset.to_be_bytes();
        let response = self.send(Ins::READ_BINARY, p1, p2, &[], Some(length))?;
        readable("READ BINARY", response)
    }

    pub(crate) fn read_record(&mut self, number: u8, length: u8) -> Result<Option<Zeroizing<Vec<u8>>>, CardError> {
        let response = self.send(Ins::READ_RECORD, number, ABSOLUTE, &[], Some(length))?;
        readable("READ RECORD", response)
    }

    pub(crate) fn update_binary(&mut self, offset: u16, bytes: &[u8]) -> Result<(), CardError> {
        let [p1, p2] = offset.to_be_bytes();
        done("UPDATE BINARY", self.send(Ins::UPDATE_BINARY, p1, p2, bytes, None)?.sw)
    }

    pub(crate) fn update_record(&mut self, number: u8, bytes: &[u8]) -> Result<(), CardError> {
        done("UPDATE RECORD", self.send(Ins::UPDATE_RECORD, number, ABSOLUTE, bytes, None)?.sw)
    }

    /// A command of the type's own, with its class.
    pub(crate) fn own(&mut self, header: [u8; 4], data: &[u8]) -> Result<(), CardError> {
        done("the command of its type", self.raw(header, data, None)?.sw)
    }

    /// How many tries of a key are left: VERIFY without data, in the class of TS 102 221, which alone has it.
    pub(crate) fn adm_state(&mut self, reference: u8) -> Result<AdmState, CardError> {
        let response = self.raw([0x00, Ins::VERIFY_PIN.0, 0, reference], &[], None)?;
        Ok(match response.sw {
            StatusWord(0x63C0) | StatusWord::AUTHENTICATION_METHOD_BLOCKED => AdmState::Blocked,
            StatusWord::REFERENCED_DATA_NOT_FOUND => AdmState::Missing,
            sw if sw.0 & 0xFFF0 == 0x63C0 => AdmState::Left(sw.sw2() & 0x0F),
            _ => AdmState::Untold,
        })
    }

    /// Whether the MF, or the USIM, has PIN1 enabled: the PIN status template, TS 102 221 §11.1.1.4.10, or the characteristics of TS
    /// 51.011 §9.2.1.
    pub(crate) fn asks_for_pin1(&mut self) -> Result<bool, CardError> {
        const BY_NAME_WITH_FCP: [u8; 2] = [0x04, 0x04];
        const BY_FILE_WITH_FCP: [u8; 2] = [0x00, 0x04];
        if self.dialect == Dialect::Sim {
            let response = self.send(Ins::SELECT, 0, 0, &MF.to_be_bytes(), None)?;
            return Ok(response.data.get(13).is_some_and(|characteristics| characteristics & 0x80 == 0));
        }
        for ([p1, p2], name) in [(BY_FILE_WITH_FCP, &MF.to_be_bytes()[..]), (BY_NAME_WITH_FCP, &AID_USIM)] {
            let response = self.send(Ins::SELECT, p1, p2, name, Some(0))?;
            if response.sw.is_ok() && has_pin1(&response.data) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// VERIFY: the status word, whatever it is.
    pub(crate) fn verify(&mut self, reference: u8, key: [u8; 8]) -> Result<StatusWord, CardError> {
        Ok(self.send(Ins::VERIFY_PIN, 0, reference, &key, None)?.sw)
    }

    pub(crate) fn verify_adm(&mut self, reference: u8, adm: &Adm) -> Result<StatusWord, CardError> {
        self.verify(reference, *adm.octets())
    }

    /// In the class of this dialect.
    pub(crate) fn send(
        &mut self,
        ins: Ins,
        p1: u8,
        p2: u8,
        data: &[u8],
        le: Option<u8>,
    ) -> Result<Response, CardError> {
        let class = match self.dialect {
            Dialect::Uicc => 0x00,
            Dialect::Sim => 0xA0,
        };
        self.raw([class, ins.0, p1, p2], data, le)
    }

    pub(crate) fn raw(&mut self, header: [u8; 4], data: &[u8], le: Option<u8>) -> Result<Response, CardError> {
        /// `9FXX`: that many octets are to be fetched. TS 51.011 §9.4.1.
        const TO_BE_FETCHED: u8 = 0x9F;
        let mut command = Zeroizing::new(Vec::with_capacity(6 + data.len()));
        command.extend(header);
        if !data.is_empty() {
            command.push(u8::try_from(data.len()).map_err(|_| CardError::Description)?);
            command.extend_from_slice(data);
        }
        command.extend(le);
        let mut response = exchange(&mut self.card, &command)?;
        if response.sw.sw1() == TO_BE_FETCHED {
            let fetch = [header[0], Ins::GET_RESPONSE.0, 0, 0, response.sw.sw2()];
            response = exchange(&mut self.card, &fetch)?;
        }
        Ok(response)
    }
}

fn done(command: &'static str, sw: StatusWord) -> Result<(), CardError> {
    if sw.is_ok() { Ok(()) } else { Err(CardError::Refused { command, sw }) }
}

fn readable(command: &'static str, response: Response) -> Result<Option<Zeroizing<Vec<u8>>>, CardError> {
    match response.sw {
        sw if sw.is_ok() => Ok(Some(Zeroizing::new(response.data))),
        StatusWord::SECURITY_STATUS_NOT_SATISFIED
        | StatusWord::GSM_ACCESS_NOT_FULFILLED
        | StatusWord::REFERENCED_DATA_INVALIDATED
        | StatusWord::CONDITIONS_NOT_SATISFIED
        | StatusWord::GSM_INVALIDATION_STATUS => Ok(None),
        sw => Err(CardError::Refused { command, sw }),
    }
}

/// File descriptor `82` and size `80` in an FCP template. TS 102 221 §11.1.1.4.
fn of_fcp(fcp: &[u8]) -> Option<Shape> {
    const TEMPLATE: Tag = Tag(0x62);
    const DESCRIPTOR: Tag = Tag(0x82);
    const SIZE: Tag = Tag(0x80);
    /// Bits of the file type, and of the structure.
    const DIRECTORY: u8 = 0x38;
    const STRUCTURE: u8 = 0x07;
    const TRANSPARENT: u8 = 0x01;
    let template = Tlv::parse(fcp).ok().filter(|tlv| tlv.tag == TEMPLATE)?;
    let find = |tag| template.children().find(tag).ok().flatten().map(|found| found.value);
    let descriptor = find(DESCRIPTOR)?;
    let kind = *descriptor.first()?;
    if kind & DIRECTORY == DIRECTORY {
        return Some(Shape::Directory);
    }
    if kind & STRUCTURE == TRANSPARENT {
        let size = find(SIZE)?.iter().fold(0_usize, |size, octet| size << 8 | usize::from(*octet));
        return Some(Shape::Transparent { size });
    }
    let length = descriptor.get(2..4)?.iter().fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
    Some(Shape::Records { length })
}

/// Whether a PIN status template says that PIN1 is enabled: a bit for each key reference, in their order.
fn has_pin1(fcp: &[u8]) -> bool {
    const STATUS: Tag = Tag(0xC6);
    const ENABLED: Tag = Tag(0x90);
    const REFERENCE: Tag = Tag(0x83);
    const PIN1: u8 = 0x01;
    let Ok(template) = Tlv::parse(fcp) else { return false };
    let Ok(Some(status)) = template.children().find(STATUS) else { return false };
    let Ok(Some(enabled)) = status.children().find(ENABLED) else { return false };
    let mut children = status.children();
    let mut number = 0_usize;
    while let Ok(Some(child)) = children.next() {
        if child.tag != REFERENCE {
            continue;
        }
        if child.value == [PIN1] {
            let octet = enabled.value.get(number / 8).copied().unwrap_or_default();
            return octet & (0x80 >> (number % 8)) != 0;
        }
        number += 1;
    }
    false
}

/// The answer to SELECT of TS 51.011 §9.2.1.
fn of_gsm(answer: &[u8]) -> Option<Shape> {
    const EF: u8 = 0x04;
    const TRANSPARENT: u8 = 0x00;
    if *answer.get(6)? != EF {
        return Some(Shape::Directory);
    }
    Some(match *answer.get(13)? {
        TRANSPARENT => Shape::Transparent { size: usize::from(u16::from_be_bytes([*answer.get(2)?, *answer.get(3)?])) },
        _ => Shape::Records { length: usize::from(*answer.get(14)?) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn files_are_described_in_both_ways() {
        let imsi = hex!("621782024121 83026F07 A506C00100DE0190 8A0105 80020009");
        assert_eq!(of_fcp(&imsi[..]), Some(Shape::Transparent { size: 9 }));
        let msisdn = hex!("620E 8205422100 2202 83026F40 8A0105");
        assert_eq!(of_fcp(&msisdn[..]), Some(Shape::Records { length: 34 }));
        assert_eq!(of_fcp(&hex!("6207 82027821 8A0105")[..]), Some(Shape::Directory));
        assert_eq!(of_gsm(&hex!("00000009 6F07 04 00 140044 01 02 0000")), Some(Shape::Transparent { size: 9 }));
        assert_eq!(of_gsm(&hex!("00000044 6F40 04 00 110044 01 02 0122")), Some(Shape::Records { length: 34 }));
        assert_eq!(of_gsm(&hex!("0000FFFF 7F20 02 0000000000 0A")), Some(Shape::Directory));
        assert_eq!((of_fcp(&[]), of_gsm(&[])), (None, None));
        for (status, is_enabled) in [
            ("C60C 900180 830101 830181 83010A", true),
            ("C60C 900120 830101 830181 83010A", false),
            ("C60C 900140 83010A 830101 830181", true),
            ("C609 900180 830181 83010A", false),
            ("C600", false),
        ] {
            let status = hex::decode(status.replace(' ', "")).unwrap();
            let fcp = [&[0x62, u8::try_from(status.len()).unwrap()], status.as_slice()].concat();
            assert_eq!(has_pin1(&fcp), is_enabled, "{fcp:02X?}");
        }
    }
}
