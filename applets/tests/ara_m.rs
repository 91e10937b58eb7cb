//! The access rule application, from outside: what phones read, what programs write.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use applets::ara_m::{self, Writing};
use card_os::fs::{
    AccessReference, File, FileId, FileKind, FileNumber, KeyReference, Pin, PinAttributes, PinConfiguration,
};
use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Update};
use card_os::{Card, CardProfile, DomainImage, Entropy};
use hex_literal::hex;
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

/// Another number each time.
struct Counting(u8);
impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        self.0 = self.0.wrapping_add(1);
        out.fill(self.0);
    }
}

/// A memory that outlives its card, and takes only so many writes.
#[derive(Clone)]
struct Shared {
    memory: Arc<Mutex<MemoryNvm>>,
    copy: MemoryNvm,
    left: Arc<Mutex<Option<usize>>>,
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

struct Terminal {
    card: Card,
    memory: Arc<Mutex<MemoryNvm>>,
    left: Arc<Mutex<Option<usize>>>,
}

impl Terminal {
    fn new(rules: &[u8], writing: Writing) -> Self {
        let mut image = DomainImage::new();
        let access = AccessReference { arr: FileId::MF_ARR, record: 1 };
        image.add_file(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, access), Vec::new()).unwrap();
        let adm = Pin {
            value: Zeroizing::new(*b"88888888"),
            enabled: true,
            replaced: false,
            attributes: PinAttributes(0),
            tries: 3,
            maximum_tries: 3,
            unblocking: None,
        };
        image.add_pin(FileNumber::MF, PinConfiguration::Pin(KeyReference::ADM1, adm));
        image.add_application(ara_m::new_application(rules, writing).unwrap());
        let mut memory = MemoryNvm::default();
        Card::format(&mut memory, image, Vec::new(), None).unwrap();
        Self::on(Arc::new(Mutex::new(memory)), CardProfile::default())
    }

    fn on(memory: Arc<Mutex<MemoryNvm>>, profile: CardProfile) -> Self {
        let left = Arc::new(Mutex::new(None));
        let copy = memory.lock().unwrap().clone();
        let nvm = Shared { memory: memory.clone(), copy, left: left.clone() };
        let card = Card::new(profile, Box::new(nvm), Box::new(Counting(0)), applets::build);
        let mut terminal = Self { card, memory, left };
        terminal.card.reset();
        assert_eq!(terminal.plain(SELECT), hex!("9000"), "SELECT has no answer, as on cards");
        terminal
    }

    /// The same card after its power went.
    fn again(self) -> Self {
        Self::on(self.memory, self.card.profile().clone())
    }

    fn plain(&mut self, command: &[u8]) -> Vec<u8> {
        self.card.transmit(command)
    }

    /// With what T=0 makes of an answer whose length is not known.
    fn ask(&mut self, command: &[u8]) -> Vec<u8> {
        let mut answer = self.plain(command);
        if let [0x6C, length] = answer[..] {
            let (_, header) = command.split_last().unwrap();
            answer = self.plain(&[header, &[length]].concat());
        }
        let mut data = Vec::new();
        while let [part @ .., 0x61, length] = &answer[..] {
            data.extend_from_slice(part);
            let length = *length;
            answer = self.plain(&[0x00, 0xC0, 0x00, 0x00, length]);
        }
        [data, answer].concat()
    }

    fn sw(&mut self, command: &[u8]) -> u16 {
        let answer = self.ask(command);
        u16::from_be_bytes(*answer.last_chunk::<2>().unwrap())
    }

    fn store(&mut self, data: &[u8]) -> u16 {
        let length = u8::try_from(data.len()).unwrap();
        self.sw(&[&hex!("80E29000")[..], &[length], data].concat())
    }

    fn all(&mut self) -> String {
        hex::encode(self.ask(&hex!("80CAFF4000")))
    }

    fn tag(&mut self) -> Vec<u8> {
        let answer = self.ask(&hex!("80CADF2000"));
        let (tag, sw) = answer.split_last_chunk::<2>().unwrap();
        assert_eq!((tag.len(), &tag[..3], *sw), (11, &hex!("DF2008")[..], hex!("9000")));
        tag.to_vec()
    }
}

const SELECT: &[u8] = &hex!("00A4040009A00000015141434C00");

