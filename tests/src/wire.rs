//! What comes over the wire to the operator and to a phone, recordings and scripts of others: each way in, and octets that
//! are right there.
//!
//! Included by the fuzzers and by `tests/tests/robustness.rs`; no part of the library, which does not know the operator.

use core::pin::pin;
use core::task::{Context, Poll, Waker};

use aaa::eap::{Server, Session, Settings, Step, StepInput};
use aaa::radius::Secret;
use aaa::radius::packet::Packet as RadiusPacket;
use apdu::transport::{Transport, TransportError};
use capture::{Event, What};
use device::eap::{Peer, Reply, identity};
use device::entitlement::{App, Document as DeviceDocument};
use device::usim::{Authenticator, GsmAnswer, UmtsAnswer, UsimError};
use entitlement::document::{Characteristic, Document, Format, Token};
use entitlement::request::{Call, Parameters};
use hex_literal::hex;
use identities::Imsi;
use network_base::vector::{AkaVector, Triplet, VectorError, VectorSource};
use reader_bridge::script::{Included, Outcome, Run, Script, Scriptor, Variables, is_scriptor};
use sms::{Deliver, Record, Submit, UserData};
use smsc::smpp::body::{Address, Bind, INTERFACE_VERSION, Query, ShortMessage, read_submitted};
use smsc::smpp::content;
use smsc::smpp::pdu::{Command, Pdu};

/// A way in: its name, what reads octets there, and octets that are right. Reading says whether they were.
pub(crate) struct Entrance {
    pub(crate) name: &'static str,
    pub(crate) read: fn(&[u8]) -> bool,
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
}

pub(crate) const TS43_REQUEST: Entrance = Entrance { name: "ts43_request", read: ts43_request, seeds: ts43_requests };
pub(crate) const TS43_DOCUMENT: Entrance =
    Entrance { name: "ts43_document", read: ts43_document, seeds: ts43_documents };
pub(crate) const EAP_SERVER: Entrance = Entrance { name: "eap_server", read: eap_server, seeds: eap_responses };
pub(crate) const EAP_PEER: Entrance = Entrance { name: "eap_peer", read: eap_peer, seeds: eap_requests };
pub(crate) const RADIUS: Entrance = Entrance { name: "radius", read: radius, seeds: radius_requests };
pub(crate) const SMPP: Entrance = Entrance { name: "smpp", read: smpp, seeds: smpp_pdus };
pub(crate) const SMS_TPDU: Entrance = Entrance { name: "sms_tpdu", read: sms_tpdu, seeds: sms_tpdus };
pub(crate) const SCRIPT: Entrance = Entrance { name: "script", read: script, seeds: scripts };
pub(crate) const SMS_RECORD: Entrance = Entrance { name: "sms_record", read: sms_record, seeds: sms_records };
pub(crate) const RECORDED_SESSION: Entrance = Entrance { name: "recorded_session", read: recording, seeds: recordings };

/// All of them.
pub(crate) const ENTRANCES: [Entrance; 10] =
    [TS43_REQUEST, TS43_DOCUMENT, EAP_SERVER, EAP_PEER, RADIUS, SMPP, SMS_TPDU, SMS_RECORD, RECORDED_SESSION, SCRIPT];

const IMSI: &str = "001010000000001";
const EID: &str = "89049032000001000000000012345652";
const ICCID: &str = "8981100000000000010";

// APDU scripts, and files of scriptor.

/// A card whose response is the command's own data, then `9000`.
struct Echo;

impl Transport for Echo {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(vec![0x3B, 0x00])
    }
    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.reset()
    }
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        Ok([command.get(5..).unwrap_or_default(), &[0x90, 0x00]].concat())
    }
    fn atr(&self) -> &[u8] {
        &[0x3B, 0x00]
    }
}

fn script(octets: &[u8]) -> bool {
    let text = String::from_utf8_lossy(octets);
    let read = if is_scriptor(&text) {
        Scriptor::parse("x", &text).and_then(|scriptor| scriptor.script())
    } else {
        Script::parse("x", &text, &mut |_, path| match path {
            "open-isd-r.apdu" => Ok(Included { name: path.into(), text: "reset\n> 00A40400\n".into() }),
            _ => Err("there is none".into()),
        })
    };
    let script = match read {
        Ok(script) => script,
        Err(error) => {
            assert!(error.line > 0 && error.column > 0 && !error.problem.is_empty());
            let _ = error.excerpt();
            return false;
        }
    };
    let mut run = Run::new(&script, Variables::new()).at_most(2_000);
    while let Ok(Some(done)) = run.step(&mut Echo) {
        let _ = (done.shown_command(), done.shown_response());
        if let Outcome::Differs(mismatch) = done.outcome {
            assert!(mismatch.nibble <= 2 * mismatch.received.len());
            let _ = mismatch.to_string();
        }
    }
    for line in 1..=10 {
        let _ = Run::new(&script, Variables::new()).start_at(line);
    }
    true
}

