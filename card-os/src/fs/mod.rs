//! The file system of a domain: a tree of files, their access rules and PINs. TS 102 221 §8, §9, §11.1.
//!
//! The tree is data. Its descriptors and contents live in non-volatile memory; [`FileTree`] is the index over them
//! that a reset rebuilds. Commands work on the current file of a logical channel.

mod access;
mod admin;
mod authority;
mod ber_tlv;
mod binary;
mod effects;
pub(crate) mod fcp;
mod file;
mod navigate;
mod pin;
mod record;
mod tree;

pub use access::{AccessRules, Condition, Operation};
pub use authority::{AccessDomain, Authority};
pub use file::{AccessReference, File, FileId, FileKind, FileNumber, LifeCycle, Security, Structure};
pub use pin::{KeyReference, Pin, PinAttributes, PinConfiguration, Puk};
pub use tree::{FileTree, PathError};

pub(crate) use ber_tlv::{Transfer, with_reserve};
pub(crate) use effects::{Effects, TransferStep, TreeEdit};
pub(crate) use navigate::{Place, Route, after_select, by, wants_answer};
pub(crate) use pin::{Pins, SE_APPLICATION_PIN, Verified};

use crate::channel::{Channel, Channels};
use crate::dialect::Habits;
use crate::id::{ApplicationId, DomainId};
use crate::kernel::Change;
use crate::nvm::{Key, Partition, Transaction};
use apdu::{Command, Ins, Response, StatusWord};

/// Carries a command out.
pub(crate) type Handler<T> = fn(&mut T, &Command<'_>) -> Result<Response, StatusWord>;

/// File and PIN commands, one after another, within a transaction on the memory behind the tree.
///
/// A terminal's session is one of the logical channels and lasts a command; the [`Effects`] of that take place when the
/// transaction is committed. An application's session ([`Context::files`](crate::Context::files)) has a current file of
/// its own, beside the channels, and sees what its commands have done at once.
pub struct FileSession<'a, 'nvm> {
    pub(crate) nvm: &'a mut Transaction<'nvm>,
    pub(crate) tree: &'a mut FileTree,
    pub(crate) domain: DomainId,
    /// All channels: what is current on another one and not shareable is out of reach.
    pub(crate) channels: &'a Channels,
    pub(crate) seat: Seat<'a>,
    pub(crate) authority: Authority,
    pub(crate) verified: &'a Verified,
    /// The ADF that `7FFF` means.
    pub(crate) adf: Option<FileNumber>,
    /// Bytes of memory that the card has.
    pub(crate) memory: usize,
    /// How the card finds and shows files.
    pub(crate) habits: Habits,
    /// Whether it is a session of a SIM, which has files of its own.
    pub(crate) as_sim: bool,
    /// CLA INS P1 P2 of the command under way, which access rules may name.
    pub(crate) header: [u8; 4],
    pub(crate) effects: Effects,
    /// Whether refusing this command also ends the transfer of an incoming object.
    pub(crate) refusal_ends_transfer: bool,
    /// Whether an Le that asks for all there is gets less than it counts: not in T=0.
    pub(crate) direct: bool,
}

/// Where a session keeps what is current.
pub(crate) enum Seat<'a> {
    /// On a logical channel.
    Channel(u8),
    /// With this application, beside the channels; the flag says that the tree is ahead of memory, and applications that come
    /// and go with their directories are noted.
    Own {
        application: ApplicationId,
        channel: Box<Channel>,
        tree_ahead: &'a mut bool,
        changes: &'a mut Vec<(ApplicationId, Change)>,
    },
}

impl FileSession<'_, '_> {
    /// Carries out a file or PIN command for an application, SELECT included: `Err` has changed nothing, except for what a
    /// PIN's counter lost, and that a refused block ends an object's way in. SELECT by name finds an ADF of the tree.
    pub fn process(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let savepoint = self.nvm.savepoint();
        let outcome = self.execute(command, |_| StatusWord::INS_NOT_SUPPORTED);
        let effects = core::mem::take(&mut self.effects);
        let ends_transfer = core::mem::take(&mut self.refusal_ends_transfer);
        match (&outcome, &mut self.seat) {
            (Ok(_), Seat::Own { channel, tree_ahead, changes, .. }) => {
                let (nvm, domain) = (&*self.nvm, self.domain);
                **tree_ahead |= effects.tree.is_some();
                changes.extend(effects.application);
                // A PIN that an application has verified is not thereby verified for the terminal.
                effects.apply(self.tree, channel, &mut Verified::default(), |number| content_of(nvm, domain, number));
            }
            (Ok(_), Seat::Channel(_)) => self.effects = effects,
            (Err(_), seat) => {
                self.nvm.rollback(savepoint);
                if let Seat::Own { channel, .. } = seat
                    && ends_transfer
                {
                    channel.drop_incoming();
                }
            }
        }
        outcome
    }

