//! Access rules: which applications of a device may send what to which applications of the card, and which are as good as the
//! operator's own. GPD_SPE_013 §6.1; Android's UICC carrier privileges for package and permissions.
//!
//! ```
//! use saip::access_control::{Access, ApduAccess, Device, Reference, Rule, Target};
//!
//! let rule = Rule {
//!     reference: Reference { target: Some(Target::All), device: Some(Device::Any), package: None },
//!     access: Access { apdu: Some(ApduAccess::Always), nfc: Some(false), permissions: None },
//! };
//! assert_eq!(hex::encode(rule.to_bytes()), "e20ee1044f00c100e306d00101d10100");
//! ```

use apdu::tlv::{Reader, Tag, Tlv, Writer};

/// AID of the access rule application master. GPD_SPE_013 §2.1.
pub const ARA_M_AID: [u8; 9] = hex_literal::hex!("A00000015141434C00");

/// `REF-AR-DO`, a rule.
pub const REF_AR_DO: Tag = Tag(0xE2);
/// `REF-DO`, whom a rule is about.
pub const REF_DO: Tag = Tag(0xE1);
/// `AR-DO`, what it lets them do.
pub const AR_DO: Tag = Tag(0xE3);
/// `AID-REF-DO`, an application of the card.
pub const AID_REF_DO: Tag = Tag(0x4F);
/// `AID-REF-DO` of the application that is selected implicitly.
pub const AID_REF_IMPLICIT_DO: Tag = Tag(0xC0);
/// `DeviceAppID-REF-DO`, an application of the device.
const DEVICE_APP_ID_REF_DO: Tag = Tag(0xC1);
/// `PKG-REF-DO`, its package name.
const PKG_REF_DO: Tag = Tag(0xCA);
/// `APDU-AR-DO`.
const APDU_AR_DO: Tag = Tag(0xD0);
/// `NFC-AR-DO`.
const NFC_AR_DO: Tag = Tag(0xD1);
/// `PERM-AR-DO`.
const PERM_AR_DO: Tag = Tag(0xDB);

/// Never, or always, where one octet says it.
const NEVER: u8 = 0x00;
const ALWAYS: u8 = 0x01;
/// Octets of the longest package name.
const LONGEST_PACKAGE: usize = 127;

/// A rule. GPD_SPE_013 table 6-6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is about.
    pub reference: Reference,
    /// What it lets them do.
    pub access: Access,
}

/// Whom a rule is about. Two rules with the same reference are about the same. GPD_SPE_013 table 6-5.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reference {
    /// The application of the card; `None` where the rule is about the privileges of a device application alone.
    pub target: Option<Target>,
    /// The application of the device.
    pub device: Option<Device>,
    /// The name of its package, which Android also compares.
    pub package: Option<String>,
}

/// Applications of the card. GPD_SPE_013 table 6-3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one with this AID, of 5 to 16 octets.
    Aid(Vec<u8>),
    /// Every one that no other rule names.
    All,
    /// The one that is selected implicitly.
    Implicit,
}

/// Applications of a device. GPD_SPE_013 table 6-4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// Those signed with the certificate of this hash, SHA-1 or SHA-256.
    Hash(Vec<u8>),
    /// All that no other rule names.
    Any,
}

/// What a rule lets its applications do. GPD_SPE_013 table 6-7.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Access {
    /// Which commands they may send.
    pub apdu: Option<ApduAccess>,
    /// Whether they hear of NFC events; `None`: as commands are allowed.
    pub nfc: Option<bool>,
    /// The permissions of Android's carrier privileges.
    pub permissions: Option<[u8; 8]>,
}

/// Which commands may be sent. GPD_SPE_013 table 6-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApduAccess {
    /// None.
    Never,
    /// Every one.
    Always,
    /// Those whose header, under a mask, is one of these: four octets of header, four of mask.
    Filtered(Vec<[u8; 8]>),
}

/// Why octets are no rule: values that no field has, or a structure that none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotARule(pub &'static str);

impl From<apdu::tlv::TlvError> for NotARule {
    fn from(_: apdu::tlv::TlvError) -> Self {
        Self("the data objects are cut short or overlong")
    }
}

/// A value that was read, and whether data objects nobody knows were in it, which are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read<T> {
    /// The value.
    pub value: T,
    /// Whether something was left out.
    pub has_unknown: bool,
}

