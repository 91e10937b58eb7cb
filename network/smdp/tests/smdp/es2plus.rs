//! ES2+ over mutual TLS: who may order what, in which state, under which code it is refused; and the same call twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use calendar::Timestamp;
use database::place::{Place, on_each_database};
use https::{TlsIdentity, Whole};
use identities::{Eid, Iccid};
use rsp::certificate::Role;
use rsp::es2plus::{
    CancelOrderRequest, ConfirmOrderRequest, ConfirmOrderResponse, DownloadOrderRequest, FinalProfileStatusIndicator,
    Function, HandleDownloadProgressInfoRequest, NotificationPointId, ReleaseProfileRequest, status,
};
use rsp::es8::StoreMetadataRequest;
use rsp::es9::{Empty, FunctionExecutionStatus, Status};
use rsp::metadata::ProfileClass;
use rsp_server::binding::bare;
use rsp_server::es2plus::read;
use rsp_server::{CallError, Client, tls_identity};
use saip::header::{ProfileHeader, ServicesList};
use saip::{PeHeader, ProfileElement};
use smdp::order::{self, add_profile};
use smdp::profile::ProfileState;
use smdp::store::{Changes, Progress};
use smdp::{Config, Es2Plus, MasterKey, Operator, Server, serve};
use test_pki::{Parameters, Pki};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const EID: &str = "89049032123451234512345678901235";
const ONE: &str = "one.example";
const TWO: &str = "two.example";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn fill_random(octets: &mut [u8]) {
    getrandom::fill(octets).unwrap();
}

fn mint() -> Pki {
    Pki::mint(&Parameters::new(now() - 60, EID.parse().unwrap()), &mut fill_random).unwrap()
}

fn roots(pki: &Pki) -> Vec<Vec<u8>> {
    vec![pki.get(Role::Ci).unwrap().der().to_vec()]
}

fn operator(pki: &Pki, name: &str) -> TlsIdentity {
    let credential = pki.issue_operator(&[name.parse().unwrap()], now() - 60, &mut fill_random).unwrap();
    tls_identity(&credential).unwrap()
}

fn iccid(number: u32) -> Iccid {
    Iccid::with_check_digit(&format!("8944{number:014}")).unwrap()
}

fn package(number: u32, profile_type: &str) -> Vec<u8> {
    let header = ProfileHeader {
        major_version: 2,
        minor_version: 3,
        profile_type: Some(profile_type.into()),
        iccid: iccid(number).to_array().unwrap().map(|octet| octet.rotate_left(4)),
        pol: None,
        mandatory_services: ServicesList::new([]),
        mandatory_templates: Vec::new(),
        connectivity_parameters: None,
        mandatory_aids: None,
        iot_options: None,
    };
    let end = ProfileElement::End(saip::End { header: PeHeader::mandated(1) });
    saip::encode_package(&[ProfileElement::Header(Box::new(header)), end])
}

/// A server with two operators, and a client for each.
struct Bench {
    pki: Pki,
    server: Server,
    database: Option<tempfile::TempDir>,
}

impl Bench {
    async fn start() -> Self {
        let pki = mint();
        Self { server: Self::serve(&pki, ":memory:").await, pki, database: None }
    }

    /// With a database that outlives the server.
    async fn start_on_disk() -> Self {
        let (pki, folder) = (mint(), tempfile::tempdir().unwrap());
        let path = folder.path().join("smdp.db");
        Self { server: Self::serve(&pki, path.to_str().unwrap()).await, pki, database: Some(folder) }
    }

    async fn start_at(place: &Place) -> Self {
        let pki = mint();
        Self { server: Self::serve(&pki, &place.url).await, pki, database: None }
    }

    async fn serve(pki: &Pki, database: &str) -> Server {
        Self::serve_operators(pki, database, vec![Operator::named(ONE), Operator::named(TWO)]).await
    }

    async fn serve_operators(pki: &Pki, database: &str, operators: Vec<Operator>) -> Server {
        let mut config = Config { tls: None, database: database.to_owned(), ..Config::from_pki(pki).unwrap() };
        config.master_key = Arc::new(MasterKey::new([7; 32]));
        config.settings.address = "smdp.example".into();
        config.es2plus = Some(Es2Plus {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: tls_identity(pki.get(Role::DpTls).unwrap()).unwrap(),
            roots: roots(pki),
            operators,
        });
        serve(config).await.unwrap()
    }

