//! The USIM of a removable card, or of an enabled profile, as a phone uses it: identities, authentication, messages.
//! TS 31.102, TS 102 221.

#[cfg(any(test, feature = "testing"))]
pub mod testing;

use core::fmt;

use apdu::tlv::{Tag, Tlv};
use apdu::transport::exchange;
use apdu::{Class, CommandBuf, Ins, Response, StatusWord, bcd};
use apdu::{Transport, TransportError};
use identities::{Iccid, Imsi, Msisdn};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The part of its AID that all USIMs share. TS 101 220 annex E.
const AID_USIM: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02];

/// File identifiers. TS 102 221 §13, TS 31.102 §4.2.
mod file {
    pub(super) const MF: [u8; 2] = [0x3F, 0x00];
    pub(super) const ICCID: [u8; 2] = [0x2F, 0xE2];
    pub(super) const IMSI: [u8; 2] = [0x6F, 0x07];
    pub(super) const AD: [u8; 2] = [0x6F, 0xAD];
    pub(super) const MSISDN: [u8; 2] = [0x6F, 0x40];
    pub(super) const SMS: [u8; 2] = [0x6F, 0x3C];
    pub(super) const SMSS: [u8; 2] = [0x6F, 0x43];
    pub(super) const UST: [u8; 2] = [0x6F, 0x38];
}

/// Tags of the file control parameters. TS 102 221 §11.1.1.3.
mod fcp {
    use apdu::tlv::Tag;
    pub(super) const TEMPLATE: Tag = Tag(0x62);
    pub(super) const FILE_DESCRIPTOR: Tag = Tag(0x82);
    pub(super) const PIN_STATUS: Tag = Tag(0xC6);
    /// Inside PIN_STATUS: one bit for each PIN named after it, the first one in the top bit.
    pub(super) const PS_DO: Tag = Tag(0x90);
    /// Inside PIN_STATUS: a key reference.
    pub(super) const KEY_REFERENCE: Tag = Tag(0x83);
}

/// P2 of AUTHENTICATE. TS 31.102 §7.1.2.
mod context {
    pub(super) const GSM: u8 = 0x80;
    pub(super) const THREE_G: u8 = 0x81;
}

/// Key reference of PIN1, the one a phone verifies. TS 102 221 §9.5.1.
const PIN1: u8 = 0x01;

/// The last octets of a record of EF.MSISDN: length, type of number, ten octets of digits, two references.
const NUMBER_OCTETS: usize = 14;
/// International number, E.164. TS 24.008 §10.5.4.7.
const INTERNATIONAL: u8 = 0x91;

/// A PIN, four to eight digits. Not printed, zeroized when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pin(String);

impl Pin {
    /// A PIN of four to eight digits.
    pub fn new(digits: &str) -> Option<Self> {
        let valid = (4..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
        valid.then(|| Self(digits.to_owned()))
    }

    /// In the format of VERIFY: eight octets, padded with FF.
    fn block(&self) -> Zeroizing<[u8; 8]> {
        let mut block = Zeroizing::new([0xFF; 8]);
        block.iter_mut().zip(self.0.bytes()).for_each(|(to, digit)| *to = digit);
        block
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(secret)")
    }
}

/// Why the USIM failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsimError {
    /// The card could not be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// There is no USIM on the card.
    #[error("the card has no USIM ({0}); insert another card, or enable a profile")]
    NoUsim(StatusWord),
    /// PIN1 is required, and was not given.
    #[error("the card requires its PIN (tries left: {0})")]
    PinNeeded(u8),
    /// The PIN was wrong.
    #[error("the PIN is wrong; tries left before the card is blocked: {0}")]
    WrongPin(u8),
    /// PIN1 is blocked.
    #[error("the PIN of the card is blocked; the PUK unblocks it: docs/apdu-scripts.md, “A blocked PIN”")]
    PinBlocked,
    /// A command ended with another status word than success.
    #[error("the card refused {command}: {sw}, {}", .sw.description())]
    Refused {
        /// The command.
        command: &'static str,
        /// Status word.
        sw: StatusWord,
    },
    /// The contents of a file, or an answer, do not conform to the specification.
    #[error("{0} of the card is damaged; ask the operator for another card")]
    Damaged(&'static str),
}

/// The USIM's answer to a challenge in UMTS context. Keys are zeroized when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub enum UmtsAnswer {
    /// The network is genuine and its challenge fresh.
    Keys {
        /// RES, 4 to 16 octets.
        res: Vec<u8>,
        /// CK.
        ck: [u8; 16],
        /// IK.
        ik: [u8; 16],
    },
    /// The network is genuine, its sequence number is not fresh: AUTS.
    Resynchronise([u8; 14]),
    /// The network is not genuine.
    WrongMac,
}