impl Rule {
    /// Reads the value of a `REF-AR-DO`.
    ///
    /// # Errors
    /// It is no rule.
    pub fn from_value(value: &[u8]) -> Result<Read<Self>, NotARule> {
        let (mut reference, mut access, mut has_unknown) = (None, None, false);
        let mut objects = Reader::new(value);
        while let Some(object) = objects.next()? {
            match object.tag {
                REF_DO => once(&mut reference, Reference::from_value(object.value)?)?,
                AR_DO => once(&mut access, Access::from_value(object.value)?)?,
                _ => has_unknown = true,
            }
        }
        let reference = reference.ok_or(NotARule("a rule wants a REF-DO"))?;
        let access = access.ok_or(NotARule("a rule wants an AR-DO"))?;
        has_unknown |= reference.has_unknown || access.has_unknown;
        Ok(Read { value: Self { reference: reference.value, access: access.value }, has_unknown })
    }

    /// The rules of a list of `REF-AR-DO`, one after another.
    ///
    /// # Errors
    /// Something in the list is no rule.
    pub fn list(bytes: &[u8]) -> Result<Vec<Self>, NotARule> {
        let (mut rules, mut objects) = (Vec::new(), Reader::new(bytes));
        while let Some(Tlv { tag, value, .. }) = objects.next()? {
            if tag != REF_AR_DO {
                return Err(NotARule("a list of rules has nothing but REF-AR-DO in it"));
            }
            rules.push(Self::from_value(value)?.value);
        }
        Ok(rules)
    }

    /// The `REF-AR-DO`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.constructed(REF_AR_DO, |rule| {
            rule.raw(&self.reference.to_bytes());
            rule.raw(&self.access.to_bytes());
        });
        out.into_bytes()
    }

    /// Whether both cannot hold: they are about the same, and one denies what the other grants.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.reference == other.reference && self.access.contradicts(&other.access)
    }
}

impl Reference {
    /// Reads the value of a `REF-DO`.
    ///
    /// # Errors
    /// It is none.
    pub fn from_value(value: &[u8]) -> Result<Read<Self>, NotARule> {
        let (mut target, mut device, mut package, mut has_unknown) = (None, None, None, false);
        let mut objects = Reader::new(value);
        while let Some(object) = objects.next()? {
            match object.tag {
                AID_REF_DO | AID_REF_IMPLICIT_DO => once(&mut target, Target::from_object(&object)?)?,
                DEVICE_APP_ID_REF_DO => once(&mut device, Device::from_value(object.value)?)?,
                PKG_REF_DO => once(&mut package, package_name(object.value)?)?,
                _ => has_unknown = true,
            }
        }
        if target.is_none() && device.is_none() {
            return Err(NotARule("a REF-DO names an application of the card or of the device"));
        }
        Ok(Read { value: Self { target, device, package }, has_unknown })
    }

    /// The `REF-DO`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.constructed(REF_DO, |reference| {
            match &self.target {
                Some(Target::Aid(aid)) => reference.primitive(AID_REF_DO, aid),
                Some(Target::All) => reference.primitive(AID_REF_DO, &[]),
                Some(Target::Implicit) => reference.primitive(AID_REF_IMPLICIT_DO, &[]),
                None => reference,
            };
            match &self.device {
                Some(Device::Hash(hash)) => reference.primitive(DEVICE_APP_ID_REF_DO, hash),
                Some(Device::Any) => reference.primitive(DEVICE_APP_ID_REF_DO, &[]),
                None => reference,
            };
            if let Some(package) = &self.package {
                reference.primitive(PKG_REF_DO, package.as_bytes());
            }
        });
        out.into_bytes()
    }
}

impl Target {
    /// Reads an `AID-REF-DO` of either kind.
    ///
    /// # Errors
    /// It is none.
    pub fn from_object(object: &Tlv<'_>) -> Result<Self, NotARule> {
        match (object.tag, object.value.len()) {
            (AID_REF_DO, 0) => Ok(Self::All),
            (AID_REF_DO, 5..=16) => Ok(Self::Aid(object.value.to_vec())),
            (AID_REF_IMPLICIT_DO, 0) => Ok(Self::Implicit),
            _ => Err(NotARule("an AID has 5 to 16 octets, or none for all applications")),
        }
    }
}

