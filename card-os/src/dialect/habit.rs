//! How a card finds and shows files, where cards differ.

/// Habits of a card, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits(u16);

macro_rules! habits {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)+) => {
        impl Habits {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)+
            /// Each habit with its name.
            pub const NAMES: &[(Self, &str)] = &[$((Self::$name, $text),)+];
        }
    };
}

habits! {
    /// SELECT by file identifier finds a file wherever it lies, the first of its name.
    FID_ANYWHERE = 0, "fid-anywhere";
    /// An ADF has a file identifier under the MF, which SELECT takes by itself and in paths.
    ADF_HAS_FID = 1, "adf-has-fid";
    /// A short file identifier is looked for in the whole tree of the application, or of the MF, not in the current DF alone.
    SFI_IN_TREE = 2, "sfi-in-tree";
    /// STATUS is about the application selected last, not the current DF.
    STATUS_OF_APPLICATION = 3, "status-of-application";
    /// STATUS answers the name of the application without its tag and length.
    NAME_IS_BARE = 4, "name-is-bare";
    /// A simple SEARCH RECORD compares the beginning of a record only.
    SEARCH_AT_START = 5, "search-at-start";
    /// The DF around the current one, and those beside it, are not found by their file identifiers.
    NO_NEIGHBOURS = 6, "no-neighbours";
    /// READ RECORD with an absolute number moves the record pointer there.
    ABSOLUTE_MOVES_POINTER = 7, "absolute-moves-pointer";
    /// SEARCH RECORD leaves the record pointer where it is.
    SEARCH_KEEPS_POINTER = 8, "search-keeps-pointer";
    /// GET RESPONSE that asks for less brings everything.
    RESPONSE_IS_WHOLE = 9, "response-is-whole";
    /// The identifier of the MF leads to it wherever it stands in a path.
    MF_IN_PATH = 10, "mf-in-path";
    /// While no application is selected, `7FFF` is the MF.
    NO_APPLICATION_IS_MF = 11, "no-application-is-mf";
    /// The offset behind the last octet is within the file: there is nothing to read, and that is no error.
    END_IS_IN_FILE = 12, "end-is-in-file";
    /// READ RECORD looks at Le before it looks for the record.
    LENGTH_BEFORE_RECORD = 13, "length-before-record";
}

impl Habits {
    /// None: as this operating system has them.
    pub const NONE: Self = Self(0);

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of `others` are among these.
    pub const fn contains(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(habit, _)| self.contains(*habit)).map(|(_, name)| *name)
    }

    /// The habit of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(habit, _)| *habit)
    }
}
