//! What files of a USIM have in them for the fields of a description. Sections are of TS 31.102.

use std::collections::BTreeMap;

use super::ef;
use super::name::{Name, alpha, network_name};
use super::number::{Dialled, Extensions, FOOTER, record};
use super::subscriber::{Subscriber, SubscriberError};
use super::usim_fields::{AccessIdentity, Charge, NetworkName, OperatorNetwork, WarningArea};

type Result<T> = std::result::Result<T, SubscriberError>;

/// Contents by the name of the file, octets or records, and the services that fields ask for, each with its field.
#[derive(Debug, Default)]
pub(super) struct UsimContents {
    pub(super) files: BTreeMap<&'static str, Vec<Vec<u8>>>,
    pub(super) asked: Vec<(u16, &'static str)>,
    /// A file of so many records or octets, and no more, whatever is usual.
    pub(super) exact: Vec<&'static str>,
}

/// Numbers to dial: the field, file and service, and where what does not fit goes.
struct Dialling {
    field: &'static str,
    file: &'static str,
    service: u16,
    extensions: &'static str,
    extension_service: u16,
}

const FDN: Dialling =
    Dialling { field: "usim.fdn", file: "EF.FDN", service: 2, extensions: "EF.EXT2", extension_service: 3 };
const SDN: Dialling =
    Dialling { field: "usim.sdn", file: "EF.SDN", service: 4, extensions: "EF.EXT3", extension_service: 5 };
const BDN: Dialling =
    Dialling { field: "usim.bdn", file: "EF.BDN", service: 6, extensions: "EF.EXT4", extension_service: 7 };

impl UsimContents {
    pub(super) fn of(subscriber: &Subscriber) -> Result<Self> {
        let mut contents = Self::default();
        contents.names(subscriber)?;
        contents.numbers(subscriber)?;
        contents.lists(subscriber)?;
        contents.bits(subscriber)?;
        Ok(contents)
    }

    fn put(&mut self, file: &'static str, content: Vec<Vec<u8>>) {
        self.files.insert(file, content);
    }

    fn ask(&mut self, service: u16, field: &'static str, is_asked: bool) {
        self.asked.extend(is_asked.then_some((service, field)));
    }

    /// EF.SPN, EF.PNN, EF.OPL, EF.SPDI.
    fn names(&mut self, subscriber: &Subscriber) -> Result<()> {
        let usim = &subscriber.usim;
        if let Some(spn) = subscriber.spn_content()? {
            self.put("EF.SPN", vec![spn]);
        } else if usim.spn_coding.is_some() || usim.spn_alone || usim.spn_home_only {
            return Err(SubscriberError::new("usim.spn_coding", "is about spn, and there is none"));
        }
        let (mcc, mnc) = subscriber.home_network();
        let home = [mcc, mnc].concat();
        let mut own = usim.pnn.clone();
        if let (Some(spn), true) = (&subscriber.spn, own.is_empty()) {
            own.push(NetworkName { full: spn.as_str().into(), short: None, country_initials: false });
        }
        let names = own.iter().enumerate().map(|(at, name)| pnn(at, name)).collect::<Result<Vec<_>>>()?;
        let mut networks = usim.opl.clone();
        if networks.is_empty() && !names.is_empty() {
            let all = ("0000".to_owned(), "fffe".to_owned());
            networks.push(OperatorNetwork { plmn: home.clone(), from: all.0, to: all.1, name: 1 });
        }
        let networks = networks
            .iter()
            .enumerate()
            .map(|(at, network)| opl(at, network, names.len()))
            .collect::<Result<Vec<_>>>()?;
        self.ask(45, "usim.pnn", !usim.pnn.is_empty());
        self.ask(46, "usim.opl", !usim.opl.is_empty());
        if !names.is_empty() {
            at_most_records("usim.pnn", names.len())?;
            self.put("EF.PNN", names);
        }
        if !networks.is_empty() {
            at_most_records("usim.opl", networks.len())?;
            self.put("EF.OPL", networks);
        }
        let mut displayed = ef::plmn("imsi", &home)?.to_vec();
        displayed.extend(plmns("ehplmns", &subscriber.ehplmns)?);
        displayed.extend(plmns("usim.spdi", &usim.spdi)?);
        let mut object = apdu::tlv::Writer::new();
        object.constructed(apdu::tlv::Tag(0xA3), |spdi| {
            spdi.primitive(apdu::tlv::Tag(0x80), &displayed);
        });
        self.ask(51, "usim.spdi", !usim.spdi.is_empty());
        self.put("EF.SPDI", vec![object.into_bytes()]);
        for (field, file, service, content) in
            [("usim.gid1", "EF.GID1", 17, &usim.gid1), ("usim.gid2", "EF.GID2", 18, &usim.gid2)]
        {
            let Some(content) = content else { continue };
            let octets = hex::decode(content).ok().filter(|octets| (1..=255).contains(&octets.len()));
            let wrong = || SubscriberError::new(field, "wants 1 to 255 octets in hexadecimal digits, two for each");
            self.put(file, vec![octets.ok_or_else(wrong)?]);
            self.ask(service, field, true);
        }
        Ok(())
    }

