//! What metadata may say, and what of it an LPA is shown. SGP.22 §5.5.2, §5.5.3, §5.7.15.

use super::*;
use apdu::tlv::{Reader, Tag, Writer};
use hex_literal::hex;

/// Metadata with every element there is, those of ProfileInfo alone among them.
fn everything() -> Vec<u8> {
    let mut message = Writer::new();
    message.constructed(Tag(0xBF25), |body| {
        body.primitive(Tag(0x5A), metadata().iccid.octets())
            .primitive(Tag(0x91), "Opérateur".as_bytes())
            .primitive(Tag(0x92), b"Data")
            .primitive(Tag(0x93), &[1])
            .primitive(Tag(0x94), &[0x89, 0x50])
            .raw(&hex!("B610 300E 80020780 8108 6E2E786578616D70"))
            .raw(&hex!("B708 800300F110 8101AA"))
            .raw(&hex!("990100"))
            .primitive(Tag(0xBF76), &access_rule());
    });
    message.into_bytes()
}

fn access_rule() -> Vec<u8> {
    hex!("E227 E119 C114 ABABABABABABABABABABABABABABABABABABABAB CA0161 E30A DB080000000000000001").to_vec()
}

fn with_data_of_the_server() -> Vec<u8> {
    // dpOid of the server, and something only it understands.
    hex!("BF240A B808 800388370A 810107").to_vec()
}

/// The elements of the one profile in the list, in their order.
fn shown(device: &mut Device, tags: Option<&[u8]>) -> Vec<(u32, Vec<u8>)> {
    let mut request = Writer::new();
    request.constructed(Tag(0xBF2D), |body| {
        if let Some(tags) = tags {
            body.primitive(Tag(0x5C), tags);
        }
    });
    let response = device.es10(request.as_bytes());
    let list = Reader::new(&response).expect(Tag(0xBF2D)).unwrap().children().expect(Tag(0xA0)).unwrap();
    let profile = list.children().expect(Tag(0xE3)).unwrap();
    let (mut elements, mut reader) = (Vec::new(), profile.children());
    while let Some(element) = reader.next().unwrap() {
        elements.push((element.tag.0, element.value.to_vec()));
    }
    elements
}

/// TC_eUICC_ES10c.GetProfilesInfo (SGP.23 4.2.20): the default list, each element by itself, all of them, none.
#[test]
fn every_element_of_the_metadata_is_shown_to_who_asks() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let (server, otpk) = ready(&mut device, &pki);
    let contents = Contents { configure: with_data_of_the_server(), metadata: everything(), ..contents() };
    assert!(matches!(device.load(&server.package(&otpk, &contents)), FinalResult::SuccessResult(_)));
    let nickname = [&hex!("BF2910 5A0A")[..], metadata().iccid.octets(), &hex!("9002 4D65")].concat();
    assert_eq!(device.es10(&nickname), hex!("BF2903 800100"));

    let iccid = metadata().iccid.octets().to_vec();
    let all: Vec<(u32, Vec<u8>)> = vec![
        (0x5A, iccid),
        (0x4F, hex!("A0000005591010FFFFFFFF8900001000").to_vec()),
        (0x9F70, vec![0]),
        (0x90, b"Me".to_vec()),
        (0x91, "Opérateur".as_bytes().to_vec()),
        (0x92, b"Data".to_vec()),
        (0x93, vec![1]),
        (0x94, vec![0x89, 0x50]),
        (0x95, vec![2]),
        (0xB6, hex!("300E 80020780 8108 6E2E786578616D70").to_vec()),
        (0xB7, hex!("800300F110 8101AA").to_vec()),
        (0xB8, hex!("800388370A 810107").to_vec()),
        (0x99, vec![0]),
        (0xBF76, access_rule()),
    ];
    let tag = |tag: u32| tag.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect::<Vec<u8>>();
    assert_eq!(shown(&mut device, None), all[..9]);
    let every_tag: Vec<u8> = all.iter().flat_map(|(number, _)| tag(*number)).collect();
    assert_eq!(every_tag, rsp::es10c::ProfileInfoListRequest::ALL_TAGS);
    assert_eq!(shown(&mut device, Some(&every_tag)), all);
    for element in &all {
        assert_eq!(shown(&mut device, Some(&tag(element.0))), core::slice::from_ref(element));
    }
    // In the order of the ASN.1, whatever was asked in which order; tags of a later release are passed over.
    let backwards: Vec<u8> = all.iter().rev().flat_map(|(number, _)| tag(*number)).collect();
    assert_eq!(shown(&mut device, Some(&[&hex!("BF20 9B")[..], &backwards].concat())), all);
    assert!(shown(&mut device, Some(&[])).is_empty());
    device.power_on();
    assert_eq!(shown(&mut device, Some(&every_tag)), all);
}