    /// The server is gone without a word, and another one takes over its database.
    async fn crash(self) -> Self {
        let Self { pki, server, database } = self;
        drop(server);
        let path = database.as_ref().unwrap().path().join("smdp.db");
        Self { server: Self::serve(&pki, path.to_str().unwrap()).await, pki, database }
    }

    fn client_with(&self, requester: &str, identity: Option<&TlsIdentity>) -> Client {
        self.client_of(&self.server, requester, identity)
    }

    fn client_of(&self, server: &Server, requester: &str, identity: Option<&TlsIdentity>) -> Client {
        let url = format!("https://{}", server.es2plus_at().unwrap());
        Client::new(&url, requester, &roots(&self.pki), identity).unwrap()
    }

    fn client(&self, name: &str) -> Client {
        self.client_with(name, Some(&operator(&self.pki, name)))
    }

    async fn add(&self, number: u32, profile_type: &str, owner: Option<&str>) -> Iccid {
        let metadata = StoreMetadataRequest {
            iccid: iccid(number),
            service_provider_name: "Example Telecom".into(),
            profile_name: "Example".into(),
            icon_type: None,
            icon: None,
            profile_class: ProfileClass::OPERATIONAL,
            notification_configuration_info: None,
            profile_owner: None,
            profile_policy_rules: None,
        };
        let store = self.server.store();
        let mut profile = add_profile(store, metadata, &package(number, profile_type), number.into()).await.unwrap();
        profile.operator = owner.map(Into::into);
        store.update_profile(&profile).await.unwrap();
        iccid(number)
    }

    async fn state(&self, iccid: &Iccid) -> ProfileState {
        self.server.store().profile(iccid).await.unwrap().unwrap().state
    }

    /// The profile gets into a state by other ways than ES2+.
    async fn becomes(&self, iccid: &Iccid, state: ProfileState) {
        let mut profile = self.server.store().profile(iccid).await.unwrap().unwrap();
        profile.enter(state, now());
        self.server.store().update_profile(&profile).await.unwrap();
    }
}

fn of_type(name: &str) -> DownloadOrderRequest {
    DownloadOrderRequest { profile_type: Some(name.into()), ..DownloadOrderRequest::default() }
}

fn of_iccid(iccid: &Iccid) -> DownloadOrderRequest {
    DownloadOrderRequest { iccid: Some(iccid.clone()), ..DownloadOrderRequest::default() }
}

fn confirm(iccid: &Iccid) -> ConfirmOrderRequest {
    ConfirmOrderRequest {
        iccid: iccid.clone(),
        eid: None,
        matching_id: None,
        confirmation_code: None,
        smds_address: None,
        release_flag: false,
    }
}

fn cancel(iccid: &Iccid) -> CancelOrderRequest {
    CancelOrderRequest {
        iccid: iccid.clone(),
        eid: None,
        matching_id: None,
        final_profile_status_indicator: FinalProfileStatusIndicator::Available,
    }
}

fn release(iccid: &Iccid) -> ReleaseProfileRequest {
    ReleaseProfileRequest { iccid: iccid.clone() }
}

#[track_caller]
fn refused<R: std::fmt::Debug>(outcome: Result<R, CallError>, status: Status) {
    let error = outcome.unwrap_err();
    assert!(error.refusal().is_some_and(|why| why.is(status)), "{error} is not {status:?}");
}

fn eid(last: char) -> Eid {
    Eid::with_check_digits(&format!("89049032{}{last}", "0".repeat(21))).unwrap()
}

