//! Every key of the memory, in one partition.

/// What a value belongs to. The number is part of the image on disk: a retired one is never given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Partition {
    /// Card-wide values: which domain is active.
    System = 0x01,
    /// One file's descriptor; index: file number in its domain.
    File = 0x03,
    /// One file's content; index: file number in its domain.
    Content = 0x04,
    /// One PIN or PUK; index: file number of the DF that defines it, kind, key reference.
    Pin = 0x05,
    /// One application's registry entry; index: application number in its domain.
    Application = 0x06,
    /// What an application keeps; index: application number, then a number the application chose.
    ApplicationData = 0x07,
    /// What was loaded into a domain and what was made from it; index: kind of entry, then its number.
    Registry = 0x08,
    /// The code of one load file; index: its number in its domain.
    LoadFile = 0x09,
    /// The heap that a domain's applications share; index: as its runtime divides it.
    Heap = 0x0A,
    /// One fault that is ordered for the card; index: its number.
    Fault = 0x0B,
}

impl Partition {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::System,
        Self::File,
        Self::Content,
        Self::Pin,
        Self::Application,
        Self::ApplicationData,
        Self::Registry,
        Self::LoadFile,
        Self::Heap,
        Self::Fault,
    ];
}

/// Address of one value: partition, domain, index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u64);

impl Key {
    /// Bytes a key takes in the memory accounts.
    pub const SIZE: usize = 8;

    /// Bytes that a value of `length` takes in the memory accounts with its key. What is ordered to go wrong takes none: it is
    /// beside the card, which has to look and to last as without it. Nor does the count of files, so that a file which is created
    /// and deleted leaves as much memory as there was.
    pub const fn cost(self, length: usize) -> usize {
        let partition = (self.0 >> 56) as u8;
        let is_count = partition == Partition::Registry as u8 && self.index() == registry::NEXT_FILE;
        if partition == Partition::Fault as u8 || is_count { 0 } else { Self::SIZE + length }
    }

    /// The key of `index` in `domain`.
    pub const fn new(partition: Partition, domain: u16, index: u32) -> Self {
        Self((partition as u64) << 56 | (domain as u64) << 40 | index as u64)
    }

    /// All keys of `partition` in `domain`.
    pub const fn all(partition: Partition, domain: u16) -> core::ops::RangeInclusive<Self> {
        Self::new(partition, domain, 0)..=Self::new(partition, domain, u32::MAX)
    }

    /// The index within partition and domain.
    pub const fn index(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the lower 32 bits are the index")]
        {
            self.0 as u32
        }
    }

    /// What the value belongs to; `None` in a memory of another program.
    pub fn partition(self) -> Option<Partition> {
        let number = (self.0 >> 56) as u8;
        Partition::ALL.into_iter().find(|partition| *partition as u8 == number)
    }

    /// The domain.
    pub const fn domain(self) -> u16 {
        (self.0 >> 40 & 0xFFFF) as u16
    }

    /// The key as a number, for a memory that stores it.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The key a memory stored.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

/// Card-wide values.
pub(crate) mod system {
    use super::{Key, Partition};

    /// Number of the domain that is active on a port, two bytes; absent: none. The first port has the number that the
    /// active domain had when there was one.
    pub(crate) const fn active_domain(port: u8) -> Key {
        const FURTHER_PORTS: u32 = 0x100;
        Key::new(Partition::System, 0, if port == 0 { 0 } else { FURTHER_PORTS | port as u32 })
    }
    /// Number the next domain gets, two bytes.
    pub(crate) const NEXT_DOMAIN: Key = Key::new(Partition::System, 0, 1);
}

/// Indices of a domain's registry.
pub(crate) mod registry {
    /// The number the next application gets, two bytes; absent: none was added or removed yet.
    pub(crate) const NEXT_APPLICATION: u32 = 0;
    /// The number the next load file gets, two bytes.
    pub(crate) const NEXT_LOAD_FILE: u32 = 1;
    /// The number the next file gets, two bytes; absent: none was created or deleted yet.
    pub(crate) const NEXT_FILE: u32 = 2;

    /// One load file.
    pub(crate) const fn load_file(number: u16) -> u32 {
        0x0001_0000 | number as u32
    }

    /// What an application was made from; the number is the application's.
    pub(crate) const fn origin(application: u16) -> u32 {
        0x0002_0000 | application as u32
    }

    /// The security domain that an application belongs to, where it was handed over to one; the number is the application's.
    pub(crate) const fn association(application: u16) -> u32 {
        0x0003_0000 | application as u32
    }
}

/// Number the last byte of a PIN key keeps for the key reference; the bit above tells PINs from PUKs.
pub(crate) const fn pin_index(context: u16, unblocking: bool, reference: u8) -> u32 {
    (context as u32) << 9 | (unblocking as u32) << 8 | reference as u32
}

/// An application's own number space within its domain.
pub(crate) const fn data_index(application: u16, item: u16) -> u32 {
    (application as u32) << 16 | item as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_domains_and_indices_are_disjoint() {
        let mut last = None;
        for partition in Partition::ALL {
            for domain in [0, 1, u16::MAX] {
                let range = Key::all(partition, domain);
                assert!(last < Some(*range.start()) && range.start() < range.end());
                last = Some(*range.end());
                let key = Key::new(partition, domain, 0x1234_5678);
                assert!(range.contains(&key) && key.index() == 0x1234_5678 && key.domain() == domain);
                assert_eq!(key.partition(), Some(partition));
                assert_eq!(Key::from_u64(key.to_u64()), key);
            }
        }
        // Images of 0.1.0 have the active domain here, when there was no other port.
        assert_eq!(system::active_domain(0), Key::from_u64(0x0100_0000_0000_0000));
        assert_ne!(system::active_domain(1), system::NEXT_DOMAIN);
        assert_ne!(pin_index(0, true, 1), pin_index(0, false, 1));
        assert_ne!(pin_index(1, false, 1), pin_index(0, true, 1));
        assert_eq!(data_index(1, 2), 0x0001_0002);
    }
}
