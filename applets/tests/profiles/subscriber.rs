//! A subscriber's profile, built, installed, and used by their own network.

use apdu::StatusWord;
use applets::profile::interpret;
use crypto::aka::{Aka, Sqn};
use crypto::algorithm::Algorithm;
use crypto::milenage::Milenage;
use crypto::suci::{ProtectionScheme, reveal};
use crypto::tuak::{Parameters, Tuak};
use hex_literal::hex;
use rsp::notification::ErrorReason;
use saip::aka::{AlgoConfiguration, MappingParameter};
use saip::builder::{
    self, HomeNetworkKey, ISIM_AID, Ims, Key, Subscriber, Suci, SuciCalculation, SuciProfile, USIM_AID, build,
};
use saip::file_management::Fcp;
use saip::files::{File, FileStep};
use saip::header::Service;
use saip::pin::PinConfig;
use saip::{PeHeader, ProfileElement, Status, encode_package, templates};

use crate::card::{Terminal, card, limits};

const K: [u8; 16] = hex!("465b5ce8b199b49faa5f0a2ee238a6bc");
const OPC: [u8; 16] = hex!("cd63cb71954a9f4e48a5994e37a02baf");
const AMF: [u8; 2] = [0x80, 0x00];

fn subscriber() -> Subscriber {
    Subscriber {
        ims: Some(Ims::default()),
        ..Subscriber::new("8988211000000000011", "001010000000001", Key::new(&K), Key::new(&OPC))
    }
}

fn package(subscriber: &Subscriber) -> Vec<u8> {
    encode_package(&build(subscriber).unwrap())
}

/// A challenge of the network, and whether the card's answer is the one it expects.
fn agree(terminal: &mut Terminal, network: &dyn Aka, rand: [u8; 16], sqn: Sqn) -> bool {
    let vector = network.generate_vector(&rand, sqn, AMF);
    let response = terminal.authenticate(&rand, &vector.autn);
    let counted = |value: &[u8]| [&[u8::try_from(value.len()).unwrap()], value].concat();
    let expected = [vec![0xDB], counted(&vector.xres), counted(&vector.ck), counted(&vector.ik)].concat();
    response.sw == StatusWord::OK && response.data.starts_with(&expected)
}

#[test]
fn milenage_and_resynchronisation_survive_a_reset() {
    let network = Milenage::new(&K, &OPC);
    let mut terminal = card(&package(&subscriber()));
    let rand = hex!("23553cbe9637a89d218ae64dae47bf35");
    terminal.select_application(&USIM_AID);
    assert!(agree(&mut terminal, &network, rand, Sqn::new(40, 3)));
    // The same challenge again, and after a reset, and one that is older with the same index: AUTS names what was accepted.
    for (reset, sqn) in [(false, Sqn::new(40, 3)), (true, Sqn::new(40, 3)), (true, Sqn::new(39, 3))] {
        if reset {
            terminal.0.reset();
            terminal.select_application(&USIM_AID);
        }
        let vector = network.generate_vector(&rand, sqn, AMF);
        let response = terminal.authenticate(&rand, &vector.autn);
        assert_eq!((response.sw, response.data[..2].to_vec()), (StatusWord::OK, hex!("DC0E").to_vec()));
        assert_eq!(network.resynchronise(&rand, &response.data[2..]), Some(Sqn::new(40, 3)));
    }
    // A lower number with another index is in order, and the next with the same index too.
    assert!(agree(&mut terminal, &network, rand, Sqn::new(7, 4)));
    assert!(agree(&mut terminal, &network, rand, Sqn::new(41, 3)));
    // A wrong MAC changes nothing.
    let mut autn = network.generate_vector(&rand, Sqn::new(1000, 3), AMF).autn;
    autn[15] ^= 1;
    assert_eq!(terminal.authenticate(&rand, &autn).sw, StatusWord::AUTHENTICATION_ERROR);
    assert!(agree(&mut terminal, &network, rand, Sqn::new(42, 3)));
    // The ISIM keeps its own numbers.
    terminal.select_application(&ISIM_AID);
    assert!(agree(&mut terminal, &network, rand, Sqn::new(1, 3)));
}

