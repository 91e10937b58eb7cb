//! Valid dialogues with a [`Specimen`], recorded: what the robustness test and the fuzzers start from.

use card_os::Card;
use crypto::aka::{Aka, Sqn};
use crypto::milenage::Milenage;
use hex_literal::hex;
use identities::Iccid;
use rsp::es8::{BoundProfilePackage, StoreMetadataRequest};
use rsp::es10b::{
    AuthenticateResponseOk, AuthenticateServerRequest, AuthenticateServerResponse, CtxParams1,
    CtxParamsForCommonAuthentication, DeviceCapabilities, DeviceInfo, Octet16, PrepareDownloadRequest,
    PrepareDownloadResponse, ServerSigned1, SmdpSigned2,
};
use rsp::metadata::{NotificationConfigurationInformation, NotificationEvent, ProfileClass};
use rsp::{OneTimePublicKey, Raw, TransactionId};
use smdp::bind::{Binding, ProfileProtection};
use smdp::identity::Identity;

use crate::host::store_data;
use crate::specimen::{ICCIDS, K, OPC, Specimen, package};

/// Commands that make sense in this order, right after a reset.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// What it is about.
    pub name: &'static str,
    /// How many commands at the start prepare the ground: channel and selection.
    pub opening: usize,
    /// The commands.
    pub commands: Vec<Vec<u8>>,
}

/// All dialogues. Each is answered as meant by a card fresh from the factory.
///
/// # Panics
/// If the card does not play its part.
pub fn all(specimen: &Specimen) -> Vec<Dialogue> {
    vec![
        plain("files", 1, FILES),
        plain("file administration", 1, ADMINISTRATION),
        plain("PINs", 1, PINS),
        plain("channels", 0, CHANNELS),
        plain("security domain", 1, SECURITY_DOMAIN),
        plain("toolkit", 3, TOOLKIT),
        plain(ACCESS_RULES, 1, RULES),
        plain(SIM, 2, SIM_FILES),
        plain(SIM, 1, SIM_CODES),
        authentication(),
        es10(specimen, "ES10 enquiries", 120, ENQUIRIES),
        es10(specimen, "ES10 in small blocks", 5, ENQUIRIES),
        es10(specimen, "ES10 unknown", 255, UNKNOWN),
        es10(specimen, "ES10 profile management", 255, MANAGEMENT),
        download(specimen, 255),
        download(specimen, 120),
    ]
}

/// Names of the dialogues with the access rule application, and of those in class `A0`.
pub const ACCESS_RULES: &str = "access rules";
/// See [`ACCESS_RULES`].
pub const SIM: &str = "SIM";

/// The complete ES10 requests among them, to be broken one by one.
pub fn es10_requests() -> Vec<Vec<u8>> {
    ENQUIRIES.iter().chain(MANAGEMENT).map(|line| bytes(line)).collect()
}

/// TS 102 222, and what ends a session for a while.
const ADMINISTRATION: &[&str] = &[
    "0020000A08 3838383838383838",
    "00E0000022 6220 82027821 83025F30 8A0105 AB0A80017F90008401D49000 81020100 C606900180830101",
    "00E0000020 621E 82024121 83024F01 8A0105 AB0A80017F90008401D49000 80020010 880108",
    "00D6000004 01020304",
    "00E0000021 621F 820442210004 83024F02 8A0103 AB0A80017F90008401D49000 80020010 8800",
    "00DC010404 01020304",
    "00E0000026 6224 82027921 83024F03 A508 85020010 86020040 8A0105 AB0A80017F90008401D49000 8800",
    "80DB008006 8004 01020304",
    "80D400000A 6208 83024F01 80020020",
    "80D400000F 620D 83024F02 80020020 A503C10155",
    "80D401000C 620A 83024F03 A50486020020",
    "0004000002 4F01",
    "0044000000",
    "00E8000002 4F02",
    "00E4000002 4F02",
    "80D400000A 6208 83025F30 81020140",
    "00E000001E 621C 82027821 83025F31 8A0105 AB0A80017F90008401D49000 C603900100",
    "00E6000002 5F31",
    "00E4000000",
    "00A4080C02 5F30",
    "00E4000000",
    "00E0000022 6220 82027821 83027FD9 8406A00000009901 8A0105 AB0A80017F90008401D49000",
    "00A4040C06 A00000009901",
    "00A4000C02 3F00",
    "00E4000002 7FD9",
    "807A000003 800101",
    "8076000004 010A 0201",
    "8076010008 0102030405060708",
];

