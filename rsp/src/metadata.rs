//! What is known about a profile beside its contents: names, class, owner, policy rules, where it reports to.

use rasn::types::{FixedOctetString, OctetString, Utf8String};
use rasn::{AsnType, Decode, Decoder as _, Encode};

use crate::code::{integer_codes, named_bits};
use crate::raw::Raw;
use crate::{Aid, Iccid, Oid};

named_bits! {
    /// `NotificationEvent ::= BIT STRING`: operations that are reported. SGP.22 section 2.4a.1.1
    pub struct NotificationEvent {
        INSTALL = 0 "notificationInstall",
        ENABLE = 1 "notificationEnable",
        DISABLE = 2 "notificationDisable",
        DELETE = 3 "notificationDelete",
    }
}

named_bits! {
    /// `PprIds ::= BIT STRING`: profile policy rules. SGP.22 section 2.9.1
    ///
    /// `PPR1`: disabling is not allowed. `PPR2`: deletion is not allowed. `UPDATE_CONTROL`: the operator may unset
    /// rules over ES6.
    pub struct PprIds {
        UPDATE_CONTROL = 0 "pprUpdateControl",
        PPR1 = 1 "ppr1",
        PPR2 = 2 "ppr2",
    }
}

integer_codes! {
    /// `ProfileState ::= INTEGER`
    pub struct ProfileState {
        DISABLED = 0 "disabled",
        ENABLED = 1 "enabled",
    }
}

integer_codes! {
    /// `ProfileClass ::= INTEGER`
    pub struct ProfileClass {
        TEST = 0 "test",
        PROVISIONING = 1 "provisioning",
        OPERATIONAL = 2 "operational",
    }
}

impl Default for ProfileClass {
    fn default() -> Self {
        Self::OPERATIONAL
    }
}

integer_codes! {
    /// `IconType ::= INTEGER`
    pub struct IconType {
        JPG = 0 "jpg",
        PNG = 1 "png",
    }
}

/// `OperatorId ::= SEQUENCE`: the operator that owns a profile, or a pattern of operators in a rule.
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq, Hash)]
pub struct OperatorId {
    /// MCC and MNC, three octets coded as in TS 24.008: `00F110` is 001/01.
    #[rasn(tag(0))]
    pub mcc_mnc: FixedOctetString<3>,
    /// Content of EF.GID1.
    #[rasn(tag(1))]
    pub gid1: Option<OctetString>,
    /// Content of EF.GID2.
    #[rasn(tag(2))]
    pub gid2: Option<OctetString>,
}

impl OperatorId {
    /// An operator without group identifiers; `mcc` three digits, `mnc` two or three.
    pub fn new(mcc: &str, mnc: &str) -> Option<Self> {
        let digit = |text: &str, at: usize| text.as_bytes().get(at).filter(|d| d.is_ascii_digit()).map(|d| d - b'0');
        if mcc.len() != 3 || !(2..=3).contains(&mnc.len()) {
            return None;
        }
        let third = if mnc.len() == 3 { digit(mnc, 2)? } else { 0xF };
        let octets =
            [digit(mcc, 1)? << 4 | digit(mcc, 0)?, third << 4 | digit(mcc, 2)?, digit(mnc, 1)? << 4 | digit(mnc, 0)?];
        Some(Self { mcc_mnc: FixedOctetString::new(octets), gid1: None, gid2: None })
    }

    /// `262-01`, `310-410`; a wildcard digit prints as `E`.
    pub fn plmn(&self) -> String {
        let [a, b, c] = *self.mcc_mnc;
        let third = if b >> 4 == 0xF { String::new() } else { format!("{:X}", b >> 4) };
        format!("{:X}{:X}{:X}-{:X}{:X}{third}", a & 0xF, a >> 4, b & 0xF, c & 0xF, c >> 4)
    }
}

/// `NotificationConfigurationInformation ::= SEQUENCE`: one recipient, and of what. SGP.22 section 2.4a.1.1
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
pub struct NotificationConfigurationInformation {
    /// The operations reported to this recipient.
    #[rasn(tag(0))]
    pub profile_management_operation: NotificationEvent,
    /// FQDN of the recipient.
    #[rasn(tag(1))]
    pub notification_address: Utf8String,
}

/// `DpProprietaryData ::= SEQUENCE`: data of the SM-DP+ kept with the profile; at most 128 octets in all.
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
pub struct DpProprietaryData {
    /// OID of the SM-DP+ the data belongs to.
    #[rasn(tag(0))]
    pub dp_oid: Oid,
}