#[test]
fn gsm_context_and_kc_follow_the_service_table() {
    let rand = hex!("23553cbe9637a89d218ae64dae47bf35");
    let gsm_command = [&[0x10][..], &rand].concat();
    let network = Milenage::new(&K, &OPC);
    let autn = network.generate_vector(&rand, Sqn::new(1, 1), AMF).autn;

    let mut terminal = card(&package(&subscriber()));
    terminal.select_application(&USIM_AID);
    let gsm = terminal.command([0x00, 0x88, 0x00, 0x80], &gsm_command);
    // TS 35.208 test set 1.
    assert_eq!(hex::encode(gsm.data), "0446f8416a08eae4be823af9a08b");
    assert!(hex::encode(terminal.authenticate(&rand, &autn).data).ends_with("08eae4be823af9a08b"));

    let mut terminal = card(&package(&Subscriber { gsm_access: false, ..subscriber() }));
    terminal.select_application(&USIM_AID);
    let gsm = terminal.command([0x00, 0x88, 0x00, 0x80], &gsm_command);
    assert_eq!(gsm.sw, StatusWord::SECURITY_CONTEXT_NOT_SUPPORTED);
    assert!(!hex::encode(terminal.authenticate(&rand, &autn).data).contains("eae4be823af9a08b"));
}

#[test]
fn tuak_in_its_lengths() {
    let top = [0x55; 32];
    for (key_length, res) in [(16, 8), (32, 16)] {
        let key = vec![0xAB; key_length];
        let subscriber = Subscriber {
            algorithm: builder::Algorithm::Tuak,
            key: Key::new(&key),
            op: Some(Key::new(&top)),
            opc: None,
            res_length: Some(u8::try_from(res).unwrap()),
            ..subscriber()
        };
        let network = Algorithm::Tuak(Tuak::with_top(&key, &top, Parameters { res, ..Parameters::default() }).unwrap());
        let mut terminal = card(&package(&subscriber));
        terminal.select_application(&USIM_AID);
        assert!(agree(&mut terminal, &network, [0x42; 16], Sqn::new(1, 0)));
        assert!(!agree(&mut terminal, &network, [0x42; 16], Sqn::new(1, 0)));
    }
}

/// The home network's key pair of TS 33.501 annex C.4.3.1.
#[test]
fn get_identity_conceals_for_the_home_network() {
    let public = hex!("5a8d38864820197c3394b92613b20b91633cbd897119273bf8e4a6f4eec0a650");
    let private = hex!("c53c22208b61860b06c62e5406a7b330c2b577aa5558981510d128247d38bd1d");
    let suci = Suci {
        calculation: SuciCalculation::Usim,
        routing_indicator: "678".to_owned(),
        keys: vec![HomeNetworkKey { id: 27, profile: SuciProfile::A, key: Key::new(&public) }],
    };
    let mut terminal = card(&package(&Subscriber { suci: Some(suci.clone()), ..subscriber() }));
    terminal.select_application(&USIM_AID);
    let identities: Vec<Vec<u8>> = (0..2).map(|_| terminal.send(&[0x80, 0x78, 0x00, 0x81, 0x00]).data).collect();
    assert_ne!(identities[0], identities[1], "a new ephemeral key each time");
    for identity in identities {
        let (head, output) = identity.split_at(10);
        assert_eq!(hex::encode(head), "a1350100f11076f8011b");
        let msin = reveal(ProtectionScheme::ProfileA, &private, output).unwrap();
        assert_eq!(hex::encode(msin.as_slice()), "0000000010");
    }
    // Left to the terminal, or not wanted at all: not the card's business.
    for suci in [Some(Suci { calculation: SuciCalculation::Me, ..suci }), None] {
        let mut terminal = card(&package(&Subscriber { suci, ..subscriber() }));
        terminal.select_application(&USIM_AID);
        assert_eq!(terminal.send(&[0x80, 0x78, 0x00, 0x81, 0x00]).sw, StatusWord::CONDITIONS_NOT_SATISFIED);
    }
}

/// Why a package is refused: the reason for the SM-DP+, status and element.
fn refused(elements: &[ProfileElement], test_profile: bool) -> (ErrorReason, Status, Option<u16>) {
    let limits = applets::profile::Limits { test_profile, ..limits() };
    let failure = interpret(&encode_package(elements), limits).err().unwrap();
    let response = failure.response.unwrap();
    assert!(response.profile_installation_aborted);
    let last = response.pe_status.last().unwrap();
    (failure.reason, last.status, last.identification)
}

