//! The rules themselves, and what commands do to them. GPD_SPE_013 §5.1.

use apdu::tlv::{Reader, Tag, Tlv, TlvError};
use apdu::{Aid, StatusWord};
use saip::access_control::{AID_REF_DO, AID_REF_IMPLICIT_DO, Access, REF_AR_DO, REF_DO, Read, Reference, Rule, Target};

/// Octets that all rules take at most.
const ROOM: usize = 16 * 1024;

/// What STORE DATA asks for. GPD_SPE_013 tables 5-2 to 5-12.
pub(super) enum Request<'a> {
    /// `F0`: keep a rule.
    Store(Read<Rule>),
    /// `F1`: forget those that are meant.
    Delete(Meant),
    /// `F2`: a new refresh tag.
    UpdateRefreshTag,
    /// `F3`: the rules about applications of the card.
    Get(Target),
    /// `F4`: all rules.
    GetAll,
    /// `F5`: what the last answer left over.
    GetNext,
    /// `F6`: the clients registered.
    GetClients,
    /// `F7`: these are clients; none: nobody is.
    RegisterClients(Vec<&'a [u8]>),
    /// `F8`: what the device said of itself.
    GetDeviceConfiguration,
}

/// Which rules are to be forgotten.
pub(super) enum Meant {
    All,
    About(Target),
    With(Reference),
    This(Rule),
}

impl<'a> Request<'a> {
    /// # Errors
    /// `6981` for a data object that is no request, `6A80` for one that is not as it should be.
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, StatusWord> {
        let object = Tlv::parse(data).map_err(malformed)?;
        Ok(match object.tag {
            Tag(0xF0) => match only(&object)? {
                Some(rule) if rule.tag == REF_AR_DO => Self::Store(Rule::from_value(rule.value).map_err(wrong)?),
                _ => return Err(StatusWord::WRONG_DATA),
            },
            Tag(0xF1) => Self::Delete(match only(&object)? {
                None => Meant::All,
                Some(what) => match what.tag {
                    AID_REF_DO | AID_REF_IMPLICIT_DO => Meant::About(Target::from_object(&what).map_err(wrong)?),
                    REF_DO => Meant::With(Reference::from_value(what.value).map_err(wrong)?.value),
                    REF_AR_DO => Meant::This(Rule::from_value(what.value).map_err(wrong)?.value),
                    _ => return Err(StatusWord::WRONG_DATA),
                },
            }),
            Tag(0xF2) => Self::UpdateRefreshTag.if_empty(&object)?,
            Tag(0xF3) => {
                let what = only(&object)?.ok_or(StatusWord::WRONG_DATA)?;
                Self::Get(Target::from_object(&what).map_err(wrong)?)
            }
            Tag(0xF4) => Self::GetAll.if_empty(&object)?,
            Tag(0xF5) => Self::GetNext.if_empty(&object)?,
            Tag(0xF6) => Self::GetClients.if_empty(&object)?,
            Tag(0xF7) => {
                let (mut clients, mut objects) = (Vec::new(), object.children());
                while let Some(client) = objects.next().map_err(malformed)? {
                    Target::from_object(&client).map_err(wrong)?;
                    clients.push(client.raw);
                }
                Self::RegisterClients(clients)
            }
            Tag(0xF8) => Self::GetDeviceConfiguration.if_empty(&object)?,
            _ => return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE),
        })
    }

    fn if_empty(self, object: &Tlv<'_>) -> Result<Self, StatusWord> {
        if object.value.is_empty() { Ok(self) } else { Err(StatusWord::WRONG_DATA) }
    }
}

/// The one data object within another, or none.
fn only<'a>(object: &Tlv<'a>) -> Result<Option<Tlv<'a>>, StatusWord> {
    let mut inside: Reader<'a> = object.children();
    let first = inside.next().map_err(malformed)?;
    inside.finish().map_err(malformed)?;
    Ok(first)
}

fn malformed(_: TlvError) -> StatusWord {
    StatusWord::WRONG_DATA
}

fn wrong(_: saip::access_control::NotARule) -> StatusWord {
    StatusWord::WRONG_DATA
}