#[tokio::test]
async fn an_order_goes_its_way() {
    let bench = Bench::start().await;
    let iccid = bench.add(1, "Companion", None).await;
    let one = bench.client(ONE);
    let ordered = one.call("1", &DownloadOrderRequest { eid: Some(eid('1')), ..of_type("Companion") }).await.unwrap();
    assert_eq!((&ordered.iccid, bench.state(&iccid).await), (&iccid, ProfileState::Linked));
    refused(one.call("early", &release(&iccid)).await, status::PROFILE_INVALID_TRANSITION);
    let empty = ConfirmOrderRequest { confirmation_code: Some(String::new()), ..confirm(&iccid) };
    refused(one.call("1b", &empty).await, status::CONFIRMATION_CODE_INVALID);
    let confirmed = one.call("2", &confirm(&iccid)).await.unwrap();
    assert_eq!((confirmed.eid, confirmed.smdp_address.as_deref()), (Some(eid('1')), Some("smdp.example")));
    assert_eq!(confirmed.matching_id.len(), 23);
    assert_eq!(bench.state(&iccid).await, ProfileState::Confirmed);
    assert_eq!(one.call("3", &release(&iccid)).await, Ok(Empty {}));
    assert_eq!(bench.state(&iccid).await, ProfileState::Released);
    refused(one.call("4", &release(&iccid)).await, status::PROFILE_INVALID_TRANSITION);
    refused(one.call("5", &confirm(&iccid)).await, status::PROFILE_INVALID_TRANSITION);
    refused(one.call("6", &of_iccid(&iccid)).await, status::PROFILE_IN_USE);

    // Cancelled only by those who know it.
    refused(one.call("7", &CancelOrderRequest { eid: Some(eid('2')), ..cancel(&iccid) }).await, status::EID_MISMATCH);
    // The conditional element is mandatory where the order has it: SGP.23 has the call refused, and what lacks such an
    // element elsewhere is refused as 8.1.1/2.2. The matchingId is such an element too, and its subject 8.2.6.
    let unnamed = CancelOrderRequest { matching_id: Some(confirmed.matching_id.clone()), ..cancel(&iccid) };
    refused(one.call("7", &unnamed).await, status::EID_MISSING);
    let other = CancelOrderRequest { eid: Some(eid('1')), matching_id: Some("OTHER".into()), ..cancel(&iccid) };
    refused(one.call("8", &other).await, status::MATCHING_ID_MISMATCH);
    for matching_id in [None, Some(String::new())] {
        let missing = CancelOrderRequest { eid: Some(eid('1')), matching_id, ..cancel(&iccid) };
        refused(one.call("8", &missing).await, status::MATCHING_ID_MISSING);
    }
    assert_eq!(bench.state(&iccid).await, ProfileState::Released, "nothing of that changed anything");
    let right = CancelOrderRequest { eid: Some(eid('1')), matching_id: Some(confirmed.matching_id), ..cancel(&iccid) };
    assert_eq!(one.call("9", &right).await, Ok(Empty {}));
    assert_eq!(bench.state(&iccid).await, ProfileState::Available);
    refused(one.call("10", &cancel(&iccid)).await, status::PROFILE_INVALID_TRANSITION);

    // Released in one go, for whichever eUICC, and withdrawn.
    one.call("11", &of_iccid(&iccid)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Allocated);
    let wanted = ConfirmOrderRequest { matching_id: Some("GIFT-1".into()), release_flag: true, ..confirm(&iccid) };
    assert_eq!(one.call("12", &wanted).await.unwrap().matching_id, "GIFT-1");
    assert_eq!(bench.state(&iccid).await, ProfileState::Released);
    let unavailable = FinalProfileStatusIndicator::Unavailable;
    let matching_id = Some("GIFT-1".to_owned());
    let withdrawn = CancelOrderRequest { matching_id, final_profile_status_indicator: unavailable, ..cancel(&iccid) };
    // An order for whichever eUICC is not the one for this eUICC.
    let of_another = CancelOrderRequest { eid: Some(eid('1')), ..withdrawn.clone() };
    refused(one.call("13", &of_another).await, status::EID_MISMATCH);
    one.call("13", &withdrawn).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Unavailable);
    refused(one.call("14", &of_iccid(&iccid)).await, status::PROFILE_IN_USE);
    refused(one.call("15", &of_type("Companion")).await, status::PROFILE_TYPE_UNAVAILABLE);
}