const FILES: &[&str] = &[
    "00A4040C10 A0000000871002FFFFFFFF8907010000",
    "00A40004023F00",
    "00C0000020",
    "00A40004022F00",
    "00B201041A",
    "00A20104 05 4F10A00000",
    "00A4000C022FE2",
    "00B000000A",
    "00A4080C022F05",
    "00B0850002",
    "00A4040410A0000000871002FFFFFFFF8907010000",
    "80F2000000",
    "80F2000100",
    "00A4000C026F07",
    "00B0000009",
    "00B0870009",
    "00A4000C026F38",
    "00B0000011",
    "00A4000C026F7E",
    "00D6000B00",
    "0020000A083838383838383838",
    "00D600000BFFFFFFFF00F1100000FF01",
    "00A4000C026F3C",
    "00B20104B0",
    "00A4000C026F3B",
    "00B2010200",
    "00B2000300",
    "00A2010404FFFFFFFF",
    "00A2010607 0800 FFFFFFFFFF",
    "00A4080C047FFF6F40",
    "00B2010400",
    "00A4080C047FFF6FAD",
    "00B0000004",
    "00040000",
    "00B0000004",
    "00440000",
    "00A4090C025FC0",
    "00A4000C024F07",
    "00A4010C025F3B",
    "00A4030C",
    "00A4000C023F00",
    "00A4080C067F105F3A4F30",
    "00B2010400",
    "80320000 03 000001",
    "80CB008001 80",
    "80DB0080 05 8003010203",
];

const RULES: &[&str] = &[
    "00A4040009A00000015141434C00",
    "80CADF2000",
    "80CADF2107E405E60301010000",
    "80CAFF4000",
    "80E2900036 F034E232E11E4F06FFFFFFFFFFAAC114AA6872787654334567840DE535C2BBD5A04F0BAAE310D00100D10100DB080000000000000004",
    "80E290003F F03DE23BE1184F00C114A1234567890123BB1F140DE987AAA891BBBF0BDDE31FD010AABBCCDD010203041122334405060708D10100DB080000000000000004",
    "80E2900015 F013E211E107 4F05A000000001 E306 D00101 D10101",
    "80E2100011 F01CE21AE1094F05A000000002C100E30D",
    "80E290010D D008AABBCCDD01020304D10101",
    "80CAFF5009 E107 4F05A000000001 00",
    "80CAFF4000",
    "80CAFF4040",
    "80CAFF6000",
    "80E2910002 F400 00",
    "80E2910002 F500 00",
    "80E2910004 F3024F00 00",
    "80E2900009 F7074F05A000000001",
    "80E2910002 F600 00",
    "80E2910002 F800 00",
    "80E2900002 F200",
    "80E2900009 F1074F05A000000001",
    "80E2900002 F100",
    "80CAFF4000",
    "00A4040C0CA000000063504B43532D3135",
    "00A4000C024300",
    "00B0000000",
    "00A4000C024310",
    "00B0000000",
    "00A4040E05A000000063",
    "80F2000100",
];

const SIM_FILES: &[&str] = &[
    "A0A40000023F00",
    "A0A40000027F20",
    "A0C0000017",
    "A0F2000016",
    "A0A40000026F07",
    "A0C000000F",
    "A0B0000009",
    "A088000010 23553CBE9637A89D218AE64DAE47BF35",
    "A0C000000C",
    "A0A40000026F7E",
    "A0D600000B FFFFFFFF00F1100000FF01",
    "A0040000",
    "A0B0000001",
    "A0440000",
    "A0A40000027F10",
    "A0A40000026F3A",
    "A0DC01041C 4265727461FFFFFFFFFFFFFFFFFF07915155214365F7FFFFFFFFFFFF",
    "A0B201041C",
    "A0B2000204",
    "A0A2000002 FFFF",
    "A0A2001102 FFFF",
    "A0C0000001",
    "A0A40000026F44",
    "A0DC00031C 4265727461FFFFFFFFFFFFFFFFFF07915155214365F7FFFFFFFFFFFF",
    "A0B201041C",
    "A032000003 000001",
    "A0FA000000",
    "A0100000 09 FFFFFFFFFFFFFFFFFF",
    "A0C2000009 D30782020181900102",
    "A012000010",
    "A01400000C 810301030082028281830100",
    "A0A40000022FE2",
    "00B000000A",
];

