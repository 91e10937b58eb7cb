//! What is known of a logical channel: the selected application, directory and file, and what is still on its way.

use std::fmt::Write as _;

use apdu::Ins;
use saip::templates::{named, named_adf, named_by_sfi};

use crate::answer::Answer;
use crate::hex;
use crate::profile::Package;
use crate::session::Topic;
use crate::tables::fcp::Known;

/// The MF.
pub(crate) const MF: u16 = 0x3F00;

/// A logical channel.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    /// The application selected by its AID.
    pub(crate) application: Option<Vec<u8>>,
    pub(crate) directory: Directory,
    pub(crate) file: Option<File>,
    /// What GET RESPONSE will bring.
    pub(crate) pending: Option<Pending>,
    /// Blocks of a STORE DATA that is not complete.
    pub(crate) chain: Vec<u8>,
    /// How many.
    pub(crate) blocks: u64,
    /// Blocks that are missing before the last one that came.
    pub(crate) missing: Option<String>,
    /// The last command, if more commands of its chain follow.
    pub(crate) chained: Option<Ins>,
    /// The bound profile package that is being loaded.
    pub(crate) package: Option<Package>,
    /// A command that was answered with its right length, to be sent again.
    retried: Option<(u64, Vec<u8>)>,
}

/// A directory: the MF or an ADF, and DFs below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    /// The AID of the ADF; none below the MF.
    pub(crate) adf: Option<Vec<u8>>,
    /// Identifiers from there down.
    pub(crate) dfs: Vec<u16>,
    /// Whether it is known that this is where they begin; else a recording began in the middle, or the application has no name here.
    pub(crate) is_known: bool,
}

/// The current EF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) id: Option<u16>,
    pub(crate) name: Option<&'static str>,
    pub(crate) sfi: Option<u8>,
    /// Octets it has, if its FCP was seen.
    pub(crate) size: Option<usize>,
    /// What was read of it from its beginning, while parts are missing.
    pub(crate) read: Vec<u8>,
}

impl File {
    pub(crate) const fn new(id: Option<u16>, name: Option<&'static str>) -> Self {
        Self { id, name, sfi: None, size: None, read: Vec::new() }
    }

    /// `EF.IMSI`, or its identifier.
    pub(crate) fn shown(&self) -> String {
        match (self.name, self.id) {
            (Some(name), _) => name.to_owned(),
            (None, Some(id)) => format!("{id:04X}"),
            (None, None) => "a file".to_owned(),
        }
    }
}

/// What a response still has to bring.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) number: u64,
    pub(crate) summary: String,
    pub(crate) topic: Topic,
    pub(crate) answer: Answer,
    pub(crate) data: Vec<u8>,
}

/// What a command changes if it succeeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing that matters here.
    #[default]
    None,
    /// An application is selected.
    Application(Vec<u8>),
    /// A directory is selected.
    Directory(Directory),
    /// A file is selected, and the directory it lies in.
    File(Directory, Option<u16>, Option<&'static str>),
    /// A file of the current directory becomes the current one by its short identifier.
    Short(u8),
    /// A channel is opened; without a number the card chooses one.
    Open { number: Option<u8> },
    /// A channel is closed.
    Close { number: u8 },
}

impl Directory {
    pub(crate) fn mf() -> Self {
        Self { is_known: true, ..Self::default() }
    }

    pub(crate) fn adf(aid: &[u8]) -> Self {
        Self { adf: Some(aid.to_vec()), dfs: Vec::new(), is_known: named_adf(aid).is_some() }
    }

    /// The DF below.
    pub(crate) fn below(&self, df: u16) -> Self {
        let mut below = self.clone();
        // As deep as the file tree of no card is; a recording may say anything.
        if below.dfs.len() < 8 {
            below.dfs.push(df);
        }
        below
    }

    /// The directory above; the MF and ADFs have none.
    pub(crate) fn above(&self) -> Option<Self> {
        let mut above = self.clone();
        above.dfs.pop().map(|_| above)
    }

    /// The name of what has this identifier here.
    pub(crate) fn name_of(&self, id: u16) -> Option<&'static str> {
        let within = self.dfs.last().copied();
        let found = named(self.adf.as_deref(), within, id).map(|file| file.name);
        found.or_else(|| self.adf.is_none().then(|| crate::tables::gsm::name(within, id)).flatten())
    }

    /// Name and identifier of what has this short identifier here. Each directory has other ones.
    pub(crate) fn short(&self, sfi: u8) -> Option<(u16, &'static str)> {
        if !self.is_known && self.dfs.is_empty() {
            return None;
        }
        named_by_sfi(self.adf.as_deref(), self.dfs.last().copied(), sfi).map(|file| (file.file_id, file.name))
    }

    /// `ADF.USIM/DF.5GS`.
    pub(crate) fn shown(&self) -> String {
        let mut shown = match &self.adf {
            None => "MF".to_owned(),
            Some(aid) => match named_adf(aid) {
                Some(adf) => adf.name.to_owned(),
                None => crate::application::name(aid).map_or_else(|| hex(aid), str::to_owned),
            },
        };
        for (level, df) in self.dfs.iter().enumerate() {
            let dfs = self.dfs.get(..level).unwrap_or_default().to_vec();
            let above = Self { dfs, ..self.clone() };
            shown.push('/');
            match above.name_of(*df) {
                Some(name) => shown.push_str(name),
                None => {
                    let _ = write!(shown, "{df:04X}");
                }
            }
        }
        shown
    }
}

