//! ECASD, the eUICC Controlling Authority Security Domain. SGP.22 §2.4.2.

use crate::fci::security_domain_fci;
use apdu::tlv::{Tag, Writer};
use apdu::{Aid, Command, Ins, Response, SecureMessaging, StatusWord};
use card_os::{Application, ApplicationRecord, Context, NewApplication, Privileges};
use identities::Eid;

/// The EUM's domain: it holds the eUICC's identity. ISD-R signs what is signed with its keys.
#[derive(Debug)]
pub struct Ecasd;

/// AID of ECASD. SGP.02 Annex H.
pub const AID: Aid = rsp::ids::AID_ECASD;

/// GET DATA tag of the EID.
const EID: u16 = 0x005A;

/// In which form GET DATA answers the EID. Cards in the field differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EidForm {
    /// As a data object, like every other BER-TLV tag. GlobalPlatform §11.3.
    #[default]
    Object,
    /// The 16 octets bare.
    Bare,
}

/// Number of the value that is there if the EID comes bare.
const BARE: u16 = 0x0001;

/// What GET DATA answers for the EID.
fn eid_object(eid: &[u8], form: EidForm) -> Vec<u8> {
    if form == EidForm::Bare {
        return eid.to_vec();
    }
    let mut object = Writer::new();
    object.primitive(Tag(EID.into()), eid);
    object.into_bytes()
}

/// ECASD, to be installed in the platform domain.
pub fn new_application(eid: &Eid, form: EidForm) -> NewApplication {
    NewApplication {
        record: ApplicationRecord {
            aid: AID,
            kind: crate::kind::ECASD,
            adf: None,
            life_cycle: 0x0F,
            privileges: Privileges::NONE,
        },
        parameters: eid.octets().to_vec(),
        data: if form == EidForm::Bare { vec![(BARE, Vec::new())] } else { Vec::new() },
    }
}

impl Application for Ecasd {
    fn select(&mut self, _: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
        Ok(security_domain_fci(&AID, &[]))
    }

    fn claims(&self, command: &Command<'_>) -> bool {
        let own = command.ins == Ins::GET_DATA || (command.class.is_proprietary() && command.ins == Ins::STORE_DATA);
        own && command.class.secure_messaging() == SecureMessaging::None
    }

    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        match (command.ins, command.p1_p2()) {
            (Ins::GET_DATA, EID) => {
                let form = if cx.get(BARE).is_some() { EidForm::Bare } else { EidForm::Object };
                Ok(Response::ok(eid_object(cx.parameters(), form)))
            }
            (Ins::GET_DATA, _) => Err(StatusWord::REFERENCED_DATA_NOT_FOUND),
            _ => Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED),
        }
    }
}
