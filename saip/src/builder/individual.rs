//! A package for one of many subscribers: what distinguishes their subscriptions is put into a package that is the same for
//! all of them.

use super::SubscriberError;
use super::ef;
use super::file::{linear_fixed, size};
use super::profile::ims_domain_of;
use super::subscriber::Key;
use crate::aka::{AkaParameter, AlgoConfiguration, AlgorithmId};
use crate::element::ProfileElement;
use crate::file_management::Fcp;
use crate::files::{File, FileElement, FileElementKind, FileStep};
use crate::templates::{self, Row, RowKind};

/// What is a subscriber's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Individual {
    /// ICCID, 18 to 20 digits.
    pub iccid: String,
    /// IMSI, 14 or 15 digits.
    pub imsi: String,
    /// How many digits of the IMSI are the MNC, 2 or 3.
    pub mnc_length: u8,
    /// K, as long as the algorithm of the package has it.
    pub key: Key,
    /// OPc or TOPc, where the algorithm has one and it is not to stay as it is.
    pub opc: Option<Key>,
}

/// Puts a subscriber's ICCID into header and EF.ICCID; IMSI, access class and length of the MNC into the USIM; identities that
/// follow from the IMSI (TS 23.003 §13) into the ISIM; K into every set of authentication parameters that has a key of its
/// own. Everything else stays. Returns the parameters of the
/// first application, which is the USIM.
///
/// # Errors
/// Which number is wrong, or that the package has no place for it.
pub fn individualise(elements: &mut [ProfileElement], own: &Individual) -> Result<AkaParameter, SubscriberError> {
    let iccid = ef::iccid("iccid", &own.iccid)?;
    let imsi = ef::imsi("imsi", &own.imsi)?;
    if !(2..=3).contains(&own.mnc_length) {
        return Err(SubscriberError::new("mnc_length", "is 2 or 3"));
    }
    let mut aka = None;
    let (mut has_iccid, mut has_imsi) = (false, false);
    for element in elements {
        match element {
            ProfileElement::Header(header) => header.iccid = iccid,
            ProfileElement::Files(files) if files.kind == FileElementKind::Mf => {
                has_iccid = fill(files, "EF.ICCID", &iccid.map(|octet| octet.rotate_left(4)));
            }
            ProfileElement::Files(files) if files.kind == FileElementKind::Usim && !has_imsi => {
                has_imsi = fill(files, "EF.IMSI", &imsi);
                // One that is not there is as the template has it.
                fill(files, "EF.ACC", &ef::acc(&own.imsi));
                set_mnc_length(files, own.mnc_length);
            }
            ProfileElement::Files(files) if files.kind == FileElementKind::Isim => {
                let Identities { domain, private, public } = Identities::of(own)?;
                fill_whole(files, "EF.IMPI", private);
                fill_records(files, "EF.IMPU", public);
                fill_whole(files, "EF.Domain", domain);
            }
            ProfileElement::AkaParameter(parameter) => {
                if let AlgoConfiguration::Algo(algo) = &mut parameter.algo_configuration {
                    if algo.key.expose().len() != own.key.expose().len() {
                        return Err(SubscriberError::new("key", "is not as long as that of the package"));
                    }
                    algo.key = own.key.expose().to_vec().into();
                    if let (Some(opc), false) = (&own.opc, algo.algorithm_id == AlgorithmId::UsimTestAlgorithm) {
                        algo.opc = opc.expose().to_vec().into();
                    }
                    aka.get_or_insert_with(|| (**parameter).clone());
                }
            }
            _ => {}
        }
    }
    let absent = |field| SubscriberError::new(field, "has no place in the package");
    match aka {
        _ if !has_iccid => Err(absent("iccid")),
        _ if !has_imsi => Err(absent("imsi")),
        Some(aka) => Ok(aka),
        None => Err(absent("key")),
    }
}

/// What a subscriber is in IMS by the IMSI, as data objects: TS 23.003 §13.2, §13.3 and §13.4B.
struct Identities {
    domain: Vec<u8>,
    private: Vec<u8>,
    public: Vec<u8>,
}

