//! A security domain and its keys: where they are kept, also on cards of earlier releases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use apdu::Aid;
use applets::kind;
use card_os::fs::{AccessReference, File, FileId, FileKind, FileNumber, Structure};
use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Update};
use card_os::{
    ApplicationRecord, Card, CardProfile, DomainId, DomainImage, DomainView, Entropy, NewApplication, Privileges,
};
use hex_literal::hex;
use saip::application::ApplicationInstance;
use saip::security_domain::{KeyComponent, KeyObject, SecurityDomain};
use saip::{PeHeader, Secret};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

struct Zero;
impl Entropy for Zero {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

/// A memory that can be looked at while a card uses it, and that loses power after so many writes.
#[derive(Clone)]
struct Shared {
    memory: Arc<Mutex<MemoryNvm>>,
    copy: MemoryNvm,
    left: Arc<Mutex<Option<usize>>>,
}

impl Shared {
    fn new(memory: &Arc<Mutex<MemoryNvm>>, left: Option<usize>) -> Self {
        let copy = memory.lock().unwrap().clone();
        Self { memory: memory.clone(), copy, left: Arc::new(Mutex::new(left)) }
    }
}

impl Nvm for Shared {
    fn get(&self, key: Key) -> Option<&[u8]> {
        self.copy.get(key)
    }
    fn keys(&self, range: core::ops::RangeInclusive<Key>) -> Vec<Key> {
        self.copy.keys(range)
    }
    fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
        if let Some(left) = &mut *self.left.lock().unwrap() {
            *left = left.checked_sub(1).ok_or(NvmError)?;
        }
        self.memory.lock().unwrap().apply(updates.clone())?;
        self.copy.apply(updates)
    }
    fn used(&self) -> usize {
        self.copy.used()
    }
}

/// What the first security domain of a domain is given.
const MANAGER_AND_ISSUER: Privileges = Privileges::MANAGE_APPLICATIONS.and(Privileges::ISSUER);
const AID: [u8; 8] = hex!("A000000151000000");
const KEY: [u8; 16] = hex!("404142434445464748494A4B4C4D4E4F");

fn key(version: u8, identifier: u8, counter: Option<Vec<u8>>) -> KeyObject {
    KeyObject {
        key_usage_qualifier: vec![0x18],
        key_access: [0],
        key_identifier: [identifier],
        key_version_number: [version],
        key_counter_value: counter,
        key_components: vec![KeyComponent {
            key_type: vec![0x88],
            key_data: Secret::from(KEY.to_vec()),
            mac_length: 8,
        }],
    }
}

/// A card whose security domain has its keys in the install parameters, as release 0.1.0 installed it.
fn old_card() -> MemoryNvm {
    old_card_with(0)
}

/// The same with so many other applications.
fn old_card_with(others: u8) -> MemoryNvm {
    let element = SecurityDomain {
        header: PeHeader { mandated: true, identification: 1 },
        instance: ApplicationInstance {
            application_load_package_aid: hex!("A0000001515350").to_vec(),
            class_aid: hex!("A000000151535041").to_vec(),
            instance_aid: AID.to_vec(),
            extradite_security_domain_aid: None,
            application_privileges: hex!("82DC00").to_vec(),
            life_cycle_state: [0x0F],
            application_specific_parameters: vec![],
            system_specific_parameters: None,
            application_parameters: None,
            process_data: None,
            control_reference_template: None,
        },
        // Out of order, one with a counter, one with an identifier above 0F (SCP11, GlobalPlatform Amendment F).
        key_list: Some(vec![key(0x30, 0x11, None), key(0x01, 0x02, Some(vec![0, 0, 0, 0, 9])), key(0x01, 0x01, None)]),
        sd_perso_data: None,
        open_perso_data: None,
        cat_tp_parameters: None,
    };
    let rule = AccessReference { arr: FileId::MF_ARR, record: 1 };
    let mut image = DomainImage::new();
    let mf = image.add_file(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, rule), vec![]).unwrap();
    let arr = FileKind::Ef(Structure::LinearFixed { record_length: 5, records: 1 });
    image.add_file(File::new(FileId::MF_ARR, mf, arr, rule), hex!("8001019000").to_vec()).unwrap();
    image.add_application(NewApplication {
        record: ApplicationRecord {
            aid: Aid::new(&AID).unwrap(),
            kind: kind::SECURITY_DOMAIN,
            adf: None,
            life_cycle: 0x0F,
            privileges: Privileges::NONE,
        },
        parameters: element.to_der(),
        data: vec![],
    });
    for number in 0..others {
        image.add_application(NewApplication {
            record: ApplicationRecord {
                aid: Aid::new(&[&hex!("A0000003431002F310FFFF89020000")[..], &[number]].concat()).unwrap(),
                kind: kind::CSIM,
                adf: None,
                life_cycle: 0x07,
                privileges: Privileges::NONE,
            },
            parameters: vec![],
            data: vec![],
        });
    }
    let mut memory = MemoryNvm::default();
    Card::format(&mut memory, DomainImage::new(), vec![image], Some(DomainId(1))).unwrap();
    memory
}

fn start(nvm: Shared) -> Card {
    let mut card = Card::new(CardProfile::default(), Box::new(nvm), Box::new(Zero), applets::build);
    card.reset();
    card
}

/// Key information template: identifier, version, type, length. GlobalPlatform §11.3.3.1.
const INFORMATION: [u8; 22] = hex!("E012 C0040101 8810 C0040201 8810 C0041130 8810 9000");