fn scripts() -> Vec<Vec<u8>> {
    const SCRIPTS: [&str; 7] = [
        include_str!("../../scripts/apdu/files-of-mf.apdu"),
        include_str!("../../scripts/apdu/profiles-each.apdu"),
        include_str!("../../scripts/apdu/read-iccid-imsi.apdu"),
        include_str!("../../scripts/apdu/status-words.apdu"),
        include_str!("../../scripts/apdu/usim-authenticate-xor.apdu"),
        include_str!("../../scripts/apdu/secrets/verify-pin.apdu"),
        include_str!("../../scripts/apdu/select.scriptor"),
    ];
    SCRIPTS.map(|script| script.as_bytes().to_vec()).into()
}

// TS.43: the query of a GET or the JSON of a POST.

fn ts43_request(octets: &[u8]) -> bool {
    let query = Parameters::of_query(&String::from_utf8_lossy(octets));
    let mut right = false;
    for parameters in [query, Parameters::of_json(octets)].into_iter().flatten() {
        match Call::read(parameters) {
            Ok(Call::Begin(request)) => {
                let _ = request.eid();
                right |= request.odsa().is_ok();
            }
            Ok(Call::EapPacket(_) | Call::OneTimeCode(_)) => right = true,
            Err(_) => {}
        }
    }
    right
}

fn ts43_requests() -> Vec<Vec<u8>> {
    let common = "app=ap2006&terminal_id=356938035643809&terminal_vendor=Acme&entitlement_version=12.0&vers=1";
    let operations = [
        "&EAP_ID=0001010000000001%40nai.epc.mnc001.mcc001.3gppnetwork.org&operation=CheckEligibility".to_owned(),
        format!("&token=t&operation=ManageSubscription&operation_type=0&companion_terminal_id=w&companion_terminal_eid={EID}"),
        format!("&token=t&operation=ManageService&operation_type=10&companion_terminal_service=SharedNumber&companion_terminal_iccid={ICCID}&x_call_delivery=MAH&x_hunt_order={IMSI},{ICCID}"),
        "&token=t&operation=ManageSubscription&operation_type=2&MSG_btn=1&MSG_response=000000&x_secondary_id_type=msisdn&x_secondary_id=81907654321".to_owned(),
        "&temporary_token=t&operation=AcquireConfiguration".to_owned(),
        "&msisdn=%2B81901234567&operation=AcquireTemporaryToken&operation_targets=ManageSubscription,AcquireConfiguration".to_owned(),
    ];
    let queries = operations.iter().map(|operation| format!("{common}{operation}").into_bytes());
    let json = [
        format!(
            r#"{{"app":["ap2006","ap2009"],"terminal_id":"x","entitlement_version":"9.0","IMSI":"{IMSI}","token":"t","operation":"AcquireConfiguration"}}"#
        ),
        format!(
            r#"{{"app":"[ap2009]","terminal_id":"x","entitlement_version":"9.0","operation":"ManageSubscription","operation_type":3,"terminal_eid":"{EID}"}}"#
        ),
        r#"{"eap-relay-packet":"AgEAKBcBAAADAwBApUIR1eO6UL8LBQAA+TNo8ErzartgfrvTarGPrA=="}"#.to_owned(),
        r#"{"OTP":"123456"}"#.to_owned(),
    ];
    queries.chain(json.map(String::into_bytes)).collect()
}

// TS.43: the document, as the phone reads it.

fn ts43_document(octets: &[u8]) -> bool {
    let text = String::from_utf8_lossy(octets);
    let formats = ["text/vnd.wap.connectivity-xml", "application/json"];
    formats.into_iter().filter(|format| DeviceDocument::parse(format, &text, "ap2006").is_ok()).count() > 0
}

