//! What the owner of an emulated card may do beside its contacts: write into its files, whatever their access rules say.

use crate::card::Card;
use crate::fs::{FileKind, FileNumber, Structure};
use crate::id::DomainId;
use crate::nvm::{Key, NvmError, Partition, Transaction, Update};
use crate::{domain, fs};

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// There is no such file, or it is a directory.
    NoFile,
    /// Its content is data objects, whose place the card decides.
    DataObjects,
    /// The octets go beyond those of the file: so many it has.
    Beyond(usize),
    /// Memory did not take it.
    Memory,
}

impl core::fmt::Display for NotWritten {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoFile => f.write_str("there is no such file"),
            Self::DataObjects => f.write_str("a BER-TLV file holds data objects, which SET DATA writes"),
            Self::Beyond(size) => write!(f, "the file has {size} octets, and what is to be written goes beyond them"),
            Self::Memory => f.write_str("non-volatile memory did not take it; nothing has changed"),
        }
    }
}

impl core::error::Error for NotWritten {}

impl From<NvmError> for NotWritten {
    fn from(NvmError: NvmError) -> Self {
        Self::Memory
    }
}

impl Card {
    /// Writes octets into the content of a file of any domain, from `offset` on, as no command could: no access rule is asked
    /// and no fault strikes. Access rules that live in the file count at once if its domain is active. Applications see it as
    /// if another one had written it.
    ///
    /// # Errors
    /// Nothing was written, and why.
    pub fn overwrite(
        &mut self,
        domain: DomainId,
        file: FileNumber,
        offset: usize,
        octets: &[u8],
    ) -> Result<(), NotWritten> {
        let nvm = self.nvm.inner_mut();
        let (body, mut content) = {
            let transaction = Transaction::new(nvm);
            let tree = domain::load_tree(&transaction, domain);
            let body = tree.body(file);
            match tree.get(body).map(|file| file.kind) {
                Some(FileKind::Ef(Structure::BerTlv { .. })) => return Err(NotWritten::DataObjects),
                Some(FileKind::Ef(_)) => {}
                _ => return Err(NotWritten::NoFile),
            }
            (body, fs::content_of(&transaction, domain, body))
        };
        let size = content.len();
        let end = offset.checked_add(octets.len()).ok_or(NotWritten::Beyond(size))?;
        content.get_mut(offset..end).ok_or(NotWritten::Beyond(size))?.copy_from_slice(octets);
        nvm.apply(vec![Update::Insert(Key::new(Partition::Content, domain.0, u32::from(body.0)), content)])?;
        if self.kernel.tree_domain == domain {
            let nvm = Transaction::new(self.nvm.inner_mut());
            self.kernel.tree.content_changed(body, |number| fs::content_of(&nvm, domain, number));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{AccessReference, File, FileId};
    use crate::nvm::MemoryNvm;
    use crate::{CardProfile, DomainImage};

    struct Zeros;

    impl crate::Entropy for Zeros {
        fn fill(&mut self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    /// A platform with nothing, and a domain with a file of four octets that nobody may write, and a directory.
    fn card(active: Option<DomainId>) -> (Card, FileNumber, FileNumber) {
        let never = AccessReference { arr: FileId::MF_ARR, record: 1 };
        let mut image = DomainImage::default();
        let mf = image.add_file(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, never), Vec::new()).unwrap();
        let ef = FileKind::Ef(Structure::Transparent { size: 4 });
        let ef = image.add_file(File::new(FileId(0x2F05), mf, ef, never), vec![0xFF; 4]).unwrap();
        let mut nvm = MemoryNvm::default();
        Card::format(&mut nvm, DomainImage::default(), vec![image], active).unwrap();
        (Card::new(CardProfile::default(), Box::new(nvm), Box::new(Zeros), |_| None), mf, ef)
    }

    fn content(card: &Card, domain: DomainId, file: FileNumber) -> Vec<u8> {
        card.nvm().get(Key::new(Partition::Content, domain.0, u32::from(file.0))).unwrap().to_vec()
    }

    #[test]
    fn the_owner_writes_where_no_command_may() {
        let one = DomainId(1);
        for active in [None, Some(one)] {
            let (mut card, mf, ef) = card(active);
            card.reset();
            card.overwrite(one, ef, 1, &[1, 2]).unwrap();
            assert_eq!(content(&card, one, ef), [0xFF, 1, 2, 0xFF]);
            assert_eq!(card.overwrite(one, ef, 3, &[1, 2]), Err(NotWritten::Beyond(4)));
            assert_eq!(card.overwrite(one, ef, usize::MAX, &[1]), Err(NotWritten::Beyond(4)));
            assert_eq!(card.overwrite(one, mf, 0, &[]), Err(NotWritten::NoFile));
            assert_eq!(card.overwrite(one, FileNumber(99), 0, &[]), Err(NotWritten::NoFile));
            assert_eq!(card.overwrite(DomainId(7), ef, 0, &[]), Err(NotWritten::NoFile));
            assert_eq!(content(&card, one, ef), [0xFF, 1, 2, 0xFF], "refused means unchanged");
        }
    }
}
