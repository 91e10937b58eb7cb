//! A USIM as a phone uses it: select, read, authenticate. TS 31.102.

use apdu::{Class, CommandBuf, Ins, Response, StatusWord, bcd};
use reader_bridge::Transport;
use reader_bridge::transport::exchange;
use rsp::Iccid;

use crate::failure::Failure;

/// The part of its AID that all USIMs share. TS 101 220 annex E.
const AID_USIM: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02];
const EF_ICCID: [u8; 2] = [0x2F, 0xE2];
const EF_IMSI: [u8; 2] = [0x6F, 0x07];
const MF: [u8; 2] = [0x3F, 0x00];

/// The USIM selected on the basic channel.
pub(super) struct Usim<'a> {
    card: &'a mut dyn Transport,
}

/// What the USIM answers to a challenge.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The network is genuine and its challenge fresh.
    Keys { res: Vec<u8>, ck: Vec<u8>, ik: Vec<u8> },
    /// The network is genuine, its sequence number is not fresh.
    Resynchronise { auts: Vec<u8> },
    /// The network is not genuine.
    WrongMac,
}

impl<'a> Usim<'a> {
    /// Selects the first USIM of the card.
    pub(super) fn select(card: &'a mut dyn Transport) -> Result<Self, Failure> {
        let mut usim = Self { card };
        usim.select_usim()?;
        Ok(usim)
    }

    /// EF.ICCID, which belongs to the MF.
    pub(super) fn iccid(&mut self) -> Result<Iccid, Failure> {
        self.select_file(MF)?;
        let octets = self.read(EF_ICCID, 10)?;
        self.select_usim()?;
        Ok(Iccid::from(octets.as_slice()))
    }

    /// EF.IMSI, its digits. TS 31.102 §4.2.2.
    pub(super) fn imsi(&mut self) -> Result<String, Failure> {
        let octets = self.read(EF_IMSI, 9)?;
        let Some((length, rest)) = octets.split_first() else { return Err(Failure::because("EF.IMSI is empty")) };
        let coded = rest.get(..usize::from(*length)).unwrap_or_default();
        // The first half-byte says whether the number of digits is odd; it is no digit of the IMSI.
        let digits: String = bcd::unpack_swapped(coded).chars().skip(1).collect();
        let is_imsi = digits.len() > 5 && digits.bytes().all(|digit| digit.is_ascii_digit());
        if is_imsi { Ok(digits) } else { Err(Failure::because(format!("EF.IMSI holds `{digits}`, which is no IMSI"))) }
    }

    /// AUTHENTICATE in the 3G context. TS 31.102 §7.1.
    pub(super) fn authenticate(&mut self, rand: &[u8], autn: &[u8]) -> Result<Answer, Failure> {
        const CONTEXT_3G: u8 = 0x81;
        let mut data = Vec::new();
        for part in [rand, autn] {
            data.push(u8::try_from(part.len()).unwrap_or(0));
            data.extend(part);
        }
        let response = self.send(Ins::AUTHENTICATE, [0, CONTEXT_3G], &data, true)?;
        match (response.sw, response.data.split_first()) {
            (StatusWord::AUTHENTICATION_ERROR, _) => Ok(Answer::WrongMac),
            (sw, Some((0xDB, rest))) if sw.is_ok() => {
                let mut parts = Parts(rest);
                Ok(Answer::Keys { res: parts.next()?, ck: parts.next()?, ik: parts.next()? })
            }
            (sw, Some((0xDC, rest))) if sw.is_ok() => Ok(Answer::Resynchronise { auts: Parts(rest).next()? }),
            _ => Err(unexpected("AUTHENTICATE", &response)),
        }
    }

    fn select_usim(&mut self) -> Result<(), Failure> {
        let response = self.send(Ins::SELECT, [0x04, 0x04], &AID_USIM, true)?;
        if response.sw.is_ok() { Ok(()) } else { Err(unexpected("SELECT of the USIM", &response)) }
    }

    fn select_file(&mut self, file: [u8; 2]) -> Result<(), Failure> {
        let response = self.send(Ins::SELECT, [0x00, 0x0C], &file, false)?;
        if response.sw.is_ok() { Ok(()) } else { Err(unexpected("SELECT", &response)) }
    }

    fn read(&mut self, file: [u8; 2], length: u8) -> Result<Vec<u8>, Failure> {
        self.select_file(file)?;
        let command = command(Ins::READ_BINARY, [0, 0])?.le(length);
        let response = exchange(self.card, &command.to_bytes())?;
        if response.sw.is_ok() { Ok(response.data) } else { Err(unexpected("READ BINARY", &response)) }
    }

    fn send(&mut self, ins: Ins, parameters: [u8; 2], data: &[u8], answers: bool) -> Result<Response, Failure> {
        let command = command(ins, parameters)?.data(data);
        let command = if answers { command.le(0) } else { command };
        Ok(exchange(self.card, &command.to_bytes())?)
    }
}

fn command(ins: Ins, [p1, p2]: [u8; 2]) -> Result<CommandBuf, Failure> {
    let basic_channel = Class::on_channel(false, 0).ok_or_else(|| Failure::because("no basic channel"))?;
    Ok(CommandBuf::new(basic_channel, ins, p1, p2))
}

fn unexpected(command: &str, response: &Response) -> Failure {
    Failure::because(format!("{command}: {response:?}, {}", response.sw.description()))
}

/// Values with a length byte each.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn next(&mut self) -> Result<Vec<u8>, Failure> {
        let damaged = || Failure::because("the answer to AUTHENTICATE is damaged");
        let (length, rest) = self.0.split_first().ok_or_else(damaged)?;
        let (value, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(value.to_vec())
    }
}
