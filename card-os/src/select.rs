//! SELECT and STATUS. TS 102 221 §11.1.1, §11.1.2, §8.4.

use crate::card::Card;
use crate::channel::Channel;
use crate::domain::ApplicationId;
use crate::fs::{FileId, FileKind, FileNumber, LifeCycle, Pins, fcp_of_df};
use crate::kernel::Kernel;
use crate::nvm::Transaction;
use apdu::{Command, Response, StatusWord};

/// P1: how the data names what to select.
mod by {
    pub(super) const FILE_ID: u8 = 0x00;
    pub(super) const CHILD_DF: u8 = 0x01;
    pub(super) const PARENT_DF: u8 = 0x03;
    pub(super) const DF_NAME: u8 = 0x04;
    pub(super) const PATH_FROM_MF: u8 = 0x08;
    pub(super) const PATH_FROM_CURRENT_DF: u8 = 0x09;
}

/// P2, bits 4 and 3: what to answer. FCI (`00`) is answered with the FCP template, as cards do.
const NO_DATA: u8 = 0x0C;
const ANSWER: u8 = 0x0C;
/// P2, bits 2 and 1: which of several applications.
const OCCURRENCE: u8 = 0x03;
/// P2, bits 7 and 6: application session control.
const SESSION: u8 = 0x60;
const TERMINATION: u8 = 0x40;

/// STATUS, P2: what to answer.
mod status {
    pub(super) const FCP: u8 = 0x00;
    pub(super) const DF_NAME: u8 = 0x01;
    pub(super) const NOTHING: u8 = 0x0C;
}

