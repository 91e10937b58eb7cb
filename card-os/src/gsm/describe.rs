//! How TS 51.011 §9.2.1 and §9.3 describe files.

use super::BASIC;
use crate::card::Card;
use crate::fs::{FileKind, FileNumber, KeyReference, Operation, Pin, Pins, Puk, Structure};
use crate::nvm::Transaction;
use apdu::{Class, Ins, StatusWord};

/// Kinds of files. TS 51.011 §9.3.
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
    /// What describes the current file.
    pub(super) fn gsm_parameters(&mut self) -> Result<Vec<u8>, StatusWord> {
        match self.kernel.channel(BASIC)?.current_ef {
            Some(ef) => self.of_file(ef),
            None => self.of_directory(),
        }
    }

    pub(super) fn of_directory(&mut self) -> Result<Vec<u8>, StatusWord> {
        /// Bit 8 of the file characteristics: CHV1 is disabled.
        const CHV1_DISABLED: u8 = 0x80;
        /// Clock stop is allowed; 3 V and 1.8 V. TS 51.011 §9.2.1, TS 11.18 §5.
        const CHARACTERISTICS: u8 = 0x31;
        /// CHV1, CHV2 and their unblocking values.
        const CODES: u8 = 4;
        let route = self.kernel.channel(BASIC)?.route.clone();
        let elsewhere = self.elsewhere(KeyReference::SECOND_PIN_APPL_1);
        let domain = self.kernel.tree_domain;
        let memory = self.profile.non_volatile_memory;
        let tree = &self.kernel.tree;
        let nvm = Transaction::new(&mut self.nvm);
        let file = tree.get(route.df()).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let (kind, fid) = if matches!(file.kind, FileKind::Mf) { (kind::MF, 0x3F00) } else { (kind::DF, file.fid.0) };
        let count = |directories: bool| {
            let below = tree.children(route.df()).filter(|child| tree.is_df(*child) == directories);
            u8::try_from(below.count()).unwrap_or(u8::MAX)
        };
        let pins = Pins { nvm: &nvm, tree, domain };
        let chv1 = pins.find(&route, KeyReference::PIN_APPL_1);
        let chv2 = pins.find(elsewhere.as_ref().unwrap_or(&route), KeyReference::SECOND_PIN_APPL_1);
        let unblocking = |chv: &Option<(FileNumber, Pin)>| {
            let (context, pin) = chv.as_ref()?;
            pins.find_puk(*context, pin.unblocking?).map(|(_, puk): (_, Puk)| puk.tries)
        };
        let tries = |chv: &Option<(FileNumber, Pin)>| chv.as_ref().map(|(_, pin)| pin.tries);
        let enabled = chv1.as_ref().is_some_and(|(_, pin)| pin.enabled);
        let characteristics = CHARACTERISTICS | if enabled { 0 } else { CHV1_DISABLED };
        let free = u16::try_from(memory.saturating_sub(nvm.used())).unwrap_or(u16::MAX);
        let mut described = vec![0, 0];
        described.extend(free.to_be_bytes());
        described.extend(fid.to_be_bytes());
        described.extend([kind, 0, 0, 0, 0, 0]);
        let more = [
            characteristics,
            count(true),
            count(false),
            CODES,
            0,
            of_code(tries(&chv1)),
            of_code(unblocking(&chv1)),
            of_code(tries(&chv2)),
            of_code(unblocking(&chv2)),
            0,
        ];
        described.push(u8::try_from(more.len()).unwrap_or(u8::MAX));
        described.extend(more);
        Ok(described)
    }

    fn of_file(&mut self, ef: FileNumber) -> Result<Vec<u8>, StatusWord> {
        /// Bit 1 of the file status: not invalidated. Bit 3: read and updated all the same where it is.
        const VALID: u8 = 0x01;
        const USABLE_WHEN_INVALIDATED: u8 = 0x04;
        /// Bit 7 of octet 8: a cyclic file takes INCREASE.
        const INCREASABLE: u8 = 0x40;
        /// What follows octet 13: structure and record length.
        const FOLLOWING: u8 = 2;
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
        let nibble = |operation| self.condition(ef, operation);
        let increase = if kind == structure::CYCLIC { nibble(Operation::Increase) } else { condition::NEVER };
        let increasable = increase != condition::NEVER;
        let mut status = if file.life_cycle.is_activated() { VALID } else { 0 };
        if file.is_usable_when_deactivated() {
            status |= USABLE_WHEN_INVALIDATED;
        }
        let mut described = vec![0, 0];
        described.extend(u16::try_from(structure.size()).unwrap_or(u16::MAX).to_be_bytes());
        described.extend(file.fid.0.to_be_bytes());
        described.extend([
            kind::EF,
            if increasable { INCREASABLE } else { 0 },
            nibble(Operation::Read) << 4 | nibble(Operation::Update),
            increase << 4,
            nibble(Operation::Activate) << 4 | nibble(Operation::Deactivate),
            status,
            FOLLOWING,
            kind,
            record_length,
        ]);
        Ok(described)
    }

    /// What an operation on a file takes, as far as a nibble can say it.
    fn condition(&self, ef: FileNumber, operation: Operation) -> u8 {
        const SE: u8 = crate::fs::SE_APPLICATION_PIN;
        // A rule may name INCREASE by its header only.
        let header = if operation == Operation::Increase {
            [Class::BASIC_PROPRIETARY.to_byte(), Ins::INCREASE.0, 0, 0]
        } else {
            [0; 4]
        };
        let condition = self.kernel.tree.rules_in(ef, || SE).condition(operation, header);
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

/// The status of a CHV or of what unblocks it: whether there is one, and its tries. TS 51.011 §9.3.
fn of_code(tries: Option<u8>) -> u8 {
    const INITIALISED: u8 = 0x80;
    tries.map_or(0, |tries| INITIALISED | tries.min(0x0F))
}
