//! From a subscriber to the elements of a profile.

use hex_literal::hex;

use super::access_rules::{self, AccessRules};
use super::consistency::check_consistency;
use super::ef;
use super::file::{adf, change, ef_arr, filled, records, sized, with_pins};
use super::secure_channels::SecureChannels;
use super::selection::{ISIM_FAMILY, Selection};
use super::subscriber::{Algorithm, Ims, Key, OtaKeys, Subscriber, SubscriberError, SuciCalculation, SuciProfile};
use super::usim::{UsimPlan, family_files};
use super::usim_contents::UsimContents;
use crate::aka::{AkaParameter, AlgoConfiguration, AlgoParameter, AlgorithmId, ROTATION_CONSTANTS, XORING_CONSTANTS};
use crate::application::{Application, ApplicationInstance, UiccApplicationParameters};
use crate::file_management::GenericFileManagement;
use crate::files::{File, FileElement};
use crate::header::{ProfileHeader, Service, ServicesList};
use crate::pin::{PIN_ATTEMPTS, PUK_ATTEMPTS, PinCodes, PinConfig, PinConfiguration, PukCodes, PukConfiguration};
use crate::rfm::{AdfRfmAccess, Rfm};
use crate::security_domain::{KeyComponent, KeyObject, SecurityDomain};
use crate::templates::{self, Row, RowKind, Template};
use crate::{End, PeHeader, ProfileElement, Secret};

/// AID of the USIM.
pub const USIM_AID: [u8; 16] = hex!("A0000000871002FFFFFFFF8907010000");
/// AID of the ISIM.
pub const ISIM_AID: [u8; 16] = hex!("A0000000871004FFFFFFFF8907010000");
/// AID of the operator's security domain, and the package and class it is an instance of.
pub const MNO_SD_AID: [u8; 8] = hex!("A000000151000000");
const SD_PACKAGE_AID: [u8; 7] = hex!("A0000001515350");
const SD_CLASS_AID: [u8; 8] = hex!("A000000151535041");
/// AID of remote management of the files below the MF.
pub const RFM_UICC_AID: [u8; 9] = hex!("A00000055910100001");
/// AID of remote management of the files of the USIM.
pub const RFM_USIM_AID: [u8; 9] = hex!("A00000055910100002");
/// Toolkit application reference of [`RFM_UICC_AID`], TS 101 220 annex D.
pub const TAR_RFM_UICC: [u8; 3] = hex!("B00010");
/// Toolkit application reference of [`RFM_USIM_AID`].
pub const TAR_RFM_USIM: [u8; 3] = hex!("B00020");
/// Temporary file identifier of ADF.USIM.
pub const USIM_FILE_ID: u16 = 0x7FD0;
/// Temporary file identifier of ADF.ISIM.
pub const ISIM_FILE_ID: u16 = 0x7FB0;

/// PIN1, PUK1.
const PIN1: u8 = 0x01;
/// PIN2, PUK2: the first local PIN.
const PIN2: u8 = 0x81;
/// ADM1.
const ADM1: u8 = 0x0A;
/// What the MF and DFs at its level show in their PIN status.
pub(super) const GLOBAL_PINS: &[u8] = &[PIN1, ADM1];
/// What an ADF shows.
pub(super) const APPLICATION_PINS: &[u8] = &[PIN1, PIN2, ADM1];

/// The profile of a subscriber, element by element.
pub fn build(subscriber: &Subscriber) -> Result<Vec<ProfileElement>, SubscriberError> {
    let plan = UsimPlan::of(subscriber)?;
    let mut profile = Profile::new(header(subscriber)?);
    profile.mf(subscriber)?;
    profile.codes(subscriber)?;
    profile.telecom(subscriber, &plan)?;
    profile.usim(subscriber, &plan)?;
    if let Some(ims) = &subscriber.ims {
        profile.isim(subscriber, ims)?;
    }
    profile.security_domain(subscriber.ota.as_ref(), subscriber.gp.as_ref())?;
    if let Some(described) = &subscriber.access_rules {
        profile.access_rules(described)?;
    }
    check_consistency(subscriber)?;
    if profile.has_ber_tlv {
        profile.demand(Service::BER_TLV);
    }
    Ok(profile.end())
}

impl Subscriber {
    /// Whether a profile can be made for this subscriber.
    pub fn check(&self) -> Result<(), SubscriberError> {
        build(self).map(drop)
    }

    /// OPc (16 octets) or TOPc (32), as given or computed; empty with the XOR test algorithm.
    pub fn operator_variant(&self) -> Result<Secret, SubscriberError> {
        let parameter = algo_parameter(self)?;
        Ok(if self.algorithm == Algorithm::Xor { Secret::default() } else { parameter.opc })
    }
}

