//! What the card's manufacturer does with ISD-R over a secure channel, on cards that have keys for it: SGP.22 leaves it open.
//! GlobalPlatform Card Specification §11.

use super::{IsdR, item};
use crate::global_platform::secure_channel::Received;
use crate::global_platform::{data, is_of_security_domains, key_commands, keys, offers};
use apdu::tlv::{Reader, Tag, Writer};
use apdu::{Command, Ins, Response, StatusWord};
use card_os::Context;
use hex_literal::hex;

/// By what name GET STATUS tells of the card's own security domain, which ISD-R stands for.
const ISSUER_SECURITY_DOMAIN: [u8; 8] = hex!("A000000151000000");
/// Its privileges: security domain, CVM management, trusted path, authorized management, global delete, lock and registry.
const PRIVILEGES: [u8; 3] = hex!("82DC00");
/// Its life cycle state: SECURED.
const LIFE_CYCLE: u8 = 0x0F;

/// Whether there are keys.
pub(super) fn is_possible(cx: &mut Context<'_, '_>) -> bool {
    keys::has_set(cx)
}

impl IsdR {
    /// Carries out a command of administration, and takes the protection off any. `None`: it is neither.
    pub(super) fn administer(
        &mut self,
        command: &Command<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Option<Result<Response, StatusWord>> {
        if !is_of_security_domains(command) {
            return None;
        }
        Some(self.administered(command, cx))
    }

    fn administered(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        let (class, data) = match self.channels.receive(command, cx)? {
            Received::Answered(response) => return Ok(response),
            Received::Clear => return self.administer_plainly(command, false, cx),
            Received::Protected(class, data) => (class, data),
        };
        let inner = Command { class, data: &data, ..*command };
        let response = if inner.ins == Ins::STORE_DATA && class.is_proprietary() {
            self.store_data(&inner, cx)?
        } else {
            self.administer_plainly(&inner, true, cx)?
        };
        Ok(self.channels.wrap(command.class.channel(), response))
    }

    fn administer_plainly(
        &mut self,
        command: &Command<'_>,
        is_unwrapped: bool,
        cx: &mut Context<'_, '_>,
    ) -> Result<Response, StatusWord> {
        let channel = command.class.channel();
        match command.ins {
            Ins::GET_DATA => {
                let eid = cx.get(item::EID).map(<[u8]>::to_vec);
                return data::get_of(eid.as_deref(), command, &self.channels, cx).map(Response::ok);
            }
            _ if !command.class.is_proprietary() => return Err(StatusWord::CLA_NOT_SUPPORTED),
            Ins::INITIALIZE_UPDATE => {
                let offers = offers(cx)?;
                return self.channels.initialize_update(command, offers, cx);
            }
            Ins::STATUS | Ins::PUT_KEY | Ins::SET_STATUS | Ins::DELETE_FILE | Ins::TERMINATE_DF | Ins::TERMINATE_EF => {
                self.channels.authorise(channel, is_unwrapped)?;
            }
            _ => return Err(StatusWord::INS_NOT_SUPPORTED),
        }
        match command.ins {
            Ins::STATUS => get_status(command, cx),
            Ins::PUT_KEY => key_commands::put(command, &mut self.channels, cx),
            Ins::DELETE_FILE if command.p1 == 0 && matches!(command.p2, 0x00 | 0x80) => {
                let is_content = Reader::new(command.data).find(Tag(0x4F)).map_err(|_| StatusWord::WRONG_DATA)?;
                if is_content.is_some() {
                    return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
                }
                key_commands::delete(command, &mut self.channels, cx)
            }
            Ins::DELETE_FILE => Err(StatusWord::WRONG_P1_P2),
            // What is on the platform does not change; profiles come by ES8+, and their content is their operators'.
            _ => Err(StatusWord::CONDITIONS_NOT_SATISFIED),
        }
    }
}

/// GET STATUS: the card's own security domain, and the applications of the platform. §11.4.
fn get_status(command: &Command<'_>, cx: &Context<'_, '_>) -> Result<Response, StatusWord> {
    const TLV: u8 = 0x02;
    if !matches!(command.p1, 0x80 | 0x40 | 0x20 | 0x10) || command.p2 != TLV {
        return Err(StatusWord::WRONG_P1_P2);
    }
    let criterion = Reader::new(command.data).expect(Tag(0x4F)).map_err(|_| StatusWord::WRONG_DATA)?;
    let mut entries: Vec<(Vec<u8>, u8, [u8; 3])> = match command.p1 {
        0x80 => vec![(ISSUER_SECURITY_DOMAIN.to_vec(), LIFE_CYCLE, PRIVILEGES)],
        0x40 => {
            let applications = cx.applications().into_iter();
            applications.map(|application| (application.aid.to_vec(), application.life_cycle, [0x80, 0, 0])).collect()
        }
        _ => Vec::new(),
    };
    entries.retain(|(aid, ..)| aid.starts_with(criterion.value));
    if entries.is_empty() {
        return Err(StatusWord::REFERENCED_DATA_NOT_FOUND);
    }
    let mut answer = Writer::new();
    for (aid, life_cycle, privileges) in &entries {
        answer.constructed(Tag(0xE3), |entry| {
            entry.primitive(Tag(0x4F), aid).primitive(Tag(0x9F70), &[*life_cycle]).primitive(Tag(0xC5), privileges);
        });
    }
    Ok(Response::ok(answer.into_bytes()))
}