/// All rules, the newest first: so they are listed.
#[derive(Default)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    /// From what was kept.
    pub(super) fn load(bytes: &[u8]) -> Self {
        Self(Rule::list(bytes).unwrap_or_default())
    }

    /// As they are kept, and listed: `REF-AR-DO` after `REF-AR-DO`.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        Self::listed(&self.0)
    }

    fn listed<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Vec<u8> {
        rules.into_iter().flat_map(Rule::to_bytes).collect()
    }

    /// Keeps a rule. `6381` where one with this reference was there, `6382` where something nobody knows was left out.
    ///
    /// # Errors
    /// `6A89` where it contradicts a rule that is there, `6A84` where there is no room.
    pub(super) fn store(&mut self, rule: Read<Rule>) -> Result<StatusWord, StatusWord> {
        let Read { value: rule, has_unknown } = rule;
        if self.0.iter().any(|known| known.contradicts(&rule)) {
            return Err(StatusWord::FILE_ALREADY_EXISTS);
        }
        let is_known = self.0.iter().any(|known| known.reference == rule.reference);
        if !self.0.contains(&rule) {
            self.0.insert(0, rule);
        }
        if self.to_bytes().len() > ROOM {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        Ok(match (is_known, has_unknown) {
            (_, true) => StatusWord::UNKNOWN_OBJECT_DISCARDED,
            (true, false) => StatusWord::RULE_EXISTS,
            (false, false) => StatusWord::OK,
        })
    }

    /// Forgets rules.
    ///
    /// # Errors
    /// `6A88` where none of those that are meant is there.
    pub(super) fn delete(&mut self, meant: &Meant) -> Result<(), StatusWord> {
        let before = self.0.len();
        self.0.retain(|rule| match meant {
            Meant::All => false,
            Meant::About(target) => rule.reference.target.as_ref() != Some(target),
            Meant::With(reference) => rule.reference != *reference,
            Meant::This(this) => rule != this,
        });
        let is_found = self.0.len() < before || matches!(meant, Meant::All);
        if is_found { Ok(()) } else { Err(StatusWord::REFERENCED_DATA_NOT_FOUND) }
    }

    /// The rules about applications of the card.
    pub(super) fn about(&self, target: &Target) -> Option<Vec<u8>> {
        let found: Vec<&Rule> = self.0.iter().filter(|rule| rule.reference.target.as_ref() == Some(target)).collect();
        (!found.is_empty()).then(|| Self::listed(found))
    }

    /// What the rules with this reference say together.
    pub(super) fn access(&self, reference: &Reference) -> Option<Access> {
        let found = self.0.iter().rev().filter(|rule| rule.reference == *reference).map(|rule| rule.access.clone());
        found.reduce(Access::and)
    }
}

/// The rules that a row of STORE DATA makes, as they are kept: each has to be answered with `9000`, as a profile package
/// demands it of what it sends to its applications. `None` where one is not.
pub(crate) fn of_commands<'a>(commands: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let (mut rules, mut whole) = (Rules::default(), Vec::new());
    for command in commands {
        let command = apdu::Command::parse(command).ok()?;
        let is_store = command.class.is_proprietary() && command.ins == apdu::Ins::STORE_DATA;
        if !is_store || !super::has_objects(command.p1) {
            return None;
        }
        whole.extend_from_slice(command.data);
        if !super::is_last(command.p1) {
            continue;
        }
        let stored = match Request::parse(&core::mem::take(&mut whole)).ok()? {
            Request::Store(rule) => rules.store(rule).ok()?,
            Request::Delete(meant) => rules.delete(&meant).map(|()| StatusWord::OK).ok()?,
            Request::UpdateRefreshTag => StatusWord::OK,
            _ => return None,
        };
        if stored != StatusWord::OK {
            return None;
        }
    }
    whole.is_empty().then(|| rules.to_bytes())
}

/// A client's AID as it is registered, for whom the list of clients names.
pub(super) fn register(clients: &[&[u8]], known: &[u8]) -> Vec<u8> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut objects = Reader::new(known);
    while let Ok(Some(client)) = objects.next() {
        all.push(client.raw.to_vec());
    }
    for client in clients {
        if !all.iter().any(|known| known == client) {
            all.push(client.to_vec());
        }
    }
    if clients.is_empty() { Vec::new() } else { all.concat() }
}

/// The AID under which a phone looks for the rules.
pub(crate) fn aid() -> Option<Aid> {
    Aid::new(&saip::access_control::ARA_M_AID).ok()
}
