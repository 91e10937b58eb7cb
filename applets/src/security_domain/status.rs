//! GET STATUS and SET STATUS: the registry, and life cycles. GlobalPlatform §11.4, §11.10, §5.

use super::{SecurityDomain, content, life_cycle, own_privileges};
use crate::global_platform::privilege::Privileges;
use crate::global_platform::{issuer, keys};
use crate::kind;
use apdu::tlv::{Reader, Tag, Writer};
use apdu::{Aid, Command, Response, StatusWord};
use card_os::{ApplicationRecord, Context};
use saip::security_domain;

/// P1 of GET STATUS and SET STATUS: what is listed or changed.
mod scope {
    pub(super) const ISSUER_SECURITY_DOMAIN: u8 = 0x80;
    pub(super) const APPLICATIONS: u8 = 0x40;
    pub(super) const SECURITY_DOMAIN_AND_APPLICATIONS: u8 = 0xC0;
    pub(super) const LOAD_FILES: u8 = 0x20;
    pub(super) const LOAD_FILES_AND_MODULES: u8 = 0x10;
}

/// GET STATUS, P2: the next part instead of the first; data objects instead of the old fixed layout.
const NEXT: u8 = 0x01;
const TLV: u8 = 0x02;
/// Octets of one answer.
const LONGEST_ANSWER: usize = 256;

/// Tags of an entry, table 11-36.
mod entry {
    pub(super) const ENTRY: u32 = 0xE3;
    pub(super) const AID: u32 = 0x4F;
    pub(super) const LIFE_CYCLE: u32 = 0x9F70;
    pub(super) const PRIVILEGES: u32 = 0xC5;
    pub(super) const LOAD_FILE: u32 = 0xC4;
    pub(super) const VERSION: u32 = 0xCE;
    pub(super) const MODULE: u32 = 0x84;
    pub(super) const SECURITY_DOMAIN: u32 = 0xCC;
}

/// Entries that the last GET STATUS left over. One that is refused leaves them as they are.
#[derive(Clone)]
pub(super) struct Rest {
    channel: u8,
    p1: u8,
    entries: Vec<Vec<u8>>,
}

/// What the registry says of one thing.
struct Registered {
    aid: Aid,
    life_cycle: u8,
    /// `None`: a load file.
    privileges: Option<Privileges>,
    load_file: Option<Aid>,
    /// Whether it was added to the card, which is told unasked.
    is_added: bool,
    security_domain: Option<Aid>,
    version: Option<[u8; 2]>,
    modules: Option<Vec<Aid>>,
}