impl Card {
    /// SELECT. What fails changes nothing.
    pub(crate) fn select(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let answer = match command.p2 & ANSWER {
            0x00 | 0x04 => true,
            NO_DATA => false,
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        let name = command.p1 == by::DF_NAME;
        if command.p2 & 0x90 != 0 || (!name && command.p2 & (OCCURRENCE | SESSION) != 0) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let mut response = if name { self.select_application(command)? } else { self.select_file(command)? };
        if !answer {
            response.data.clear();
        }
        Ok(response)
    }

    fn select_file(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let number = command.class.channel();
        let channel = self.kernel.channel(number)?;
        let adf = channel.application.and_then(|application| self.adf_of(application));
        let tree = &self.kernel.tree;
        let path: Vec<FileId> = command
            .data
            .chunks(2)
            .map(|pair| <[u8; 2]>::try_from(pair).map(|pair| FileId(u16::from_be_bytes(pair))))
            .collect::<Result<_, _>>()
            .map_err(|_| StatusWord::LC_INCONSISTENT_WITH_P1_P2)?;
        let current = channel.current_df;
        let parent = |df: FileNumber| tree.get(df).map_or(FileNumber::MF, |file| file.parent);
        let found = match (command.p1, path.as_slice()) {
            (by::FILE_ID, [] | [FileId::MF]) => Some(FileNumber::MF),
            (by::FILE_ID, [FileId::CURRENT_ADF]) => adf,
            // A child of the current DF, the DF itself, its parent, a sibling.
            (by::FILE_ID, [fid]) => tree
                .child(current, *fid)
                .or_else(|| [current, parent(current)].into_iter().find(|df| is_named(&self.kernel, *df, *fid)))
                .or_else(|| tree.child_df(parent(current), *fid)),
            (by::CHILD_DF, [fid]) => tree.child_df(current, *fid),
            (by::PARENT_DF, []) => (current != FileNumber::MF).then(|| parent(current)),
            (by::PATH_FROM_MF, [FileId::CURRENT_ADF, rest @ ..]) => {
                adf.and_then(|adf| descend(&self.kernel, adf, rest))
            }
            (by::PATH_FROM_MF, [FileId::MF, rest @ ..] | rest) if !path.is_empty() => {
                descend(&self.kernel, FileNumber::MF, rest)
            }
            (by::PATH_FROM_CURRENT_DF, [_, ..]) => descend(&self.kernel, current, &path),
            (by::FILE_ID | by::CHILD_DF | by::PARENT_DF | by::PATH_FROM_MF | by::PATH_FROM_CURRENT_DF, _) => {
                return Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2);
            }
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        let found = found.filter(|file| tree.get(*file).is_some()).ok_or(StatusWord::FILE_NOT_FOUND)?;
        self.make_current(
            number,
            found,
            matches!(command.p1, by::PATH_FROM_MF | by::PATH_FROM_CURRENT_DF).then_some(&path),
        )
    }

    /// Makes a file current and answers its FCP.
    fn make_current(
        &mut self,
        number: u8,
        found: FileNumber,
        path: Option<&Vec<FileId>>,
    ) -> Result<Response, StatusWord> {
        let file = self.kernel.tree.get(found).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let life_cycle = file.life_cycle;
        if file.kind.is_df() {
            let data = self.df_fcp(found);
            self.kernel.channel_mut(number)?.select_df(found);
            return Ok(Response { data, sw: after_select(life_cycle) });
        }
        let elsewhere = !file.shareable
            && self.kernel.open_channels().any(|(other, channel)| other != number && channel.current_ef == Some(found));
        if elsewhere {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let data = self.kernel.tree.ef_fcp(found).to_vec();
        let df = path.map(|_| self.kernel.tree.containing_df(found));
        let channel = self.kernel.channel_mut(number)?;
        if let Some(df) = df {
            channel.select_df(df);
        }
        channel.select_ef(found);
        Ok(Response { data, sw: after_select(life_cycle) })
    }

    fn select_application(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let number = command.class.channel();
        let previous = self.kernel.channel(number)?.application;
        if command.data.is_empty() {
            // An empty name selects the card issuer's domain, where there is one; here it is the MF.
            return self.make_current(number, FileNumber::MF, None);
        }
        if command.data.len() > 16 {
            return Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2);
        }
        let matching: Vec<ApplicationId> =
            self.slots.iter().filter(|slot| slot.record.aid.matches(command.data)).map(|slot| slot.id).collect();
        let at = previous.and_then(|application| matching.iter().position(|id| *id == application));
        let chosen = match command.p2 & OCCURRENCE {
            0x00 => at.and_then(|at| matching.get(at)).or(matching.first()),
            0x01 => matching.last(),
            0x02 => matching.get(at.map_or(0, |at| at + 1)),
            _ => match at {
                Some(at) => at.checked_sub(1).and_then(|at| matching.get(at)),
                None => matching.last(),
            },
        };
        let chosen = *chosen.ok_or(StatusWord::FILE_NOT_FOUND)?;
        if command.p2 & SESSION == TERMINATION {
            if previous != Some(chosen) {
                return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
            }
            self.kernel.channel_mut(number)?.application = None;
            self.kernel.channel_mut(number)?.select_df(FileNumber::MF);
            self.session_ended(number, chosen);
            return Ok(Response::done());
        }
        let response = if let Some(adf) = self.adf_of(chosen) {
            let life_cycle = self.kernel.tree.get(adf).ok_or(StatusWord::FILE_NOT_FOUND)?.life_cycle;
            let data = self.df_fcp(adf);
            self.kernel.channel_mut(number)?.select_df(adf);
            Response { data, sw: after_select(life_cycle) }
        } else {
            let data = self.run(chosen, number, |application, cx| application.select(cx))?;
            self.kernel.channel_mut(number)?.select_df(FileNumber::MF);
            Response::ok(data)
        };
        self.kernel.channel_mut(number)?.application = Some(chosen);
        if let Some(previous) = previous.filter(|previous| *previous != chosen) {
            self.session_ended(number, previous);
        }
        Ok(response)
    }

    /// STATUS: what is current. It also is how a terminal asks whether a proactive command waits.
    pub(crate) fn status(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1 > 0x02 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let Channel { application, current_df, .. } = *self.kernel.channel(command.class.channel())?;
        match command.p2 {
            status::FCP => Ok(Response::ok(self.df_fcp(current_df))),
            status::DF_NAME => {
                let slot = application.and_then(|application| self.slot(application));
                let aid = slot.map(|slot| slot.record.aid).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
                let mut name = apdu::tlv::Writer::new();
                name.primitive(apdu::tlv::Tag(0x84), &aid);
                Ok(Response::ok(name.into_bytes()))
            }
            status::NOTHING => Ok(Response::done()),
            _ => Err(StatusWord::WRONG_P1_P2),
        }
    }

    fn df_fcp(&mut self, df: FileNumber) -> Vec<u8> {
        let free = self.profile.non_volatile_memory.saturating_sub(self.nvm.used());
        let (tree, domain) = (&self.kernel.tree, self.kernel.tree_domain);
        let nvm = Transaction::new(&mut *self.nvm);
        let pins = Pins { nvm: &nvm, tree, domain };
        let enabled = |reference| pins.find(df, crate::fs::KeyReference(reference)).is_some_and(|(_, pin)| pin.enabled);
        fcp_of_df(tree, df, enabled, free)
    }

    fn adf_of(&self, application: ApplicationId) -> Option<FileNumber> {
        self.slot(application)?.record.adf.filter(|_| application.domain == self.kernel.tree_domain)
    }
}

const fn after_select(life_cycle: LifeCycle) -> StatusWord {
    if life_cycle.is_terminated() {
        StatusWord::FILE_TERMINATED
    } else if life_cycle.is_activated() {
        StatusWord::OK
    } else {
        StatusWord::FILE_DEACTIVATED
    }
}

fn descend(kernel: &Kernel, start: FileNumber, path: &[FileId]) -> Option<FileNumber> {
    path.iter().try_fold(start, |df, fid| kernel.tree.child(df, *fid))
}

/// Whether a host may call this DF by `fid`. An ADF's identifier is internal.
fn is_named(kernel: &Kernel, df: FileNumber, fid: FileId) -> bool {
    kernel.tree.get(df).is_some_and(|file| file.fid == fid && !matches!(file.kind, FileKind::Adf(_)))
}
