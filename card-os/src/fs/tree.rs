//! The index over a domain's files.

use super::fcp;
use super::{AccessReference, AccessRules, File, FileId, FileKind, FileNumber, LifeCycle, Security};
use apdu::Aid;
use std::sync::Arc;

/// A domain's files, indexed for selection. The contents stay in non-volatile memory.
#[derive(Clone, Debug, Default)]
pub struct FileTree {
    nodes: Vec<Option<Node>>,
}

#[derive(Clone, Debug)]
struct Node {
    file: File,
    /// EFs and DFs below, not ADFs.
    children: Vec<(FileId, FileNumber)>,
    /// The FCP of an EF; that of a DF shows PIN states and is made when asked for.
    fcp: Vec<u8>,
    rules: Rules,
    /// The life cycle status that counts: its own, or that of a directory above which is not activated.
    state: LifeCycle,
}

/// The access rules of a file, read from where its security attributes say.
#[derive(Clone, Debug)]
enum Rules {
    One(Arc<AccessRules>),
    /// By security environment.
    BySe(Vec<(u8, Arc<AccessRules>)>),
}

impl Default for Rules {
    fn default() -> Self {
        Self::One(Arc::default())
    }
}

/// Why a file does not fit into a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// The parent is not there or is no DF.
    NoParent,
    /// The parent already holds a file with this identifier, or the tree an ADF with this AID.
    Exists,
    /// The tree holds 65,535 files.
    Full,
}

impl FileTree {
    /// Puts a file into the tree. The first must be the MF.
    pub fn insert(&mut self, file: File) -> Result<FileNumber, PathError> {
        let number = u16::try_from(self.nodes.len()).map(FileNumber).map_err(|_| PathError::Full)?;
        self.place(number, file)?;
        Ok(number)
    }

    /// Takes the file inserted last out again.
    pub(crate) fn remove_last(&mut self) {
        let Some(Node { file, .. }) = self.nodes.pop().flatten() else { return };
        if !matches!(file.kind, FileKind::Mf | FileKind::Adf(_))
            && let Some(parent) = self.node_mut(file.parent)
        {
            parent.children.pop();
        }
    }

    /// Rebuilds a tree from stored descriptors.
    pub(crate) fn from_stored(files: impl Iterator<Item = (FileNumber, File)>) -> Self {
        let mut tree = Self::default();
        for (number, file) in files {
            // A descriptor that does not fit is out of reach, no reason to lose the others.
            let _ = tree.place(number, file);
        }
        tree
    }

    fn place(&mut self, number: FileNumber, file: File) -> Result<(), PathError> {
        let is_root = number == FileNumber::MF;
        if is_root != matches!(file.kind, FileKind::Mf) {
            return Err(PathError::NoParent);
        }
        if !is_root {
            let parent = self.node(file.parent).filter(|node| node.file.kind.is_df()).ok_or(PathError::NoParent)?;
            let exists = match file.kind {
                FileKind::Adf(aid) => self.adf(&aid).is_some(),
                _ => parent.children.iter().any(|(fid, _)| *fid == file.fid),
            };
            if exists {
                return Err(PathError::Exists);
            }
        }
        let at = usize::from(number.0);
        if self.nodes.len() <= at {
            self.nodes.resize_with(at + 1, || None);
        }
        if !is_root && !matches!(file.kind, FileKind::Adf(_)) {
            let (fid, parent) = (file.fid, file.parent);
            if let Some(parent) = self.node_mut(parent) {
                parent.children.push((fid, number));
            }
        }
        if let Some(slot) = self.nodes.get_mut(at) {
            let state = file.life_cycle;
            *slot = Some(Node { file, children: Vec::new(), fcp: Vec::new(), rules: Rules::default(), state });
        }
        Ok(())
    }

    /// Works out access rules and FCPs; `content` gives a file's content by number.
    pub(crate) fn link_up(&mut self, content: impl Fn(FileNumber) -> Vec<u8>) {
        let mut known: Vec<((FileNumber, u8), Arc<AccessRules>)> = Vec::new();
        for number in self.numbers() {
            let Some(file) = self.get(number) else { continue };
            let arr = file.access.arr().and_then(|arr| self.arr_of(number, arr));
            let mut record = |record: u8| {
                let Some(arr) = arr else { return Arc::default() };
                if let Some((_, rules)) = known.iter().find(|(key, _)| *key == (arr, record)) {
                    return Arc::clone(rules);
                }
                let rules = Arc::new(self.parse_rules(arr, record, &content));
                known.push(((arr, record), Arc::clone(&rules)));
                rules
            };
            let rules = match &file.access {
                Security::Arr(AccessReference { record: number, .. }) => Rules::One(record(*number)),
                Security::ArrBySe { records, .. } => {
                    Rules::BySe(records.iter().map(|(environment, number)| (*environment, record(*number))).collect())
                }
                Security::Expanded(rules) => Rules::One(Arc::new(AccessRules::parse(rules))),
                Security::Compact(rules) => Rules::One(Arc::new(AccessRules::parse_compact(rules))),
            };
            let fcp = fcp::of_ef(self, number);
            if let Some(node) = self.node_mut(number) {
                (node.rules, node.fcp) = (rules, fcp);
            }
        }
        self.work_out_states();
    }

