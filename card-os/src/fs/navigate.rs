//! Finding files by name: identifier, path, application. TS 102 221 §8.4, §11.1.1.
//!
//! A walk ends at the file named last, which is what becomes current: a directory that is a link stays itself, though its
//! children are those of the directory it leads to.

use super::{FileId, FileKind, FileNumber, FileSession, FileTree, LifeCycle};
use apdu::{Command, Response, StatusWord};

/// P1: how the data names what to select.
pub(crate) mod by {
    pub(crate) const FILE_ID: u8 = 0x00;
    pub(crate) const CHILD_DF: u8 = 0x01;
    pub(crate) const PARENT_DF: u8 = 0x03;
    pub(crate) const DF_NAME: u8 = 0x04;
    pub(crate) const PATH_FROM_MF: u8 = 0x08;
    pub(crate) const PATH_FROM_CURRENT_DF: u8 = 0x09;
}

/// Where a name leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The directory, as it was named; its PINs and rules of access count.
    pub(crate) df: FileNumber,
    /// The file: an EF in that directory, or the directory itself.
    pub(crate) file: FileNumber,
}

/// A tree seen from a current directory.
#[derive(Clone, Copy)]
pub(crate) struct Navigator<'a> {
    pub(crate) tree: &'a FileTree,
    /// The current directory.
    pub(crate) df: FileNumber,
    /// The directory of the application whose session is open, `7FFF`.
    pub(crate) adf: Option<FileNumber>,
}

impl Navigator<'_> {
    /// What P1 and the data of a command name. Only [`by::DF_NAME`] is not looked at here.
    pub(crate) fn find(&self, p1: u8, data: &[u8]) -> Result<Place, StatusWord> {
        let (pairs, []) = data.as_chunks::<2>() else { return Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2) };
        let path: Vec<FileId> = pairs.iter().map(|pair| FileId(u16::from_be_bytes(*pair))).collect();
        let place = match (p1, path.as_slice()) {
            (by::FILE_ID, []) => self.at(FileNumber::MF),
            (by::FILE_ID, [fid]) => self.by_fid(*fid),
            (by::CHILD_DF, [fid]) => self.child_df(*fid),
            (by::PARENT_DF, []) => self.parent(),
            (by::PATH_FROM_MF, [_, ..]) => self.path_from_mf(&path),
            (by::PATH_FROM_CURRENT_DF, [_, ..]) => self.walk(self.df, &path),
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
            FileId::MF => return self.at(FileNumber::MF),
            FileId::CURRENT_ADF => return self.at(self.adf?),
            _ => {}
        }
        let parent = self.tree.get(self.df)?.parent;
        let is_named = |df: &FileNumber| {
            self.tree.get(*df).is_some_and(|file| file.fid == fid && !matches!(file.kind, FileKind::Adf(_)))
        };
        self.walk(self.df, &[fid])
            .or_else(|| [self.df, parent].into_iter().find(is_named).and_then(|df| self.at(df)))
            .or_else(|| self.at(self.tree.child_df(parent, fid)?))
    }

    /// The DF with this identifier directly below the current one.
    pub(crate) fn child_df(&self, fid: FileId) -> Option<Place> {
        self.at(self.tree.child_df(self.df, fid)?)
    }

    /// The DF around the current one; the MF has none.
    pub(crate) fn parent(&self) -> Option<Place> {
        if self.df == FileNumber::MF { None } else { self.at(self.tree.get(self.df)?.parent) }
    }

    /// A path from the MF, or from the current ADF where it begins with `7FFF`.
    pub(crate) fn path_from_mf(&self, path: &[FileId]) -> Option<Place> {
        match path {
            [FileId::CURRENT_ADF, rest @ ..] => self.walk(self.adf?, rest),
            [FileId::MF, rest @ ..] | rest => self.walk(FileNumber::MF, rest),
        }
    }

    fn walk(&self, start: FileNumber, path: &[FileId]) -> Option<Place> {
        path.iter().try_fold(self.at(start)?, |place, fid| {
            let file = self.tree.child(place.file, *fid)?;
            let df = if self.tree.is_df(file) { file } else { place.file };
            Some(Place { df, file })
        })
    }

    fn at(&self, df: FileNumber) -> Option<Place> {
        self.tree.get(df).map(|_| Place { df, file: df })
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
    /// SELECT. By name it finds an ADF; whose session that opens is not for the file system to know.
    pub(super) fn select(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let answer = wants_answer(command.p2)?;
        if command.p2 & !0x0C != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let place = if command.p1 == by::DF_NAME {
            let mut adfs = self.tree.adfs();
            let named = adfs.find(|(aid, _)| !command.data.is_empty() && aid.matches(command.data));
            let (_, adf) = named.ok_or(StatusWord::FILE_NOT_FOUND)?;
            Place { df: adf, file: adf }
        } else {
            let navigator = Navigator { tree: self.tree, df: self.channel()?.current_df, adf: self.adf };
            navigator.find(command.p1, command.data)?
        };
        let file = self.tree.get(place.file).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let sw = after_select(file.life_cycle);
        let data = if answer { self.fcp(place.file) } else { Vec::new() };
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
        let from = |df, adf| Navigator { tree: &tree, df: FileNumber(df), adf };
        let number = |place: Option<Place>| place.map(|place| (place.df.0, place.file.0));
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
        assert_eq!(number(telecom.path_from_mf(&[FileId::MF, FileId(0x7F10), FileId(0x5F3A)])), Some((2, 2)));
        assert_eq!(
            number(from(1, Some(FileNumber(5))).path_from_mf(&[FileId::CURRENT_ADF, FileId(0x6F07)])),
            Some((5, 6))
        );
        assert_eq!(telecom.path_from_mf(&[FileId::CURRENT_ADF]), None, "no application is selected");
        assert_eq!(telecom.find(by::PATH_FROM_MF, &[]), Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2));
        assert_eq!(telecom.find(by::FILE_ID, &[0x7F]), Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2));
        assert_eq!(telecom.find(2, &[0x7F, 0x10]), Err(StatusWord::WRONG_P1_P2));
    }

    /// A DF that is a link is named for itself, on the way as at the end. ISO/IEC 7816-4 §5.3.1.1.
    #[test]
    fn a_link_is_where_it_is_named() {
        let tree = tree();
        let mf = Navigator { tree: &tree, df: FileNumber::MF, adf: None };
        let through = mf.path_from_mf(&[FileId(0x7F10), FileId(0x5F60), FileId(0x4F30)]);
        assert_eq!(through, Some(Place { df: FileNumber(4), file: FileNumber(3) }));
        let direct = mf.path_from_mf(&[FileId(0x7F10), FileId(0x5F3A), FileId(0x4F30)]);
        assert_eq!(direct, Some(Place { df: FileNumber(2), file: FileNumber(3) }));
        let link = Navigator { tree: &tree, df: FileNumber(4), adf: None };
        assert_eq!(link.by_fid(FileId(0x4F30)), through);
        assert_eq!(link.parent(), Some(Place { df: FileNumber(1), file: FileNumber(1) }));
        assert_eq!(mf.path_from_mf(&[FileId(0x7F10), FileId(0x5F60)]).map(|place| place.df), Some(FileNumber(4)));
    }
}
