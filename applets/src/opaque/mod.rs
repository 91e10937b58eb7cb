//! An application of another card: what it answers to SELECT is known, and nothing of what it does.

use apdu::{Aid, Command, Response, StatusWord};
use card_os::{Application, ApplicationRecord, Context, NewApplication, Privileges};

/// It is selected, and has no command of its own.
#[derive(Debug)]
pub struct Opaque;

/// The application, to be installed with what it answers to SELECT. A card issuer's security domain answers it to an empty name
/// too.
pub fn new_application(aid: Aid, fci: &[u8]) -> NewApplication {
    NewApplication {
        record: ApplicationRecord {
            aid,
            kind: crate::kind::OPAQUE,
            adf: None,
            life_cycle: 0x07,
            privileges: if card_os::names_issuer(&aid) { Privileges::ISSUER } else { Privileges::NONE },
        },
        parameters: fci.to_vec(),
        data: Vec::new(),
    }
}

impl Application for Opaque {
    fn select(&mut self, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
        Ok(cx.parameters().to_vec())
    }

    fn claims(&self, _: &Command<'_>) -> bool {
        false
    }

    fn process(&mut self, _: &Command<'_>, _: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        Err(StatusWord::INS_NOT_SUPPORTED)
    }
}
