//! Finding files by name: identifier, path, application. TS 102 221 §8.4, §11.1.1.
//!
//! A walk ends at the file named last, which is what becomes current: a directory that is a link stays itself, though its
//! children are those of the directory it leads to. What lies above a file is what it was named through: a directory below a
//! link has the link for its parent, as long as it was reached through it.

use super::{FileId, FileKind, FileNumber, FileSession, FileTree, LifeCycle};
use crate::dialect::Habits;
use apdu::{Command, Response, StatusWord};
use core::iter::successors;

/// P1: how the data names what to select.
pub(crate) mod by {
    pub(crate) const FILE_ID: u8 = 0x00;
    pub(crate) const CHILD_DF: u8 = 0x01;
    pub(crate) const PARENT_DF: u8 = 0x03;
    pub(crate) const DF_NAME: u8 = 0x04;
    pub(crate) const PATH_FROM_MF: u8 = 0x08;
    pub(crate) const PATH_FROM_CURRENT_DF: u8 = 0x09;
}

/// A directory, and those it was named through, from the MF on.
///
/// No directory is in it twice. One that links to a directory around it leads round, and named again is where it was first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    df: FileNumber,
    /// The directories below the MF, this one last, where there is a link among those above; else they are as the tree has
    /// them.
    through: Option<Box<Below>>,
}

/// Behind one thin pointer, for a route is handed on a lot and hardly ever has one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Below(Vec<FileNumber>);

impl Route {
    /// To the MF.
    pub(crate) const MF: Self = Self::of(FileNumber::MF);

    /// To a directory where it lies in the tree.
    pub(crate) const fn of(df: FileNumber) -> Self {
        Self { df, through: None }
    }

    /// The directory.
    pub(crate) const fn df(&self) -> FileNumber {
        self.df
    }

    /// The directory and those around it, the MF last.
    pub(crate) fn upwards(&self, tree: &FileTree) -> impl Iterator<Item = FileNumber> {
        let through = self.through.as_deref();
        let named = through.into_iter().flat_map(|Below(below)| below.iter().rev().copied().chain([FileNumber::MF]));
        named.chain(successors(through.is_none().then_some(self.df), |at| tree.parent(*at)))
    }

    /// On to a directory that the tree is only about to get.
    pub(super) fn down_to_new(self, df: FileNumber) -> Self {
        let through = self.through.map(|mut through| {
            through.0.push(df);
            through
        });
        Self { df, through }
    }

    /// To the directory around; the MF has none.
    pub(crate) fn parent(&self, tree: &FileTree) -> Option<Self> {
        let Some(Below(below)) = self.through.as_deref() else { return tree.parent(self.df).map(Self::of) };
        below.split_last().map(|(_, around)| Self::through(tree, around.to_vec()))
    }

    /// On to a directory below.
    pub(super) fn down(self, tree: &FileTree, df: FileNumber) -> Self {
        if self.through.is_none() && tree.parent(df) == Some(self.df) {
            return Self::of(df);
        }
        let mut below: Vec<FileNumber> = self.upwards(tree).filter(|above| *above != FileNumber::MF).collect();
        below.reverse();
        match below.iter().position(|above| *above == df) {
            Some(at) => below.truncate(at + 1),
            None => below.push(df),
        }
        Self::through(tree, below)
    }

    fn through(tree: &FileTree, below: Vec<FileNumber>) -> Self {
        let df = below.last().copied().unwrap_or(FileNumber::MF);
        let as_it_lies = below.iter().rev().copied().chain([FileNumber::MF]).eq(Self::of(df).upwards(tree));
        Self { df, through: (!as_it_lies).then(|| Box::new(Below(below))) }
    }
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The directory, as it was named; its PINs and rules of access count.
    pub(crate) route: Route,
    /// The file: an EF in that directory, or the directory itself.
    pub(crate) file: FileNumber,
}

impl From<Route> for Place {
    fn from(route: Route) -> Self {
        Self { file: route.df(), route }
    }
}

/// A tree seen from a current directory.
#[derive(Clone, Copy)]
pub(crate) struct Navigator<'a> {
    pub(crate) tree: &'a FileTree,
    /// The current directory.
    pub(crate) route: &'a Route,
    /// The directory of the application whose session is open, `7FFF`.
    pub(crate) adf: Option<FileNumber>,
    pub(crate) habits: Habits,
    /// Whether what only a SIM has is there.
    pub(crate) as_sim: bool,
}

