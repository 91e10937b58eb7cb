//! Class `A0`: the card as a SIM of TS 51.011, for terminals that know no other.
//!
//! The files are the same ones. What differs is how a file is described, which numbers CHV1 and CHV2 have, and the status
//! words; so a command is carried out as that of TS 102 221 with the same instruction, and its answer translated.

use crate::card::Card;
use crate::channel::Channel;
use crate::fs::{FileKind, FileNumber, KeyReference, Operation, Pins, Structure};
use crate::id::ApplicationId;
use crate::nvm::Transaction;
use apdu::{Class, Command, Ins, Response, StatusWord};

/// The one channel that a SIM has.
const BASIC: u8 = 0;

/// Key references of CHV1 and CHV2 in P2. TS 51.011 §9.2.9.
const CHV1: u8 = 1;
const CHV2: u8 = 2;

/// Kinds of files in the answer to SELECT. TS 51.011 §9.3.
mod kind {
    pub(super) const MF: u8 = 0x01;
    pub(super) const DF: u8 = 0x02;
    pub(super) const EF: u8 = 0x04;
}

/// Structures there.
mod structure {
    pub(super) const TRANSPARENT: u8 = 0x00;
    pub(super) const LINEAR_FIXED: u8 = 0x01;
    pub(super) const CYCLIC: u8 = 0x03;
}

/// Access conditions there, a nibble each. TS 51.011 §11.6.
mod condition {
    pub(super) const ALWAYS: u8 = 0x0;
    pub(super) const CHV1: u8 = 0x1;
    pub(super) const CHV2: u8 = 0x2;
    pub(super) const ADM: u8 = 0x4;
    pub(super) const NEVER: u8 = 0xF;
}

