//! What makes a UICC one of a type: its files, beside those of the profile, and where its keys are.

use super::{Holds, KeyFile, Programmable, Within};
use applets::kind;
use card_os::fs::{
    File, FileId, FileKind, FileNumber, KeyReference, Pin, PinAttributes, PinConfiguration, Security, Structure,
};
use card_os::{ApplicationKind, DomainImage};
use saip::aka::{AkaParameter, AlgoConfiguration, AlgoParameter, AlgorithmId};

/// Tries of an administrative key. pySim's samples of such a card have as many.
const TRIES: u8 = 3;

/// A profile that such a card cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No USIM, or not the files of one.
    #[error("such a card has a USIM")]
    NoUsim,
    /// The keys do not fit into the files.
    #[error("such a card has no files for the keys of this algorithm")]
    Algorithm,
}

impl Programmable {
    /// Makes a UICC one of this type.
    pub(crate) fn equip(&self, image: &mut DomainImage) -> Result<(), Unfit> {
        let mut card = Equipping::new(image, self.adm)?;
        card.rename_adm(self.second_adm)?;
        let usim = card.usim;
        card.gsm()?;
        card.telecom()?;
        if self.iccid {
            let iccid = card.child(FileNumber::MF, FileId::ICCID)?;
            let rules = card.rules(Who::Anybody, Who::Adm);
            card.image.file_mut(iccid).ok_or(Unfit::NoUsim)?.access = rules;
        }
        let Some(layout) = self.layout else { return Ok(()) };
        for (at, kind) in card.authenticating() {
            let parameters =
                card.image.applications().get(at).map(|found| found.parameters.clone()).unwrap_or_default();
            let keys = AkaParameter::from_der(&parameters).map_err(|_| Unfit::Algorithm)?;
            let AlgoConfiguration::Algo(algo) = &keys.algo_configuration else { return Err(Unfit::Algorithm) };
            for file in self.keys {
                let within = match (file.within, kind) {
                    (Within::Usim, kind::USIM) => usim,
                    (Within::Isim, kind::ISIM) => card.adf(kind::ISIM)?,
                    (Within::Mf, kind::USIM) => FileNumber::MF,
                    (Within::Df(fid), kind::USIM) => card.directory(FileId(fid))?,
                    _ => continue,
                };
                card.key_file(within, file, algo)?;
            }
            card.image.application_mut(at).ok_or(Unfit::NoUsim)?.parameters = layout.parameters();
        }
        Ok(())
    }
}

/// Who may do something to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Anybody,
    Pin1,
    Adm,
    Nobody,
}

struct Equipping<'a> {
    image: &'a mut DomainImage,
    usim: FileNumber,
    adm: u8,
}

/// EF.SPN. TS 31.102 §4.2.12.
const SPN: u16 = 0x6F46;

/// A file of `7F20` that shows one of the USIM.
const SHOWN: &[(u16, Who)] = &[
    (0x6F05, Who::Pin1),
    (0x6F07, Who::Adm),
    (0x6F31, Who::Adm),
    (SPN, Who::Adm),
    (0x6F60, Who::Pin1),
    (0x6F61, Who::Adm),
    (0x6F62, Who::Adm),
    (0x6F78, Who::Adm),
    (0x6F7B, Who::Pin1),
    (0x6F7E, Who::Pin1),
    (0x6FAD, Who::Adm),
];

/// Bits of the service table of a SIM are two each; services 1, 2, 4, 7 to 9, 12, 17 and 43 are there. TS 51.011 §10.3.7.
const SIM_SERVICES: [u8; 11] = [0xCF, 0xF0, 0x03, 0x00, 0x03, 0, 0, 0, 0, 0, 0x30];

impl<'a> Equipping<'a> {
    fn new(image: &'a mut DomainImage, adm: u8) -> Result<Self, Unfit> {
        let usim = image.applications().iter().find(|found| found.record.kind == kind::USIM);
        let usim = usim.and_then(|found| found.record.adf).ok_or(Unfit::NoUsim)?;
        Ok(Self { image, usim, adm })
    }