/// Elements so far; numbers and template list follow from them.
pub(super) struct Profile {
    header: Box<ProfileHeader>,
    elements: Vec<ProfileElement>,
    /// There are BER-TLV files among its files.
    has_ber_tlv: bool,
}

fn header(subscriber: &Subscriber) -> Result<ProfileHeader, SubscriberError> {
    let mut services = vec![
        Service::USIM,
        match (subscriber.algorithm, subscriber.key.expose().len()) {
            (Algorithm::Milenage, _) => Service::MILENAGE,
            (Algorithm::Tuak, 32) => Service::TUAK256,
            (Algorithm::Tuak, _) => Service::TUAK128,
            (Algorithm::Xor, _) => Service::USIM_TEST_ALGORITHM,
        },
    ];
    if subscriber.ims.is_some() {
        services.push(Service::ISIM);
    }
    if let Some(suci) = subscriber.suci.as_ref().filter(|suci| suci.calculation == SuciCalculation::Usim) {
        services.push(Service::GET_IDENTITY);
        services.extend(suci.keys.iter().map(|key| match key.profile {
            SuciProfile::A => Service::PROFILE_A_X25519,
            SuciProfile::B => Service::PROFILE_B_P256,
        }));
    }
    let name = subscriber.profile_name.as_deref().unwrap_or("vuicc subscriber");
    if !(1..=100).contains(&name.chars().count()) {
        return Err(SubscriberError::new("profile_name", "wants 1 to 100 characters"));
    }
    Ok(ProfileHeader {
        major_version: 2,
        minor_version: 3,
        profile_type: Some(name.to_owned()),
        iccid: ef::iccid("iccid", &subscriber.iccid)?,
        pol: None,
        mandatory_services: ServicesList::new(services),
        mandatory_templates: Vec::new(),
        connectivity_parameters: None,
        mandatory_aids: None,
        iot_options: None,
    })
}

impl Profile {
    fn new(header: ProfileHeader) -> Self {
        Self { header: Box::new(header), elements: Vec::new(), has_ber_tlv: false }
    }

    pub(super) fn add(&mut self, element: impl FnOnce(PeHeader) -> ProfileElement) {
        let identification = u16::try_from(self.elements.len() + 1).unwrap_or(u16::MAX);
        self.elements.push(element(PeHeader::mandated(identification)));
    }