    /// Carries out a file or PIN command, its [`Effects`] outstanding; `unknown` refuses what is neither.
    pub(crate) fn execute(
        &mut self,
        command: &Command<'_>,
        unknown: fn(&Command<'_>) -> StatusWord,
    ) -> Result<Response, StatusWord> {
        self.header = [command.class.to_byte(), command.ins.0, command.p1, command.p2];
        match Self::command(command.class.is_proprietary(), command.ins) {
            Some(carry_out) => carry_out(self, command),
            None => Err(unknown(command)),
        }
    }

    /// The table of file and PIN commands: class, instruction, and the method that carries it out. TS 102 221 §10.1.2.
    pub(crate) const fn command(proprietary: bool, ins: Ins) -> Option<Handler<Self>> {
        Some(match (proprietary, ins) {
            (false, Ins::SELECT) => Self::select,
            (false, Ins::READ_BINARY) => Self::read_binary,
            (false, Ins::UPDATE_BINARY) => Self::update_binary,
            (false, Ins::READ_RECORD) => Self::read_record,
            (false, Ins::UPDATE_RECORD) => Self::update_record,
            (false, Ins::SEARCH_RECORD) => Self::search_record,
            (true, Ins::INCREASE) => Self::increase,
            (true, Ins::RETRIEVE_DATA) => Self::retrieve_data,
            (true, Ins::SET_DATA) => Self::set_data,
            (false, Ins::CREATE_FILE) => Self::create_file,
            (false, Ins::DELETE_FILE) => Self::delete_file,
            (true, Ins::RESIZE_FILE) => Self::resize_file,
            (false, Ins::TERMINATE_DF) => Self::terminate_df,
            (false, Ins::TERMINATE_EF) => Self::terminate_ef,
            (false, Ins::TERMINATE_CARD_USAGE) => Self::terminate_card_usage,
            (false, Ins::DEACTIVATE_FILE) => Self::deactivate_file,
            (false, Ins::ACTIVATE_FILE) => Self::activate_file,
            (false, Ins::VERIFY_PIN) => Self::verify_pin,
            (false, Ins::CHANGE_PIN) => Self::change_pin,
            (false, Ins::DISABLE_PIN) => Self::disable_pin,
            (false, Ins::ENABLE_PIN) => Self::enable_pin,
            (false, Ins::UNBLOCK_PIN) => Self::unblock_pin,
            _ => return None,
        })
    }

    /// What is current, as the command found it.
    pub(crate) fn channel(&self) -> Result<&Channel, StatusWord> {
        match &self.seat {
            Seat::Channel(number) => self.channels.get(*number),
            Seat::Own { channel, .. } => Ok(channel),
        }
    }

    /// The EF a command addresses: by short file identifier within the current DF, or the current EF.
    ///
    /// Nothing is selected yet; [`accessed`](Self::accessed) does that once the command has passed its checks.
    #[inline]
    fn target(&self, sfi: Option<u8>) -> Result<Place, StatusWord> {
        let Channel { route, current_ef, .. } = self.channel()?;
        let Some(sfi) = sfi else {
            return Ok(Place { route: route.clone(), file: current_ef.ok_or(StatusWord::NO_CURRENT_EF)? });
        };
        let place = match self.tree.by_sfi(route.df(), sfi) {
            Some(file) => Place { route: route.clone(), file },
            None if self.habits.contains(Habits::SFI_IN_TREE) => {
                let file = self.tree.by_sfi_around(route.df(), sfi).ok_or(StatusWord::FILE_NOT_FOUND)?;
                Place { route: Route::of(self.tree.containing_df(file)), file }
            }
            None => return Err(StatusWord::FILE_NOT_FOUND),
        };
        self.admit(&place)?;
        Ok(place)
    }

    /// Checks life cycle and access rule.
    fn permitted(&self, place: &Place, operation: Operation) -> Result<(), StatusWord> {
        let state = self.tree.state(place.file).ok_or(StatusWord::FILE_NOT_FOUND)?;
        if !state.is_activated() {
            self.permitted_when_out_of_use(place, operation, state)?;
        }
        if self.allows(place, operation) { Ok(()) } else { Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED) }
    }