impl Identities {
    fn of(own: &Individual) -> Result<Self, SubscriberError> {
        let (mcc, rest) = own.imsi.split_at_checked(3).unwrap_or_default();
        let domain = ims_domain_of(mcc, rest.get(..usize::from(own.mnc_length)).unwrap_or_default());
        let private = format!("{}@{domain}", own.imsi);
        Ok(Self {
            public: ef::text_object("imsi", &format!("sip:{private}"))?,
            private: ef::text_object("imsi", &private)?,
            domain: ef::text_object("imsi", &domain)?,
        })
    }
}

/// Says in EF.AD how many digits of the IMSI are the MNC, TS 31.102 §4.2.18: low half of the fourth octet.
fn set_mnc_length(usim: &mut FileElement, mnc_length: u8) {
    const AT: usize = 3;
    let Some(row) = row(usim, "EF.AD") else { return };
    let has_it = usim.file(row.tag).is_some();
    let mut content = content(&row, usim.file(row.tag).unwrap_or(&File::default()));
    content.resize(content.len().max(AT + 1), 0);
    let Some(octet) = content.get_mut(AT) else { return };
    let known = std::mem::replace(octet, *octet & 0xF0 | mnc_length);
    if *octet == known {
        return;
    }
    if !has_it {
        // As the template has it until now.
        let at = usim.files.partition_point(|(tag, _)| *tag < row.tag);
        usim.files.insert(at, (row.tag, File::default()));
    }
    fill_whole(usim, "EF.AD", content);
}

/// What a file has in it: what its steps write over the template's content.
fn content(row: &Row, File(steps): &File) -> Vec<u8> {
    let mut content = vec![0; file_size(row, steps)];
    row.default.fill(&mut content);
    let mut at = 0;
    for step in steps {
        match step {
            FileStep::FillFileOffset(offset) => at += usize::from(*offset),
            FileStep::FillFileContent(octets) => {
                content.iter_mut().skip(at).zip(octets).for_each(|(octet, value)| *octet = *value);
                at += octets.len();
            }
            FileStep::DoNotCreate | FileStep::FileDescriptor(_) => {}
        }
    }
    content
}

fn fcp(steps: &[FileStep]) -> Option<&Fcp> {
    steps.iter().find_map(|step| match step {
        FileStep::FileDescriptor(fcp) => Some(&**fcp),
        _ => None,
    })
}

/// Octets of a file, as it says or its template.
fn file_size(row: &Row, steps: &[FileStep]) -> usize {
    let stated = fcp(steps).and_then(|fcp| fcp.ef_file_size.as_deref());
    let stated = stated.map(|size| size.iter().fold(0, |size: usize, octet| size << 8 | usize::from(*octet)));
    stated.unwrap_or_else(|| match row.kind {
        RowKind::Transparent { size } | RowKind::BerTlv { size } => size.into(),
        RowKind::LinearFixed { records, record_length } | RowKind::Cyclic { records, record_length } => {
            usize::from(records) * usize::from(record_length)
        }
        RowKind::Mf | RowKind::Df | RowKind::Adf => 0,
    })
}

/// Changes the parameters of a file.
fn change(steps: &mut Vec<FileStep>, change: impl FnOnce(&mut Fcp)) {
    if fcp(steps).is_none() {
        steps.insert(0, FileStep::FileDescriptor(Box::default()));
    }
    let of_file = steps.iter_mut().find_map(|step| match step {
        FileStep::FileDescriptor(fcp) => Some(fcp),
        _ => None,
    });
    if let Some(fcp) = of_file {
        change(fcp);
    }
}

/// Gives a transparent file of an element this content and nothing else; the file grows if it has to.
fn fill_whole(element: &mut FileElement, name: &str, mut content: Vec<u8>) {
    let Some((row, steps)) = steps(element, name) else { return };
    let octets = file_size(&row, steps);
    if octets < content.len() {
        change(steps, |fcp| fcp.ef_file_size = Some(size(content.len())));
    }
    content.resize(content.len().max(octets), 0xFF);
    fill(element, name, &content);
}

