//! The access rule application master (ARA-M): who may use the applications of the card. GPD_SPE_013 §4, §5.
//!
//! Phones read the rules with GET DATA; they come with the card, with a profile package, or by STORE DATA.

mod rules;

pub(crate) use rules::of_commands;

use apdu::tlv::{Reader, Tag, Tlv, Writer};
use apdu::{Command, Ins, Response, SecureMessaging, StatusWord};
use card_os::fs::KeyReference;
use card_os::{Application, ApplicationRecord, Context, DomainImage, NewApplication, Privileges};
use saip::access_control::{REF_DO, Reference, Rule};

use crate::kind;
use rules::{Request, Rules};

/// GET DATA, P1 and P2. GPD_SPE_013 table 4-1.
mod data {
    pub(super) const ALL: u16 = 0xFF40;
    pub(super) const SPECIFIC: u16 = 0xFF50;
    pub(super) const NEXT: u16 = 0xFF60;
    pub(super) const REFRESH_TAG: u16 = 0xDF20;
    pub(super) const CONFIGURATION: u16 = 0xDF21;
}

/// Data objects of answers. GPD_SPE_013 §4.2, §5.2.
mod answer {
    use apdu::tlv::Tag;
    pub(super) const ALL: Tag = Tag(0xFF40);
    pub(super) const SPECIFIC: Tag = Tag(0xFF50);
    pub(super) const REFRESH_TAG: Tag = Tag(0xDF20);
    pub(super) const CONFIGURATION: Tag = Tag(0xDF21);
    pub(super) const CLIENTS: Tag = Tag(0xFF70);
    pub(super) const DEVICE_CONFIGURATION: Tag = Tag(0xFF7F);
}

/// Numbers of what it keeps.
mod item {
    /// The rules, `REF-AR-DO` after `REF-AR-DO`.
    pub(super) const RULES: u16 = 1;
    /// Eight octets that change with the rules.
    pub(super) const REFRESH_TAG: u16 = 2;
    /// One octet: whether anybody may write.
    pub(super) const OPEN: u16 = 3;
    /// AIDs of clients.
    pub(super) const CLIENTS: u16 = 4;
    /// What the device said of itself.
    pub(super) const DEVICE: u16 = 5;
}

/// The interface version that it implements, 1.1.0. GPD_SPE_013 table 6-12.
const VERSION: [u8; 3] = [1, 1, 0];
/// What the device says of itself, and the version within.
const DEVICE_CONFIGURATION_DO: Tag = Tag(0xE4);
/// Octets of what a device may say of itself: one short command's.
const LONGEST_CONFIGURATION: usize = 255;
const ARA_M_CONFIGURATION_DO: Tag = Tag(0xE5);
const INTERFACE_VERSION_DO: Tag = Tag(0xE6);

/// Octets of one answer.
const LONGEST_ANSWER: usize = 256;
/// Octets of a request in several blocks.
const LONGEST_REQUEST: usize = 4 * 1024;
/// The whole data of a STORE DATA that closes the application to who has not verified ADM1, and of one that opens it: as
/// sysmocom's cards take it.
const LOCK: [u8; 1] = [0xA1];
const UNLOCK: [u8; 1] = [0xA2];

/// Who may change the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Anybody: as cards to be programmed have it, until a command locks it.
    Open,
    /// Who has verified ADM1.
    Locked,
}

/// The application, to be installed with these rules: `REF-AR-DO` after `REF-AR-DO`, the first one listed first.
pub fn new_application(rules: &[u8], writing: Writing) -> Option<NewApplication> {
    Some(NewApplication {
        record: ApplicationRecord {
            aid: rules::aid()?,
            kind: kind::ARA_M,
            adf: None,
            life_cycle: 0x07,
            privileges: Privileges::NONE,
        },
        parameters: Vec::new(),
        data: vec![(item::RULES, rules.to_vec()), (item::OPEN, vec![u8::from(writing == Writing::Open)])],
    })
}

/// The rules that come with a profile, as they are listed.
pub fn rules_of(image: &DomainImage) -> Vec<Rule> {
    let application = image.applications().iter().find(|known| known.record.kind == kind::ARA_M);
    let kept = application.and_then(|known| known.data.iter().find(|(item, _)| *item == item::RULES));
    kept.and_then(|(_, rules)| Rule::list(rules).ok()).unwrap_or_default()
}

/// The access rule application master.
#[derive(Default)]
pub struct AraM {
    session: Session,
    /// As it was before the command under way.
    before: Option<Session>,
}

/// What lasts until the next command, by channel.
#[derive(Clone, Default)]
struct Session {
    incoming: Option<Incoming>,
    unread: Vec<Unread>,
}

/// A request that has not come to its end.
#[derive(Clone)]
struct Incoming {
    channel: u8,
    next: u8,
    data: Vec<u8>,
}

/// The rest of an answer, and the refresh tag it was read under.
#[derive(Clone)]
struct Unread {
    channel: u8,
    tag: Vec<u8>,
    rest: Vec<u8>,
}

