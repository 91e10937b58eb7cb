//! Files outside the templates: where generic file management puts them, and what it may fill them with.

use apdu::StatusWord;
use applets::profile::interpret;
use hex_literal::hex;
use saip::builder::{Key, Subscriber, build};
use saip::file_management::{Fcp, FileManagement, FileManagementStep, GenericFileManagement, ProprietaryInfo};
use saip::{PeHeader, ProfileElement, Status, encode_package};

use crate::card::{card, limits};

/// A subscriber's profile with elements of generic file management before its end.
fn package(elements: Vec<Vec<FileManagementStep>>) -> Vec<u8> {
    let subscriber = Subscriber::new(
        "8988211000000000011",
        "001010000000001",
        Key::new(&hex!("465b5ce8b199b49faa5f0a2ee238a6bc")),
        Key::new(&hex!("cd63cb71954a9f4e48a5994e37a02baf")),
    );
    let mut all = build(&subscriber).unwrap();
    let end = all.pop().unwrap();
    for (number, steps) in (200..).zip(elements) {
        all.push(ProfileElement::GenericFileManagement(GenericFileManagement {
            header: PeHeader::mandated(number),
            file_management_cmd: vec![FileManagement(steps)],
        }));
    }
    all.push(end);
    encode_package(&all)
}

/// Which element is refused, and as what.
fn refused(elements: Vec<Vec<FileManagementStep>>) -> (Option<u16>, Status) {
    let failure = interpret(&package(elements), limits()).err().unwrap();
    let last = failure.response.unwrap().pe_status.pop().unwrap();
    (last.identification, last.status)
}

fn path(path: &[u8]) -> FileManagementStep {
    FileManagementStep::FilePath(path.to_vec())
}

fn content(octets: &[u8]) -> FileManagementStep {
    FileManagementStep::FillFileContent(octets.to_vec())
}

fn create(file_id: [u8; 2], descriptor: u8, change: impl FnOnce(&mut Fcp)) -> FileManagementStep {
    let mut fcp = Fcp {
        file_descriptor: Some(vec![descriptor, 0x21]),
        file_id: Some(file_id),
        security_attributes_referenced: Some(hex!("2F060A").to_vec()),
        ..Fcp::default()
    };
    change(&mut fcp);
    FileManagementStep::CreateFcp(Box::new(fcp))
}

fn ef(file_id: [u8; 2], size: u8) -> FileManagementStep {
    create(file_id, 0x41, |fcp| fcp.ef_file_size = Some(vec![size]))
}

fn ber_tlv(size: u8, maximum: u8) -> FileManagementStep {
    create([0x6F, 0x99], 0x79, |fcp| {
        fcp.ef_file_size = Some(vec![size]);
        fcp.proprietary_ef_info =
            Some(ProprietaryInfo { maximum_file_size: Some(vec![maximum]), ..ProprietaryInfo::default() });
    })
}

/// DF 7F66 with DF 5F66, and DF 7F67 with DF 5F67, which is a link to DF 5F66.
fn directories() -> Vec<FileManagementStep> {
    vec![
        path(&[]),
        create([0x7F, 0x66], 0x78, |_| ()),
        create([0x5F, 0x66], 0x78, |_| ()),
        path(&[]),
        create([0x7F, 0x67], 0x78, |_| ()),
        create([0x5F, 0x67], 0x78, |fcp| fcp.link_path = Some(hex!("7F665F66").to_vec())),
    ]
}

/// What is created below a link lies in the directory that it leads to, and a path through the link names it.
#[test]
fn files_below_a_link() {
    let below = vec![path(&hex!("7F675F67")), ef([0x4F, 0x01], 1), content(&[7])];
    let through = vec![path(&hex!("3F007F675F674F01")), content(&[8]), path(&hex!("7F665F66")), ef([0x4F, 0x02], 1)];
    let mut terminal = card(&package(vec![directories(), below, through]));
    for (file, octet) in [(hex!("7F665F664F01"), 8), (hex!("7F675F674F01"), 8), (hex!("7F675F674F02"), 0xFF)] {
        assert_eq!(terminal.command(hex!("00A4080C"), &file).sw, StatusWord::OK, "{file:02X?}");
        assert_eq!(terminal.send(&hex!("00B0000001")).data, [octet], "{file:02X?}");
    }
}

