//! Security domains under a secure channel: what the issuer does with a card. GlobalPlatform Card Specification §11, annex E,
//! Amendment D.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use apdu::Aid;
use applets::kind;
use card_os::fs::{AccessReference, File, FileId, FileKind, FileNumber, Structure};
use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Update};
use card_os::{ApplicationRecord, Card, CardProfile, DomainImage, Entropy, NewApplication, Privileges};
use crypto::scp::{Cipher, Handshake, Kind, Level, Session, StaticKeys, scp02, scp03};
use hex_literal::hex;
use saip::application::ApplicationInstance;
use saip::security_domain::{KeyComponent, KeyObject, SecurityDomain};
use saip::{PeHeader, Secret};
use std::sync::{Arc, Mutex};

struct Zero;
impl Entropy for Zero {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

/// A memory that can be looked at while a card uses it, and that takes so many writes only.
#[derive(Clone)]
struct Shared {
    memory: Arc<Mutex<MemoryNvm>>,
    copy: MemoryNvm,
    left: Option<usize>,
}

impl Shared {
    fn new(memory: &Arc<Mutex<MemoryNvm>>, left: Option<usize>) -> Self {
        Self { memory: memory.clone(), copy: memory.lock().unwrap().clone(), left }
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
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or(NvmError)?;
        }
        self.memory.lock().unwrap().apply(updates.clone())?;
        self.copy.apply(updates)
    }
    fn used(&self) -> usize {
        self.copy.used()
    }
}

const ISD: [u8; 8] = hex!("A000000151000000");
const USIM: [u8; 7] = hex!("A0000000871002");
const SSD: [u8; 9] = hex!("A00000015153504101");
const TEST_KEY: [u8; 16] = hex!("404142434445464748494A4B4C4D4E4F");

fn key(version: u8, identifier: u8, key_type: u8, value: &[u8]) -> KeyObject {
    KeyObject {
        key_usage_qualifier: vec![0x38],
        key_access: [0],
        key_identifier: [identifier],
        key_version_number: [version],
        key_counter_value: None,
        key_components: vec![KeyComponent { key_type: vec![key_type], key_data: Secret::new(value), mac_length: 8 }],
    }
}

fn set(version: u8, key_type: u8, value: &[u8]) -> Vec<KeyObject> {
    (1..=3).map(|identifier| key(version, identifier, key_type, value)).collect()
}

/// A UICC with an issuer's security domain, whose parameters say this, and an application beside it.
fn uicc_with(parameters: &[u8], keys: Vec<KeyObject>) -> Arc<Mutex<MemoryNvm>> {
    let element = SecurityDomain {
        header: PeHeader { mandated: true, identification: 1 },
        instance: ApplicationInstance {
            application_load_package_aid: hex!("A0000001515350").to_vec(),
            class_aid: hex!("A000000151535041").to_vec(),
            instance_aid: ISD.to_vec(),
            extradite_security_domain_aid: None,
            application_privileges: hex!("9EDC00").to_vec(),
            life_cycle_state: [0x0F],
            application_specific_parameters: parameters.to_vec(),
            system_specific_parameters: None,
            application_parameters: None,
            process_data: None,
            control_reference_template: None,
        },
        key_list: Some(keys),
        sd_perso_data: None,
        open_perso_data: None,
        cat_tp_parameters: None,
    };
    let rule = AccessReference { arr: FileId::MF_ARR, record: 1 };
    let mut image = DomainImage::new();
    let mf = image.add_file(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, rule), vec![]).unwrap();
    let arr = FileKind::Ef(Structure::LinearFixed { record_length: 5, records: 1 });
    image.add_file(File::new(FileId::MF_ARR, mf, arr, rule), hex!("8001019000").to_vec()).unwrap();
    let iccid = FileKind::Ef(Structure::Transparent { size: 10 });
    image.add_file(File::new(FileId(0x2FE2), mf, iccid, rule), hex!("98881201000000000010").to_vec()).unwrap();
    let application = |aid: &[u8], kind, parameters| NewApplication {
        record: ApplicationRecord {
            aid: Aid::new(aid).unwrap(),
            kind,
            adf: None,
            life_cycle: if kind == kind::SECURITY_DOMAIN { 0x0F } else { 0x07 },
            privileges: Privileges::NONE,
        },
        parameters,
        data: vec![],
    };
    image.add_application(application(&ISD, kind::SECURITY_DOMAIN, element.to_der()));
    image.add_application(application(&USIM, kind::OPAQUE, vec![0x6F, 0x00]));
    let mut memory = MemoryNvm::default();
    Card::format(&mut memory, image, Vec::new(), None).unwrap();
    Arc::new(Mutex::new(memory))
}

fn uicc() -> Arc<Mutex<MemoryNvm>> {
    uicc_with(&[], [set(0x20, 0x80, &TEST_KEY), set(0x30, 0x88, &TEST_KEY)].concat())
}

fn insert(memory: &Arc<Mutex<MemoryNvm>>) -> Card {
    insert_with(memory, None)
}

fn insert_with(memory: &Arc<Mutex<MemoryNvm>>, left: Option<usize>) -> Card {
    let nvm = Shared::new(memory, left);
    let mut card = Card::new(CardProfile::default(), Box::new(nvm), Box::new(Zero), applets::build);
    card.reset();
    card
}

fn select(card: &mut Card, channel: u8, aid: &[u8]) -> Vec<u8> {
    let length = u8::try_from(aid.len()).unwrap();
    card.transmit(&[&[channel, 0xA4, 0x04, 0x0C, length], aid].concat())
}

/// A host with a session on a channel.
struct Host {
    channel: u8,
    session: Session,
}

impl Host {
    /// INITIALIZE UPDATE and EXTERNAL AUTHENTICATE.
    fn open(card: &mut Card, channel: u8, version: u8, keys: &StaticKeys, level: u8) -> Result<Self, Vec<u8>> {
        let (handshake, _) = begin(card, channel, version, keys, &[7; 8])?;
        let (session, command) = handshake.external_authenticate(Level(level));
        let answer = card.transmit(&apdu(Self::class(channel, command.header), &command.data));
        if answer == hex!("9000") { Ok(Self { channel, session }) } else { Err(answer) }
    }

    fn class(channel: u8, [class, ins, p1, p2]: [u8; 4]) -> [u8; 4] {
        let secured = if channel > 3 { 0x60 | class & 0x80 | (channel - 4) } else { class & 0x80 | 0x04 | channel };
        [secured, ins, p1, p2]
    }

