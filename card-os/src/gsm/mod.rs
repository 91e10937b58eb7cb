//! Class `A0`: the card as a SIM of TS 51.011, for terminals that know no other.
//!
//! The files are the same ones, and so are what is current, the PINs and their counters: a terminal may go from one class to
//! the other at any time. What differs is how a file is described, which numbers CHV1 and CHV2 have, what of a command may
//! be there at all, and the status words; so most commands are carried out as those of TS 102 221 with the same
//! instruction, and their answers translated. TS 51.011 has one channel, the basic one.

mod describe;
mod status;

use crate::card::Card;
use crate::fs::{FileNumber, KeyReference, Pins, Route};
use crate::id::ApplicationId;
use crate::kernel::TakenFor;
use crate::nvm::Transaction;
use apdu::{Class, Command, Ins, Response, StatusWord};

/// The one channel that a SIM has.
const BASIC: u8 = 0;

/// DF.GSM, around which RUN GSM ALGORITHM is carried out. TS 51.011 §8.16.
const DF_GSM: u16 = 0x7F20;
/// How an application's directory is named, which a SIM has none of.
const CURRENT_ADF: [u8; 2] = [0x7F, 0xFF];

/// Numbers of CHV1 and CHV2 in P2, and of CHV1 where it is unblocked. TS 51.011 §9.2.9, §9.2.13.
mod chv {
    pub(super) const ONE: u8 = 1;
    pub(super) const TWO: u8 = 2;
    pub(super) const ONE_TO_UNBLOCK: u8 = 0;
}

/// Octets of a CHV, of two, of a challenge, of what INCREASE adds, and of the longest pattern of SEEK. TS 51.011 §9.2.
mod length {
    pub(super) const CHV: usize = 8;
    pub(super) const TWO_CHVS: usize = 16;
    pub(super) const RAND: usize = 16;
    pub(super) const ADDEND: usize = 3;
    pub(super) const LONGEST_PATTERN: usize = 16;
}

impl Card {
    /// Carries out a command of class `A0`.
    pub(crate) fn gsm(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        self.kernel.taken_for = TakenFor::Sim;
        let outcome = if command.extended { Err(StatusWord::WRONG_LENGTH) } else { self.gsm_command(command) };
        self.kernel.taken_for = TakenFor::Uicc;
        let translated = |sw| status::in_gsm(command.ins, sw);
        match outcome {
            Ok(response) if response.sw == StatusWord::OK => {
                let pending = self.kernel.toolkit.pending().map_or(StatusWord::OK, StatusWord::proactive);
                Ok(Response { sw: pending, ..response })
            }
            Ok(response) => Ok(Response { sw: translated(response.sw), ..response }),
            Err(refusal) => Err(translated(refusal)),
        }
    }

    fn gsm_command(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.ins == Ins::GET_RESPONSE {
            return self.gsm_get_response(command);
        }
        self.kernel.channel_mut(BASIC)?.response = None;
        // T=0 knows no command with data in both directions: what is answered is fetched.
        let command = &Command { ne: if command.data.is_empty() { command.ne } else { 0 }, ..*command };
        match command.ins {
            Ins::SELECT => self.gsm_select(command),
            Ins::STATUS => self.gsm_status(command),
            Ins::SEARCH_RECORD => self.gsm_seek(command),
            Ins::SLEEP => without_parameters(command, 0).map(|()| Response::done()),
            Ins::AUTHENTICATE => self.run_gsm_algorithm(command),
            Ins::READ_BINARY | Ins::UPDATE_BINARY => match command.p1 {
                // What names a file by a short identifier in TS 102 221 is an offset beyond all files here.
                0x80.. => Err(StatusWord::WRONG_OFFSET),
                _ => self.answer(&Command { class: Class::BASIC, ..*command }),
            },
            Ins::READ_RECORD | Ins::UPDATE_RECORD => match command.p2 {
                0x02..=0x04 => self.answer(&Command { class: Class::BASIC, ..*command }),
                _ => Err(StatusWord::WRONG_P1_P2),
            },
            Ins::VERIFY_PIN | Ins::CHANGE_PIN | Ins::DISABLE_PIN | Ins::ENABLE_PIN | Ins::UNBLOCK_PIN => {
                self.gsm_chv(command)
            }
            Ins::DEACTIVATE_FILE | Ins::ACTIVATE_FILE => self.gsm_invalidation(command),
            Ins::INCREASE => {
                without_parameters(command, length::ADDEND)?;
                self.answer(&Command { class: Class::BASIC_PROPRIETARY, ..*command })
            }
            Ins::TERMINAL_PROFILE | Ins::FETCH | Ins::TERMINAL_RESPONSE | Ins::ENVELOPE => {
                self.answer(&Command { class: Class::BASIC_PROPRIETARY, ..*command })
            }
            _ => Err(StatusWord::INS_NOT_SUPPORTED),
        }
    }

