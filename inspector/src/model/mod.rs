//! A card's memory as it is shown: trees, contents as fields, facts, what takes how much, what has changed. Octets in, JSON out; no
//! socket, no file, no clock.

mod changes;
mod content;
mod facts;
mod memory;
mod tree;

pub use changes::{Change, changes};
pub use content::{Chunk, explain, explain_fcp};
pub use facts::{Fact, facts};
pub use memory::{Part, parts};
pub use tree::{access, domain, file_kind, keys_of, title};

use card_os::fs::{FileKind, FileNumber, FileTree};

/// Where a file lies, as SELECT goes there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The application it belongs to; none below the MF.
    pub application: Option<Vec<u8>>,
    /// The identifiers below the MF or ADF, the file's own last; none for the MF or ADF itself.
    pub below: Vec<u16>,
}

impl Place {
    /// Of a file in a tree.
    pub fn of(tree: &FileTree, number: FileNumber) -> Self {
        let (mut place, mut at) = (Self::default(), number);
        while let Some(file) = tree.get(at) {
            match file.kind {
                FileKind::Adf(aid) => {
                    place.application = Some(aid.to_vec());
                    break;
                }
                FileKind::Mf => break,
                _ => place.below.insert(0, file.fid.0),
            }
            if file.parent == at {
                break;
            }
            at = file.parent;
        }
        place
    }
}

/// Octets in upper-case hexadecimal, without spaces.
pub fn hexadecimal(octets: &[u8]) -> String {
    console::hexadecimal::whole(octets).to_ascii_uppercase()
}