    /// A protected command; data and status word of the answer, out of its protection.
    fn send(&mut self, card: &mut Card, header: [u8; 4], data: &[u8]) -> (Vec<u8>, [u8; 2]) {
        let wrapped = self.session.wrap(header, data);
        let mut command = apdu(Self::class(self.channel, header), &wrapped.data);
        if self.session.level().0 != 0 {
            command.push(0);
        }
        let mut answer = card.transmit(&command);
        let mut whole = Vec::new();
        while let Some((part, [0x61, more])) = answer.split_last_chunk::<2>() {
            whole.extend_from_slice(part);
            answer = card.transmit(&[0xC0 & self.channel.wrapping_sub(4) >> 1 | self.channel & 3, 0xC0, 0, 0, *more]);
        }
        let (part, sw) = answer.split_last_chunk::<2>().unwrap();
        whole.extend_from_slice(part);
        (self.session.unwrap_response(&whole, *sw).unwrap().to_vec(), *sw)
    }

    fn sw(&mut self, card: &mut Card, command: &[u8]) -> [u8; 2] {
        let header = *command.first_chunk().unwrap();
        self.send(card, header, command.get(5..).unwrap_or_default()).1
    }

    /// PUT KEY of a set whose three keys are the same.
    fn put_key(&mut self, card: &mut Card, replaced: u8, version: u8, kind: Kind, value: &[u8]) -> (Vec<u8>, [u8; 2]) {
        let mut data = vec![version];
        for _ in 0..3 {
            data.extend(self.key_block(kind, value));
        }
        self.send(card, [0x80, 0xD8, replaced, 0x81], &data)
    }

    fn key_block(&self, kind: Kind, value: &[u8]) -> Vec<u8> {
        let key_type = if kind == Kind::Des { 0x80 } else { 0x88 };
        let check_value = Cipher::new(kind, value).unwrap().check_value();
        let padded = || {
            let mut padded = value.to_vec();
            padded.resize(value.len().next_multiple_of(16), 0);
            [vec![u8::try_from(value.len()).unwrap()], self.session.encrypt_key(&padded).unwrap()].concat()
        };
        let block = self.session.encrypt_key(value).unwrap_or_else(padded);
        let length = u8::try_from(block.len()).unwrap();
        [&[key_type, length][..], &block, &[3], &check_value].concat()
    }
}

fn apdu(header: [u8; 4], data: &[u8]) -> Vec<u8> {
    [&header[..], &[u8::try_from(data.len()).unwrap()], data].concat()
}

/// INITIALIZE UPDATE: what both know then, and the answer.
fn begin(
    card: &mut Card,
    channel: u8,
    version: u8,
    keys: &StaticKeys,
    host: &[u8],
) -> Result<(Handshake, Vec<u8>), Vec<u8>> {
    let class = if channel > 3 { 0xC0 | (channel - 4) } else { 0x80 | channel };
    let mut command = apdu([class, 0x50, version, 0x00], host);
    command.push(0x00);
    let mut answer = card.transmit(&command);
    if !answer.ends_with(&hex!("9000")) {
        return Err(answer);
    }
    answer.truncate(answer.len() - 2);
    let handshake = if answer[11] == 0x02 {
        let sequence = u16::from_be_bytes(*answer[12..].first_chunk().unwrap());
        let challenge = answer[14..].first_chunk().unwrap();
        scp02::handshake(keys, sequence, host.try_into().unwrap(), challenge).map(Handshake::Scp02)
    } else {
        let options = scp03::Options(answer[12]);
        scp03::handshake(keys, options, host, &answer[13..13 + options.size()]).map(Handshake::Scp03)
    };
    Ok((handshake.unwrap(), answer))
}

fn test_keys() -> StaticKeys {
    StaticKeys::same(&TEST_KEY)
}

#[test]
fn every_level_of_both_protocols_on_channels_of_both_ranges() {
    let memory = uicc();
    for (version, levels) in [(0x20, &[0x00, 0x01, 0x03][..]), (0x30, &[0x00, 0x01, 0x03, 0x11, 0x13, 0x33])] {
        for channel in [0, 2, 5] {
            let mut card = insert(&memory);
            for opened in 1..=5 {
                assert_eq!(card.transmit(&hex!("0070000001")), [opened, 0x90, 0x00]);
            }
            let class = if channel > 3 { 0x40 | (channel - 4) } else { channel };
            for level in levels {
                assert_eq!(select(&mut card, class, &ISD), hex!("9000"));
                let mut host = Host::open(&mut card, channel, version, &test_keys(), *level).unwrap();
                for _ in 0..3 {
                    let (data, sw) = if *level == 0 {
                        let class = if channel > 3 { 0xC0 | (channel - 4) } else { 0x80 | channel };
                        let answer = card.transmit(&[class, 0xF2, 0x80, 0x02, 0x02, 0x4F, 0x00]);
                        let more = *answer.last().unwrap();
                        assert_eq!(answer[0], 0x61);
                        let answer = card.transmit(&[class, 0xC0, 0x00, 0x00, more]);
                        let (data, sw) = answer.split_last_chunk::<2>().unwrap();
                        (data.to_vec(), *sw)
                    } else {
                        host.send(&mut card, [0x80, 0xF2, 0x80, 0x02], &hex!("4F00"))
                    };
                    assert_eq!(sw, [0x90, 0x00], "{version:02X} {level:02X} {channel}");
                    assert_eq!(data, hex!("E313 4F08A000000151000000 9F70010F C5039EDC00"));
                }
            }
        }
    }
}

