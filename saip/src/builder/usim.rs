//! The USIM of a subscriber: its services, its files, and those of its directories. TS 31.102.

use super::ef;
use super::file::{adf, change, ef_arr, filled, of_records, records, size, with_pins};
use super::fresh::{empty, fresh, holding};
use super::name::Name;
use super::phonebook;
use super::profile::{APPLICATION_PINS, GLOBAL_PINS, Profile, USIM_AID, USIM_FILE_ID};
use super::selection::{Selection, USIM_FAMILY};
use super::subscriber::{HomeNetworkKey, Subscriber, SubscriberError, SuciCalculation, SuciProfile};
use super::usim_contents::UsimContents;
use crate::ProfileElement;
use crate::file_management::{Fcp, FileManagement, FileManagementStep, GenericFileManagement, ProprietaryInfo};
use crate::files::{File, FileStep};
use crate::templates::{self, Content, Row, RowKind, Template};

/// What is known of a USIM before its elements are made.
pub(super) struct UsimPlan {
    selection: Selection,
    contents: UsimContents,
}

impl UsimPlan {
    pub(super) fn of(subscriber: &Subscriber) -> Result<Self, SubscriberError> {
        check_numbers(subscriber)?;
        let mut contents = UsimContents::of(subscriber)?;
        let mut selection = Selection::usim(subscriber, &contents.asked)?;
        if !subscriber.languages.is_empty() {
            selection.further.insert("EF.LI");
        }
        for (name, content) in &selection.contents {
            if contents.files.insert(name, content.clone()).is_some() {
                let written = subscriber.usim.files.keys().find(|key| {
                    key.eq_ignore_ascii_case(name)
                        || name.split_once('.').is_some_and(|(_, bare)| bare.eq_ignore_ascii_case(key))
                });
                let error = SubscriberError::new("usim.files", "is made from the other fields");
                return Err(error.within(written.map_or(*name, String::as_str)));
            }
        }
        contents.files.insert("EF.UST", vec![selection.table(17)]);
        suci_files(subscriber, &mut contents)?;
        Ok(Self { selection, contents })
    }

