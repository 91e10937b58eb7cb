//! The machine: from a command's bytes to the response's.

use crate::Entropy;
use crate::application::{Application, Context, Factory};
use crate::card_profile::CardProfile;
use crate::channel::Channel;
use crate::dialect::Habits;
use crate::domain::{self, ApplicationRecord, DomainImage, Port};
use crate::fault::FaultyNvm;
use crate::fs::{Authority, Effects, FileSession, Handler, Seat, content_of};
use crate::id::{ApplicationId, ApplicationKind, DomainId};
use crate::kernel::{Change, Kernel, TakenFor};
use crate::nvm::{Key, Nvm, NvmError, Partition, Transaction};
use crate::runtime::{Runtime, RuntimeFactory};
use crate::suspension::Suspension;
use apdu::{Announced, Command, Icc, Ins, Response, SecureMessaging, StatusWord};
use std::collections::BTreeMap;

/// An emulated card: operating system, memory and applications.
pub struct Card {
    pub(crate) profile: CardProfile,
    /// What its answer to reset announces.
    pub(crate) announced: Announced,
    pub(crate) nvm: FaultyNvm,
    entropy: Box<dyn Entropy>,
    factory: Factory,
    pub(crate) kernel: Kernel,
    pub(crate) slots: Vec<Slot>,
    runtime_factory: RuntimeFactory,
    runtimes: BTreeMap<DomainId, Box<dyn Runtime>>,
    powered: bool,
    pub(crate) suspension: Option<Box<Suspension>>,
}

/// What a card loses with the power, unless it is suspended.
pub(crate) struct Held {
    pub(crate) kernel: Kernel,
    slots: Vec<Slot>,
    runtimes: BTreeMap<DomainId, Box<dyn Runtime>>,
}

/// An application of the platform or of the active domain.
pub(crate) struct Slot {
    pub(crate) id: ApplicationId,
    pub(crate) record: ApplicationRecord,
    application: Option<Box<dyn Application>>,
}

impl Slot {
    /// Whether its application takes a command where it is selected.
    pub(crate) fn claims(&self, command: &Command<'_>) -> bool {
        self.application.as_ref().is_some_and(|application| application.claims(command))
    }

    /// Whether its application takes a command though it is not selected.
    pub(crate) fn claims_unselected(&self, command: &Command<'_>) -> bool {
        self.application.as_ref().is_some_and(|application| application.claims_unselected(command))
    }
}

impl Card {
    /// A card without power, on a memory that [`format`](Self::format) prepared.
    pub fn new(
        profile: CardProfile,
        nvm: Box<dyn Nvm>,
        entropy: Box<dyn Entropy>,
        factory: impl Fn(ApplicationKind) -> Option<Box<dyn Application>> + Send + 'static,
    ) -> Self {
        Self {
            announced: Announced::of(&profile.atr),
            profile,
            nvm: FaultyNvm::new(nvm),
            entropy,
            factory: Box::new(factory),
            kernel: Kernel::new(),
            slots: Vec::new(),
            runtime_factory: |_| None,
            runtimes: BTreeMap::new(),
            powered: false,
            suspension: None,
        }
    }

    /// The card with something that the applications of a domain share.
    #[must_use]
    pub fn with_runtimes(self, runtime_factory: RuntimeFactory) -> Self {
        Self { runtime_factory, ..self }
    }

    /// Writes an empty memory: the platform, and domains that are there from the start, numbered from 1 in their
    /// order. `active` is one of these numbers.
    pub fn format(
        nvm: &mut dyn Nvm,
        platform: DomainImage,
        domains: Vec<DomainImage>,
        active: Option<DomainId>,
    ) -> Result<(), NvmError> {
        let mut transaction = Transaction::new(nvm);
        platform.write(DomainId::PLATFORM, &mut transaction);
        for image in domains {
            let domain = domain::allocate(&mut transaction);
            image.write(domain, &mut transaction);
        }
        domain::set_active(&mut transaction, Port::FIRST, active);
        transaction.commit()
    }

