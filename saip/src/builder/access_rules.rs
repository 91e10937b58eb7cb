//! Access rules of a description: for the access rule application, and for the PKCS#15 access rule file. GPD_SPE_013 annex C.

use apdu::tlv::{Tag, Writer};
use hex_literal::hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::file::size;
use super::subscriber::SubscriberError;
use crate::access_control::{ARA_M_AID, Access, ApduAccess, Device, Reference, Rule, Target};
use crate::application::ApplicationInstance;
use crate::file_management::{Fcp, FileManagement, FileManagementStep};

/// Name of the directory with the PKCS#15 files.
pub const PKCS15_AID: [u8; 12] = hex!("A000000063504B43532D3135");
/// Its file identifier.
pub(super) const PKCS15_FILE_ID: u16 = 0x7F50;
/// Package of the access rule application.
const ARA_M_PACKAGE_AID: [u8; 8] = hex!("A00000015141434C");
/// Specific parameters: anybody may write.
const OPEN: [u8; 1] = [0x01];

/// Who may use the applications of the card, and which applications of a device are as good as the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessRules {
    /// Whether anybody may change the rules, or only who has verified ADM1.
    pub writing: Writing,
    /// Whether the rules are also in files, for phones that find no application with them.
    pub pkcs15: bool,
    /// The rules, the first one listed first.
    pub rules: Vec<AccessRule>,
}

/// Who may change the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Writing {
    /// Who has verified ADM1.
    #[default]
    Locked,
    /// Anybody.
    Open,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessRule {
    /// The application of the card: an AID in hexadecimal, `all`, or `implicit` for the one that needs no selection. Left out:
    /// the rule is about `permissions` alone.
    pub aid: Option<String>,
    /// Hash of the certificate that the device application is signed with, SHA-1 or SHA-256 in hexadecimal; left out: every
    /// one.
    pub certificate: Option<String>,
    /// Name of its package.
    pub package: Option<String>,
    /// Which commands it may send: `always`, `never`, or filters of 16 hexadecimal digits, header and mask.
    pub apdu: Option<Apdu>,
    /// Whether it hears of NFC events: `always` or `never`.
    pub nfc: Option<Ever>,
    /// Permissions of Android's carrier privileges, 16 hexadecimal digits.
    pub permissions: Option<String>,
}

/// Always or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ever {
    /// Yes.
    Always,
    /// No.
    Never,
}

/// Which commands may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apdu {
    /// All, or none.
    Ever(Ever),
    /// Those that one of these lets through.
    Filters(Vec<String>),
}

impl Serialize for Apdu {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Ever(ever) => ever.serialize(serializer),
            Self::Filters(filters) => filters.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Apdu {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "wants always, never, or a list of filters")]
        enum Either {
            Ever(Ever),
            Filters(Vec<String>),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Ever(ever) => Self::Ever(ever),
            Either::Filters(filters) => Self::Filters(filters),
        })
    }
}

const FIELD: &str = "access_rules.rules";

fn refused(number: usize, reason: &str) -> SubscriberError {
    SubscriberError::new(FIELD, format!("rule {number}: {reason}"))
}

impl AccessRules {
    /// The rules, checked.
    ///
    /// # Errors
    /// One is none, is there twice, or contradicts another.
    pub fn checked(&self) -> Result<Vec<Rule>, SubscriberError> {
        let mut rules: Vec<Rule> = Vec::new();
        for (number, described) in (1..).zip(&self.rules) {
            let rule = described.rule(number)?;
            if let Some(at) = rules.iter().position(|other| other.contradicts(&rule)) {
                return Err(refused(number, &format!("contradicts rule {}", at + 1)));
            }
            if let Some(at) = rules.iter().position(|other| other.reference == rule.reference) {
                return Err(refused(number, &format!("is about the same as rule {}: make one of both", at + 1)));
            }
            if self.pkcs15 && rule.reference.package.is_some() {
                return Err(refused(number, "names a package, for which pkcs15 has no place"));
            }
            rules.push(rule);
        }
        Ok(rules)
    }

