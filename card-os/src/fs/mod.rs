//! The file system of a domain: a tree of files, their access rules and PINs. TS 102 221 §8, §9, §11.1.
//!
//! The tree is data. Its descriptors and contents live in non-volatile memory; [`FileTree`] is the index over them
//! that a reset rebuilds. Commands work on the current file of a logical channel.

mod access;
mod ber_tlv;
mod binary;
mod fcp;
mod file;
mod life_cycle;
mod pin;
mod record;
mod tree;

pub use access::{AccessRules, Condition, Operation};
pub use file::{AccessReference, File, FileId, FileKind, FileNumber, LifeCycle, Structure};
pub use pin::{KeyReference, Pin, PinAttributes, PinConfiguration, Puk};
pub use tree::{FileTree, PathError};

pub(crate) use ber_tlv::Transfer;
pub(crate) use fcp::of_df as fcp_of_df;
pub(crate) use file::Bytes;
pub(crate) use pin::{Pins, Verified};

use crate::channel::Channel;
use crate::domain::DomainId;
use crate::nvm::{Key, Partition, Transaction};
use apdu::{Command, Ins, Response, StatusWord};

/// What a file command works on: the tree, the memory behind it, and the channel it came on.
pub(crate) struct FileSession<'a, 'nvm> {
    pub(crate) nvm: &'a mut Transaction<'nvm>,
    pub(crate) tree: &'a mut FileTree,
    pub(crate) domain: DomainId,
    pub(crate) channel: &'a mut Channel,
    pub(crate) verified: &'a mut Verified,
    /// Bytes of memory left, for the structures that grow.
    pub(crate) free: usize,
}

impl FileSession<'_, '_> {
    /// Carries out a file or PIN command; `None` if the instruction is neither.
    pub(crate) fn process(&mut self, command: &Command<'_>) -> Option<Result<Response, StatusWord>> {
        Some(match (command.class.is_proprietary(), command.ins) {
            (false, Ins::READ_BINARY) => self.read_binary(command),
            (false, Ins::UPDATE_BINARY) => self.update_binary(command),
            (false, Ins::READ_RECORD) => self.read_record(command),
            (false, Ins::UPDATE_RECORD) => self.update_record(command),
            (false, Ins::SEARCH_RECORD) => self.search_record(command),
            (true, Ins::INCREASE) => self.increase(command),
            (true, Ins::RETRIEVE_DATA) => self.retrieve_data(command),
            (true, Ins::SET_DATA) => self.set_data(command),
            (false, Ins::DEACTIVATE_FILE) => self.deactivate_file(command),
            (false, Ins::ACTIVATE_FILE) => self.activate_file(command),
            (false, Ins::VERIFY_PIN) => self.verify_pin(command),
            (false, Ins::CHANGE_PIN) => self.change_pin(command),
            (false, Ins::DISABLE_PIN) => self.disable_pin(command),
            (false, Ins::ENABLE_PIN) => self.enable_pin(command),
            (false, Ins::UNBLOCK_PIN) => self.unblock_pin(command),
            _ => return None,
        })
    }

    /// The EF a command addresses: by short file identifier within the current DF, or the current EF.
    ///
    /// Nothing is selected yet; [`accessed`](Self::accessed) does that once the command has passed its checks.
    fn target(&self, sfi: Option<u8>) -> Result<FileNumber, StatusWord> {
        match sfi {
            Some(sfi) => self.tree.by_sfi(self.channel.current_df, sfi).ok_or(StatusWord::FILE_NOT_FOUND),
            None => self.channel.current_ef.ok_or(StatusWord::NO_CURRENT_EF),
        }
    }

    /// A file's descriptor, checked for life cycle and access rule.
    fn permitted(&self, number: FileNumber, operation: Operation) -> Result<&File, StatusWord> {
        let file = self.tree.get(number).ok_or(StatusWord::FILE_NOT_FOUND)?;
        if !file.life_cycle.is_activated() && operation != Operation::Activate {
            return Err(if file.life_cycle.is_terminated() {
                StatusWord::CONDITIONS_NOT_SATISFIED
            } else {
                StatusWord::REFERENCED_DATA_INVALIDATED
            });
        }
        if self.allows(number, operation) { Ok(file) } else { Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED) }
    }

    fn allows(&self, number: FileNumber, operation: Operation) -> bool {
        let df = self.tree.containing_df(number);
        match self.tree.rules(number).condition(operation) {
            Condition::Always => true,
            Condition::Never => false,
            condition => condition.holds(&|reference| self.key_satisfied(df, reference)),
        }
    }

    /// Makes an EF current that a short file identifier named.
    fn accessed(&mut self, sfi: Option<u8>, number: FileNumber) {
        if sfi.is_some() && self.channel.current_ef != Some(number) {
            self.channel.select_ef(number);
        }
    }

    fn content_key(&self, number: FileNumber) -> Key {
        Key::new(Partition::Content, self.domain.0, u32::from(self.tree.body(number).0))
    }

    fn content(&self, number: FileNumber) -> &[u8] {
        self.nvm.get(self.content_key(number)).unwrap_or_default()
    }

    /// Writes a file's content; access rules that live in it take effect at once.
    fn write_content(&mut self, number: FileNumber, content: Vec<u8>) {
        let key = self.content_key(number);
        self.nvm.insert(key, content);
        let (nvm, domain) = (&*self.nvm, self.domain);
        self.tree.content_changed(number, |number| {
            nvm.get(Key::new(Partition::Content, domain.0, u32::from(number.0))).unwrap_or_default().to_vec()
        });
    }

    fn write_descriptor(&mut self, number: FileNumber) {
        if let Some(file) = self.tree.get(number) {
            self.nvm.insert(Key::new(Partition::File, self.domain.0, u32::from(number.0)), file.to_bytes());
        }
    }
}

/// The short file identifier in P1 of a transparent command: `100xxxxx`.
fn sfi_in_p1(p1: u8) -> Result<Option<u8>, StatusWord> {
    match p1 {
        0x00..=0x7F => Ok(None),
        0x81..=0x9E => Ok(Some(p1 & 0x1F)),
        _ => Err(StatusWord::WRONG_P1_P2),
    }
}
