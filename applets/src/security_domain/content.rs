//! INSTALL and DELETE: supplementary security domains come and go, applications change hands and become selectable.
//! GlobalPlatform §9, §11.2, §11.5.
//!
//! There is no virtual machine: what is not on the card cannot be loaded.

use super::{PRIVILEGES, SecurityDomain, life_cycle, own_privileges, status};
use crate::global_platform::privilege::Privileges;
use crate::global_platform::{issuer, key_commands, keys};
use crate::kind;
use apdu::tlv::{Reader, Tag};
use apdu::{Aid, Command, Response, StatusWord};
use card_os::{ApplicationRecord, Context, LoadFile, NewApplication, Origin};
use hex_literal::hex;
use saip::PeHeader;
use saip::application::ApplicationInstance;
use saip::security_domain;

/// The load file of security domains, and the module that they are made from. GlobalPlatform §H.1.3, UICC Configuration §5.
const PACKAGE: [u8; 7] = hex!("A0000001515350");
const MODULE: [u8; 8] = hex!("A000000151535041");

/// INSTALL, P1. §11.5.2.1.
mod purpose {
    pub(super) const LOAD: u8 = 0x02;
    pub(super) const INSTALL: u8 = 0x04;
    pub(super) const MAKE_SELECTABLE: u8 = 0x08;
    pub(super) const INSTALL_AND_MAKE_SELECTABLE: u8 = INSTALL | MAKE_SELECTABLE;
    pub(super) const EXTRADITION: u8 = 0x10;
    pub(super) const PERSONALIZATION: u8 = 0x20;
    pub(super) const REGISTRY_UPDATE: u8 = 0x40;
}

/// The load file that is always there.
pub(super) fn own_load_file(issuer: Aid) -> Option<LoadFile> {
    let (aid, module) = (Aid::new(&PACKAGE).ok()?, Aid::new(&MODULE).ok()?);
    Some(LoadFile { aid, version: [1, 0], life_cycle: 0x01, security_domain: Some(issuer), modules: vec![module] })
}

/// A name in a command.
pub(super) fn aid(octets: &[u8]) -> Result<Aid, StatusWord> {
    Aid::new(octets).map_err(|_| StatusWord::WRONG_DATA)
}

/// The install parameters of an application.
pub(super) fn parameters_of(aid: &Aid, cx: &mut Context<'_, '_>) -> Option<Vec<u8>> {
    if *aid == cx.aid() {
        return Some(cx.parameters().to_vec());
    }
    cx.registry()?.parameters(aid).map(<[u8]>::to_vec)
}

/// The security domain that an application belongs to; the issuer's belongs to none.
pub(super) fn security_domain_of(aid: &Aid, cx: &mut Context<'_, '_>) -> Option<Aid> {
    let registry = cx.registry()?;
    let handed_over = registry.association(aid);
    let made_under = registry.origin(aid).and_then(|origin| origin.security_domain);
    let issuer = issuer(cx).filter(|issuer| issuer != aid);
    handed_over.or(made_under).or(issuer)
}

/// The fields of INSTALL, each with its length before it.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<&'a [u8], StatusWord> {
        let (length, rest) = self.0.split_first().ok_or(StatusWord::WRONG_DATA)?;
        let (value, rest) = rest.split_at_checked(usize::from(*length)).ok_or(StatusWord::WRONG_DATA)?;
        self.0 = rest;
        Ok(value)
    }

    /// The token in the end, and that nothing follows. One that this card cannot verify is no authority for anything.
    fn end(mut self) -> Result<(), StatusWord> {
        let token = if self.0.is_empty() { &[][..] } else { self.next()? };
        if !self.0.is_empty() {
            return Err(StatusWord::WRONG_DATA);
        }
        if token.is_empty() { Ok(()) } else { Err(StatusWord::CONDITIONS_NOT_SATISFIED) }
    }
}

/// Content is managed by who has the privilege itself: delegated management would want tokens verified.
fn ensure_authorized(cx: &Context<'_, '_>) -> Result<(), StatusWord> {
    let authorized =
        keys::is_issuer(cx.record().privileges) || own_privileges(cx)?.has(Privileges::AUTHORIZED_MANAGEMENT);
    if authorized { Ok(()) } else { Err(StatusWord::CONDITIONS_NOT_SATISFIED) }
}

fn find(aid: &Aid, cx: &Context<'_, '_>) -> Result<ApplicationRecord, StatusWord> {
    let found = cx.applications().into_iter().find(|application| application.aid == *aid);
    found.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)
}

