//! Messages: `RsproPDU`.

use apdu::tlv::{Reader, Tag, Tlv, Writer};

use crate::ber::{ENUMERATED, INTEGER};
use crate::ber::{OCTET_STRING, SEQUENCE, expect, number, optional, small, words, write_number};
use crate::frame::LONGEST;
use crate::parts::{
    BankSlot, ClientSlot, ComponentType, ErrorCode, Identity, IpPort, ResultCode, Severity, SlotStatus, TpduFlags,
    octets,
};

/// The version of the protocol.
pub const VERSION: u8 = 2;

/// Octets of the longest ATR.
const LONGEST_ATR: usize = 55;

/// Octets that are no message, or one that this version does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    /// They are not BER, or a value has a wrong form.
    #[error("a message that is not BER")]
    Malformed,
    /// A part that every such message has is not there.
    #[error("a message without its {0}")]
    Missing(&'static str),
    /// A part has a value that it cannot have.
    #[error("a message whose {0} is out of range")]
    OutOfRange(&'static str),
    /// The message is of another version.
    #[error("a message of version {0}; this is version {VERSION}")]
    Version(u32),
    /// The message is none of this version.
    #[error("a message of an unknown kind, {0}")]
    Unknown(Tag),
}

/// A message, and what its sender calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdu {
    /// An answer has that of its request. All peers send 0.
    pub tag: u32,
    /// The message.
    pub message: Message,
}

/// A message. A request ends in `Req`, its answer in `Res`, what has no answer in `Ind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A bank connects to the server.
    ConnectBankReq {
        /// Of the bank.
        identity: Identity,
        /// Its number.
        bank: u16,
        /// How many slots it has.
        slots: u16,
    },
    /// The server's answer.
    ConnectBankRes {
        /// Of the server.
        identity: Identity,
        /// How it went.
        result: ResultCode,
    },
    /// A client connects to the server or to a bank.
    ConnectClientReq {
        /// Of the client.
        identity: Identity,
        /// Its slot; a bank needs it.
        client: Option<ClientSlot>,
    },
    /// The answer of server or bank.
    ConnectClientRes {
        /// Of the server or the bank.
        identity: Identity,
        /// How it went.
        result: ResultCode,
    },
    /// Server to bank: this card is for that client.
    CreateMappingReq {
        /// The client.
        client: ClientSlot,
        /// The card.
        bank: BankSlot,
    },
    /// The bank's answer.
    CreateMappingRes(ResultCode),
    /// Server to bank: it is not any more.
    RemoveMappingReq {
        /// The client.
        client: ClientSlot,
        /// The card.
        bank: BankSlot,
    },
    /// The bank's answer.
    RemoveMappingRes(ResultCode),
    /// Server to client: this is your number.
    ConfigClientIdReq(ClientSlot),
    /// The client's answer.
    ConfigClientIdRes(ResultCode),
    /// Bank to client: the answer to reset of the card.
    SetAtrReq {
        /// The client.
        slot: ClientSlot,
        /// 1 to 55 octets.
        atr: Vec<u8>,
    },
    /// The client's answer.
    SetAtrRes(ResultCode),
    /// A command: header and data in one.
    TpduModemToCard {
        /// Who asks.
        from: ClientSlot,
        /// Which card.
        to: BankSlot,
        /// None is set.
        flags: TpduFlags,
        /// The command.
        data: Vec<u8>,
    },
    /// The response: data and status word.
    TpduCardToModem {
        /// Which card.
        from: BankSlot,
        /// Who has asked.
        to: ClientSlot,
        /// None is set.
        flags: TpduFlags,
        /// The response.
        data: Vec<u8>,
    },
    /// Client to bank: the modem's contacts.
    ClientSlotStatusInd {
        /// The client.
        from: ClientSlot,
        /// The card.
        to: BankSlot,
        /// The contacts.
        status: SlotStatus,
    },
    /// Bank to client: the card's contacts.
    BankSlotStatusInd {
        /// The card.
        from: BankSlot,
        /// The client.
        to: ClientSlot,
        /// The contacts.
        status: SlotStatus,
    },
    /// Something is wrong.
    ErrorInd {
        /// Who says so.
        sender: ComponentType,
        /// How bad it is.
        severity: Severity,
        /// What.
        code: ErrorCode,
        /// The card, if it is about one.
        bank: Option<BankSlot>,
        /// The client, if it is about one.
        client: Option<ClientSlot>,
        /// More of it, in words.
        text: Option<String>,
    },
    /// Server to client: your card is there. Port 0: you have none.
    ConfigClientBankReq {
        /// The card.
        bank: BankSlot,
        /// Where its bank listens.
        at: IpPort,
    },
    /// The client's answer.
    ConfigClientBankRes(ResultCode),
    /// Server to bank or client: forget all mappings.
    ResetStateReq,
    /// The answer.
    ResetStateRes(ResultCode),
}