    /// Works out which life cycle status counts for each file: nothing is in use below a directory that is not.
    fn work_out_states(&mut self) {
        for number in self.numbers() {
            let upwards = core::iter::successors(Some(number), |at| self.parent(*at));
            let states = upwards.filter_map(|at| self.get(at)).map(|file| file.life_cycle);
            let counts = states.filter(|state| !state.is_activated()).max_by_key(|state| state.is_terminated());
            if let Some(node) = self.node_mut(number) {
                node.state = counts.unwrap_or(node.file.life_cycle);
            }
        }
    }

    /// Puts a file that was created into a tree in use.
    pub(crate) fn create(&mut self, number: FileNumber, file: File, content: impl Fn(FileNumber) -> Vec<u8>) {
        if self.place(number, file).is_ok() {
            self.link_up(content);
        }
    }

    /// Replaces a file's descriptor; where it is and what it is called stays.
    pub(crate) fn replace(&mut self, number: FileNumber, file: File, content: impl Fn(FileNumber) -> Vec<u8>) {
        if let Some(node) = self.node_mut(number) {
            node.file = file;
            self.link_up(content);
        }
    }

    /// Takes a file out with all that lies below it.
    pub(crate) fn remove(&mut self, number: FileNumber, content: impl Fn(FileNumber) -> Vec<u8>) {
        let parent = self.get(number).map(|file| file.parent);
        for gone in self.subtree(number) {
            if let Some(slot) = self.nodes.get_mut(usize::from(gone.0)) {
                *slot = None;
            }
        }
        if let Some(parent) = parent.and_then(|parent| self.node_mut(parent)) {
            parent.children.retain(|(_, child)| *child != number);
        }
        self.link_up(content);
    }

    /// A file and all that lies below it, itself first.
    pub(crate) fn subtree(&self, number: FileNumber) -> Vec<FileNumber> {
        let mut found = vec![number];
        let mut at = 0;
        while let Some(node) = found.get(at).map(|number| self.node(*number)) {
            found.extend(node.into_iter().flat_map(|node| node.children.iter().map(|(_, child)| *child)));
            at += 1;
        }
        found
    }

    /// A number that no file has had since the tree was loaded.
    pub(crate) fn next_number(&self) -> Option<FileNumber> {
        u16::try_from(self.nodes.len()).ok().filter(|number| *number < u16::MAX).map(FileNumber)
    }

    /// Whether the use of the card has ended for good. TS 102 222 §6.9.
    #[inline]
    pub(crate) fn is_terminated(&self) -> bool {
        self.state(FileNumber::MF).is_some_and(LifeCycle::is_terminated)
    }

    /// The life cycle status that counts for a file.
    #[inline]
    pub(crate) fn state(&self, number: FileNumber) -> Option<LifeCycle> {
        self.node(number).map(|node| node.state)
    }

    fn parse_rules(&self, arr: FileNumber, record: u8, content: &impl Fn(FileNumber) -> Vec<u8>) -> AccessRules {
        let Some(FileKind::Ef(super::Structure::LinearFixed { record_length, .. })) = self.get(arr).map(|f| f.kind)
        else {
            return AccessRules::default();
        };
        let content = content(self.body(arr));
        let record = usize::from(record).checked_sub(1);
        record
            .and_then(|record| content.chunks(usize::from(record_length).max(1)).nth(record))
            .map(AccessRules::parse)
            .unwrap_or_default()
    }

    /// The EF.ARR a file refers to: in its DF (a DF's own directory first), then upwards.
    fn arr_of(&self, number: FileNumber, arr: FileId) -> Option<FileNumber> {
        let mut df = self.containing_df(number);
        loop {
            if let Some(found) = self.child(df, arr) {
                return Some(found);
            }
            if df == FileNumber::MF {
                return None;
            }
            df = self.get(df)?.parent;
        }
    }

