//! Files as they leave the factory, where a description has nothing for them: TS 31.102 annex E.

use super::file::{change, filled, of_records, size};
use crate::files::File;
use crate::templates::Content::{self, Exact, Fill};
use crate::templates::{Row, RowKind, VAR};

/// Records (1 of a transparent file), octets of each, and content, where the template leaves them to the profile.
struct Fresh(&'static str, u16, u16, Content);

const EMPTY: Content = Fill(&[0xFF]);
const ZERO: Content = Fill(&[0x00]);

/// In the order of TS 31.102.
const FRESH: &[Fresh] = &[
    Fresh("EF.GID1", 1, VAR, EMPTY),
    Fresh("EF.GID2", 1, VAR, EMPTY),
    Fresh("EF.VGCS", 1, VAR, EMPTY),
    Fresh("EF.VBS", 1, VAR, EMPTY),
    Fresh("EF.VGCSS", 1, VAR, Exact(&[0, 0, 0, 0, 0, 0, 0xFC])),
    Fresh("EF.VBSS", 1, VAR, Exact(&[0, 0, 0, 0, 0, 0, 0xFC])),
    Fresh("EF.eMLPP", 1, VAR, ZERO),
    Fresh("EF.PNN", VAR, VAR, EMPTY),
    Fresh("EF.OPL", VAR, VAR, EMPTY),
    Fresh("EF.MBDN", VAR, VAR, EMPTY),
    Fresh("EF.MBI", VAR, VAR, ZERO),
    Fresh("EF.MMSUP", 1, 40, EMPTY),
    Fresh("EF.VGCSCA", 1, 20, ZERO),
    Fresh("EF.VBSCA", 1, 20, ZERO),
    // Three lengths of 0: nothing is bootstrapped. RAND, B-TID and lifetime fit.
    Fresh("EF.GBABP", 1, 120, Exact(&[0, 0, 0])),
    Fresh("EF.MSK", 2, 20, EMPTY),
    Fresh("EF.MUK", 2, 60, EMPTY),
    Fresh("EF.GBANL", 4, 100, EMPTY),
    Fresh("EF.NAFKCA", 2, 64, EMPTY),
    Fresh("EF.SPNI", 1, 24, Fill(&[0x00, 0xFF])),
    Fresh("EF.PNNI", 10, 24, Fill(&[0x00, 0xFF])),
    Fresh("EF.NCP-IP", 2, 100, EMPTY),
    Fresh("EF.UICCIARI", 2, 80, EMPTY),
    Fresh("EF.PWS", 1, 1, ZERO),
    Fresh("EF.FDNURI", 5, 60, EMPTY),
    Fresh("EF.BDNURI", 5, 60, EMPTY),
    Fresh("EF.SDNURI", 5, 60, EMPTY),
    Fresh("EF.IWL", 4, 20, EMPTY),
    Fresh("EF.IPS", 2, 4, ZERO),
    Fresh("EF.IPD", 2, 20, EMPTY),
    Fresh("EF.EPDGID", 1, 80, EMPTY),
    Fresh("EF.EPDGSELECTION", 1, 32, EMPTY),
    Fresh("EF.EPDGIDEM", 1, 80, EMPTY),
    Fresh("EF.EPDGIDEMSEL", 1, 32, EMPTY),
    Fresh("EF.3GPPPSDataOff", 1, VAR, ZERO),
    Fresh("EF.3GPPPSDOSLIST", 2, 80, EMPTY),
    Fresh("EF.EARFCNLIST", 1, 30, EMPTY),
    Fresh("EF.eAKA", 1, VAR, ZERO),
    Fresh("EF.OCST", 1, 4, EMPTY),
    Fresh("EF.AC_GBAUAPI", 2, 60, EMPTY),
    Fresh("EF.IMSDCI", 1, 1, ZERO),
    Fresh("EF.UAC_AIC", 1, VAR, ZERO),
    Fresh("EF.OPL5G", 5, VAR, EMPTY),
    Fresh("EF.SUPI_NAI", 1, 100, EMPTY),
    Fresh("EF.CAG", 1, 64, EMPTY),
    Fresh("EF.SOR_CMCI", 1, 64, EMPTY),
    Fresh("EF.5GNSWO_CONF", 1, VAR, ZERO),
    Fresh("EF.KAUSF_DERIVATION", 1, VAR, ZERO),
    Fresh("EF.PWS_SNPN", 1, VAR, ZERO),
    Fresh("EF.NID", 4, VAR, EMPTY),
    Fresh("EF.5G_PROSE_ST", 1, VAR, ZERO),
    Fresh("EF.MST", 1, 2, ZERO),
    Fresh("EF.VST", 1, 1, ZERO),
    Fresh("EF.MMSSMODE", 1, VAR, ZERO),
    Fresh("EF.RMA", 4, 40, EMPTY),
    Fresh("EF.ICE_FF", 2, 100, EMPTY),
    Fresh("EF.PSISMSC", 1, 80, EMPTY),
    Fresh("EF.IMG", 2, 20, Fill(&[0x00, 0xFF])),
    Fresh("EF.IIDF", 1, 512, EMPTY),
    Fresh("EF.5MBSUECONFIG", 1, 100, EMPTY),
];

/// Octets of a BER-TLV file and of others that nothing is known of.
const BER_TLV: u16 = 512;
const TRANSPARENT: u16 = 64;
const RECORDS: (u16, u16) = (2, 40);

/// Records, or 1, octets of each, and content.
pub(super) fn fresh(row: &Row) -> (usize, usize, Content) {
    let known = FRESH.iter().find(|Fresh(name, ..)| *name == row.name);
    let given = |of_row: u16, stated: Option<u16>, otherwise: u16| match (of_row, stated) {
        (VAR, None | Some(VAR)) => usize::from(otherwise),
        (VAR, Some(stated)) => stated.into(),
        (of_row, _) => of_row.into(),
    };
    let stated = known.map(|Fresh(_, records, length, _)| (*records, *length));
    let content = known.map_or(row.default, |Fresh(.., content)| *content);
    match row.kind {
        RowKind::LinearFixed { records, record_length } | RowKind::Cyclic { records, record_length } => (
            given(records, stated.map(|(records, _)| records), RECORDS.0),
            given(record_length, stated.map(|(_, length)| length), RECORDS.1),
            content,
        ),
        RowKind::Transparent { size } => (1, given(size, stated.map(|(_, length)| length), TRANSPARENT), content),
        RowKind::BerTlv { size } => (1, given(size, stated.map(|(_, length)| length), BER_TLV), content),
        RowKind::Mf | RowKind::Df | RowKind::Adf => (0, 0, content),
    }
}

/// What stays empty of a file that is there for other reasons.
pub(super) fn empty(row: &Row) -> File {
    let (records, length, content) = fresh(row);
    let mut octets = vec![0; length];
    content.fill(&mut octets);
    match row.kind {
        RowKind::Mf | RowKind::Df | RowKind::Adf => File::default(),
        RowKind::BerTlv { .. } => change(|fcp| fcp.ef_file_size = Some(size(length))),
        // The profile has to give it content, if only the usual.
        RowKind::Transparent { size: VAR } => {
            change(|fcp| fcp.ef_file_size = Some(size(length))).filled_unless(&octets, row)
        }
        RowKind::Transparent { .. } => File::default().filled_unless(&octets, row),
        RowKind::LinearFixed { records: of_row, record_length }
        | RowKind::Cyclic { records: of_row, record_length } => {
            let file = if of_row == VAR || record_length == VAR {
                change(|fcp| of_records(fcp, row, length, records))
            } else {
                File::default()
            };
            file.filled_unless(&octets.repeat(records), row)
        }
    }
}

/// A file with this content, or these records, at least as large as the template's.
pub(super) fn holding(row: &Row, content: &[Vec<u8>]) -> File {
    let (records, length, default) = fresh(row);
    match row.kind {
        RowKind::Mf | RowKind::Df | RowKind::Adf => File::default(),
        RowKind::BerTlv { .. } => {
            let octets = content.concat();
            change(|fcp| fcp.ef_file_size = Some(size(length.max(octets.len())))).filled(octets)
        }
        RowKind::Transparent { size: of_row } => {
            let octets = content.concat();
            let minimum = if of_row == VAR { 0 } else { length };
            let mut whole = vec![0; octets.len().max(minimum)];
            default.fill(&mut whole);
            whole.iter_mut().zip(&octets).for_each(|(octet, value)| *octet = *value);
            if whole.len() == usize::from(of_row) {
                filled(whole)
            } else {
                change(|fcp| fcp.ef_file_size = Some(size(whole.len()))).filled(whole)
            }
        }
        RowKind::LinearFixed { record_length, .. } | RowKind::Cyclic { record_length, .. } => {
            let longest = content.iter().map(Vec::len).max().unwrap_or_default();
            let length = if record_length == VAR { longest.max(1) } else { length.max(longest) };
            let count = if record_length == VAR { content.len() } else { records.max(content.len()) };
            let mut octets = Vec::with_capacity(length * count);
            for record in content.iter().map(Some).chain(std::iter::repeat(None)).take(count) {
                let mut whole = vec![0xFF; length];
                match record {
                    Some(record) => whole.iter_mut().zip(record).for_each(|(octet, value)| *octet = *value),
                    None => default.fill(&mut whole),
                }
                octets.extend(whole);
            }
            change(|fcp| of_records(fcp, row, length, count)).filled(octets)
        }
    }
}

impl File {
    /// The same with this content, unless the template has it anyway.
    fn filled_unless(self, octets: &[u8], row: &Row) -> Self {
        let (_, length, _) = fresh(row);
        let mut of_template = vec![0; length.max(1)];
        row.default.fill(&mut of_template);
        let is_usual = octets.chunks(length.max(1)).all(|chunk| chunk == of_template);
        match octets.first() {
            // It has to be given, and the rest of it is the template's.
            Some(first) if is_usual && row.required => self.filled(vec![*first]),
            _ if is_usual => self,
            _ => self.filled(octets.to_vec()),
        }
    }
}