    pub(super) fn files(&mut self, template: &'static Template, files: Vec<(&'static str, File)>) {
        let rows = files.into_iter().filter_map(|(name, file)| Some((template.row_named(name)?, file)));
        self.rows(template, rows.collect());
    }

    /// Files of a template, each with its row.
    pub(super) fn rows(&mut self, template: &'static Template, files: Vec<(Row, File)>) {
        let id = template.oid();
        if !self.header.mandatory_templates.contains(&id) {
            self.header.mandatory_templates.push(id);
        }
        self.has_ber_tlv |= files.iter().any(|(row, _)| matches!(row.kind, RowKind::BerTlv { .. }));
        let mut files: Vec<(u32, File)> =
            files.into_iter().map(|(row, file)| (row.tag, file.identified(&row))).collect();
        files.sort_by_key(|(tag, _)| *tag);
        self.add(|header| {
            ProfileElement::Files(FileElement { kind: template.element, header, template_id: template.oid(), files })
        });
    }

    fn mf(&mut self, subscriber: &Subscriber) -> Result<(), SubscriberError> {
        let mut applications = vec![directory_entry(&USIM_AID, "USIM")];
        if subscriber.ims.is_some() {
            applications.push(directory_entry(&ISIM_AID, "ISIM"));
        }
        if subscriber.access_rules.as_ref().is_some_and(|rules| rules.pkcs15) {
            applications.push(access_rules::directory_entry());
        }
        let mut languages = ef::languages("languages", &subscriber.languages)?;
        languages.resize(languages.len().max(2), 0xFF);
        let iccid = self.header.ef_iccid().to_vec();
        self.files(
            &templates::MF,
            vec![
                ("MF", with_pins(GLOBAL_PINS)),
                ("EF.PL", sized(languages)),
                ("EF.ICCID", change(|fcp| fcp.short_ef_id = Some(vec![0x02 << 3])).filled(iccid)),
                ("EF.DIR", records(&applications)),
                ("EF.ARR", ef_arr(0x06, crate::access_rules::RECORD_LENGTH_IN_MF)),
                ("EF.UMPC", filled(hex!("3C3C020000").to_vec())),
            ],
        );
        Ok(())
    }

    fn codes(&mut self, subscriber: &Subscriber) -> Result<(), SubscriberError> {
        let codes = &subscriber.codes;
        let puk1 = ef::code("codes.puk1", codes.puk1.expose(), 8..=8)?;
        let puk2 = ef::code("codes.puk2", codes.puk2.expose(), 8..=8)?;
        let pin1 = ef::code("codes.pin1", codes.pin1.expose(), 4..=8)?;
        let adm1 = ef::adm("codes.adm1", codes.adm1.expose())?;
        let puk = |key_reference, value: [u8; 8]| PukConfiguration {
            key_reference,
            puk_value: Secret::new(&value),
            max_attempts_and_left: PUK_ATTEMPTS,
        };
        self.add(|header| {
            ProfileElement::PukCodes(PukCodes { header, puk_codes: vec![puk(PIN1, puk1), puk(PIN2, puk2)] })
        });
        let enabled = if codes.pin1_enabled { PinConfiguration::ENABLED } else { 0 };
        let own = vec![
            PinConfiguration {
                pin_attributes: enabled | PinConfiguration::CHANGEABLE | PinConfiguration::CAN_BE_DISABLED,
                ..pin(PIN1, pin1)
            },
            PinConfiguration { unblocking_pin_reference: None, max_attempts_and_left: PUK_ATTEMPTS, ..pin(ADM1, adm1) },
        ];
        self.add(|header| ProfileElement::PinCodes(PinCodes { header, pin_codes: PinConfig::Own(own) }));
        Ok(())
    }

    /// What each application has of its own beside files: PIN2, and how it authenticates.
    pub(super) fn pin2_and_aka(&mut self, subscriber: &Subscriber) -> Result<(), SubscriberError> {
        let pin2 = ef::code("codes.pin2", subscriber.codes.pin2.expose(), 4..=8)?;
        self.add(|header| {
            ProfileElement::PinCodes(PinCodes { header, pin_codes: PinConfig::Own(vec![pin(PIN2, pin2)]) })
        });
        let algo = algo_parameter(subscriber)?;
        self.add(|header| {
            ProfileElement::AkaParameter(Box::new(AkaParameter::new(header, AlgoConfiguration::Algo(algo))))
        });
        Ok(())
    }

    fn isim(&mut self, subscriber: &Subscriber, ims: &Ims) -> Result<(), SubscriberError> {
        let domain = ims.domain.clone().unwrap_or_else(|| ims_domain(subscriber));
        let impi = ims.impi.clone().unwrap_or_else(|| format!("{}@{domain}", subscriber.imsi));
        if !impi.contains('@') {
            return Err(SubscriberError::new("ims.impi", "has the form user@realm"));
        }
        let impus = if ims.impus.is_empty() { vec![format!("sip:{impi}")] } else { ims.impus.clone() };
        if impus.iter().any(|impu| !["sip:", "sips:", "tel:"].iter().any(|scheme| impu.starts_with(scheme))) {
            return Err(SubscriberError::new("ims.impus", "each is a sip:, sips: or tel: URI"));
        }
        let impus: Vec<_> = impus.iter().map(|impu| ef::text_object("ims.impus", impu)).collect::<Result<_, _>>()?;
        let addresses = ims.pcscfs.iter().map(|pcscf| pcscf_address("ims.pcscfs", pcscf));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        let selection = Selection::isim(subscriber)?;
        let mut contents = UsimContents::default();
        // A later version of the template calls the file otherwise.
        contents.files.extend([("EF.P-CSCF", addresses.clone()), ("EF.PCSCF", addresses)]);
        contents.files.extend([
            ("EF.IMPI", vec![ef::text_object("ims.impi", &impi)?]),
            ("EF.IMPU", impus),
            ("EF.Domain", vec![ef::text_object("ims.domain", &domain)?]),
            ("EF.IST", vec![selection.table(14)]),
        ]);
        contents.files.extend(selection.contents.clone());
        for versions in ISIM_FAMILY {
            let Some((template, mut files)) = family_files(versions, &selection, &contents, APPLICATION_PINS) else {
                continue;
            };
            if template.created_by_default {
                let own = [
                    ("ADF.ISIM", adf(ISIM_FILE_ID, &ISIM_AID, APPLICATION_PINS)),
                    ("EF.ARR", ef_arr(0x06, crate::access_rules::RECORD_LENGTH)),
                ];
                let own: Vec<_> =
                    own.into_iter().filter_map(|(name, file)| Some((template.row_named(name)?, file))).collect();
                files.retain(|(row, _)| own.iter().all(|(own, _)| own.tag != row.tag));
                files.extend(own);
            }
            self.rows(template, files);
        }
        self.pin2_and_aka(subscriber)
    }

    fn security_domain(&mut self, ota: Option<&OtaKeys>, gp: Option<&SecureChannels>) -> Result<(), SubscriberError> {
        let mut keys = ota.map(key_list).transpose()?.unwrap_or_default();
        if let Some(gp) = gp {
            let own = gp.key_objects().map_err(|(field, reason)| SubscriberError::new(field, reason))?;
            keys.extend(own);
        }
        let key_list = (!keys.is_empty()).then_some(keys);
        let protocols = gp.map(SecureChannels::protocols).unwrap_or_default();
        self.add(|header| {
            ProfileElement::SecurityDomain(Box::new(SecurityDomain {
                header,
                instance: ApplicationInstance {
                    application_load_package_aid: SD_PACKAGE_AID.to_vec(),
                    class_aid: SD_CLASS_AID.to_vec(),
                    instance_aid: MNO_SD_AID.to_vec(),
                    extradite_security_domain_aid: None,
                    application_privileges: hex!("82DC00").to_vec(),
                    life_cycle_state: [0x0F],
                    application_specific_parameters: specific_parameters(&protocols),
                    system_specific_parameters: None,
                    application_parameters: ota.map(|_| UiccApplicationParameters {
                        toolkit: Some(SD_TOOLKIT_PARAMETERS.to_vec()),
                        ..UiccApplicationParameters::default()
                    }),
                    process_data: None,
                    control_reference_template: None,
                },
                key_list,
                sd_perso_data: Some(vec![card_recognition_data(&protocols)]),
                open_perso_data: None,
                cat_tp_parameters: None,
            }))
        });
        if ota.is_none() {
            return Ok(());
        }
        let full_access = || vec![0x00];
        let rfm = |header, aid: [u8; 9], tar, adf_rfm_access| {
            ProfileElement::Rfm(Rfm {
                header,
                instance_aid: aid.to_vec(),
                security_domain_aid: None,
                tar_list: Some(vec![tar]),
                minimum_security_level: [MINIMUM_SECURITY_LEVEL],
                uicc_access_domain: full_access(),
                uicc_admin_access_domain: full_access(),
                adf_rfm_access,
            })
        };
        self.add(|header| rfm(header, RFM_UICC_AID, TAR_RFM_UICC, None));
        let access = AdfRfmAccess {
            adf_aid: USIM_AID.to_vec(),
            adf_access_domain: full_access(),
            adf_admin_access_domain: full_access(),
        };
        self.add(|header| rfm(header, RFM_USIM_AID, TAR_RFM_USIM, Some(access)));
        Ok(())
    }

    /// The access rule application, and the files that say the same.
    fn access_rules(&mut self, described: &AccessRules) -> Result<(), SubscriberError> {
        let rules = described.checked()?;
        let instance = described.instance(&rules)?;
        self.add(|header| {
            ProfileElement::Application(Application { header, load_block: None, instance_list: Some(vec![instance]) })
        });
        if described.pkcs15 {
            let files = vec![access_rules::pkcs15(&rules)];
            self.add(|header| {
                ProfileElement::GenericFileManagement(GenericFileManagement { header, file_management_cmd: files })
            });
        }
        Ok(())
    }

    /// A card without this service refuses the profile.
    fn demand(&mut self, service: Service) {
        let services = self.header.mandatory_services.iter().chain([service]).collect::<Vec<_>>();
        self.header.mandatory_services = ServicesList::new(services);
    }

    fn end(mut self) -> Vec<ProfileElement> {
        self.add(|header| ProfileElement::End(End { header }));
        self.elements.insert(0, ProfileElement::Header(self.header));
        self.elements
    }
}