    /// Takes note that a file's content changed: if it is an EF.ARR, rules change with it.
    pub(crate) fn content_changed(&mut self, number: FileNumber, content: impl Fn(FileNumber) -> Vec<u8>) {
        let body = self.body(number);
        let is_arr = |fid| self.nodes.iter().flatten().any(|node| node.file.access.arr() == Some(fid));
        if [number, body].iter().any(|n| self.get(*n).is_some_and(|file| is_arr(file.fid))) {
            self.link_up(content);
        }
    }

    /// Changes a file's life cycle status.
    pub(crate) fn set_life_cycle(&mut self, number: FileNumber, life_cycle: LifeCycle) {
        if let Some(node) = self.node_mut(number) {
            node.file.life_cycle = life_cycle;
        }
        let fcp = fcp::of_ef(self, number);
        if let Some(node) = self.node_mut(number) {
            node.fcp = fcp;
        }
        self.work_out_states();
    }

    /// A file's descriptor.
    pub fn get(&self, number: FileNumber) -> Option<&File> {
        self.node(number).map(|node| &node.file)
    }

    /// A file's descriptor, to change while the tree is staged.
    pub fn get_mut(&mut self, number: FileNumber) -> Option<&mut File> {
        self.node_mut(number).map(|node| &mut node.file)
    }

    /// The numbers of all files, ascending.
    pub fn numbers(&self) -> Vec<FileNumber> {
        (0_u16..).zip(&self.nodes).filter(|(_, node)| node.is_some()).map(|(number, _)| FileNumber(number)).collect()
    }

    /// The file named `fid` directly below `df`. An ADF has no name there.
    pub fn child(&self, df: FileNumber, fid: FileId) -> Option<FileNumber> {
        let node = self.node(self.body(df))?;
        node.children.iter().find(|(name, _)| *name == fid).map(|(_, number)| *number)
    }

    /// The files directly below `df`, in the order they were created.
    pub fn children(&self, df: FileNumber) -> impl Iterator<Item = FileNumber> {
        self.node(self.body(df)).into_iter().flat_map(|node| node.children.iter().map(|(_, number)| *number))
    }

    /// The EF with this short file identifier directly below `df`.
    pub fn by_sfi(&self, df: FileNumber, sfi: u8) -> Option<FileNumber> {
        self.children(df).find(|number| self.get(*number).is_some_and(|file| file.sfi == Some(sfi)))
    }

    /// The EF with this short file identifier below the same ADF as `df`, or below the MF and no ADF.
    pub(crate) fn by_sfi_around(&self, df: FileNumber, sfi: u8) -> Option<FileNumber> {
        let root = self.root_of(df);
        let numbers = self.numbers().into_iter();
        let mut called = numbers.filter(|number| self.get(*number).is_some_and(|file| file.sfi == Some(sfi)));
        called.find(|number| self.root_of(*number) == root)
    }

    /// The ADF that a file lies below, or the MF.
    fn root_of(&self, number: FileNumber) -> FileNumber {
        let mut upwards = core::iter::successors(Some(number), |at| self.parent(*at));
        let is_adf = |at: &FileNumber| self.get(*at).is_some_and(|file| matches!(file.kind, FileKind::Adf(_)));
        upwards.find(is_adf).unwrap_or(FileNumber::MF)
    }

    /// The ADF of an application.
    pub fn adf(&self, aid: &[u8]) -> Option<FileNumber> {
        self.adfs().find(|(name, _)| &**name == aid).map(|(_, number)| number)
    }

    /// All ADFs.
    pub fn adfs(&self) -> impl Iterator<Item = (Aid, FileNumber)> {
        (0_u16..).zip(&self.nodes).filter_map(|(number, node)| match node.as_ref()?.file.kind {
            FileKind::Adf(aid) => Some((aid, FileNumber(number))),
            _ => None,
        })
    }

    /// The directories that are no application's and have a name.
    pub fn named_dfs(&self) -> impl Iterator<Item = (Aid, FileNumber)> {
        (0_u16..).zip(&self.nodes).filter_map(|(number, node)| Some((node.as_ref()?.file.df_name?, FileNumber(number))))
    }

    /// The file a profile package names by path from the MF, where an ADF goes by its internal identifier.
    pub fn by_path(&self, path: &[FileId]) -> Option<FileNumber> {
        let path = path.strip_prefix(&[FileId::MF]).unwrap_or(path);
        path.iter().try_fold(FileNumber::MF, |df, fid| {
            self.child(df, *fid).or_else(|| {
                let adf = |file: &File| matches!(file.kind, FileKind::Adf(_)) && file.fid == *fid;
                self.numbers().into_iter().find(|number| df == FileNumber::MF && self.get(*number).is_some_and(adf))
            })
        })
    }