impl Navigator<'_> {
    /// What P1 and the data of a command name. Only [`by::DF_NAME`] is not looked at here.
    pub(crate) fn find(&self, p1: u8, data: &[u8]) -> Result<Place, StatusWord> {
        let (pairs, []) = data.as_chunks::<2>() else { return Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2) };
        let fid = |pair: &[u8; 2]| FileId(u16::from_be_bytes(*pair));
        let place = match (p1, pairs) {
            (by::FILE_ID, []) => self.at(Route::MF),
            (by::FILE_ID, [pair]) => self.by_fid(fid(pair)),
            (by::CHILD_DF, [pair]) => self.child_df(fid(pair)),
            (by::PARENT_DF, []) => self.parent(),
            (by::PATH_FROM_MF, [_, ..]) => self.path_from_mf(pairs.iter().map(fid)),
            (by::PATH_FROM_CURRENT_DF, [_, ..]) => self.walk(self.route.clone(), pairs.iter().map(fid)),
            (by::FILE_ID | by::CHILD_DF | by::PARENT_DF | by::PATH_FROM_MF | by::PATH_FROM_CURRENT_DF, _) => {
                return Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2);
            }
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        place.ok_or(StatusWord::FILE_NOT_FOUND)
    }

    /// The MF, the current ADF, a child of the current DF, the DF itself, its parent, a DF beside it. TS 102 221 §8.4.1.
    pub(crate) fn by_fid(&self, fid: FileId) -> Option<Place> {
        match fid {
            FileId::MF => return self.at(Route::MF),
            FileId::CURRENT_ADF => return self.at(self.adf_route()?),
            _ => {}
        }
        let is_named = |route: &Route| {
            self.tree.get(route.df()).is_some_and(|file| file.fid == fid && !matches!(file.kind, FileKind::Adf(_)))
        };
        let parent = || self.route.parent(self.tree).unwrap_or(Route::MF);
        if let Some(child) = self.walk(self.route.clone(), [fid]) {
            return Some(child);
        }
        let itself_or_parent = [self.route.clone(), parent()].into_iter().find(is_named);
        let neighbour = itself_or_parent.and_then(|route| self.at(route)).or_else(|| self.down(parent(), fid));
        let neighbour = neighbour.filter(|_| !self.habits.contains(Habits::NO_NEIGHBOURS));
        neighbour.or_else(|| self.elsewhere(fid))
    }

    /// A file of this identifier where only some cards look: an ADF, or anywhere.
    fn elsewhere(&self, fid: FileId) -> Option<Place> {
        if self.habits.contains(Habits::FID_ANYWHERE) {
            let numbers = self.tree.numbers();
            let named =
                numbers.into_iter().find(|number| self.tree.get(*number).is_some_and(|file| file.fid == fid))?;
            return Some(Place { route: Route::of(self.tree.containing_df(named)), file: named });
        }
        let may = self.habits.contains(Habits::ADF_HAS_FID) && self.route.df() == FileNumber::MF;
        may.then(|| self.adf_called(fid)).flatten().map(Route::of).and_then(|route| self.at(route))
    }

    /// The ADF that has this file identifier, on cards where an ADF has one.
    fn adf_called(&self, fid: FileId) -> Option<FileNumber> {
        let called = |number: &FileNumber| self.tree.get(*number).is_some_and(|file| file.fid == fid);
        self.tree.adfs().map(|(_, number)| number).find(called)
    }

    /// The DF with this identifier directly below the current one.
    pub(crate) fn child_df(&self, fid: FileId) -> Option<Place> {
        self.down(self.route.clone(), fid)
    }

    /// The DF around the current one; the MF has none.
    pub(crate) fn parent(&self) -> Option<Place> {
        self.at(self.route.parent(self.tree)?)
    }

    /// A path from the MF, or from the current ADF where it begins with `7FFF`.
    pub(crate) fn path_from_mf(&self, path: impl IntoIterator<Item = FileId>) -> Option<Place> {
        let mut path = path.into_iter().peekable();
        match path.next_if(|first| [FileId::MF, FileId::CURRENT_ADF].contains(first)) {
            Some(FileId::CURRENT_ADF) => self.walk(self.adf_route()?, path),
            _ => self.walk(Route::MF, path),
        }
    }

    #[inline]
    fn walk(&self, start: Route, path: impl IntoIterator<Item = FileId>) -> Option<Place> {
        path.into_iter().try_fold(self.at(start)?, |place, fid| {
            if fid == FileId::MF && self.habits.contains(Habits::MF_IN_PATH) {
                return self.at(Route::MF);
            }
            // Below an EF there is nothing.
            let as_adf = || match place.file {
                FileNumber::MF if self.habits.contains(Habits::ADF_HAS_FID) => self.adf_called(fid),
                _ => None,
            };
            let file = self.child(place.file, fid).or_else(as_adf)?;
            let route = if self.tree.is_df(file) { place.route.down(self.tree, file) } else { place.route };
            Some(Place { route, file })
        })
    }

    fn down(&self, from: Route, fid: FileId) -> Option<Place> {
        let df = self.child(from.df(), fid).filter(|child| self.tree.is_df(*child))?;
        self.at(from.down(self.tree, df))
    }

    #[inline]
    fn child(&self, df: FileNumber, fid: FileId) -> Option<FileNumber> {
        let is_there = |child: &FileNumber| self.as_sim || self.tree.get(*child).is_some_and(|file| !file.sim_only);
        self.tree.child(df, fid).filter(is_there)
    }

    fn adf_route(&self) -> Option<Route> {
        let else_mf = || self.habits.contains(Habits::NO_APPLICATION_IS_MF).then_some(Route::MF);
        self.adf.map(Route::of).or_else(else_mf)
    }

    #[inline]
    fn at(&self, route: Route) -> Option<Place> {
        self.tree.get(route.df()).map(|_| route.into())
    }
}