    /// The applications that authenticate, by their place.
    fn authenticating(&self) -> Vec<(usize, ApplicationKind)> {
        let all = self.image.applications().iter().map(|found| found.record.kind).enumerate();
        all.filter(|(_, kind)| [kind::USIM, kind::ISIM].contains(kind)).collect()
    }

    fn adf(&self, kind: ApplicationKind) -> Result<FileNumber, Unfit> {
        let found = self.image.applications().iter().find(|found| found.record.kind == kind);
        found.and_then(|found| found.record.adf).ok_or(Unfit::NoUsim)
    }

    fn child(&self, df: FileNumber, fid: FileId) -> Result<FileNumber, Unfit> {
        self.image.tree().child(df, fid).ok_or(Unfit::NoUsim)
    }

    /// The key is known by the type's reference, here and in all access rules, and has as many tries as on such a card.
    fn rename_adm(&mut self, second: Option<u8>) -> Result<(), Unfit> {
        /// A key reference in a control reference template: tag, length, value.
        const ADM1: [u8; 3] = [0x83, 0x01, KeyReference::ADM1.0];
        let value = self.image.pin(FileNumber::MF, KeyReference::ADM1).ok_or(Unfit::NoUsim)?.value.clone();
        let adm = Pin {
            value,
            enabled: true,
            replaced: false,
            attributes: PinAttributes(PinAttributes::CHANGEABLE),
            tries: TRIES,
            maximum_tries: TRIES,
            unblocking: None,
        };
        for reference in [Some(self.adm), second].into_iter().flatten() {
            self.image.add_pin(FileNumber::MF, PinConfiguration::Pin(KeyReference(reference), adm.clone()));
        }
        if self.adm == KeyReference::ADM1.0 {
            return Ok(());
        }
        for number in self.image.tree().numbers() {
            let Some(file) = self.image.tree().get(number) else { continue };
            if ![FileId::MF_ARR, FileId::DF_ARR].contains(&file.fid) {
                continue;
            }
            let content = self.image.content(number).unwrap_or_default();
            let places: Vec<usize> = content
                .windows(ADM1.len())
                .enumerate()
                .filter(|(_, octets)| *octets == ADM1)
                .map(|(at, _)| at)
                .collect();
            for at in places {
                self.image.write_content(number, at + 2, &[self.adm]).ok_or(Unfit::NoUsim)?;
            }
        }
        Ok(())
    }

    /// Rules in expanded format. TS 102 221 §9.2.4.
    fn rules(&self, read: Who, update: Who) -> Security {
        const READ: u8 = 0x01;
        const UPDATE: u8 = 0x02;
        const DEACTIVATE_AND_ACTIVATE: u8 = 0x18;
        let mut rules = Vec::new();
        for (mode, who) in [(READ, read), (UPDATE, update), (DEACTIVATE_AND_ACTIVATE, Who::Adm)] {
            rules.extend([0x80, 0x01, mode]);
            match who {
                Who::Anybody => rules.extend([0x90, 0x00]),
                Who::Nobody => rules.extend([0x97, 0x00]),
                Who::Pin1 => rules.extend([0xA4, 0x06, 0x83, 0x01, KeyReference::PIN_APPL_1.0, 0x95, 0x01, 0x08]),
                Who::Adm => rules.extend([0xA4, 0x06, 0x83, 0x01, self.adm, 0x95, 0x01, 0x08]),
            }
        }
        Security::Expanded(rules)
    }