    /// The file that holds the content or the children of `number`: itself, or what it links to.
    pub fn body(&self, number: FileNumber) -> FileNumber {
        self.get(number).and_then(|file| file.link).unwrap_or(number)
    }

    /// The DF whose PINs and rules apply to a file: itself for a DF, its parent for an EF.
    pub fn containing_df(&self, number: FileNumber) -> FileNumber {
        match self.get(number) {
            Some(file) if !file.kind.is_df() => file.parent,
            _ => number,
        }
    }

    /// The DF around a file where it lies; the MF has none.
    pub(crate) fn parent(&self, number: FileNumber) -> Option<FileNumber> {
        let parent = || self.get(number).map_or(FileNumber::MF, |file| file.parent);
        (number != FileNumber::MF).then(parent)
    }

    /// Whether `number` is a DF.
    pub fn is_df(&self, number: FileNumber) -> bool {
        self.get(number).is_some_and(|file| file.kind.is_df())
    }

    /// The access rules of a file; where they depend on the security environment, those of the one in which the application's
    /// PIN is asked for.
    pub fn rules(&self, number: FileNumber) -> &AccessRules {
        self.rules_in(number, || super::SE_APPLICATION_PIN)
    }

    /// The access rules of a file in a security environment, which is asked for only if it matters.
    pub(crate) fn rules_in(&self, number: FileNumber, environment: impl FnOnce() -> u8) -> &AccessRules {
        static NONE: AccessRules = AccessRules::none();
        match self.node(number).map(|node| &node.rules) {
            Some(Rules::One(rules)) => rules,
            Some(Rules::BySe(rules)) => {
                let environment = environment();
                rules.iter().find(|(known, _)| *known == environment).map_or(&NONE, |(_, rules)| rules)
            }
            None => &NONE,
        }
    }

    /// The FCP of an EF.
    pub(crate) fn ef_fcp(&self, number: FileNumber) -> &[u8] {
        self.node(number).map_or(&[], |node| &node.fcp)
    }

    fn node(&self, number: FileNumber) -> Option<&Node> {
        self.nodes.get(usize::from(number.0))?.as_ref()
    }

    fn node_mut(&mut self, number: FileNumber) -> Option<&mut Node> {
        self.nodes.get_mut(usize::from(number.0))?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Structure;
    use super::*;

    const RULE: AccessReference = AccessReference { arr: FileId::MF_ARR, record: 1 };

    fn tree() -> FileTree {
        let mut tree = FileTree::default();
        let mf = tree.insert(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, RULE)).unwrap();
        let df = tree.insert(File::new(FileId(0x7F10), mf, FileKind::Df, RULE)).unwrap();
        let ef = FileKind::Ef(Structure::Transparent { size: 2 });
        tree.insert(File { sfi: Some(5), ..File::new(FileId(0x6F3A), df, ef, RULE) }).unwrap();
        let adf = FileKind::Adf(Aid::new(&[0xA0, 0, 0, 0, 0x87]).unwrap());
        let adf = tree.insert(File::new(FileId(0x7FD0), mf, adf, RULE)).unwrap();
        tree.insert(File::new(FileId(0x6F07), adf, ef, RULE)).unwrap();
        tree
    }

    #[test]
    fn names_lead_to_files() {
        let tree = tree();
        assert_eq!(tree.child(FileNumber::MF, FileId(0x7F10)), Some(FileNumber(1)));
        assert_eq!(tree.by_sfi(FileNumber(1), 5), Some(FileNumber(2)));
        assert_eq!(tree.by_path(&[FileId::MF, FileId(0x7FD0), FileId(0x6F07)]), Some(FileNumber(4)));
        assert_eq!(tree.adf(&[0xA0, 0, 0, 0, 0x87]), Some(FileNumber(3)));
        assert_eq!(tree.child(FileNumber::MF, FileId(0x7FD0)), None, "an ADF has no file identifier");
    }

    #[test]
    fn doubles_and_orphans_are_refused() {
        let mut tree = tree();
        let again = File::new(FileId(0x7F10), FileNumber::MF, FileKind::Df, RULE);
        assert_eq!(tree.insert(again), Err(PathError::Exists));
        let orphan = File::new(FileId(1), FileNumber(77), FileKind::Df, RULE);
        assert_eq!(tree.insert(orphan), Err(PathError::NoParent));
        let below_an_ef = File::new(FileId(1), FileNumber(2), FileKind::Df, RULE);
        assert_eq!(tree.insert(below_an_ef), Err(PathError::NoParent));
    }
}