impl Card {
    /// Carries out a command of class `A0`.
    pub(crate) fn gsm(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.extended {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let outcome = match command.ins {
            Ins::GET_RESPONSE => self.get_response(command),
            Ins::SELECT => self.gsm_select(command),
            Ins::STATUS => self.gsm_status(command),
            _ => match self.unselected(command) {
                Some(outcome) => outcome.and_then(|response| self.fetched_later(response)),
                None => self.gsm_translated(command),
            },
        };
        match outcome {
            Ok(response) => Ok(Response { sw: in_gsm(response.sw), ..response }),
            Err(refusal) => Err(in_gsm(refusal)),
        }
    }

    /// A command that an application takes whatever is selected: what it answers, if one does.
    pub(crate) fn unselected(&mut self, command: &Command<'_>) -> Option<Result<Response, StatusWord>> {
        let id = self.claiming(command)?;
        Some(self.run(id, BASIC, |application, cx| application.process(command, cx)))
    }

    /// With the class that the instruction has in TS 102 221.
    fn gsm_translated(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let class = match command.ins {
            Ins::INCREASE | Ins::TERMINAL_PROFILE | Ins::FETCH | Ins::TERMINAL_RESPONSE | Ins::ENVELOPE => {
                Class::BASIC_PROPRIETARY
            }
            Ins::READ_BINARY
            | Ins::UPDATE_BINARY
            | Ins::READ_RECORD
            | Ins::UPDATE_RECORD
            | Ins::SEARCH_RECORD
            | Ins::VERIFY_PIN
            | Ins::CHANGE_PIN
            | Ins::DISABLE_PIN
            | Ins::ENABLE_PIN
            | Ins::UNBLOCK_PIN
            | Ins::DEACTIVATE_FILE
            | Ins::ACTIVATE_FILE => Class::BASIC,
            _ => return Err(StatusWord::INS_NOT_SUPPORTED),
        };
        let is_about_a_chv = matches!(
            command.ins,
            Ins::VERIFY_PIN | Ins::CHANGE_PIN | Ins::DISABLE_PIN | Ins::ENABLE_PIN | Ins::UNBLOCK_PIN
        );
        let p2 = match command.p2 {
            // UNBLOCK CHV names CHV1 so. TS 51.011 §9.2.13.
            0 if command.ins == Ins::UNBLOCK_PIN => KeyReference::PIN_APPL_1.0,
            CHV1 if is_about_a_chv => KeyReference::PIN_APPL_1.0,
            CHV2 if is_about_a_chv => KeyReference::SECOND_PIN_APPL_1.0,
            other => other,
        };
        self.answer(&Command { class, p2, ..*command })
    }

    /// SELECT, by identifier. The answer is fetched. TS 51.011 §9.2.1.
    fn gsm_select(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        const NO_ANSWER: u8 = 0x0C;
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if command.data.len() != 2 {
            return Err(StatusWord::WRONG_LENGTH);
        }
        self.answer(&Command { class: Class::BASIC, p2: NO_ANSWER, ne: 0, ..*command })?;
        let described = self.gsm_parameters()?;
        self.fetched_later(Response::ok(described))
    }

    /// STATUS: the current directory, as much of it as is wanted. TS 51.011 §9.2.2.
    fn gsm_status(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let mut described = self.of_directory()?;
        if command.ne > 0 {
            described.truncate(command.ne);
        }
        Ok(Response::ok(described))
    }

    /// Keeps an answer for GET RESPONSE, where there is one.
    fn fetched_later(&mut self, response: Response) -> Result<Response, StatusWord> {
        if response.data.is_empty() {
            return Ok(response);
        }
        let announced = StatusWord::bytes_available(response.data.len());
        self.kernel.channel_mut(BASIC)?.response = Some(response);
        Ok(announced.into())
    }

    /// What describes the current file.
    fn gsm_parameters(&mut self) -> Result<Vec<u8>, StatusWord> {
        match self.kernel.channel(BASIC)?.current_ef {
            Some(ef) => self.of_file(ef),
            None => self.of_directory(),
        }
    }

    fn of_directory(&mut self) -> Result<Vec<u8>, StatusWord> {
        /// Bit 8 of the file characteristics: CHV1 is disabled.
        const CHV1_DISABLED: u8 = 0x80;
        /// Clock stop is allowed.
        const CHARACTERISTICS: u8 = 0x01;
        /// CHV1, CHV2 and their unblocking values.
        const CODES: u8 = 4;
        const INITIALISED: u8 = 0x80;
        let Channel { route, .. } = self.kernel.channel(BASIC)?;
        let route = route.clone();
        let domain = self.kernel.tree_domain;
        let memory = self.profile.non_volatile_memory;
        let tree = &self.kernel.tree;
        let nvm = Transaction::new(&mut self.nvm);
        let file = tree.get(route.df()).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let (kind, fid) = if matches!(file.kind, FileKind::Mf) { (kind::MF, 0x3F00) } else { (kind::DF, file.fid.0) };
        let below: Vec<bool> = tree.children(route.df()).map(|child| tree.is_df(child)).collect();
        let count = |directories: bool| u8::try_from(below.iter().filter(|is| **is == directories).count());
        let (directories, files) = (count(true).unwrap_or(u8::MAX), count(false).unwrap_or(u8::MAX));
        let pins = Pins { nvm: &nvm, tree, domain };
        let status = |reference| match pins.find(&route, reference) {
            Some((_, pin)) => (INITIALISED | pin.tries.min(0x0F), pin.enabled),
            None => (0, false),
        };
        let (chv1, enabled) = status(KeyReference::PIN_APPL_1);
        let (chv2, _) = status(KeyReference::SECOND_PIN_APPL_1);
        let free = u16::try_from(memory.saturating_sub(nvm.used())).unwrap_or(u16::MAX).to_be_bytes();
        let [high, low] = fid.to_be_bytes();
        let characteristics = CHARACTERISTICS | if enabled { 0 } else { CHV1_DISABLED };
        let unblocking = |chv: u8| if chv == 0 { 0 } else { INITIALISED | 0x0A };
        Ok(vec![
            0,
            0,
            free[0],
            free[1],
            high,
            low,
            kind,
            0,
            0,
            0,
            0,
            0,
            10,
            characteristics,
            directories,
            files,
            CODES,
            0,
            chv1,
            unblocking(chv1),
            chv2,
            unblocking(chv2),
            0,
        ])
    }

    fn of_file(&mut self, ef: FileNumber) -> Result<Vec<u8>, StatusWord> {
        /// Bit 1 of the file status: not invalidated.
        const VALID: u8 = 0x01;
        /// Bit 7 of octet 8: a cyclic file takes INCREASE.
        const INCREASABLE: u8 = 0x40;
        let tree = &self.kernel.tree;
        let file = tree.get(ef).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let Some(FileKind::Ef(structure)) = tree.get(tree.body(ef)).map(|body| body.kind) else {
            return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE);
        };
        let (kind, record_length) = match structure {
            Structure::Transparent { .. } => (structure::TRANSPARENT, 0),
            Structure::LinearFixed { record_length, .. } => (structure::LINEAR_FIXED, record_length),
            Structure::Cyclic { record_length, .. } => (structure::CYCLIC, record_length),
            Structure::BerTlv { .. } => return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE),
        };
        let size = u16::try_from(structure.size()).unwrap_or(u16::MAX).to_be_bytes();
        let [high, low] = file.fid.0.to_be_bytes();
        let nibble = |operation| self.condition(ef, operation);
        let access = [
            nibble(Operation::Read) << 4 | nibble(Operation::Update),
            nibble(Operation::Increase) << 4,
            nibble(Operation::Activate) << 4 | nibble(Operation::Deactivate),
        ];
        let increasable = if kind == structure::CYCLIC { INCREASABLE } else { 0 };
        let status = if file.life_cycle.is_activated() { VALID } else { 0 };
        Ok(vec![
            0,
            0,
            size[0],
            size[1],
            high,
            low,
            kind::EF,
            increasable,
            access[0],
            access[1],
            access[2],
            status,
            2,
            kind,
            record_length,
        ])
    }

    /// What an operation on a file takes, as far as a nibble can say it.
    fn condition(&self, ef: FileNumber, operation: Operation) -> u8 {
        const SE: u8 = crate::fs::SE_APPLICATION_PIN;
        let condition = self.kernel.tree.rules_in(ef, || SE).condition(operation, [0; 4]);
        let with = |verified: KeyReference| condition.holds(&|reference| reference == verified);
        if condition.is_never() {
            condition::NEVER
        } else if condition.holds(&|_| false) {
            condition::ALWAYS
        } else if with(KeyReference::PIN_APPL_1) {
            condition::CHV1
        } else if with(KeyReference::SECOND_PIN_APPL_1) {
            condition::CHV2
        } else {
            condition::ADM
        }
    }
}