impl SecurityDomain {
    /// GET STATUS. §11.4.
    pub(super) fn get_status(
        &mut self,
        command: &Command<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Response, StatusWord> {
        if command.p2 & !(NEXT | TLV) != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let mut data = Reader::new(command.data);
        let criterion = data.expect(Tag(entry::AID)).map_err(|_| StatusWord::WRONG_DATA)?;
        let wanted = data.optional(Tag(0x5C)).map_err(|_| StatusWord::WRONG_DATA)?;
        let wanted = wanted.map(|list| tags(list.value)).transpose()?;
        let mut entries = if command.p2 & NEXT == 0 {
            let registered = listed(command.p1, cx)?;
            registered
                .iter()
                .filter(|registered| registered.aid.matches(criterion.value))
                .map(|registered| registered.entry(command.p2 & TLV != 0, wanted.as_deref()))
                .collect()
        } else {
            match &self.pending.rest {
                Some(rest) if (rest.channel, rest.p1) == (cx.channel(), command.p1) => rest.entries.clone(),
                _ => return Err(StatusWord::CONDITIONS_NOT_SATISFIED),
            }
        };
        if entries.is_empty() {
            return Err(StatusWord::REFERENCED_DATA_NOT_FOUND);
        }
        let overhead = self.channels.session(cx.channel()).map_or(0, crypto::scp::Session::answer_overhead);
        let mut length = overhead;
        let fitting = entries.iter().take_while(|entry| {
            length += entry.len();
            length <= LONGEST_ANSWER
        });
        let fitting = fitting.count().max(1);
        let rest = entries.split_off(fitting.min(entries.len()));
        let sw = if rest.is_empty() { StatusWord::OK } else { StatusWord::MORE_TO_LIST };
        self.pending.rest = (!rest.is_empty()).then_some(Rest { channel: cx.channel(), p1: command.p1, entries: rest });
        Ok(Response { data: entries.concat(), sw })
    }
}

/// A list of tags.
fn tags(mut list: &[u8]) -> Result<Vec<u32>, StatusWord> {
    let mut tags = Vec::new();
    while let Some((first, rest)) = list.split_first() {
        let (tag, rest) = match (first & 0x1F, rest) {
            (0x1F, [second, rest @ ..]) if second & 0x80 == 0 => (u32::from(*first) << 8 | u32::from(*second), rest),
            (0x1F, _) => return Err(StatusWord::WRONG_DATA),
            _ => (u32::from(*first), rest),
        };
        tags.push(tag);
        list = rest;
    }
    Ok(tags)
}

/// What P1 names of what this security domain may see.
fn listed(p1: u8, cx: &mut Context<'_, '_>) -> Result<Vec<Registered>, StatusWord> {
    let own = cx.record().aid;
    let global = keys::is_issuer(cx.record().privileges) || own_privileges(cx)?.has(Privileges::GLOBAL_REGISTRY);
    let applications: Vec<Registered> =
        cx.applications().iter().map(|record| registered(record, cx)).collect::<Result<_, _>>()?;
    let visible =
        move |registered: &Registered| global || registered.aid == own || registered.security_domain == Some(own);
    // Where there is no issuer, one that has no other above it stands for it.
    let issuer = issuer(cx).unwrap_or(own);
    Ok(match p1 {
        scope::ISSUER_SECURITY_DOMAIN => {
            applications.into_iter().filter(|registered| registered.aid == issuer).filter(visible).collect()
        }
        scope::APPLICATIONS => {
            applications.into_iter().filter(|registered| registered.aid != issuer).filter(visible).collect()
        }
        scope::LOAD_FILES | scope::LOAD_FILES_AND_MODULES if global => {
            load_files(p1 == scope::LOAD_FILES_AND_MODULES, issuer, cx)
        }
        scope::LOAD_FILES | scope::LOAD_FILES_AND_MODULES => Vec::new(),
        _ => return Err(StatusWord::WRONG_P1_P2),
    })
}

/// The load files: that of security domains, which is always there, and what was loaded.
fn load_files(with_modules: bool, issuer: Aid, cx: &mut Context<'_, '_>) -> Vec<Registered> {
    let loaded = cx.registry().map(|registry| registry.load_files()).unwrap_or_default();
    // Of no use to anybody who cannot open a channel to make something from it.
    let own = content::own_load_file(issuer).filter(|_| keys::has_set(cx)).into_iter();
    own.chain(loaded)
        .map(|file| Registered {
            aid: file.aid,
            life_cycle: file.life_cycle,
            privileges: None,
            load_file: None,
            is_added: true,
            security_domain: file.security_domain,
            version: Some(file.version),
            modules: with_modules.then_some(file.modules),
        })
        .collect()
}

fn registered(record: &ApplicationRecord, cx: &mut Context<'_, '_>) -> Result<Registered, StatusWord> {
    /// Of an application that is no security domain nothing is known but that.
    const NONE: &[u8] = &[0];
    let is_security_domain = record.kind == kind::SECURITY_DOMAIN;
    let parameters = content::parameters_of(&record.aid, cx);
    let instance = parameters
        .filter(|_| is_security_domain)
        .and_then(|der| security_domain::SecurityDomain::from_der(&der).ok())
        .map(|element| element.instance);
    let privileges = instance.as_ref().map_or(NONE, |instance| &instance.application_privileges);
    let origin = cx.registry().and_then(|registry| registry.origin(&record.aid));
    Ok(Registered {
        aid: record.aid,
        life_cycle: record.life_cycle,
        privileges: Some(Privileges::from_octets(privileges).ok_or(StatusWord::TECHNICAL_PROBLEM)?),
        is_added: origin.is_some(),
        load_file: match (origin, &instance) {
            (Some(origin), _) => Some(origin.load_file),
            (None, Some(instance)) => Aid::new(&instance.application_load_package_aid).ok(),
            (None, None) => None,
        },
        security_domain: content::security_domain_of(&record.aid, cx),
        version: None,
        modules: None,
    })
}

impl Registered {
    /// The entry, with what the list of tags wants of it.
    fn entry(&self, tlv: bool, wanted: Option<&[u32]>) -> Vec<u8> {
        if !tlv {
            return self.fixed_entry();
        }
        // Without a list: what every card tells, and of what was added, where it comes from.
        let is_wanted = |tag: u32| match wanted {
            Some(list) => list.contains(&tag),
            None => match tag {
                entry::LOAD_FILE | entry::SECURITY_DOMAIN => self.is_added,
                _ => true,
            },
        };
        let mut entry = Writer::new();
        entry.constructed(Tag(entry::ENTRY), |entry| {
            entry.primitive(Tag(entry::AID), &self.aid);
            if is_wanted(entry::LIFE_CYCLE) {
                entry.primitive(Tag(entry::LIFE_CYCLE), &[self.life_cycle]);
            }
            if let Some(privileges) = self.privileges.filter(|_| is_wanted(entry::PRIVILEGES)) {
                entry.primitive(Tag(entry::PRIVILEGES), &privileges.octets());
            }
            if let Some(load_file) = self.load_file.filter(|_| is_wanted(entry::LOAD_FILE)) {
                entry.primitive(Tag(entry::LOAD_FILE), &load_file);
            }
            if let Some(version) = self.version.filter(|_| is_wanted(entry::VERSION)) {
                entry.primitive(Tag(entry::VERSION), &version);
            }
            for module in self.modules.iter().flatten().filter(|_| is_wanted(entry::MODULE)) {
                entry.primitive(Tag(entry::MODULE), module);
            }
            if let Some(security_domain) = self.security_domain.filter(|_| is_wanted(entry::SECURITY_DOMAIN)) {
                entry.primitive(Tag(entry::SECURITY_DOMAIN), &security_domain);
            }
        });
        entry.into_bytes()
    }