#[test]
fn all_key_lengths_and_options() {
    for (parameters, length) in [
        (&hex!("81020300")[..], 16),
        (&hex!("81020310"), 24),
        (&hex!("81020320"), 32),
        (&hex!("81020330"), 16),
        (&hex!("81020360"), 24),
        (&hex!("8102800081020370"), 32),
        (&hex!("81020371"), 16),
        (&hex!("81020215"), 16),
    ] {
        let (option, is_des) = (parameters[parameters.len() - 1], parameters[parameters.len() - 2] == 2);
        let value = &[TEST_KEY, TEST_KEY].concat()[..length];
        let (version, key_type) = if is_des { (0x2F, 0x82) } else { (0x3F, 0x88) };
        let memory = uicc_with(parameters, set(version, key_type, value));
        let mut card = insert(&memory);
        select(&mut card, 0, &ISD);
        let keys = StaticKeys::same(value);
        let host = if option & 1 != 0 && !is_des { vec![9; 16] } else { vec![9; 8] };
        let (handshake, answer) = begin(&mut card, 0, 0, &keys, &host).unwrap();
        assert_eq!(answer[10], version);
        if !is_des {
            assert_eq!(answer[12], option);
            assert_eq!(answer.len(), 13 + 2 * host.len() + if option & 0x10 == 0 { 0 } else { 3 });
        }
        assert!(answer.windows(handshake.card_cryptogram().len()).any(|part| part == handshake.card_cryptogram()));
        let level = if is_des || option & 0x20 == 0 {
            0x03
        } else if option & 0x40 == 0 {
            0x13
        } else {
            0x33
        };
        for refused in [0x02, 0x10, 0x12, 0x23, 0x30, 0x80] {
            let (handshake, _) = begin(&mut card, 0, 0, &keys, &host).unwrap();
            let (_, command) = handshake.external_authenticate(Level(refused));
            assert_eq!(card.transmit(&apdu(command.header, &command.data)), hex!("6A86"), "{refused:02X}");
        }
        let (handshake, _) = begin(&mut card, 0, 0, &keys, &host).unwrap();
        let (session, command) = handshake.external_authenticate(Level(level));
        assert_eq!(card.transmit(&apdu(command.header, &command.data)), hex!("9000"));
        let mut host = Host { channel: 0, session };
        let (data, sw) = host.send(&mut card, [0x80, 0xCA, 0x00, 0x66], &[]);
        assert_eq!(sw, [0x90, 0x00]);
        let told = [&hex!("640B06092A864886FC6B04")[..], &[if is_des { 2 } else { 3 }, option]].concat();
        assert!(data.windows(told.len()).any(|part| part == told), "{data:02X?}");
    }
}

#[test]
fn what_is_out_of_order_is_refused_and_ends_the_session() {
    let mut card = insert(&uicc());
    assert_eq!(select(&mut card, 0, &ISD), hex!("9000"));
    // Nothing without a session.
    for command in [
        &hex!("80F28002024F0000")[..],
        &hex!("80D8008101 30"),
        &hex!("80E2800003 420100"),
        &hex!("80E40000034F0100"),
        &hex!("80E60C0001 00"),
        &hex!("80E8800001 C4"),
        &hex!("80F0807F00"),
        &hex!("84F28002084F00000000000000"),
        &hex!("84D8000001 00"),
    ] {
        assert_eq!(card.transmit(command), hex!("6982"), "{command:02X?}");
    }
    for (command, sw) in [
        (&hex!("8450000008 0102030405060708")[..], hex!("6982")),
        (&hex!("8050800008 0102030405060708"), hex!("6A86")),
        (&hex!("8050000108 0102030405060708"), hex!("6A86")),
        (&hex!("8050010008 0102030405060708"), hex!("6A88")),
        (&hex!("8050410008 0102030405060708"), hex!("6A88")),
        (&hex!("8050300007 01020304050607"), hex!("6700")),
        (&hex!("8050200010 01020304050607080102030405060708"), hex!("6700")),
        (&hex!("8482010010 00000000000000000000000000000000"), hex!("6985")),
        (&hex!("8082010010 00000000000000000000000000000000"), hex!("6E00")),
        (&hex!("80CA1234"), hex!("6A88")),
        (&hex!("8CF28002024F00"), hex!("6882")),
    ] {
        assert_eq!(card.transmit(command), sw, "{command:02X?}");
    }
    // A command in the clear, a wrong MAC, and the same command again.
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).unwrap();
    assert_eq!(card.transmit(&hex!("80CA00D300")), hex!("6C03"));
    assert_eq!(card.transmit(&hex!("80CA00D303")), hex!("D30181 9000"), "GET DATA needs no protection");
    assert_eq!(card.transmit(&hex!("80F28002024F0000")), hex!("6982"));
    assert_eq!(host.sw(&mut card, &hex!("80F28002024F00")), [0x69, 0x82], "it has ended");
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x03).unwrap();
    let wrapped = host.session.wrap([0x80, 0xF2, 0x80, 0x02], &hex!("4F00"));
    let command = apdu([0x84, 0xF2, 0x80, 0x02], &wrapped.data);
    assert_eq!(card.transmit(&command)[0], 0x61);
    assert_eq!(card.transmit(&command), hex!("6982"));
    assert_eq!(host.sw(&mut card, &hex!("80F28002024F00")), [0x69, 0x82]);
    // Errors of commands leave it open; a reset, another selection and a closed channel do not.
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x33).unwrap();
    assert_eq!(host.sw(&mut card, &hex!("80F28004024F00")), [0x6A, 0x86]);
    assert_eq!(host.sw(&mut card, &hex!("80B0000000")), [0x6D, 0x00]);
    assert_eq!(host.sw(&mut card, &hex!("80F28002024F00")), [0x90, 0x00]);
    assert_eq!(select(&mut card, 0, &ISD), hex!("9000"));
    assert_eq!(host.sw(&mut card, &hex!("80F28002024F00")), [0x69, 0x82]);
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).unwrap();
    card.reset();
    select(&mut card, 0, &ISD);
    assert_eq!(host.sw(&mut card, &hex!("80F28002024F00")), [0x69, 0x82]);
    assert_eq!(card.transmit(&hex!("0070000001")), hex!("019000"));
    select(&mut card, 1, &ISD);
    let mut host = Host::open(&mut card, 1, 0x30, &test_keys(), 0x01).unwrap();
    assert_eq!(host.sw(&mut card, &hex!("80F28002024F00")), [0x90, 0x00]);
    card.transmit(&hex!("00708001"));
    card.transmit(&hex!("0070000001"));
    select(&mut card, 1, &ISD);
    assert_eq!(host.sw(&mut card, &hex!("80F28002024F00")), [0x69, 0x82]);
}