    /// Carries out one command APDU and returns the response APDU. The only way in.
    pub fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        let mut response = Vec::new();
        self.transmit_into(command, &mut response);
        response
    }

    /// [`transmit`](Self::transmit) into the caller's buffer, which is appended to.
    ///
    /// A card with [faults](crate::fault) may append nothing: it is silent.
    pub fn transmit_into(&mut self, command: &[u8], out: &mut Vec<u8>) {
        if self.is_undisturbed() {
            self.carry_out(command, out);
        } else {
            self.carry_out_disturbed(command, out);
        }
    }

    /// Carries a command out as this operating system does, whatever the dialect.
    pub(crate) fn carry_out_plainly(&mut self, command: &[u8], out: &mut Vec<u8>) {
        let outcome = match Command::parse(command) {
            Ok(command) => self.dispatch(&command),
            Err(reason) => Err(StatusWord::from(reason)),
        };
        let sw = match outcome {
            Ok(Response { data, sw }) => {
                out.extend_from_slice(&data);
                sw
            }
            Err(refusal) => refusal,
        };
        out.extend_from_slice(&sw.0.to_be_bytes());
    }

    /// Applies power: everything volatile is rebuilt from memory. Returns the answer to reset.
    ///
    /// A cold and a warm reset are the same to the operating system.
    pub fn reset(&mut self) -> Vec<u8> {
        self.nvm.restart();
        self.put_down();
        self.powered = true;
        self.load_applications(DomainId::PLATFORM);
        self.load_active();
        self.profile.atr.clone()
    }

    /// Takes the power away.
    pub fn power_off(&mut self) {
        self.powered = false;
        self.put_down();
    }

    /// Forgets everything volatile; a suspended card keeps it for the one who has the token.
    fn put_down(&mut self) {
        let kernel = core::mem::replace(&mut self.kernel, Kernel::new());
        let (slots, runtimes) = (core::mem::take(&mut self.slots), core::mem::take(&mut self.runtimes));
        if kernel.suspended
            && let Some(suspension) = &mut self.suspension
        {
            suspension.held = Some(Held { kernel, slots, runtimes });
        }
    }

    /// Goes on with what was [put down](Self::put_down).
    pub(crate) fn take_up(&mut self, held: Held) {
        (self.kernel, self.slots, self.runtimes) = (held.kernel, held.slots, held.runtimes);
    }

    /// Random bytes.
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        self.entropy.fill(out);
    }

    /// What the card was made with.
    pub const fn profile(&self) -> &CardProfile {
        &self.profile
    }

    /// The memory, to look at.
    pub fn nvm(&self) -> &dyn Nvm {
        self.nvm.inner()
    }

    /// Takes the card apart; what remains is its memory.
    pub fn into_nvm(self) -> Box<dyn Nvm> {
        self.nvm.into_inner()
    }

    fn dispatch(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if !self.powered {
            return Err(StatusWord::TECHNICAL_PROBLEM);
        }
        if self.suspension.is_some()
            && let Some(outcome) = self.while_suspended(command)
        {
            return outcome;
        }
        if self.kernel.tree.is_terminated() && !self.is_left_after_termination(command) {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let class = command.class;
        if class.is_gsm() {
            return if self.profile.gsm { self.gsm(command) } else { Err(StatusWord::CLA_NOT_SUPPORTED) };
        }
        let number = class.channel();
        self.kernel.channel(number)?;
        if command.extended && !self.announced.extended {
            return Err(StatusWord::WRONG_LENGTH);
        }
        if class.is_chained() && !self.selected_claims_chaining(command) {
            return if self.joins(command) {
                self.keep(command)
            } else {
                Err(StatusWord::COMMAND_CHAINING_NOT_SUPPORTED)
            };
        }
        if let Some(data) = self.join(command)? {
            return self.answer(&Command { data: &data, ..*command });
        }
        if command.ins == Ins::GET_RESPONSE { self.get_response(command) } else { self.answer(command) }
    }

    /// Carries a command out, and makes what it says a response. What waited for GET RESPONSE is forgotten, unless the command
    /// is answered `6CXX`.
    pub(crate) fn answer(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let number = command.class.channel();
        let waiting = self.kernel.channel_mut(number).ok().and_then(|channel| channel.response.take());
        let mut outcome = self.execute(command);
        if let Ok(response) = &mut outcome
            && let Err(refusal) = self.finish(command, response)
        {
            outcome = Err(refusal);
        }
        if waiting.is_some()
            && outcome.as_ref().is_err_and(|refusal| is_wrong_length(*refusal))
            && let Ok(channel) = self.kernel.channel_mut(number)
        {
            channel.response = waiting;
        }
        outcome
    }

    /// Whether the application selected on the channel joins the chain that this command is part of.
    fn selected_claims_chaining(&self, command: &Command<'_>) -> bool {
        let channel = self.kernel.channel(command.class.channel());
        let selected = channel.ok().and_then(|channel| self.slot(channel.application?));
        let application = selected.and_then(|slot| slot.application.as_deref());
        application.is_some_and(|application| application.claims_chaining(command) && application.claims(command))
    }

    fn execute(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let number = command.class.channel();
        let Some(selected) = self.kernel.channel(number)?.application else { return self.operating_system(command) };
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == selected)
            && let Some(application) = &mut slot.application
        {
            let is_reserved = matches!(
                command.ins,
                Ins::SELECT | Ins::MANAGE_CHANNEL | Ins::TERMINAL_PROFILE | Ins::FETCH | Ins::TERMINAL_RESPONSE
            );
            if !is_reserved && application.claims(command) {
                let (id, direct) = (slot.id, self.is_direct(command));
                return self.run(id, number, |application, cx| {
                    let mut outcome = application.process(command, cx);
                    refuse_wrong_length(command, &mut outcome, direct);
                    outcome
                });
            }
        }
        let outcome = self.operating_system(command);
        // A command answered 6CXX is none, so that it interrupts nothing.
        if !outcome.as_ref().is_err_and(|refusal| is_wrong_length(*refusal))
            && let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == selected)
            && let Some(application) = &mut slot.application
        {
            application.interrupted(number);
        }
        outcome
    }

    /// What no application claims.
    fn operating_system(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.class.secure_messaging() != SecureMessaging::None {
            return Err(StatusWord::SECURE_MESSAGING_NOT_SUPPORTED);
        }
        match Self::command(command.class.is_proprietary(), command.ins) {
            Some(carry_out) => carry_out(self, command),
            None => self.file_command(command),
        }
    }

    /// The table of commands that are not for the files alone: class, instruction, and the method that carries it out.
    /// The others are in that of [`FileSession`]. TS 102 221 §10.1.2.
    const fn command(proprietary: bool, ins: Ins) -> Option<Handler<Self>> {
        Some(match (proprietary, ins) {
            (false, Ins::SELECT) => Self::select,
            (false, Ins::MANAGE_CHANNEL) => Self::manage_channel,
            (false, Ins::GET_CHALLENGE) => Self::get_challenge,
            (true, Ins::SUSPEND_UICC) => Self::suspend,
            (true, Ins::EXCHANGE_CAPABILITIES) => Self::exchange_capabilities,
            (true, Ins::STATUS) => Self::status,
            (true, Ins::TERMINAL_CAPABILITY) => Self::terminal_capability,
            (true, Ins::TERMINAL_PROFILE) => Self::terminal_profile,
            (true, Ins::FETCH) => Self::fetch,
            (true, Ins::TERMINAL_RESPONSE) => Self::terminal_response,
            (true, Ins::ENVELOPE) => Self::envelope,
            _ => return None,
        })
    }

    /// File and PIN commands, in one transaction.
    pub(crate) fn file_command(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let direct = self.is_direct(command);
        self.on_files(command.class.channel(), |files| {
            files.direct = direct;
            let mut outcome = files.execute(command, unknown);
            refuse_wrong_length(command, &mut outcome, direct);
            outcome
        })
    }

    /// Runs code on the files as a channel sees them, in a transaction: committed on `Ok`, and then the rest takes effect;
    /// on `Err`, and where memory does not take the writes, nothing has happened.
    pub(crate) fn on_files<T>(
        &mut self,
        number: u8,
        code: impl FnOnce(&mut FileSession<'_, '_>) -> Result<T, StatusWord>,
    ) -> Result<T, StatusWord> {
        let selected = self.kernel.channel(number).ok().and_then(|channel| channel.application);
        let adf = selected.and_then(|application| self.adf_of(application));
        let memory = self.profile.non_volatile_memory;
        let domain = self.kernel.tree_domain;
        let kernel = &mut self.kernel;
        let mut nvm = Transaction::new(&mut self.nvm);
        let mut session = FileSession {
            nvm: &mut nvm,
            tree: &mut kernel.tree,
            domain,
            channels: &kernel.channels,
            seat: Seat::Channel(number),
            authority: Authority::Terminal,
            verified: &kernel.verified,
            adf,
            memory,
            header: [0; 4],
            habits: self.profile.dialect.habits,
            as_sim: kernel.taken_for == TakenFor::Sim,
            effects: Effects::default(),
            refusal_ends_transfer: false,
            direct: false,
        };
        let mut outcome = code(&mut session);
        let FileSession { effects, refusal_ends_transfer, .. } = session;
        if outcome.is_err() {
            if let Ok(channel) = self.kernel.channel_mut(number)
                && refusal_ends_transfer
            {
                channel.drop_incoming();
            }
        } else if let Err(NvmError) = nvm.commit() {
            outcome = Err(StatusWord::MEMORY_PROBLEM);
        } else {
            let application = effects.application;
            let nvm = Transaction::new(&mut self.nvm);
            self.kernel.take_effect(number, effects, |file| content_of(&nvm, domain, file));
            self.follow(application.as_slice());
        }
        outcome
    }

    /// Runs an application's code in a transaction: committed on `Ok`, dropped on `Err`. Where nothing was committed the
    /// application puts back what it has changed in its fields.
    pub(crate) fn run<T>(
        &mut self,
        id: ApplicationId,
        channel: u8,
        code: impl FnOnce(&mut dyn Application, &mut Context<'_, '_>) -> Result<T, StatusWord>,
    ) -> Result<T, StatusWord> {
        let slot = self.slots.iter_mut().find(|slot| slot.id == id).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let Some(application) = &mut slot.application else { return Err(StatusWord::CONDITIONS_NOT_SATISFIED) };
        let mut cx = Context {
            nvm: Transaction::new(&mut self.nvm),
            kernel: &mut self.kernel,
            entropy: &mut *self.entropy,
            profile: &self.profile,
            application: id,
            record: &slot.record,
            channel,
            runtime: self.runtimes.get_mut(&id.domain).map(|runtime| &mut **runtime),
        };
        let outcome = code(&mut **application, &mut cx);
        let value = match outcome {
            Ok(value) => cx.nvm.commit().map(|()| value).map_err(|NvmError| StatusWord::MEMORY_PROBLEM),
            Err(refusal) => Err(refusal),
        };
        match value {
            Ok(_) => application.committed(),
            Err(_) => application.undone(channel),
        }
        let before = self.kernel.before.take();
        let changes = core::mem::take(&mut self.kernel.changes);
        let reload = core::mem::take(&mut self.kernel.reload);
        if core::mem::take(&mut self.kernel.tree_ahead) {
            if value.is_err() {
                // The access rules and life cycles that the files have only in working memory go away with the writes.
                self.kernel.tree = domain::load_tree(&Transaction::new(&mut self.nvm), self.kernel.tree_domain);
            } else {
                self.kernel.channels.leave_what_is_gone(&self.kernel.tree);
            }
        }
        if value.is_ok() {
            if reload {
                self.kernel.toolkit.domain_changed();
                self.load_active();
            }
            self.follow(&changes);
        } else {
            // So does a proactive command, and what was registered.
            if let Some(before) = before {
                (self.kernel.toolkit, self.kernel.registrations) = *before;
            }
            if let Some(runtime) = self.runtimes.get_mut(&id.domain) {
                runtime.rolled_back();
            }
        }
        value
    }

    /// Follows the registry: applications that came are started, those that went are forgotten, the others stay as they
    /// are.
    fn follow(&mut self, changes: &[(ApplicationId, Change)]) {
        for (id, change) in changes {
            let key = Key::new(Partition::Application, id.domain.0, u32::from(id.number));
            let record = self.nvm.get(key).and_then(ApplicationRecord::from_bytes).map(|(record, _)| record);
            let known = self.slots.iter().position(|slot| slot.id == *id);
            match (record, known, change) {
                (Some(record), None, Change::Added) if self.is_loaded(id.domain) => {
                    let application = (self.factory)(record.kind);
                    self.slots.push(Slot { id: *id, record, application });
                    self.start(*id);
                }
                (Some(record), Some(at), Change::Updated) => {
                    if let Some(slot) = self.slots.get_mut(at) {
                        slot.record = record;
                    }
                }
                (None, Some(at), _) => {
                    self.slots.remove(at);
                    self.kernel.toolkit.forget(*id);
                    self.kernel.registrations.forget(*id);
                }
                _ => {}
            }
        }
    }

    fn is_loaded(&self, domain: DomainId) -> bool {
        domain == DomainId::PLATFORM || domain == self.kernel.tree_domain
    }

    /// Builds and starts the applications of a domain.
    fn load_applications(&mut self, domain: DomainId) {
        if let Some(runtime) = (self.runtime_factory)(domain) {
            self.runtimes.insert(domain, runtime);
        }
        let records = domain::load_applications(&Transaction::new(&mut self.nvm), domain);
        let ids: Vec<ApplicationId> = records.iter().map(|(id, _)| *id).collect();
        for (id, record) in records {
            let application = (self.factory)(record.kind);
            self.slots.push(Slot { id, record, application });
        }
        for id in ids {
            self.start(id);
        }
    }

    /// Starts an application. One that cannot start answers nothing; the others, and the files, work without it. Where only
    /// memory did not take its writes, they come with the next start, and until then it is as it was.
    fn start(&mut self, id: ApplicationId) {
        if self
            .run(id, 0, |application, cx| application.start(cx))
            .is_err_and(|refusal| refusal != StatusWord::MEMORY_PROBLEM)
            && let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id)
        {
            slot.application = None;
        }
    }

    /// Loads the active domain's files and applications; without one, the platform's files.
    fn load_active(&mut self) {
        let (active, tree) = {
            let nvm = Transaction::new(&mut self.nvm);
            let active = domain::active(&nvm, Port::FIRST);
            (active, domain::load_tree(&nvm, active.unwrap_or(DomainId::PLATFORM)))
        };
        self.slots.retain(|slot| slot.id.domain == DomainId::PLATFORM);
        self.kernel.registrations.retain(|id| id.domain == DomainId::PLATFORM);
        self.runtimes.retain(|domain, _| *domain == DomainId::PLATFORM);
        self.kernel.switch_tree(tree, active.unwrap_or(DomainId::PLATFORM));
        if let Some(domain) = active {
            self.load_applications(domain);
        }
    }

    /// Whether applications of a kind have code, and not files only.
    pub(crate) fn has_commands(&self, kind: ApplicationKind) -> bool {
        (self.factory)(kind).is_some()
    }

    pub(crate) fn slot(&self, id: ApplicationId) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.id == id)
    }

    /// An application's session has ended on a channel.
    pub(crate) fn session_ended(&mut self, channel: u8, id: ApplicationId) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) {
            if let Some(application) = &mut slot.application {
                application.deselect(channel);
            }
            if let Some(adf) = slot.record.adf
                && !self.kernel.is_selected(id)
            {
                self.kernel.verified.end_session(&self.kernel.tree, adf);
            }
        }
    }

    /// MANAGE CHANNEL. TS 102 221 §11.1.17.
    fn manage_channel(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        const OPEN: u8 = 0x00;
        const CLOSE: u8 = 0x80;
        let origin = command.class.channel();
        match (command.p1, command.p2) {
            (OPEN | CLOSE, 0..=19) if !command.data.is_empty() => Err(StatusWord::WRONG_LENGTH),
            (OPEN, asked @ 0..=19) => {
                if self.profile.channels <= 1 {
                    return Err(StatusWord::LOGICAL_CHANNEL_NOT_SUPPORTED);
                }
                let channel = match origin {
                    0 => Channel::default(),
                    _ => self.kernel.channel(origin)?.opened_from(),
                };
                let number = match asked {
                    0 => {
                        let free = self.kernel.free_channel().filter(|free| *free < self.profile.channels);
                        free.ok_or(StatusWord::FUNCTION_NOT_SUPPORTED)?
                    }
                    beyond if beyond >= self.profile.channels => {
                        return Err(StatusWord::LOGICAL_CHANNEL_NOT_SUPPORTED);
                    }
                    taken if self.kernel.is_open(taken) => return Err(StatusWord::LOGICAL_CHANNEL_NOT_SUPPORTED),
                    free => free,
                };
                if asked == 0 && command.ne > 1 && !(self.is_direct(command) && command.wants_all()) {
                    return Err(StatusWord::exact_length(1));
                }
                // The directory that it inherits would be current twice.
                self.kernel.channels.admit(&self.kernel.tree, |_, _| false, &channel.route.clone().into())?;
                self.kernel.open(number, channel);
                Ok(if asked == 0 { Response::ok([number]) } else { Response::done() })
            }
            (CLOSE, number @ 1..=19) => {
                let closed = self.kernel.close(number).ok_or(StatusWord::LOGICAL_CHANNEL_NOT_SUPPORTED)?;
                if let Some(application) = closed.application {
                    self.session_ended(number, application);
                }
                Ok(Response::done())
            }
            _ => Err(StatusWord::WRONG_P1_P2),
        }
    }

    /// GET CHALLENGE. TS 102 221 §11.1.18.
    fn get_challenge(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if !command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let mut challenge = vec![0; if command.ne == 0 { 8 } else { command.ne }];
        self.entropy.fill(&mut challenge);
        Ok(Response::ok(challenge))
    }

    /// GET RESPONSE, under either class. TS 102 221 §11.3.
    pub(crate) fn get_response(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if !command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let direct = self.is_direct(command);
        let channel = self.kernel.channel_mut(command.class.channel())?;
        let Response { mut data, sw } = channel.response.take().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
        let is_whole = self.profile.dialect.habits.contains(Habits::RESPONSE_IS_WHOLE) && command.ne < data.len()
            || direct && command.ne == 256;
        let wanted = if command.ne == 0 || is_whole { data.len().min(256) } else { command.ne };
        if wanted > data.len() {
            let exact = StatusWord::exact_length(data.len());
            channel.response = Some(Response { data, sw });
            return Err(exact);
        }
        let rest = data.split_off(wanted);
        if rest.is_empty() {
            return Ok(Response { data, sw });
        }
        let sw_more = StatusWord::bytes_available(rest.len());
        channel.response = Some(Response { data: rest, sw });
        Ok(Response { data, sw: sw_more })
    }

    /// Whether a response comes with its command, however short of Le: in T=1, and where Le is extended. In T=0 Le counts exactly.
    pub(crate) fn is_direct(&self, command: &Command<'_>) -> bool {
        command.extended || self.announced.protocol == Announced::T1
    }

    /// Fits a response to the transport: `91XX` where a proactive command waits, `61XX` or a warning where data has to be
    /// fetched, `6CXX` where Le is not what there is. TS 102 221 §7.3.1.1.
    fn finish(&mut self, command: &Command<'_>, response: &mut Response) -> Result<(), StatusWord> {
        if response.sw == StatusWord::OK
            && let Some(length) = self.kernel.toolkit.pending()
        {
            response.sw = StatusWord::proactive(length);
        }
        let available = response.data.len();
        if self.announced.protocol == Announced::T1 && command.ne == 0 {
            // Without Le nothing is wanted.
            response.data.clear();
            return Ok(());
        }
        let direct = self.is_direct(command);
        let fits = available < command.ne && (!command.data.is_empty() || direct && command.wants_all());
        if available == 0 || available == command.ne || fits {
            return Ok(());
        }
        if let Some(refusal) = wrong_length(command, response, direct) {
            return Err(refusal);
        }
        // Without Le, T=0: a warning comes first, and the terminal looks for data behind it. Only `62F1` and `62F2` are
        // about the data themselves and come with them. TS 102 221 §7.3.1.1.4 b).
        let warned = command.ne == 0 && response.sw.is_warning();
        let more = if warned && !matches!(response.sw, StatusWord::MORE_DATA | StatusWord::MORE_DATA_PROACTIVE) {
            core::mem::replace(&mut response.sw, StatusWord::OK)
        } else {
            StatusWord::bytes_available(available)
        };
        // A channel that its own command closed has nothing to fetch.
        let fetched_later = core::mem::replace(response, more.into());
        self.kernel.channel_mut(command.class.channel())?.response = Some(fetched_later);
        Ok(())
    }
}

