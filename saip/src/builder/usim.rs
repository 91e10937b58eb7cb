//! The USIM of a subscriber: its services, its files, and those of DF.5GS. TS 31.102.

use super::ef;
use super::file::{adf, at_least, ef_arr, filled, plmn_list, records, sized, with_pins};
use super::profile::{APPLICATION_PINS, Profile, USIM_AID, USIM_FILE_ID};
use super::subscriber::{HomeNetworkKey, Subscriber, SubscriberError, SuciCalculation, SuciProfile};
use crate::files::File;
use crate::{templates, ust};

impl Profile {
    /// The USIM, with all of its files.
    pub(super) fn usim(&mut self, subscriber: &Subscriber) -> Result<(), SubscriberError> {
        self.files(&templates::USIM, usim_files(subscriber)?);
        self.files(&templates::OPT_USIM, optional_usim_files(subscriber)?);
        self.pin2_and_aka(subscriber)?;
        if subscriber.gsm_access {
            let files = vec![
                ("DF.GSM-ACCESS", with_pins(APPLICATION_PINS)),
                ("EF.Kc", File::default()),
                ("EF.KcGPRS", File::default()),
            ];
            self.files(&templates::GSM_ACCESS, files);
        }
        self.five_gs(subscriber)
    }

    fn five_gs(&mut self, subscriber: &Subscriber) -> Result<(), SubscriberError> {
        let mut files = vec![
            ("DF.5GS", with_pins(APPLICATION_PINS)),
            ("EF.5GS3GPPLOCI", File::default()),
            ("EF.5GSN3GPPLOCI", File::default()),
            ("EF.5GS3GPPNSC", File::default()),
            ("EF.5GSN3GPPNSC", File::default()),
            ("EF.5GAUTHKEYS", filled(vec![0xFF])),
        ];
        let Some(suci) = &subscriber.suci else {
            self.files(&templates::DF_5GS, files);
            return Ok(());
        };
        let info = suci_calc_info(&suci.keys)?;
        let indicator = ef::routing_indicator("suci.routing_indicator", &suci.routing_indicator)?;
        files.push(("EF.Routing_Indicator", filled(indicator)));
        match suci.calculation {
            SuciCalculation::Me => {
                files.push(("EF.SUCI_Calc_Info", sized(info)));
                self.files(&templates::DF_5GS, files);
            }
            SuciCalculation::Usim => {
                self.files(&templates::DF_5GS, files);
                let files = vec![("DF.SAIP", with_pins(APPLICATION_PINS)), ("EF.SUCICalcInfo", sized(info))];
                self.files(&templates::DF_SAIP, files);
            }
        }
        Ok(())
    }
}

/// Services of a USIM: each with whether this subscriber's has it. Increasing, as in EF.UST.
fn usim_services(subscriber: &Subscriber) -> Vec<usize> {
    let suci_by_usim = subscriber.suci.as_ref().is_some_and(|suci| suci.calculation == SuciCalculation::Usim);
    let rows = [
        (ust::FDN, true),
        (ust::SMS, true),
        (ust::SMSP, true),
        (ust::SPN, subscriber.spn.is_some()),
        (ust::USER_PLMNS, true),
        (ust::MSISDN, subscriber.msisdn.is_some()),
        (ust::GSM_ACCESS, subscriber.gsm_access),
        (ust::ALWAYS_SET, true),
        (ust::GSM_SECURITY_CONTEXT, subscriber.gsm_access),
        (ust::OPERATOR_PLMNS, true),
        (ust::HOME_PLMNS, true),
        (ust::EQUIVALENT_HOME_PLMNS, true),
        (ust::EPS_MOBILITY_MANAGEMENT, true),
        (ust::FIVE_GS_MOBILITY_MANAGEMENT, true),
        (ust::FIVE_G_SECURITY_PARAMETERS, true),
        (ust::SUBSCRIPTION_IDENTIFIER_PRIVACY, subscriber.suci.is_some()),
        (ust::SUCI_CALCULATION_BY_THE_USIM, suci_by_usim),
    ];
    rows.into_iter().filter(|(_, has)| *has).map(|(service, _)| service).collect()
}