/// Gives a linear fixed file of an element this first record, and empty ones behind it; records grow if they have to.
fn fill_records(element: &mut FileElement, name: &str, mut record: Vec<u8>) {
    let Some((row, steps)) = steps(element, name) else { return };
    let stated = fcp(steps).and_then(|fcp| fcp.file_descriptor.as_deref()?.get(2..4));
    let (octets, stated) = (
        file_size(&row, steps),
        stated.map(|length| length.iter().fold(0, |length: usize, octet| length << 8 | usize::from(*octet))),
    );
    let length = stated.unwrap_or(octets).max(1);
    let count = (octets / length).max(1);
    if length < record.len() {
        change(steps, |fcp| linear_fixed(fcp, record.len(), count));
    }
    let length = length.max(record.len());
    record.resize(length * count, 0xFF);
    fill(element, name, &record);
}

fn row(element: &FileElement, name: &str) -> Option<Row> {
    templates::find(&element.template_id)?.row_named(name)
}

/// A file of an element: its template, and how it differs from that.
fn steps<'a>(element: &'a mut FileElement, name: &str) -> Option<(Row, &'a mut Vec<FileStep>)> {
    let row = row(element, name)?;
    let (_, File(steps)) = element.files.iter_mut().find(|(tag, _)| *tag == row.tag)?;
    Some((row, steps))
}

/// Gives a file of an element this content from its start; `false` if the element has no such file.
fn fill(element: &mut FileElement, name: &str, content: &[u8]) -> bool {
    let Some((_, steps)) = steps(element, name) else { return false };
    steps.retain(|step| !matches!(step, FileStep::FillFileContent(_) | FileStep::FillFileOffset(_)));
    steps.push(FileStep::FillFileContent(content.to_vec()));
    true
}

#[cfg(test)]
mod tests {
    use super::super::profile::tests::resolve;
    use super::super::{Ims, Subscriber, build};
    use super::*;
    use crate::{decode_package, encode_package};

    fn subscriber(iccid: &str, imsi: &str, key: u8) -> Subscriber {
        Subscriber::new(iccid, imsi, Key::new(&[key; 16]), Key::new(&[9; 16]))
    }

    fn individual() -> Individual {
        let (iccid, imsi) = ("8988211000000000029".to_owned(), "001010000000002".to_owned());
        Individual { iccid, imsi, mnc_length: 2, key: Key::new(&[2; 16]), opc: None }
    }

    /// What is built for one is, individualised for another, what is built for the other.
    #[test]
    fn the_same_as_built_for_the_other() {
        let mut one = build(&subscriber("8988211000000000011", "001010000000001", 1)).unwrap();
        let aka = individualise(&mut one, &individual()).unwrap();
        let AlgoConfiguration::Algo(algo) = &aka.algo_configuration else { panic!() };
        assert_eq!((algo.key.expose(), algo.opc.expose()), (&[2; 16][..], &[9; 16][..]));
        let other = build(&subscriber("8988211000000000029", "001010000000002", 2)).unwrap();
        assert_eq!(one, other);
        assert_eq!(decode_package(&encode_package(&one)).unwrap(), one);
    }

    /// Also another network, with an MNC of another length, and identities in IMS.
    #[test]
    fn the_same_as_built_for_one_of_another_network() {
        let with_ims = |iccid: &str, imsi: &str, key: u8, mnc_length: u8| {
            let subscriber = Subscriber { ims: Some(Ims::default()), mnc_length, ..subscriber(iccid, imsi, key) };
            build(&subscriber).unwrap()
        };
        let mut one = with_ims("8988211000000000011", "001010000000001", 1, 2);
        individualise(&mut one, &Individual { imsi: "310410000000002".into(), mnc_length: 3, ..individual() }).unwrap();
        let other = with_ims("8988211000000000029", "310410000000002", 2, 3);
        let contents = |elements: &[ProfileElement]| -> Vec<_> {
            let files = resolve(elements).into_iter();
            // What else is of a network stays.
            let own = ["6F07", "6F78", "6FAD", "6F02", "6F03", "6F04"].map(|id| u16::from_str_radix(id, 16).unwrap());
            files.filter(|file| own.contains(&file.file_id)).map(|file| (file.path(), file.content)).collect()
        };
        assert_eq!(contents(&one), contents(&other));
        assert!(contents(&one).len() >= 7);
        assert_eq!(decode_package(&encode_package(&one)).unwrap(), one);
    }