#[tokio::test]
async fn what_is_on_an_euicc_stays_ordered() {
    let bench = Bench::start().await;
    let iccid = bench.add(1, "Companion", None).await;
    let one = bench.client(ONE);
    one.call("1", &of_iccid(&iccid)).await.unwrap();
    for state in [ProfileState::Installed, ProfileState::Enabled, ProfileState::Disabled] {
        bench.becomes(&iccid, state).await;
        refused(one.call("2", &cancel(&iccid)).await, status::PROFILE_IN_USE);
        refused(one.call("3", &of_iccid(&iccid)).await, status::PROFILE_IN_USE);
    }
    bench.becomes(&iccid, ProfileState::Deleted).await;
    refused(one.call("4", &of_iccid(&iccid)).await, status::PROFILE_IN_USE);
    assert_eq!(one.call("5", &cancel(&iccid)).await, Ok(Empty {}));
    assert_eq!(bench.state(&iccid).await, ProfileState::Available);
}

#[tokio::test]
async fn requests_that_cannot_be_met() {
    let bench = Bench::start().await;
    let (iccid, second) = (bench.add(1, "Companion", None).await, bench.add(2, "Phone", None).await);
    let one = bench.client(ONE);
    refused(one.call("1", &of_iccid(&self::iccid(9))).await, status::PROFILE_UNKNOWN);
    refused(one.call("1", &release(&self::iccid(9))).await, status::PROFILE_UNKNOWN);
    refused(one.call("1", &of_type("Watch")).await, status::PROFILE_TYPE_UNKNOWN);
    refused(one.call("1", &DownloadOrderRequest::default()).await, status::ICCID_MISSING);
    let mixed = DownloadOrderRequest { profile_type: Some("Phone".into()), ..of_iccid(&iccid) };
    refused(one.call("1", &mixed).await, status::PROFILE_TYPE_MISMATCH);

    one.call("2", &DownloadOrderRequest { eid: Some(eid('1')), ..of_iccid(&iccid) }).await.unwrap();
    refused(one.call("3", &ConfirmOrderRequest { eid: Some(eid('2')), ..confirm(&iccid) }).await, status::EID_MISMATCH);
    let with = |matching_id: &str| ConfirmOrderRequest { matching_id: Some(matching_id.into()), ..confirm(&iccid) };
    for wrong in ["A B", "abc", "aB-1", "A_B", "Ä", &"A".repeat(256)] {
        refused(one.call("3", &with(wrong)).await, status::MATCHING_ID_INVALID);
    }
    let smds = ConfirmOrderRequest { smds_address: Some("smds.example".into()), ..confirm(&iccid) };
    refused(one.call("3", &smds).await, status::SMDS_UNAVAILABLE);
    assert_eq!(bench.state(&iccid).await, ProfileState::Linked, "nothing of that changed anything");
    one.call("3", &with("TAKEN")).await.unwrap();
    one.call("4", &of_iccid(&second)).await.unwrap();
    let taken = ConfirmOrderRequest { matching_id: Some("TAKEN".into()), ..confirm(&second) };
    refused(one.call("5", &taken).await, status::MATCHING_ID_IN_USE);
    let nameless = ConfirmOrderRequest { matching_id: Some(String::new()), ..confirm(&second) };
    refused(one.call("5", &nameless).await, status::EID_MISSING);
    let confirmed = one.call("5", &ConfirmOrderRequest { eid: Some(eid('2')), ..nameless }).await;
    let address = Some("smdp.example".to_owned());
    let by_eid = ConfirmOrderResponse { eid: Some(eid('2')), matching_id: String::new(), smdp_address: address };
    assert_eq!(confirmed, Ok(by_eid));
}