    /// The layout of old: AID, life cycle state, first octet of the privileges, modules.
    fn fixed_entry(&self) -> Vec<u8> {
        let mut entry = Vec::new();
        let push = |entry: &mut Vec<u8>, aid: &Aid| {
            entry.push(u8::try_from(aid.len()).unwrap_or_default());
            entry.extend_from_slice(aid);
        };
        push(&mut entry, &self.aid);
        let privileges = self.privileges.map_or([0; 3], Privileges::octets);
        entry.extend([self.life_cycle, privileges[0]]);
        if let Some(modules) = &self.modules {
            entry.push(u8::try_from(modules.len()).unwrap_or(u8::MAX));
            for module in modules {
                push(&mut entry, module);
            }
        }
        entry
    }
}

/// SET STATUS. §11.10.
pub(super) fn set(command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
    match command.p1 {
        scope::ISSUER_SECURITY_DOMAIN => set_card(command, cx)?,
        scope::APPLICATIONS => {
            let aid = content::aid(command.data)?;
            set_application(&aid, command.p2, cx)?;
        }
        scope::SECURITY_DOMAIN_AND_APPLICATIONS => {
            let aid = content::aid(command.data)?;
            set_with_applications(&aid, command.p2, cx)?;
        }
        _ => return Err(StatusWord::WRONG_P1_P2),
    }
    Ok(Response::done())
}

/// The card's life cycle, which is the issuer's security domain's. §5.1.1.
fn set_card(command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let issuer = issuer(cx).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
    if !command.data.is_empty() && *command.data != *issuer {
        return Err(StatusWord::REFERENCED_DATA_NOT_FOUND);
    }
    let privileges = own_privileges(cx)?;
    let own = cx.applications().into_iter().find(|application| application.aid == issuer);
    let now = own.map_or(life_cycle::TERMINATED, |issuer| issuer.life_cycle);
    let next = command.p2;
    let is_allowed = match (now, next) {
        (life_cycle::OP_READY, life_cycle::INITIALIZED)
        | (life_cycle::OP_READY | life_cycle::INITIALIZED, life_cycle::SECURED) => {
            keys::is_issuer(cx.record().privileges)
        }
        (life_cycle::SECURED, life_cycle::CARD_LOCKED) | (life_cycle::CARD_LOCKED, life_cycle::SECURED) => {
            privileges.has(Privileges::CARD_LOCK)
        }
        (now, life_cycle::TERMINATED) if now != life_cycle::TERMINATED => privileges.has(Privileges::CARD_TERMINATE),
        (
            _,
            life_cycle::OP_READY
            | life_cycle::INITIALIZED
            | life_cycle::SECURED
            | life_cycle::CARD_LOCKED
            | life_cycle::TERMINATED,
        ) => false,
        _ => return Err(StatusWord::WRONG_P1_P2),
    };
    if !is_allowed {
        return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
    }
    let mut registry = cx.registry().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
    Ok(registry.set_life_cycle(&issuer, next)?)
}

/// Locks, unlocks, or personalises one application. §5.3.
fn set_application(aid: &Aid, next: u8, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let target = cx.applications().into_iter().find(|application| application.aid == *aid);
    let target = target.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
    if keys::is_issuer(target.privileges) {
        return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
    }
    ensure_manages(aid, Privileges::GLOBAL_LOCK, cx)?;
    let now = target.life_cycle;
    let is_locked = now & life_cycle::LOCKED != 0;
    let state = if next & life_cycle::LOCKED != 0 {
        if is_locked {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        now | life_cycle::LOCKED
    } else if is_locked {
        // Back to where it was, whatever the command says.
        now & !life_cycle::LOCKED
    } else if target.kind == kind::SECURITY_DOMAIN && (now, next) == (life_cycle::SELECTABLE, life_cycle::PERSONALIZED)
    {
        next
    } else {
        return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
    };
    let mut registry = cx.registry().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
    Ok(registry.set_life_cycle(aid, state)?)
}

/// Locks or unlocks a security domain with what belongs to it; what is so already stays.
fn set_with_applications(aid: &Aid, next: u8, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let lock = next & life_cycle::LOCKED != 0;
    let applications = cx.applications();
    let target = applications.iter().find(|application| application.aid == *aid);
    if target.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?.kind != kind::SECURITY_DOMAIN {
        return Err(StatusWord::REFERENCED_DATA_NOT_FOUND);
    }
    for application in &applications {
        let concerned = application.aid == *aid || content::security_domain_of(&application.aid, cx) == Some(*aid);
        if concerned && (application.life_cycle & life_cycle::LOCKED != 0) != lock {
            set_application(&application.aid, next, cx)?;
        }
    }
    Ok(())
}

/// Whether this security domain may change an application: its own, or any with the privilege.
pub(super) fn ensure_manages(aid: &Aid, privilege: u32, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let own = cx.aid();
    let is_own = *aid == own || content::security_domain_of(aid, cx) == Some(own);
    if is_own || keys::is_issuer(cx.record().privileges) || own_privileges(cx)?.has(privilege) {
        return Ok(());
    }
    Err(StatusWord::CONDITIONS_NOT_SATISFIED)
}