impl Channel {
    /// The basic channel after a reset: at the MF.
    pub(crate) fn basic() -> Self {
        Self { directory: Directory::mf(), ..Self::default() }
    }

    /// A channel that is opened on this one. TS 102 221 §11.1.17: on another than the basic channel it begins where that one is.
    pub(crate) fn opened(&self, number: u8) -> Self {
        if number == 0 {
            return Self::basic();
        }
        Self { application: self.application.clone(), directory: self.directory.clone(), ..Self::default() }
    }

    /// Whether ISD-R is selected here.
    pub(crate) fn is_isd_r(&self) -> bool {
        self.application.as_deref().is_some_and(crate::application::is_isd_r)
    }

    /// Whether the access rule application is selected.
    pub(crate) fn is_ara(&self) -> bool {
        self.application.as_deref().is_some_and(crate::application::keeps_access_rules)
    }

    /// Whether ES10 is answered here: by ISD-R, or perhaps where it is not known what is selected.
    pub(crate) fn may_be_isd_r(&self) -> bool {
        self.application.as_deref().is_none_or(crate::application::is_isd_r)
    }

    /// Whether this command is the one that was to be sent again, with another Le.
    pub(crate) fn repeated(&mut self, command: &[u8]) -> Option<u64> {
        let (number, earlier) = self.retried.take()?;
        let same = |length: usize| command.get(..length).is_some_and(|start| earlier.get(..length) == Some(start));
        let without_le = earlier.len().min(command.len()).saturating_sub(1);
        (command.len().abs_diff(earlier.len()) <= 1 && without_le >= 4 && same(without_le)).then_some(number)
    }

    pub(crate) fn remember(&mut self, command: &[u8], number: u64) {
        self.retried = Some((number, command.to_vec()));
    }

    /// The file that a command is about, by its short identifier or because it is current.
    pub(crate) fn target(&self, sfi: Option<u8>) -> File {
        match sfi {
            Some(sfi) => self.by_sfi(sfi),
            None => self.file.clone().unwrap_or_else(|| File::new(None, None)),
        }
    }

    /// The file with this short identifier.
    pub(crate) fn by_sfi(&self, sfi: u8) -> File {
        if let Some(file) = self.file.as_ref().filter(|file| file.sfi == Some(sfi)) {
            return file.clone();
        }
        let found = self.directory.short(sfi);
        let mut file = File::new(found.map(|(id, _)| id), found.map(|(_, name)| name));
        file.sfi = Some(sfi);
        file
    }

    pub(crate) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::None | Effect::Open { .. } | Effect::Close { .. } => {}
            Effect::Application(aid) => {
                self.application = Some(aid.clone());
                self.file = None;
                // The MF stays where it is under an application without files.
                self.directory = Directory::adf(aid);
                self.chain.clear();
                self.blocks = 0;
                self.missing = None;
                self.package = None;
            }
            Effect::Directory(directory) => {
                self.directory = directory.clone();
                self.file = None;
            }
            Effect::File(directory, id, name) => {
                self.directory = directory.clone();
                self.file = Some(File::new(*id, *name));
            }
            Effect::Short(sfi) => {
                let file = self.by_sfi(*sfi);
                if self.file.as_ref().is_none_or(|current| current.sfi != Some(*sfi)) {
                    self.file = Some(file);
                }
            }
        }
    }

    /// What an FCP adds: the whole AID, sizes, and whether a file without a name is a directory after all.
    pub(crate) fn learn(&mut self, known: &Known) {
        if let Some(aid) = &known.df_name
            && self.application.as_ref().is_some_and(|partial| aid.starts_with(partial))
            && self.directory.dfs.is_empty()
        {
            self.application = Some(aid.clone());
            self.directory = Directory::adf(aid);
        }
        if known.is_directory {
            if let Some(file) = self.file.take()
                && let Some(id) = file.id.filter(|_| file.name.is_none())
            {
                self.directory = self.directory.below(id);
            }
        } else if let Some(file) = &mut self.file {
            file.id = file.id.or(known.file_id);
            file.sfi = file.sfi.or(known.sfi);
            file.size = known.size;
        }
    }
}