#[tokio::test]
async fn identities_are_shortened_in_the_log() {
    let _ = crate::log::text();
    let bench = Bench::start().await;
    let iccid = bench.add(1, "Companion", None).await;
    let one = bench.client(ONE);
    let call = format!("for {}", eid('1'));
    one.call(&call, &DownloadOrderRequest { eid: Some(eid('1')), ..of_iccid(&iccid) }).await.unwrap();
    refused(one.call("2", &ConfirmOrderRequest { eid: Some(eid('2')), ..confirm(&iccid) }).await, status::EID_MISMATCH);
    // An operator without an address is logged once, not for each attempt.
    happens(&bench.server, ONE, 1, "told").await;
    let undelivered = async || bench.server.store().undelivered_progress().await.unwrap();
    while undelivered().await.iter().all(|one| one.attempts < 2) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = crate::log::text();
    let noise = log.lines().find(|line| line.contains("not delivered") && line.contains("no ES2+ address"));
    assert_eq!(noise, None);
    for said in [
        "no ES2+ address: this operator gets no progress notifications",
        "call=for 89049…",
        "is reserved for EID 89049…",
        "Iccid(89440…)",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    for identity in [eid('1').to_string(), eid('2').to_string(), iccid.to_string()] {
        let line = log.lines().find(|line| line.contains(&identity));
        assert_eq!(line, None, "{identity}");
    }
}

#[tokio::test]
async fn an_operator_is_who_its_certificate_says() {
    let _ = crate::log::text();
    let bench = Bench::start().await;
    let (free, own) = (bench.add(1, "Free", None).await, bench.add(2, "Own", Some(ONE)).await);
    let (one, two) = (bench.client(ONE), bench.client(TWO));
    let posing = bench.client_with(ONE, Some(&operator(&bench.pki, TWO)));
    refused(posing.call("1", &of_iccid(&free)).await, status::REQUESTER_NOT_ALLOWED);
    let stranger = bench.client("stranger.example");
    refused(stranger.call("1", &of_iccid(&free)).await, status::REQUESTER_NOT_ALLOWED);
    let nobody = bench.client_with(ONE, None).call("1", &of_iccid(&free)).await.unwrap_err();
    assert!(matches!(nobody, CallError::NotAccepted { .. }), "{nobody:?}");
    let foreign = bench.client_with(ONE, Some(&operator(&mint(), ONE))).call("1", &of_iccid(&free)).await.unwrap_err();
    assert!(matches!(foreign, CallError::NotAccepted { .. }), "{foreign:?}");
    // All of them are seen at the level that servers have without being told.
    let log = crate::log::text();
    for said in [
        &["from=\"127.0.0.1\"", ONE, "its certificate is made out to another name", "1.1/1.2"][..],
        &["stranger.example", "no operator of this name may order here", "refused", "downloadOrder"],
        &["TLS handshake failed", "127.0.0.1", "invalid peer certificate"],
        &["TLS handshake failed", "127.0.0.1", "peer sent no certificates"],
    ] {
        let mut told = log.lines().filter(|line| line.contains(" INFO "));
        assert!(told.any(|line| said.iter().all(|words| line.contains(words))), "{said:?}: {log}");
    }

    refused(two.call("1", &of_iccid(&own)).await, status::PROFILE_NOT_ALLOWED);
    refused(two.call("1", &of_type("Own")).await, status::PROFILE_TYPE_NOT_ALLOWED);
    one.call("1", &of_type("Own")).await.unwrap();
    one.call("2", &of_type("Free")).await.unwrap();
    refused(two.call("2", &confirm(&free)).await, status::PROFILE_NOT_ALLOWED);
    refused(two.call("2", &cancel(&free)).await, status::PROFILE_NOT_ALLOWED);
    refused(two.call("2", &release(&free)).await, status::PROFILE_NOT_ALLOWED);
    // An order placed at the server itself is nobody's.
    let third = bench.add(3, "Free", None).await;
    order::download_order(bench.server.store(), order::ProfileSelector::Iccid(third.clone()), None, 1).await.unwrap();
    refused(one.call("3", &cancel(&third)).await, status::PROFILE_NOT_ALLOWED);
    assert_eq!(bench.state(&third).await, ProfileState::Allocated);
}

#[tokio::test]
async fn the_same_call_gets_the_same_answer() {
    let bench = Bench::start_on_disk().await;
    for number in 0..5 {
        bench.add(number, "Companion", None).await;
    }
    let one = bench.client(ONE);
    // Four at once, one order.
    let request = of_type("Companion");
    let calls = tokio::join!(
        one.call("order-1", &request),
        one.call("order-1", &request),
        one.call("order-1", &request),
        one.call("order-1", &request),
    );
    let ordered = calls.0.unwrap().iccid;
    for other in [calls.1, calls.2, calls.3] {
        assert_eq!(other.unwrap().iccid, ordered);
    }
    let confirmed = one.call("confirm-1", &confirm(&ordered)).await.unwrap();

    let bench = bench.crash().await;
    let one = bench.client(ONE);
    assert_eq!(one.call("order-1", &request).await.unwrap().iccid, ordered);
    assert_eq!(one.call("confirm-1", &confirm(&ordered)).await, Ok(confirmed));
    // Another function or request is another call, whatever it is called, and so is another operator's.
    assert_eq!(one.call("order-1", &release(&ordered)).await, Ok(Empty {}));
    refused(one.call("order-1", &of_type("Other")).await, status::PROFILE_TYPE_UNKNOWN);
    assert_ne!(bench.client(TWO).call("order-1", &request).await.unwrap().iccid, ordered);
    let profiles = bench.server.store().profiles().await.unwrap();
    assert_eq!(profiles.iter().filter(|profile| profile.state == ProfileState::Available).count(), 3);
}

#[tokio::test]
async fn many_orders_at_once_get_a_profile_each() {
    let bench = Bench::start_on_disk().await;
    for number in 0..6 {
        bench.add(number, "Companion", None).await;
    }
    let one = bench.client(ONE);
    let orders: Vec<_> = (0..8)
        .map(|number| {
            let one = one.clone();
            tokio::spawn(async move { one.call(&format!("order-{number}"), &of_type("Companion")).await })
        })
        .collect();
    let mut got = std::collections::BTreeSet::new();
    let mut without = 0;
    for order in orders {
        match order.await.unwrap() {
            Ok(ordered) => assert!(got.insert(ordered.iccid), "twice the same profile"),
            outcome => {
                refused(outcome, status::PROFILE_TYPE_UNAVAILABLE);
                without += 1;
            }
        }
    }
    assert_eq!((got.len(), without), (6, 2));
}

on_each_database!(
    a_crowd_of_orders,
    calls_alternate_between_two_servers,
    two_servers_deliver_each_progress_notification_once
);

async fn calls_alternate_between_two_servers(place: &Place) {
    let bench = Bench::start_at(place).await;
    let other = Bench::serve(&bench.pki, &place.url).await;
    for number in 0..8 {
        bench.add(number, "Companion", None).await;
    }
    let identity = operator(&bench.pki, ONE);
    let here = bench.client_with(ONE, Some(&identity));
    let there = bench.client_of(&other, ONE, Some(&identity));

    // One order, of which each server does every other step, and repeats what the other one has answered.
    let iccid = here.call("1", &of_type("Companion")).await.unwrap().iccid;
    assert_eq!(there.call("1", &of_type("Companion")).await.unwrap().iccid, iccid);
    let confirmed = there.call("2", &confirm(&iccid)).await.unwrap();
    assert_eq!(here.call("2", &confirm(&iccid)).await, Ok(confirmed.clone()));
    here.call("3", &release(&iccid)).await.unwrap();
    refused(there.call("4", &release(&iccid)).await, status::PROFILE_INVALID_TRANSITION);
    assert_eq!(other.store().profile(&iccid).await.unwrap().unwrap().state, ProfileState::Released);
    let named = CancelOrderRequest { matching_id: Some(confirmed.matching_id), ..cancel(&iccid) };
    there.call("5", &named).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Available);

    // The same call at both at once is one order; ten calls at both get each of the seven others once.
    let request = of_type("Companion");
    let calls = tokio::join!(here.call("6", &request), there.call("6", &request));
    let ordered = calls.0.unwrap().iccid;
    assert_eq!(calls.1.unwrap().iccid, ordered);
    let orders: Vec<_> = (0..10)
        .map(|number| {
            let client = if number % 2 == 0 { here.clone() } else { there.clone() };
            tokio::spawn(async move { client.call(&format!("order-{number}"), &of_type("Companion")).await })
        })
        .collect();
    let (mut got, mut without) = (BTreeSet::from([ordered]), 0);
    for order in orders {
        match order.await.unwrap() {
            Ok(ordered) => assert!(got.insert(ordered.iccid), "twice the same profile"),
            outcome => {
                refused(outcome, status::PROFILE_TYPE_UNAVAILABLE);
                without += 1;
            }
        }
    }
    assert_eq!((got.len(), without), (8, 3));
}