/// Ciphered, cryptographic checksum, counter higher: SPI1 of TS 102 225 §5.1.1.
const MINIMUM_SECURITY_LEVEL: u8 = 0x16;

/// Toolkit parameters of the security domain, TS 102 226 §8.2.1.3.2.2.1: no timers, no menu, the security level above, TARs
/// B20100 and 000000 for remote application management.
const SD_TOOLKIT_PARAMETERS: [u8; 18] = hex!("010000000000 02 01 16 06 B20100 000000 0000");

/// Parameters of the security domain: SCP80, and what else it has keys for; who may use which of its interfaces. UICC
/// Configuration §10.
fn specific_parameters(protocols: &[[u8; 2]]) -> Vec<u8> {
    let mut parameters = hex!("81028000").to_vec();
    parameters.extend(protocols.iter().flat_map(|[protocol, option]| [0x81, 0x02, *protocol, *option]));
    parameters.extend(hex!("8201F08301F08701F0"));
    parameters
}

/// DGI 0070 with card recognition data, GlobalPlatform §H.2: GlobalPlatform 2.2, SCP80 and the others.
fn card_recognition_data(protocols: &[[u8; 2]]) -> Vec<u8> {
    let mut data = apdu::tlv::Writer::new();
    data.constructed(apdu::tlv::Tag(0x66), |data| {
        data.constructed(apdu::tlv::Tag(0x73), |data| {
            data.raw(&hex!("06072A864886FC6B01 600B06092A864886FC6B020202 630906072A864886FC6B03"));
            for [protocol, option] in [[0x80, 0x00]].iter().chain(protocols) {
                data.raw(&hex!("640B06092A864886FC6B04")).raw(&[*protocol, *option]);
            }
        });
    });
    let data = data.into_bytes();
    [&hex!("0070")[..], &[u8::try_from(data.len()).unwrap_or(u8::MAX)], &data].concat()
}