/// Rules as pySim stores them, never, always, filtered, for all applications.
const RULES: [&[u8]; 4] = [
    &hex!("e232e11e4f06ffffffffffaac114aa6872787654334567840de535c2bbd5a04f0baae310d00100d10100db080000000000000004"),
    &hex!("e232e11e4f06ffffffffffbbc114aa6872f28b340b2345678905d5c2bbd5a04f0bdde310d00101d10101db080000000000000004"),
    &hex!(
        "e239e11e4f06ffffffffffccc114a1234567890aaabb1f140de987657891a04f0bdde317d008aabbccdd01020304d10101db080000000000000004"
    ),
    &hex!(
        "e23be1184f00c114a1234567890123bb1f140de987aaa891bbbf0bdde31fd010aabbccdd010203041122334405060708d10100db080000000000000004"
    ),
];

fn f0(rule: &[u8]) -> Vec<u8> {
    [&[0xF0, u8::try_from(rule.len()).unwrap()], rule].concat()
}

/// As pySim's own test goes about it: the newest rule comes first.
#[test]
fn rules_are_stored_listed_and_deleted() {
    let mut card = Terminal::new(&[], Writing::Open);
    assert_eq!(card.all(), "ff40009000");
    assert_eq!(card.store(&hex!("F100")), 0x9000, "nothing to delete is fine");
    for rule in RULES {
        assert_eq!(card.store(&f0(rule)), 0x9000);
    }
    let listed: Vec<u8> = RULES.iter().rev().flat_map(|rule| rule.iter().copied()).collect();
    assert_eq!(card.all(), format!("ff4081e0{}9000", hex::encode(&listed)));
    let mut card = card.again();
    assert_eq!(card.all(), format!("ff4081e0{}9000", hex::encode(&listed)), "after the power went");
    // By application, by reference, by rule.
    assert_eq!(card.store(&hex!("F1084F06FFFFFFFFFFAA")), 0x9000);
    assert_eq!(card.store(&hex!("F1084F06FFFFFFFFFFAA")), 0x6A88);
    assert_eq!(card.store(&hex!("F120E11E4F06FFFFFFFFFFBBC114AA6872F28B340B2345678905D5C2BBD5A04F0BDD")), 0x9000);
    assert_eq!(card.store(&[&[0xF1, 59], RULES[2]].concat()), 0x9000);
    assert_eq!(card.all(), format!("ff403d{}9000", hex::encode(RULES[3])));
    assert_eq!(card.store(&hex!("F1024F00")), 0x9000);
    assert_eq!(card.store(&hex!("F102C000")), 0x6A88);
    assert_eq!(card.all(), "ff40009000");
}

/// GPD_SPE_013 §4.1: the length comes first, the rest with the next commands, whole or in the terminal's portions.
#[test]
fn a_long_list_is_read_in_parts() {
    let mut card = Terminal::new(&[], Writing::Open);
    for number in 0..12_u8 {
        let mut rule = RULES[0].to_vec();
        rule[11] = number;
        assert_eq!(card.store(&f0(&rule)), 0x9000);
    }
    let total = 12 * RULES[0].len();
    for le in [0x00, 0x40] {
        let mut read = Vec::new();
        let mut command = [0x80, 0xCA, 0xFF, 0x40, le];
        while read.len() < total + 5 {
            let answer = card.ask(&command);
            let (data, sw) = answer.split_last_chunk::<2>().unwrap();
            assert_eq!(*sw, hex!("9000"));
            assert!(!data.is_empty() && data.len() <= 256);
            read.extend_from_slice(data);
            command[3] = 0x60;
        }
        assert_eq!(&read[..5], [0xFF, 0x40, 0x82, 0x02, 0x70]);
        assert_eq!(read[5..].chunks(52).next().unwrap()[11], 11, "the newest first");
        assert_eq!(card.sw(&hex!("80CAFF6000")), 0x6A88, "nothing is left");
    }
    // Another command ends the list, and so does a change, by whatever channel: it has to be read again.
    card.ask(&hex!("80CAFF4000"));
    card.tag();
    assert_eq!(card.sw(&hex!("80CAFF6000")), 0x6A88);
    assert_eq!(card.plain(&hex!("0070000001")), hex!("019000"));
    assert_eq!(card.plain(&hex!("01A4040009A00000015141434C00")), hex!("9000"));
    card.ask(&hex!("80CAFF4000"));
    assert_eq!(card.plain(&hex!("81E2900002F200")), hex!("9000"));
    assert_eq!(card.sw(&hex!("80CAFF6000")), 0x6984);
    assert_eq!(card.sw(&hex!("80CAFF6000")), 0x6984, "until it is");
}