const SIM_CODES: &[&str] = &[
    "A0A40000023F00",
    "A028000108 30303030FFFFFFFF",
    "A020000108 30303030FFFFFFFF",
    "A020000208 31313131FFFFFFFF",
    "A020000208 30303030FFFFFFFF",
    "A024000110 30303030FFFFFFFF 31323334FFFFFFFF",
    "A026000108 31323334FFFFFFFF",
    "A028000108 31323334FFFFFFFF",
    "A020000108 39393939FFFFFFFF",
    "A02C000010 3132333435363738 30303030FFFFFFFF",
    "A02C000210 3132333435363738 30303030FFFFFFFF",
    "A0F2000017",
    "00A4040C10 A0000000871002FFFFFFFF8907010000",
    "A0B0000001",
    "A0A40000027F20",
    "A088000010 23553CBE9637A89D218AE64DAE47BF35",
];

const PINS: &[&str] = &[
    "00A4040C10A0000000871002FFFFFFFF8907010000",
    "0028000108 30303030FFFFFFFF",
    "00200001",
    "0020000108 30303030FFFFFFFF",
    "0020008108 31313131FFFFFFFF",
    "0020008108 30303030FFFFFFFF",
    "0024000110 30303030FFFFFFFF 31323334FFFFFFFF",
    "0026000108 31323334FFFFFFFF",
    "0028000108 31323334FFFFFFFF",
    "0020000108 39393939FFFFFFFF",
    "0020000108 39393939FFFFFFFF",
    "0020000108 31323334FFFFFFFF",
    "002C0001",
    "002C000110 3132333435363738 30303030FFFFFFFF",
    "0020000A08 3838383838383838",
    "0020001108 30303030FFFFFFFF",
    "0026800108 30303030FFFFFFFF",
];

const CHANNELS: &[&str] = &[
    "0070000001",
    "0070000001",
    "0070000001",
    "0070000001",
    "00700005",
    "01A4040C10A0000000871002FFFFFFFF8907010000",
    "02A4040410A0000005591010FFFFFFFF8900000100",
    "02C0000021",
    "03A40004022FE2",
    "40A4040C10A0000000871004FFFFFFFF8907010000",
    "41A4000C023F00",
    "0170000001",
    "01A4040C10A0000005591010FFFFFFFF8900000200",
    "01CA005A12",
    "01A4044C10A0000005591010FFFFFFFF8900000200",
    "00708001",
    "01B0000001",
    "00708002",
    "00708004",
    "0070801300",
    "0084000008",
];

const SECURITY_DOMAIN: &[&str] = &[
    "00A4040C08A000000151000000",
    "80CA006600",
    "80CA00E000",
    "80F28002024F0000",
    "80F24002024F0000",
    "80F22002024F0000",
    "80F21002024F0000",
    "80F24003024F0000",
    "8050000008 0102030405060708 00",
    "84820000 10 00112233445566778899AABBCCDDEEFF",
    "80E6020007 00000000000000",
    "80E2900003 010203",
];

const TOOLKIT: &[&str] = &[
    "8010000020 FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    "80AA00000AA9088100820101830107",
    "00A4040C10A0000005591010FFFFFFFF8900000100",
    "80E2910014 BF3111A00C5A0A988812010000000000828101FF",
    "80C0000006",
    "801200000B",
    "801400000C 810301010402028281030100",
    "00A4000C022FE2",
    "80F2000C00",
    "80E2910014 BF3211A00C5A0A988812010000000000828101FF",
    "80C0000006",
    "801200000B",
    "801400000C 810301010402028281030120",
    "80C2000009 D607820283811B0100",
    "80C200000B D1098202838106028001 00",
];

const ENQUIRIES: &[&str] = &[
    "BF2E00",
    "BF2000",
    "BF2200",
    "BF3C00",
    "BF3E035C015A",
    "BF2D00",
    "BF2D0C 5C0A5A4F9F70909192959999",
    "BF2D14 A00C5A0A98881201000000000001 5C045A909F70",
    "BF2D05 A003950102",
    "BF2800",
    "BF2804 81020410",
    "BF2B00",
    "BF2B05 A003800100",
    "BF4300",
    "BF4106 800101 810100",
    "BF3003 800101",
];

/// LoadCRL, a function of SGP.32, and a tag of nobody: this card has no such functions.
const UNKNOWN: &[&str] = &["BF35020500", "BF5600", "BF7F00"];