/// The domain of a subscriber's home network in IMS, TS 23.003 §13.2.
pub fn ims_domain(subscriber: &Subscriber) -> String {
    let (mcc, mnc) = subscriber.home_network();
    ims_domain_of(mcc, mnc)
}

/// The domain of a network in IMS, TS 23.003 §13.2.
pub(super) fn ims_domain_of(mcc: &str, mnc: &str) -> String {
    format!("ims.mnc{mnc:0>3}.mcc{mcc}.3gppnetwork.org")
}

/// A record of EF.DIR, TS 102 221 §13.1.
fn directory_entry(aid: &[u8], label: &str) -> Vec<u8> {
    let mut entry = apdu::tlv::Writer::new();
    entry.constructed(apdu::tlv::Tag(0x61), |template| {
        template.primitive(apdu::tlv::Tag(0x4F), aid);
        template.primitive(apdu::tlv::Tag(0x50), label.as_bytes());
    });
    entry.into_bytes()
}

fn pin(key_reference: u8, value: [u8; 8]) -> PinConfiguration {
    PinConfiguration {
        key_reference,
        pin_value: Secret::new(&value),
        unblocking_pin_reference: Some(key_reference),
        pin_attributes: PinConfiguration::ENABLED | PinConfiguration::CHANGEABLE,
        max_attempts_and_left: PIN_ATTEMPTS,
    }
}

/// K, OPc and options as the algorithm wants them.
fn algo_parameter(subscriber: &Subscriber) -> Result<AlgoParameter, SubscriberError> {
    let key = subscriber.key.expose();
    let wrong_key = || {
        let wanted = if subscriber.algorithm == Algorithm::Tuak { "16 or 32 with TUAK" } else { "16" };
        SubscriberError::new("key", format!("has {} octets, and wants {wanted}", key.len()))
    };
    let key128 = || <&[u8; 16]>::try_from(key).map_err(|_| wrong_key());
    let (id, options, opc) = match subscriber.algorithm {
        Algorithm::Xor => {
            if subscriber.op.is_some() || subscriber.opc.is_some() {
                return Err(SubscriberError::new("opc", "the XOR algorithm has none"));
            }
            key128()?;
            let options = match subscriber.res_length.unwrap_or(16) {
                4 => 0,
                8 => 1,
                16 => 2,
                _ => return Err(SubscriberError::new("res_length", "with XOR it is 4, 8 or 16")),
            };
            (AlgorithmId::UsimTestAlgorithm, options, Secret::new(&[0; 16]))
        }
        Algorithm::Milenage => {
            if subscriber.res_length.is_some_and(|length| length != 8) {
                return Err(SubscriberError::new("res_length", "with Milenage it is 8"));
            }
            let key = key128()?;
            let opc = operator_variant(subscriber, |op: &[u8; 16]| crypto::milenage::opc(key, op))?;
            (AlgorithmId::Milenage, 0, opc)
        }
        Algorithm::Tuak => {
            let parameters = crypto::tuak::Parameters {
                res: subscriber.res_length.unwrap_or(8).into(),
                ..crypto::tuak::Parameters::default()
            };
            let options = AlgoParameter::tuak_options(parameters.res, parameters.mac, parameters.ck, parameters.ik)
                .ok_or_else(|| SubscriberError::new("res_length", "with TUAK it is 4, 8, 16 or 32"))?;
            if !matches!(key.len(), 16 | 32) {
                return Err(wrong_key());
            }
            let opc = operator_variant(subscriber, |top: &[u8; 32]| {
                crypto::tuak::Tuak::with_top(key, top, parameters).map_or([0; 32], |tuak| *tuak.topc())
            })?;
            (AlgorithmId::Tuak, options, opc)
        }
    };
    Ok(AlgoParameter {
        algorithm_id: id,
        algorithm_options: [options],
        key: Secret::new(key),
        opc,
        rotation_constants: ROTATION_CONSTANTS,
        xoring_constants: XORING_CONSTANTS,
        auth_counter_max: None,
        number_of_keccak: 1,
    })
}