/// Whether P2 asks for an answer. FCI (`00`) is answered with the FCP template, as cards do. TS 102 221 table 11.2.
pub(crate) const fn wants_answer(p2: u8) -> Result<bool, StatusWord> {
    const ANSWER: u8 = 0x0C;
    match p2 & ANSWER {
        0x00 | 0x04 => Ok(true),
        0x0C => Ok(false),
        _ => Err(StatusWord::WRONG_P1_P2),
    }
}

/// The status word of SELECT for a file in this state.
pub(crate) const fn after_select(life_cycle: LifeCycle) -> StatusWord {
    if life_cycle.is_terminated() {
        StatusWord::FILE_TERMINATED
    } else if life_cycle.is_activated() {
        StatusWord::OK
    } else {
        StatusWord::FILE_DEACTIVATED
    }
}

impl FileSession<'_, '_> {
    /// SELECT. By name it finds an ADF, or a DF that has one; whose session that opens is not for the file system to know.
    pub(super) fn select(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let answer = wants_answer(command.p2)?;
        if command.p2 & !0x0C != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let place = if command.p1 == by::DF_NAME {
            let mut named = self.tree.adfs().chain(self.tree.named_dfs());
            let named = named.find(|(aid, _)| !command.data.is_empty() && aid.matches(command.data));
            let (_, adf) = named.ok_or(StatusWord::FILE_NOT_FOUND)?;
            Route::of(adf).into()
        } else {
            let navigator = Navigator {
                tree: self.tree,
                route: &self.channel()?.route,
                adf: self.adf,
                habits: self.habits,
                as_sim: self.as_sim,
            };
            navigator.find(command.p1, command.data)?
        };
        let file = self.tree.get(place.file).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let sw = after_select(file.life_cycle);
        let data = if answer { self.fcp(&place) } else { Vec::new() };
        self.make_current(place)?;
        Ok(Response { data, sw })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AccessReference, File, Structure};
    use super::*;
    use apdu::Aid;