    /// EF.MSISDN, EF.FDN, EF.SDN, EF.BDN, EF.MBDN with what extends them; EF.EST.
    fn numbers(&mut self, subscriber: &Subscriber) -> Result<()> {
        let usim = &subscriber.usim;
        if let Some(number) = &subscriber.msisdn {
            let length = usim.msisdn_name.as_ref().map_or(Ok(24), |name| {
                let wrong = |reason| SubscriberError::new("usim.msisdn_name", reason);
                alpha(name, LONGEST_NAME).map_err(wrong)?;
                Ok(room(&[name], 10) + FOOTER)
            })?;
            let mut own = ef::msisdn("msisdn", number, length)?;
            if let Some(name) = &usim.msisdn_name {
                let octets = alpha(name, length - FOOTER).unwrap_or_default();
                own.iter_mut().zip(octets).for_each(|(octet, value)| *octet = value);
            }
            self.put("EF.MSISDN", vec![own]);
        } else if usim.msisdn_name.is_some() {
            return Err(SubscriberError::new("usim.msisdn_name", "is about msisdn, and there is none"));
        }
        let (mut fixed, mut service) = (usim.fdn.clone(), usim.sdn.clone());
        let is_only_ecall = usim.ecall.as_ref().is_some_and(|ecall| ecall.only);
        if let Some(ecall) = &usim.ecall {
            let entry = |name: &str, number: &str| Dialled { name: Some(name.into()), number: number.to_owned() };
            for (field, number) in [("test", &ecall.test), ("reconfiguration", &ecall.reconfiguration)] {
                super::number::dialled(number)
                    .map_err(|reason| SubscriberError::new("usim.ecall", reason).within(field))?;
            }
            let both = [entry("eCall test", &ecall.test), entry("eCall reconf", &ecall.reconfiguration)];
            if is_only_ecall {
                if !fixed.is_empty() {
                    return Err(SubscriberError::new("usim.fdn", "with usim.ecall.only there are no others"));
                }
                fixed.extend(both.clone());
            }
            // They are the last two entries.
            service.extend(both);
            self.exact.push("EF.SDN");
        }
        self.dialling(&FDN, &fixed)?;
        self.dialling(&SDN, &service)?;
        self.dialling(&BDN, &usim.bdn)?;
        self.ask(2, "usim.fdn_enabled", usim.fdn_enabled);
        self.ask(2, "usim.ecall", usim.ecall.is_some());
        self.ask(4, "usim.ecall", usim.ecall.is_some());
        self.ask(6, "usim.bdn_enabled", usim.bdn_enabled);
        let enabled = u8::from(usim.fdn_enabled || is_only_ecall) | u8::from(usim.bdn_enabled) << 1;
        self.put("EF.EST", vec![vec![enabled]]);
        self.ask(12, "smsc", subscriber.smsc.is_some());
        self.mailboxes(subscriber)
    }

    fn dialling(&mut self, list: &Dialling, entries: &[Dialled]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        at_most_records(list.field, entries.len())?;
        // EF.BDN has the number of a comparison method at the end.
        let (usual, tail) = if list.file == "EF.SDN" {
            (10, 0)
        } else {
            (12 - usize::from(list.service == 6), usize::from(list.service == 6))
        };
        let length = room(&entries.iter().filter_map(|entry| entry.name.as_ref()).collect::<Vec<_>>(), usual) + FOOTER;
        let mut extensions = Extensions::default();
        let mut records = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let wrong = |(field, reason)| SubscriberError::new(list.field, reason).entry(at).within(field);
            let mut written = record(entry, length, &mut extensions).map_err(wrong)?;
            written.resize(length + tail, 0xFF);
            records.push(written);
        }
        self.put(list.file, records);
        self.ask(list.service, list.field, true);
        if !extensions.records().is_empty() {
            self.put(list.extensions, extensions.records().to_vec());
            self.ask(list.extension_service, list.field, true);
        }
        Ok(())
    }