/// OPc or TOPc: as given, or computed from OP or TOP.
fn operator_variant<const N: usize>(
    subscriber: &Subscriber,
    derive: impl FnOnce(&[u8; N]) -> [u8; N],
) -> Result<Secret, SubscriberError> {
    let octets = |field, key: &Key| {
        let key = key.expose();
        let wrong = || SubscriberError::new(field, format!("has {} octets, and wants {N}", key.len()));
        <[u8; N]>::try_from(key).map_err(|_| wrong())
    };
    let given = subscriber.opc.as_ref().map(|opc| octets("opc", opc).map(|opc| Secret::new(&opc))).transpose()?;
    let computed = subscriber.op.as_ref().map(|op| octets("op", op).map(|op| Secret::new(&derive(&op)))).transpose()?;
    match (computed, given) {
        (Some(computed), Some(given)) if computed != given => {
            Err(SubscriberError::new("opc", "is not what follows from op and key; leave one of op and opc out"))
        }
        (_, Some(opc)) | (Some(opc), None) => Ok(opc),
        (None, None) => Err(SubscriberError::new("opc", "is missing; op will do as well")),
    }
}

/// A record of EF.P-CSCF, TS 31.103 §4.2.8: type of address (FQDN, IPv4, IPv6), address.
fn pcscf_address(field: &'static str, text: &str) -> Result<Vec<u8>, SubscriberError> {
    use core::net::IpAddr;
    let (kind, address) = match text.parse() {
        Ok(IpAddr::V4(address)) => (1, address.octets().to_vec()),
        Ok(IpAddr::V6(address)) => (2, address.octets().to_vec()),
        Err(_) => (0, text.as_bytes().to_vec()),
    };
    if address.is_empty() || address.len() > 254 {
        return Err(SubscriberError::new(field, "wants a name or an address"));
    }
    let mut object = apdu::tlv::Writer::new();
    object.primitive(apdu::tlv::Tag(0x80), &[&[kind], address.as_slice()].concat());
    Ok(object.into_bytes())
}