fn key_information(card: &mut Card) -> Vec<u8> {
    assert_eq!(card.transmit(&[&hex!("00A4040C08")[..], &AID].concat()), hex!("9000"));
    card.transmit(&hex!("80CA00E014"))
}

/// Of the security domain: its install parameters, what it keeps, and what it may do.
fn parameters_of(memory: &Arc<Mutex<MemoryNvm>>) -> (SecurityDomain, BTreeMap<u16, Vec<u8>>, Privileges) {
    let domains = DomainView::all(&memory.lock().unwrap());
    let domain = domains.into_iter().find(|domain| domain.id == DomainId(1)).unwrap();
    let application = domain.applications.into_iter().next().unwrap();
    let parameters = SecurityDomain::from_der(&application.parameters).unwrap();
    (parameters, application.data, application.record.privileges)
}

#[test]
fn keys_of_an_earlier_release_move_to_where_they_can_change() {
    let memory = Arc::new(Mutex::new(old_card()));
    let (before, _, none) = parameters_of(&memory);
    assert_eq!(none, Privileges::NONE);
    let mut card = start(Shared::new(&memory, None));
    assert_eq!(key_information(&mut card), INFORMATION);
    let (after, values, privileges) = parameters_of(&memory);
    assert_eq!(privileges, MANAGER_AND_ISSUER);
    assert_eq!(after, SecurityDomain { key_list: None, ..before.clone() }, "nothing else has changed");
    assert_eq!(values.keys().copied().collect::<Vec<_>>(), [0x4081, 0x4082, 0x5811, 0x8082]);
    assert_eq!(values[&0x8082], [0, 0, 0, 0, 9]);
    let kept = KeyObject::from_der(&values[&0x4082]).unwrap();
    assert_eq!(kept, KeyObject { key_counter_value: None, ..key(0x01, 0x02, None) });
    assert_eq!(kept.key_components[0].key_data.expose(), KEY);
    // And only once.
    card.reset();
    assert_eq!(key_information(&mut card), INFORMATION);
    assert_eq!(parameters_of(&memory).1, values);
}

/// Cut at any write, the keys are all in one place or all in the other, and the card tells of all of them.
#[test]
fn a_cut_while_they_move_loses_none() {
    for allowed in 0..3 {
        let memory = Arc::new(Mutex::new(old_card()));
        drop(start(Shared::new(&memory, Some(allowed))));
        let mut card = start(Shared::new(&memory, None));
        assert_eq!(key_information(&mut card), INFORMATION, "{allowed}");
    }
}

/// A memory that takes no writes, as on a full disk, leaves all where it is, and the security domain at work; the next start
/// of the same card tries again.
#[test]
fn keys_that_could_not_move_do_with_the_next_start() {
    let memory = Arc::new(Mutex::new(old_card()));
    let before = parameters_of(&memory);
    let nvm = Shared::new(&memory, Some(0));
    let left = Arc::clone(&nvm.left);
    let mut card = start(nvm);
    for _ in 0..2 {
        // As the parameters have them.
        assert_eq!(key_information(&mut card), hex!("E012 C0041130 8810 C0040201 8810 C0040101 8810 9000"));
        assert_eq!(parameters_of(&memory), before);
        card.reset();
    }
    *left.lock().unwrap() = None;
    card.reset();
    assert_eq!(key_information(&mut card), INFORMATION);
    let (after, values, privileges) = parameters_of(&memory);
    assert_eq!((after.key_list, privileges), (None, MANAGER_AND_ISSUER));
    assert_eq!(values.keys().copied().collect::<Vec<_>>(), [0x4081, 0x4082, 0x5811, 0x8082]);
}

/// GlobalPlatform §11.4: a list that does not fit into one answer goes on with P2 b1. What is refused in between leaves it
/// where it is; another command of the card ends it.
#[test]
fn a_long_list_goes_on_after_a_refusal() {
    let memory = Arc::new(Mutex::new(old_card_with(20)));
    let mut card = start(Shared::new(&memory, None));
    let select = [&hex!("00A4040C08")[..], &AID].concat();
    assert_eq!(card.transmit(&select), hex!("9000"));
    let entries = |answer: &[u8]| answer.windows(4).filter(|octets| *octets == hex!("E31B4F10")).count();
    let first = card.transmit(&hex!("80F24002024F0000"));
    assert!(first.ends_with(&hex!("6310")), "{first:02X?}");
    for (refused, sw) in [
        (&hex!("80F22003024F0000")[..], hex!("6985")),
        (&hex!("80F24003015C00"), hex!("6A80")),
        (&hex!("80F24007024F0000"), hex!("6A86")),
        (&hex!("80F25002024F0000"), hex!("6A86")),
        (&hex!("80F24002034F01FF00"), hex!("6A88")),
    ] {
        assert_eq!(card.transmit(refused), sw, "{refused:02X?}");
    }
    let second = card.transmit(&hex!("80F24003024F0000"));
    let third = card.transmit(&hex!("80F24003024F0000"));
    assert!(second.ends_with(&hex!("6310")) && third.ends_with(&hex!("9000")), "{second:02X?} {third:02X?}");
    assert_eq!([&first, &second, &third].map(|answer| entries(answer)).iter().sum::<usize>(), 20);
    assert_eq!(card.transmit(&hex!("80F24003024F0000")), hex!("6985"), "it has ended");
    assert!(card.transmit(&hex!("80F24002024F0000")).ends_with(&hex!("6310")));
    assert_eq!(card.transmit(&select), hex!("9000"));
    assert_eq!(card.transmit(&hex!("80F24003024F0000")), hex!("6985"));
}
