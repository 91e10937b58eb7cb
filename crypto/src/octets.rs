//! A short secret of at most 32 octets, kept off the heap and wiped when dropped.

use core::fmt;
use core::ops::Deref;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// RES, CK, IK or a MAC: 4 to 32 octets, the length being the algorithm's choice.
///
/// Behaves as `&[u8]`; compares in constant time; prints only its length.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Octets {
    octets: [u8; Self::CAPACITY],
    length: usize,
}

impl Octets {
    /// Most octets it can hold.
    pub const CAPACITY: usize = 32;

    /// A copy of `octets`; what exceeds [`Self::CAPACITY`] is left out.
    pub fn new(octets: &[u8]) -> Self {
        let mut own = [0; Self::CAPACITY];
        let length = octets.len().min(Self::CAPACITY);
        own.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        Self { octets: own, length }
    }
}

impl Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Octets {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for Octets {}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Octets({} secret)", self.length)
    }
}