    /// The application: an instance, and the commands that give it the rules.
    pub(super) fn instance(&self, rules: &[Rule]) -> Result<ApplicationInstance, SubscriberError> {
        let mut commands = Vec::new();
        // The newest is listed first.
        for (number, rule) in (1..).zip(rules).collect::<Vec<_>>().into_iter().rev() {
            commands.extend(store_data(rule).ok_or_else(|| refused(number, "is too long"))?);
        }
        Ok(ApplicationInstance {
            application_load_package_aid: ARA_M_PACKAGE_AID.to_vec(),
            class_aid: ARA_M_AID.to_vec(),
            instance_aid: ARA_M_AID.to_vec(),
            extradite_security_domain_aid: None,
            application_privileges: vec![0],
            life_cycle_state: [0x07],
            application_specific_parameters: if self.writing == Writing::Open { OPEN.to_vec() } else { Vec::new() },
            system_specific_parameters: None,
            application_parameters: None,
            process_data: (!commands.is_empty()).then_some(commands),
            control_reference_template: None,
        })
    }
}

impl AccessRule {
    fn rule(&self, number: usize) -> Result<Rule, SubscriberError> {
        let octets = |field: &str, text: &str| {
            hex::decode(text).map_err(|_| refused(number, &format!("{field} wants hexadecimal digits")))
        };
        let target = match self.aid.as_deref() {
            None => None,
            Some("all") => Some(Target::All),
            Some("implicit") => Some(Target::Implicit),
            Some(aid) => Some(Target::Aid(octets("aid", aid)?)),
        };
        let device = match &self.certificate {
            Some(hash) => Device::Hash(octets("certificate", hash)?),
            None => Device::Any,
        };
        let apdu = match &self.apdu {
            None => None,
            Some(Apdu::Ever(Ever::Always)) => Some(ApduAccess::Always),
            Some(Apdu::Ever(Ever::Never)) => Some(ApduAccess::Never),
            Some(Apdu::Filters(filters)) => {
                let filter = |text: &String| {
                    let filter = octets("apdu", text)?.try_into();
                    filter.map_err(|_| refused(number, "a filter in apdu has 16 digits: header and mask"))
                };
                Some(ApduAccess::Filtered(filters.iter().map(filter).collect::<Result<_, _>>()?))
            }
        };
        let permissions = self.permissions.as_deref().map(|text| octets("permissions", text)).transpose()?;
        let permissions = permissions.map(TryInto::try_into).transpose();
        let permissions = permissions.map_err(|_| refused(number, "permissions have 16 digits"))?;
        if target.is_none() && (apdu.is_some() || self.nfc.is_some()) {
            return Err(refused(number, "apdu and nfc want an aid to be about"));
        }
        if matches!(&apdu, Some(ApduAccess::Filtered(filters)) if filters.is_empty()) {
            return Err(refused(number, "apdu has no filters in it; never denies all commands"));
        }
        let reference = Reference { target, device: Some(device), package: self.package.clone() };
        let rule =
            Rule { reference, access: Access { apdu, nfc: self.nfc.map(|nfc| nfc == Ever::Always), permissions } };
        // What is said in words is held against what a card takes.
        let written = rule.to_bytes();
        Rule::list(&written).map_err(|reason| refused(number, reason.0))?;
        Ok(rule)
    }
}

/// The commands that store a rule, as many as it takes. GPD_SPE_013 §5.1.
fn store_data(rule: &Rule) -> Option<Vec<Vec<u8>>> {
    const LONGEST: usize = 255;
    let mut request = Writer::new();
    request.primitive(Tag(0xF0), &rule.to_bytes());
    let blocks = request.as_bytes().chunks(LONGEST);
    let last = blocks.len().checked_sub(1)?;
    let command = |(number, block): (usize, &[u8])| {
        let p1 = if number == last { 0x90 } else { 0x10 };
        let (number, length) = (u8::try_from(number).ok()?, u8::try_from(block.len()).ok()?);
        Some([&[0x80, 0xE2, p1, number, length], block].concat())
    };
    blocks.enumerate().map(command).collect()
}