    /// EF.MBDN, and EF.MBI, which says which of its records is for what. §4.2.60, §4.2.62.
    fn mailboxes(&mut self, subscriber: &Subscriber) -> Result<()> {
        let boxes = &subscriber.usim.mailbox;
        let kinds = [
            ("voice", &boxes.voice),
            ("fax", &boxes.fax),
            ("email", &boxes.email),
            ("other", &boxes.other),
            ("video", &boxes.video),
        ];
        let names: Vec<&Name> = kinds.iter().filter_map(|(_, entry)| entry.as_ref()?.name.as_ref()).collect();
        let length = room(&names, 10) + FOOTER;
        let (mut extensions, mut records, mut identifiers) = (Extensions::default(), Vec::new(), Vec::new());
        for (kind, entry) in kinds {
            let Some(entry) = entry else {
                identifiers.push(0);
                continue;
            };
            let wrong = |(field, reason)| SubscriberError::new("usim.mailbox", reason).within(kind).within(field);
            records.push(record(entry, length, &mut extensions).map_err(wrong)?);
            identifiers.push(u8::try_from(records.len()).unwrap_or(0));
        }
        if records.is_empty() {
            return Ok(());
        }
        self.put("EF.MBDN", records);
        self.put("EF.MBI", vec![identifiers]);
        if !extensions.records().is_empty() {
            self.put("EF.EXT6", extensions.records().to_vec());
        }
        self.ask(47, "usim.mailbox", true);
        Ok(())
    }

    /// Networks, languages, cell broadcast.
    fn lists(&mut self, subscriber: &Subscriber) -> Result<()> {
        let usim = &subscriber.usim;
        let (mcc, mnc) = subscriber.home_network();
        let home = [mcc, mnc].concat();
        self.put("EF.HPLMNwAcT", vec![ef::plmns_with_act("imsi", core::slice::from_ref(&home))?]);
        for (field, file, service, networks) in [
            ("user_plmns", "EF.PLMNwAcT", 20, &subscriber.user_plmns),
            ("operator_plmns", "EF.OPLMNwAcT", 42, &subscriber.operator_plmns),
        ] {
            if !networks.is_empty() {
                self.put(file, vec![ef::plmns_with_act(field, networks)?]);
                self.ask(service, field, true);
            }
        }
        let equivalent = [ef::plmn("imsi", &home)?.to_vec(), plmns("ehplmns", &subscriber.ehplmns)?].concat();
        self.put("EF.EHPLMN", vec![equivalent]);
        self.ask(71, "ehplmns", !subscriber.ehplmns.is_empty());
        if !usim.forbidden_plmns.is_empty() {
            self.put("EF.FPLMN", vec![plmns("usim.forbidden_plmns", &usim.forbidden_plmns)?]);
        }
        if !subscriber.languages.is_empty() {
            self.put("EF.LI", vec![ef::languages("languages", &subscriber.languages)?]);
        }
        let cells = &usim.cell_broadcast;
        for (field, file, service, messages) in [
            ("usim.cell_broadcast.messages", "EF.CBMI", 15, &cells.messages),
            ("usim.cell_broadcast.download", "EF.CBMID", 29, &cells.download),
        ] {
            if !messages.is_empty() {
                self.put(file, vec![messages.iter().flat_map(|id| id.to_be_bytes()).collect()]);
                self.ask(service, field, true);
            }
        }
        if !cells.ranges.is_empty() {
            let field = "usim.cell_broadcast.ranges";
            if let Some(at) = cells.ranges.iter().position(|[first, last]| first > last) {
                return Err(SubscriberError::new(field, "ends before it begins").entry(at));
            }
            self.put("EF.CBMIR", vec![cells.ranges.iter().flatten().flat_map(|id| id.to_be_bytes()).collect()]);
            self.ask(16, field, true);
        }
        Ok(())
    }