impl Device {
    fn from_value(value: &[u8]) -> Result<Self, NotARule> {
        match value.len() {
            0 => Ok(Self::Any),
            20 | 32 => Ok(Self::Hash(value.to_vec())),
            _ => Err(NotARule("a hash has 20 or 32 octets, or none for all applications")),
        }
    }
}

impl Access {
    /// Reads the value of an `AR-DO`.
    ///
    /// # Errors
    /// It is none.
    pub fn from_value(value: &[u8]) -> Result<Read<Self>, NotARule> {
        let (mut apdu, mut nfc, mut permissions, mut has_unknown) = (None, None, None, false);
        let mut objects = Reader::new(value);
        while let Some(object) = objects.next()? {
            match object.tag {
                APDU_AR_DO => once(&mut apdu, ApduAccess::from_value(object.value)?)?,
                NFC_AR_DO => once(&mut nfc, nfc_access(object.value)?)?,
                PERM_AR_DO => {
                    let octets = object.value.try_into().map_err(|_| NotARule("permissions have 8 octets"))?;
                    once(&mut permissions, octets)?;
                }
                _ => has_unknown = true,
            }
        }
        let access = Self { apdu, nfc, permissions };
        if access == Self::default() {
            return Err(NotARule("an AR-DO says something of commands, of NFC or of permissions"));
        }
        Ok(Read { value: access, has_unknown })
    }

    /// The `AR-DO`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.constructed(AR_DO, |access| {
            match &self.apdu {
                Some(ApduAccess::Never) => access.primitive(APDU_AR_DO, &[NEVER]),
                Some(ApduAccess::Always) => access.primitive(APDU_AR_DO, &[ALWAYS]),
                Some(ApduAccess::Filtered(filters)) => access.primitive(APDU_AR_DO, &filters.concat()),
                None => access,
            };
            if let Some(allowed) = self.nfc {
                access.primitive(NFC_AR_DO, &[u8::from(allowed)]);
            }
            if let Some(permissions) = &self.permissions {
                access.primitive(PERM_AR_DO, permissions);
            }
        });
        out.into_bytes()
    }

    /// Whether one denies what the other grants. Filters add up; what only one speaks of is no contradiction.
    fn contradicts(&self, other: &Self) -> bool {
        let apdu = match (&self.apdu, &other.apdu) {
            (Some(ApduAccess::Filtered(_)), Some(ApduAccess::Filtered(_))) => false,
            (Some(one), Some(another)) => one != another,
            _ => false,
        };
        let differ = |one: bool, another: bool, equal: bool| one && another && !equal;
        apdu || differ(self.nfc.is_some(), other.nfc.is_some(), self.nfc == other.nfc)
            || differ(self.permissions.is_some(), other.permissions.is_some(), self.permissions == other.permissions)
    }

    /// Both in one, for rules with the same reference: what denies goes before what grants, filters add up. GPD_SPE_013
    /// §3.2.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let apdu = match (self.apdu, other.apdu) {
            (Some(ApduAccess::Never), _) | (_, Some(ApduAccess::Never)) => Some(ApduAccess::Never),
            (Some(ApduAccess::Filtered(one)), Some(ApduAccess::Filtered(another))) => {
                Some(ApduAccess::Filtered([one, another].concat()))
            }
            (Some(filtered @ ApduAccess::Filtered(_)), _) | (_, Some(filtered @ ApduAccess::Filtered(_))) => {
                Some(filtered)
            }
            (one, another) => one.or(another),
        };
        let nfc = match (self.nfc, other.nfc) {
            (Some(one), Some(another)) => Some(one && another),
            (one, another) => one.or(another),
        };
        Self { apdu, nfc, permissions: self.permissions.or(other.permissions) }
    }
}

impl ApduAccess {
    fn from_value(value: &[u8]) -> Result<Self, NotARule> {
        match value {
            [] | [NEVER] => Ok(Self::Never),
            [ALWAYS] => Ok(Self::Always),
            filters => match filters.as_chunks::<8>() {
                (filters, []) => Ok(Self::Filtered(filters.to_vec())),
                _ => Err(NotARule("an APDU rule is 00, 01, or filters of 8 octets")),
            },
        }
    }
}

fn nfc_access(value: &[u8]) -> Result<bool, NotARule> {
    match value {
        [NEVER] => Ok(false),
        [ALWAYS] => Ok(true),
        _ => Err(NotARule("an NFC rule is 00 or 01")),
    }
}