/// Files of the directory. PKCS#15 §5, GPD_SPE_013 annex C.
mod fid {
    pub(super) const ODF: u16 = 0x5031;
    pub(super) const DODF: u16 = 0x5207;
    pub(super) const MAIN: u16 = 0x4200;
    pub(super) const RULES: u16 = 0x4300;
    /// The first of the files with conditions, one for each application of the card.
    pub(super) const CONDITIONS: u16 = 0x4310;
}

const SEQUENCE: Tag = Tag(0x30);
const OCTET_STRING: Tag = Tag(0x04);
const OBJECT_IDENTIFIER: Tag = Tag(0x06);
const UTF8_STRING: Tag = Tag(0x0C);
/// `[0]` and `[1]`, constructed and primitive.
const FIRST: Tag = Tag(0xA0);
const SECOND: Tag = Tag(0xA1);
const BOOLEAN: Tag = Tag(0x80);
/// The application that needs no selection, and all that no other rule names.
const IMPLICIT: Tag = Tag(0x81);
const OTHERS: Tag = Tag(0x82);
/// 1.2.840.114283.200.1.1, where the label is not enough.
const ACCESS_CONTROL: [u8; 10] = hex!("2A864886FC6B81480101");
const LABEL: &str = "GP SE Acc Ctl";
/// The AID under which phones look for privileges that are about no application of the card.
const ANY_APPLICATION: [u8; 6] = [0xFF; 6];

/// The record of EF.DIR that leads to the files. PKCS#15 §5.3, TS 102 221 §13.1.
pub(super) fn directory_entry() -> Vec<u8> {
    let mut entry = Writer::new();
    entry.constructed(Tag(0x61), |template| {
        template.primitive(Tag(0x4F), &PKCS15_AID);
        template.primitive(Tag(0x50), b"PKCS15");
        template.primitive(Tag(0x51), &[&hex!("3F00")[..], &PKCS15_FILE_ID.to_be_bytes()].concat());
    });
    entry.into_bytes()
}

/// A path in its sequence.
fn path(out: &mut Writer, fid: u16) {
    out.constructed(SEQUENCE, |path| {
        path.primitive(OCTET_STRING, &fid.to_be_bytes());
    });
}

/// The directory and its files, for the rules of one card.
pub(super) fn pkcs15(rules: &[Rule]) -> FileManagement {
    let mut targets: Vec<Target> = Vec::new();
    for rule in rules {
        let target = target_of(rule);
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    let mut access_rules = Writer::new();
    let mut conditions = Vec::new();
    for (fid, target) in (fid::CONDITIONS..).zip(&targets) {
        access_rules.constructed(SEQUENCE, |rule| {
            match target {
                Target::Aid(aid) => rule.constructed(FIRST, |named| {
                    named.primitive(OCTET_STRING, aid);
                }),
                Target::Implicit => rule.primitive(IMPLICIT, &[]),
                Target::All => rule.primitive(OTHERS, &[]),
            };
            path(rule, fid);
        });
        let about = rules.iter().filter(|rule| target_of(rule) == *target);
        conditions.push((fid, about.flat_map(condition).collect::<Vec<u8>>()));
    }
    let access_rules = access_rules.into_bytes();
    let all: Vec<u8> =
        [&access_rules[..], &conditions.iter().flat_map(|(_, file)| file.clone()).collect::<Vec<u8>>()].concat();
    let mut files = vec![
        (fid::ODF, object_directory()),
        (fid::DODF, data_object_directory()),
        (fid::MAIN, main(refresh_tag(&all))),
        (fid::RULES, access_rules),
    ];
    files.extend(conditions);
    let mut steps = vec![FileManagementStep::FilePath(Vec::new()), directory()];
    for (fid, content) in files {
        steps.extend(file(fid, content));
    }
    FileManagement(steps)
}

/// What a rule is about, as the files say it.
fn target_of(rule: &Rule) -> Target {
    rule.reference.target.clone().unwrap_or(Target::Aid(ANY_APPLICATION.to_vec()))
}

/// EF.ODF: where the data objects are listed.
fn object_directory() -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(Tag(0xA7), |objects| path(objects, fid::DODF));
    out.into_bytes()
}