/// Orders of one type at once all mean the same next profile; each gets one, however many there are.
async fn a_crowd_of_orders(place: &Place) {
    const ORDERS: u32 = 40;
    let bench = Bench::start_at(place).await;
    for number in 0..ORDERS {
        bench.add(number, "Companion", None).await;
    }
    let client = bench.client_with(ONE, Some(&operator(&bench.pki, ONE)));
    let orders: Vec<_> = (0..ORDERS)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { client.call(&format!("order-{number}"), &of_type("Companion")).await.unwrap() })
        })
        .collect();
    let mut got = BTreeSet::new();
    for order in orders {
        assert!(got.insert(order.await.unwrap().iccid), "twice the same profile");
    }
}

/// An operator's progress listener; without `heard` it takes everything in and never answers.
async fn progress_listener(pki: &Pki, name: &str, heard: Option<UnboundedSender<(String, Iccid)>>) -> Operator {
    let names = [name.parse().unwrap(), "127.0.0.1".parse().unwrap()];
    let credential = pki.issue_operator(&names, now() - 60, &mut fill_random).unwrap();
    let identity = tls_identity(&credential).unwrap();
    let take = async move |headers: HeaderMap, Whole(body): Whole| {
        let progress = read::<HandleDownloadProgressInfoRequest>(&headers, &body).unwrap();
        let Some(heard) = &heard else { return std::future::pending().await };
        heard.send((progress.header.function_call_identifier, progress.body.iccid)).unwrap();
        bare(StatusCode::NO_CONTENT)
    };
    let router = Router::new().route(HandleDownloadProgressInfoRequest::PATH, post(take));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let acceptor = https::tls::mutual_server(&identity, &roots(pki)).unwrap();
    tokio::spawn(https::serve(listener, Some(acceptor), router, std::future::pending()));
    Operator { progress_url: Some(format!("https://{at}")), ..Operator::named(name) }
}