/// The files of template ADF.USIM.
fn usim_files(subscriber: &Subscriber) -> Result<Vec<(&'static str, File)>, SubscriberError> {
    let Subscriber { imsi, mnc_length, .. } = subscriber;
    let imsi_content = ef::imsi("imsi", imsi)?;
    if !matches!(mnc_length, 2 | 3) {
        return Err(SubscriberError::new("mnc_length", "is 2 or 3"));
    }
    let home = home_network(subscriber);
    if let Some(doubled) = subscriber.ehplmns.iter().find(|plmn| **plmn == home) {
        return Err(SubscriberError::new("ehplmns", format!("{doubled} is the home network itself")));
    }
    let spn = subscriber.spn.as_ref().map_or_else(|| Ok(vec![0xFF; 17]), |name| ef::spn("spn", name))?;
    if subscriber.emergency_numbers.is_empty() {
        return Err(SubscriberError::new("emergency_numbers", "wants at least one"));
    }
    let emergency = subscriber.emergency_numbers.iter().map(|number| ef::ecc("emergency_numbers", number));
    let smsp = match &subscriber.smsc {
        Some(smsc) => filled(ef::smsp("smsc", smsc, 38)?),
        None => File::default(),
    };
    Ok(vec![
        ("ADF.USIM", adf(USIM_FILE_ID, &USIM_AID, APPLICATION_PINS)),
        ("EF.IMSI", filled(imsi_content)),
        ("EF.ARR", ef_arr(0x17, crate::access_rules::RECORD_LENGTH)),
        ("EF.UST", sized(ef::service_table(&usim_services(subscriber), 17))),
        ("EF.SMSP", smsp),
        ("EF.SPN", filled(spn)),
        ("EF.EST", filled(vec![0])),
        ("EF.ACC", filled(ef::acc(imsi).to_vec())),
        ("EF.AD", filled(vec![0, 0, 0, *mnc_length])),
        ("EF.ECC", records(&emergency.collect::<Result<Vec<_>, _>>()?)),
    ])
}

/// The files of template OPT-USIM: networks, languages, the subscriber's number.
fn optional_usim_files(subscriber: &Subscriber) -> Result<Vec<(&'static str, File)>, SubscriberError> {
    let mut home_first = vec![home_network(subscriber)];
    let home_act = ef::plmns_with_act("imsi", &home_first)?;
    home_first.extend(subscriber.ehplmns.iter().cloned());
    let equivalent: Vec<[u8; 3]> = home_first.iter().map(|plmn| ef::plmn("ehplmns", plmn)).collect::<Result<_, _>>()?;
    let mut files = vec![
        ("EF.PLMNwAcT", plmn_list(ef::plmns_with_act("user_plmns", &subscriber.user_plmns)?)),
        ("EF.OPLMNwAcT", plmn_list(ef::plmns_with_act("operator_plmns", &subscriber.operator_plmns)?)),
        ("EF.HPLMNwAcT", filled(home_act)),
        ("EF.EHPLMN", at_least(15, equivalent.concat())),
    ];
    if !subscriber.languages.is_empty() {
        files.push(("EF.LI", filled(ef::languages("languages", &subscriber.languages)?)));
    }
    if let Some(msisdn) = &subscriber.msisdn {
        files.push(("EF.MSISDN", filled(ef::msisdn("msisdn", msisdn, 24)?)));
    }
    Ok(files)
}

/// MCC and MNC of the home network, as one number.
fn home_network(subscriber: &Subscriber) -> String {
    let (mcc, mnc) = subscriber.home_network();
    [mcc, mnc].concat()
}

/// EF.SUCI_Calc_Info, TS 31.102 §4.4.11.8: the schemes in order of preference, then the keys. Without keys the null scheme.
fn suci_calc_info(keys: &[HomeNetworkKey]) -> Result<Vec<u8>, SubscriberError> {
    use apdu::tlv::{Tag, Writer};
    if keys.len() > 60 {
        return Err(SubscriberError::new("suci.keys", "more than 60"));
    }
    let mut schemes = Vec::new();
    let mut list = Writer::new();
    for (index, HomeNetworkKey { id, profile, key }) in (1..).zip(keys) {
        let scheme = match profile {
            SuciProfile::A => crypto::suci::ProtectionScheme::ProfileA,
            SuciProfile::B => crypto::suci::ProtectionScheme::ProfileB,
        };
        // Concealing once proves the key is one of its curve.
        crypto::suci::conceal(scheme, key.expose(), &[0], |random| random.fill(1))
            .map_err(|error| SubscriberError::new("suci.keys", error.to_string()))?;
        schemes.extend([scheme as u8, index]);
        list.primitive(Tag(0x80), &[*id]).primitive(Tag(0x81), key.expose());
    }
    if keys.is_empty() {
        schemes.extend([crypto::suci::ProtectionScheme::Null as u8, 0]);
    }
    let mut info = Writer::new();
    info.primitive(Tag(0xA0), &schemes);
    if !keys.is_empty() {
        info.primitive(Tag(0xA1), list.as_bytes());
    }
    Ok(info.into_bytes())
}