impl SecurityDomain {
    /// INSTALL. §11.5.
    pub(super) fn install(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        if command.p2 != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let fields = Fields(command.data);
        match command.p1 {
            // There is nothing that could run what would be loaded.
            purpose::LOAD => Err(StatusWord::FUNCTION_NOT_SUPPORTED),
            purpose::INSTALL | purpose::INSTALL_AND_MAKE_SELECTABLE => {
                ensure_authorized(cx)?;
                install(fields, command.p1 & purpose::MAKE_SELECTABLE != 0, cx)
            }
            purpose::MAKE_SELECTABLE => {
                ensure_authorized(cx)?;
                make_selectable(fields, cx)
            }
            purpose::EXTRADITION => {
                ensure_authorized(cx)?;
                extradite(fields, cx)
            }
            purpose::PERSONALIZATION => self.install_for_personalization(command.class.channel(), fields, cx),
            purpose::REGISTRY_UPDATE => {
                ensure_authorized(cx)?;
                update_registry(fields, cx)
            }
            _ => Err(StatusWord::WRONG_P1_P2),
        }
    }

    /// INSTALL [for personalization]: the STORE DATA commands that follow are for another security domain. §7.3.2.
    fn install_for_personalization(
        &mut self,
        channel: u8,
        mut fields: Fields<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Response, StatusWord> {
        let (none, also_none, name) = (fields.next()?, fields.next()?, aid(fields.next()?)?);
        let (privileges, parameters) = (fields.next()?, fields.next()?);
        if ![none, also_none, privileges, parameters].iter().all(|field| field.is_empty()) {
            return Err(StatusWord::WRONG_DATA);
        }
        fields.end()?;
        let target = find(&name, cx)?;
        // Only security domains understand what comes then; the others are personalised by their files.
        let is_locked = target.life_cycle & life_cycle::LOCKED != 0;
        if target.kind != kind::SECURITY_DOMAIN || is_locked || target.life_cycle == life_cycle::INSTALLED {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let own = cx.aid();
        if name != own && security_domain_of(&name, cx) != Some(own) {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        self.pending.transfer = None;
        self.pending.personalised = Some((channel, name));
        Ok(Response::ok([0]))
    }

    /// DELETE of keys or content. §11.2.
    pub(super) fn delete(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        const RELATED_OBJECTS: u8 = 0x80;
        if command.p1 != 0 || command.p2 & !RELATED_OBJECTS != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let named = Reader::new(command.data).find(Tag(0x4F)).map_err(|_| StatusWord::WRONG_DATA)?;
        let Some(named) = named else {
            return key_commands::delete(command, &mut self.channels, cx);
        };
        ensure_authorized(cx)?;
        // A token: see there.
        if Reader::new(command.data).find(Tag(0x9E)).map_err(|_| StatusWord::WRONG_DATA)?.is_some() {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        delete_content(&aid(named.value)?, command.p2 & RELATED_OBJECTS != 0, cx)?;
        Ok(Response::ok([0]))
    }
}

/// INSTALL [for install]: a supplementary security domain, which is the one application that this card can make.
fn install(mut fields: Fields<'_>, selectable: bool, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
    let (package, module, name) = (aid(fields.next()?)?, aid(fields.next()?)?, aid(fields.next()?)?);
    let privileges = fields.next()?;
    let parameters = fields.next()?;
    fields.end()?;
    if *package != PACKAGE || *module != MODULE {
        return Err(StatusWord::REFERENCED_DATA_NOT_FOUND);
    }
    let wanted = Privileges::from_octets(privileges).ok_or(StatusWord::WRONG_DATA)?;
    if !wanted.is_supported() {
        return Err(StatusWord::FUNCTION_NOT_SUPPORTED);
    }
    if !wanted.has(Privileges::SECURITY_DOMAIN) || !own_privileges(cx)?.contain(wanted) {
        return Err(StatusWord::WRONG_DATA);
    }
    let specific = specific_parameters(parameters)?;
    let own = cx.aid();
    let element = security_domain::SecurityDomain {
        header: PeHeader { mandated: true, identification: 1 },
        instance: ApplicationInstance {
            application_load_package_aid: PACKAGE.to_vec(),
            class_aid: MODULE.to_vec(),
            instance_aid: name.to_vec(),
            extradite_security_domain_aid: Some(own.to_vec()),
            application_privileges: wanted.octets().to_vec(),
            life_cycle_state: [life_cycle::SELECTABLE],
            application_specific_parameters: specific,
            system_specific_parameters: None,
            application_parameters: None,
            process_data: None,
            control_reference_template: None,
        },
        key_list: None,
        sd_perso_data: None,
        open_perso_data: None,
        cat_tp_parameters: None,
    };
    let life_cycle = if selectable { life_cycle::SELECTABLE } else { life_cycle::INSTALLED };
    let application = NewApplication {
        record: ApplicationRecord {
            aid: name,
            kind: kind::SECURITY_DOMAIN,
            adf: None,
            life_cycle,
            privileges: PRIVILEGES,
        },
        parameters: element.to_der(),
        data: Vec::new(),
    };
    let mut registry = cx.registry().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
    registry.add(&application, None)?;
    registry.associate(&name, &own)?;
    Ok(Response::ok([0]))
}

/// The value of `C9` in install parameters, which has to be there. §11.5.2.3.7.
fn specific_parameters(parameters: &[u8]) -> Result<Vec<u8>, StatusWord> {
    if parameters.is_empty() {
        return Ok(Vec::new());
    }
    let specific = Reader::new(parameters).find(Tag(0xC9)).map_err(|_| StatusWord::WRONG_DATA)?;
    Ok(specific.ok_or(StatusWord::WRONG_DATA)?.value.to_vec())
}

/// INSTALL [for make selectable].
fn make_selectable(mut fields: Fields<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
    let (none, also_none, name) = (fields.next()?, fields.next()?, aid(fields.next()?)?);
    let privileges = fields.next()?;
    fields.next()?;
    fields.end()?;
    if !none.is_empty() || !also_none.is_empty() || Privileges::from_octets(privileges).is_none() {
        return Err(StatusWord::WRONG_DATA);
    }
    if find(&name, cx)?.life_cycle != life_cycle::INSTALLED {
        return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
    }
    let mut registry = cx.registry().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
    registry.set_life_cycle(&name, life_cycle::SELECTABLE)?;
    Ok(Response::ok([0]))
}

/// INSTALL [for extradition]: an application goes to another security domain. §9.4.1.
fn extradite(mut fields: Fields<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
    let (to, none, name) = (aid(fields.next()?)?, fields.next()?, aid(fields.next()?)?);
    let (privileges, _) = (fields.next()?, fields.next()?);
    fields.end()?;
    if !none.is_empty() || !privileges.is_empty() {
        return Err(StatusWord::WRONG_DATA);
    }
    hand_over(&name, &to, cx)?;
    Ok(Response::ok([0]))
}

fn hand_over(name: &Aid, to: &Aid, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let (target, receiver) = (find(name, cx)?, find(to, cx)?);
    let is_open = receiver.life_cycle & life_cycle::LOCKED == 0 && receiver.life_cycle != life_cycle::INSTALLED;
    if keys::is_issuer(target.privileges) || receiver.kind != kind::SECURITY_DOMAIN || !is_open {
        return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
    }
    status::ensure_manages(name, 0, cx)?;
    // No security domain ends up under itself.
    let mut above = Some(*to);
    while let Some(one) = above {
        if one == *name {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        above = security_domain_of(&one, cx);
    }
    let mut registry = cx.registry().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
    Ok(registry.associate(name, to)?)
}

/// INSTALL [for registry update]: other privileges, or another security domain. §11.5.2.3.5.
fn update_registry(mut fields: Fields<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
    let (to, none, name) = (fields.next()?, fields.next()?, aid(fields.next()?)?);
    let (privileges, _) = (fields.next()?, fields.next()?);
    fields.end()?;
    if !none.is_empty() || to.is_empty() && privileges.is_empty() {
        return Err(StatusWord::WRONG_DATA);
    }
    let target = find(&name, cx)?;
    status::ensure_manages(&name, 0, cx)?;
    if !privileges.is_empty() {
        let wanted = Privileges::from_octets(privileges).ok_or(StatusWord::WRONG_DATA)?;
        if !wanted.is_supported() {
            return Err(StatusWord::FUNCTION_NOT_SUPPORTED);
        }
        let is_security_domain = target.kind == kind::SECURITY_DOMAIN;
        if keys::is_issuer(target.privileges) {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if wanted.has(Privileges::SECURITY_DOMAIN) != is_security_domain || !own_privileges(cx)?.contain(wanted) {
            return Err(StatusWord::WRONG_DATA);
        }
        if is_security_domain {
            let der = parameters_of(&name, cx).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
            let mut element =
                security_domain::SecurityDomain::from_der(&der).map_err(|_| StatusWord::TECHNICAL_PROBLEM)?;
            element.instance.application_privileges = wanted.octets().to_vec();
            let mut registry = cx.registry().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
            registry.set_parameters(&name, &element.to_der())?;
        }
    }
    if !to.is_empty() {
        hand_over(&name, &aid(to)?, cx)?;
    }
    Ok(Response::ok([0]))
}

/// DELETE of an application or a load file. What belongs to a security domain has to go, or move, before it.
fn delete_content(name: &Aid, related: bool, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let is_load_file = cx.registry().is_some_and(|registry| registry.load_files().iter().any(|file| file.aid == *name));
    if is_load_file {
        return unload(name, related, cx);
    }
    if **name == PACKAGE {
        // It is part of the operating system.
        return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
    }
    let target = find(name, cx)?;
    if keys::is_issuer(target.privileges) {
        return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
    }
    status::ensure_manages(name, Privileges::GLOBAL_DELETE, cx)?;
    for application in cx.applications() {
        if security_domain_of(&application.aid, cx) == Some(*name) {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
    }
    let mut registry = cx.registry().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
    Ok(registry.remove(name)?)
}

fn unload(name: &Aid, related: bool, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let applications = cx.applications();
    let mut registry = cx.registry().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
    if related {
        for application in applications {
            if registry.origin(&application.aid).is_some_and(|origin: Origin| origin.load_file == *name) {
                registry.remove(&application.aid)?;
            }
        }
    }
    Ok(registry.unload(name)?)
}