#[test]
fn the_refresh_tag_tells_of_changes() {
    let mut card = Terminal::new(&[], Writing::Open);
    let first = card.tag();
    assert_eq!(card.tag(), first, "as long as nothing changes");
    card.store(&f0(RULES[0]));
    let second = card.tag();
    assert_ne!(first, second);
    assert_eq!(card.store(&f0(RULES[0])), 0x6381, "the same rule again");
    assert_eq!(card.tag(), second);
    assert_eq!(card.store(&hex!("F200")), 0x9000);
    let third = card.tag();
    assert_ne!(second, third);
    let mut card = card.again();
    assert_eq!(card.tag(), third, "it outlives the power");
}

/// GPD_SPE_013 §3.2.
#[test]
fn rules_about_the_same_add_up_or_are_refused() {
    let mut card = Terminal::new(&[], Writing::Open);
    let rule = |access: &str| {
        let access = hex::decode(access).unwrap();
        let length = u8::try_from(access.len()).unwrap();
        [&[0xF0, length + 15, 0xE2, length + 13, 0xE1, 0x09, 0x4F, 0x05, 0xA0, 0, 0, 0, 1, 0xC1, 0, 0xE3, length][..], &access].concat()
    };
    assert_eq!(card.store(&rule("d0080001020304050607")), 0x9000);
    assert_eq!(card.store(&rule("d0081011121314151617")), 0x6381);
    assert_eq!(card.store(&rule("d10101")), 0x6381);
    let before = card.all();
    for other in ["d00100", "d00101", "d000", "d10100", "d00101d10101"] {
        assert_eq!(card.store(&rule(other)), 0x6A89, "{other}");
    }
    assert_eq!(card.all(), before, "a refused rule changes nothing");
    let specific = card.ask(&hex!("80CAFF500B E109 4F05A000000001 C100 00"));
    assert_eq!(hex::encode(specific), "ff5017e315d01000010203040506071011121314151617d101019000");
    assert_eq!(card.sw(&hex!("80CAFF500B E109 4F05A000000002 C100 00")), 0x6A88, "exactly this one is asked for");
    assert_eq!(card.sw(&hex!("80CAFF5002E10000")), 0x6A80);
    assert_eq!(card.sw(&hex!("80CAFF50024F0000")), 0x6981);
}

#[test]
fn what_is_not_as_it_should_be() {
    let mut card = Terminal::new(&[], Writing::Open);
    assert_eq!(card.sw(&hex!("80CAFF6000")), 0x6A88);
    assert_eq!(card.sw(&hex!("80CAFF5000")), 0x6700);
    assert_eq!(card.sw(&hex!("80CAFF40024F00")), 0x6700);
    assert_eq!(card.sw(&hex!("80CADF2100")), 0x6700);
    assert_eq!(card.sw(&hex!("80CAFF7000")), 0x6A86);
    assert_eq!(card.sw(&hex!("80CA006600")), 0x6A86);
    assert_eq!(card.sw(&hex!("00CAFF4000")), 0x6E00);
    assert_eq!(card.sw(&hex!("80C8900002F200")), 0x6D00);
    assert_eq!(card.sw(&hex!("80E2880002F200")), 0x6A86, "not data groupings");
    assert_eq!(card.sw(&hex!("80E2F00002F200")), 0x6A86, "not encrypted");
    assert_eq!(card.sw(&hex!("80E2900102F200")), 0x6A86, "not the first block");
    assert_eq!(card.sw(&hex!("80E29000")), 0x6700);
    assert_eq!(card.store(&hex!("F000")), 0x6A80);
    assert_eq!(card.store(&hex!("F002E200")), 0x6A80);
    assert_eq!(card.store(&hex!("F201")), 0x6A80);
    assert_eq!(card.store(&hex!("F20100")), 0x6A80);
    assert_eq!(card.store(&hex!("F200F200")), 0x6A80);
    assert_eq!(card.store(&hex!("E203E10101")), 0x6981);
    assert_eq!(card.store(&hex!("A2")), 0x6982, "only the administrator opens it");
    // Known objects of the rule are kept, the others are not.
    assert_eq!(card.store(&hex!("F00EE20CE1054F00C30101E303D00101")), 0x6382);
    assert_eq!(card.all(), "ff400be209e1024f00e303d001019000");
}