    /// MF with DF 7F10 (DF 5F3A with EF 4F30, DF 5F60 that links to it) and an ADF with EF 6F07.
    fn tree() -> FileTree {
        let rule = AccessReference { arr: FileId::MF_ARR, record: 1 };
        let ef = FileKind::Ef(Structure::Transparent { size: 2 });
        let mut tree = FileTree::default();
        let mf = tree.insert(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, rule)).unwrap();
        let telecom = tree.insert(File::new(FileId(0x7F10), mf, FileKind::Df, rule)).unwrap();
        let phonebook = tree.insert(File::new(FileId(0x5F3A), telecom, FileKind::Df, rule)).unwrap();
        tree.insert(File::new(FileId(0x4F30), phonebook, ef, rule)).unwrap();
        let link = File { link: Some(phonebook), ..File::new(FileId(0x5F60), telecom, FileKind::Df, rule) };
        tree.insert(link).unwrap();
        let adf = FileKind::Adf(Aid::new(&[0xA0, 0, 0, 0, 0x87]).unwrap());
        let adf = tree.insert(File::new(FileId(0x7FD0), mf, adf, rule)).unwrap();
        tree.insert(File::new(FileId(0x6F07), adf, ef, rule)).unwrap();
        tree
    }

    #[test]
    fn names_by_identifier_and_path() {
        let tree = tree();
        let routes: Vec<Route> = tree.numbers().into_iter().map(Route::of).collect();
        let from =
            |df: usize, adf| Navigator { tree: &tree, route: &routes[df], adf, habits: Habits::NONE, as_sim: false };
        let number = |place: Option<Place>| place.map(|place| (place.route.df().0, place.file.0));
        let telecom = from(1, None);
        assert_eq!(number(telecom.by_fid(FileId(0x5F3A))), Some((2, 2)), "a child");
        assert_eq!(number(telecom.by_fid(FileId(0x7F10))), Some((1, 1)), "the DF itself");
        assert_eq!(number(from(2, None).by_fid(FileId(0x7F10))), Some((1, 1)), "its parent");
        assert_eq!(number(from(2, None).by_fid(FileId(0x5F60))), Some((4, 4)), "a sibling");
        assert_eq!(number(from(2, None).by_fid(FileId::MF)), Some((0, 0)));
        assert_eq!(telecom.by_fid(FileId(0x7FD0)), None, "an ADF has no identifier");
        assert_eq!(number(from(5, None).parent()), Some((0, 0)));
        assert_eq!(from(0, None).parent(), None);
        assert_eq!(number(telecom.child_df(FileId(0x5F3A))), Some((2, 2)));
        assert_eq!(from(2, None).child_df(FileId(0x4F30)), None, "an EF is no DF");
        assert_eq!(number(telecom.path_from_mf([FileId::MF, FileId(0x7F10), FileId(0x5F3A)])), Some((2, 2)));
        assert_eq!(
            number(from(1, Some(FileNumber(5))).path_from_mf([FileId::CURRENT_ADF, FileId(0x6F07)])),
            Some((5, 6))
        );
        assert_eq!(telecom.path_from_mf([FileId::CURRENT_ADF]), None, "no application is selected");
        assert_eq!(telecom.find(by::PATH_FROM_MF, &[]), Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2));
        assert_eq!(telecom.find(by::FILE_ID, &[0x7F]), Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2));
        assert_eq!(telecom.find(2, &[0x7F, 0x10]), Err(StatusWord::WRONG_P1_P2));
    }

    /// A DF that is a link is named for itself, on the way as at the end. ISO/IEC 7816-4 §5.3.1.1.
    #[test]
    fn a_link_is_where_it_is_named() {
        let tree = tree();
        let place = |route: &[u16], file| {
            let below: Vec<FileNumber> = route.iter().copied().map(FileNumber).collect();
            Some(Place { route: Route::through(&tree, below), file: FileNumber(file) })
        };
        let mf = Navigator { tree: &tree, route: &Route::MF, adf: None, habits: Habits::NONE, as_sim: false };
        let through = mf.path_from_mf([FileId(0x7F10), FileId(0x5F60), FileId(0x4F30)]);
        assert_eq!(through, place(&[1, 4], 3));
        let direct = mf.path_from_mf([FileId(0x7F10), FileId(0x5F3A), FileId(0x4F30)]);
        assert_eq!(direct, place(&[1, 2], 3));
        let route = Route::of(FileNumber(4));
        let link = Navigator { tree: &tree, route: &route, adf: None, habits: Habits::NONE, as_sim: false };
        assert_eq!(link.by_fid(FileId(0x4F30)), through);
        assert_eq!(link.parent(), place(&[1], 1));
        assert_eq!(mf.path_from_mf([FileId(0x7F10), FileId(0x5F60)]), place(&[1, 4], 4));
    }

    /// Links to a directory around them lead round and round; what is current stays a place in the tree.
    #[test]
    fn a_link_that_leads_round_makes_no_endless_route() {
        let mut tree = tree();
        let rule = AccessReference { arr: FileId::MF_ARR, record: 1 };
        let round = |fid, to| File { link: Some(to), ..File::new(fid, FileNumber(1), FileKind::Df, rule) };
        let telecom = tree.insert(round(FileId(0x5F61), FileNumber(1))).unwrap();
        let mf = tree.insert(round(FileId(0x5F62), FileNumber::MF)).unwrap();
        let mut route = Route::of(FileNumber(1));
        for fid in [FileId(0x5F61), FileId(0x5F62), FileId(0x7F10)].into_iter().cycle().take(300) {
            let navigator = Navigator { tree: &tree, route: &route, adf: None, habits: Habits::NONE, as_sim: false };
            route = navigator.by_fid(fid).unwrap().route;
            assert!(route.upwards(&tree).count() <= 4, "{route:?}");
            assert!([FileNumber(1), telecom, mf].contains(&route.df()));
        }
    }
}