#[test]
fn what_the_card_lacks_is_named() {
    let with_service = |service| {
        let mut elements = build(&subscriber()).unwrap();
        let ProfileElement::Header(header) = &mut elements[0] else { panic!() };
        let services = header.mandatory_services.iter().chain([service]).collect::<Vec<_>>();
        header.mandatory_services = saip::header::ServicesList::new(services);
        refused(&elements, false).1
    };
    assert_eq!(with_service(Service::JAVACARD), Status::RUNTIME_NOT_SUPPORTED);
    assert_eq!(with_service(Service::GBA_USIM), Status::FEATURE_NOT_SUPPORTED);
    assert_eq!(with_service(Service(77)), Status::FEATURE_NOT_SUPPORTED);
    let with_header = |change: &dyn Fn(&mut saip::header::ProfileHeader)| {
        let mut elements = build(&subscriber()).unwrap();
        let ProfileElement::Header(header) = &mut elements[0] else { panic!() };
        change(header);
        refused(&elements, false).1
    };
    assert_eq!(with_header(&|header| header.major_version = 9), Status::UNSUPPORTED_PROFILE_VERSION);
    let unknown: apdu::Oid = "2.23.143.1.2.99".parse().unwrap();
    assert_eq!(with_header(&|header| header.mandatory_templates.push(unknown.clone())), Status::TEMPLATE_NOT_SUPPORTED);
    let library = saip::header::MandatoryAid { aid: vec![0xA0, 0, 0, 0, 9], version: [1, 0] };
    assert_eq!(with_header(&|header| header.mandatory_aids = Some(vec![library.clone()])), Status::LIB_NOT_SUPPORTED);
}

#[test]
fn elements_out_of_order_or_missing() {
    let elements = build(&subscriber()).unwrap();
    let format = Status::INVALID_REQUEST_FORMAT;
    assert_eq!(refused(&elements[1..], false).1, format, "no header");
    assert_eq!(refused(&elements[..elements.len() - 1], false).1, format, "no end");
    let mut swapped = elements.clone();
    swapped.swap(1, 2);
    assert_eq!(refused(&swapped, false), (ErrorReason::PE_PROCESSING_ERROR, format, Some(2)), "PUKs before the MF");
    let mut doubled = elements.clone();
    doubled.insert(1, elements[0].clone());
    assert_eq!(refused(&doubled, false).1, format, "two headers");
    let mut without_puk = elements.clone();
    without_puk.remove(2);
    assert_eq!(refused(&without_puk, false).1, Status::PIN_CODE_MISSING);
    let mut two_usims = elements.clone();
    two_usims.insert(6, elements[5].clone());
    assert_eq!(refused(&two_usims, false).1, Status::BAD_VALUES, "the same AID twice");
    let mut early_rfm = elements;
    let sd = early_rfm.iter().position(|element| matches!(element, ProfileElement::SecurityDomain(_))).unwrap();
    let rfm = saip::rfm::Rfm {
        header: PeHeader::mandated(77),
        instance_aid: vec![0xA0, 0, 0, 5, 0x59],
        security_domain_aid: None,
        tar_list: None,
        minimum_security_level: [0],
        uicc_access_domain: vec![0],
        uicc_admin_access_domain: vec![0],
        adf_rfm_access: None,
    };
    early_rfm.insert(sd, ProfileElement::Rfm(rfm));
    assert_eq!(refused(&early_rfm, false).1, Status::INVALID_PARAMETER);
}

/// SGP.22 §2.5.6: a profile of class test has no key of a real network.
#[test]
fn a_test_profile_has_a_public_key() {
    assert!(interpret(&package(&subscriber()), applets::profile::Limits { test_profile: true, ..limits() }).is_ok());
    let secret = Subscriber { key: Key::new(&hex!("0f0e0d0c0b0a09080706050403020100")), ..subscriber() };
    let (reason, ..) = refused(&build(&secret).unwrap(), true);
    assert_eq!(reason, ErrorReason::TEST_PROFILE_INVALID_NAA_KEY);
    // The rule is not the element's to choose.
    let mut elements = build(&secret).unwrap();
    for element in &mut elements {
        if let ProfileElement::AkaParameter(aka) = element {
            aka.header.mandated = false;
        }
    }
    assert_eq!(refused(&elements, true).0, ErrorReason::TEST_PROFILE_INVALID_NAA_KEY);
}