/// SGP.22 §5.5.3: `errorReason` 1 for whatever the ASN.1 or the text forbids, and nothing of it stays.
#[test]
fn metadata_that_breaks_a_rule_is_refused() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let body = |more: &[u8]| {
        let mut message = Writer::new();
        message.constructed(Tag(0xBF25), |body| {
            body.primitive(Tag(0x5A), metadata().iccid.octets())
                .primitive(Tag(0x91), b"Operator")
                .primitive(Tag(0x92), b"Name")
                .raw(more);
        });
        message.into_bytes()
    };
    let named = |tag: u32, text: &str| {
        let mut message = Writer::new();
        message.constructed(Tag(0xBF25), |body| {
            body.primitive(Tag(0x5A), metadata().iccid.octets());
            body.primitive(Tag(0x91), if tag == 0x91 { text.as_bytes() } else { b"" });
            body.primitive(Tag(0x92), if tag == 0x92 { text.as_bytes() } else { b"" });
        });
        message.into_bytes()
    };
    let tlv_of_rules = |content: &[u8]| Writer::new().primitive(Tag(0xBF76), content).as_bytes().to_vec();
    let rules = |content: &[u8]| body(&tlv_of_rules(content));
    let faults: Vec<(&str, Vec<u8>)> = vec![
        ("provider of 17 letters, 34 octets", named(0x91, &"é".repeat(17))),
        ("name of 33 letters, 66 octets", named(0x92, &"é".repeat(33))),
        ("format without icon", body(&hex!("930101"))),
        ("icon without format", body(&hex!("940101"))),
        ("unknown format", body(&hex!("930107 940101"))),
        ("empty recipient", body(&hex!("B602 3000"))),
        ("recipient without a host name", body(&hex!("B608 3006 80020470 8100"))),
        ("owner with letters", body(&hex!("B705 8003A2F801"))),
        ("owner that is a pattern", body(&hex!("B705 8003EEEEEE"))),
        ("rule without its hash", rules(&hex!("E20E E100 E30A DB080000000000000001"))),
        ("hash of five octets", rules(&hex!("E215 E107 C1050102030405 E30A DB080000000000000001"))),
        (
            "permissions of one octet",
            rules(&hex!("E21D E116 C114 ABABABABABABABABABABABABABABABABABABABAB E303 DB0101")),
        ),
        ("no permissions", rules(&hex!("E218 E116 C114 ABABABABABABABABABABABABABABABABABABABAB"))),
        ("no rule but its content", rules(&hex!("E116 C114 ABABABABABABABABABABABABABABABABABABABAB"))),
        ("a second list of rules", body(&[tlv_of_rules(&access_rule()), tlv_of_rules(&[])].concat())),
        ("a second owner", body(&hex!("B705 800300F110 B705 800300F110"))),
        ("a field of a later release twice", body(&hex!("9F1F00 9F1F00"))),
        ("a second message behind it", [body(&[]), vec![0x05, 0x00]].concat()),
    ];
    for (fault, metadata) in faults {
        let (server, otpk) = ready(&mut device, &pki);
        let result = device.load(&server.package(&otpk, &Contents { metadata, ..contents() }));
        let expected = (BppCommandId::STORE_METADATA, ErrorReason::INCORRECT_INPUT_VALUES);
        assert_eq!(error(&result), expected, "{fault}");
        assert_eq!(device.profiles(), 0, "{fault}");
    }
    // A policy rule that nobody knows is one that no row of the table allows.
    let (server, otpk) = ready(&mut device, &pki);
    let metadata = body(&hex!("B705 800300F110 99020308"));
    let result = device.load(&server.package(&otpk, &Contents { metadata, ..contents() }));
    assert_eq!(error(&result), (BppCommandId::STORE_METADATA, ErrorReason::PPR_NOT_ALLOWED));
    // After all that, the sound one is welcome.
    let (server, otpk) = ready(&mut device, &pki);
    assert!(matches!(device.load(&server.package(&otpk, &contents())), FinalResult::SuccessResult(_)));
}

/// `DpProprietaryData` is of the server of the session, in at most 128 octets. SGP.22 §5.5.2.
#[test]
fn data_of_the_server_is_its_own_and_short() {
    let pki = pki(1);
    let data = |more: usize| {
        let mut message = Writer::new();
        message.constructed(Tag(0xBF24), |body| {
            body.constructed(Tag(0xB8), |data| {
                data.raw(&hex!("8003 88370A")).primitive(Tag(0x81), &vec![7; more]);
            });
        });
        message.into_bytes()
    };
    // Tag and length count: 119 octets behind the dpOid make 126 of contents, 128 in all.
    for (length, fits) in [(0, true), (118, true), (119, true), (120, false), (121, false), (122, false), (200, false)]
    {
        let mut device = Device::new(Box::new(personalised(&pki)));
        let (server, otpk) = ready(&mut device, &pki);
        let result = device.load(&server.package(&otpk, &Contents { configure: data(length), ..contents() }));
        if fits {
            assert!(matches!(result, FinalResult::SuccessResult(_)), "{length}");
            assert_eq!(shown(&mut device, Some(&[0xB8]))[0].1.len(), 5 + 2 + length);
        } else {
            assert_eq!(error(&result), (BppCommandId::CONFIGURE_ISDP, ErrorReason::INCORRECT_INPUT_VALUES));
        }
    }
}