/// Writes down something for `operator` to hear about a profile.
async fn happens(server: &Server, operator: &str, profile: u32, call: &str) {
    let info = HandleDownloadProgressInfoRequest {
        eid: None,
        iccid: iccid(profile),
        profile_type: "Companion".into(),
        timestamp: Timestamp(now()),
        notification_point_id: NotificationPointId::BPP_DOWNLOAD,
        notification_point_status: FunctionExecutionStatus::success(),
        result_data: None,
    };
    let progress = Progress { operator: operator.into(), call: call.into(), info };
    server.store().apply(&Changes { progress: Some(&progress), ..Changes::default() }).await.unwrap();
}

async fn two_servers_deliver_each_progress_notification_once(place: &Place) {
    const PROFILES: u32 = 8;
    const EACH: u32 = 5;
    let (pki, (heard, mut progress)) = (mint(), unbounded_channel());
    let one = progress_listener(&pki, ONE, Some(heard)).await;
    let here = Bench::serve_operators(&pki, &place.url, vec![one.clone()]).await;
    let there = Bench::serve_operators(&pki, &place.url, vec![one]).await;
    for number in 0..EACH {
        for profile in 0..PROFILES {
            let server = if (number + profile) % 2 == 0 { &here } else { &there };
            happens(server, ONE, profile, &format!("{profile}-{number}")).await;
        }
    }
    let mut told: BTreeMap<Iccid, Vec<String>> = BTreeMap::new();
    for _ in 0..PROFILES * EACH {
        let (call, iccid) = progress.recv().await.unwrap();
        told.entry(iccid).or_default().push(call);
    }
    for profile in 0..PROFILES {
        let in_order: Vec<_> = (0..EACH).map(|number| format!("{profile}-{number}")).collect();
        assert_eq!(told.get(&iccid(profile)), Some(&in_order));
    }
    while !here.store().undelivered_progress().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(progress.is_empty(), "twice");
}