/// A path that leads nowhere fails its element, whatever follows; nothing lands elsewhere.
#[test]
fn a_path_to_nowhere() {
    for nowhere in [&hex!("7F99")[..], &hex!("7F665F99"), &hex!("5F66"), &hex!("7F675F674F99"), &hex!("2FE26F01")] {
        for step in [ef([0x4F, 0x01], 1), content(&[1])] {
            let refusal = refused(vec![directories(), vec![path(nowhere), step]]);
            assert_eq!(refusal, (Some(201), Status::BAD_VALUES), "{nowhere:02X?}");
        }
    }
}

/// TS 102 221 §11.3: a BER-TLV structure EF holds data objects, whether it is filled when it is created or by a later element,
/// in pieces as they come; what is set aside behind them is none.
#[test]
fn data_objects() {
    let at_once = |fills: &[&[u8]]| {
        let fills = fills.iter().map(|fill| content(fill));
        vec![[path(&[]), ber_tlv(12, 20)].into_iter().chain(fills).collect::<Vec<_>>()]
    };
    let later = |fills: &[&[u8]]| {
        let fills = fills.iter().map(|fill| content(fill));
        vec![vec![path(&[]), ber_tlv(12, 20)], [path(&hex!("6F99"))].into_iter().chain(fills).collect()]
    };
    for fills in [&[&hex!("8001AA8101BB")[..]][..], &[&hex!("80"), &hex!("01AA81"), &hex!("01BB")]] {
        for elements in [at_once(fills), later(fills)] {
            let mut terminal = card(&package(elements));
            let fcp = terminal.command(hex!("00A40004"), &hex!("6F99")).data;
            assert!(fcp.windows(8).any(|info| info == hex!("8502000C86020014")), "{fcp:02X?}");
            assert_eq!(terminal.send(&hex!("80CB0080015C")).data, hex!("5C028081"));
            assert_eq!(terminal.send(&hex!("80CB00800181")).data, hex!("8101BB"));
        }
    }
    // What fills the file up is no object, nor is what says that there is none; what is cut may be completed by a later element.
    let sound = [path(&[]), ber_tlv(12, 20), content(&hex!("8001AA81"))].to_vec();
    let rest =
        [path(&hex!("6F99")), FileManagementStep::FillFileOffset(4), content(&hex!("01BBFFFFFFFFFFFF"))].to_vec();
    let padded = [&hex!("8001AA8101BB0000")[..], &hex!("8001AA8101BBFFFFFFFFFFFF"), &hex!("82008001AA8101BB")];
    let padded = padded.into_iter().flat_map(|fill| [at_once(&[fill]), later(&[fill])]);
    for elements in padded.chain([vec![sound, rest]]) {
        let mut terminal = card(&package(elements));
        let fcp = terminal.command(hex!("00A40004"), &hex!("6F99")).data;
        assert!(fcp.windows(8).any(|info| info == hex!("8502000C86020014")), "{fcp:02X?}");
        assert_eq!(terminal.send(&hex!("80CB0080015C")).data, hex!("5C028081"));
    }
    for empty in [&hex!("8000")[..], &hex!("FF"), &hex!("000000000000000000000000")] {
        let mut terminal = card(&package(at_once(&[empty])));
        assert_eq!(terminal.command(hex!("00A4000C"), &hex!("6F99")).sw, StatusWord::OK);
        assert_eq!(terminal.send(&hex!("80CB0080015C")).data, hex!("5C00"), "{empty:02X?}");
    }
    let refusals: [&[&[u8]]; 6] = [
        &[&hex!("5C0180")],
        &[&hex!("8001AA8001BB")],
        &[&hex!("0001AA")],
        &[&hex!("8001AA008101BB")],
        &[&hex!("8002AA")],
        &[&hex!("8001AA"), &hex!("81")],
    ];
    for fills in refusals {
        assert_eq!(refused(at_once(fills)), (Some(200), Status::BAD_VALUES), "{fills:02X?}");
        assert_eq!(refused(later(fills)), (Some(201), Status::BAD_VALUES), "{fills:02X?}");
    }
}