    /// What may be done to a file that is deactivated or terminated, or lies below a directory which is.
    fn permitted_when_out_of_use(
        &self,
        place: &Place,
        operation: Operation,
        state: LifeCycle,
    ) -> Result<(), StatusWord> {
        if state.is_terminated() {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let is_usable = self.tree.get(place.file).is_some_and(|file| {
            let above = self.tree.parent(place.file).and_then(|df| self.tree.state(df));
            file.is_usable_when_deactivated() && above.is_none_or(LifeCycle::is_activated)
        });
        let is_use = matches!(operation, Operation::Read | Operation::Update | Operation::Increase);
        if is_use && is_usable { Ok(()) } else { Err(StatusWord::REFERENCED_DATA_INVALIDATED) }
    }

    /// Whether the access rules let this session do it: its PINs are those of the directory the file was named in.
    fn allows(&self, place: &Place, operation: Operation) -> bool {
        let rules = self.tree.rules_in(place.file, || self.pins().security_environment(&place.route));
        self.fulfils(place, rules.condition(operation, self.header))
    }

    /// Whether this session fulfils a condition on a file.
    fn fulfils(&self, place: &Place, condition: &Condition) -> bool {
        let verified = |reference| self.pins().satisfied(self.verified, &place.route, reference);
        let disabled = |reference| self.pins().satisfied(&Verified::default(), &place.route, reference);
        match &self.authority {
            Authority::Terminal => condition.holds(&verified),
            Authority::Domain(domain) => domain.grants(condition, &disabled),
        }
    }

    /// The sharing rule: whether this session may have a place current, its directory and its EF.
    fn admit(&self, place: &Place) -> Result<(), StatusWord> {
        self.channels.admit(
            self.tree,
            |number, channel| match self.seat {
                Seat::Channel(at) => number == at,
                // Where the terminal has the same application selected, it is at that application's files.
                Seat::Own { application, .. } => channel.application == Some(application),
            },
            place,
        )
    }

    /// Makes a file current, unless it is not shareable and current elsewhere. SELECT, and every command that names its file,
    /// come here.
    fn make_current(&mut self, place: Place) -> Result<(), StatusWord> {
        self.admit(&place)?;
        self.effects.current = Some(place);
        Ok(())
    }

    /// Makes an EF current that a short file identifier named, also if it was before: the record pointer starts anew.
    fn accessed(&mut self, sfi: Option<u8>, place: Place) -> Result<(), StatusWord> {
        if sfi.is_some() { self.make_current(place) } else { Ok(()) }
    }

    /// The FCP of a file. That of a DF shows PIN states and memory as they are now.
    pub(crate) fn fcp(&self, place: &Place) -> Vec<u8> {
        let Place { route, file: number } = place;
        if !self.tree.is_df(*number) {
            return self.tree.ef_fcp(*number).to_vec();
        }
        let pins = self.pins();
        let enabled = |reference| pins.find(route, KeyReference(reference)).is_some_and(|(_, pin)| pin.enabled);
        fcp::of_df(self.tree, *number, enabled, pins.uses_universal_pin(route), self.free_below(*number))
    }

    /// Bytes of memory left. Asked for only where a command tells it or goes by it.
    fn free(&self) -> usize {
        self.memory.saturating_sub(self.nvm.used())
    }

    fn content_key(&self, number: FileNumber) -> Key {
        Key::new(Partition::Content, self.domain.0, u32::from(self.tree.body(number).0))
    }

    fn content(&self, number: FileNumber) -> &[u8] {
        self.nvm.get(self.content_key(number)).unwrap_or_default()
    }

    /// Writes a file's content; access rules that live in it take effect with it.
    fn write_content(&mut self, number: FileNumber, content: Vec<u8>) {
        let key = self.content_key(number);
        self.nvm.insert(key, content);
        self.effects.tree = Some(TreeEdit::Content(number));
    }

    /// Writes a file's descriptor.
    fn write_descriptor(&mut self, number: FileNumber, file: &File) {
        self.nvm.insert(Key::new(Partition::File, self.domain.0, u32::from(number.0)), file.to_bytes());
    }
}

/// The content stored under a file's number, as a transaction would leave it.
pub(crate) fn content_of(nvm: &Transaction<'_>, domain: DomainId, number: FileNumber) -> Vec<u8> {
    nvm.get(Key::new(Partition::Content, domain.0, u32::from(number.0))).unwrap_or_default().to_vec()
}

/// The short file identifier in P1 of a transparent command: `100xxxxx`.
fn sfi_in_p1(p1: u8) -> Result<Option<u8>, StatusWord> {
    match p1 {
        0x00..=0x7F => Ok(None),
        0x81..=0x9E => Ok(Some(p1 & 0x1F)),
        _ => Err(StatusWord::WRONG_P1_P2),
    }
}
