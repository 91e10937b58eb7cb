//! A card that claims a service, and what it signs about a package that it cannot install. TCA §4.1, §8.2; SGP.22 §2.5.6.

use super::*;
use saip::application::{Application, ApplicationLoadPackage};
use saip::header::{Service, ServicesList};
use saip::{EuiccResponse, PeHeader, PeStatus, ProfileElement, Status};

/// The profile, changed.
fn changed(change: impl FnOnce(&mut Vec<ProfileElement>)) -> Contents {
    let key = SubscriberKey::new(&[0x46; 16]);
    let subscriber = Subscriber::new("8900000000000000003", "001010000000001", key.clone(), key);
    let mut elements = saip::builder::build(&subscriber).unwrap();
    change(&mut elements);
    Contents { profile: saip::encode_package(&elements), ..contents() }
}

fn demand(elements: &mut [ProfileElement], service: Service) {
    if let Some(ProfileElement::Header(header)) = elements.first_mut() {
        header.mandatory_services =
            ServicesList::new(header.mandatory_services.iter().chain([service]).collect::<Vec<_>>());
    }
}

/// Puts an application in byte code before the end.
fn carry(elements: &mut Vec<ProfileElement>, mandated: bool) {
    let load_block = ApplicationLoadPackage {
        load_package_aid: vec![0xA0, 0, 0, 0, 1, 1],
        security_domain_aid: None,
        non_volatile_code_limit: None,
        volatile_data_limit: None,
        non_volatile_data_limit: None,
        hash_value: None,
        load_block_object: vec![0xC4; 20],
    };
    let header = PeHeader { mandated, identification: 99 };
    let application = Application { header, load_block: Some(load_block), instance_list: None };
    elements.insert(elements.len() - 1, ProfileElement::Application(application));
}

fn card(pki: &Pki, claims: &[Service]) -> Device {
    let mut info = info(pki);
    info.uicc_capability = info.uicc_capability.with(applets::profile::claim(claims.iter().copied()));
    Device::new(Box::new(personalised_with(&[pki], info)))
}

/// What the card signed about the package.
fn said(result: &FinalResult) -> EuiccResponse {
    let octets = match result {
        FinalResult::SuccessResult(success) => &success.sima_response,
        FinalResult::ErrorResult(error) => error.sima_response.as_ref().expect("the interpreter's answer"),
    };
    EuiccResponse::decode(octets).unwrap().0
}

fn load(device: &mut Device, pki: &Pki, contents: &Contents) -> FinalResult {
    let (server, otpk) = ready(device, pki);
    device.load(&server.package(&otpk, contents))
}

/// A package that demands Java Card and has nothing that would run in it.
#[test]
fn a_service_that_is_only_demanded_may_be_claimed() {
    let pki = pki(1);
    for service in applets::profile::CLAIMABLE {
        let package = changed(|elements| demand(elements, *service));
        let mut plain = card(&pki, &[]);
        let result = load(&mut plain, &pki, &package);
        let processing = (BppCommandId::LOAD_PROFILE_ELEMENTS, ErrorReason::PE_PROCESSING_ERROR);
        assert_eq!(error(&result), processing, "{service}");
        let runtime = matches!(*service, Service::JAVACARD | Service::MULTOS);
        let status = if runtime { Status::RUNTIME_NOT_SUPPORTED } else { Status::FEATURE_NOT_SUPPORTED };
        let expected = EuiccResponse::new(vec![PeStatus::new(status, None)], true);
        assert_eq!(said(&result), expected.with_message(&format!("header: mandatory service {service}")));

        let mut claiming = card(&pki, &[*service]);
        let result = load(&mut claiming, &pki, &package);
        assert!(matches!(result, FinalResult::SuccessResult(_)), "{service}: {result:?}");
        // One claim is no other.
        let other = if *service == Service::EAP { Service::MBMS } else { Service::EAP };
        assert!(matches!(load(&mut card(&pki, &[other]), &pki, &package), FinalResult::ErrorResult(_)), "{service}");
    }
}

/// Applications do not run: a profile that demands them and brings some is refused, whether or not its maker calls them
/// mandated, also where they cannot even be read.
#[test]
fn applications_are_refused_where_the_profile_demands_their_runtime() {
    let pki = pki(1);
    let mut device = card(&pki, &[Service::JAVACARD]);
    for mandated in [true, false] {
        let package = changed(|elements| {
            demand(elements, Service::JAVACARD);
            carry(elements, mandated);
        });
        let result = load(&mut device, &pki, &package);
        assert_eq!(error(&result).1, ErrorReason::PE_PROCESSING_ERROR);
        let expected = EuiccResponse::new(vec![PeStatus::new(Status::RUNTIME_NOT_SUPPORTED, Some(99))], true);
        assert_eq!(said(&result), expected.with_message("application"));
    }
    let mut broken = changed(|elements| {
        demand(elements, Service::JAVACARD);
        carry(elements, false);
    });
    let load_block = broken.profile.windows(5).position(|octets| octets == [0xC4, 0x14, 0xC4, 0xC4, 0xC4]).unwrap();
    broken.profile[load_block] = 0xDF;
    broken.profile[load_block + 1] = 0x7F;
    assert!(matches!(load(&mut device, &pki, &broken), FinalResult::ErrorResult(_)));
    // Not demanded and not mandated: passed over, as ever, and said.
    let optional = changed(|elements| carry(elements, false));
    let result = load(&mut device, &pki, &optional);
    assert!(matches!(result, FinalResult::SuccessResult(_)), "{result:?}");
    assert_eq!(said(&result).pe_status, [PeStatus::new(Status::PE_NOT_SUPPORTED, Some(99)), PeStatus::OK]);
}

/// The element that failed is named by its number, its name and the cause, under the card's signature.
#[test]
fn the_element_that_failed_is_signed() {
    let pki = pki(1);
    let mut device = card(&pki, &[]);
    let unknown = changed(|elements| {
        let content = hex_literal::hex!("A0058000810162").to_vec();
        let header = Some(PeHeader::mandated(0x62));
        elements.insert(2, ProfileElement::Unknown { tag: 0xBF40, header, content });
    });
    let bad_pin = changed(|elements| {
        for element in elements {
            if let ProfileElement::PinCodes(pins) = element
                && let saip::pin::PinConfig::Own(pins) = &mut pins.pin_codes
            {
                pins[0].unblocking_pin_reference = Some(0x8F);
            }
        }
    });
    let cases = [
        (unknown, Status::PE_NOT_SUPPORTED, Some(0x62), "tag BF40"),
        (bad_pin, Status::PIN_CODE_MISSING, None, "pinCodes"),
    ];
    for (package, status, identification, message) in cases {
        let result = load(&mut device, &pki, &package);
        let said = said(&result);
        let last = said.pe_status.last().unwrap();
        assert!(said.profile_installation_aborted && last.status == status, "{said:?}");
        assert!(last.identification.is_some() && (identification.is_none() || last.identification == identification));
        assert_eq!(said.status_message.as_deref(), Some(message));
        let shown = said.to_string();
        assert!(shown.starts_with("element ") && shown.contains(status.name().unwrap()), "{shown}");
    }
}
