//! What runs on the card, and what the card offers it.

use crate::Entropy;
use crate::card_profile::CardProfile;
use crate::cat::{Conflict, Event, NotQueued, ProactiveCommand, Registered, Registration, TerminalResponse};
use crate::channel::Channel;
use crate::domain::{self, ApplicationRecord, DomainImage, Memory, OutOfMemory, Port, Privileges};
use crate::fault::When;
use crate::fs::{
    Authority, Effects, FileId, FileKind, FileNumber, FileSession, KeyReference, Pins, Route, Seat, Structure,
    content_of,
};
use crate::id::{ApplicationId, ApplicationKind, DomainId};
use crate::kernel::{Change, Kernel};
use crate::load_file::LoadFile;
use crate::nvm::{Key, NvmError, Partition, Transaction, data_index};
use crate::registry::{self, Registry};
use crate::remote::{Opened, Remote, Undone, Unsecured};
use crate::runtime::Runtime;
use apdu::{Aid, Command, Response, StatusWord};
use core::any::Any;
use std::collections::BTreeMap;

/// Builds applications by kind. `None`: files only, no commands of its own.
pub type Factory = Box<dyn Fn(ApplicationKind) -> Option<Box<dyn Application>> + Send>;

/// One selectable application. TS 102 221 §8.4, GlobalPlatform Card Specification §4.
///
/// Nothing that must survive is kept in an implementation's fields: they hold session state and what can be worked
/// out from non-volatile memory. After a reset an application is built anew and [`start`](Self::start)ed.
pub trait Application: Send {
    /// Prepares for work after a reset, or when its domain becomes active. An application whose start fails answers nothing
    /// until the next one; but not for writes that memory did not take: those are [`undone`](Self::undone) and no more.
    fn start(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        let _ = cx;
        Ok(())
    }

    /// The answer to SELECT by AID, for an application without files; those with files answer their ADF's FCP.
    fn select(&mut self, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
        let _ = cx;
        Ok(Vec::new())
    }