fn ts43_documents() -> Vec<Vec<u8>> {
    let configuration = Characteristic::new().parm("ICCID", ICCID).parm("ServiceStatus", "1");
    let info = Characteristic::new().parm("ProfileActivationCode", "TFBBOjEkc21kcC5leGFtcGxlJE0=");
    let sections = [
        Characteristic::new().parm("OperationResult", "1").parm("CompanionAppEligibility", "1"),
        Characteristic::new().parm("SubscriptionResult", "2").characteristic("DownloadInfo", info),
        Characteristic::new().parm("OperationResult", "102").parm("GeneralErrorText", "<&\"時計\">"),
        Characteristic::new().list("CompanionConfigurations", "CompanionConfiguration", vec![configuration]),
    ];
    let document = |section: &Characteristic| Document {
        version: 1,
        validity: 500,
        token: Some(Token { token: "t".into(), validity: 500 }),
        applications: vec![(App::Companion.id().to_owned(), section.clone())],
    };
    let formats = [Format::Xml, Format::Json];
    let written = sections.iter().flat_map(|section| formats.map(|format| document(section).write(format)));
    written.map(String::into_bytes).collect()
}

// EAP, both ends: the same card and the same chance each time, so that right packets stay right.

/// A card and its authentication centre that know one challenge.
#[derive(Clone, Copy)]
struct OneChallenge;

const RES: [u8; 8] = hex!("a54211d5e3ba50bf");
const KEYS: [[u8; 16]; 2] = [hex!("b40ba9a3c58b2a05bbf0d987b21bf8cb"), hex!("f769bcd751044604127672711c6d3441")];

impl VectorSource for OneChallenge {
    async fn aka_vector(&self, _: &Imsi, _: bool) -> Result<AkaVector, VectorError> {
        let [ck, ik] = KEYS;
        Ok(AkaVector { rand: [7; 16], autn: [8; 16], xres: RES.to_vec(), ck, ik })
    }

    async fn sim_triplets(&self, _: &Imsi, count: usize) -> Result<Vec<Triplet>, VectorError> {
        let triplet = |number| Triplet { rand: [number; 16], sres: [1, 2, 3, number], kc: [number; 8] };
        Ok((0..u8::try_from(count).unwrap_or_default()).map(triplet).collect())
    }

    async fn resynchronise(&self, _: &Imsi, _: &[u8; 16], _: &[u8; 14]) -> Result<(), VectorError> {
        Err(VectorError::WrongAuts)
    }
}

impl Authenticator for OneChallenge {
    fn umts(&mut self, rand: &[u8; 16], autn: &[u8; 16]) -> Result<UmtsAnswer, UsimError> {
        let [ck, ik] = KEYS;
        Ok(match (rand, autn) {
            ([7, ..], [8, ..]) => UmtsAnswer::Keys { res: RES.to_vec(), ck, ik },
            ([7, ..], _) => UmtsAnswer::Resynchronise([9; 14]),
            _ => UmtsAnswer::WrongMac,
        })
    }

    fn gsm(&mut self, rand: &[u8; 16]) -> Result<GsmAnswer, UsimError> {
        let [number, ..] = *rand;
        Ok(GsmAnswer { sres: [1, 2, 3, number], kc: [number; 8] })
    }
}

/// What is done at once, done.
fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn same(octets: &mut [u8]) {
    octets.fill(5);
}

fn identities() -> [String; 3] {
    use device::eap::Method::{Aka, AkaPrime, Sim};
    let imsi: Option<Imsi> = IMSI.parse().ok();
    [Aka, AkaPrime, Sim].map(|method| imsi.as_ref().map(|imsi| identity(method, imsi, 2)).unwrap_or_default())
}

/// A conversation as it should be: who begins as whom, then packet and answer in turn.
struct Conversation {
    identity: String,
    packets: Vec<(Vec<u8>, Vec<u8>)>,
}

fn begun(server: &Server<OneChallenge>, identity: &str) -> Option<(Vec<u8>, Session)> {
    let mut given = StepInput { random: &mut same, now: 0 };
    match at_once(server.start(Some(identity.as_bytes()), 1, &mut given))? {
        Step::Request { packet, session } => Some((packet, session)),
        _ => None,
    }
}

fn conversations() -> Vec<Conversation> {
    let talk = |identity: String| {
        let server = Server::new(Settings::relay(), OneChallenge);
        let mut peer = Peer::new(&identity).ok()?;
        let (mut packet, mut session) = begun(&server, &identity)?;
        let mut packets = Vec::new();
        loop {
            let Ok(Reply::Send(answer)) = peer.handle(&packet, &mut OneChallenge, &mut same) else { return None };
            packets.push((packet, answer.clone()));
            let mut given = StepInput { random: &mut same, now: 0 };
            match at_once(server.respond(session, &answer, &mut given))? {
                Step::Request { packet: next, session: goes_on } => (packet, session) = (next, goes_on),
                Step::Success(_) => return Some(Conversation { identity, packets }),
                _ => return None,
            }
        }
    };
    identities().into_iter().filter_map(talk).collect()
}