/// EF.DODF: where access control begins.
fn data_object_directory() -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(Tag(0xA1), |object| {
        object.primitive(SEQUENCE, &[]);
        object.constructed(SEQUENCE, |common| {
            common.primitive(UTF8_STRING, LABEL.as_bytes());
        });
        object.constructed(SECOND, |own| {
            own.constructed(SEQUENCE, |named| {
                named.primitive(OBJECT_IDENTIFIER, &ACCESS_CONTROL);
                path(named, fid::MAIN);
            });
        });
    });
    out.into_bytes()
}

/// EF.ACMain: the refresh tag, and where the rules are.
fn main(tag: [u8; 8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(SEQUENCE, |main| {
        main.primitive(OCTET_STRING, &tag);
        path(main, fid::RULES);
    });
    out.into_bytes()
}

/// One condition: the certificate, and what it lets its applications do where that is not everything.
fn condition(rule: &Rule) -> Vec<u8> {
    let Access { apdu, nfc, .. } = &rule.access;
    let mut out = Writer::new();
    out.constructed(SEQUENCE, |condition| {
        if let Some(Device::Hash(hash)) = &rule.reference.device {
            condition.primitive(OCTET_STRING, hash);
        }
        if matches!(apdu, None | Some(ApduAccess::Always)) && nfc.is_none() {
            return;
        }
        let ever = |out: &mut Writer, ever: bool| {
            out.primitive(BOOLEAN, &[u8::from(ever)]);
        };
        condition.constructed(FIRST, |access| {
            match apdu {
                Some(ApduAccess::Always) => access.constructed(FIRST, |out| ever(out, true)),
                Some(ApduAccess::Never) => access.constructed(FIRST, |out| ever(out, false)),
                Some(ApduAccess::Filtered(filters)) => access.constructed(FIRST, |out| {
                    out.constructed(SECOND, |list| {
                        for filter in filters {
                            list.primitive(OCTET_STRING, filter);
                        }
                    });
                }),
                None => access,
            };
            if let Some(allowed) = nfc {
                access.constructed(SECOND, |out| ever(out, *allowed));
            }
        });
    });
    out.into_bytes()
}

/// Eight octets that are others where the rules are: FNV-1a.
fn refresh_tag(rules: &[u8]) -> [u8; 8] {
    const BASIS: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01B3;
    rules.iter().fold(BASIS, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(PRIME)).to_be_bytes()
}

/// EF.ARR of the MF, and what its records say of the directory and of the files: reading is for everybody.
const RULE_OF_DIRECTORY: [u8; 3] = hex!("2F060E");
const RULE_OF_FILE: [u8; 3] = hex!("2F060A");

fn directory() -> FileManagementStep {
    FileManagementStep::CreateFcp(Box::new(Fcp {
        file_descriptor: Some(hex!("7821").to_vec()),
        file_id: Some(PKCS15_FILE_ID.to_be_bytes()),
        df_name: Some(PKCS15_AID.to_vec()),
        security_attributes_referenced: Some(RULE_OF_DIRECTORY.to_vec()),
        pin_status_template_do: Some(hex!("010A").to_vec()),
        ..Fcp::default()
    }))
}

/// A transparent file; one that has nothing to say has padding in it.
fn file(fid: u16, content: Vec<u8>) -> [FileManagementStep; 2] {
    let content = if content.is_empty() { vec![0xFF] } else { content };
    let fcp = Fcp {
        file_descriptor: Some(hex!("4121").to_vec()),
        file_id: Some(fid.to_be_bytes()),
        security_attributes_referenced: Some(RULE_OF_FILE.to_vec()),
        ef_file_size: Some(size(content.len())),
        short_ef_id: Some(Vec::new()),
        ..Fcp::default()
    };
    [FileManagementStep::CreateFcp(Box::new(fcp)), FileManagementStep::FillFileContent(content)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> AccessRules {
        serde_json::from_str(text).unwrap()
    }

    /// As phones read them, but for the tag, which is the rules' own.
    #[test]
    fn the_files_of_pkcs15() {
        let hashes = [
            "b9cfce1c47a6ac713442718f15ef55b00b3a6d1a6d48cb46249fa8eb51465350",
            "4c36af4a5bdad97c1f3d8b283416d244496c2ac5eafe8226079ef6f676fd1859",
        ];
        let rule = |hash: &str| format!(r#"{{"certificate": "{hash}", "permissions": "0000000000000001"}}"#);
        let rules = described(&format!(r#"{{"pkcs15": true, "rules": [{}, {}]}}"#, rule(hashes[0]), rule(hashes[1])));
        let FileManagement(steps) = pkcs15(&rules.checked().unwrap());
        let contents: Vec<String> = steps
            .iter()
            .filter_map(|step| match step {
                FileManagementStep::FillFileContent(content) => Some(hex::encode(content)),
                _ => None,
            })
            .collect();
        assert_eq!(contents[0], "a706300404025207");
        assert_eq!(
            contents[1],
            "a1293000300f0c0d4750205345204163632043746ca1143012060a2a864886fc6b81480101300404024200"
        );
        assert!(contents[2].starts_with("30100408") && contents[2].ends_with("300404024300"));
        assert_eq!(contents[3], "3010a0080406ffffffffffff300404024310");
        assert_eq!(contents[4], format!("30220420{}30220420{}", hashes[0], hashes[1]));
    }

    #[test]
    fn conditions_say_what_is_allowed() {
        let rules = described(
            r#"{"rules": [
                {"aid": "all", "apdu": "always"},
                {"aid": "implicit", "apdu": "never", "nfc": "never"},
                {"aid": "A000000001", "apdu": ["8001000000FF0000"], "nfc": "always"}
            ]}"#,
        );
        let rules = rules.checked().unwrap();
        let conditions: Vec<String> = rules.iter().map(|rule| hex::encode(condition(rule))).collect();
        assert_eq!(conditions[0], "3000");
        assert_eq!(conditions[1], "300ca00aa003800100a103800100");
        assert_eq!(conditions[2], "3015a013a00ca10a04088001000000ff0000a103800101");
    }

    #[test]
    fn what_is_refused() {
        let refused = |rules: &str| {
            described(&format!(r#"{{"pkcs15": true, "rules": [{rules}]}}"#)).checked().unwrap_err().to_string()
        };
        for (rules, words) in [
            (r#"{"aid": "A0", "apdu": "always"}"#, "rule 1: an AID has"),
            (r#"{"aid": "xyz", "apdu": "always"}"#, "rule 1: aid wants"),
            (r#"{"certificate": "00", "permissions": "0000000000000001"}"#, "rule 1: a hash has"),
            (r#"{"aid": "all"}"#, "rule 1: an AR-DO says"),
            (r#"{"apdu": "always"}"#, "rule 1: apdu and nfc want"),
            (r#"{"aid": "all", "apdu": []}"#, "rule 1: apdu has no filters"),
            (r#"{"aid": "all", "apdu": ["00"]}"#, "rule 1: a filter"),
            (r#"{"aid": "all", "apdu": "always", "permissions": "1"}"#, "rule 1: permissions want"),
            (r#"{"aid": "all", "apdu": "always"}, {"aid": "all", "apdu": "never"}"#, "rule 2: contradicts rule 1"),
            (r#"{"aid": "all", "apdu": "always"}, {"aid": "all", "apdu": "always"}"#, "rule 2: is about the same"),
            (r#"{"package": "a.b", "permissions": "0000000000000001"}"#, "rule 1: names a package"),
        ] {
            assert!(refused(rules).contains(words), "{rules}: {}", refused(rules));
        }
        assert!(serde_json::from_str::<AccessRules>(r#"{"rules": [{"apdu": "ever"}]}"#).is_err());
        assert!(serde_json::from_str::<AccessRules>(r#"{"rules": [{"aids": "all"}]}"#).is_err());
    }
}