const MANAGEMENT: &[&str] = &[
    "BF2912 5A0A98881201000000000001 9004576F726B",
    "BF2916 5A0A98881201000000000082 9008 4FC3A96C6120C3A9",
    "BF3F0D 800B 736D64702E6C6F63616C30",
    "BF3111 A00C5A0A98881201000000000082 810100",
    "BF2D00",
    "BF3211 A00C5A0A98881201000000000082 810100",
    "BF3117 A0124F10A0000005591010FFFFFFFF8900001000 810100",
    "BF330C 5A0A98881201000000000082",
    "BF2D00",
    "BF2B00",
    "BF3404 82020520",
    "BF3404 82020780",
    "BF2D00",
    "BF3F02 8000",
];

/// Lines of hexadecimal, spaces free.
fn plain(name: &'static str, opening: usize, lines: &[&str]) -> Dialogue {
    Dialogue { name, opening, commands: lines.iter().map(|line| bytes(line)).collect() }
}

fn bytes(line: &str) -> Vec<u8> {
    let digits: String = line.chars().filter(|character| !character.is_whitespace()).collect();
    hex::decode(&digits).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// USIM and ISIM: challenges in sequence, one again, one of a stranger, GSM, GET IDENTITY.
fn authentication() -> Dialogue {
    let milenage = Milenage::new(&K, &OPC);
    let challenge = |seq: u64| {
        let vector = milenage.generate_vector(&[seq.to_be_bytes()[7]; 16], Sqn::new(seq, 0), [0x80, 0]);
        [&[0x10][..], &vector.rand, &[0x10], &vector.autn].concat()
    };
    let authenticate = |p2: u8, data: &[u8]| {
        [&[0x00, 0x88, 0x00, p2, u8::try_from(data.len()).expect("a short command")][..], data].concat()
    };
    let mut commands = vec![
        bytes("00A4040C10A0000000871002FFFFFFFF8907010000"),
        authenticate(0x81, &challenge(1)),
        bytes("00C0000035"),
        authenticate(0x81, &challenge(2)),
        bytes("00C0000035"),
        authenticate(0x81, &challenge(2)),
        bytes("00C0000010"),
        authenticate(0x81, &[&[0x10][..], &[7; 16], &[0x10], &[8; 16]].concat()),
        authenticate(0x80, &[&[0x10][..], &[7; 16]].concat()),
        bytes("00C000000E"),
        bytes("8078000100"),
        bytes("8078000200"),
    ];
    commands.push(bytes("00A4040C10A0000000871004FFFFFFFF8907010000"));
    commands.push(authenticate(0x81, &challenge(3)));
    Dialogue { name: "authentication", opening: 1, commands }
}

/// A card whose commands are written down.
struct Recorder {
    card: Card,
    block: usize,
    commands: Vec<Vec<u8>>,
}

impl Recorder {
    /// Opens channel 1 and selects ISD-R, as an LPA does.
    fn new(specimen: &Specimen, block: usize) -> Self {
        let mut card = specimen.card();
        card.reset();
        let mut recorder = Self { card, block, commands: Vec::new() };
        recorder.send(hex!("80AA00000AA9088100820101830107").to_vec());
        recorder.send(hex!("0070000001").to_vec());
        recorder.send([&hex!("01A4040C10")[..], &rsp::ids::AID_ISD_R].concat());
        recorder
    }

    fn send(&mut self, command: Vec<u8>) -> Vec<u8> {
        let answer = self.card.transmit(&command);
        self.commands.push(command);
        answer
    }

    /// One ES10 request: STORE DATA in blocks, GET RESPONSE.
    fn es10(&mut self, request: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        for command in store_data(0x81, request, self.block) {
            answer = self.send(command);
        }
        let mut data = Vec::new();
        loop {
            let (part, sw) = answer.split_last_chunk::<2>().expect("a status word");
            data.extend_from_slice(part);
            let [0x61, more] = *sw else { return data };
            answer = self.send(vec![0x81, 0xC0, 0, 0, more]);
        }
    }

    fn finish(self, name: &'static str) -> Dialogue {
        Dialogue { name, opening: 3, commands: self.commands }
    }
}

fn es10(specimen: &Specimen, name: &'static str, block: usize, requests: &[&str]) -> Dialogue {
    let mut recorder = Recorder::new(specimen, block);
    for request in requests {
        recorder.es10(&bytes(request));
    }
    recorder.finish(name)
}

/// A profile from an SM-DP+ onto the card, and its notification.
fn download(specimen: &Specimen, block: usize) -> Dialogue {
    let (mut recorder, otpk) = prepared(specimen, block);
    for piece in package_pieces(specimen, &otpk) {
        recorder.es10(&piece);
    }
    let list = recorder.es10(&hex!("BF2B00"));
    assert!(list.len() > 100, "the result of the installation: {list:02X?}");
    recorder.es10(&hex!("BF3003800101"));
    recorder.es10(&hex!("BF2D00"));
    recorder.finish("download")
}

/// The commands after which the card waits for a bound profile package, and the ES10 requests that bring it.
pub fn download_in_two_parts(specimen: &Specimen) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (recorder, otpk) = prepared(specimen, 255);
    (recorder.commands, package_pieces(specimen, &otpk))
}