    /// What is an octet or a few.
    fn bits(&mut self, subscriber: &Subscriber) -> Result<()> {
        let usim = &subscriber.usim;
        if usim.charge != Charge::default() {
            self.charge(&usim.charge)?;
        }
        if !usim.warnings_ignored.is_empty() {
            let bit = |area: &WarningArea| match area {
                WarningArea::Home => 0x01,
                WarningArea::Visited => 0x02,
            };
            self.put("EF.PWS", vec![vec![usim.warnings_ignored.iter().fold(0, |bits, area| bits | bit(area))]]);
            self.ask(97, "usim.warnings_ignored", true);
        }
        if !usim.access_identities.is_empty() {
            let bit = |identity: &AccessIdentity| match identity {
                AccessIdentity::Mps => 0x01,
                AccessIdentity::Mcs => 0x02,
            };
            let bits = usim.access_identities.iter().fold(0, |bits, identity| bits | bit(identity));
            self.put("EF.UAC_AIC", vec![vec![bits, 0, 0, 0]]);
            self.ask(126, "usim.access_identities", true);
        }
        if let Some(at) = usim.access_classes.iter().position(|class| !(11..=15).contains(class)) {
            let reason = "is 11 to 15; 0 to 9 follows from the IMSI";
            return Err(SubscriberError::new("usim.access_classes", reason).entry(at));
        }
        let class = u16::from_be_bytes(ef::acc(&subscriber.imsi));
        let classes = usim.access_classes.iter().fold(class, |classes, class| classes | 1 << class);
        self.put("EF.ACC", vec![classes.to_be_bytes().to_vec()]);
        if let Some(minutes) = usim.search_period {
            let steps = u8::try_from(minutes / 6).ok().filter(|steps| minutes % 6 == 0 && *steps <= 80);
            let wrong =
                || SubscriberError::new("usim.search_period", "is 0, for no search, or 6, 12, 18 and so on to 480");
            self.put("EF.HPPLMN", vec![vec![steps.ok_or_else(wrong)?]]);
        }
        if usim.home_first {
            self.put("EF.LRPLMNSI", vec![vec![0x01]]);
            self.ask(74, "usim.home_first", true);
        }
        if let Some(key) = &usim.hidden_key {
            let digits = ef::code("usim.hidden_key", key.expose(), 4..=8)?;
            let half = |digit: u8| if digit == 0xFF { 0xF } else { digit & 0xF };
            let octets = digits.chunks(2).map(|pair| match pair {
                [first, second] => half(*second) << 4 | half(*first),
                _ => 0xFF,
            });
            self.put("EF.HiddenKey", vec![octets.collect()]);
        }
        Ok(())
    }

    /// EF.ACMmax and EF.PUCT, §4.2.7, §4.2.14: currency, then price per unit as twelve bits and a power of ten.
    fn charge(&mut self, charge: &Charge) -> Result<()> {
        let [_, maximum @ ..] = charge.maximum.to_be_bytes();
        if charge.maximum > 0x00FF_FFFF {
            return Err(SubscriberError::new("usim.charge", "is at most 16777215").within("maximum"));
        }
        self.put("EF.ACMmax", vec![maximum.to_vec()]);
        self.ask(13, "usim.charge", true);
        let (currency, price) = match (&charge.currency, &charge.unit_price) {
            (Some(currency), Some(price)) => (currency, price),
            (None, None) => return Ok(()),
            (None, Some(_)) => {
                return Err(SubscriberError::new("usim.charge", "is missing beside unit_price").within("currency"));
            }
            (Some(_), None) => {
                return Err(SubscriberError::new("usim.charge", "is missing beside currency").within("unit_price"));
            }
        };
        let letters = currency.as_bytes();
        if letters.len() != 3 || !letters.iter().all(u8::is_ascii_uppercase) {
            return Err(SubscriberError::new("usim.charge", "wants three capital letters: EUR").within("currency"));
        }
        let (price, power) = decimal(price).ok_or_else(|| {
            let reason = "wants a price as 0.05: a number of 1 to 4095 with up to seven places";
            SubscriberError::new("usim.charge", reason).within("unit_price")
        })?;
        let [high, low] = price.to_be_bytes();
        let sign = u8::from(power < 0) << 4;
        let content = [letters, &[high << 4 | low >> 4, power.unsigned_abs() << 5 | sign | low & 0x0F]].concat();
        self.put("EF.PUCT", vec![content]);
        Ok(())
    }
}