/// GlobalPlatform §11.11: blocks in their order, and a change of which nothing is seen before the last.
#[test]
fn a_rule_may_come_in_blocks() {
    let mut card = Terminal::new(&[], Writing::Open);
    let filters = 40_u8;
    let mut access = hex!("E38201 44D08201 40").to_vec();
    for number in 0..filters {
        access.extend([0x80, number, 0, 0, 0xFF, 0xFF, 0, 0]);
    }
    let rule = [&hex!("E2820150E1064F00C1020000")[..0], &hex!("E282014CE1024F00")[..], &access].concat();
    let whole = [&hex!("F0820150")[..], &rule].concat();
    assert_eq!(whole.len(), 340);
    let (one, two) = whole.split_at(200);
    let block =
        |p1: u8, number: u8, data: &[u8]| [&[0x80, 0xE2, p1, number, u8::try_from(data.len()).unwrap()], data].concat();
    assert_eq!(card.sw(&block(0x10, 0, one)), 0x9000);
    assert_eq!(card.sw(&block(0x90, 2, two)), 0x6A86, "block 1 is missing, and may still come");
    assert_eq!(card.sw(&block(0x90, 1, two)), 0x9000);
    let answer = card.ask(&hex!("80CAFF4000"));
    assert_eq!(answer[..5], hex!("FF40820150"));
    // What ends the chain.
    assert_eq!(card.sw(&block(0x10, 0, one)), 0x9000);
    card.tag();
    assert_eq!(card.sw(&block(0x90, 1, two)), 0x6A86);
}

/// What anybody may say is kept only as far as a short command reaches.
#[test]
fn a_device_does_not_fill_the_memory() {
    let memory = Terminal::new(&[], Writing::Open).memory;
    // It takes extended lengths.
    let atr = hex!("3B9E9681B1FE453FC7828031E073FE21DF56565549434331F6").to_vec();
    let mut card = Terminal::on(memory, CardProfile { atr, ..CardProfile::default() });
    let said = |length: u16| {
        let [high, low] = length.to_be_bytes();
        let value = vec![0x81; usize::from(length)];
        let object = [&[0xE4, 0x82][..], &(length + 4).to_be_bytes(), &[0xC0, 0x82, high, low], &value].concat();
        let [high, low] = u16::try_from(object.len()).unwrap().to_be_bytes();
        [&[0x80, 0xCA, 0xDF, 0x21, 0x00, high, low][..], &object, &[0, 0]].concat()
    };
    assert_eq!(card.sw(&said(247)), 0x9000);
    let used = card.memory.lock().unwrap().used();
    assert_eq!(card.sw(&said(248)), 0x6A84);
    assert_eq!(card.sw(&said(20_000)), 0x6A84);
    assert_eq!(card.memory.lock().unwrap().used(), used);
}

#[test]
fn clients_and_the_device() {
    let mut card = Terminal::new(&[], Writing::Open);
    assert_eq!(card.store(&hex!("F800")), 0x6A88);
    assert_eq!(hex::encode(card.ask(&hex!("80CADF2107E405E60301010000"))), "df2107e505e6030101009000");
    assert_eq!(hex::encode(card.ask(&hex!("80E2910002F80000"))), "ff7f07e405e6030101009000");
    assert_eq!(card.sw(&hex!("80CADF2104E402E60000")), 0x6A80);
    assert_eq!(card.sw(&hex!("80CADF2102E50000")), 0x6981);
    assert_eq!(hex::encode(card.ask(&hex!("80E2900002F600"))), "ff70009000");
    assert_eq!(card.store(&hex!("F7074F05A000000001")), 0x9000);
    assert_eq!(card.store(&hex!("F70E4F05A0000000014F05A000000002")), 0x9000);
    assert_eq!(hex::encode(card.ask(&hex!("80E2900002F600"))), "ff700e4f05a0000000014f05a0000000029000");
    assert_eq!(card.store(&hex!("F700")), 0x9000);
    assert_eq!(hex::encode(card.ask(&hex!("80E2900002F600"))), "ff70009000");
    card.store(&f0(RULES[0]));
    let listed = format!("ff4034{}9000", hex::encode(RULES[0]));
    assert_eq!(hex::encode(card.ask(&hex!("80E2910002F40000"))), listed);
    assert_eq!(hex::encode(card.ask(&hex!("80E291000AF3084F06FFFFFFFFFFAA00"))), listed);
    assert_eq!(card.sw(&hex!("80E2910004F3024F0000")), 0x6A88);
    assert_eq!(card.sw(&hex!("80E2910002F50000")), 0x6A88);
}