/// The alternatives of `RsproPDUchoice`.
mod kind {
    pub(super) const CONNECT_BANK_REQ: u32 = 0;
    pub(super) const CONNECT_BANK_RES: u32 = 1;
    pub(super) const CONNECT_CLIENT_REQ: u32 = 2;
    pub(super) const CONNECT_CLIENT_RES: u32 = 3;
    pub(super) const CREATE_MAPPING_REQ: u32 = 4;
    pub(super) const CREATE_MAPPING_RES: u32 = 5;
    pub(super) const REMOVE_MAPPING_REQ: u32 = 6;
    pub(super) const REMOVE_MAPPING_RES: u32 = 7;
    pub(super) const CONFIG_CLIENT_ID_REQ: u32 = 8;
    pub(super) const CONFIG_CLIENT_ID_RES: u32 = 9;
    pub(super) const SET_ATR_REQ: u32 = 10;
    pub(super) const SET_ATR_RES: u32 = 11;
    pub(super) const TPDU_MODEM_TO_CARD: u32 = 12;
    pub(super) const TPDU_CARD_TO_MODEM: u32 = 13;
    pub(super) const CLIENT_SLOT_STATUS_IND: u32 = 14;
    pub(super) const BANK_SLOT_STATUS_IND: u32 = 15;
    pub(super) const ERROR_IND: u32 = 16;
    pub(super) const CONFIG_CLIENT_BANK_REQ: u32 = 17;
    pub(super) const CONFIG_CLIENT_BANK_RES: u32 = 18;
    pub(super) const RESET_STATE_REQ: u32 = 19;
    pub(super) const RESET_STATE_RES: u32 = 20;
}

/// A constructed element of the context class.
const CONTEXT: u32 = 0xA0;
const PDU_VERSION: Tag = Tag(0x80);
const PDU_TAG: Tag = Tag(0x81);
const PDU_MESSAGE: Tag = Tag(0xA2);
const BANK: Tag = Tag(0xA0);
const CLIENT: Tag = Tag(0xA1);
const WORDS: Tag = Tag(0x82);
/// The largest number of a bank, and of its slots.
const LARGEST: u16 = 1023;

impl Pdu {
    /// A message that its sender calls 0, as all do.
    pub const fn new(message: Message) -> Self {
        Self { tag: 0, message }
    }

    /// Reads what a frame of RSPRO has.
    ///
    /// Elements of later releases at the end of a SEQUENCE are passed over: the specification makes room for them.
    ///
    /// # Errors
    /// A [`PduError`] for anything but one message of this version.
    pub fn decode(octets: &[u8]) -> Result<Self, PduError> {
        let whole = Tlv::parse(octets).map_err(|_| PduError::Malformed)?;
        if whole.tag != SEQUENCE {
            return Err(PduError::Malformed);
        }
        let mut inside = whole.children();
        let version = number(&expect(&mut inside, PDU_VERSION, "version")?, u32::MAX, "version")?;
        if version != u32::from(VERSION) {
            return Err(PduError::Version(version));
        }
        let tag = number(&expect(&mut inside, PDU_TAG, "tag")?, 0x7FFF_FFFF, "tag")?;
        let message =
            Tlv::parse(expect(&mut inside, PDU_MESSAGE, "message")?.value).map_err(|_| PduError::Malformed)?;
        Ok(Self { tag, message: Message::read(&message)? })
    }

    /// What a frame of RSPRO has.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.constructed(SEQUENCE, |inside| {
            write_number(inside, PDU_VERSION, u32::from(VERSION));
            write_number(inside, PDU_TAG, self.tag);
            inside.constructed(PDU_MESSAGE, |choice| {
                choice.constructed(Tag(CONTEXT | self.message.kind()), |parts| self.message.write(parts));
            });
        });
        out.into_bytes()
    }
}