    /// A directory in the MF, made if it is not there.
    fn directory(&mut self, fid: FileId) -> Result<FileNumber, Unfit> {
        if let Some(there) = self.image.tree().child(FileNumber::MF, fid) {
            return Ok(there);
        }
        let around = self.image.tree().get(FileNumber::MF).ok_or(Unfit::NoUsim)?;
        let file = File {
            pin_status: around.pin_status.clone(),
            ..File::new(fid, FileNumber::MF, FileKind::Df, around.access.clone())
        };
        self.add(file, Vec::new())
    }

    fn add(&mut self, file: File, content: Vec<u8>) -> Result<FileNumber, Unfit> {
        self.image.add_file(file, content).map_err(|_| Unfit::NoUsim)
    }

    fn transparent(
        &mut self,
        df: FileNumber,
        fid: u16,
        (read, update): (Who, Who),
        content: Vec<u8>,
    ) -> Result<FileNumber, Unfit> {
        let size = u32::try_from(content.len()).map_err(|_| Unfit::NoUsim)?;
        let kind = FileKind::Ef(Structure::Transparent { size });
        let rules = self.rules(read, update);
        self.add(File::new(FileId(fid), df, kind, rules), content)
    }

    /// A file that shows another.
    fn link(&mut self, df: FileNumber, fid: u16, (read, update): (Who, Who), to: FileNumber) -> Result<(), Unfit> {
        let kind = self.image.tree().get(to).ok_or(Unfit::NoUsim)?.kind;
        let rules = self.rules(read, update);
        self.add(File { link: Some(to), ..File::new(FileId(fid), df, kind, rules) }, Vec::new()).map(drop)
    }

    /// `7F20`, with the files of the USIM under the same names.
    fn gsm(&mut self) -> Result<(), Unfit> {
        let gsm = self.directory(FileId(super::GSM))?;
        if self.image.tree().child(self.usim, FileId(SPN)).is_none() {
            // Programs write a name to it, whether the subscriber before had one or not.
            self.transparent(self.usim, SPN, (Who::Anybody, Who::Adm), vec![0xFF; 17])?;
        }
        for (fid, update) in SHOWN {
            let Some(file) = self.image.tree().child(self.usim, FileId(*fid)) else { continue };
            let body = self.image.tree().body(file);
            let read = if *fid == 0x6FAD { Who::Anybody } else { Who::Pin1 };
            self.link(gsm, *fid, (read, *update), body)?;
        }
        let no_key = [[0xFF; 8].as_slice(), &[0x07]].concat();
        for (fid, update, content) in [
            (0x6F20, Who::Pin1, no_key),
            (0x6F30, Who::Pin1, vec![0xFF; 24]),
            (0x6F38, Who::Adm, SIM_SERVICES.to_vec()),
            (0x6F74, Who::Pin1, vec![0xFF; 16]),
            (0x6FAE, Who::Adm, vec![0x03]),
        ] {
            self.transparent(gsm, fid, (Who::Pin1, update), content)?;
        }
        Ok(())
    }

    /// `7F10`: number and service centre, in records as long as those of such a card, which the USIM shows too.
    fn telecom(&mut self) -> Result<(), Unfit> {
        const RECORDS: u8 = 2;
        let telecom = self.directory(FileId(0x7F10))?;
        for (fid, record_length, update) in [(0x6F40, 34_u8, Who::Pin1), (0x6F42, 52, Who::Pin1)] {
            let shown = self.image.tree().child(self.usim, FileId(fid));
            // The name comes first in a record: the rest of it ends where it did.
            let mut content = vec![0xFF; usize::from(record_length) * usize::from(RECORDS)];
            let before = shown.and_then(|shown| {
                let tree = self.image.tree();
                let FileKind::Ef(Structure::LinearFixed { record_length, .. }) = tree.get(tree.body(shown))?.kind
                else {
                    return None;
                };
                Some((usize::from(record_length), self.image.content(tree.body(shown))?.to_vec()))
            });
            if let Some((length, old)) = before
                && length > 0
            {
                for (to, from) in content.chunks_mut(record_length.into()).zip(old.chunks(length)) {
                    let start = to.len().saturating_sub(from.len());
                    to.iter_mut().skip(start).zip(from).for_each(|(to, from)| *to = *from);
                }
            }
            let kind = FileKind::Ef(Structure::LinearFixed { record_length, records: RECORDS });
            let rules = self.rules(Who::Pin1, update);
            let own = self.add(File::new(FileId(fid), telecom, kind, rules), content)?;
            match shown {
                Some(shown) => {
                    let file = self.image.file_mut(shown).ok_or(Unfit::NoUsim)?;
                    (file.kind, file.link) = (kind, Some(own));
                }
                None => self.link(self.usim, fid, (Who::Pin1, update), own)?,
            }
        }
        Ok(())
    }

