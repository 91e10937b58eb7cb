//! What a file command does besides writing to non-volatile memory.

use super::{File, FileNumber, FileTree, KeyReference, LifeCycle, Place, Transfer, Verified};
use crate::channel::Channel;
use crate::id::ApplicationId;
use crate::kernel::Change;

/// The volatile part of a command. It takes place when what the command wrote is committed, so that a command that is
/// refused, or that memory does not take, leaves nothing behind; until then all is as before the command.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// What becomes current; the record pointer and a transfer under way are forgotten.
    pub(crate) current: Option<Place>,
    /// Where the record pointer stands.
    pub(crate) record: Option<u8>,
    /// How a BER-TLV object on its way goes on.
    pub(crate) transfer: TransferStep,
    /// A key that is verified from now on, or is not any more.
    pub(crate) verified: Option<(FileNumber, KeyReference, bool)>,
    /// What changes in the index over the files.
    pub(crate) tree: Option<TreeEdit>,
    /// An application that came with its directory, or went with it.
    pub(crate) application: Option<(ApplicationId, Change)>,
}

/// A step of a [`Transfer`].
#[derive(Debug, Default)]
pub(crate) enum TransferStep {
    /// No step.
    #[default]
    Keep,
    /// The object is complete.
    End,
    /// Another object begins.
    Begin(Box<Transfer>),
    /// RETRIEVE DATA: this much has gone out, and this much before the last piece.
    Sent { sent: usize, previous: usize },
    /// SET DATA: a further piece came in.
    Received(Vec<u8>),
}

/// A change to the index over the files.
#[derive(Debug)]
pub(crate) enum TreeEdit {
    /// The life cycle status of a file.
    LifeCycle(FileNumber, LifeCycle),
    /// The content of a file; access rules may stand in it.
    Content(FileNumber),
    /// A file is there.
    Created(FileNumber, Box<File>),
    /// A file has another descriptor, and with it another content.
    Resized(FileNumber, Box<File>),
    /// A file is gone, with all below it.
    Deleted(FileNumber),
}

impl Effects {
    /// The file that goes away with what lies below it.
    pub(crate) const fn deleted(&self) -> Option<FileNumber> {
        match &self.tree {
            Some(TreeEdit::Deleted(number)) => Some(*number),
            _ => None,
        }
    }

    /// Lets the effects take place. `content` gives a file's content by number.
    pub(crate) fn apply(
        self,
        tree: &mut FileTree,
        channel: &mut Channel,
        verified: &mut Verified,
        content: impl Fn(FileNumber) -> Vec<u8>,
    ) {
        if let Some(place) = self.current {
            channel.select(place);
        }
        if let Some(record) = self.record {
            channel.record = Some(record);
        }
        match (self.transfer, &mut channel.transfer) {
            (TransferStep::End, transfer) => *transfer = None,
            (TransferStep::Begin(begun), transfer) => *transfer = Some(*begun),
            (TransferStep::Sent { sent, previous }, Some(Transfer::Out { sent: out, previous: before, .. })) => {
                (*out, *before) = (sent, previous);
            }
            (TransferStep::Received(piece), Some(Transfer::In { object, .. })) => object.extend(piece),
            (TransferStep::Keep | TransferStep::Sent { .. } | TransferStep::Received(_), _) => {}
        }
        if let Some((context, reference, is_verified)) = self.verified {
            verified.set(context, reference, is_verified);
        }
        match self.tree {
            Some(TreeEdit::LifeCycle(number, life_cycle)) => tree.set_life_cycle(number, life_cycle),
            Some(TreeEdit::Content(number)) => tree.content_changed(number, &content),
            Some(TreeEdit::Created(number, file)) => tree.create(number, *file, &content),
            Some(TreeEdit::Resized(number, file)) => tree.replace(number, *file, &content),
            Some(TreeEdit::Deleted(number)) => tree.remove(number, &content),
            None => {}
        }
    }
}
