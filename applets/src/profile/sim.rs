//! What a SIM of TS 51.011 has beside the files of a USIM: DF.GSM and DF.TELECOM, most of whose files are those of the USIM
//! under the same or another name. TS 51.011 §10, TS 31.102 annex A.

use apdu::tlv::{Reader, Tag};
use card_os::DomainImage;
use card_os::fs::{AccessReference, File, FileId, FileKind, FileNumber, PinConfiguration, Security, Structure};

use crate::kind;

const DF_GSM: FileId = FileId(0x7F20);
const DF_TELECOM: FileId = FileId(0x7F10);
const DF_PHONEBOOK: FileId = FileId(0x5F3A);
const DF_GSM_ACCESS: FileId = FileId(0x5F3B);
const EF_PBR: FileId = FileId(0x4F30);
/// Tags of EF.PBR: abbreviated dialling numbers, and their extensions. TS 31.102 §4.4.2.1.
const ADN: u8 = 0xC0;
const EXT1: u8 = 0xC2;
const EF_UST: FileId = FileId(0x6F38);

/// Where the file lies that a file of a SIM shows.
#[derive(Clone, Copy)]
enum Shows {
    /// In the USIM, under the same identifier.
    Same,
    /// In the USIM, under this one.
    InUsim(u16),
    /// In the USIM's DF.GSM-ACCESS.
    InGsmAccess(u16),
    /// In the phonebook of DF.TELECOM: what EF.PBR has under this tag, or where it says nothing this file.
    InPhonebook(u8, u16),
}

/// A file of a SIM that shows one that is there anyway, and the services of EF.SST that it stands for. TS 51.011 §10.3.7.
struct Row(u16, Shows, &'static [usize]);

/// Of DF.GSM. TS 51.011 §10.3.
const GSM: &[Row] = &[
    Row(0x6F07, Shows::Same, &[]),
    Row(0x6F20, Shows::InGsmAccess(0x4F20), &[]),
    Row(0x6F31, Shows::Same, &[]),
    Row(0x6F37, Shows::Same, &[]),
    Row(0x6F39, Shows::Same, &[5]),
    Row(0x6F3E, Shows::Same, &[15]),
    Row(0x6F3F, Shows::Same, &[16]),
    Row(0x6F41, Shows::Same, &[]),
    Row(0x6F45, Shows::Same, &[14]),
    Row(0x6F46, Shows::Same, &[17]),
    Row(0x6F48, Shows::Same, &[25]),
    Row(0x6F50, Shows::Same, &[30]),
    Row(0x6F52, Shows::InGsmAccess(0x4F52), &[38]),
    Row(0x6F53, Shows::InUsim(0x6F73), &[38]),
    Row(0x6F60, Shows::Same, &[43]),
    Row(0x6F61, Shows::Same, &[44]),
    Row(0x6F62, Shows::Same, &[45]),
    Row(0x6F63, Shows::InGsmAccess(0x4F63), &[46]),
    Row(0x6F64, Shows::InGsmAccess(0x4F64), &[47]),
    Row(0x6F78, Shows::Same, &[]),
    Row(0x6F7B, Shows::Same, &[]),
    Row(0x6F7E, Shows::Same, &[]),
    Row(0x6FAD, Shows::Same, &[]),
    Row(0x6FB1, Shows::Same, &[21]),
    Row(0x6FB2, Shows::Same, &[]),
    Row(0x6FB3, Shows::Same, &[22]),
    Row(0x6FB4, Shows::Same, &[]),
    Row(0x6FB5, Shows::Same, &[23]),
    Row(0x6FB6, Shows::Same, &[24]),
    Row(0x6FC5, Shows::Same, &[51]),
    Row(0x6FC6, Shows::Same, &[52]),
    Row(0x6FC7, Shows::Same, &[53]),
    Row(0x6FC8, Shows::Same, &[]),
    Row(0x6FC9, Shows::Same, &[]),
    Row(0x6FCA, Shows::Same, &[54]),
    Row(0x6FCB, Shows::Same, &[55]),
    Row(0x6FCD, Shows::Same, &[56]),
    Row(0x6FCE, Shows::Same, &[57]),
    Row(0x6FCF, Shows::Same, &[58]),
    Row(0x6FD0, Shows::Same, &[]),
    Row(0x6FD1, Shows::Same, &[]),
    Row(0x6FD2, Shows::Same, &[59]),
];

/// Of DF.TELECOM. TS 51.011 §10.5.
const TELECOM: &[Row] = &[
    Row(0x6F3A, Shows::InPhonebook(ADN, 0x4F3A), &[2]),
    Row(0x6F3B, Shows::Same, &[3]),
    Row(0x6F3C, Shows::Same, &[4]),
    Row(0x6F40, Shows::Same, &[9]),
    Row(0x6F42, Shows::Same, &[12]),
    Row(0x6F43, Shows::Same, &[]),
    Row(0x6F47, Shows::Same, &[35]),
    Row(0x6F49, Shows::Same, &[18]),
    Row(0x6F4A, Shows::InPhonebook(EXT1, 0x4F4A), &[10]),
    Row(0x6F4B, Shows::Same, &[11]),
    Row(0x6F4C, Shows::Same, &[19]),
    Row(0x6F4D, Shows::Same, &[31]),
    Row(0x6F4E, Shows::Same, &[32]),
];

/// Services of EF.UST and those of EF.SST that say the same. TS 31.102 §4.2.8.
const SAME_SERVICES: &[(usize, usize)] = &[(28, 26), (29, 25), (30, 28), (31, 37)];

/// What EF.SST has in any case: CHV1 may be disabled, there is a list of networks and one of numbers dialled, menus and
/// proactive commands. TS 51.011 §10.3.7.
const ALWAYS: [usize; 5] = [1, 7, 13, 27, 29];
const EF_SST_OCTETS: usize = 15;

/// The files whose content is a SIM's own.
mod own {
    use super::FileId;
    pub(super) const LP: FileId = FileId(0x6F05);
    pub(super) const PLMN_SEL: FileId = FileId(0x6F30);
    pub(super) const SST: FileId = FileId(0x6F38);
    pub(super) const LND: FileId = FileId(0x6F44);
    pub(super) const BCCH: FileId = FileId(0x6F74);
    pub(super) const PHASE: FileId = FileId(0x6FAE);
    pub(super) const ECC: FileId = FileId(0x6FB7);
}

/// Rules in expanded format for own files: who reads, who updates; the rest is for the administrator. TS 102 221 §9.2.4.
mod rules {
    use hex_literal::hex;
    pub(super) const PIN1_PIN1: &[u8] = &hex!("800103 A406830101950108 800118 A40683010A950108");
    pub(super) const PIN1_ADM: &[u8] = &hex!("800101 A406830101950108 80011A A40683010A950108");
    pub(super) const ALWAYS_PIN1: &[u8] = &hex!("800101 9000 800102 A406830101950108 800118 A40683010A950108");
    pub(super) const ALWAYS_ADM: &[u8] = &hex!("800101 9000 80011A A40683010A950108");
}

/// Phase 2 with profile download. TS 51.011 §10.3.16.
const PHASE: u8 = 0x03;
/// Networks in EF.PLMNsel at least. TS 51.011 §10.3.4.
const PLMNS: usize = 8;
/// Numbers in EF.LND, and octets of each if the phonebook does not say. TS 51.011 §10.5.8.
const DIALLED: u8 = 10;
const DIALLED_OCTETS: u8 = 28;

/// Who sees the files that are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// All terminals.
    ByAll,
    /// Terminals that take the card for a SIM: under other classes the profile has the files of its package and no others.
    AsSim,
}