    fn key_file(&mut self, df: FileNumber, file: &KeyFile, algo: &AlgoParameter) -> Result<(), Unfit> {
        const SECRET: (Who, Who) = (Who::Nobody, Who::Adm);
        if file.holds == Holds::ForGsmInUsim {
            let shown = self.child(self.usim, FileId(0xAF22))?;
            return self.link(df, file.fid, SECRET, shown);
        }
        let mut content = content(file.holds, algo)?;
        let size = usize::try_from(file.size).map_err(|_| Unfit::Algorithm)?;
        if content.len() > size {
            return Err(Unfit::Algorithm);
        }
        content.resize(size, 0xFF);
        self.transparent(df, file.fid, SECRET, content).map(drop)
    }
}

/// What is in a file of keys at first.
fn content(holds: Holds, algo: &AlgoParameter) -> Result<Vec<u8>, Unfit> {
    /// SQN is checked, with a largest step, and TS 33.102 annex C's length of IND; AUTN and AUTS are concealed.
    const NUMBERS: [u8; 14] = [0x55, 0x03, 0, 0, 0x10, 0, 0, 0, 0, 0, 0x10, 0, 0, 0];
    const OPC: u8 = 0x01;
    let (key, opc) = (algo.key.expose(), algo.opc.expose());
    let is_milenage = algo.algorithm_id == AlgorithmId::Milenage;
    Ok(match holds {
        Holds::Key if is_milenage => key.to_vec(),
        Holds::TypedOpc if is_milenage => [&[OPC], opc].concat(),
        Holds::Opc if is_milenage => opc.to_vec(),
        Holds::Key | Holds::TypedOpc | Holds::Opc => return Err(Unfit::Algorithm),
        Holds::Configured => match algo.algorithm_id {
            AlgorithmId::Milenage => [&[0x14], key, opc].concat(),
            AlgorithmId::UsimTestAlgorithm => [&[0x1F], key, &[0; 16]].concat(),
            AlgorithmId::Tuak => {
                let (res, mac, ck, _) = algo.tuak_lengths().ok_or(Unfit::Algorithm)?;
                let code = |length: usize, shortest: usize| (length / shortest).trailing_zeros().to_be_bytes()[3];
                let lengths = if ck == 32 { 0x40 } else { 0 } | code(mac, 8) << 3 | code(res, 4);
                let configuration = if key.len() == 32 { 0x56 } else { 0x16 };
                [&[configuration, lengths, algo.number_of_keccak], opc, key].concat()
            }
        },
        Holds::ConfiguredForGsm => match algo.algorithm_id {
            AlgorithmId::Milenage => [&[0x14], key, opc].concat(),
            AlgorithmId::UsimTestAlgorithm => [&[0x1E], key, &[0; 16]].concat(),
            // No key for GSM until one is written.
            AlgorithmId::Tuak => vec![0; 33],
        },
        Holds::ForGsmInUsim => Vec::new(),
        Holds::Numbers => {
            let mut numbers = NUMBERS.to_vec();
            numbers.resize(NUMBERS.len() + 32 * 6, 0);
            numbers
        }
        Holds::Constants => [&algo.rotation_constants[..], &algo.xoring_constants].concat(),
    })
}