/// However much waits for it.
#[tokio::test]
async fn an_operator_that_never_answers_holds_up_no_other() {
    const WAITING: u32 = 300;
    let (pki, (heard, mut progress)) = (mint(), unbounded_channel());
    let operators = vec![progress_listener(&pki, ONE, None).await, progress_listener(&pki, TWO, Some(heard)).await];
    let server = Bench::serve_operators(&pki, ":memory:", operators).await;
    for profile in 0..WAITING {
        happens(&server, ONE, profile, &format!("one-{profile}")).await;
    }
    for number in 0..3 {
        happens(&server, TWO, WAITING, &format!("two-{number}")).await;
    }
    for number in 0..3 {
        assert_eq!(progress.recv().await, Some((format!("two-{number}"), iccid(WAITING))));
    }
    let waiting = server.store().undelivered_progress().await.unwrap();
    assert!(waiting.iter().filter(|one| one.progress.operator == ONE).count() == 300);
    // An attempt counts from its beginning: 16 may be under way, and one that ends makes room for a seventeenth.
    let begun = waiting.iter().filter(|one| one.progress.operator == ONE).map(|one| one.attempts);
    assert!(
        begun.clone().all(|attempts| attempts <= 1) && begun.sum::<u32>() <= 16,
        "the silent one was given up first"
    );
}

/// What no client of ours says.
#[tokio::test]
async fn bodies_and_headers_that_are_wrong() {
    let bench = Bench::start().await;
    let identity = operator(&bench.pki, ONE);
    let config = https::tls::client(&roots(&bench.pki), Some(&identity)).unwrap();
    let post_to = async |function: &str, body: &str, protocol: &str| {
        let stream = tokio::net::TcpStream::connect(bench.server.es2plus_at().unwrap()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config.clone()));
        let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        crate::client::post_with(stream, function, protocol, body.as_bytes()).await
    };
    let post = async |body: &str, protocol: &str| post_to(DownloadOrderRequest::PATH, body, protocol).await;
    let codes_of = |answer: &crate::client::Answer| {
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("X-Admin-Protocol: gsma/rsp/v2.5.0"), "{}", answer.head);
        let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let data = &value["header"]["functionExecutionStatus"]["statusCodeData"];
        format!("{}/{}", data["subjectCode"].as_str().unwrap(), data["reasonCode"].as_str().unwrap())
    };
    let codes = async |body: &str, protocol: &str| codes_of(&post(body, protocol).await);
    let v2 = "gsma/rsp/v2.5.0";
    let header = r#""header":{"functionRequesterIdentifier":"one.example","functionCallIdentifier":"1"}"#;
    assert_eq!(codes("{", v2).await, "1.3.1/2.1");
    assert_eq!(codes(r#"{"profileType":"X"}"#, v2).await, "1.3.1/2.1");
    assert_eq!(codes(&format!(r#"{{{header},"profileType":7}}"#), v2).await, "1.3.1/2.1");
    assert_eq!(codes(&format!("{{{header}}}"), "gsma/rsp/v1.0.0").await, "1.3.2/3.1");
    assert_eq!(codes(&format!("{{{header}}}"), "something").await, "1.3.2/3.1");
    let eid = "89049032123451234512345678901299";
    assert_eq!(codes(&format!(r#"{{{header},"eid":"{eid}"}}"#), v2).await, "8.1.1/2.1");
    assert_eq!(codes(&format!(r#"{{{header},"iccid":"12"}}"#), v2).await, "8.2.1/2.1");
    for function in [ConfirmOrderRequest::PATH, CancelOrderRequest::PATH, ReleaseProfileRequest::PATH] {
        for absent in ["", r#","iccid":null"#] {
            let answer = post_to(function, &format!("{{{header}{absent}}}"), v2).await;
            assert_eq!(codes_of(&answer), "8.2.1/2.2", "{function}");
        }
    }
    assert_eq!(codes(&format!("{{{header}}}"), "gsma/rsp/v3.1.0").await, "8.2.1/2.3", "a later release is no fault");
    assert_eq!(post(&" ".repeat(70_000), v2).await.status, 413);
}
