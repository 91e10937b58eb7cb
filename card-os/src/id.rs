//! What domains and applications are called in here: numbers that the image on disk holds too.

/// Number of a domain. It is not given out again after the domain is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainId(pub u16);

impl DomainId {
    /// The domain that is always there: the card issuer's, and on an eUICC the ISD-R's and the ECASD's.
    pub const PLATFORM: Self = Self(0);
}

/// An application on the card: its domain and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ApplicationId {
    pub(crate) domain: DomainId,
    pub(crate) number: u16,
}

/// What an application is. The number is part of the image on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApplicationKind(pub u16);

impl ApplicationKind {
    /// A directory that was created with a name: it has files, and no command of its own. TS 102 222 §6.3.
    pub const FILES_ONLY: Self = Self(0xFFFE);
}