    /// What the package says otherwise of the files stays, and what was another's is not kept.
    #[test]
    fn files_grow_and_lose_what_was_anothers() {
        let ims = Ims {
            domain: Some("test.3gpp.com".into()),
            impi: Some("1@test.3gpp.com".into()),
            impus: vec!["sip:1@test.3gpp.com".into(), "tel:+15551234567".into()],
            ..Ims::default()
        };
        let shared = Subscriber { ims: Some(ims), ..subscriber("8988211000000000011", "001010000000001", 1) };
        let mut elements = build(&shared).unwrap();
        // EF.AD as the template has it, and with its first octet changed.
        let usim = |elements: &mut [ProfileElement], change: fn(&mut FileElement, u32)| {
            for element in elements {
                if let ProfileElement::Files(files) = element
                    && files.kind == FileElementKind::Usim
                {
                    let tag = row(files, "EF.AD").unwrap().tag;
                    change(files, tag);
                }
            }
        };
        let own = Individual { imsi: "310410000000002".into(), mnc_length: 3, ..individual() };
        let content = |elements: &[ProfileElement], id: u16| {
            let files = resolve(elements);
            files
                .into_iter()
                .filter(|file| file.file_id == id)
                .map(|file| hex::encode_upper(file.content))
                .collect::<Vec<_>>()
        };
        let mut implied = elements.clone();
        usim(&mut implied, |files, tag| files.files.retain(|(known, _)| *known != tag));
        individualise(&mut implied, &own).unwrap();
        assert!(content(&implied, 0x6FAD).contains(&"00000003".to_owned()));
        usim(&mut elements, |files, _| assert!(fill(files, "EF.AD", &[0x80])));
        individualise(&mut elements, &own).unwrap();
        assert!(content(&elements, 0x6FAD).contains(&"80000003".to_owned()));
        let domain = hex::encode_upper("ims.mnc410.mcc310.3gppnetwork.org");
        assert_eq!(content(&elements, 0x6F03), [format!("8021{domain}")]);
        let [impus] = <[String; 1]>::try_from(content(&elements, 0x6F04)).unwrap();
        let (first, second) = impus.split_at(impus.len() / 2);
        assert_eq!(first, format!("8035{}{domain}", hex::encode_upper("sip:310410000000002@")));
        assert!(second.bytes().all(|digit| digit == b'F'), "{second}");
    }

    #[test]
    fn an_opc_of_its_own() {
        let mut one = build(&subscriber("8988211000000000011", "001010000000001", 1)).unwrap();
        let own = Individual { opc: Some(Key::new(&[7; 16])), ..individual() };
        let AlgoConfiguration::Algo(algo) = individualise(&mut one, &own).unwrap().algo_configuration else { panic!() };
        assert_eq!(algo.opc.expose(), [7; 16]);
    }

    #[test]
    fn what_has_no_place_is_said() {
        let whole = build(&subscriber("8988211000000000011", "001010000000001", 1)).unwrap();
        let refused = |change: fn(&mut Individual), drop: fn(&ProfileElement) -> bool| {
            let mut elements: Vec<_> = whole.iter().filter(|element| !drop(element)).cloned().collect();
            let mut own = individual();
            change(&mut own);
            individualise(&mut elements, &own).map(|_| ()).map_err(|error| error.field)
        };
        assert_eq!(refused(|_| (), |_| false), Ok(()));
        assert_eq!(refused(|own| own.iccid = "89".into(), |_| false), Err("iccid"));
        assert_eq!(refused(|own| own.imsi = "1".into(), |_| false), Err("imsi"));
        assert_eq!(refused(|own| own.mnc_length = 4, |_| false), Err("mnc_length"));
        assert_eq!(refused(|own| own.key = Key::new(&[1; 32]), |_| false), Err("key"));
        assert_eq!(refused(|_| (), |element| matches!(element, ProfileElement::AkaParameter(_))), Err("key"));
        assert_eq!(
            refused(
                |_| (),
                |element| matches!(element, ProfileElement::Files(files) if files.kind == FileElementKind::Mf)
            ),
            Err("iccid")
        );
        assert_eq!(
            refused(
                |_| (),
                |element| matches!(element, ProfileElement::Files(files) if files.kind == FileElementKind::Usim)
            ),
            Err("imsi")
        );
    }
}
