//! SELECT by name and STATUS. TS 102 221 §11.1.1, §11.1.2, §8.4. SELECT of a file is in `fs/navigate.rs`.

use crate::card::{Card, Slot, wrong_length};
use crate::channel::Channel;
use crate::dialect::Habits;
use crate::domain::{ApplicationRecord, Privileges};
use crate::fs::{FileNumber, Place, Route, after_select, by, wants_answer};
use crate::id::{ApplicationId, DomainId};
use apdu::{Aid, Command, Response, StatusWord};

/// P2, bits 2 and 1: which of several applications.
const OCCURRENCE: u8 = 0x03;
/// P2, bits 7 and 6: application session control.
const SESSION: u8 = 0x60;
const TERMINATION: u8 = 0x40;

/// Names by which cards call the issuer's security domain, GlobalPlatform's and the older one of Visa: a host may know only one
/// of them. GlobalPlatform §H.1.3.
const ISSUER_NAMES: [[u8; 8]; 2] =
    [[0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00], [0xA0, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00]];
/// Octets that a host gives of them at least.
const SHORTEST_ISSUER_NAME: usize = 7;

/// STATUS, P2: what to answer.
mod status {
    pub(super) const FCP: u8 = 0x00;
    pub(super) const DF_NAME: u8 = 0x01;
    pub(super) const NOTHING: u8 = 0x0C;
}

/// Whether an application of this name is a card issuer's security domain, by what cards call theirs.
pub fn names_issuer(name: &[u8]) -> bool {
    ISSUER_NAMES.iter().any(|known| name.starts_with(known))
}

/// What has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Application(ApplicationId),
    Directory(FileNumber),
}

impl Card {
    /// SELECT. What fails changes nothing.
    pub(crate) fn select(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1 != by::DF_NAME {
            let response = self.file_command(command)?;
            self.follow_into_application(command.class.channel());
            return Ok(response);
        }
        let answer = wants_answer(command.p2)?;
        if command.p2 & 0x90 != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if command.data.is_empty() {
            // An empty name selects the card issuer's domain; where there is none, it is the MF.
            if self.issuers(self.kernel.tree_domain).next().is_some() {
                let response = self.select_application(command)?;
                return Ok(if answer { response } else { Response { data: Vec::new(), ..response } });
            }
            return self.file_command(&Command {
                p1: by::FILE_ID,
                p2: command.p2 & !(OCCURRENCE | SESSION),
                ..*command
            });
        }
        let mut response = self.select_application(command)?;
        if !answer {
            response.data.clear();
        }
        Ok(response)
    }