/// What nobody knows is passed over unless the profile insists.
#[test]
fn unknown_elements() {
    let mut elements = build(&subscriber()).unwrap();
    let unknown = |mandated: bool| {
        let header: &[u8] = if mandated { &hex!("A00580008101 63") } else { &hex!("A003810163") };
        ProfileElement::decode(&[&hex!("BF50")[..], &[u8::try_from(header.len()).unwrap()], header].concat()).unwrap()
    };
    elements.insert(3, unknown(false));
    let profile = interpret(&encode_package(&elements), limits()).unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(hex::encode(profile.response.encode()), "300fa00d3006800101810163 3003800100".replace(' ', ""));
    elements[3] = unknown(true);
    let refusal = refused(&elements, false);
    assert_eq!(refusal, (ErrorReason::PE_PROCESSING_ERROR, Status::PE_NOT_SUPPORTED, Some(0x63)));
    // A package of nothing else would fill the card with statuses.
    elements.splice(3..4, core::iter::repeat_n(unknown(false), 300));
    assert_eq!(refused(&elements, false).0, ErrorReason::PE_PROCESSING_ERROR);
}

/// A non-mandated element that fails half-way leaves nothing behind.
#[test]
fn a_failed_element_is_undone() {
    let mut elements = build(&subscriber()).unwrap();
    let reference = interpret(&encode_package(&elements), limits()).unwrap_or_else(|failure| panic!("{failure:?}"));
    let optional = PeHeader { mandated: false, identification: 500 };
    // DF.TELECOM again: its name is taken, and with it everything in it.
    let mut telecom = elements[4].clone();
    let ProfileElement::Files(files) = &mut telecom else { panic!() };
    files.header = optional;
    elements.insert(5, telecom);
    let profile = interpret(&encode_package(&elements), limits()).unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(profile.image.size(), reference.image.size());
    assert_eq!(profile.response.pe_status[0].identification, Some(500));
}

/// What public profiles never use: the ISIM takes key and PIN2 from the USIM, a default file is left out, another is a link.
#[test]
fn sharing_linking_and_leaving_out() {
    let mut elements = build(&subscriber()).unwrap();
    let (mut akas, mut pins) = (0, 0);
    for element in &mut elements {
        match element {
            ProfileElement::AkaParameter(aka) => {
                akas += 1;
                if akas == 2 {
                    let mapping = MappingParameter { mapping_options: [6], mapping_source: USIM_AID.to_vec() };
                    aka.algo_configuration = AlgoConfiguration::Mapping(mapping);
                }
            }
            ProfileElement::PinCodes(codes) => {
                pins += 1;
                if pins == 3 {
                    codes.pin_codes = PinConfig::Shared(builder::USIM_FILE_ID.to_be_bytes().to_vec());
                }
            }
            ProfileElement::Files(files) if files.template_id == templates::USIM.oid() => {
                let hpplmn = templates::USIM.row_named("EF.HPPLMN").unwrap().tag;
                let at = files.files.iter().position(|(tag, _)| *tag > hpplmn).unwrap();
                files.files.insert(at, (hpplmn, File(vec![FileStep::DoNotCreate])));
            }
            ProfileElement::Files(files) if files.template_id == templates::ISIM.oid() => {
                let fcp = Fcp { link_path: Some(hex!("7FD06FAD").to_vec()), ..Fcp::default() };
                let ad = templates::ISIM.row_named("EF.AD").unwrap().tag;
                let at = files.files.iter().position(|(tag, _)| *tag > ad).unwrap();
                files.files.insert(at, (ad, File(vec![FileStep::FileDescriptor(Box::new(fcp))])));
            }
            _ => {}
        }
    }
    let mut terminal = card(&encode_package(&elements));
    terminal.select_application(&USIM_AID);
    assert_eq!(terminal.command([0x00, 0xA4, 0x00, 0x04], &[0x6F, 0x31]).sw, StatusWord::FILE_NOT_FOUND);
    // A wrong PIN2 here costs a try there.
    assert_eq!(terminal.verify(0x81, b"9999\xFF\xFF\xFF\xFF"), StatusWord::tries_left(2));
    terminal.select_application(&ISIM_AID);
    assert_eq!(terminal.verify(0x81, &[]), StatusWord::tries_left(2));
    assert_eq!(terminal.verify(0x81, b"0000\xFF\xFF\xFF\xFF"), StatusWord::OK);
    assert!(agree(&mut terminal, &Milenage::new(&K, &OPC), [0x23; 16], Sqn::new(1, 0)));
    let ad = terminal.command([0x00, 0xA4, 0x00, 0x04], &[0x6F, 0xAD]);
    assert_eq!(ad.sw, StatusWord::OK);
    assert_eq!(hex::encode(terminal.send(&[0x00, 0xB0, 0x00, 0x00, 0x04]).data), "00000002");
}