/// Each wrong cryptogram counts, also over resets; the tenth in a row was the last.
#[test]
fn wrong_keys_count_and_block_until_they_are_replaced() {
    let memory = uicc();
    let mut card = insert(&memory);
    select(&mut card, 0, &ISD);
    let wrong = StaticKeys::same(&[0x55; 16]);
    let fail = |card: &mut Card| Host::open(card, 0, 0x30, &wrong, 0x01).map(|_| ()).unwrap_err();
    for _ in 0..9 {
        assert_eq!(fail(&mut card), hex!("6300"));
        card.reset();
        select(&mut card, 0, &ISD);
    }
    assert!(Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).is_ok(), "the count starts anew");
    for _ in 0..10 {
        assert_eq!(fail(&mut card), hex!("6300"));
    }
    assert_eq!(Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).map(|_| ()).unwrap_err(), hex!("6983"));
    // A wrong MAC counts too. The keys of another version are not concerned, and with them the blocked ones are replaced.
    let (handshake, _) = begin(&mut card, 0, 0x20, &test_keys(), &[1; 8]).unwrap();
    let (_, mut command) = handshake.external_authenticate(Level(1));
    command.data[15] ^= 1;
    assert_eq!(card.transmit(&apdu(command.header, &command.data)), hex!("6982"));
    let mut host = Host::open(&mut card, 0, 0x20, &test_keys(), 0x01).unwrap();
    let (answer, sw) = host.put_key(&mut card, 0x30, 0x30, Kind::Aes, &[0x66; 16]);
    assert_eq!((answer.len(), sw), (10, [0x90, 0x00]));
    assert!(Host::open(&mut card, 0, 0x30, &StaticKeys::same(&[0x66; 16]), 0x33).is_ok());
}

/// Keys and counter of SCP02 are the same on every channel: what a host sends on one opens nothing on another.
#[test]
fn one_counter_opens_one_session() {
    for (version, opens_both) in [(0x20, false), (0x30, true)] {
        let memory = uicc();
        let mut card = insert(&memory);
        assert_eq!(card.transmit(&hex!("0070000001")), hex!("019000"));
        select(&mut card, 0, &ISD);
        select(&mut card, 1, &ISD);
        let host = [7; 8];
        let [first, second] = [0, 1].map(|channel| begin(&mut card, channel, version, &test_keys(), &host).unwrap().0);
        let authenticate = |card: &mut Card, channel, handshake: Handshake| {
            let (_, command) = handshake.external_authenticate(Level(1));
            card.transmit(&apdu(Host::class(channel, command.header), &command.data))
        };
        assert_eq!(authenticate(&mut card, 0, first), hex!("9000"));
        // AES has a counter, or a challenge, of its own for each.
        let expected = if opens_both { hex!("9000") } else { hex!("6985") };
        assert_eq!(authenticate(&mut card, 1, second), expected, "{version:02X}");
    }
}

/// Handshakes that were begun in time are no further tries.
#[test]
fn tries_are_counted_on_all_channels_together() {
    let memory = uicc();
    let mut card = insert(&memory);
    assert_eq!(card.transmit(&hex!("0070000001")), hex!("019000"));
    select(&mut card, 0, &ISD);
    select(&mut card, 1, &ISD);
    let (right, _) = begin(&mut card, 1, 0x30, &test_keys(), &[7; 8]).unwrap();
    let wrong = StaticKeys::same(&[0x55; 16]);
    for _ in 0..10 {
        assert_eq!(Host::open(&mut card, 0, 0x30, &wrong, 0x01).map(|_| ()).unwrap_err(), hex!("6300"));
    }
    let (_, command) = right.external_authenticate(Level(1));
    assert_eq!(card.transmit(&apdu(Host::class(1, command.header), &command.data)), hex!("6983"));
}

/// Keys that are replaced or deleted open nothing any more, and end what they have opened elsewhere.
#[test]
fn keys_that_are_gone_end_on_every_channel() {
    for delete in [false, true] {
        let memory = uicc();
        let mut card = insert(&memory);
        for channel in 0..3 {
            if channel > 0 {
                card.transmit(&hex!("0070000001"));
            }
            select(&mut card, channel, &ISD);
        }
        let mut issuer = Host::open(&mut card, 0, 0x20, &test_keys(), 0x01).unwrap();
        let (begun, _) = begin(&mut card, 1, 0x30, &test_keys(), &[7; 8]).unwrap();
        let mut open = Host::open(&mut card, 2, 0x30, &test_keys(), 0x01).unwrap();
        if delete {
            assert_eq!(issuer.sw(&mut card, &hex!("80E4000003 D20130")), [0x90, 0x00]);
        } else {
            assert_eq!(issuer.put_key(&mut card, 0x30, 0x30, Kind::Aes, &[0x66; 16]).1, [0x90, 0x00]);
        }
        let (_, command) = begun.external_authenticate(Level(1));
        assert_eq!(card.transmit(&apdu(Host::class(1, command.header), &command.data)), hex!("6985"));
        let wrapped = open.session.wrap([0x80, 0xF2, 0x80, 0x02], &hex!("4F00"));
        let answer = card.transmit(&apdu(Host::class(2, [0x80, 0xF2, 0x80, 0x02]), &wrapped.data));
        assert_eq!(answer, hex!("6982"));
    }
}

/// A counter starts anew with a new set, and not with a key beside keys that stay.
#[test]
fn a_counter_goes_on_while_a_key_stays() {
    let memory = uicc();
    let mut card = insert(&memory);
    select(&mut card, 0, &ISD);
    let counter = |card: &mut Card| begin(card, 0, 0x20, &test_keys(), &[7; 8]).unwrap().1[12..14].to_vec();
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).unwrap();
    assert_eq!(host.put_key(&mut card, 0x20, 0x20, Kind::Des, &TEST_KEY).1, [0x90, 0x00]);
    let _ = Host::open(&mut card, 0, 0x20, &test_keys(), 0x01).unwrap();
    assert_eq!(counter(&mut card), [0, 1]);
    for identifier in [0x03, 0x04] {
        let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).unwrap();
        let replaced = if identifier == 3 { 0x20 } else { 0 };
        let data = [&[0x20][..], &host.key_block(Kind::Des, &TEST_KEY)].concat();
        assert_eq!(host.send(&mut card, [0x80, 0xD8, replaced, identifier], &data).1, [0x90, 0x00]);
        assert_eq!(counter(&mut card), [0, 1], "{identifier}");
    }
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).unwrap();
    assert_eq!(host.put_key(&mut card, 0x20, 0x20, Kind::Des, &TEST_KEY).1, [0x90, 0x00]);
    assert_eq!(counter(&mut card), [0, 0]);
}