/// `ProfileInfo ::= [PRIVATE 3] SEQUENCE`: a profile as ES10c.GetProfilesInfo shows it. SGP.22 section 5.7.15
///
/// Every element is optional: the tag list of the request selects. Sizes are not checked, so that a list from a card
/// that breaks a limit can still be shown.
#[derive(AsnType, Decode, Encode, Debug, Clone, Default, PartialEq, Eq)]
#[rasn(tag(private, 3))]
pub struct ProfileInfo {
    /// ICCID, 5A.
    pub iccid: Option<Iccid>,
    /// AID of the ISD-P that holds the profile, 4F.
    #[rasn(tag(application, 15))]
    pub isdp_aid: Option<Aid>,
    /// Enabled or disabled, 9F70.
    #[rasn(tag(112))]
    pub profile_state: Option<ProfileState>,
    /// Name given by the end user, 90; up to 64 octets.
    #[rasn(tag(16))]
    pub profile_nickname: Option<Utf8String>,
    /// Name of the service provider, 91.
    #[rasn(tag(17))]
    pub service_provider_name: Option<Utf8String>,
    /// Name given by the service provider, 92.
    #[rasn(tag(18))]
    pub profile_name: Option<Utf8String>,
    /// Format of `icon`, 93.
    #[rasn(tag(19))]
    pub icon_type: Option<IconType>,
    /// Picture, 94.
    #[rasn(tag(20))]
    pub icon: Option<OctetString>,
    /// Test, provisioning or operational, 95.
    #[rasn(tag(21))]
    pub profile_class: Option<ProfileClass>,
    /// Recipients of notifications, B6.
    #[rasn(tag(22))]
    pub notification_configuration_info: Option<Vec<NotificationConfigurationInformation>>,
    /// The operator, B7.
    #[rasn(tag(23))]
    pub profile_owner: Option<OperatorId>,
    /// Data of the SM-DP+, B8.
    #[rasn(tag(24))]
    pub dp_proprietary_data: Option<Raw<DpProprietaryData>>,
    /// Policy rules, 99.
    #[rasn(tag(25))]
    pub profile_policy_rules: Option<PprIds>,
    /// Access rules for device applications, BF76.
    #[rasn(tag(118))]
    pub ref_ar_do: Option<Vec<Raw<RefArDo>>>,
}

/// `RefArDo ::= [PRIVATE 2] SEQUENCE`: one access rule of a device application. GlobalPlatform Secure Element Access Control
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
#[rasn(tag(private, 2))]
pub struct RefArDo {
    /// Whom the rule is for, E1.
    #[rasn(tag(private, 1))]
    pub ref_do: RefDo,
    /// What is permitted, E3.
    #[rasn(tag(private, 3))]
    pub ar_do: ArDo,
}

/// `refDo`: an application, by the hash of its certificate and perhaps its package name.
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
pub struct RefDo {
    /// SHA-1 or SHA-256 of the application's certificate, C1.
    #[rasn(tag(private, 1))]
    pub device_app_id_ref_do: OctetString,
    /// Package name, CA; up to 127 octets.
    #[rasn(tag(private, 10))]
    pub pkg_ref_do: Option<OctetString>,
}

/// `arDo`: eight octets of permissions.
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
pub struct ArDo {
    /// Permission bits, DB.
    #[rasn(tag(private, 27))]
    pub perm_ar_do: FixedOctetString<8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{both_ways, round_trip};

    fn info(state: ProfileState, icon: u8) -> ProfileInfo {
        ProfileInfo {
            iccid: Some("89000123456789012341".parse().unwrap()),
            isdp_aid: Some(crate::ids::isd_p_aid(1).into()),
            profile_state: Some(state),
            profile_nickname: Some("home".into()),
            service_provider_name: Some("test".into()),
            profile_name: Some("prof".into()),
            icon_type: Some(IconType(icon.into())),
            profile_class: Some(ProfileClass::TEST),
            ..ProfileInfo::default()
        }
    }

    #[test]
    fn profile_info() {
        let plain = info(ProfileState::ENABLED, 1);
        both_ways(
            "e33a5a0a980010325476981032144f10a0000005591010ffffffff89000011009f7001019004686f6d65910474657374920470726f\
             66930101950100",
            &plain,
        );
        let full = ProfileInfo {
            notification_configuration_info: Some(vec![NotificationConfigurationInformation {
                profile_management_operation: NotificationEvent::INSTALL,
                notification_address: "smdp.example".into(),
            }]),
            profile_owner: Some(OperatorId {
                gid1: Some(OctetString::from_static(&[0xAA])),
                mcc_mnc: FixedOctetString::new([0x13, 0xF2, 0x60]),
                gid2: None,
            }),
            profile_policy_rules: Some(PprIds::PPR1 | PprIds::PPR2),
            ..plain
        };
        both_ways(
            "e35e5a0a980010325476981032144f10a0000005591010ffffffff89000011009f7001019004686f6d65910474657374920470726f\
             66930101950100b614301280020780810c736d64702e6578616d706c65b708800313f2608101aa99020560",
            &full,
        );
        let nothing_else: ProfileInfo = round_trip("e30c5a0a98001032547698103214");
        assert_eq!(nothing_else.profile_class.unwrap_or_default(), ProfileClass::OPERATIONAL);
    }

    /// A value of 127 octets takes one length octet, its parent two.
    #[test]
    fn lengths_at_127() {
        let icon = ProfileInfo { icon: Some(OctetString::from(vec![0x41; 127])), ..ProfileInfo::default() };
        both_ways(&format!("e38181947f{}", "41".repeat(127)), &icon);
    }

    #[test]
    fn operators() {
        assert_eq!(*OperatorId::new("001", "01").unwrap().mcc_mnc, [0x00, 0xF1, 0x10]);
        assert_eq!(*OperatorId::new("310", "410").unwrap().mcc_mnc, [0x13, 0x00, 0x14]);
        assert_eq!(OperatorId::new("310", "410").unwrap().plmn(), "310-410");
        assert_eq!(OperatorId::new("262", "01").unwrap().plmn(), "262-01");
        assert_eq!(OperatorId::new("26", "01"), None);
    }

    #[test]
    fn access_rules() {
        let rule = format!("E230 E122C114{}CA0A{} E30ADB080000000000000001", "AB".repeat(20), "63".repeat(10));
        let decoded: RefArDo = round_trip(&rule.replace(' ', ""));
        assert_eq!(*decoded.ar_do.perm_ar_do, [0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
