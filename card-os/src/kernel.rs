//! What the operating system remembers while it has power.

use crate::cat::{Registrations, Toolkit};
use crate::channel::{Channel, Channels};
use crate::fs::{Effects, FileNumber, FileTree, Verified};
use crate::id::{ApplicationId, DomainId};
use apdu::StatusWord;

/// Volatile state, rebuilt at every reset.
pub(crate) struct Kernel {
    pub(crate) channels: Channels,
    /// Files of the active domain, or of the platform while none is active.
    pub(crate) tree: FileTree,
    /// The domain [`tree`](Self::tree) belongs to.
    pub(crate) tree_domain: DomainId,
    pub(crate) verified: Verified,
    pub(crate) toolkit: Toolkit,
    /// Which application is told what.
    pub(crate) registrations: Registrations,
    /// The two above as they were before the application under way changed either. If its transaction is dropped, they are
    /// so again.
    pub(crate) before: Option<Box<(Toolkit, Registrations)>>,
    /// Value of template `A9` of the last TERMINAL CAPABILITY.
    pub(crate) terminal_capability: Option<Vec<u8>>,
    /// As what the command under way takes the card.
    pub(crate) taken_for: TakenFor,
    /// Set when the active domain changed; the card loads it once the change is committed.
    pub(crate) reload: bool,
    /// Set by SUSPEND UICC: nothing is carried out before the next reset.
    pub(crate) suspended: bool,
    /// Set when [`tree`](Self::tree) shows what the transaction under way has written; if that is dropped, the tree is read
    /// again.
    pub(crate) tree_ahead: bool,
    /// Applications that came, went or changed; the card follows once the change is committed.
    pub(crate) changes: Vec<(ApplicationId, Change)>,
}

/// As what a terminal takes the card: the class of its command tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenFor {
    /// TS 102 221.
    Uicc,
    /// TS 51.011.
    Sim,
}

/// What happened to an application in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Removed,
    /// Its entry changed.
    Updated,
}

impl Kernel {
    /// The state right after a reset: the basic channel, with the MF selected.
    pub(crate) fn new() -> Self {
        Self {
            channels: Channels::default(),
            tree: FileTree::default(),
            tree_domain: DomainId::PLATFORM,
            verified: Verified::default(),
            toolkit: Toolkit::default(),
            registrations: Registrations::default(),
            terminal_capability: None,
            before: None,
            taken_for: TakenFor::Uicc,
            reload: false,
            suspended: false,
            tree_ahead: false,
            changes: Vec::new(),
        }
    }

    /// An application is about to change what is queued or registered.
    pub(crate) fn before_change(&mut self) {
        if self.before.is_none() {
            self.before = Some(Box::new((self.toolkit.clone(), self.registrations.clone())));
        }
    }

    pub(crate) fn channel(&self, number: u8) -> Result<&Channel, StatusWord> {
        self.channels.get(number)
    }

    pub(crate) fn channel_mut(&mut self, number: u8) -> Result<&mut Channel, StatusWord> {
        self.channels.get_mut(number)
    }

    pub(crate) fn is_open(&self, number: u8) -> bool {
        self.channel(number).is_ok()
    }

    /// The lowest channel that is free.
    pub(crate) fn free_channel(&self) -> Option<u8> {
        self.channels.free()
    }

    pub(crate) fn open(&mut self, number: u8, channel: Channel) {
        self.channels.open(number, channel);
    }

    pub(crate) fn close(&mut self, number: u8) -> Option<Channel> {
        self.channels.close(number)
    }

    /// Whether an application's session is open on any channel.
    pub(crate) fn is_selected(&self, application: ApplicationId) -> bool {
        self.channels.iter().any(|(_, channel)| channel.application == Some(application))
    }

    /// What a file command on a channel does besides writing, once its writes are committed.
    pub(crate) fn take_effect(&mut self, number: u8, effects: Effects, content: impl Fn(FileNumber) -> Vec<u8>) {
        if let Some(gone) = effects.deleted() {
            self.channels.leave(&self.tree, gone);
        }
        if let Ok(channel) = self.channels.get_mut(number) {
            effects.apply(&mut self.tree, channel, &mut self.verified, content);
        }
    }

    /// All channels see another tree: what belonged to the old one is forgotten.
    pub(crate) fn switch_tree(&mut self, tree: FileTree, domain: DomainId) {
        self.tree = tree;
        self.tree_domain = domain;
        self.verified.clear();
        let open: Vec<u8> = self.channels.iter().map(|(number, _)| number).collect();
        for number in open {
            let Ok(channel) = self.channels.get_mut(number) else { continue };
            let outgoing = channel.application.is_some_and(|application| application.domain != DomainId::PLATFORM);
            if outgoing && number != 0 {
                self.channels.close(number);
                continue;
            }
            if outgoing {
                channel.application = None;
            }
            channel.select_mf();
            channel.response = None;
        }
        (self.reload, self.tree_ahead) = (false, false);
    }
}