#[test]
fn keys_are_added_replaced_and_deleted() {
    let memory = uicc();
    let mut card = insert(&memory);
    select(&mut card, 0, &ISD);
    for (version, opened) in [(0x20, 0x03), (0x30, 0x33)] {
        let mut host = Host::open(&mut card, 0, version, &test_keys(), opened).unwrap();
        for (added, kind, length) in
            [(0x21, Kind::Des, 16), (0x31, Kind::Aes, 16), (0x32, Kind::Aes, 24), (0x33, Kind::Aes, 32)]
        {
            let value = &[added; 32][..length];
            let (answer, sw) = host.put_key(&mut card, 0, added, kind, value);
            let check_value = Cipher::new(kind, value).unwrap().check_value();
            assert_eq!(sw, [0x90, 0x00], "{added:02X}");
            assert_eq!(answer, [&[added][..], &check_value, &check_value, &check_value].concat());
            assert_eq!(host.put_key(&mut card, 0, added, kind, value).1, [0x6A, 0x80], "it is there");
            assert_eq!(host.put_key(&mut card, added, added + 8, kind, value).1, [0x90, 0x00], "another version");
            assert_eq!(host.put_key(&mut card, added, added, kind, value).1, [0x6A, 0x88], "it is gone");
            assert_eq!(host.put_key(&mut card, added + 8, 0x20, kind, value).1, [0x6A, 0x80], "that one is taken");
            assert_eq!(host.put_key(&mut card, added + 8, added, kind, value).1, [0x90, 0x00]);
        }
        for (added, length) in [(0x31, 16), (0x32, 24), (0x33, 32), (0x21, 16)] {
            let mut host = Host::open(&mut card, 0, added, &StaticKeys::same(&[added; 32][..length]), 0x03).unwrap();
            let delete = [0x80, 0xE4, 0x00, 0x00, 0x03, 0xD2, 0x01, added];
            assert_eq!(host.sw(&mut card, &delete), [0x69, 0x85], "it is in use");
        }
        let mut host = Host::open(&mut card, 0, version, &test_keys(), opened).unwrap();
        for added in [0x21, 0x31, 0x32] {
            let delete = [0x80, 0xE4, 0x00, 0x00, 0x03, 0xD2, 0x01, added];
            assert_eq!(host.sw(&mut card, &delete), [0x90, 0x00]);
            assert_eq!(host.sw(&mut card, &delete), [0x6A, 0x88]);
        }
        for identifier in 1..=3 {
            let delete = [0x80, 0xE4, 0x00, 0x00, 0x06, 0xD0, 0x01, identifier, 0xD2, 0x01, 0x33];
            assert_eq!(host.sw(&mut card, &delete), [0x90, 0x00]);
        }
        let told = card.transmit(&hex!("80CA00E026"));
        let three = hex!("C0040120 8010 C0040220 8010 C0040320 8010 C0040130 8810 C0040230 8810 C0040330 8810");
        assert_eq!(told, [&hex!("E024")[..], &three, &hex!("9000")].concat());
    }
}

#[test]
fn bad_keys_are_refused_and_change_nothing() {
    let memory = uicc();
    let mut card = insert(&memory);
    select(&mut card, 0, &ISD);
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).unwrap();
    let before = memory.lock().unwrap().clone();
    let good = host.key_block(Kind::Aes, &[1; 16]);
    let changed = |at: usize, to: u8| {
        let mut block = good.clone();
        block[at] = to;
        block
    };
    let twice = [&[0x31][..], &good, &good].concat();
    for (header, data, sw) in [
        ([0x80, 0xD8, 0x00, 0x01], vec![], [0x6A, 0x80]),
        ([0x80, 0xD8, 0x00, 0x01], vec![0x31], [0x6A, 0x80]),
        ([0x80, 0xD8, 0x80, 0x01], [&[0x31][..], &good].concat(), [0x6A, 0x86]),
        ([0x80, 0xD8, 0x00, 0x01], [&[0x00][..], &good].concat(), [0x6A, 0x80]),
        ([0x80, 0xD8, 0x00, 0x01], [&[0x80][..], &good].concat(), [0x6A, 0x80]),
        ([0x80, 0xD8, 0x00, 0x01], twice.clone(), [0x6A, 0x80]),
        ([0x80, 0xD8, 0x00, 0xFF], twice, [0x6A, 0x80]),
        ([0x80, 0xD8, 0x00, 0x01], [&[0x31][..], &good[..10]].concat(), [0x6A, 0x80]),
        ([0x80, 0xD8, 0x00, 0x01], [&[0x31][..], &changed(0, 0xA1)].concat(), [0x94, 0x84]),
        ([0x80, 0xD8, 0x00, 0x01], [&[0x31][..], &changed(20, 0xFF)].concat(), [0x94, 0x85]),
        ([0x80, 0xD8, 0x00, 0x01], [&[0x31][..], &changed(4, 0xFF)].concat(), [0x94, 0x85]),
        ([0x80, 0xD8, 0x00, 0x01], [&[0x31][..], &changed(18, 0x02)].concat(), [0x94, 0x85]),
        ([0x80, 0xD8, 0x31, 0x01], [&[0x31][..], &good].concat(), [0x6A, 0x88]),
        ([0x80, 0xE4, 0x00, 0x00], vec![], [0x6A, 0x80]),
        ([0x80, 0xE4, 0x00, 0x00], hex!("D001").to_vec(), [0x6A, 0x80]),
        ([0x80, 0xE4, 0x01, 0x00], hex!("D20131").to_vec(), [0x6A, 0x86]),
        ([0x80, 0xE4, 0x00, 0x00], hex!("D20131").to_vec(), [0x6A, 0x88]),
        // One of several is bad: none is written.
        ([0x80, 0xD8, 0x00, 0x81], [&[0x31][..], &good, &changed(20, 0xFF)].concat(), [0x94, 0x85]),
    ] {
        assert_eq!(host.send(&mut card, header, &data).1, sw, "{header:02X?} {data:02X?}");
        assert_eq!(*memory.lock().unwrap(), before, "{header:02X?} {data:02X?}");
    }
    assert_eq!(host.sw(&mut card, &hex!("80F28002024F00")), [0x90, 0x00], "the session goes on");
}