    fn select_application(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let number = command.class.channel();
        let previous = self.kernel.channel(number)?.application;
        if command.data.len() > 16 {
            return Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2);
        }
        let matching = self.named(command.data);
        let current = match previous {
            Some(application) => Named::Application(application),
            None => Named::Directory(self.kernel.channel(number)?.route.df()),
        };
        let at = matching.iter().position(|named| *named == current);
        let chosen = match command.p2 & OCCURRENCE {
            0x00 => at.and_then(|at| matching.get(at)).or(matching.first()),
            0x01 => matching.last(),
            0x02 => matching.get(at.map_or(0, |at| at + 1)),
            _ => match at {
                Some(at) => at.checked_sub(1).and_then(|at| matching.get(at)),
                None => matching.last(),
            },
        };
        let chosen = match *chosen.ok_or(StatusWord::FILE_NOT_FOUND)? {
            Named::Application(chosen) => chosen,
            Named::Directory(_) if command.p2 & SESSION == TERMINATION => {
                return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
            }
            Named::Directory(df) => return self.select_directory(command, df),
        };
        if command.p2 & SESSION == TERMINATION {
            if previous != Some(chosen) {
                return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
            }
            self.kernel.channel_mut(number)?.application = None;
            self.kernel.channel_mut(number)?.select_mf();
            self.session_ended(number, chosen);
            return Ok(Response::done());
        }
        let response = if let Some(adf) = self.adf_of(chosen) {
            let life_cycle = self.kernel.tree.get(adf).ok_or(StatusWord::FILE_NOT_FOUND)?.life_cycle;
            let place = Place::from(Route::of(adf));
            self.kernel.channels.admit(&self.kernel.tree, |at, _| at == number, &place)?;
            let data = self.df_fcp(command, &place)?;
            self.kernel.channel_mut(number)?.select(place);
            Response { data, sw: after_select(life_cycle) }
        } else {
            let direct = self.is_direct(command);
            let data = self.run(chosen, number, |application, cx| {
                let answer = Response::ok(application.select(cx)?);
                // Without a name a command has no data, and may be answered 6CXX: then it has selected nothing.
                let refusal = wants_answer(command.p2)?.then(|| wrong_length(command, &answer, direct)).flatten();
                refusal.map_or(Ok(answer.data), Err)
            })?;
            self.kernel.channel_mut(number)?.select_mf();
            // GlobalPlatform §11.9.3.2: the card is locked.
            let locked = self.slot(chosen).is_some_and(|slot| slot.record.locks_card());
            Response { data, sw: if locked { StatusWord::FILE_DEACTIVATED } else { StatusWord::OK } }
        };
        self.kernel.channel_mut(number)?.application = Some(chosen);
        if let Some(previous) = previous.filter(|previous| *previous != chosen) {
            self.session_ended(number, previous);
        }
        Ok(response)
    }

    /// Selects a directory by its name: no application's session is open there.
    fn select_directory(&mut self, command: &Command<'_>, df: FileNumber) -> Result<Response, StatusWord> {
        let number = command.class.channel();
        let life_cycle = self.kernel.tree.get(df).ok_or(StatusWord::FILE_NOT_FOUND)?.life_cycle;
        let place = Place::from(Route::of(df));
        self.kernel.channels.admit(&self.kernel.tree, |at, _| at == number, &place)?;
        let data = self.df_fcp(command, &place)?;
        let channel = self.kernel.channel_mut(number)?;
        channel.select(place);
        if let Some(previous) = channel.application.take() {
            self.session_ended(number, previous);
        }
        Ok(Response { data, sw: after_select(life_cycle) })
    }

    /// STATUS: what is current. It also is how a terminal asks whether a proactive command waits.
    pub(crate) fn status(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1 > 0x02 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if !command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let Channel { application, route, .. } = self.kernel.channel(command.class.channel())?;
        let application = *application;
        let habits = self.profile.dialect.habits;
        match command.p2 {
            status::FCP if habits.contains(Habits::STATUS_OF_APPLICATION) => {
                let adf = application.and_then(|application| self.adf_of(application));
                let adf = adf.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
                self.df_fcp(command, &Route::of(adf).into()).map(Response::ok)
            }
            status::FCP => {
                let df = route.clone().into();
                self.df_fcp(command, &df).map(Response::ok)
            }
            status::DF_NAME => {
                let slot = application.and_then(|application| self.slot(application));
                let of_directory = || self.kernel.tree.get(route.df()).and_then(|file| file.df_name);
                let aid = slot.map(|slot| slot.record.aid).or_else(of_directory);
                let aid = aid.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
                if habits.contains(Habits::NAME_IS_BARE) {
                    return Ok(Response::ok(&*aid));
                }
                let mut name = apdu::tlv::Writer::new();
                name.primitive(apdu::tlv::Tag(0x84), &aid);
                Ok(Response::ok(name.into_bytes()))
            }
            status::NOTHING => Ok(Response::done()),
            _ => Err(StatusWord::WRONG_P1_P2),
        }
    }

    /// Where an ADF has a file identifier, or is found by what lies in it, its application is selected with it.
    fn follow_into_application(&mut self, number: u8) {
        let habits = self.profile.dialect.habits;
        if !habits.contains(Habits::ADF_HAS_FID) && !habits.contains(Habits::FID_ANYWHERE) {
            return;
        }
        let Ok(channel) = self.kernel.channel(number) else { return };
        let around: Vec<FileNumber> = channel.route.upwards(&self.kernel.tree).collect();
        let entered = |slot: &&Slot| slot.record.adf.is_some_and(|adf| around.contains(&adf));
        let entered = self.slots.iter().filter(|slot| slot.id.domain == self.kernel.tree_domain).find(entered);
        if let Some(entered) = entered.map(|slot| slot.id)
            && let Ok(channel) = self.kernel.channel_mut(number)
        {
            channel.application = Some(entered);
        }
    }

    /// The card issuer's security domains of a domain: one, or none.
    fn issuers(&self, domain: DomainId) -> impl Iterator<Item = &Slot> {
        let of_issuer = |slot: &&Slot| slot.record.privileges.contains(Privileges::ISSUER);
        self.slots.iter().filter(move |slot| slot.id.domain == domain).filter(of_issuer)
    }

    /// What a name selects: applications, then directories that have a name without being an application's, which a locked card
    /// keeps to itself.
    fn named(&self, name: &[u8]) -> Vec<Named> {
        let is_locked = self.issuers(self.kernel.tree_domain).any(|issuer| issuer.record.locks_card());
        let is_meant = |aid: &Aid| !is_locked && !name.is_empty() && aid.matches(name);
        let directories = self.kernel.tree.named_dfs().filter(|(aid, _)| is_meant(aid));
        let applications = self.selectable(name).into_iter().map(Named::Application);
        applications.chain(directories.map(|(_, df)| Named::Directory(df))).collect()
    }

    /// The applications that a name selects: by their AID, else by a further name; the card issuer's security domain also by no
    /// name, and by those that cards give it.
    pub(crate) fn selectable(&self, name: &[u8]) -> Vec<ApplicationId> {
        let named = self.selectable_by_name(name);
        let is_issuer =
            |id: &ApplicationId| self.slot(*id).is_some_and(|slot| slot.record.privileges.contains(Privileges::ISSUER));
        let of_issuer = || -> Vec<ApplicationId> {
            let own = self.issuers(self.kernel.tree_domain);
            own.filter(|slot| self.is_selectable(&slot.record)).map(|slot| slot.id).collect()
        };
        let is_issuer_name =
            name.len() >= SHORTEST_ISSUER_NAME && ISSUER_NAMES.iter().any(|known| known.starts_with(name));
        if name.is_empty() || named.is_empty() && is_issuer_name {
            return of_issuer();
        }
        if self.issuers(self.kernel.tree_domain).any(|issuer| issuer.record.locks_card()) {
            let domain = self.kernel.tree_domain;
            return named.into_iter().filter(|id| id.domain != domain || is_issuer(id)).collect();
        }
        named
    }

    fn selectable_by_name(&self, name: &[u8]) -> Vec<ApplicationId> {
        let called = |is_called: &dyn Fn(&Aid) -> bool| -> Vec<ApplicationId> {
            let called = self.slots.iter().filter(|slot| is_called(&slot.record.aid));
            called.filter(|slot| self.is_selectable(&slot.record)).map(|slot| slot.id).collect()
        };
        let by_aid = called(&|aid| aid.matches(name));
        let mut further = self.profile.further_names.iter().filter(|(further, _)| further.matches(name));
        if by_aid.is_empty()
            && let Some((_, registered)) = further.next()
        {
            return called(&|aid| aid == registered);
        }
        by_aid
    }

    fn df_fcp(&mut self, command: &Command<'_>, df: &Place) -> Result<Vec<u8>, StatusWord> {
        self.on_files(command.class.channel(), |files| Ok(files.fcp(df)))
    }

    /// Whether a terminal may open a session: not with what is locked, nor with what has neither files nor commands of its
    /// own, as remote file management, which is reached by message only. TS 102 226 §8.2.
    fn is_selectable(&self, record: &ApplicationRecord) -> bool {
        record.is_selectable() && (record.adf.is_some() || self.has_commands(record.kind))
    }

    pub(crate) fn adf_of(&self, application: ApplicationId) -> Option<FileNumber> {
        self.slot(application)?.record.adf.filter(|_| application.domain == self.kernel.tree_domain)
    }
}