#[test]
fn who_has_no_keys_may_not_write_what_is_locked() {
    let mut card = Terminal::new(RULES[1], Writing::Locked);
    for request in [&hex!("F100")[..], &hex!("F200"), &f0(RULES[0]), &hex!("F400"), &hex!("A1")] {
        assert_eq!(card.store(request), 0x6982);
    }
    let listed = format!("ff4034{}9000", hex::encode(RULES[1]));
    assert_eq!(card.all(), listed, "reading is for everybody");
    let mut card = Terminal::new(RULES[1], Writing::Open);
    assert_eq!(card.store(&hex!("A1")), 0x9000);
    assert_eq!(card.store(&hex!("F100")), 0x6982);
    let mut card = card.again();
    assert_eq!(card.store(&hex!("F100")), 0x6982, "for good");
    // Until the administrator comes.
    assert_eq!(card.sw(&hex!("0020000A083838383838383838")), 0x9000);
    assert_eq!(card.store(&hex!("F100")), 0x9000);
    assert_eq!(card.store(&hex!("A2")), 0x9000);
    let mut card = card.again();
    assert_eq!(card.store(&f0(RULES[0])), 0x9000, "open again");
}

/// The state before or the state after, never between, wherever the power goes.
#[test]
fn a_cut_leaves_all_or_nothing() {
    let mut request = RULES[2].to_vec();
    request[9] = 7;
    for left in 0..3 {
        let mut card = Terminal::new(&[], Writing::Open);
        card.store(&f0(RULES[0]));
        let (before, tag) = (card.all(), card.tag());
        *card.left.lock().unwrap() = Some(left);
        let sw = card.store(&f0(&request));
        let mut card = card.again();
        let (after, tag_after) = (card.all(), card.tag());
        if sw == 0x9000 {
            assert!(after != before && tag != tag_after);
        } else {
            assert_eq!((after, tag_after), (before, tag));
        }
    }
}

#[test]
fn a_full_card_takes_no_rule() {
    let full = Terminal::new(&[], Writing::Open);
    let used = full.memory.lock().unwrap().used();
    let profile = CardProfile { non_volatile_memory: used + 100, ..CardProfile::default() };
    let mut card = Terminal::on(full.memory, profile);
    assert_eq!(card.store(&f0(RULES[0])), 0x9000);
    let before = card.all();
    assert_eq!(card.store(&f0(RULES[1])), 0x6A84);
    assert_eq!(card.all(), before);
}

/// What a description says is on the card, and so is what a package of others sends to the application.
#[test]
fn rules_come_with_a_profile() {
    use applets::profile::{Limits, interpret, uicc_capability};
    use saip::ProfileElement;
    use saip::builder::{AccessRule, AccessRules, Apdu, Ever, Key, Subscriber};

    let key = Key::new(&[1; 16]);
    let mut subscriber = Subscriber::new("8988211000000000011", "001010000000001", key.clone(), key);
    let privileges = AccessRule {
        certificate: Some("abcd92cbb156b280fa4e1429a6eceeb6e5c1bfe4".into()),
        package: Some("com.google.android.apps.myapp".into()),
        permissions: Some("0000000000000001".into()),
        ..AccessRule::default()
    };
    let everything =
        AccessRule { aid: Some("all".into()), apdu: Some(Apdu::Ever(Ever::Always)), ..AccessRule::default() };
    let rules = vec![privileges, everything];
    subscriber.access_rules = Some(AccessRules { rules, ..AccessRules::default() });
    let elements = saip::builder::build(&subscriber).unwrap();
    let limits = Limits { memory: 1 << 19, test_profile: false, capability: uicc_capability() };
    let card = |elements: &[ProfileElement]| {
        let image = interpret(&saip::encode_package(elements), limits).map(|profile| profile.image);
        image.map_err(|failure| failure.response.unwrap().to_string()).map(|image| {
            let mut memory = MemoryNvm::default();
            Card::format(&mut memory, image, Vec::new(), None).unwrap();
            Terminal::on(Arc::new(Mutex::new(memory)), CardProfile::default())
        })
    };
    let mut own = card(&elements).unwrap();
    let listed = hex!(
        "ff4055e243e135c114abcd92cbb156b280fa4e1429a6eceeb6e5c1bfe4ca1d636f6d2e676f6f676c652e616e64726f69642e617070732e6d79617070e30adb080000000000000001"
        "e20be1044f00c100e303d00101"
    );
    let listed = [&listed[..2], &[0x52], &listed[3..]].concat();
    assert_eq!(own.all(), format!("{}9000", hex::encode(listed)));
    assert_eq!(own.store(&hex!("F100")), 0x6982, "only who has the keys");
    // A command that is not answered 9000 fails the element.
    let mut broken = elements;
    for element in &mut broken {
        if let ProfileElement::Application(application) = element {
            application.instance_list.as_mut().unwrap()[0].process_data.as_mut().unwrap()[0].pop();
        }
    }
    let refusal = card(&broken).map(drop).unwrap_err();
    assert!(refusal.contains("processData"), "{refusal}");
}