/// The pieces of that package as a card takes them that checks no MAC and deciphers nothing, as under a fuzzer.
///
/// # Panics
/// If the download before it fails.
pub fn unprotected_pieces(specimen: &Specimen) -> Vec<Vec<u8>> {
    let (_, otpk) = prepared(specimen, 255);
    let bound = bind(specimen, &otpk);
    let channel =
        BoundProfilePackage::parse(&bound).expect("a bound profile package").initialise_secure_channel_request;
    let metadata = rsp::encode(&metadata()).expect("metadata");
    let parts = [part(0xA0, 0x87, &hex!("BF2400")), part(0xA1, 0x88, &metadata), part(0xA3, 0x86, &package(ICCIDS[2]))];
    pieces(&tlv(&[0xBF, 0x36], &[channel, &parts.concat()].concat()))
}

/// A part of a package: its container, and what it carries in segments that look as if they had a MAC.
fn part(container: u8, segment: u8, content: &[u8]) -> Vec<u8> {
    let segments = content.chunks(1007).map(|content| tlv(&[segment], &[content, &[0; 8]].concat()));
    tlv(&[container], &segments.collect::<Vec<_>>().concat())
}

fn tlv(tag: &[u8], value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short value").to_be_bytes();
    match value.len() {
        0..0x80 => [tag, &length[1..], value].concat(),
        0x80..0x100 => [tag, &[0x81], &length[1..], value].concat(),
        _ => [tag, &[0x82], &length, value].concat(),
    }
}

/// A card that waits for a bound profile package, and its one-time key.
fn prepared(specimen: &Specimen, block: usize) -> (Recorder, OneTimePublicKey) {
    let mut recorder = Recorder::new(specimen, block);
    let challenge = recorder.es10(&hex!("BF2E00"));
    let challenge: [u8; 16] = challenge.last_chunk().copied().expect("a challenge");
    let identity = Identity::from_pki(&specimen.pki).expect("an SM-DP+");
    let authenticated = authenticate(&mut recorder, &identity, challenge);
    let otpk = prepare(&mut recorder, &identity, &authenticated);
    (recorder, otpk)
}

/// The transaction every download has.
fn transaction_id() -> TransactionId {
    vec![0xAB; 16].into()
}

fn package_pieces(specimen: &Specimen, otpk: &OneTimePublicKey) -> Vec<Vec<u8>> {
    pieces(&bind(specimen, otpk))
}

fn bind(specimen: &Specimen, otpk: &OneTimePublicKey) -> Vec<u8> {
    let identity = Identity::from_pki(&specimen.pki).expect("an SM-DP+");
    let mut octet = 0_u8;
    Binding {
        transaction_id: &transaction_id(),
        eid: &specimen.eid,
        euicc_otpk: otpk,
        host_id: b"specimen",
        metadata: &metadata(),
        package: &package(ICCIDS[2]),
        protection: ProfileProtection::RandomKeys,
    }
    .bind(identity.dp_pb(), &crypto::provider::Deterministic, &mut |out: &mut [u8]| {
        for value in out {
            octet = octet.wrapping_mul(5).wrapping_add(113);
            *value = octet;
        }
    })
    .expect("a bound profile package")
}