impl Message {
    const fn kind(&self) -> u32 {
        match self {
            Self::ConnectBankReq { .. } => kind::CONNECT_BANK_REQ,
            Self::ConnectBankRes { .. } => kind::CONNECT_BANK_RES,
            Self::ConnectClientReq { .. } => kind::CONNECT_CLIENT_REQ,
            Self::ConnectClientRes { .. } => kind::CONNECT_CLIENT_RES,
            Self::CreateMappingReq { .. } => kind::CREATE_MAPPING_REQ,
            Self::CreateMappingRes(_) => kind::CREATE_MAPPING_RES,
            Self::RemoveMappingReq { .. } => kind::REMOVE_MAPPING_REQ,
            Self::RemoveMappingRes(_) => kind::REMOVE_MAPPING_RES,
            Self::ConfigClientIdReq(_) => kind::CONFIG_CLIENT_ID_REQ,
            Self::ConfigClientIdRes(_) => kind::CONFIG_CLIENT_ID_RES,
            Self::SetAtrReq { .. } => kind::SET_ATR_REQ,
            Self::SetAtrRes(_) => kind::SET_ATR_RES,
            Self::TpduModemToCard { .. } => kind::TPDU_MODEM_TO_CARD,
            Self::TpduCardToModem { .. } => kind::TPDU_CARD_TO_MODEM,
            Self::ClientSlotStatusInd { .. } => kind::CLIENT_SLOT_STATUS_IND,
            Self::BankSlotStatusInd { .. } => kind::BANK_SLOT_STATUS_IND,
            Self::ErrorInd { .. } => kind::ERROR_IND,
            Self::ConfigClientBankReq { .. } => kind::CONFIG_CLIENT_BANK_REQ,
            Self::ConfigClientBankRes(_) => kind::CONFIG_CLIENT_BANK_RES,
            Self::ResetStateReq => kind::RESET_STATE_REQ,
            Self::ResetStateRes(_) => kind::RESET_STATE_RES,
        }
    }

    fn read(tlv: &Tlv<'_>) -> Result<Self, PduError> {
        let number = match tlv.tag.0 {
            tag @ CONTEXT..=0xBE => tag & !CONTEXT,
            _ => return Err(PduError::Unknown(tlv.tag)),
        };
        let parts = &mut tlv.children();
        Ok(match number {
            kind::CONNECT_BANK_REQ => {
                let identity = Identity::read(parts)?;
                let bank = small(parts, INTEGER, LARGEST, "bankId")?;
                Self::ConnectBankReq { identity, bank, slots: small(parts, INTEGER, LARGEST, "numberOfSlots")? }
            }
            kind::CONNECT_BANK_RES => {
                Self::ConnectBankRes { identity: Identity::read(parts)?, result: ResultCode::read(parts)? }
            }
            kind::CONNECT_CLIENT_REQ => {
                let identity = Identity::read(parts)?;
                Self::ConnectClientReq { identity, client: ClientSlot::read_tagged(parts, SEQUENCE)? }
            }
            kind::CONNECT_CLIENT_RES => {
                Self::ConnectClientRes { identity: Identity::read(parts)?, result: ResultCode::read(parts)? }
            }
            kind::CREATE_MAPPING_REQ => {
                Self::CreateMappingReq { client: ClientSlot::read(parts)?, bank: BankSlot::read(parts)? }
            }
            kind::CREATE_MAPPING_RES => Self::CreateMappingRes(ResultCode::read(parts)?),
            kind::REMOVE_MAPPING_REQ => {
                Self::RemoveMappingReq { client: ClientSlot::read(parts)?, bank: BankSlot::read(parts)? }
            }
            kind::REMOVE_MAPPING_RES => Self::RemoveMappingRes(ResultCode::read(parts)?),
            kind::CONFIG_CLIENT_ID_REQ => Self::ConfigClientIdReq(ClientSlot::read(parts)?),
            kind::CONFIG_CLIENT_ID_RES => Self::ConfigClientIdRes(ResultCode::read(parts)?),
            kind::CONFIG_CLIENT_BANK_REQ => {
                Self::ConfigClientBankReq { bank: BankSlot::read(parts)?, at: IpPort::read(parts)? }
            }
            kind::CONFIG_CLIENT_BANK_RES => Self::ConfigClientBankRes(ResultCode::read(parts)?),
            kind::RESET_STATE_REQ => Self::ResetStateReq,
            kind::RESET_STATE_RES => Self::ResetStateRes(ResultCode::read(parts)?),
            kind::ERROR_IND => Self::read_error(parts)?,
            _ => return Self::read_of_card(number, tlv),
        })
    }