fn package_name(value: &[u8]) -> Result<String, NotARule> {
    let text = core::str::from_utf8(value).ok().filter(|text| text.is_ascii());
    let name = text.filter(|text| (1..=LONGEST_PACKAGE).contains(&text.len()));
    name.map(str::to_owned).ok_or(NotARule("a package name has 1 to 127 letters of ASCII"))
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), NotARule> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(NotARule("a data object is there twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    /// Rules as phones and cards in the field have them.
    #[test]
    fn rules_are_read_and_written() {
        for rule in [
            &hex!(
                "e243e135c114abcd92cbb156b280fa4e1429a6eceeb6e5c1bfe4ca1d636f6d2e676f6f676c652e616e64726f69642e617070732e6d79617070e30adb080000000000000001"
            )[..],
            &hex!(
                "e232e11e4f06ffffffffffffc114b61be34ad2c20d7afed8493c313a137f89fa2765e310d00101d10101db080000000000000001"
            ),
            &hex!("e222e1184f00c11475c073afd219aeb221948e828f066e778adfdf23e306d00101d10101"),
            &hex!(
                "e23be1184f00c114a1234567890123bb1f140de987aaa891bbbf0bdde31fd010aabbccdd010203041122334405060708d10100db080000000000000004"
            ),
            &hex!("e20ae104c000c100e302d000"),
        ] {
            let read = Rule::from_value(Tlv::parse(rule).unwrap().value).unwrap();
            assert!(!read.has_unknown);
            let again = read.value.to_bytes();
            // An empty APDU rule denies, as 00 does.
            if !rule.ends_with(&hex!("d000")) {
                assert_eq!(hex::encode(&again), hex::encode(rule));
            }
            assert_eq!(Rule::list(&again).unwrap(), [read.value]);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for value in [
            &hex!("")[..],
            &hex!("e1024f00"),
            &hex!("e303d00101"),
            &hex!("e100e303d00101"),
            &hex!("e1044f00c100e300"),
            &hex!("e1064f04a0000001e303d00101"),
            &hex!("e104c10212 34e303d00101"),
            &hex!("e1044f004f00e303d00101"),
            &hex!("e1024f00e303d00102"),
            &hex!("e1024f00e305d003010203"),
            &hex!("e1024f00e303d10102"),
            &hex!("e1024f00e303db0101"),
            &hex!("e1044f00ca00e303d00101"),
            &hex!("e1024f00e304d00101"),
            &hex!("e103c00101e303d00101"),
        ] {
            assert!(Rule::from_value(value).is_err(), "{}", hex::encode(value));
        }
        let unknown = Rule::from_value(&hex!("e1054f00c30101e303d00101")).unwrap();
        assert!(unknown.has_unknown);
        assert_eq!(unknown.value.to_bytes(), hex!("e209e1024f00e303d00101"));
    }

    /// Never goes before filters, filters before always; the same said twice is no contradiction.
    #[test]
    fn rules_about_the_same_application() {
        let rule = |access: &[u8]| Rule {
            reference: Reference { target: Some(Target::All), ..Reference::default() },
            access: Access::from_value(access).unwrap().value,
        };
        let (never, always) = (rule(&hex!("d00100")), rule(&hex!("d00101")));
        let (x, y) = (rule(&hex!("d0080001020304050607")), rule(&hex!("d00810111213141516 17")));
        let (nfc, no_nfc) = (rule(&hex!("d10101")), rule(&hex!("d10100")));
        assert!(never.contradicts(&always) && x.contradicts(&always) && nfc.contradicts(&no_nfc));
        assert!(!x.contradicts(&y) && !never.contradicts(&never) && !never.contradicts(&nfc));
        let elsewhere =
            Rule { reference: Reference { target: Some(Target::Implicit), ..Reference::default() }, ..never.clone() };
        assert!(!elsewhere.contradicts(&always));
        let both = |one: &Rule, another: &Rule| one.access.clone().and(another.access.clone()).to_bytes();
        assert_eq!(both(&always, &never), hex!("e303d00100"));
        assert_eq!(both(&always, &x), hex!("e30ad0080001020304050607"));
        assert_eq!(both(&x, &y), hex!("e312d010000102030405060710111213141516 17"));
        assert_eq!(both(&nfc, &no_nfc), hex!("e303d10100"));
        assert_eq!(both(&always, &nfc), hex!("e306d00101d10101"));
    }
}