/// Adds what is missing for the profile to be that of a SIM too. A profile without USIM stays as it is, and so does every
/// file that it has brought itself.
pub fn add_sim(image: &mut DomainImage, seen: Seen) {
    let usim = image.applications().iter().find(|known| known.record.kind == kind::USIM);
    let Some(usim) = usim.and_then(|known| known.record.adf) else { return };
    let mut adding = Adding { image, usim, sim_only: seen == Seen::AsSim, services: ALWAYS.to_vec() };
    // Where there is no room for another file the card has the files so far.
    let _ = adding.all();
}

struct Adding<'a> {
    image: &'a mut DomainImage,
    usim: FileNumber,
    sim_only: bool,
    services: Vec<usize>,
}

impl Adding<'_> {
    fn all(&mut self) -> Option<()> {
        let telecom = self.directory(DF_TELECOM)?;
        let gsm = self.directory(DF_GSM)?;
        for df in [telecom, gsm] {
            self.image.add_pin(df, PinConfiguration::SharedWith(self.usim));
        }
        // The rules of the files that are shown stand where they stood.
        if let Some(arr) = self.child(self.usim, FileId::DF_ARR) {
            self.show(gsm, FileId::DF_ARR, arr)?;
        }
        for (df, rows) in [(telecom, TELECOM), (gsm, GSM)] {
            for Row(fid, shows, services) in rows {
                let Some(shown) = self.shown(FileId(*fid), *shows) else { continue };
                self.show(df, FileId(*fid), shown)?;
                self.services.extend_from_slice(services);
            }
        }
        self.own_files(gsm, telecom)
    }

    fn child(&self, df: FileNumber, fid: FileId) -> Option<FileNumber> {
        self.image.tree().child(df, fid)
    }

    fn shown(&self, fid: FileId, shows: Shows) -> Option<FileNumber> {
        match shows {
            Shows::Same => self.child(self.usim, fid),
            Shows::InUsim(fid) => self.child(self.usim, FileId(fid)),
            Shows::InGsmAccess(fid) => self.child(self.child(self.usim, DF_GSM_ACCESS)?, FileId(fid)),
            Shows::InPhonebook(tag, usual) => {
                let telecom = self.child(FileNumber::MF, DF_TELECOM)?;
                let phonebook = self.child(telecom, DF_PHONEBOOK)?;
                self.child(phonebook, self.referenced(phonebook, tag).unwrap_or(FileId(usual)))
            }
        }
    }

    /// The file that the first record of EF.PBR has under a tag. TS 31.102 §4.4.2.1.
    fn referenced(&self, phonebook: FileNumber, tag: u8) -> Option<FileId> {
        let mut templates = Reader::new(self.content(phonebook, EF_PBR)?);
        while let Ok(Some(template)) = templates.next() {
            if let Ok(Some(reference)) = template.children().find(Tag(tag.into())) {
                return reference.value.first_chunk::<2>().map(|fid| FileId(u16::from_be_bytes(*fid)));
            }
        }
        None
    }

    /// A directory in the MF, made if it is not there.
    fn directory(&mut self, fid: FileId) -> Option<FileNumber> {
        if let Some(there) = self.child(FileNumber::MF, fid) {
            return Some(there);
        }
        let around = self.image.tree().get(FileNumber::MF)?;
        let (pin_status, access) = (around.pin_status.clone(), around.access.clone());
        let new = File::new(fid, FileNumber::MF, FileKind::Df, access);
        let file = File { pin_status, sim_only: self.sim_only, ..new };
        self.image.add_file(file, Vec::new()).ok()
    }

    /// A file that shows another, under the rules of that.
    fn show(&mut self, df: FileNumber, fid: FileId, shown: FileNumber) -> Option<()> {
        if self.child(df, fid).is_some() {
            return Some(());
        }
        let tree = self.image.tree();
        let body = tree.body(shown);
        let (kind, access) = (tree.get(body)?.kind, self.rules(df, shown)?);
        let special = tree.get(body)?.special;
        let life_cycle = tree.get(shown)?.life_cycle;
        let sim_only = self.sim_only;
        let file = File { link: Some(body), special, life_cycle, sim_only, ..File::new(fid, df, kind, access) };
        self.image.add_file(file, Vec::new()).ok().map(drop)
    }

    /// The rules of a file, seen from another directory: the same reference where that leads to the same EF.ARR, else what it
    /// says.
    fn rules(&self, df: FileNumber, file: FileNumber) -> Option<Security> {
        let access = self.image.tree().get(file)?.access.clone();
        let (arr, record) = match &access {
            Security::Arr(AccessReference { arr, record }) => (*arr, *record),
            Security::ArrBySe { arr, records } => (*arr, records.first()?.1),
            Security::Expanded(_) | Security::Compact(_) => return Some(access),
        };
        let tree = self.image.tree();
        let of = |df| self.arr(df, arr).map(|arr| tree.body(arr));
        let there = of(tree.containing_df(file));
        if there.is_some() && there == of(df) {
            return Some(access);
        }
        let FileKind::Ef(Structure::LinearFixed { record_length, .. }) = tree.get(there?)?.kind else { return None };
        let records = self.image.content(there?)?.chunks(usize::from(record_length).max(1));
        let rule = records.clone().nth(usize::from(record).checked_sub(1)?)?;
        let end = rule.iter().rposition(|octet| *octet != 0xFF).map_or(0, |last| last + 1);
        Some(Security::Expanded(rule.get(..end)?.to_vec()))
    }

    /// An EF.ARR, in a directory or one around it.
    fn arr(&self, mut df: FileNumber, fid: FileId) -> Option<FileNumber> {
        loop {
            if let Some(found) = self.child(df, fid) {
                return Some(found);
            }
            if df == FileNumber::MF {
                return None;
            }
            df = self.image.tree().get(df)?.parent;
        }
    }

    fn content(&self, df: FileNumber, fid: FileId) -> Option<&[u8]> {
        self.image.content(self.image.tree().body(self.child(df, fid)?))
    }

    fn own(&mut self, df: FileNumber, fid: FileId, rules: &[u8], content: Vec<u8>) -> Option<()> {
        let size = u32::try_from(content.len()).ok()?;
        self.own_of(df, fid, rules, Structure::Transparent { size }, content)
    }

    fn own_of(
        &mut self,
        df: FileNumber,
        fid: FileId,
        rules: &[u8],
        structure: Structure,
        content: Vec<u8>,
    ) -> Option<()> {
        if self.child(df, fid).is_some() {
            return Some(());
        }
        let new = File::new(fid, df, FileKind::Ef(structure), Security::Expanded(rules.to_vec()));
        let file = File { sim_only: self.sim_only, ..new };
        self.image.add_file(file, content).ok().map(drop)
    }

    fn own_files(&mut self, gsm: FileNumber, telecom: FileNumber) -> Option<()> {
        let language = self.languages();
        self.own(gsm, own::LP, rules::ALWAYS_PIN1, language)?;
        let networks = self.networks();
        self.own(gsm, own::PLMN_SEL, rules::PIN1_PIN1, networks)?;
        self.own(gsm, own::BCCH, rules::PIN1_PIN1, vec![0xFF; 16])?;
        self.own(gsm, own::PHASE, rules::ALWAYS_ADM, vec![PHASE])?;
        let emergency = self.emergency_numbers();
        self.own(gsm, own::ECC, rules::ALWAYS_ADM, emergency)?;
        if self.child(gsm, FileId(0x6F20)).is_none() {
            let no_key = [[0xFF; 8].as_slice(), &[0x07]].concat();
            self.own(gsm, FileId(0x6F20), rules::PIN1_PIN1, no_key)?;
        }
        let length = self.shown(FileId(0x6F3A), Shows::InPhonebook(ADN, 0x4F3A)).and_then(|adn| {
            match self.image.tree().get(adn)?.kind {
                FileKind::Ef(Structure::LinearFixed { record_length, .. }) => Some(record_length),
                _ => None,
            }
        });
        let record_length = length.unwrap_or(DIALLED_OCTETS);
        let dialled = vec![0xFF; usize::from(record_length) * usize::from(DIALLED)];
        let structure = Structure::Cyclic { record_length, records: DIALLED };
        self.own_of(telecom, own::LND, rules::PIN1_PIN1, structure, dialled)?;
        let table = self.service_table();
        self.own(gsm, own::SST, rules::PIN1_ADM, table)
    }

    /// EF.SST: two bits for each service, allocated and activated.
    fn service_table(&self) -> Vec<u8> {
        let ust = self.content(self.usim, EF_UST).unwrap_or_default();
        let offered =
            |service: usize| ust.get((service - 1) / 8).is_some_and(|octet| octet >> ((service - 1) % 8) & 1 == 1);
        let same = SAME_SERVICES.iter().filter(|(usim, _)| offered(*usim)).map(|(_, sim)| *sim);
        let mut table = vec![0_u8; EF_SST_OCTETS];
        for service in self.services.iter().copied().chain(same) {
            let at = service.saturating_sub(1);
            if let Some(octet) = table.get_mut(at / 4) {
                *octet |= 0x03 << (at % 4 * 2);
            }
        }
        table
    }

    /// EF.LP: the languages of EF.LI or EF.PL, in the coding of cell broadcast. TS 23.038 §5.
    fn languages(&self) -> Vec<u8> {
        const LANGUAGES: [&[u8; 2]; 15] =
            [b"de", b"en", b"it", b"fr", b"es", b"nl", b"sv", b"da", b"pt", b"fi", b"no", b"el", b"tr", b"hu", b"pl"];
        let preferred = self
            .content(self.usim, own::LP)
            .or_else(|| self.content(FileNumber::MF, FileId(0x2F05)))
            .unwrap_or_default();
        let code =
            |pair: &[u8; 2]| (0_u8..).zip(LANGUAGES).find(|(_, language)| *language == pair).map(|(code, _)| code);
        let codes: Vec<u8> = preferred.as_chunks::<2>().0.iter().filter_map(code).collect();
        if codes.is_empty() { vec![0xFF] } else { codes }
    }

    /// EF.PLMNsel: the networks of EF.PLMNwAcT, whatever their access technology.
    fn networks(&self) -> Vec<u8> {
        let with_technology = self.content(self.usim, FileId(0x6F60)).unwrap_or_default();
        let mut networks: Vec<u8> =
            with_technology.as_chunks::<5>().0.iter().flat_map(|[a, b, c, ..]| [*a, *b, *c]).collect();
        networks.resize(networks.len().max(3 * PLMNS), 0xFF);
        networks
    }

    /// EF.ECC: three octets for each number, without what a USIM says of it.
    fn emergency_numbers(&self) -> Vec<u8> {
        const NUMBERS: usize = 5;
        let record_length = self.child(self.usim, own::ECC).and_then(|ecc| {
            match self.image.tree().get(self.image.tree().body(ecc))?.kind {
                FileKind::Ef(Structure::LinearFixed { record_length, .. }) => Some(usize::from(record_length)),
                _ => None,
            }
        });
        let records = self.content(self.usim, own::ECC).unwrap_or_default().chunks(record_length.unwrap_or(3).max(3));
        let mut numbers: Vec<u8> = records.filter_map(|record| record.first_chunk::<3>()).flatten().copied().collect();
        numbers.resize(numbers.len().max(3 * NUMBERS), 0xFF);
        numbers
    }
}