    fn read_error(parts: &mut Reader<'_>) -> Result<Self, PduError> {
        Ok(Self::ErrorInd {
            sender: ComponentType(small(parts, ENUMERATED, u16::MAX, "sender")?),
            severity: Severity::read(parts)?,
            code: ErrorCode::read(parts)?,
            bank: BankSlot::read_tagged(parts, BANK)?,
            client: ClientSlot::read_tagged(parts, CLIENT)?,
            text: optional(parts, WORDS)?.map(|said| words(&said, "errorString")).transpose()?,
        })
    }

    /// Those that cards are used by.
    fn read_of_card(number: u32, tlv: &Tlv<'_>) -> Result<Self, PduError> {
        let parts = &mut tlv.children();
        Ok(match number {
            kind::SET_ATR_REQ => {
                Self::SetAtrReq { slot: ClientSlot::read(parts)?, atr: octets(parts, "atr", 1, LONGEST_ATR)? }
            }
            kind::SET_ATR_RES => Self::SetAtrRes(ResultCode::read(parts)?),
            kind::TPDU_MODEM_TO_CARD => Self::TpduModemToCard {
                from: ClientSlot::read(parts)?,
                to: BankSlot::read(parts)?,
                flags: TpduFlags::read(parts)?,
                data: octets(parts, "data", 0, LONGEST)?,
            },
            kind::TPDU_CARD_TO_MODEM => Self::TpduCardToModem {
                from: BankSlot::read(parts)?,
                to: ClientSlot::read(parts)?,
                flags: TpduFlags::read(parts)?,
                data: octets(parts, "data", 0, LONGEST)?,
            },
            kind::CLIENT_SLOT_STATUS_IND => Self::ClientSlotStatusInd {
                from: ClientSlot::read(parts)?,
                to: BankSlot::read(parts)?,
                status: SlotStatus::read(parts)?,
            },
            kind::BANK_SLOT_STATUS_IND => Self::BankSlotStatusInd {
                from: BankSlot::read(parts)?,
                to: ClientSlot::read(parts)?,
                status: SlotStatus::read(parts)?,
            },
            _ => return Err(PduError::Unknown(tlv.tag)),
        })
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::ConnectBankReq { identity, bank, slots } => {
                identity.write(out);
                write_number(out, INTEGER, u32::from(*bank));
                write_number(out, INTEGER, u32::from(*slots));
            }
            Self::ConnectBankRes { identity, result } | Self::ConnectClientRes { identity, result } => {
                identity.write(out);
                result.write(out);
            }
            Self::ConnectClientReq { identity, client } => {
                identity.write(out);
                if let Some(client) = client {
                    client.write(out);
                }
            }
            Self::CreateMappingReq { client, bank } | Self::RemoveMappingReq { client, bank } => {
                client.write(out);
                bank.write(out);
            }
            Self::CreateMappingRes(result)
            | Self::RemoveMappingRes(result)
            | Self::ConfigClientIdRes(result)
            | Self::ConfigClientBankRes(result)
            | Self::SetAtrRes(result)
            | Self::ResetStateRes(result) => result.write(out),
            Self::ConfigClientIdReq(client) => client.write(out),
            Self::ConfigClientBankReq { bank, at } => {
                bank.write(out);
                at.write(out);
            }
            Self::ResetStateReq => {}
            Self::ErrorInd { sender, severity, code, bank, client, text } => {
                sender.write(out);
                severity.write(out);
                code.write(out);
                if let Some(bank) = bank {
                    bank.write_tagged(out, BANK);
                }
                if let Some(client) = client {
                    client.write_tagged(out, CLIENT);
                }
                if let Some(text) = text {
                    out.primitive(WORDS, text.as_bytes());
                }
            }
            of_card => of_card.write_of_card(out),
        }
    }

    fn write_of_card(&self, out: &mut Writer) {
        match self {
            Self::SetAtrReq { slot, atr } => {
                slot.write(out);
                out.primitive(OCTET_STRING, atr);
            }
            Self::TpduModemToCard { from, to, flags, data } => {
                from.write(out);
                to.write(out);
                flags.write(out);
                out.primitive(OCTET_STRING, data);
            }
            Self::TpduCardToModem { from, to, flags, data } => {
                from.write(out);
                to.write(out);
                flags.write(out);
                out.primitive(OCTET_STRING, data);
            }
            Self::ClientSlotStatusInd { from, to, status } => {
                from.write(out);
                to.write(out);
                status.write(out);
            }
            Self::BankSlotStatusInd { from, to, status } => {
                from.write(out);
                to.write(out);
                status.write(out);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