/// A decimal number as a number of at most twelve bits and the power of ten it is multiplied with, -7 to 7.
fn decimal(text: &str) -> Option<(u16, i8)> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !whole.bytes().chain(places.bytes()).all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digits = [whole, places.trim_end_matches('0')].concat();
    let mut power = -i8::try_from(places.trim_end_matches('0').len()).ok()?;
    let mut number: u64 = digits.parse().ok()?;
    while number > 0xFFF && number.is_multiple_of(10) {
        number /= 10;
        power += 1;
    }
    let number = u16::try_from(number).ok().filter(|number| (1..=0xFFF).contains(number))?;
    (-7..=7).contains(&power).then_some((number, power))
}

/// A name that is longer does not fit a record.
const LONGEST_NAME: usize = 100;

/// Octets for these names: what is usual if they fit, else as many as the longest takes.
fn room(names: &[&Name], usual: usize) -> usize {
    let needed =
        |name: &&Name| (usual..=LONGEST_NAME).find_map(|room| alpha(name, room).ok()).map_or(0, |octets| octets.len());
    let all_fit = names.iter().all(|name| alpha(name, usual).is_ok());
    if all_fit { usual } else { names.iter().map(needed).max().unwrap_or_default().max(usual) }
}

fn at_most_records(field: &'static str, count: usize) -> Result<()> {
    if count > 254 { Err(SubscriberError::new(field, "a file has at most 254 records")) } else { Ok(()) }
}

/// Networks of a list, three octets each.
fn plmns(field: &'static str, networks: &[String]) -> Result<Vec<u8>> {
    let mut octets = Vec::with_capacity(3 * networks.len());
    for (at, network) in networks.iter().enumerate() {
        octets.extend(ef::plmn(field, network).map_err(|error| error.entry(at))?);
    }
    Ok(octets)
}

/// A record of EF.PNN, §4.2.58: the full name, the short one.
fn pnn(at: usize, name: &NetworkName) -> Result<Vec<u8>> {
    const FULL: apdu::tlv::Tag = apdu::tlv::Tag(0x43);
    const SHORT: apdu::tlv::Tag = apdu::tlv::Tag(0x45);
    let wrong = |field: &'static str| move |reason| SubscriberError::new("usim.pnn", reason).entry(at).within(field);
    let mut record = apdu::tlv::Writer::new();
    record.primitive(FULL, &network_name(&name.full, name.country_initials).map_err(wrong("full"))?);
    if let Some(short) = &name.short {
        record.primitive(SHORT, &network_name(short, name.country_initials).map_err(wrong("short"))?);
    }
    Ok(record.into_bytes())
}

/// A record of EF.OPL, §4.2.59: network, first and last area, record of EF.PNN.
fn opl(at: usize, network: &OperatorNetwork, names: usize) -> Result<Vec<u8>> {
    let wrong = |field: &'static str, reason: String| SubscriberError::new("usim.opl", reason).entry(at).within(field);
    let digits = "wants 5 or 6 digits, of which some may be d, for any";
    let half = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit & 0xF),
        b'd' | b'D' => Some(0xD),
        _ => None,
    };
    let halves: Option<Vec<u8>> = network.plmn.bytes().map(half).collect();
    let halves = halves.filter(|halves| matches!(halves.len(), 5 | 6));
    let mut halves = halves.ok_or_else(|| wrong("plmn", digits.to_owned()))?;
    // The third digit of the MNC, or F, stands behind the MCC.
    let third = if halves.len() == 6 { halves.pop().unwrap_or(0xF) } else { 0xF };
    halves.insert(3, third);
    let plmn: Vec<u8> = halves.chunks_exact(2).map(|pair| pair[1] << 4 | pair[0]).collect();
    let area = |field, text: &str| {
        let value = u16::from_str_radix(text, 16).ok().filter(|_| text.len() == 4 && !text.starts_with('+'));
        value.ok_or_else(|| wrong(field, "wants four hexadecimal digits".to_owned()))
    };
    let (from, to) = (area("from", &network.from)?, area("to", &network.to)?);
    if from > to {
        return Err(wrong("to", "is before from".to_owned()));
    }
    if usize::from(network.name) > names {
        return Err(wrong("name", format!("is the number of an entry of usim.pnn, and there are {names}")));
    }
    Ok([&plmn[..], &from.to_be_bytes(), &to.to_be_bytes(), &[network.name]].concat())
}