    /// Whether a command is this application's. What it does not claim the operating system carries out.
    ///
    /// SELECT by file, MANAGE CHANNEL, GET RESPONSE and the toolkit's commands are never asked about. What comes with
    /// secure messaging is: the kernel itself opens none and refuses what no application claims.
    fn claims(&self, command: &Command<'_>) -> bool;

    /// Whether a command of class `A0` is this application's whatever is selected, on a card that also is a SIM of TS 51.011
    /// ([`CardProfile::gsm`]): RUN GSM ALGORITHM has no application to be sent to. It comes to [`process`](Self::process).
    fn claims_unselected(&self, command: &Command<'_>) -> bool {
        let _ = command;
        false
    }

    /// Whether a command that its class marks as part of a chain, and not the last, is this application's. It then comes
    /// to [`process`](Self::process) as it is, if the application [claims](Self::claims) it; joining is the
    /// application's. ISO/IEC 7816-4 §5.3.3.
    fn claims_chaining(&self, command: &Command<'_>) -> bool {
        let _ = command;
        false
    }

    /// Carries out a command it claimed. `Ok` commits what it wrote, whatever the status word; `Err` drops it.
    ///
    /// A command without data whose answer is not as long as its Le says is answered `6CXX`, and that is no execution
    /// (ISO/IEC 7816-3 §10.3.3): what it wrote is dropped.
    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord>;

    /// Takes note that the last call of any of these functions counts as not made: it was answered with an error or `6CXX`, or
    /// memory did not take the writes. They are dropped, and what it changed in fields has to be as before, so that the same
    /// command can follow again.
    fn undone(&mut self, channel: u8) {
        let _ = channel;
    }

    /// Takes note that the last call of any of these functions counts: what it wrote is permanent, and
    /// [`undone`](Self::undone) cannot follow any more, so that what was kept for it can go.
    fn committed(&mut self) {}

    /// Takes note that its session on a channel has ended.
    fn deselect(&mut self, channel: u8) {
        let _ = channel;
    }

    /// Takes note that any other command was processed on a channel where it is selected: a chain is broken.
    fn interrupted(&mut self, channel: u8) {
        let _ = channel;
    }

    /// The terminal's answer to a proactive command of this application.
    fn terminal_response(
        &mut self,
        command: &ProactiveCommand,
        response: TerminalResponse<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<(), StatusWord> {
        let _ = (command, response, cx);
        Ok(())
    }

    /// An envelope it [registered](Context::register) for. `Some`: the answer, and no other application is told. `None`: it took
    /// note. An envelope that everybody refuses is refused.
    fn event(&mut self, event: &Event<'_>, cx: &mut Context<'_, '_>) -> Result<Option<Response>, StatusWord> {
        let _ = (event, cx);
        Err(StatusWord::CONDITIONS_NOT_SATISFIED)
    }

    /// As a security domain: opens a secured packet for an application that registered with it. What must not be
    /// undone, a counter above all, is committed with `Ok`, before the commands in the packet are carried out.
    fn open_packet(&mut self, event: &Event<'_>, cx: &mut Context<'_, '_>) -> Result<Opened, StatusWord> {
        let _ = (event, cx);
        Err(StatusWord::CONDITIONS_NOT_SATISFIED)
    }

    /// Carries out commands from a secured packet that its security domain has opened, with the protection the
    /// application registered for. Returns the answer's data, in the format of TS 102 226 §5.
    fn process_remote(&mut self, remote: &Remote<'_>, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
        let _ = (remote, cx);
        Err(StatusWord::CONDITIONS_NOT_SATISFIED)
    }

    /// As a security domain: makes the answer to a packet that it opened.
    fn close_answer(
        &mut self,
        packet: &Unsecured,
        outcome: Result<&[u8], Undone>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Response, StatusWord> {
        let _ = (packet, outcome, cx);
        Err(StatusWord::CONDITIONS_NOT_SATISFIED)
    }
}

/// What an application sees while it serves one command.
pub struct Context<'k, 'n> {
    pub(crate) nvm: Transaction<'n>,
    pub(crate) kernel: &'k mut Kernel,
    pub(crate) entropy: &'n mut dyn Entropy,
    pub(crate) profile: &'k CardProfile,
    pub(crate) application: ApplicationId,
    pub(crate) record: &'k ApplicationRecord,
    pub(crate) channel: u8,
    /// What the applications of the domain share, while it is not lent.
    pub(crate) runtime: Option<&'k mut dyn Runtime>,
}

impl<'n> Context<'_, 'n> {
    /// The logical channel the command came on.
    pub const fn channel(&self) -> u8 {
        self.channel
    }

    /// This application's registry entry.
    pub const fn record(&self) -> &ApplicationRecord {
        self.record
    }

    /// Fills `out` with random bytes.
    pub fn random(&mut self, out: &mut [u8]) {
        self.entropy.fill(out);
    }

    /// The parameters this application was installed with.
    pub fn parameters(&self) -> &[u8] {
        let key = Key::new(Partition::Application, self.application.domain.0, u32::from(self.application.number));
        self.nvm.get(key).and_then(ApplicationRecord::from_bytes).map(|(_, parameters)| parameters).unwrap_or_default()
    }

    /// Writes this application's entry as it is installed today, for one that an earlier release installed: with these
    /// privileges beside those it has, and these install parameters in the place of its own.
    pub fn carry_over(&mut self, privileges: Privileges, parameters: &[u8]) {
        let key = Key::new(Partition::Application, self.application.domain.0, u32::from(self.application.number));
        let record = ApplicationRecord { privileges: self.record.privileges.and(privileges), ..self.record.clone() };
        self.nvm.insert(key, record.to_bytes(parameters));
        self.kernel.changes.push((self.application, Change::Updated));
    }

    /// The applications of this application's domain, itself included, in the order of their installation.
    pub fn applications(&self) -> Vec<ApplicationRecord> {
        let applications = domain::load_applications(&self.nvm, self.application.domain);
        applications.into_iter().map(|(_, record)| record).collect()
    }

    /// A value this application keeps.
    pub fn get(&self, item: u16) -> Option<&[u8]> {
        self.nvm.get(self.data_key(item))
    }

    /// Keeps a value.
    pub fn put(&mut self, item: u16, value: impl Into<Vec<u8>>) {
        self.nvm.insert(self.data_key(item), value);
    }

    /// Removes a value.
    pub fn remove(&mut self, item: u16) {
        self.nvm.remove(self.data_key(item));
    }

    /// The numbers within `range` that have a value, ascending.
    pub fn items(&self, range: core::ops::RangeInclusive<u16>) -> Vec<u16> {
        let keys = self.data_key(*range.start())..=self.data_key(*range.end());
        self.nvm.keys(keys).into_iter().filter_map(|key| u16::try_from(key.index() & 0xFFFF).ok()).collect()
    }

    /// Whether the card also is a SIM of TS 51.011.
    pub const fn is_also_a_sim(&self) -> bool {
        self.profile.gsm
    }

    /// Bytes of non-volatile memory that are left.
    pub fn free_memory(&self) -> usize {
        self.profile.non_volatile_memory.saturating_sub(self.nvm.used())
    }

    /// The AID it is registered under.
    pub const fn aid(&self) -> Aid {
        self.record.aid
    }

    /// Whether something is ordered to go wrong at a point of this application, which has a number of its own: the code that it
    /// is to answer with. Codes that it has no answer with just now, as `answers` tells, wait. See [`fault`](crate::fault).
    ///
    /// # Errors
    /// The status word that it is to refuse with; where the card is to fall silent, any.
    pub fn fault(&mut self, point: u32, when: When, answers: impl Fn(i64) -> bool) -> Result<Option<i64>, StatusWord> {
        self.nvm.faults().map_or(Ok(None), |faults| faults.at(point, when, &answers))
    }

    /// Makes the writes so far permanent at once, for what must not be undone by cutting the power.
    pub fn checkpoint(&mut self) -> Result<(), NvmError> {
        self.nvm.checkpoint()
    }

    /// The content of an EF below this application's ADF, or below the MF where `path` starts with `3F00`.
    ///
    /// An application reads its own files without asking the access rules.
    pub fn file(&self, path: &[FileId]) -> Option<&[u8]> {
        let number = self.find_file(path)?;
        let body = self.kernel.tree.body(number);
        self.nvm.get(Key::new(Partition::Content, self.kernel.tree_domain.0, u32::from(body.0)))
    }

    /// The structure of an EF, found like [`file`](Self::file).
    pub fn file_structure(&self, path: &[FileId]) -> Option<Structure> {
        let number = self.find_file(path)?;
        match self.kernel.tree.get(self.kernel.tree.body(number))?.kind {
            FileKind::Ef(structure) => Some(structure),
            _ => None,
        }
    }

    /// Writes into an EF, found like [`file`](Self::file), from an offset on: of a file of records, into all of them one after
    /// another. Access rules that stand in it take effect with it.
    ///
    /// An application writes its own files without asking the access rules.
    ///
    /// # Errors
    ///
    /// `6A82` if there is no such file, `6981` if it holds BER-TLV objects, `6B00` if the bytes do not fit into it.
    pub fn write_file(&mut self, path: &[FileId], offset: usize, bytes: &[u8]) -> Result<(), StatusWord> {
        let number = self.find_file(path).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let kernel = &mut *self.kernel;
        let body = kernel.tree.body(number);
        if !matches!(
            kernel.tree.get(body).map(|file| file.kind),
            Some(FileKind::Ef(
                Structure::Transparent { .. } | Structure::LinearFixed { .. } | Structure::Cyclic { .. }
            ))
        ) {
            return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE);
        }
        let domain = kernel.tree_domain;
        let mut content = content_of(&self.nvm, domain, body);
        let end = offset.checked_add(bytes.len()).ok_or(StatusWord::WRONG_OFFSET)?;
        content.get_mut(offset..end).ok_or(StatusWord::WRONG_OFFSET)?.copy_from_slice(bytes);
        self.nvm.insert(Key::new(Partition::Content, domain.0, u32::from(body.0)), content);
        kernel.tree_ahead = true;
        let nvm = &self.nvm;
        kernel.tree.content_changed(number, |number| content_of(nvm, domain, number));
        Ok(())
    }

    /// A session on the files of this application's domain with this authority, within the command's transaction: its own
    /// ADF is current at first, without one the MF. `None` while another domain is active.
    ///
    /// Its current file is beside those of the channels, but what a channel has current and is not shareable is out of
    /// reach, unless this application is selected there. Where one of its commands is refused, the ones before stay.
    pub fn files(&mut self, authority: Authority) -> Option<FileSession<'_, 'n>> {
        let kernel = &mut *self.kernel;
        if self.application.domain != kernel.tree_domain {
            return None;
        }
        let df = self.record.adf.unwrap_or(FileNumber::MF);
        let mut channel = Box::<Channel>::default();
        channel.select(Route::of(df).into());
        Some(FileSession {
            nvm: &mut self.nvm,
            tree: &mut kernel.tree,
            domain: kernel.tree_domain,
            channels: &kernel.channels,
            seat: Seat::Own {
                application: self.application,
                channel,
                tree_ahead: &mut kernel.tree_ahead,
                changes: &mut kernel.changes,
            },
            authority,
            verified: &kernel.verified,
            adf: self.record.adf,
            memory: self.profile.non_volatile_memory,
            header: [0; 4],
            habits: self.profile.dialect.habits,
            as_sim: false,
            effects: Effects::default(),
            refusal_ends_transfer: false,
            direct: false,
        })
    }

    fn find_file(&self, path: &[FileId]) -> Option<FileNumber> {
        if self.application.domain != self.kernel.tree_domain {
            return None;
        }
        let (start, path) = match path.split_first() {
            Some((&FileId::MF, rest)) => (FileNumber::MF, rest),
            _ => (self.record.adf?, path),
        };
        path.iter().try_fold(start, |df, fid| self.kernel.tree.child(df, *fid))
    }

    /// Whether a key is verified (or its PIN disabled) from the point of view of this application's ADF.
    pub fn key_satisfied(&self, reference: KeyReference) -> bool {
        let df = self.record.adf.unwrap_or(FileNumber::MF);
        let pins = Pins { nvm: &self.nvm, tree: &self.kernel.tree, domain: self.kernel.tree_domain };
        pins.satisfied(&self.kernel.verified, &Route::of(df), reference)
    }

    /// Whether the access rules of this application's ADF let the terminal give a command that they name by its header, as
    /// they may AUTHENTICATE; `None` if they do not name it. ISO/IEC 7816-4 §5.4.3.2.
    pub fn allows(&self, command: &Command<'_>) -> Option<bool> {
        let adf = self.record.adf?;
        let kernel = &*self.kernel;
        let pins = Pins { nvm: &self.nvm, tree: &kernel.tree, domain: kernel.tree_domain };
        let route = Route::of(adf);
        let rules = kernel.tree.rules_in(adf, || pins.security_environment(&route));
        let header = [command.class.to_byte(), command.ins.0, command.p1, command.p2];
        let condition = rules.for_command(header)?;
        Some(condition.holds(&|reference| pins.satisfied(&kernel.verified, &route, reference)))
    }

    /// The key references whose status the FCP of this application's ADF shows.
    pub fn pin_status(&self) -> &[u8] {
        let adf = self.record.adf.and_then(|adf| self.kernel.tree.get(adf));
        adf.map_or(&[], |adf| &adf.pin_status)
    }

    /// Whether the terminal fetches proactive commands: it sent TERMINAL PROFILE, and the active domain has not changed
    /// since.
    pub const fn toolkit_available(&self) -> bool {
        self.kernel.toolkit.profile().is_some()
    }

    /// Whether the terminal carries out a proactive command like this one, as TERMINAL PROFILE says bit by bit.
    pub fn toolkit_supports(&self, command: &ProactiveCommand) -> bool {
        self.kernel.toolkit.profile().is_some_and(|profile| profile.supports(command))
    }

    /// What TERMINAL PROFILE announced.
    pub fn terminal_profile(&self) -> Option<&[u8]> {
        self.kernel.toolkit.profile().map(crate::cat::TerminalProfile::as_bytes)
    }

    /// What TERMINAL CAPABILITY announced: the value of template `A9`. TS 102 221 §11.1.19.
    pub fn terminal_capability(&self) -> Option<&[u8]> {
        self.kernel.terminal_capability.as_deref()
    }

    /// Whether a proactive session is under way.
    pub fn toolkit_busy(&self) -> bool {
        self.kernel.toolkit.is_busy()
    }

    /// Queues a proactive command. Its answer comes to [`Application::terminal_response`]; with a change of the active
    /// domain, a reset, or the end of the application, it is forgotten.
    pub fn proactive(&mut self, command: ProactiveCommand) -> Result<(), NotQueued> {
        self.kernel.before_change();
        self.kernel.toolkit.push(self.application, command)
    }

    /// [`proactive`](Self::proactive), whatever the terminal announced: a card in the field may do that.
    pub fn proactive_unannounced(&mut self, command: ProactiveCommand) -> Result<(), NotQueued> {
        self.kernel.before_change();
        self.kernel.toolkit.push_unannounced(self.application, command)
    }

    /// Says what envelopes the application wants, in the place of what it said before. It lasts as long as the
    /// application is loaded; [`Application::start`] is where it belongs.
    pub fn register(&mut self, registration: Registration) -> Result<Registered, Conflict> {
        self.kernel.before_change();
        self.kernel.registrations.set(self.application, registration)
    }

    /// The applications of its own domain, one by one, for an application with the privilege to manage them.
    pub fn registry(&mut self) -> Option<Registry<'_, 'n>> {
        self.record.privileges.may_manage_applications().then_some(Registry {
            nvm: &mut self.nvm,
            kernel: self.kernel,
            profile: self.profile,
            domain: self.application.domain,
            own: self.record,
        })
    }

    /// What is left of the card's memory, and how many applications there are.
    pub fn memory(&self) -> Memory {
        let every = Key::new(Partition::Application, 0, 0)..=Key::new(Partition::Application, u16::MAX, u32::MAX);
        Memory {
            free_non_volatile: self.profile.non_volatile_memory.saturating_sub(self.nvm.used()),
            free_volatile: self.profile.volatile_memory,
            applications: self.nvm.keys(every).len(),
        }
    }

    /// What the applications of the domain share, if it is an `R`, and the context to use with it.
    pub fn with_runtime<R: Runtime, T>(&mut self, code: impl FnOnce(&mut R, &mut Self) -> T) -> Option<T> {
        let lent = self.runtime.take()?;
        let any: &mut dyn Any = &mut *lent;
        let value = any.downcast_mut().map(|runtime| code(runtime, self));
        self.runtime = Some(lent);
        value
    }

    /// The code of a load file of this application's domain.
    pub fn code(&self, load_file: &Aid) -> Option<&[u8]> {
        let domain = self.application.domain;
        let (number, _) =
            registry::load_files(&self.nvm, domain).into_iter().find(|(_, LoadFile { aid, .. })| aid == load_file)?;
        self.nvm.get(Key::new(Partition::LoadFile, domain.0, u32::from(number)))
    }

    /// One value of the heap that the applications of the domain share.
    pub fn heap(&self, index: u32) -> Option<&[u8]> {
        self.nvm.get(self.heap_key(index))
    }

    /// Writes one value of the heap.
    pub fn put_heap(&mut self, index: u32, value: impl Into<Vec<u8>>) {
        self.nvm.insert(self.heap_key(index), value);
    }

    /// Removes one value of the heap.
    pub fn remove_heap(&mut self, index: u32) {
        self.nvm.remove(self.heap_key(index));
    }

    const fn heap_key(&self, index: u32) -> Key {
        Key::new(Partition::Heap, self.application.domain.0, index)
    }

    /// The card's domains, for an application of the platform with the privilege to manage them.
    pub fn platform(&mut self) -> Option<Platform<'_, 'n>> {
        let allowed = self.application.domain == DomainId::PLATFORM && self.record.privileges.may_manage_domains();
        allowed.then_some(Platform { nvm: &mut self.nvm, kernel: self.kernel, profile: self.profile })
    }

    fn data_key(&self, item: u16) -> Key {
        let index = data_index(self.application.number, item);
        Key::new(Partition::ApplicationData, self.application.domain.0, index)
    }
}

/// Installing, activating and deleting domains. All of it is part of the command's transaction; a change of the
/// active domain takes effect when that is committed, before the answer leaves the card.
pub struct Platform<'a, 'n> {
    nvm: &'a mut Transaction<'n>,
    kernel: &'a mut Kernel,
    profile: &'a CardProfile,
}

impl Platform<'_, '_> {
    /// The domain that is active on the first port.
    pub fn active(&self) -> Option<DomainId> {
        domain::active(self.nvm, Port::FIRST)
    }