impl Application for AraM {
    fn start(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        if cx.get(item::REFRESH_TAG).is_none() {
            renew_tag(cx);
        }
        Ok(())
    }

    fn claims(&self, command: &Command<'_>) -> bool {
        matches!(command.ins, Ins::GET_DATA | Ins::STORE_DATA)
            && command.class.secure_messaging() == SecureMessaging::None
    }

    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        self.before = Some(self.session.clone());
        if !command.class.is_proprietary() {
            return Err(StatusWord::CLA_NOT_SUPPORTED);
        }
        if command.ins == Ins::GET_DATA { self.get_data(command, cx) } else { self.store_data(command, cx) }
    }

    fn undone(&mut self, _: u8) {
        if let Some(before) = self.before.take() {
            self.session = before;
        }
    }

    fn committed(&mut self) {
        self.before = None;
    }

    fn interrupted(&mut self, channel: u8) {
        self.session.forget(channel);
    }

    fn deselect(&mut self, channel: u8) {
        self.session.forget(channel);
    }
}

impl Session {
    fn forget(&mut self, channel: u8) {
        self.incoming = self.incoming.take().filter(|incoming| incoming.channel != channel);
        self.unread.retain(|unread| unread.channel != channel);
    }
}

impl AraM {
    /// GET DATA, GPD_SPE_013 §4.1.
    fn get_data(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        let channel = cx.channel();
        self.session.incoming = self.session.incoming.take().filter(|incoming| incoming.channel != channel);
        let wants_data = matches!(command.p1_p2(), data::SPECIFIC | data::CONFIGURATION);
        let known = matches!(command.p1_p2(), data::ALL | data::NEXT | data::REFRESH_TAG);
        if !wants_data && !known {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if command.data.is_empty() == wants_data {
            return Err(StatusWord::WRONG_LENGTH);
        }
        if command.p1_p2() == data::NEXT {
            return self.next(command, cx);
        }
        self.session.forget(channel);
        let data = match command.p1_p2() {
            data::ALL => object(answer::ALL, cx.get(item::RULES).unwrap_or_default()),
            data::SPECIFIC => specific(command.data, cx)?,
            data::REFRESH_TAG => object(answer::REFRESH_TAG, cx.get(item::REFRESH_TAG).unwrap_or_default()),
            _ => configuration(command.data, cx)?,
        };
        Ok(self.answer(data, command, cx))
    }

    /// What the last answer left over. GPD_SPE_013 §4.1.
    fn next(&mut self, command: &Command<'_>, cx: &Context<'_, '_>) -> Result<Response, StatusWord> {
        let at = self.session.unread.iter().position(|unread| unread.channel == cx.channel());
        let at = at.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
        let Unread { tag, rest, .. } = self.session.unread.remove(at);
        if cx.get(item::REFRESH_TAG) != Some(&tag) {
            return Err(StatusWord::REFERENCED_DATA_INVALIDATED);
        }
        Ok(self.answer(rest, command, cx))
    }

    /// As much of an answer as fits; the rest is kept.
    fn answer(&mut self, mut data: Vec<u8>, command: &Command<'_>, cx: &Context<'_, '_>) -> Response {
        if data.len() > LONGEST_ANSWER {
            let fitting = if command.ne == 0 { LONGEST_ANSWER } else { command.ne.min(LONGEST_ANSWER) };
            let rest = data.split_off(fitting);
            let tag = cx.get(item::REFRESH_TAG).unwrap_or_default().to_vec();
            self.session.unread.push(Unread { channel: cx.channel(), tag, rest });
        }
        Response::ok(data)
    }

    /// STORE DATA, GPD_SPE_013 §5.1.
    fn store_data(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        let trusted = cx.key_satisfied(KeyReference::ADM1);
        if !has_objects(command.p1) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if !trusted && cx.get(item::OPEN) != Some(&[1]) {
            return Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED);
        }
        if command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let whole = self.joined(command, cx.channel())?;
        let Some(whole) = whole else { return Ok(Response::done()) };
        match <[u8; 1]>::try_from(&*whole) {
            Ok(LOCK) => cx.put(item::OPEN, [0]),
            Ok(UNLOCK) if trusted => cx.put(item::OPEN, [1]),
            Ok(UNLOCK) => return Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED),
            _ => return self.request(&whole, command, cx),
        }
        Ok(Response::done())
    }

    /// The data of all blocks, with the last one. GlobalPlatform §11.11.2.
    fn joined(&mut self, command: &Command<'_>, channel: u8) -> Result<Option<Vec<u8>>, StatusWord> {
        let before = self.session.incoming.take().filter(|incoming| incoming.channel == channel);
        let mut incoming = match (command.p2, before) {
            (0, _) => Incoming { channel, next: 0, data: Vec::new() },
            (number, Some(incoming)) if number == incoming.next => incoming,
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        incoming.data.extend_from_slice(command.data);
        if incoming.data.len() > LONGEST_REQUEST {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        if is_last(command.p1) {
            return Ok(Some(incoming.data));
        }
        incoming.next = incoming.next.checked_add(1).ok_or(StatusWord::NOT_ENOUGH_MEMORY)?;
        self.session.incoming = Some(incoming);
        Ok(None)
    }

    fn request(
        &mut self,
        whole: &[u8],
        command: &Command<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Response, StatusWord> {
        let request = Request::parse(whole)?;
        if matches!(request, Request::GetNext) {
            return self.next(command, cx);
        }
        self.session.unread.retain(|unread| unread.channel != cx.channel());
        let mut rules = Rules::load(cx.get(item::RULES).unwrap_or_default());
        let data = match request {
            Request::Store(rule) => {
                let stored = rules.store(rule)?;
                keep(&rules, cx)?;
                return Ok(stored.into());
            }
            Request::Delete(meant) => {
                rules.delete(&meant)?;
                keep(&rules, cx)?;
                return Ok(Response::done());
            }
            Request::UpdateRefreshTag => {
                renew_tag(cx);
                return Ok(Response::done());
            }
            Request::RegisterClients(clients) => {
                let clients = rules::register(&clients, cx.get(item::CLIENTS).unwrap_or_default());
                put(item::CLIENTS, clients, cx)?;
                return Ok(Response::done());
            }
            Request::Get(target) => {
                object(answer::ALL, &rules.about(&target).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?)
            }
            Request::GetAll | Request::GetNext => object(answer::ALL, &rules.to_bytes()),
            Request::GetClients => object(answer::CLIENTS, cx.get(item::CLIENTS).unwrap_or_default()),
            Request::GetDeviceConfiguration => {
                let device = cx.get(item::DEVICE).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
                object(answer::DEVICE_CONFIGURATION, device)
            }
        };
        Ok(self.answer(data, command, cx))
    }
}

/// Whether P1 of STORE DATA says that plain BER-TLV objects come, with or without an answer. GlobalPlatform table 11-88.
const fn has_objects(p1: u8) -> bool {
    p1 & 0x7E == 0x10
}

const fn is_last(p1: u8) -> bool {
    p1 & 0x80 != 0
}

fn object(tag: Tag, value: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.primitive(tag, value);
    out.into_bytes()
}

/// What the rules say of exactly this reference. GPD_SPE_013 §4.1.2.
fn specific(data: &[u8], cx: &Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
    let asked = Tlv::parse(data).map_err(|_| StatusWord::WRONG_DATA)?;
    if asked.tag != REF_DO {
        return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE);
    }
    let reference = Reference::from_value(asked.value).map_err(|_| StatusWord::WRONG_DATA)?.value;
    let access = Rules::load(cx.get(item::RULES).unwrap_or_default()).access(&reference);
    let access = access.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
    Ok(object(answer::SPECIFIC, &access.to_bytes()))
}

/// The device says which interface it has, and learns this one's.
fn configuration(data: &[u8], cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
    let device = Tlv::parse(data).map_err(|_| StatusWord::WRONG_DATA)?;
    if device.tag != DEVICE_CONFIGURATION_DO {
        return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE);
    }
    // Anybody may say it, so it is no way to fill the card's memory.
    if device.raw.len() > LONGEST_CONFIGURATION {
        return Err(StatusWord::NOT_ENOUGH_MEMORY);
    }
    let mut objects: Reader<'_> = device.children();
    while let Some(object) = objects.next().map_err(|_| StatusWord::WRONG_DATA)? {
        if object.tag == INTERFACE_VERSION_DO && object.value.len() != VERSION.len() {
            return Err(StatusWord::WRONG_DATA);
        }
    }
    if cx.get(item::DEVICE) != Some(device.raw) {
        put(item::DEVICE, device.raw.to_vec(), cx)?;
    }
    let mut out = Writer::new();
    out.constructed(answer::CONFIGURATION, |out| {
        out.constructed(ARA_M_CONFIGURATION_DO, |own| {
            own.primitive(INTERFACE_VERSION_DO, &VERSION);
        });
    });
    Ok(out.into_bytes())
}

/// Keeps the rules, and tells those who have read them that they are others.
fn keep(rules: &Rules, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let rules = rules.to_bytes();
    if cx.get(item::RULES) != Some(&rules) {
        put(item::RULES, rules, cx)?;
        renew_tag(cx);
    }
    Ok(())
}

/// Keeps a value, if it fits into what memory is left.
fn put(item: u16, value: Vec<u8>, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let grown = value.len().saturating_sub(cx.get(item).map_or(0, <[u8]>::len));
    if grown > cx.free_memory() {
        return Err(StatusWord::NOT_ENOUGH_MEMORY);
    }
    cx.put(item, value);
    Ok(())
}

/// Another refresh tag than before.
fn renew_tag(cx: &mut Context<'_, '_>) {
    let mut tag = [0; 8];
    cx.random(&mut tag);
    if cx.get(item::REFRESH_TAG) == Some(&tag) {
        tag = u64::from_be_bytes(tag).wrapping_add(1).to_be_bytes();
    }
    cx.put(item::REFRESH_TAG, tag);
}