    /// The files of a template, in the first version that has them all; none if there is none of them.
    fn files(&self, versions: &[&'static Template], pins: &[u8]) -> Option<(&'static Template, Vec<(Row, File)>)> {
        family_files(versions, &self.selection, &self.contents, pins)
    }
}

/// See [`UsimPlan::files`].
pub(super) fn family_files(
    versions: &[&'static Template],
    selection: &Selection,
    contents: &UsimContents,
    pins: &[u8],
) -> Option<(&'static Template, Vec<(Row, File)>)> {
    /// NAS security contexts of two registrations, for which the third version of DF.5GS has room.
    const SEVERAL_CONTEXTS: u16 = 136;
    let newest = versions.last()?;
    let is_mandatory = newest.created_by_default;
    let is_ef = |row: &Row| !matches!(row.kind, RowKind::Mf | RowKind::Df | RowKind::Adf);
    let there: Vec<Row> =
        newest.rows().into_iter().filter(|row| is_ef(row) && selection.has(row, is_mandatory)).collect();
    if there.is_empty() {
        return None;
    }
    let template = versions.iter().find(|template| {
        let has_room = template.number != templates::DF_5GS.number
            || template.version >= 3
            || !selection.services.contains(&SEVERAL_CONTEXTS);
        has_room && there.iter().all(|row| template.row(row.tag).is_some())
    })?;
    let (rows, mut files) = (template.rows(), Vec::new());
    let first = rows.first().map(|row| row.tag);
    for row in rows {
        let is_there = there.iter().any(|there| there.tag == row.tag);
        match row.kind {
            RowKind::Adf | RowKind::Mf => {}
            // The first row may be the directory that the template is about.
            RowKind::Df => {
                let is_base = first == Some(row.tag);
                if is_base || there.iter().any(|there| there.within == Some(row.tag)) {
                    files.push((row, with_pins(pins)));
                }
            }
            _ if is_there => {
                let name = row.name;
                let file = match contents.files.get(name) {
                    Some(content) if contents.exact.contains(&name) => exactly(&row, content),
                    Some(content) => holding(&row, content),
                    None => empty(&row),
                };
                // What is there by default need not be said.
                if !is_mandatory || file != File::default() {
                    files.push((row, file));
                }
            }
            _ if is_mandatory => files.push((row, File(vec![FileStep::DoNotCreate]))),
            _ => {}
        }
    }
    Some((template, files))
}

/// A file of these records and no others.
fn exactly(row: &Row, content: &[Vec<u8>]) -> File {
    let length = content.iter().map(Vec::len).max().unwrap_or(1);
    change(|fcp| of_records(fcp, row, length, content.len())).filled(content.concat())
}

impl Profile {
    /// DF.TELECOM, with what the services of the USIM bring to it and the phonebook that all applications share.
    pub(super) fn telecom(&mut self, subscriber: &Subscriber, plan: &UsimPlan) -> Result<(), SubscriberError> {
        let versions: &[&'static Template] = &[&templates::TELECOM, &templates::TELECOM_V2];
        let phonebook_tag = templates::TELECOM.row_named("DF.PHONEBOOK").map(|row| row.tag);
        let (mut template, mut files) = (versions.first().copied().unwrap_or(&templates::TELECOM), Vec::new());
        if let Some((wanted, found)) = plan.files(versions, GLOBAL_PINS) {
            // Which files the phonebook has is its own affair.
            let others = found.into_iter().filter(|(row, _)| row.within != phonebook_tag || phonebook_tag.is_none());
            files = others.filter(|(row, _)| !matches!(row.name, "DF.TELECOM" | "DF.PHONEBOOK" | "EF.ARR")).collect();
            if !files.is_empty() {
                template = wanted;
            }
        }
        let mut named: Vec<(&'static str, File)> =
            vec![("DF.TELECOM", with_pins(GLOBAL_PINS)), ("EF.ARR", ef_arr(0x17, crate::access_rules::RECORD_LENGTH))];
        if !subscriber.usim.local_phonebook {
            named.extend(phonebook::files(subscriber, &plan.selection, GLOBAL_PINS)?);
        }
        let named = named.into_iter().filter_map(|(name, file)| Some((template.row_named(name)?, file)));
        files.extend(named);
        self.rows(template, files);
        Ok(())
    }

    /// The USIM, with all of its files.
    pub(super) fn usim(&mut self, subscriber: &Subscriber, plan: &UsimPlan) -> Result<(), SubscriberError> {
        /// PIN2 and keys follow the files of the ADF itself.
        const LAST_OF_ADF: usize = 1;
        for (at, versions) in USIM_FAMILY.iter().enumerate() {
            if let Some((template, files)) = plan.files(versions, APPLICATION_PINS) {
                self.usim_files(subscriber, template, files)?;
            }
            if at == LAST_OF_ADF {
                self.pin2_and_aka(subscriber)?;
            }
        }
        if subscriber.usim.local_phonebook {
            let files = phonebook::files(subscriber, &plan.selection, APPLICATION_PINS)?;
            if !files.is_empty() {
                self.files(&templates::PHONEBOOK, files);
            }
        }
        Ok(())
    }

    fn usim_files(
        &mut self,
        subscriber: &Subscriber,
        template: &'static Template,
        mut files: Vec<(Row, File)>,
    ) -> Result<(), SubscriberError> {
        match template.number {
            number if number == templates::USIM.number => {
                let own = own_files(subscriber, template)?;
                files.retain(|(row, _)| own.iter().all(|(own, _)| own.tag != row.tag));
                files.extend(own);
                self.rows(template, files);
            }
            number if number == templates::TELECOM.number || number == templates::PHONEBOOK.number => {}
            number if number == templates::USIM_FURTHER.number => self.further_files(&files),
            _ => self.rows(template, files),
        }
        Ok(())
    }

    /// Files that no template has, below ADF.USIM.
    fn further_files(&mut self, files: &[(Row, File)]) {
        let usim = USIM_FILE_ID.to_be_bytes();
        let mut steps = Vec::new();
        for (row, File(contents)) in files {
            let holder = files.iter().find(|(df, _)| Some(df.tag) == row.within).map(|(df, _)| df.file_id);
            let path = [&usim[..], &holder.map_or_else(Vec::new, |df| df.to_be_bytes().to_vec())].concat();
            steps.push(FileManagementStep::FilePath(path));
            steps.push(FileManagementStep::CreateFcp(Box::new(whole_fcp(row, contents))));
            steps.extend(contents.iter().filter_map(|step| match step {
                FileStep::FillFileContent(content) => Some(FileManagementStep::FillFileContent(content.clone())),
                _ => None,
            }));
        }
        let management = vec![FileManagement(steps)];
        self.add(|header| {
            ProfileElement::GenericFileManagement(GenericFileManagement { header, file_management_cmd: management })
        });
    }
}

/// All parameters of a file, those that differ from its row in `steps`.
fn whole_fcp(row: &Row, steps: &[FileStep]) -> Fcp {
    const EF_ARR: [u8; 2] = [0x6F, 0x06];
    let (records, length, content) = fresh(row);
    let [.., high, low] = length.to_be_bytes();
    let descriptor = match row.kind {
        RowKind::Mf | RowKind::Df | RowKind::Adf => vec![0x78, 0x21],
        RowKind::Transparent { .. } => vec![0x41, 0x21],
        RowKind::LinearFixed { .. } => vec![0x42, 0x21, high, low],
        RowKind::Cyclic { .. } => vec![0x46, 0x21, high, low],
        RowKind::BerTlv { .. } => vec![0x79, 0x21],
    };
    let stated = steps.iter().find_map(|step| match step {
        FileStep::FileDescriptor(fcp) => Some((**fcp).clone()),
        _ => None,
    });
    let is_ef = length > 0;
    let pattern = match content {
        Content::Fill(pattern) => Some(pattern.to_vec()),
        Content::Repeat(_) | Content::Padded(_) | Content::Exact(_) => None,
    };
    let special = if row.high_update { 0x80 } else { 0 };
    let info =
        ProprietaryInfo { special_file_information: [special], fill_pattern: pattern, ..ProprietaryInfo::default() };
    let stated = stated.unwrap_or_default();
    Fcp {
        file_descriptor: stated.file_descriptor.or(Some(descriptor)),
        file_id: Some(row.file_id.to_be_bytes()),
        security_attributes_referenced: Some([&EF_ARR[..], &[row.arr]].concat()),
        ef_file_size: stated.ef_file_size.or_else(|| is_ef.then(|| size(records * length))),
        short_ef_id: is_ef.then(|| row.sfi.map_or_else(Vec::new, |sfi| vec![sfi << 3])),
        proprietary_ef_info: is_ef.then_some(info),
        ..stated
    }
}

/// Numbers that several files are made from.
fn check_numbers(subscriber: &Subscriber) -> Result<(), SubscriberError> {
    if !matches!(subscriber.mnc_length, 2 | 3) {
        return Err(SubscriberError::new("mnc_length", "is 2 or 3"));
    }
    ef::imsi("imsi", &subscriber.imsi)?;
    let home = home_network(subscriber);
    if let Some(at) = subscriber.ehplmns.iter().position(|plmn| *plmn == home) {
        return Err(SubscriberError::new("ehplmns", "is the home network itself").entry(at));
    }
    if subscriber.emergency_numbers.is_empty() {
        return Err(SubscriberError::new("emergency_numbers", "wants at least one"));
    }
    if subscriber.emergency_numbers.len() > 254 {
        return Err(SubscriberError::new("emergency_numbers", "a file has at most 254 records"));
    }
    Ok(())
}

/// Files of template ADF.USIM that are made from numbers and keys.
fn own_files(subscriber: &Subscriber, template: &'static Template) -> Result<Vec<(Row, File)>, SubscriberError> {
    let emergency = ef::ecc("emergency_numbers", &subscriber.emergency_numbers)?;
    let mut files = vec![
        ("ADF.USIM", adf(USIM_FILE_ID, &USIM_AID, APPLICATION_PINS)),
        ("EF.IMSI", filled(ef::imsi("imsi", &subscriber.imsi)?)),
        ("EF.ARR", ef_arr(0x17, crate::access_rules::RECORD_LENGTH)),
        ("EF.AD", filled(vec![0, 0, 0, subscriber.mnc_length])),
        ("EF.ECC", records(&emergency)),
    ];
    if let Some(smsc) = &subscriber.smsc {
        files.push(("EF.SMSP", filled(ef::smsp("smsc", smsc, 38)?)));
    }
    Ok(files.into_iter().filter_map(|(name, file)| Some((template.row_named(name)?, file))).collect())
}

impl Subscriber {
    /// EF.SPN, if there is a name. TS 31.102 §4.2.12.
    pub(super) fn spn_content(&self) -> Result<Option<Vec<u8>>, SubscriberError> {
        /// The network's name is shown at home too; the provider's is not shown abroad.
        const WITH_NETWORK: u8 = 0x01;
        const HOME_ONLY: u8 = 0x02;
        let Some(spn) = &self.spn else { return Ok(None) };
        let name = Name { text: spn.clone(), coding: self.usim.spn_coding };
        let alone = if self.usim.spn_alone { 0 } else { WITH_NETWORK };
        let abroad = if self.usim.spn_home_only { HOME_ONLY } else { 0 };
        ef::spn("spn", &name, alone | abroad).map(Some)
    }
}

/// EF.Routing_Indicator and the file with the keys of the home network, for the terminal or for the USIM.
fn suci_files(subscriber: &Subscriber, contents: &mut UsimContents) -> Result<(), SubscriberError> {
    let Some(suci) = &subscriber.suci else { return Ok(()) };
    let info = suci_calc_info(&suci.keys)?;
    let indicator = ef::routing_indicator("suci.routing_indicator", &suci.routing_indicator)?;
    let name = match suci.calculation {
        SuciCalculation::Me => "EF.SUCI_Calc_Info",
        SuciCalculation::Usim => "EF.SUCICalcInfo",
    };
    for (name, content) in [("EF.Routing_Indicator", indicator), (name, info)] {
        contents.files.insert(name, vec![content]);
    }
    Ok(())
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