    /// Which domain is active on which port.
    pub fn ports(&self) -> BTreeMap<Port, DomainId> {
        domain::ports(self.nvm)
    }

    /// Makes another domain active on the first port, or none. Channels with an application of the outgoing domain are
    /// closed (the basic one falls back to the MF), PIN states and the proactive session end. Without a REFRESH, queued
    /// now or just carried out, no proactive command comes before the next TERMINAL PROFILE. SGP.22 §5.7.16.
    pub fn activate(&mut self, domain: Option<DomainId>) {
        if self.active() != domain {
            domain::set_active(self.nvm, Port::FIRST, domain);
            // Before the tree is switched, so that a REFRESH queued for this very change outlives it.
            self.kernel.before_change();
            self.kernel.toolkit.end_session();
            self.kernel.reload = true;
        }
    }

    /// [`activate`](Self::activate) on any port.
    ///
    /// # Errors
    /// The card has no such port.
    pub fn activate_on(&mut self, port: Port, domain: Option<DomainId>) -> Result<(), NoSuchPort> {
        if port != Port::FIRST {
            return Err(NoSuchPort);
        }
        self.activate(domain);
        Ok(())
    }

    /// Writes a staged domain. It is not active yet.
    pub fn install(&mut self, image: DomainImage) -> Result<DomainId, OutOfMemory> {
        if image.size() > self.memory().free_non_volatile {
            return Err(OutOfMemory);
        }
        let domain = domain::allocate(self.nvm);
        image.write(domain, self.nvm);
        Ok(domain)
    }

    /// Erases a domain. If it was active, none is afterwards.
    pub fn delete(&mut self, domain: DomainId) {
        if self.active() == Some(domain) {
            self.activate(None);
        }
        domain::erase(self.nvm, domain);
    }

    /// What is left of the card's memory.
    pub fn memory(&self) -> Memory {
        Memory {
            free_non_volatile: self.profile.non_volatile_memory.saturating_sub(self.nvm.used()),
            free_volatile: self.profile.volatile_memory,
            applications: self
                .nvm
                .keys(Key::new(Partition::Application, 0, 0)..=Key::new(Partition::Application, u16::MAX, u32::MAX))
                .len(),
        }
    }

    /// The applications of a domain.
    pub fn applications(&self, domain: DomainId) -> Vec<ApplicationRecord> {
        domain::load_applications(self.nvm, domain).into_iter().map(|(_, record)| record).collect()
    }
}

/// The card has no port of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchPort;
