//! What the operating system remembers while it has power.

use crate::cat::Toolkit;
use crate::channel::{CHANNELS, Channel};
use crate::domain::{ApplicationId, DomainId};
use crate::fs::{FileTree, Verified};
use apdu::StatusWord;

/// Volatile state, rebuilt at every reset.
pub(crate) struct Kernel {
    channels: Vec<Option<Channel>>,
    /// Files of the active domain, or of the platform while none is active.
    pub(crate) tree: FileTree,
    /// The domain [`tree`](Self::tree) belongs to.
    pub(crate) tree_domain: DomainId,
    pub(crate) verified: Verified,
    pub(crate) toolkit: Toolkit,
    /// Value of template `A9` of the last TERMINAL CAPABILITY.
    pub(crate) terminal_capability: Option<Vec<u8>>,
    /// Set when the active domain changed; the card loads it once the change is committed.
    pub(crate) reload: bool,
}

impl Kernel {
    /// The state right after a reset: the basic channel, with the MF selected.
    pub(crate) fn new() -> Self {
        let mut channels = vec![None; CHANNELS];
        if let Some(basic) = channels.first_mut() {
            *basic = Some(Channel::default());
        }
        Self {
            channels,
            tree: FileTree::default(),
            tree_domain: DomainId::PLATFORM,
            verified: Verified::default(),
            toolkit: Toolkit::default(),
            terminal_capability: None,
            reload: false,
        }
    }

    pub(crate) fn channel(&self, number: u8) -> Result<&Channel, StatusWord> {
        let channel = self.channels.get(usize::from(number)).and_then(Option::as_ref);
        channel.ok_or(StatusWord::LOGICAL_CHANNEL_NOT_SUPPORTED)
    }

    pub(crate) fn channel_mut(&mut self, number: u8) -> Result<&mut Channel, StatusWord> {
        let channel = self.channels.get_mut(usize::from(number)).and_then(Option::as_mut);
        channel.ok_or(StatusWord::LOGICAL_CHANNEL_NOT_SUPPORTED)
    }

    /// The open channels and their numbers.
    pub(crate) fn open_channels(&mut self) -> impl Iterator<Item = (u8, &mut Channel)> {
        (0_u8..).zip(&mut self.channels).filter_map(|(number, channel)| Some((number, channel.as_mut()?)))
    }

    pub(crate) fn is_open(&self, number: u8) -> bool {
        self.channel(number).is_ok()
    }

    /// The lowest channel that is free.
    pub(crate) fn free_channel(&self) -> Option<u8> {
        (1..).zip(self.channels.iter().skip(1)).find(|(_, channel)| channel.is_none()).map(|(number, _)| number)
    }

    pub(crate) fn open(&mut self, number: u8, channel: Channel) {
        if let Some(slot) = self.channels.get_mut(usize::from(number)) {
            *slot = Some(channel);
        }
    }

    pub(crate) fn close(&mut self, number: u8) -> Option<Channel> {
        self.channels.get_mut(usize::from(number))?.take()
    }

    /// Whether an application's session is open on any channel.
    pub(crate) fn is_selected(&self, application: ApplicationId) -> bool {
        self.channels.iter().flatten().any(|channel| channel.application == Some(application))
    }

    /// All channels see another tree: what belonged to the old one is forgotten.
    pub(crate) fn switch_tree(&mut self, tree: FileTree, domain: DomainId) {
        self.tree = tree;
        self.tree_domain = domain;
        self.verified.clear();
        for (number, slot) in self.channels.iter_mut().enumerate() {
            let Some(channel) = slot else { continue };
            let outgoing = channel.application.is_some_and(|application| application.domain != DomainId::PLATFORM);
            if outgoing && number != 0 {
                *slot = None;
                continue;
            }
            if outgoing {
                channel.application = None;
            }
            channel.select_df(crate::fs::FileNumber::MF);
            channel.response = None;
        }
        self.reload = false;
    }
}