impl fmt::Debug for UmtsAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys { .. } => "Keys(secret)",
            Self::Resynchronise(_) => "Resynchronise",
            Self::WrongMac => "WrongMac",
        })
    }
}

/// The USIM's answer to a challenge in GSM context. Zeroized when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct GsmAnswer {
    /// SRES.
    pub sres: [u8; 4],
    /// Kc.
    pub kc: [u8; 8],
}

impl fmt::Debug for GsmAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GsmAnswer(secret)")
    }
}

/// Answers challenges: a USIM, or in tests a script.
pub trait Authenticator {
    /// AUTHENTICATE in UMTS context.
    fn umts(&mut self, rand: &[u8; 16], autn: &[u8; 16]) -> Result<UmtsAnswer, UsimError>;

    /// AUTHENTICATE in GSM context.
    fn gsm(&mut self, rand: &[u8; 16]) -> Result<GsmAnswer, UsimError>;
}

/// The USIM, selected on the basic channel.
pub struct Usim<T> {
    card: T,
}

impl<T: Transport> Usim<T> {
    /// Selects the first USIM of the card and verifies the PIN if the card requires it.
    pub fn open(card: T, pin: Option<&Pin>) -> Result<Self, UsimError> {
        let mut usim = Self { card };
        let parameters = usim.select_usim()?;
        if asks_for_pin(&parameters) {
            usim.verify_pin(pin)?;
        }
        Ok(usim)
    }

    /// Selects the first USIM of a card whose PIN is not required, or was verified since the last reset.
    ///
    /// # Errors
    /// If there is none.
    pub fn open_unlocked(card: T) -> Result<Self, UsimError> {
        let mut usim = Self { card };
        usim.select_usim()?;
        Ok(usim)
    }

    /// Returns the card.
    pub fn close(self) -> T {
        self.card
    }

    /// EF.ICCID, which belongs to the MF.
    pub fn iccid(&mut self) -> Result<Iccid, UsimError> {
        self.select(file::MF)?;
        let octets = self.read_binary(file::ICCID, 10)?;
        self.select_usim()?;
        let iccid = Iccid::from(octets.as_slice());
        if iccid.is_well_formed() { Ok(iccid) } else { Err(UsimError::Damaged("EF.ICCID")) }
    }

    /// EF.IMSI. TS 31.102 §4.2.2.
    pub fn imsi(&mut self) -> Result<Imsi, UsimError> {
        let octets = self.read_binary(file::IMSI, 9)?;
        let (length, rest) = octets.split_first().ok_or(UsimError::Damaged("EF.IMSI"))?;
        let coded = rest.get(..usize::from(*length)).unwrap_or_default();
        // The first nibble says whether the number of digits is odd; it is not a digit of the IMSI.
        let digits: String = bcd::unpack_swapped(coded).chars().skip(1).collect();
        digits.parse().map_err(|_| UsimError::Damaged("EF.IMSI"))
    }

    /// How many digits of the IMSI are the MNC: EF.AD, octet 4. TS 31.102 §4.2.18.
    pub fn mnc_length(&mut self) -> Result<usize, UsimError> {
        let octets = self.read_binary(file::AD, 4)?;
        match octets.get(3).map(|octet| octet & 0x0F) {
            Some(length @ (2 | 3)) => Ok(usize::from(length)),
            // Cards older than this octet.
            _ => Ok(2),
        }
    }

    /// The number in the first record of EF.MSISDN, if the operator wrote one. TS 31.102 §4.2.26.
    pub fn msisdn(&mut self) -> Result<Option<Msisdn>, UsimError> {
        let Some(records) = self.records(file::MSISDN)? else { return Ok(None) };
        let record = self.read_record(1, records.length)?;
        let start = record.len().checked_sub(NUMBER_OCTETS).ok_or(UsimError::Damaged("EF.MSISDN"))?;
        let Some([length, kind, digits @ ..]) = record.get(start..) else { return Ok(None) };
        if *length == 0xFF {
            return Ok(None);
        }
        let coded = digits.get(..usize::from(length.saturating_sub(1)).min(10)).unwrap_or_default();
        let number = bcd::unpack_swapped(coded).parse().ok();
        // Without the country code it cannot be used from abroad.
        Ok(number.filter(|_| *kind == INTERNATIONAL))
    }

    /// The messages in EF.SMS, with their record numbers. Unreadable records are skipped.
    pub fn messages(&mut self) -> Result<Vec<(u8, sms::Record)>, UsimError> {
        let Some(records) = self.records(file::SMS)? else { return Ok(Vec::new()) };
        let mut messages = Vec::new();
        for number in 1..=records.count {
            if let Ok(Some(record)) = sms::Record::decode(&self.read_record(number, records.length)?) {
                messages.push((number, record));
            }
        }
        Ok(messages)
    }

