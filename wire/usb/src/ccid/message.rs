//! Messages of a host to its reader, and their answers: a header of ten octets, little-endian, and data. CCID §6.1, §6.2.

const HEADER: usize = 10;

/// What a host asks. CCID table 6.1-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    IccPowerOn,
    IccPowerOff,
    GetSlotStatus,
    XfrBlock,
    GetParameters,
    ResetParameters,
    SetParameters,
    Abort,
    /// What this reader does not do, or no reader does.
    Unsupported(u8),
}

impl Kind {
    /// The message that answers: RDR_to_PC_DataBlock, SlotStatus, Parameters, Escape, DataRateAndClockFrequency.
    const fn answer(self) -> u8 {
        match self {
            Self::IccPowerOn | Self::XfrBlock | Self::Unsupported(0x69) => 0x80,
            Self::GetParameters | Self::ResetParameters | Self::SetParameters => 0x82,
            Self::Unsupported(0x6B) => 0x83,
            Self::Unsupported(0x73) => 0x84,
            Self::IccPowerOff | Self::GetSlotStatus | Self::Abort | Self::Unsupported(_) => SLOT_STATUS,
        }
    }
}

impl From<u8> for Kind {
    fn from(octet: u8) -> Self {
        match octet {
            0x61 => Self::SetParameters,
            0x62 => Self::IccPowerOn,
            0x63 => Self::IccPowerOff,
            0x65 => Self::GetSlotStatus,
            0x6C => Self::GetParameters,
            0x6D => Self::ResetParameters,
            0x6F => Self::XfrBlock,
            0x72 => Self::Abort,
            other => Self::Unsupported(other),
        }
    }
}

/// One message of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) kind: Kind,
    /// How many octets of data it says it has.
    length: u32,
    pub(super) slot: u8,
    pub(super) sequence: u8,
    /// The octet behind: bProtocolNum of SetParameters, bPowerSelect of IccPowerOn.
    pub(super) choice: u8,
    /// wLevelParameter of XfrBlock.
    pub(super) level: u16,
    pub(super) data: &'a [u8],
}

impl<'a> Request<'a> {
    /// `None` if there is not even a header.
    pub(super) fn read(transfer: &'a [u8]) -> Option<Self> {
        let (header, data) = transfer.split_first_chunk::<HEADER>()?;
        let [kind, l0, l1, l2, l3, slot, sequence, choice, p0, p1] = *header;
        let (length, level) = (u32::from_le_bytes([l0, l1, l2, l3]), u16::from_le_bytes([p0, p1]));
        Some(Self { kind: kind.into(), length, slot, sequence, choice, level, data })
    }

    /// Whether it has as many data as it says.
    pub(super) fn is_whole(&self) -> bool {
        usize::try_from(self.length) == Ok(self.data.len())
    }
}

/// bError: why a command failed. CCID §6.2.6: the offset of a field that is wrong, or below 0 what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Error(u8);

impl Error {
    pub(super) const NOT_SUPPORTED: Self = Self(0);
    pub(super) const BAD_LENGTH: Self = Self(1);
    pub(super) const NO_SUCH_SLOT: Self = Self(5);
    /// bProtocolNum or bPowerSelect.
    pub(super) const BAD_CHOICE: Self = Self(7);
    pub(super) const BAD_LEVEL: Self = Self(8);
    /// ICC_MUTE: no card, no power, no answer.
    pub(super) const MUTE: Self = Self(0xFE);
    /// CMD_ABORTED: the host has given up what its slot was to do.
    pub(super) const ABORTED: Self = Self(0xFF);
}

/// What the reader says to a message.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) request: &'a Request<'a>,
    /// bmICCStatus: 0 active, 1 inactive, 2 absent.
    pub(super) icc_status: u8,
    pub(super) outcome: Result<Vec<u8>, Error>,
}

/// bmCommandStatus: failed; the host is to wait for longer. CCID §6.2.6.
const FAILED: u8 = 0x40;
const TIME_EXTENSION: u8 = 0x80;
/// RDR_to_PC_SlotStatus, which says in its last octet how the clock is. CCID §6.2.2.
const SLOT_STATUS: u8 = 0x81;
/// bmICCStatus: absent.
const ABSENT: u8 = 2;

/// The header of an answer without data and with another status.
fn instead(answer: &[u8], status: u8, error: u8) -> Vec<u8> {
    let slot_and_sequence = answer.get(5..7).unwrap_or_default();
    [answer.get(..1).unwrap_or_default(), &[0; 4], slot_and_sequence, &[status, error, 0]].concat()
}

/// What is said as long as this answer is held back: to wait once more for as long as is usual.
pub(super) fn time_extension(answer: &[u8]) -> Vec<u8> {
    instead(answer, TIME_EXTENSION, 1)
}

/// What becomes of this answer when the card is taken out before.
pub(super) fn cut(answer: &[u8]) -> Vec<u8> {
    instead(answer, FAILED | ABSENT, Error::MUTE.0)
}

/// What becomes of this answer when the host gives it up before.
pub(super) fn abort(answer: &[u8]) -> Vec<u8> {
    let icc_status = answer.get(7).copied().unwrap_or(ABSENT) & 0x03;
    instead(answer, FAILED | icc_status, Error::ABORTED.0)
}

impl Answer<'_> {
    pub(super) fn write(self) -> Vec<u8> {
        let (status, error, data) = match self.outcome {
            Ok(data) => (self.icc_status, 0, data),
            Err(Error(error)) => (self.icc_status | FAILED, error, Vec::new()),
        };
        let length = u32::try_from(data.len()).unwrap_or_default().to_le_bytes();
        let Request { kind, slot, sequence, .. } = *self.request;
        let message = kind.answer();
        // No chain; T=0; and a clock that runs where a card has power, or is stopped in state L.
        let last = u8::from(message == SLOT_STATUS && self.icc_status != 0);
        [&[message][..], &length, &[slot, sequence, status, error, last], &data].concat()
    }
}
