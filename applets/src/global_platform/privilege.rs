//! What a security domain or an application may do, as GlobalPlatform writes it: three octets. GlobalPlatform §11.1.2.

/// Privileges, the first octet highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Privileges(u32);

impl Privileges {
    pub(crate) const SECURITY_DOMAIN: u32 = 0x80_0000;
    const DAP_VERIFICATION: u32 = 0x40_0000;
    const DELEGATED_MANAGEMENT: u32 = 0x20_0000;
    pub(crate) const CARD_LOCK: u32 = 0x10_0000;
    pub(crate) const CARD_TERMINATE: u32 = 0x08_0000;
    const MANDATED_DAP_VERIFICATION: u32 = 0x01_0000;
    pub(crate) const AUTHORIZED_MANAGEMENT: u32 = 0x00_4000;
    pub(crate) const GLOBAL_DELETE: u32 = 0x00_1000;
    pub(crate) const GLOBAL_LOCK: u32 = 0x00_0800;
    pub(crate) const GLOBAL_REGISTRY: u32 = 0x00_0400;
    /// What this card has nothing behind: it verifies neither load files nor tokens.
    const UNSUPPORTED: u32 = Self::DAP_VERIFICATION | Self::DELEGATED_MANAGEMENT | Self::MANDATED_DAP_VERIFICATION;

    /// From one octet or three; the others are zero then.
    pub(crate) fn from_octets(octets: &[u8]) -> Option<Self> {
        match *octets {
            [] => Some(Self(0)),
            [first] => Some(Self(u32::from(first) << 16)),
            [first, second, third] => Some(Self(u32::from_be_bytes([0, first, second, third]))),
            _ => None,
        }
    }

    /// As three octets.
    pub(crate) const fn octets(self) -> [u8; 3] {
        let [_, first, second, third] = self.0.to_be_bytes();
        [first, second, third]
    }

    /// Whether it contains one of the constants.
    pub(crate) const fn has(self, privilege: u32) -> bool {
        self.0 & privilege != 0
    }

    /// Whether a security domain of this card can have them all.
    pub(crate) const fn is_supported(self) -> bool {
        !self.has(Self::UNSUPPORTED)
    }

    /// Whether all of `others` are among these.
    pub(crate) const fn contain(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }
}