#[test]
fn data_is_told_and_stored() {
    let memory = uicc();
    let mut card = insert(&memory);
    select(&mut card, 0, &ISD);
    for (tag, expected) in [
        (0x0042, &hex!("42048988 2110")[..]),
        (0x0045, &hex!("450A89882110000000000001")),
        (0x00C1, &hex!("C1020000")),
        (0x00C2, &hex!("C2020000")),
        (0x00CF, &hex!("CF0A00000000000000000000")),
        (0x00D3, &hex!("D30100")),
        (0x2F00, &hex!("2F0017 610A4F08A000000151000000 61094F07A0000000871002")),
    ] {
        let [high, low] = u16::to_be_bytes(tag);
        let length = u8::try_from(expected.len()).unwrap();
        for class in [0x00, 0x80] {
            let answer = card.transmit(&[class, 0xCA, high, low, length]);
            assert_eq!(answer, [expected, &hex!("9000")].concat(), "{tag:04X}");
        }
    }
    assert!(card.transmit(&hex!("80CA9F7F2D")).starts_with(&hex!("9F7F2A")));
    assert!(card.transmit(&hex!("80CAFF2113")).starts_with(&hex!("FF2110 81020002 8204")));
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x03).unwrap();
    for (command, sw) in [
        // Data objects, a group with them, groups with values; in blocks too.
        (&hex!("80E290000A 4204CAFEBABE4502AABB")[..], hex!("9000")),
        (&hex!("80E288000A 0070074205CAFEBABE01"), hex!("9000")),
        (&hex!("80E2880007 004504010203"), hex!("6A80")),
        (&hex!("80E2880006 004503010203"), hex!("9000")),
        (&hex!("80E2100003 5F5005"), hex!("9000")),
        (&hex!("80E2900105 68747470 73"), hex!("9000")),
        (&hex!("80E2900103 420100"), hex!("6A86")),
        (&hex!("80E2900002 4200"), hex!("9000")),
        (&hex!("80E2900003 E00100"), hex!("6A88")),
        (&hex!("80E2900000"), hex!("6A80")),
        (&hex!("80E2980003 420100"), hex!("6A86")),
        (&hex!("80E2920003 420100"), hex!("6A86")),
        (&hex!("80E2B00003 420100"), hex!("6A86")),
        (&hex!("80E2F00003 420100"), hex!("6A80")),
        (&hex!("80E2900003 420200"), hex!("6A80")),
        (&hex!("80E2880005 1234020102"), hex!("6A88")),
    ] {
        assert_eq!(host.sw(&mut card, command), sw, "{command:02X?}");
    }
    // Enciphered, whole.
    let mut object = hex!("450C CAFECAFECAFECAFECAFECAFE 8000").to_vec();
    object.truncate(16);
    object[1] = 14;
    let enciphered = host.session.encrypt_key(&object).unwrap();
    assert_eq!(host.send(&mut card, [0x80, 0xE2, 0xF0, 0x00], &enciphered).1, [0x90, 0x00]);
    assert_eq!(card.transmit(&hex!("80CA004200")), hex!("6C02"));
    assert_eq!(card.transmit(&hex!("80CA004202")), hex!("42009000"));
    assert_eq!(card.transmit(&hex!("80CA5F5008")), hex!("5F50056874747073 9000"));
    card.reset();
    select(&mut card, 0, &ISD);
    assert!(card.transmit(&hex!("80CA004510")).starts_with(&hex!("450ECAFECAFE")));
}

#[test]
fn a_supplementary_security_domain_comes_is_used_and_goes() {
    let memory = uicc();
    let mut card = insert(&memory);
    select(&mut card, 0, &ISD);
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x33).unwrap();
    let install = |p1: u8, package: &[u8], privileges: &[u8], more: &[u8]| {
        let mut command = vec![0x80, 0xE6, p1, 0x00, 0x00];
        for field in [package, &hex!("A000000151535041"), &SSD, privileges, more] {
            command.push(u8::try_from(field.len()).unwrap());
            command.extend_from_slice(field);
        }
        command.push(0);
        command
    };
    let package = hex!("A0000001515350");
    for (command, sw) in [
        (install(0x02, &package, &[], &[]), [0x6A, 0x81]),
        (install(0x0C, &hex!("A0000001515351"), &hex!("80"), &[]), [0x6A, 0x88]),
        (install(0x0C, &package, &hex!("C0"), &[]), [0x6A, 0x81]),
        (install(0x0C, &package, &hex!("A00000"), &[]), [0x6A, 0x81]),
        (install(0x0C, &package, &hex!("810000"), &[]), [0x6A, 0x81]),
        (install(0x0C, &package, &hex!("00"), &[]), [0x6A, 0x80]),
        (install(0x0C, &package, &hex!("8000"), &[]), [0x6A, 0x80]),
        (install(0x0C, &package, &hex!("80"), &hex!("C7020000")), [0x6A, 0x80]),
        (install(0x0C, &package, &hex!("80"), &hex!("C901")), [0x6A, 0x80]),
        (install(0x01, &package, &hex!("80"), &[]), [0x6A, 0x86]),
        (hex!("80E60C0003 050102").to_vec(), [0x6A, 0x80]),
        (install(0x04, &package, &hex!("80"), &hex!("C900")), [0x90, 0x00]),
        (install(0x04, &package, &hex!("80"), &hex!("C900")), [0x6A, 0x80]),
    ] {
        assert_eq!(host.sw(&mut card, &command), sw, "{command:02X?}");
    }
    assert_eq!(select(&mut card, 1, &SSD), hex!("6881"));
    assert_eq!(host.sw(&mut card, &hex!("80E6200010 0000 09 A00000015153504101 000000")), [0x69, 0x85], "not yet");
    assert_eq!(host.sw(&mut card, &hex!("80E6080010 0000 09 A00000015153504101 000000")), [0x90, 0x00]);
    assert_eq!(host.sw(&mut card, &hex!("80E6080010 0000 09 A00000015153504101 000000")), [0x69, 0x85]);
    let (listed, sw) = host.send(&mut card, [0x80, 0xF2, 0x40, 0x02], &hex!("4F00 5C08 4F9F70C5C4CC84"));
    assert_eq!((listed.len(), sw), (0, [0x6A, 0x80]), "the list has another length");
    let (listed, sw) =
        host.send(&mut card, [0x80, 0xF2, 0x40, 0x02], &hex!("4F09A00000015153504101 5C06 4F9F70C5C4CC"));
    assert_eq!(sw, [0x90, 0x00]);
    assert_eq!(listed, hex!("E327 4F09A00000015153504101 9F700107 C503800000 C407A0000001515350 CC08A000000151000000"));
    let (old, _) = host.send(&mut card, [0x80, 0xF2, 0x40, 0x00], &hex!("4F09A00000015153504101"));
    assert_eq!(old, hex!("09A00000015153504101 07 80"));
    let (modules, _) = host.send(&mut card, [0x80, 0xF2, 0x10, 0x02], &hex!("4F00"));
    assert!(modules.windows(10).any(|part| part == hex!("8408A000000151535041")), "{modules:02X?}");
    // Its keys come over the issuer's channel, or over its own, which the issuer's keys open while it has none.
    assert_eq!(host.sw(&mut card, &hex!("80E6200010 0000 09 A00000015153504101 000000")), [0x90, 0x00]);
    let announced = hex!(
        "00B9 33 B90F 950138 800188 810110 820101 830131 B90F 950134 800188 810110 820102 830131 \
                          B90F 9501C8 800188 810110 820103 830131"
    );
    let values = host.session.encrypt_key(&[0x77; 48]).unwrap();
    let groups = [&announced[..], &hex!("8F0130"), &values].concat();
    assert_eq!(host.send(&mut card, [0x80, 0xE2, 0x88, 0x00], &groups).1, [0x90, 0x00]);
    assert_eq!(select(&mut card, 0, &SSD), hex!("9000"));
    assert_eq!(card.transmit(&hex!("80CA00E014")).len(), 22);
    let mut own = Host::open(&mut card, 0, 0x31, &StaticKeys::same(&[0x77; 16]), 0x13).unwrap();
    assert_eq!(own.sw(&mut card, &install(0x04, &package, &hex!("80"), &[])), [0x69, 0x85], "no such privilege");
    assert_eq!(own.sw(&mut card, &hex!("80E400000A 4F08A000000151000000")), [0x69, 0x85]);
    let (visible, _) = own.send(&mut card, [0x80, 0xF2, 0x40, 0x02], &hex!("4F00"));
    assert!(visible.starts_with(&hex!("E3")) && !visible.windows(7).any(|part| part == USIM), "its own only");
    assert_eq!(own.sw(&mut card, &hex!("80F2800202 4F00")), [0x6A, 0x88]);
    // The application goes to it, and it cannot go before the application does.
    select(&mut card, 0, &ISD);
    let mut host = Host::open(&mut card, 0, 0x20, &test_keys(), 0x03).unwrap();
    let extradite = hex!("80E6100017 09 A00000015153504101 00 07 A0000000871002 000000");
    let mut back = hex!("80E6100016 08 A000000151000000 00 07 A0000000871002 000000").to_vec();
    assert_eq!(host.sw(&mut card, &extradite), [0x90, 0x00]);
    let delete = hex!("80E400000B 4F09A00000015153504101");
    assert_eq!(host.sw(&mut card, &delete), [0x69, 0x85]);
    assert_eq!(host.sw(&mut card, &back), [0x90, 0x00]);
    back[5..13].copy_from_slice(&hex!("0807060504030201"));
    assert_ne!(host.sw(&mut card, &back), [0x90, 0x00]);
    assert_eq!(host.sw(&mut card, &hex!("80F0408009 A00000015153504101")), [0x90, 0x00]);
    assert_eq!(select(&mut card, 0, &SSD), hex!("6A82"), "locked");
    assert_eq!(host.sw(&mut card, &hex!("80F0408009 A00000015153504101")), [0x69, 0x85]);
    assert_eq!(host.sw(&mut card, &hex!("80F0400709 A00000015153504101")), [0x90, 0x00]);
    assert_eq!(host.sw(&mut card, &hex!("80F0400F09 A00000015153504101")), [0x90, 0x00]);
    assert_eq!(host.sw(&mut card, &delete), [0x90, 0x00]);
    assert_eq!(host.sw(&mut card, &delete), [0x6A, 0x88]);
    assert_eq!(select(&mut card, 0, &SSD), hex!("6A82"));
}