/// KIc, KID and KIK with identifiers 1, 2, 3 and their usage, GlobalPlatform §11.1.9.
fn key_list(ota: &OtaKeys) -> Result<Vec<KeyObject>, SubscriberError> {
    const AES: u8 = 0x88;
    if !(1..=0x0F).contains(&ota.version) {
        return Err(SubscriberError::new("ota.version", "is 1 to 15"));
    }
    [("ota.kic", &ota.kic, 1, 0x18), ("ota.kid", &ota.kid, 2, 0x14), ("ota.kik", &ota.kik, 3, 0x48)]
        .into_iter()
        .map(|(field, key, identifier, usage)| {
            if key.expose().len() != 16 {
                return Err(SubscriberError::new(field, "is 16 octets, for AES"));
            }
            Ok(KeyObject {
                key_usage_qualifier: vec![usage],
                key_access: [0],
                key_identifier: [identifier],
                key_version_number: [ota.version],
                key_counter_value: None,
                key_components: vec![KeyComponent {
                    key_type: vec![AES],
                    key_data: Secret::new(key.expose()),
                    mac_length: 8,
                }],
            })
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::aka::AlgoConfiguration;
    use crate::builder::HomeNetworkKey;
    use crate::{FileChange, FileKind, FileResolver, ResolvedFile, access_rules, decode_package, encode_package};

    fn subscriber() -> Subscriber {
        let key = |hex: &str| hex.parse().unwrap();
        Subscriber {
            msisdn: Some("+15551234567".to_owned()),
            spn: Some("Test".to_owned()),
            smsc: Some("+15550000000".to_owned()),
            languages: vec!["en".to_owned(), "de".to_owned()],
            ehplmns: vec!["00102".to_owned()],
            operator_plmns: vec!["310410".to_owned()],
            ims: Some(Ims { pcscfs: vec!["192.0.2.1".to_owned(), "pcscf.example".to_owned()], ..Ims::default() }),
            suci: Some(super::super::Suci {
                calculation: SuciCalculation::Usim,
                routing_indicator: "0".to_owned(),
                keys: vec![HomeNetworkKey {
                    id: 27,
                    profile: SuciProfile::A,
                    // TS 33.501 annex C.4.3.1
                    key: key("5a8d38864820197c3394b92613b20b91633cbd897119273bf8e4a6f4eec0a650"),
                }],
            }),
            ota: Some(OtaKeys {
                version: 1,
                kic: key("00112233445566778899aabbccddeeff"),
                kid: key("00112233445566778899aabbccddee00"),
                kik: key("00112233445566778899aabbccddee11"),
            }),
            ..Subscriber::new(
                "8988211000000000011",
                "001010000000001",
                key("465b5ce8b199b49faa5f0a2ee238a6bc"),
                key("cd63cb71954a9f4e48a5994e37a02baf"),
            )
        }
    }

    pub(in super::super) fn resolve(elements: &[ProfileElement]) -> Vec<ResolvedFile> {
        let mut resolver = FileResolver::new();
        let mut files = Vec::new();
        for element in elements {
            match element {
                ProfileElement::Files(element) => files.extend(resolver.template(element).unwrap()),
                ProfileElement::GenericFileManagement(element) => {
                    files.extend(resolver.generic(element).unwrap().into_iter().filter_map(|change| match change {
                        FileChange::Create(file) => Some(file),
                        FileChange::Write { .. } => None,
                    }));
                }
                _ => {}
            }
        }
        files
    }

    #[test]
    fn round_trip_and_order() {
        let elements = build(&subscriber()).unwrap();
        let package = encode_package(&elements);
        assert_eq!(decode_package(&package).unwrap(), elements);
        assert_eq!(encode_package(&build(&subscriber()).unwrap()), package, "the same octets again");
        let tags: Vec<u32> = elements.iter().map(ProfileElement::tag).collect();
        assert_eq!(
            tags,
            [
                0xA0, 0xB0, 0xA3, 0xA2, 0xB2, 0xB3, 0xB4, 0xA2, 0xA4, 0xB8, 0xBC, 0xBD, 0xB5, 0xB6, 0xA2, 0xA4, 0xA6,
                0xA7, 0xA7, 0xAA
            ]
        );
        let numbers: Vec<u16> = elements.iter().filter_map(|element| Some(element.header()?.identification)).collect();
        assert_eq!(numbers, (1..20).collect::<Vec<_>>());
        let ProfileElement::Header(header) = &elements[0] else { panic!() };
        let services: Vec<_> = header.mandatory_services.iter().filter_map(Service::name).collect();
        assert_eq!(services, ["usim", "isim", "milenage", "get-identity", "profile-a-x25519"]);
        assert_eq!(header.mandatory_templates.len(), 9);
    }

    #[test]
    fn files_say_what_the_subscriber_says() {
        let files = resolve(&build(&subscriber()).unwrap());
        let file = |path: &str| files.iter().find(|file| file.path().to_string() == path).unwrap();
        let content = |path: &str| hex::encode_upper(&file(path).content);
        assert_eq!(content("3F00/2FE2"), "988812010000000010F1");
        assert_eq!(content("3F00/2F05"), "656E6465");
        assert_eq!(file("3F00/2F00").records(), 2);
        assert_eq!(content("3F00/7FD0/6F07"), "080910100000000010");
        assert_eq!(content("3F00/7FD0/6F78"), "0002");
        assert_eq!(content("3F00/7FD0/6FAD"), "00000002");
        assert!(content("3F00/7FD0/6FD9").starts_with("00F11000F120FFFFFF"));
        assert!(content("3F00/7FD0/6F61").starts_with("130014C880FFFFFF0000"));
        assert_eq!(content("3F00/7FD0/6FB7"), "11F2FF0019F1FF00");
        assert_eq!(
            content("3F00/7FD0/5FD0/4F01"),
            "A0020101A12580011B81205A8D38864820197C3394B92613B20B91633CBD897119273BF8E4A6F4EEC0A650"
        );
        assert_eq!(file("3F00/7FB0/6F09").records(), 2);
        let impi = String::from_utf8_lossy(&file("3F00/7FB0/6F02").content[2..]).into_owned();
        assert_eq!(impi, "001010000000001@ims.mnc001.mcc001.3gppnetwork.org");
        // Every access rule that is referred to exists, in a file that exists.
        for file in &files {
            let mut dirs =
                (0..=file.parent.0.len()).rev().map(|depth| crate::FilePath(file.parent.0[..depth].to_vec()));
            let arr = dirs
                .find_map(|dir| files.iter().find(|other| other.path() == dir.join(file.access_rule.file_id)))
                .unwrap_or_else(|| panic!("{} has no EF.ARR", file.path()));
            assert!(usize::from(file.access_rule.record) <= arr.records(), "{}", file.path());
            let is_in_mf = arr.path() == crate::FilePath(vec![0x2F06]);
            let record_length = if is_in_mf { access_rules::RECORD_LENGTH_IN_MF } else { access_rules::RECORD_LENGTH };
            assert_eq!(arr.kind, FileKind::LinearFixed { record_length }, "{}", arr.path());
        }
    }

    /// Services of EF.UST and the files they promise, TS 31.102 §4.2.8.
    #[test]
    fn service_table_and_files_agree() {
        let promised: &[(usize, &str)] = &[
            (2, "6F3B"),
            (10, "6F3C"),
            (12, "6F42"),
            (17, "6F3E"),
            (19, "6F46"),
            (20, "6F60"),
            (21, "6F40"),
            (27, "5F3B/4F20"),
            (42, "6F61"),
            (43, "6F62"),
            (71, "6FD9"),
            (85, "6FE3"),
            (122, "5FC0/4F01"),
            (123, "5FC0/4F05"),
            (124, "5FC0/4F0A"),
            (125, "5FD0/4F01"),
        ];
        let bare = Subscriber { gsm_access: false, msisdn: None, suci: None, ..subscriber() };
        for subscriber in [subscriber(), bare] {
            let files = resolve(&build(&subscriber).unwrap());
            let find = |id: &str| files.iter().find(|file| file.path().to_string() == format!("3F00/7FD0/{id}"));
            let table = &find("6F38").unwrap().content;
            for (service, id) in promised {
                let available = table[(service - 1) / 8] >> ((service - 1) % 8) & 1 == 1;
                // SPN is mandatory in the template, so it may be there, empty, without its service.
                assert_eq!(available, find(id).is_some(), "service {service}");
            }
        }
    }

    #[test]
    fn op_becomes_opc() {
        // TS 35.208 test set 1.
        let op =
            Subscriber { opc: None, op: Some("cdc202d5123e20f62b6d676ac72cb318".parse().unwrap()), ..subscriber() };
        assert_eq!(build(&op).unwrap(), build(&subscriber()).unwrap());
        let both = Subscriber { op: op.op, ..subscriber() };
        assert_eq!(build(&both).unwrap(), build(&subscriber()).unwrap(), "they agree");
        assert_eq!(hex::encode(both.operator_variant().unwrap().expose()), "cd63cb71954a9f4e48a5994e37a02baf");
    }

    #[test]
    fn algorithms() {
        let algo = |subscriber: &Subscriber| {
            build(subscriber).unwrap().into_iter().find_map(|element| match element {
                ProfileElement::AkaParameter(aka) => match aka.algo_configuration {
                    AlgoConfiguration::Algo(algo) => Some(algo),
                    AlgoConfiguration::Mapping(_) => None,
                },
                _ => None,
            })
        };
        let xor = Subscriber { algorithm: Algorithm::Xor, opc: None, ..subscriber() };
        assert_eq!(algo(&xor).unwrap().algorithm_options, [2]);
        let tuak = Subscriber {
            algorithm: Algorithm::Tuak,
            opc: None,
            op: Some(super::super::Key::new(&[0x55; 32])),
            res_length: Some(16),
            ..subscriber()
        };
        let tuak = algo(&tuak).unwrap();
        assert_eq!((tuak.opc.expose().len(), tuak.tuak_lengths().unwrap().0), (32, 16));
    }

    #[test]
    fn contradictions_are_refused_by_field() {
        let key = |octets| Some(super::super::Key::new(&vec![1; octets]));
        let refused = |change: &dyn Fn(&mut Subscriber)| {
            let mut subscriber = subscriber();
            change(&mut subscriber);
            build(&subscriber).unwrap_err().field
        };
        assert_eq!(refused(&|s| s.op = key(16)), "opc");
        assert_eq!(refused(&|s| s.op = key(17)), "op");
        assert_eq!(refused(&|s| s.opc = None), "opc");
        assert_eq!(refused(&|s| s.opc = key(32)), "opc");
        assert_eq!(refused(&|s| s.algorithm = Algorithm::Xor), "opc");
        assert_eq!(refused(&|s| s.key = super::super::Key::new(&[1; 32])), "key");
        assert_eq!(refused(&|s| s.res_length = Some(4)), "res_length");
        assert_eq!(refused(&|s| s.mnc_length = 4), "mnc_length");
        assert_eq!(refused(&|s| s.ehplmns.push("00101".to_owned())), "ehplmns");
        assert_eq!(refused(&|s| s.codes.puk1 = super::super::Code::new("123")), "codes.puk1");
        assert_eq!(refused(&|s| s.emergency_numbers.clear()), "emergency_numbers");
        assert_eq!(refused(&|s| s.ims.as_mut().unwrap().impus.push("user".to_owned())), "ims.impus");
        assert_eq!(refused(&|s| s.suci.as_mut().unwrap().keys[0].profile = SuciProfile::B), "suci.keys");
        assert_eq!(refused(&|s| s.ota.as_mut().unwrap().version = 16), "ota.version");
    }

    #[test]
    fn reads_and_writes_text_formats() {
        let text = r#"{
            "iccid": "8988211000000000011", "imsi": "001010000000001",
            "key": "465b5ce8b199b49faa5f0a2ee238a6bc", "opc": "cd63cb71954a9f4e48a5994e37a02baf",
            "codes": { "pin1": "1234", "pin1_enabled": true }
        }"#;
        let read: Subscriber = serde_json::from_str(text).unwrap();
        assert_eq!(read.codes.pin1.expose(), b"1234");
        assert_eq!(serde_json::from_str::<Subscriber>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
        assert!(serde_json::from_str::<Subscriber>(&text.replace("imsi", "ismi")).is_err());
        assert!(!format!("{read:?}").contains("465b"), "keys are not shown");
    }
}
