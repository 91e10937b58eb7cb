//! Command APDUs: cases 1 to 4, short and extended.

use crate::{Class, Ins, StatusWord};

/// One command APDU, borrowed from the bytes it came in. TS 102 221 §10.1, ISO/IEC 7816-3 §12.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Class byte.
    pub class: Class,
    /// Instruction byte.
    pub ins: Ins,
    /// First parameter.
    pub p1: u8,
    /// Second parameter.
    pub p2: u8,
    /// Command data, Nc bytes.
    pub data: &'a [u8],
    /// Ne, the largest number of response bytes wanted: 0 where Le is absent, 256 (65536) for Le `00` (`0000`).
    pub ne: usize,
    /// Whether Lc and Le were coded in their extended form.
    pub extended: bool,
}

/// Why bytes are no command APDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedCommand {
    /// Fewer than the four bytes CLA INS P1 P2, or Lc and the data disagree.
    Length,
    /// The class byte has a reserved coding.
    Class,
    /// The instruction byte has a reserved coding.
    Ins,
}

impl From<MalformedCommand> for StatusWord {
    fn from(reason: MalformedCommand) -> Self {
        match reason {
            MalformedCommand::Length => Self::WRONG_LENGTH,
            MalformedCommand::Class => Self::CLA_NOT_SUPPORTED,
            MalformedCommand::Ins => Self::INS_NOT_SUPPORTED,
        }
    }
}

impl<'a> Command<'a> {
    /// Reads one command APDU that fills `bytes` exactly.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MalformedCommand> {
        let [cla, ins, p1, p2, body @ ..] = bytes else { return Err(MalformedCommand::Length) };
        let class = Class::parse(*cla).ok_or(MalformedCommand::Class)?;
        let ins = Ins(*ins);
        if ins.is_invalid() {
            return Err(MalformedCommand::Ins);
        }
        let (data, ne, extended) = Self::body(body)?;
        Ok(Self { class, ins, p1: *p1, p2: *p2, data, ne, extended })
    }

    fn body(body: &'a [u8]) -> Result<(&'a [u8], usize, bool), MalformedCommand> {
        const NONE: &[u8] = &[];
        match body {
            [] => Ok((NONE, 0, false)),
            [le] => Ok((NONE, short_le(*le), false)),
            [0, high, low] => Ok((NONE, extended_le(*high, *low), true)),
            [0, high, low, rest @ ..] => {
                let nc = usize::from(u16::from_be_bytes([*high, *low]));
                let (data, le) = rest.split_at_checked(nc).ok_or(MalformedCommand::Length)?;
                match le {
                    _ if nc == 0 => Err(MalformedCommand::Length),
                    [] => Ok((data, 0, true)),
                    [high, low] => Ok((data, extended_le(*high, *low), true)),
                    _ => Err(MalformedCommand::Length),
                }
            }
            [lc, rest @ ..] => {
                let (data, le) = rest.split_at_checked(usize::from(*lc)).ok_or(MalformedCommand::Length)?;
                match le {
                    [] => Ok((data, 0, false)),
                    [le] => Ok((data, short_le(*le), false)),
                    _ => Err(MalformedCommand::Length),
                }
            }
        }
    }

    /// Whether Le asks for all there is. ISO/IEC 7816-3 §12.1.
    pub const fn wants_all(&self) -> bool {
        matches!(self.ne, 256 | 65_536)
    }

    /// P1 and P2 as one number, for READ BINARY offsets and GET DATA tags.
    pub const fn p1_p2(&self) -> u16 {
        u16::from_be_bytes([self.p1, self.p2])
    }
}

const fn short_le(le: u8) -> usize {
    if le == 0 { 256 } else { le as usize }
}

const fn extended_le(high: u8, low: u8) -> usize {
    let le = u16::from_be_bytes([high, low]);
    if le == 0 { 65_536 } else { le as usize }
}

/// One command APDU to send, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandBuf {
    header: [u8; 4],
    data: Vec<u8>,
    le: Option<u8>,
}

