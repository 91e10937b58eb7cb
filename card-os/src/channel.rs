//! What a logical channel remembers between commands.
//!
//! Channels and files know each other, and only these two: a channel remembers places in the tree, and a file command sees
//! what all channels have current, because that may be out of reach for it. TS 102 221 §8.8.

use crate::chaining::Chain;
use crate::fs::{File, FileNumber, FileTree, Place, Route, Transfer};
use crate::id::ApplicationId;
use apdu::{Response, StatusWord};

/// Channels a card can have open, the basic one included. TS 102 221 §11.1.17.
pub(crate) const CHANNELS: u8 = 20;

/// One open logical channel.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// The application whose session is open here.
    pub(crate) application: Option<ApplicationId>,
    /// Current directory, and how it was named.
    pub(crate) route: Route,
    /// Current elementary file.
    pub(crate) current_ef: Option<FileNumber>,
    /// Record pointer, from 1.
    pub(crate) record: Option<u8>,
    /// A BER-TLV object on its way.
    pub(crate) transfer: Option<Transfer>,
    /// What GET RESPONSE fetches, with the status word that ends it.
    pub(crate) response: Option<Response>,
    /// A command on its way in pieces.
    pub(crate) chain: Option<Box<Chain>>,
}

impl Default for Channel {
    /// A channel opened from the basic one: the MF is selected.
    fn default() -> Self {
        Self {
            application: None,
            route: Route::MF,
            current_ef: None,
            record: None,
            transfer: None,
            response: None,
            chain: None,
        }
    }
}

impl Channel {
    /// A channel opened from this one: its directory is inherited. TS 102 221 §8.7.
    pub(crate) fn opened_from(&self) -> Self {
        Self { application: self.application, route: self.route.clone(), ..Self::default() }
    }

    /// Makes the MF current.
    pub(crate) fn select_mf(&mut self) {
        self.select(Route::MF.into());
    }

    /// Makes a place in the tree current: a directory, or an EF within the directory it was named in. The record pointer
    /// is undefined afterwards.
    pub(crate) fn select(&mut self, place: Place) {
        self.current_ef = (place.file != place.route.df()).then_some(place.file);
        self.route = place.route;
        self.record = None;
        self.transfer = None;
    }

    /// SET DATA: a block was refused, and the blocks before it are dropped.
    pub(crate) fn drop_incoming(&mut self) {
        self.transfer = self.transfer.take().filter(|transfer| !matches!(transfer, Transfer::In { .. }));
    }
}

/// All logical channels up to the highest that is open.
#[derive(Clone, Debug)]
pub(crate) struct Channels(Vec<Option<Channel>>);

impl Default for Channels {
    /// As after a reset: the basic channel is open, with the MF selected.
    fn default() -> Self {
        Self(vec![Some(Channel::default())])
    }
}

impl Channels {
    /// An open channel.
    pub(crate) fn get(&self, number: u8) -> Result<&Channel, StatusWord> {
        let channel = self.0.get(usize::from(number)).and_then(Option::as_ref);
        channel.ok_or(StatusWord::LOGICAL_CHANNEL_NOT_SUPPORTED)
    }

    /// An open channel, to be changed.
    pub(crate) fn get_mut(&mut self, number: u8) -> Result<&mut Channel, StatusWord> {
        let channel = self.0.get_mut(usize::from(number)).and_then(Option::as_mut);
        channel.ok_or(StatusWord::LOGICAL_CHANNEL_NOT_SUPPORTED)
    }

    /// The open channels and their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, &Channel)> {
        (0_u8..).zip(&self.0).filter_map(|(number, channel)| Some((number, channel.as_ref()?)))
    }

    /// The lowest channel that is free.
    pub(crate) fn free(&self) -> Option<u8> {
        (1..CHANNELS).find(|number| self.get(*number).is_err())
    }

    /// Opens a channel with this state.
    pub(crate) fn open(&mut self, number: u8, channel: Channel) {
        let at = usize::from(number);
        if number < CHANNELS {
            self.0.resize(self.0.len().max(at + 1), None);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = Some(channel);
        }
    }

    /// Closes a channel; what it was is returned.
    pub(crate) fn close(&mut self, number: u8) -> Option<Channel> {
        let closed = self.0.get_mut(usize::from(number))?.take();
        while self.0.pop_if(|highest| highest.is_none()).is_some() {}
        closed
    }

    /// A file goes away with all that lies below it: where it was current, the nearest directory around it that stays is.
    pub(crate) fn leave(&mut self, tree: &FileTree, gone: FileNumber) {
        for channel in self.0.iter_mut().flatten() {
            if channel.current_ef == Some(gone) {
                let directory = channel.route.clone();
                channel.select(directory.into());
            }
            while channel.route.upwards(tree).any(|directory| directory == gone) {
                let around = channel.route.parent(tree).unwrap_or(Route::MF);
                channel.select(around.into());
            }
        }
    }

    /// The same where the tree has already changed: what is not there any more is not current.
    pub(crate) fn leave_what_is_gone(&mut self, tree: &FileTree) {
        for channel in self.0.iter_mut().flatten() {
            if channel.route.upwards(tree).any(|directory| tree.get(directory).is_none()) {
                channel.select_mf();
            } else if channel.current_ef.is_some_and(|current| tree.get(current).is_none()) {
                let directory = channel.route.clone();
                channel.select(directory.into());
            }
        }
    }

    /// Whether a directory, and an EF in it, may be current in a further place, beside all channels but its `own`.
    ///
    /// What one channel has current and is not shareable is out of reach for all others, by whatever name they call it.
    /// TS 102 221 §8.8. Current are a directory and an EF, not the directories around; and the MF is shared by all, also by
    /// another name.
    pub(crate) fn admit(
        &self,
        tree: &FileTree,
        own: impl Fn(u8, &Channel) -> bool,
        place: &Place,
    ) -> Result<(), StatusWord> {
        let shareable = |number| tree.get(number).is_none_or(File::is_shareable);
        let collide = |wanted: FileNumber, current: FileNumber| {
            let body = tree.body(wanted);
            body != FileNumber::MF && tree.body(current) == body && ![wanted, current, body].into_iter().all(shareable)
        };
        let taken = self.iter().filter(|(number, channel)| !own(*number, channel)).any(|(_, channel)| {
            collide(place.route.df(), channel.route.df())
                || channel.current_ef.is_some_and(|current| collide(place.file, current))
        });
        if taken { Err(StatusWord::CONDITIONS_NOT_SATISFIED) } else { Ok(()) }
    }
}