#[test]
fn the_card_is_locked_unlocked_and_terminated() {
    let mut card = insert(&uicc());
    select(&mut card, 0, &ISD);
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).unwrap();
    for (command, sw) in [
        (hex!("80F0800700"), [0x69, 0x85]),
        (hex!("80F0805500"), [0x6A, 0x86]),
        (hex!("80F0200F00"), [0x6A, 0x86]),
        (hex!("80F0807F00"), [0x90, 0x00]),
    ] {
        assert_eq!(host.sw(&mut card, &command), sw, "{command:02X?}");
    }
    assert_eq!(host.sw(&mut card, &hex!("80E2900003 420100")), [0x69, 0x85]);
    card.reset();
    assert_eq!(select(&mut card, 0, &USIM), hex!("6A82"));
    assert_eq!(select(&mut card, 0, &ISD), hex!("6283"));
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).unwrap();
    assert_eq!(host.sw(&mut card, &hex!("80F0800F00")), [0x90, 0x00]);
    assert_eq!(select(&mut card, 0, &USIM), hex!("9000"));
    assert_eq!(select(&mut card, 0, &ISD), hex!("9000"));
    let mut host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x01).unwrap();
    assert_eq!(host.sw(&mut card, &hex!("80F080FF00")), [0x90, 0x00]);
    assert_eq!(host.sw(&mut card, &hex!("80F0800F00")), [0x69, 0x85]);
    assert_eq!(select(&mut card, 0, &ISD), hex!("6A82"));
}

/// The empty name and those of all cards select it; a name of another application does not.
#[test]
fn the_issuer_s_domain_has_several_names() {
    let mut card = insert(&uicc());
    let fci = hex!("6F10 8408A000000151000000 A5049F6501FF 9000");
    let mut whole = hex!("00A4040000").to_vec();
    for name in [&ISD[..], &hex!("A000000003000000"), &hex!("A0000001510000"), &hex!("A0000000030000")] {
        whole[4] = u8::try_from(name.len()).unwrap();
        let answer = card.transmit(&[&whole[..], name].concat());
        let answer = if answer[0] == 0x61 || answer[0] == 0x6C {
            card.transmit(&[0x00, 0xC0, 0x00, 0x00, answer[1]])
        } else {
            answer
        };
        assert_eq!(answer, fci, "{name:02X?}");
        assert!(card.transmit(&hex!("80CA00D303")).starts_with(&hex!("D301")), "{name:02X?}");
        assert_eq!(select(&mut card, 0, &USIM), hex!("9000"));
    }
    // What is answered 6CXX has not been done.
    assert_eq!(select(&mut card, 0, &USIM), hex!("9000"));
    assert_eq!(card.transmit(&hex!("00A4040000")), hex!("6C12"));
    assert_eq!(card.transmit(&hex!("80CA00D303")), hex!("6D00"));
    assert_eq!(card.transmit(&hex!("00A4040012")), fci, "by no name");
    assert_eq!(select(&mut card, 0, &hex!("A000000003000001")), hex!("6A82"));
}