fn authenticate(recorder: &mut Recorder, identity: &Identity, challenge: [u8; 16]) -> AuthenticateResponseOk {
    let signed = Raw::encode(&ServerSigned1 {
        transaction_id: transaction_id(),
        euicc_challenge: Octet16::new(challenge),
        server_address: "smdp.example".into(),
        server_challenge: Octet16::new([0x5C; 16]),
    });
    let signed = signed.expect("what the server signs");
    let device_info = DeviceInfo {
        tac: [0x35, 0x29, 0x06, 0x11].into(),
        device_capabilities: DeviceCapabilities::default(),
        imei: None,
    };
    let parameters = CtxParams1::CtxParamsForCommonAuthentication(CtxParamsForCommonAuthentication {
        matching_id: Some("SPECIMEN".into()),
        device_info,
    });
    let request = AuthenticateServerRequest {
        server_signature1: identity.dp_auth().sign(signed.octets()),
        server_signed1: signed,
        euicc_ci_pk_id_to_be_used: identity.ci().clone(),
        server_certificate: identity.dp_auth().certificate().clone(),
        ctx_params1: Raw::encode(&parameters).expect("what the LPA adds"),
    };
    let response = recorder.es10(&rsp::encode(&request).expect("AuthenticateServer"));
    match rsp::decode(&response).expect("a response to AuthenticateServer") {
        AuthenticateServerResponse::AuthenticateResponseOk(ok) => ok,
        AuthenticateServerResponse::AuthenticateResponseError(error) => panic!("{error:?}"),
    }
}

fn prepare(recorder: &mut Recorder, identity: &Identity, authenticated: &AuthenticateResponseOk) -> OneTimePublicKey {
    let signed =
        Raw::encode(&SmdpSigned2 { transaction_id: transaction_id(), cc_required_flag: false, bpp_euicc_otpk: None });
    let signed = signed.expect("what the server signs");
    let input = [signed.octets(), &authenticated.euicc_signature1.tlv()].concat();
    let request = PrepareDownloadRequest {
        smdp_signature2: identity.dp_pb().sign(&input),
        smdp_signed2: signed,
        hash_cc: None,
        smdp_certificate: identity.dp_pb().certificate().clone(),
    };
    let response = recorder.es10(&rsp::encode(&request).expect("PrepareDownload"));
    match rsp::decode(&response).expect("a response to PrepareDownload") {
        PrepareDownloadResponse::DownloadResponseOk(ok) => ok.euicc_signed2.decode().expect("euiccSigned2").euicc_otpk,
        PrepareDownloadResponse::DownloadResponseError(error) => panic!("{error:?}"),
    }
}

fn metadata() -> StoreMetadataRequest {
    StoreMetadataRequest {
        iccid: ICCIDS[2].parse::<Iccid>().expect("an ICCID"),
        service_provider_name: "vuicc".into(),
        profile_name: "Specimen".into(),
        icon_type: None,
        icon: None,
        profile_class: ProfileClass::OPERATIONAL,
        notification_configuration_info: Some(vec![NotificationConfigurationInformation {
            profile_management_operation: NotificationEvent::INSTALL | NotificationEvent::DELETE,
            notification_address: "smdp.example".into(),
        }]),
        profile_owner: None,
        profile_policy_rules: None,
    }
}

/// The cuts of SGP.22 §2.5.5.
fn pieces(package: &[u8]) -> Vec<Vec<u8>> {
    let parts = BoundProfilePackage::parse(package).expect("a bound profile package");
    let mut pieces = vec![[parts.header, parts.initialise_secure_channel_request].concat()];
    pieces.push(parts.first_sequence_of_87.octets.to_vec());
    pieces.push(parts.sequence_of_88.header.to_vec());
    pieces.extend(parts.sequence_of_88.segments.iter().map(|segment| segment.to_vec()));
    pieces.extend(parts.second_sequence_of_87.iter().map(|part| part.octets.to_vec()));
    pieces.push(parts.sequence_of_86.header.to_vec());
    pieces.extend(parts.sequence_of_86.segments.iter().map(|segment| segment.to_vec()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_commands_succeed() {
        let specimen = Specimen::new();
        for dialogue in all(&specimen) {
            let mut card = specimen.card();
            card.reset();
            let answers: Vec<_> = dialogue.commands.iter().map(|command| card.transmit(command)).collect();
            let fine = answers
                .iter()
                .filter(|answer| matches!(answer[answer.len() - 2], 0x61..=0x63 | 0x90 | 0x91 | 0x98 | 0x6C))
                .count();
            assert!(fine * 10 >= answers.len() * 4, "{}: {fine} of {}: {answers:02X?}", dialogue.name, answers.len());
        }
    }
}