    /// SELECT, by identifier. The answer is fetched. TS 51.011 §9.2.1.
    fn gsm_select(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        const NO_ANSWER: u8 = 0x0C;
        without_parameters(command, 2)?;
        if command.data == CURRENT_ADF {
            return Err(StatusWord::FILE_NOT_FOUND);
        }
        let before = self.kernel.channel(BASIC)?.clone();
        self.answer(&Command { class: Class::BASIC, p2: NO_ANSWER, ..*command })?;
        match self.gsm_parameters() {
            Ok(described) => self.fetched_later(described),
            Err(refusal) => {
                *self.kernel.channel_mut(BASIC)? = before;
                Err(refusal)
            }
        }
    }

    /// STATUS: the current directory, as much of it as is wanted. TS 51.011 §9.2.2.
    fn gsm_status(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        without_parameters(command, 0)?;
        let mut described = self.of_directory()?;
        if command.ne > described.len() {
            return Err(StatusWord::exact_length(described.len()));
        }
        described.truncate(command.ne);
        Ok(Response::ok(described))
    }

    /// SEEK. TS 51.011 §8.8, §9.2.7.
    fn gsm_seek(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        /// With the number of the record for an answer.
        const WITH_NUMBER: u8 = 0x10;
        if command.p1 != 0 || command.p2 & !(WITH_NUMBER | 0x03) != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if !(1..=length::LONGEST_PATTERN).contains(&command.data.len()) {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let found = self.on_files(BASIC, |files| files.seek(command.data, command.p2 & 0x03))?;
        if command.p2 & WITH_NUMBER == 0 { Ok(Response::done()) } else { self.fetched_later(vec![found]) }
    }

    /// VERIFY, CHANGE, DISABLE, ENABLE, UNBLOCK CHV. TS 51.011 §9.2.9 to §9.2.13.
    fn gsm_chv(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let one_only = matches!(command.ins, Ins::DISABLE_PIN | Ins::ENABLE_PIN);
        let (one, values) = match command.ins {
            Ins::UNBLOCK_PIN => (chv::ONE_TO_UNBLOCK, length::TWO_CHVS),
            Ins::CHANGE_PIN => (chv::ONE, length::TWO_CHVS),
            _ => (chv::ONE, length::CHV),
        };
        let reference = match command.p2 {
            number if number == one => KeyReference::PIN_APPL_1,
            chv::TWO if !one_only => KeyReference::SECOND_PIN_APPL_1,
            // Administrative codes are the card issuer's: they go by the numbers that they have. TS 51.011 §11.3.
            adm if !one_only && self.is_administrative(KeyReference(adm)) => KeyReference(adm),
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        without_parameters(&Command { p2: 0, ..*command }, values)?;
        let command = Command { class: Class::BASIC, p2: reference.0, ..*command };
        let Some(route) = self.elsewhere(reference) else { return self.answer(&command) };
        // CHV2 is the same in every directory; as a PIN it belongs to an application's.
        let own = core::mem::replace(&mut self.kernel.channel_mut(BASIC)?.route, route);
        let outcome = self.answer(&command);
        self.kernel.channel_mut(BASIC)?.route = own;
        outcome
    }

    /// Whether there is a key that is no CHV under a reference.
    fn is_administrative(&mut self, reference: KeyReference) -> bool {
        let tree = &self.kernel.tree;
        let nvm = Transaction::new(&mut self.nvm);
        let pins = Pins { nvm: &nvm, tree, domain: self.kernel.tree_domain };
        let chv = [KeyReference::PIN_APPL_1, KeyReference::SECOND_PIN_APPL_1];
        !chv.contains(&reference) && pins.find(&Route::MF, reference).is_some()
    }

    /// The directory in which a PIN is, where the current one does not know it.
    fn elsewhere(&mut self, reference: KeyReference) -> Option<Route> {
        let here = self.kernel.channel(BASIC).ok()?.route.clone();
        let tree = &self.kernel.tree;
        let nvm = Transaction::new(&mut self.nvm);
        let pins = Pins { nvm: &nvm, tree, domain: self.kernel.tree_domain };
        if pins.find(&here, reference).is_some() {
            return None;
        }
        tree.adfs().map(|(_, adf)| Route::of(adf)).find(|route| pins.find(route, reference).is_some())
    }

    /// INVALIDATE and REHABILITATE the current file. TS 51.011 §9.2.14, §9.2.15.
    fn gsm_invalidation(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        without_parameters(command, 0)?;
        let ef: FileNumber = self.kernel.channel(BASIC)?.current_ef.ok_or(StatusWord::NO_CURRENT_EF)?;
        let file = self.kernel.tree.get(ef).ok_or(StatusWord::FILE_NOT_FOUND)?;
        if file.life_cycle.is_activated() == (command.ins == Ins::ACTIVATE_FILE) {
            return Err(StatusWord::REFERENCED_DATA_INVALIDATED);
        }
        self.answer(&Command { class: Class::BASIC, ..*command })
    }

    /// RUN GSM ALGORITHM, within DF.GSM: the application whose files those are carries it out. TS 51.011 §8.16, §9.2.16.
    fn run_gsm_algorithm(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let claiming = self.claiming(command).ok_or(StatusWord::INS_NOT_SUPPORTED)?;
        without_parameters(command, length::RAND)?;
        let (tree, route) = (&self.kernel.tree, &self.kernel.channel(BASIC)?.route);
        let is_gsm = |df| tree.get(df).is_some_and(|file| file.fid.0 == DF_GSM);
        let within = route.upwards(tree).any(is_gsm);
        if !within {
            return Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED);
        }
        let response = self.run(claiming, BASIC, |application, cx| application.process(command, cx))?;
        self.fetched_later(response.data)
    }

    /// GET RESPONSE: as much of the answer as is wanted; the rest is lost. TS 51.011 §9.2.18.
    fn gsm_get_response(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        without_parameters(command, 0)?;
        let channel = self.kernel.channel_mut(BASIC)?;
        let Response { mut data, sw } = channel.response.take().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
        if command.ne > data.len() {
            let exact = StatusWord::exact_length(data.len());
            channel.response = Some(Response { data, sw });
            return Err(exact);
        }
        data.truncate(command.ne);
        Ok(Response { data, sw })
    }

    /// Keeps an answer for GET RESPONSE.
    fn fetched_later(&mut self, data: Vec<u8>) -> Result<Response, StatusWord> {
        let announced = StatusWord::bytes_available(data.len());
        self.kernel.channel_mut(BASIC)?.response = Some(Response::ok(data));
        Ok(announced.into())
    }

    /// The application that takes a command whatever is selected.
    fn claiming(&self, command: &Command<'_>) -> Option<ApplicationId> {
        self.slots.iter().find(|slot| slot.claims_unselected(command)).map(|slot| slot.id)
    }
}

/// P1 and P2 are zero, and there are so many octets of data.
const fn without_parameters(command: &Command<'_>, octets: usize) -> Result<(), StatusWord> {
    if command.p1_p2() != 0 {
        return Err(StatusWord::WRONG_P1_P2);
    }
    if command.data.len() != octets {
        return Err(StatusWord::exact_length(octets));
    }
    Ok(())
}