/// Cut before any of its writes, a command has not happened, or has whole; the session is gone either way, the keys are not.
#[test]
fn power_cuts_leave_it_before_or_after() {
    type Act = fn(&mut Host, &mut Card) -> [u8; 2];
    let acts: [Act; 7] = [
        |host, card| host.put_key(card, 0, 0x31, Kind::Aes, &[0x66; 16]).1,
        |host, card| host.put_key(card, 0x30, 0x32, Kind::Aes, &[0x66; 32]).1,
        |host, card| {
            host.sw(card, &hex!("80E60C0021 07A0000001515350 08A000000151535041 09A00000015153504101 0180 0000"))
        },
        |host, card| host.sw(card, &hex!("80E4000003 D20120")),
        |host, card| host.sw(card, &hex!("80E4000009 4F07A0000000871002")),
        |host, card| host.sw(card, &hex!("80F0807F00")),
        |host, card| host.sw(card, &hex!("80E290000A 4204CAFEBABE4502AABB")),
    ];
    for (number, act) in acts.into_iter().enumerate() {
        let opened = |left: Option<usize>| {
            let memory = uicc();
            // The keys are where they belong, and the counters as after a session.
            drop(insert(&memory));
            let mut card = insert_with(&memory, left);
            select(&mut card, 0, &ISD);
            let host = Host::open(&mut card, 0, 0x30, &test_keys(), 0x01);
            (memory, card, host)
        };
        let (memory, mut card, host) = opened(None);
        let before = memory.lock().unwrap().clone();
        assert_eq!(act(&mut host.unwrap(), &mut card), [0x90, 0x00], "{number}");
        let after = memory.lock().unwrap().clone();
        assert_ne!(before, after, "{number}");
        let mut survived = 0;
        for left in 0..10 {
            let (memory, mut card, host) = opened(Some(left));
            let Ok(mut host) = host else {
                // Before that, the handshake itself: a number of it is spent, or not.
                let mut card = insert(&memory);
                select(&mut card, 0, &ISD);
                assert!(Host::open(&mut card, 0, 0x30, &test_keys(), 0x33).is_ok(), "{number} {left}");
                continue;
            };
            let sw = act(&mut host, &mut card);
            let now = memory.lock().unwrap().clone();
            assert_eq!(now == after, sw == [0x90, 0x00], "{number} {left} {sw:02X?}");
            assert!(now == before || now == after, "{number} {left}");
            if sw != [0x90, 0x00] {
                assert_eq!(sw, [0x65, 0x81]);
            }
            survived += usize::from(now == after);
            let mut card = insert(&memory);
            assert!(matches!(select(&mut card, 0, &ISD)[..], [0x90, 0x00] | [0x62, 0x83]));
        }
        assert!(survived > 0, "{number}");
    }
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// Commands as they should be, broken at one to four places.
fn broken(commands: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut command = commands[dice.roll(commands.len())].clone();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(command.len());
        match dice.roll(6) {
            0 => command.truncate(at.max(4)),
            1 => command.insert(at, 0xFF),
            2 if command.len() > 5 => drop(command.remove(at)),
            3 => command[at] = [0x00, 0x01, 0x7F, 0x80, 0xFF, 0x4F][dice.roll(6)],
            4 => command.extend_from_within(at..),
            _ => command[at] ^= 1 << dice.roll(8),
        }
    }
    command.truncate(255);
    command
}

/// Broken commands, all in all; cards, each of which endures its part of them.
const BROKEN: usize = 60_000;
const CARDS: usize = 60;

/// Broken commands, most of them within a session, so that they come as far as the handlers: no panic, every refusal leaves memory
/// as it was, and the card goes on.
#[test]
fn broken_commands_break_nothing() {
    let commands: Vec<Vec<u8>> = [
        "80F28002024F00",
        "80F240020C4F005C084F9F70C5C4CECC84",
        "80F21000024F00",
        "80CA006600",
        "80CAFF2100",
        "80E60C002107A000000151535008A00000015153504109A0000001515350410101800000",
        "80E60800100000 09A00000015153504101000000",
        "80E610001709A000000151535041010007A0000000871002000000",
        "80E64000170009A00000015153504101018000000000",
        "80E6200010000009A00000015153504101000000",
        "80E400000B4F09A00000015153504101",
        "80E4000006D00101D20131",
        "80E2900007420301020345024142",
        "80E28800060070034201AA",
        "80E288001200B90FB90F950138800188810110820101830131",
        "80F0408009A00000015153504101",
        "80F0400709A00000015153504101",
        "80F0C08009A00000015153504101",
        "80E68000030102FF",
        "80500000080102030405060708",
        "84820100100102030405060708090A0B0C0D0E0F10",
    ]
    .iter()
    .map(|line| hex::decode(line.replace(' ', "")).unwrap())
    .collect();
    for number in 0..CARDS {
        let memory = uicc();
        let mut card = insert(&memory);
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ u64::try_from(number).unwrap() << 7);
        let mut host = None;
        for _ in 0..BROKEN / CARDS {
            if host.is_none() || dice.roll(50) == 0 {
                select(&mut card, 0, &ISD);
                let level = [0x00, 0x00, 0x00, 0x33][dice.roll(4)];
                host = Host::open(&mut card, 0, 0x30, &test_keys(), level).ok();
            }
            let mut command = broken(&commands, &mut dice);
            if dice.roll(20) == 0
                && let Some(host) = &host
            {
                let block = host.key_block(Kind::Aes, &[0x12; 16]);
                command = broken(&[apdu([0x80, 0xD8, 0, 1], &[&[0x31][..], &block].concat())], &mut dice);
            }
            let before = memory.lock().unwrap().clone();
            let sw = match &mut host {
                Some(host) if host.session.level().0 != 0 && dice.roll(8) != 0 => {
                    let header = *command.first_chunk().unwrap();
                    let data = command.get(5..command.len().min(220)).unwrap_or_default();
                    let wrapped = host.session.wrap(header, data);
                    card.transmit(&apdu(Host::class(0, header), &wrapped.data))
                }
                _ => card.transmit(&command),
            };
            let sw: [u8; 2] = *sw.last_chunk().unwrap();
            // What ends a session, a try or a command of the operating system is another matter.
            if sw == [0x69, 0x82] || sw == [0x63, 0x00] {
                host = None;
            } else if matches!(sw[0], 0x64 | 0x67..=0x6F | 0x94) {
                assert_eq!(*memory.lock().unwrap(), before, "{command:02X?} {sw:02X?}");
            }
        }
        card.reset();
        let sw = select(&mut card, 0, &ISD);
        // A broken SET STATUS may well have locked the card, or terminated it.
        assert!(matches!(sw[..], [0x90, 0x00] | [0x62, 0x83] | [0x6A, 0x82]), "{sw:02X?}");
    }
}