/// A response, to each request of each method.
fn eap_server(octets: &[u8]) -> bool {
    let server = Server::new(Settings::relay(), OneChallenge);
    let mut right = false;
    for Conversation { identity, packets } in conversations() {
        let Some((_, mut session)) = begun(&server, &identity) else { continue };
        for (_, answer) in packets {
            let Some(kept) = session.to_octets() else { break };
            let again = || Session::from_octets(&kept);
            let (Some(one), Some(other)) = (again(), again()) else { break };
            let respond = |session, octets: &[u8]| {
                at_once(server.respond(session, octets, &mut StepInput { random: &mut same, now: 0 }))
            };
            right |= matches!(respond(one, octets), Some(Step::Request { .. } | Step::Success(_)));
            let Some(Step::Request { session: goes_on, .. }) = respond(other, &answer) else { break };
            session = goes_on;
        }
    }
    right
}

fn eap_responses() -> Vec<Vec<u8>> {
    conversations().into_iter().flat_map(|one| one.packets).map(|(_, answer)| answer).collect()
}

/// A request, to a peer of each method, at each point of its conversation.
fn eap_peer(octets: &[u8]) -> bool {
    let mut right = false;
    for Conversation { identity, packets } in conversations() {
        for before in 0..packets.len() {
            let Ok(mut peer) = Peer::new(&identity) else { continue };
            for (packet, _) in packets.iter().take(before) {
                let _ = peer.handle(packet, &mut OneChallenge, &mut same);
            }
            right |= matches!(peer.handle(octets, &mut OneChallenge, &mut same), Ok(Reply::Send(_)));
        }
    }
    right
}

fn eap_requests() -> Vec<Vec<u8>> {
    conversations().into_iter().flat_map(|one| one.packets).map(|(packet, _)| packet).collect()
}

// RADIUS.

fn radius(octets: &[u8]) -> bool {
    match RadiusPacket::parse_request(octets, &Secret::new("testing123")) {
        Ok(request) => {
            let eap = request.eap().unwrap_or_default();
            let answer = request.answer(request.code, &eap).sign(&Secret::new("testing123"));
            assert!(answer.len() >= 20);
            true
        }
        Err(_) => false,
    }
}

fn radius_requests() -> Vec<Vec<u8>> {
    SIGNED.iter().map(|packet| packet.to_vec()).collect()
}

/// Access-Requests signed with `testing123`: an identity, EAP-Start, an answer with State beside a proxy's, one in pieces.
const SIGNED: [&[u8]; 4] = [
    &hex!(
        "0101004a090909090909090909090909090909090112303030313031303030303030303030314f12020700100130303130313030303030305012894964033654c70dac9dd4c2f5a297a0"
    ),
    &hex!("01020028090909090909090909090909090909094f0250126ee2d1c27ab5c2b144a14620fa866904"),
    &hex!(
        "01030049090909090909090909090909090909091812000102030405060708090a0b0c0d0e0f210770726f78794f0a02080008170500005012090b3a08d475823076fc27120e2d2fe5"
    ),
    &hex!(
        "01040156090909090909090909090909090909094fff0209012c1701000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000004f31000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000050125f6413cbe3161cdf97025e1c9568a618"
    ),
];

// SMPP.

fn smpp(octets: &[u8]) -> bool {
    let mut received = octets.to_vec();
    let mut right = false;
    while let Ok(Some(pdu)) = Pdu::take(&mut received) {
        let _ = format!("{pdu:?}");
        let _ = Bind::decode(&pdu.body).map(|bind| bind.encode());
        let _ = Query::decode(&pdu.body).map(|query| query.encode());
        let _ = (Query::decode_cancel(&pdu.body).is_ok(), read_submitted(&pdu.body).is_ok());
        if let Ok(message) = ShortMessage::decode(&pdu.body) {
            let again = ShortMessage::decode(&message.encode()).map(|again| again.encode());
            assert_eq!(again.ok(), Some(message.encode()), "what is written reads back");
            let _ = content::read(&message);
        }
        right = true;
    }
    right
}