impl Icc for Card {
    fn power_on(&mut self) -> Vec<u8> {
        self.reset()
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        self.reset()
    }

    fn power_off(&mut self) {
        Self::power_off(self);
    }

    fn atr(&self) -> Vec<u8> {
        self.profile.atr.clone()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        self.transmit_into(command, response);
    }

    fn delay(&mut self) -> core::time::Duration {
        self.take_delay()
    }
}

/// `6CXX`, where Le stands alone and the answer is of another length; what does not fit into one response is fetched piece by
/// piece. Such a command has not been carried out: nothing may have changed. ISO/IEC 7816-3 §10.3.3, TS 102 221 §7.3.1.1.
pub(crate) fn wrong_length(command: &Command<'_>, response: &Response, direct: bool) -> Option<StatusWord> {
    let available = response.data.len();
    let wrong = command.data.is_empty()
        && !matches!(command.ne, 0)
        && (1..=256).contains(&available)
        && available != command.ne
        && !(direct && available < command.ne && command.wants_all());
    wrong.then(|| StatusWord::exact_length(available))
}

/// Refuses by [`wrong_length`] what was carried out and may still be dropped.
fn refuse_wrong_length(command: &Command<'_>, outcome: &mut Result<Response, StatusWord>, direct: bool) {
    if let Some(refusal) = outcome.as_ref().ok().and_then(|response| wrong_length(command, response, direct)) {
        *outcome = Err(refusal);
    }
}

const fn is_wrong_length(refusal: StatusWord) -> bool {
    refusal.sw1() == StatusWord::exact_length(0).sw1()
}

/// The refusal of an unknown command: wrong class if the instruction exists under the other one, else wrong
/// instruction.
const fn unknown(command: &Command<'_>) -> StatusWord {
    let (other_class, ins) = (!command.class.is_proprietary(), command.ins);
    if Card::command(other_class, ins).is_some() || FileSession::command(other_class, ins).is_some() {
        StatusWord::CLA_NOT_SUPPORTED
    } else {
        StatusWord::INS_NOT_SUPPORTED
    }
}