    /// A free record of EF.SMS; `None` if there is none, or no EF.SMS.
    pub fn free_record(&mut self) -> Result<Option<u8>, UsimError> {
        let Some(records) = self.records(file::SMS)? else { return Ok(None) };
        for number in 1..=records.count {
            let record = self.read_record(number, records.length)?;
            if record.first().is_none_or(|status| sms::Status::of(*status) == sms::Status::Free) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// Writes a message to this record of EF.SMS, whatever its contents.
    pub fn put_sms(&mut self, record: u8, message: &sms::Record) -> Result<(), UsimError> {
        const TOO_LONG: UsimError = UsimError::Damaged("a message longer than a record of EF.SMS");
        let records = self.records(file::SMS)?.ok_or(UsimError::Damaged("EF.SMS"))?;
        let wanted = message.encode().filter(|wanted| wanted.len() == usize::from(records.length)).ok_or(TOO_LONG)?;
        self.update_record(record, wanted.to_vec())
    }

    /// Whether EF.SMSS says that a message was refused for lack of memory, and the network has not been told of free
    /// memory since. TS 31.102 §4.2.9.
    pub fn is_memory_exceeded(&mut self) -> Result<bool, UsimError> {
        Ok(self.message_status()?.is_some_and(|flags| flags & MEMORY_AVAILABLE == 0))
    }

    /// Notes in EF.SMSS whether a message was refused for lack of memory. A card without that file keeps no note.
    pub fn note_memory_exceeded(&mut self, exceeded: bool) -> Result<(), UsimError> {
        let Some(flags) = self.message_status()? else { return Ok(()) };
        let wanted = if exceeded { flags & !MEMORY_AVAILABLE } else { flags | MEMORY_AVAILABLE };
        if wanted == flags {
            return Ok(());
        }
        let command = CommandBuf::new(Class::BASIC, Ins::UPDATE_BINARY, 0, MEMORY_OCTET).data([wanted]);
        self.carry_out("UPDATE BINARY", &command).map(drop)
    }

    /// The second octet of EF.SMSS, which is selected then.
    fn message_status(&mut self) -> Result<Option<u8>, UsimError> {
        const NO_DATA: u8 = 0x0C;
        let select = CommandBuf::new(Class::BASIC, Ins::SELECT, 0, NO_DATA).data(file::SMSS);
        match self.send(&select)?.sw {
            StatusWord::FILE_NOT_FOUND => return Ok(None),
            sw if sw.is_ok() => {}
            sw => return Err(UsimError::Refused { command: "SELECT", sw }),
        }
        let read = CommandBuf::new(Class::BASIC, Ins::READ_BINARY, 0, 0).le(2);
        Ok(self.carry_out("READ BINARY", &read)?.get(usize::from(MEMORY_OCTET)).copied())
    }

    /// Whether the card accepts messages addressed to it: service 28 of EF.UST. TS 31.102 §4.2.8.
    pub fn takes_sms_downloads(&mut self) -> Result<bool, UsimError> {
        /// Service 28 is bit 4 of the fourth octet.
        const OCTET: u8 = 4;
        const BIT: u8 = 1 << 3;
        match self.read_binary(file::UST, OCTET) {
            Ok(services) => Ok(services.last().is_some_and(|octet| octet & BIT != 0)),
            Err(UsimError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Passes the card a message addressed to it: ENVELOPE (SMS-PP DOWNLOAD). TS 31.111 §7.1.1. `false` if it was
    /// rejected.
    pub fn download_sms(&mut self, centre: Option<&sms::Address>, tpdu: &[u8]) -> Result<bool, UsimError> {
        let envelope = sms_pp_download(centre, tpdu);
        let envelope = envelope.ok_or(UsimError::Damaged("a message longer than an envelope"))?;
        let command = CommandBuf::new(Class::BASIC_PROPRIETARY, Ins::ENVELOPE, 0, 0).data(envelope);
        let sw = self.send(&command)?.sw;
        // 91XX: accepted, and a proactive command is pending.
        Ok(sw.is_ok() || sw.sw1() == 0x91)
    }

    /// Marks a message in EF.SMS as read.
    pub fn mark_read(&mut self, record: u8) -> Result<(), UsimError> {
        let records = self.records(file::SMS)?.ok_or(UsimError::Damaged("EF.SMS"))?;
        let mut message = self.read_record(record, records.length)?;
        match message.first_mut() {
            Some(status) if sms::Status::of(*status) == sms::Status::Unread => {
                *status = sms::Status::Read.octet();
                self.update_record(record, message)
            }
            _ => Ok(()),
        }
    }

    /// Frees a record of EF.SMS.
    pub fn delete_sms(&mut self, record: u8) -> Result<(), UsimError> {
        self.records(file::SMS)?.ok_or(UsimError::Damaged("EF.SMS"))?;
        self.update_record(record, sms::Record::free().to_vec())
    }

    fn verify_pin(&mut self, pin: Option<&Pin>) -> Result<(), UsimError> {
        let Some(pin) = pin else {
            // VERIFY without a PIN returns how many tries are left.
            let sw = self.send(&CommandBuf::new(Class::BASIC, Ins::VERIFY_PIN, 0, PIN1))?.sw;
            return match sw {
                StatusWord::OK => Ok(()),
                StatusWord::AUTHENTICATION_METHOD_BLOCKED => Err(UsimError::PinBlocked),
                sw => Err(UsimError::PinNeeded(sw.sw2() & 0x0F)),
            };
        };
        let command = CommandBuf::new(Class::BASIC, Ins::VERIFY_PIN, 0, PIN1).data(pin.block().as_slice());
        match self.send(&command)?.sw {
            sw if sw.is_ok() => Ok(()),
            StatusWord::AUTHENTICATION_METHOD_BLOCKED => Err(UsimError::PinBlocked),
            sw if sw.sw1() == 0x63 && sw.sw2() == 0xC0 => Err(UsimError::PinBlocked),
            sw if sw.sw1() == 0x63 => Err(UsimError::WrongPin(sw.sw2() & 0x0F)),
            sw => Err(UsimError::Refused { command: "VERIFY PIN", sw }),
        }
    }

    /// Selects the USIM; returns its file control parameters.
    fn select_usim(&mut self) -> Result<Vec<u8>, UsimError> {
        /// P1: by name; P2: first one, with FCP.
        const BY_NAME: u8 = 0x04;
        const WITH_FCP: u8 = 0x04;
        let command = CommandBuf::new(Class::BASIC, Ins::SELECT, BY_NAME, WITH_FCP).data(AID_USIM).le(0);
        let response = self.send(&command)?;
        if response.sw.is_ok() { Ok(response.data) } else { Err(UsimError::NoUsim(response.sw)) }
    }

    fn select(&mut self, file: [u8; 2]) -> Result<(), UsimError> {
        /// P2: without FCP.
        const NO_DATA: u8 = 0x0C;
        self.carry_out("SELECT", &CommandBuf::new(Class::BASIC, Ins::SELECT, 0, NO_DATA).data(file)).map(drop)
    }

    /// Selects a record file; `None` if it does not exist.
    fn records(&mut self, file: [u8; 2]) -> Result<Option<Records>, UsimError> {
        const WITH_FCP: u8 = 0x04;
        let response = self.send(&CommandBuf::new(Class::BASIC, Ins::SELECT, 0, WITH_FCP).data(file).le(0))?;
        match response.sw {
            StatusWord::FILE_NOT_FOUND => Ok(None),
            sw if sw.is_ok() => Records::parse(&response.data).map(Some).ok_or(UsimError::Damaged("FCP")),
            sw => Err(UsimError::Refused { command: "SELECT", sw }),
        }
    }

    fn read_binary(&mut self, file: [u8; 2], length: u8) -> Result<Vec<u8>, UsimError> {
        self.select(file)?;
        self.carry_out("READ BINARY", &CommandBuf::new(Class::BASIC, Ins::READ_BINARY, 0, 0).le(length))
    }

    fn read_record(&mut self, number: u8, length: u8) -> Result<Vec<u8>, UsimError> {
        let command = CommandBuf::new(Class::BASIC, Ins::READ_RECORD, number, ABSOLUTE).le(length);
        self.carry_out("READ RECORD", &command)
    }

    fn update_record(&mut self, number: u8, record: Vec<u8>) -> Result<(), UsimError> {
        let command = CommandBuf::new(Class::BASIC, Ins::UPDATE_RECORD, number, ABSOLUTE).data(record);
        self.carry_out("UPDATE RECORD", &command).map(drop)
    }

    fn carry_out(&mut self, command: &'static str, bytes: &CommandBuf) -> Result<Vec<u8>, UsimError> {
        let response = self.send(bytes)?;
        if response.sw.is_ok() { Ok(response.data) } else { Err(UsimError::Refused { command, sw: response.sw }) }
    }

    fn send(&mut self, command: &CommandBuf) -> Result<Response, UsimError> {
        Ok(exchange(&mut self.card, &command.to_bytes())?)
    }
}

/// In EF.SMSS: the octet, and the bit in it, that is 0 once a message was refused for lack of memory.
const MEMORY_OCTET: u8 = 1;
const MEMORY_AVAILABLE: u8 = 1;

/// The data of ENVELOPE (SMS-PP DOWNLOAD): from the network, to the UICC. TS 31.111 §7.1.1.2.
fn sms_pp_download(centre: Option<&sms::Address>, tpdu: &[u8]) -> Option<Vec<u8>> {
    const SMS_PP_DOWNLOAD: u8 = 0xD1;
    const DEVICE_IDENTITIES: [u8; 4] = [0x82, 0x02, 0x83, 0x81];
    const ADDRESS: u8 = 0x86;
    const SMS_TPDU: u8 = 0x8B;
    let mut objects = DEVICE_IDENTITIES.to_vec();
    // Type of number and digits; their count is the object's length.
    if let Some([length, digits @ ..]) = centre.map(sms::Address::encode_service_centre).as_deref()
        && *length > 0
    {
        objects.extend([ADDRESS, *length]);
        objects.extend(digits);
    }
    objects.push(SMS_TPDU);
    objects.extend(length(tpdu.len())?);
    objects.extend(tpdu);
    let mut envelope = vec![SMS_PP_DOWNLOAD];
    envelope.extend(length(objects.len())?);
    envelope.extend(objects);
    u8::try_from(envelope.len()).is_ok().then_some(envelope)
}

/// A BER-TLV length of at most 255.
fn length(octets: usize) -> Option<Vec<u8>> {
    let octet = u8::try_from(octets).ok()?;
    Some(if octet < 0x80 { vec![octet] } else { vec![0x81, octet] })
}

/// P2 of READ RECORD and UPDATE RECORD: the record of the number in P1.
const ABSOLUTE: u8 = 0x04;

impl<T: Transport> Authenticator for Usim<T> {
    fn umts(&mut self, rand: &[u8; 16], autn: &[u8; 16]) -> Result<UmtsAnswer, UsimError> {
        const SUCCESS: u8 = 0xDB;
        const SYNCHRONISATION_FAILURE: u8 = 0xDC;
        let data = [&[0x10][..], rand, &[0x10], autn].concat();
        let command = CommandBuf::new(Class::BASIC, Ins::AUTHENTICATE, 0, context::THREE_G).data(data).le(0);
        let response = self.send(&command)?;
        let answer = Zeroizing::new(response.data);
        match (response.sw, answer.split_first()) {
            (StatusWord::AUTHENTICATION_ERROR, _) => Ok(UmtsAnswer::WrongMac),
            (sw, Some((&SUCCESS, rest))) if sw.is_ok() => {
                let mut values = Counted(rest);
                let res = values.next()?.to_vec();
                if !(4..=16).contains(&res.len()) {
                    return Err(UsimError::Damaged("the answer to AUTHENTICATE"));
                }
                Ok(UmtsAnswer::Keys { res, ck: values.exactly()?, ik: values.exactly()? })
            }
            (sw, Some((&SYNCHRONISATION_FAILURE, rest))) if sw.is_ok() => {
                Ok(UmtsAnswer::Resynchronise(Counted(rest).exactly()?))
            }
            (sw, _) if sw.is_ok() => Err(UsimError::Damaged("the answer to AUTHENTICATE")),
            (sw, _) => Err(UsimError::Refused { command: "AUTHENTICATE", sw }),
        }
    }

    fn gsm(&mut self, rand: &[u8; 16]) -> Result<GsmAnswer, UsimError> {
        let data = [&[0x10][..], rand].concat();
        let command = CommandBuf::new(Class::BASIC, Ins::AUTHENTICATE, 0, context::GSM).data(data).le(0);
        let answer = Zeroizing::new(self.carry_out("AUTHENTICATE", &command)?);
        let mut values = Counted(&answer);
        Ok(GsmAnswer { sres: values.exactly()?, kc: values.exactly()? })
    }
}

impl<A: Authenticator + ?Sized> Authenticator for &mut A {
    fn umts(&mut self, rand: &[u8; 16], autn: &[u8; 16]) -> Result<UmtsAnswer, UsimError> {
        (**self).umts(rand, autn)
    }
    fn gsm(&mut self, rand: &[u8; 16]) -> Result<GsmAnswer, UsimError> {
        (**self).gsm(rand)
    }
}

/// Structure of a record file.
struct Records {
    length: u8,
    count: u8,
}

impl Records {
    /// From the file descriptor: two octets of type, two of record length, one of record count. TS 102 221 §11.1.1.4.3.
    fn parse(parameters: &[u8]) -> Option<Self> {
        let descriptor = in_template(parameters, fcp::FILE_DESCRIPTOR)?;
        let &[_, _, high, length, count] = descriptor else { return None };
        (high == 0 && length > 0).then_some(Self { length, count })
    }
}

fn in_template(parameters: &[u8], tag: Tag) -> Option<&[u8]> {
    let template = Tlv::parse(parameters).ok().filter(|template| template.tag == fcp::TEMPLATE)?;
    Some(template.children().find(tag).ok()??.value)
}

/// Whether PIN1 is enabled, by the PIN status in the file control parameters. TS 102 221 §11.1.1.4.10.
fn asks_for_pin(parameters: &[u8]) -> bool {
    let Some(status) = in_template(parameters, fcp::PIN_STATUS) else { return false };
    let mut inside = apdu::tlv::Reader::new(status);
    let mut enabled: &[u8] = &[];
    let mut position = 0;
    while let Ok(Some(object)) = inside.next() {
        match (object.tag, object.value) {
            (fcp::PS_DO, bits) => enabled = bits,
            (fcp::KEY_REFERENCE, &[PIN1]) => {
                return enabled.get(position / 8).is_some_and(|octet| octet >> (7 - position % 8) & 1 == 1);
            }
            (fcp::KEY_REFERENCE, _) => position += 1,
            _ => {}
        }
    }
    false
}

/// Values with a length octet each.
struct Counted<'a>(&'a [u8]);

impl<'a> Counted<'a> {
    fn next(&mut self) -> Result<&'a [u8], UsimError> {
        const DAMAGED: UsimError = UsimError::Damaged("the answer to AUTHENTICATE");
        let (length, rest) = self.0.split_first().ok_or(DAMAGED)?;
        let (value, rest) = rest.split_at_checked(usize::from(*length)).ok_or(DAMAGED)?;
        self.0 = rest;
        Ok(value)
    }

    fn exactly<const N: usize>(&mut self) -> Result<[u8; N], UsimError> {
        self.next()?.try_into().map_err(|_| UsimError::Damaged("the answer to AUTHENTICATE"))
    }
}

#[cfg(test)]
#[expect(clippy::redundant_closure_for_method_calls, reason = "the methods are not general enough in their lifetimes")]
mod tests {
    use super::*;
    use crate::testing::Dialogue;
    use hex_literal::hex;

    const SELECT_USIM: &str = "00A4040407A000000087100200";
    /// ADF with PIN1 disabled; with PIN1 enabled.
    const OPEN: &str =
        "62328202782183027FFF8410A0000000871002FFFFFFFF8907090000A50880017183030000008A0105C60990010083010183010A9000";
    const LOCKED: &str =
        "62328202782183027FFF8410A0000000871002FFFFFFFF8907090000A50880017183030000008A0105C60990018083010183010A9000";

    /// A USIM without PIN before the given commands, all of which must be sent.
    fn with_usim<R>(
        steps: &[(&str, &str)],
        act: impl FnOnce(&mut Usim<&mut Dialogue>) -> Result<R, UsimError>,
    ) -> Result<R, UsimError> {
        let mut card = Dialogue::new(&[&[(SELECT_USIM, OPEN)], steps].concat());
        let outcome = act(&mut Usim::open(&mut card, None)?);
        assert!(card.is_finished());
        outcome
    }

    #[test]
    fn identities_are_read() {
        let steps = [
            ("00A4000C026F07", "9000"),
            ("00B0000009", "0809101000000000109000"),
            ("00A4000C026FAD", "9000"),
            ("00B0000004", "000000029000"),
            ("00A4000C023F00", "9000"),
            ("00A4000C022FE2", "9000"),
            ("00B000000A", "981800000000000000019000"),
            (SELECT_USIM, OPEN),
        ];
        let (imsi, length, iccid) =
            with_usim(&steps, |usim| Ok((usim.imsi()?, usim.mnc_length()?, usim.iccid()?))).unwrap();
        assert_eq!((imsi.as_str(), length), ("001010000000001", 2));
        assert_eq!(iccid.to_string(), "89810000000000000010");
    }

    /// Under T=0 the card announces its data; `exchange` fetches it.
    #[test]
    fn the_number_under_t0() {
        let select = "62178205422100180183026F408A01058B036F060180020018";
        let steps = [
            ("00A40004026F4000", "6119"),
            ("00C0000019", &format!("{select}9000")),
            ("00B2010418", &format!("{}07911809214365F7FFFFFFFFFFFF9000", "FF".repeat(10))),
        ];
        // The descriptor says 24 octets: ten of name, fourteen of number.
        assert_eq!(with_usim(&steps, |usim| usim.msisdn()).unwrap().unwrap().as_str(), "81901234567");
        let steps =
            [("00A40004026F4000", &*format!("{select}9000")), ("00B2010418", &format!("{}9000", "FF".repeat(24)))];
        assert_eq!(with_usim(&steps, |usim| usim.msisdn()).unwrap(), None);
        assert_eq!(with_usim(&[("00A40004026F4000", "6A82")], |usim| usim.msisdn()).unwrap(), None);
    }

    #[test]
    fn authentication_in_both_contexts() {
        let (rand, autn) = (hex!("2eb81ffd019ec088580a6c428dfd7c31"), hex!("48afee1af40f800078d40c290892c3b3"));
        let umts = "0088008122102EB81FFD019EC088580A6C428DFD7C311048AFEE1AF40F800078D40C290892C3B300";
        let keys = "DB08DCC59181C73D5C6810E6BDF4E87B4A1924EA62987DF7B028C210670F1282237EF33C446E7B0CB79174CE082FBE051B1815B6149000";
        let answer = with_usim(&[(umts, "6135"), ("00C0000035", keys)], |usim| usim.umts(&rand, &autn)).unwrap();
        let expected = UmtsAnswer::Keys {
            res: hex!("dcc59181c73d5c68").to_vec(),
            ck: hex!("e6bdf4e87b4a1924ea62987df7b028c2"),
            ik: hex!("670f1282237ef33c446e7b0cb79174ce"),
        };
        assert!(answer == expected);
        assert_eq!(format!("{answer:?}"), "Keys(secret)");
        let out_of_step = [(umts, "DC0E451E8BECA47A8C2B1A6206D86E969000")];
        let answer = with_usim(&out_of_step, |usim| usim.umts(&rand, &autn)).unwrap();
        assert_eq!(answer, UmtsAnswer::Resynchronise(hex!("451e8beca47a8c2b1a6206d86e96")));
        let answer = with_usim(&[(umts, "9862")], |usim| usim.umts(&rand, &autn)).unwrap();
        assert_eq!(answer, UmtsAnswer::WrongMac);
        for broken in ["DB08DCC59000", "DC0D451E8BECA47A8C2B1A6206D86E9000", "9000", "EE009000"] {
            assert!(with_usim(&[(umts, broken)], |usim| usim.umts(&rand, &autn)).is_err(), "{broken}");
        }
        let gsm = "0088008011102EB81FFD019EC088580A6C428DFD7C3100";
        let answer = with_usim(&[(gsm, "0430EB8F77083CBD1F8178CE3CB59000")], |usim| usim.gsm(&rand)).unwrap();
        assert!(answer.sres == hex!("30eb8f77") && answer.kc == hex!("3cbd1f8178ce3cb5"));
    }

    #[test]
    fn the_pin() {
        let verify = "002000010831323334FFFFFFFF";
        let open = |steps: &[(&str, &str)], pin: Option<&str>| {
            let mut card = Dialogue::new(&[&[(SELECT_USIM, LOCKED)], steps].concat());
            let outcome = Usim::open(&mut card, pin.and_then(Pin::new).as_ref()).map(|_| ());
            assert!(card.is_finished());
            outcome
        };
        assert_eq!(open(&[(verify, "9000")], Some("1234")), Ok(()));
        assert_eq!(open(&[(verify, "63C2")], Some("1234")), Err(UsimError::WrongPin(2)));
        assert_eq!(open(&[(verify, "6983")], Some("1234")), Err(UsimError::PinBlocked));
        assert_eq!(open(&[("00200001", "63C3")], None), Err(UsimError::PinNeeded(3)));
        // Verified already, by another program, since the last reset.
        assert_eq!(open(&[("00200001", "9000")], None), Ok(()));
        assert!(Pin::new("123").is_none() && Pin::new("12a4").is_none());
        assert_eq!(format!("{:?}", Pin::new("1234")), "Some(Pin(secret))");
    }

    #[test]
    fn messages_in_records() {
        // Three records of 176 octets; the first one holds a message of one octet.
        let select = ("00A40004026F3C00", "6207820542210 0B003".replace(' ', "") + "9000");
        let select = (select.0, &*select.1);
        let filled = |start: &str| format!("{start}{}", "FF".repeat(sms::record::LENGTH - start.len() / 2));
        let answer = |start: &str| filled(start) + "9000";
        let (taken, free, mine) = (answer("0100AA"), answer("00"), answer("030291819999"));
        let message = sms::Record::decode(&hex::decode(filled("030291819999")).unwrap()).unwrap().unwrap();
        let message = sms::Record { tpdu: vec![0x99, 0x99], ..message };
        let update = format!("00DC0204B0{}", filled("030291819999"));
        let steps = [select, ("00B20104B0", &*taken), ("00B20204B0", &*free), select, (&*update, "9000")];
        let written = with_usim(&steps, |usim| {
            let record = usim.free_record()?;
            usim.put_sms(record.unwrap(), &message)?;
            Ok(record)
        });
        assert_eq!(written, Ok(Some(2)));
        let read = mine.replacen("03", "01", 1);
        let marked = format!("00DC0204B0{}", filled("010291819999"));
        let steps = [select, ("00B20204B0", &*mine), (&*marked, "9000")];
        assert_eq!(with_usim(&steps, |usim| usim.mark_read(2)), Ok(()));
        for other in [&read, &free] {
            assert_eq!(with_usim(&[select, ("00B20204B0", &**other)], |usim| usim.mark_read(2)), Ok(()));
        }
        let full = [select, ("00B20104B0", &*taken), ("00B20204B0", &*taken), ("00B20304B0", &*taken)];
        assert_eq!(with_usim(&full, |usim| usim.free_record()), Ok(None));
        let stored = with_usim(&full, |usim| usim.messages()).unwrap();
        assert_eq!(
            stored.iter().map(|(number, sms)| (*number, sms.tpdu[0])).collect::<Vec<_>>(),
            [(1, 0xAA), (2, 0xAA), (3, 0xAA)]
        );
        let erased = format!("00DC0304B0{}", filled("00"));
        assert_eq!(with_usim(&[select, (&erased, "9000")], |usim| usim.delete_sms(3)), Ok(()));
        assert_eq!(with_usim(&[("00A40004026F3C00", "6A82")], |usim| usim.free_record()), Ok(None));
    }

    /// TS 31.102 §4.2.9: bit 1 of the second octet is 0 while memory capacity is exceeded.
    #[test]
    fn memory_that_was_exceeded() {
        let select = ("00A4000C026F43", "9000");
        for (flags, exceeded) in [("FFFF9000", false), ("05FE9000", true), ("05FF9000", false)] {
            assert_eq!(with_usim(&[select, ("00B0000002", flags)], |usim| usim.is_memory_exceeded()), Ok(exceeded));
        }
        let set = [select, ("00B0000002", "05FF9000"), ("00D6000101FE", "9000")];
        assert_eq!(with_usim(&set, |usim| usim.note_memory_exceeded(true)), Ok(()));
        let unset = [select, ("00B0000002", "05FE9000"), ("00D6000101FF", "9000")];
        assert_eq!(with_usim(&unset, |usim| usim.note_memory_exceeded(false)), Ok(()));
        let already = [select, ("00B0000002", "05FE9000")];
        assert_eq!(with_usim(&already, |usim| usim.note_memory_exceeded(true)), Ok(()));
        let none = [("00A4000C026F43", "6A82")];
        assert_eq!(with_usim(&none, |usim| usim.note_memory_exceeded(true)), Ok(()));
    }

    /// TS 31.111 §7.1.1.2.
    #[test]
    fn messages_for_the_card_itself() {
        let centre = sms::Address::international("15550000000").unwrap();
        let tpdu = hex!("44 0B911809214365F7 7F F6 62101000000000 03 027000");
        let envelope =
            "80C20000 27 D125 82028381 86079151 55000000F0 8B16 440B911809214365F77FF662101000000000 03027000";
        let envelope = envelope.replace(' ', "");
        for (answer, taken) in [("9000", true), ("9110", true), ("6F00", false), ("9300", false), ("6985", false)] {
            let steps = [(&*envelope, answer)];
            assert_eq!(with_usim(&steps, |usim| usim.download_sms(Some(&centre), &tpdu)), Ok(taken), "{answer}");
        }
        let ust = ("00A4000C026F38", "9000");
        for (services, takes) in [("000000089000", true), ("FFFFFFF79000", false)] {
            assert_eq!(with_usim(&[ust, ("00B0000004", services)], |usim| usim.takes_sms_downloads()), Ok(takes));
        }
        assert_eq!(with_usim(&[("00A4000C026F38", "6A82")], |usim| usim.takes_sms_downloads()), Ok(false));
        assert!(sms_pp_download(Some(&centre), &[0; 164]).is_some());
        assert!(sms_pp_download(Some(&centre), &[0; 300]).is_none());
    }

    #[test]
    fn a_card_without_usim() {
        let mut card = Dialogue::new(&[(SELECT_USIM, "6A82")]);
        let error = Usim::open(&mut card, None).map(|_| ()).unwrap_err();
        assert_eq!(error, UsimError::NoUsim(StatusWord::FILE_NOT_FOUND));
    }
}