fn smpp_pdus() -> Vec<Vec<u8>> {
    let bind = Bind {
        system_id: "as".into(),
        password: "secret".to_owned().into(),
        system_type: String::new(),
        version: INTERFACE_VERSION,
    };
    let message = |data: &UserData| {
        let (from, to) = (Address::international("15550000000"), Address::imsi(IMSI));
        let mut message = ShortMessage::new(from, to, 0, Vec::new());
        content::write(data, &mut message).map(|()| message.encode()).unwrap_or_default()
    };
    let texts = ["hello", "認証コード: 123456"].into_iter().filter_map(UserData::text);
    let data = texts.chain(UserData::to_port(8095, 0, b"-aescfg,ap2009"));
    let bodies = data.map(|data| (Command::SUBMIT_SM, message(&data)));
    let others = [(Command::BIND_TRANSCEIVER, bind.encode()), (Command::ENQUIRE_LINK, Vec::new())];
    bodies.chain(others).map(|(command, body)| Pdu::request(command, 1, body).encode()).collect()
}

// Short messages on their way to a phone, and in its card.

fn sms_tpdu(octets: &[u8]) -> bool {
    let mut right = false;
    if let Ok(deliver) = Deliver::decode(octets) {
        let _ = (deliver.data.as_text(), deliver.at.to_string(), deliver.from.to_string(), deliver.encode());
        right = true;
    }
    if let Ok(submit) = Submit::decode(octets) {
        let _ = (submit.data.as_text(), submit.encode());
        right = true;
    }
    right
}

fn sms_tpdus() -> Vec<Vec<u8>> {
    let Some(from) = sms::Address::international("15550000000") else { return Vec::new() };
    let texts = ["hello", "認証コード: 123456", "{[€]}"].into_iter().filter_map(UserData::text);
    let parts = sms::split(&"long ".repeat(60), 7).unwrap_or_default();
    let data = texts.chain(parts).chain(UserData::to_port(8095, 0, b"-aescfg,ap2009"));
    let at = sms::Timestamp::new(1_790_000_000, 36);
    data.filter_map(|data| Deliver::new(from.clone(), at, data).encode()).collect()
}

fn sms_record(octets: &[u8]) -> bool {
    match Record::decode(octets) {
        Ok(Some(record)) => {
            let _ = (sms_tpdu(&record.tpdu), record.encode());
            true
        }
        Ok(None) | Err(_) => false,
    }
}

fn sms_records() -> Vec<Vec<u8>> {
    let Some(centre) = sms::Address::international("15550000000") else { return Vec::new() };
    let record = |tpdu| Record::unread(centre.clone(), tpdu).encode().map(Vec::from);
    sms_tpdus().into_iter().filter_map(record).collect()
}

// Recorded sessions with a card, in any format.

fn recording(octets: &[u8]) -> bool {
    let Ok(session) = capture::read(octets) else { return false };
    for format in [capture::Format::Text, capture::Format::JsonLines, capture::Format::Pcap, capture::Format::PcapNg] {
        let written = capture::write(format, &session.events);
        if matches!(format, capture::Format::JsonLines | capture::Format::PcapNg) {
            let again = capture::read(&written).map(|session| session.events.len());
            assert_eq!(again, Ok(session.events.len()), "{format:?}");
        }
    }
    true
}

fn recordings() -> Vec<Vec<u8>> {
    let events = [
        Event::new(What::Reset { atr: hex!("3B9F96801FC78031E073FE211B63E203008301900F28").into(), warm: false }),
        Event::exchange(hex!("00A40004023F00"), hex!("6122")),
        Event::exchange(hex!("00C0000004"), hex!("62028200 9000")),
        Event::exchange(hex!("0020000108 31323334FFFFFFFF"), hex!("63C2")),
        Event::exchange(hex!("00FE0000"), []),
        Event::new(What::Failed { command: hex!("00B0000000").into(), cause: "the card was removed".into() }),
        Event::new(What::PowerOff),
    ];
    let written = [capture::Format::Text, capture::Format::JsonLines, capture::Format::Pcap, capture::Format::PcapNg];
    let mut recordings: Vec<Vec<u8>> = written.iter().map(|format| capture::write(*format, &events)).collect();
    recordings.extend([
        b"-> 00a4000402 3f00\n<- 6122: \n-- RESET\n".to_vec(),
        b"[DEBUG] [APDU] [TX] CLA: 81, INS: E2, P1: 91, P2: 00, Lc: 02, Data: bf2e\n\
          [DEBUG] [APDU] [RX] SW1: 61, SW2: 15, Data: \n"
            .to_vec(),
        b"{\"type\":\"apdu\",\"payload\":{\"func\":\"logic_channel_open\",\"param\":\"a000\"}}\n\
          {\"type\":\"apdu\",\"payload\":{\"ecode\":1}}\n"
            .to_vec(),
    ]);
    recordings
}