/// The status word by which TS 51.011 §9.4 says the same.
fn in_gsm(sw: StatusWord) -> StatusWord {
    /// `9FXX`: that many octets are to be fetched.
    const TO_BE_FETCHED: u16 = 0x9F00;
    const TRIES_LEFT: u16 = 0x63C0;
    let [_, low] = sw.0.to_be_bytes();
    match sw {
        StatusWord::FILE_NOT_FOUND => StatusWord::GSM_FILE_NOT_FOUND,
        StatusWord::NO_CURRENT_EF => StatusWord::GSM_NO_EF_SELECTED,
        StatusWord::INCOMPATIBLE_FILE_STRUCTURE => StatusWord::GSM_FILE_INCONSISTENT,
        StatusWord::SECURITY_STATUS_NOT_SATISFIED => StatusWord::GSM_ACCESS_NOT_FULFILLED,
        StatusWord::AUTHENTICATION_METHOD_BLOCKED | StatusWord(TRIES_LEFT) => StatusWord::GSM_CHV_BLOCKED,
        StatusWord::REFERENCED_DATA_NOT_FOUND => StatusWord::GSM_NO_CHV,
        StatusWord::REFERENCED_DATA_INVALIDATED => StatusWord::GSM_CHV_STATUS,
        StatusWord::RECORD_NOT_FOUND | StatusWord::WRONG_OFFSET => StatusWord::GSM_OUT_OF_RANGE,
        StatusWord::MEMORY_PROBLEM => StatusWord::GSM_MEMORY_PROBLEM,
        _ if sw.0 & 0xFFF0 == TRIES_LEFT => StatusWord::GSM_ACCESS_NOT_FULFILLED,
        _ if sw.sw1() == StatusWord::bytes_available(0).sw1() => StatusWord(TO_BE_FETCHED | u16::from(low)),
        _ if sw.sw1() == StatusWord::exact_length(0).sw1() => StatusWord(StatusWord::WRONG_LENGTH.0 | u16::from(low)),
        other => other,
    }
}

impl Card {
    /// The application that takes a command whatever is selected.
    fn claiming(&self, command: &Command<'_>) -> Option<ApplicationId> {
        self.slots.iter().find(|slot| slot.claims_unselected(command)).map(|slot| slot.id)
    }
}