impl CommandBuf {
    /// A command without data and without Le (case 1).
    pub fn new(class: Class, ins: Ins, p1: u8, p2: u8) -> Self {
        Self { header: [class.to_byte(), ins.0, p1, p2], data: Vec::new(), le: None }
    }

    /// Adds command data (case 3). More than 255 bytes are written with an extended Lc.
    #[must_use]
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }

    /// Asks for `le` response bytes, 0 for 256 (cases 2 and 4).
    #[must_use]
    pub fn le(mut self, le: u8) -> Self {
        self.le = Some(le);
        self
    }

    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        match u8::try_from(self.data.len()) {
            Ok(0) => {}
            Ok(lc) => bytes.push(lc),
            Err(_) => {
                bytes.push(0);
                let lc = u16::try_from(self.data.len()).unwrap_or(u16::MAX);
                bytes.extend(lc.to_be_bytes());
            }
        }
        bytes.extend(&self.data);
        match self.le {
            Some(le) if self.data.len() > 255 => bytes.extend([0, le]),
            Some(le) => bytes.push(le),
            None => {}
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<(Vec<u8>, usize), MalformedCommand> {
        Command::parse(bytes).map(|c| (c.data.to_vec(), c.ne))
    }

    #[test]
    fn four_cases_short() {
        assert_eq!(parse(&[0, 0x70, 0x80, 1]), Ok((vec![], 0)));
        assert_eq!(parse(&[0, 0xB0, 0, 0, 10]), Ok((vec![], 10)));
        assert_eq!(parse(&[0, 0xB0, 0, 0, 0]), Ok((vec![], 256)));
        assert_eq!(parse(&[0, 0xA4, 0, 4, 2, 0x3F, 0]), Ok((vec![0x3F, 0], 0)));
        assert_eq!(parse(&[0, 0xA4, 0, 4, 2, 0x3F, 0, 0]), Ok((vec![0x3F, 0], 256)));
    }

    #[test]
    fn extended_lengths() {
        assert_eq!(parse(&[0, 0xB0, 0, 0, 0, 1, 0]), Ok((vec![], 256)));
        assert_eq!(parse(&[0, 0xB0, 0, 0, 0, 0, 0]), Ok((vec![], 65_536)));
        let mut long = vec![0, 0xE2, 0, 0, 0, 1, 0];
        long.extend([7; 256]);
        assert_eq!(parse(&long), Ok((vec![7; 256], 0)));
        long.extend([0, 0]);
        assert_eq!(parse(&long), Ok((vec![7; 256], 65_536)));
    }

    #[test]
    fn malformed() {
        assert_eq!(parse(&[]), Err(MalformedCommand::Length));
        assert_eq!(parse(&[0, 0xA4, 0]), Err(MalformedCommand::Length));
        assert_eq!(parse(&[0, 0xA4, 0, 0, 3, 1, 2]), Err(MalformedCommand::Length));
        assert_eq!(parse(&[0, 0xA4, 0, 0, 1, 1, 2, 3]), Err(MalformedCommand::Length));
        assert_eq!(parse(&[0xFF, 0xA4, 0, 0]), Err(MalformedCommand::Class));
        assert_eq!(parse(&[0, 0x6A, 0, 0]), Err(MalformedCommand::Ins));
    }

    #[test]
    fn written_commands_read_back() {
        let class = Class::on_channel(true, 5).unwrap();
        for (data, le) in [(0, None), (0, Some(0)), (3, None), (255, Some(7)), (256, None), (300, Some(0))] {
            let mut command = CommandBuf::new(class, Ins::STORE_DATA, 0x91, 2).data(vec![0xAB; data]);
            if let Some(le) = le {
                command = command.le(le);
            }
            let bytes = command.to_bytes();
            let read = Command::parse(&bytes).unwrap();
            assert_eq!((read.class, read.ins, read.p1_p2()), (class, Ins::STORE_DATA, 0x9102));
            assert_eq!((read.data.len(), read.ne > 0), (data, le.is_some()));
        }
    }
}
