//! The primary, its server and its secondary in one process.

use super::*;
use crate::entitlement::Settings;
use crate::http::{HttpAnswer, HttpRequest};
use crate::store::{Store, StoredToken, Volatile};
use crate::testing::{FakeServer, Person, answer, terminal};
use pairing::in_process;

const EID: &str = "89049032000001000000000012345652";
const ICCID: &str = "8981100000000000010";
const SOON: Duration = Duration::from_secs(10);

fn document(app: &str, fields: &str) -> HttpAnswer {
    answer(
        200,
        "application/json",
        &format!(r#"{{"Vers":{{"version":"1"}},"{app}":{{"OperationResult":"1",{fields}}}}}"#),
    )
}

const ELIGIBLE: &str = r#""CompanionAppEligibility":"1""#;
const WEBSHEET: &str =
    r#""SubscriptionResult":"1","SubscriptionServiceURL":"https://p/","SubscriptionServiceUserData":"t=1""#;
const DOWNLOAD: &str = r#""SubscriptionResult":"2","DownloadInfo":{"ProfileIccid":"8981100000000000010","ProfileActivationCode":"TFBBOjEkc21kcC5leGFtcGxlLmNvbSRBQkMtMQ=="}"#;
const DONE: &str = r#""SubscriptionResult":"3""#;
const DELAYED: &str = r#""SubscriptionResult":"4""#;
const DISMISS: &str = r#""SubscriptionResult":"5""#;
const QUESTION: &str =
    r#""SubscriptionResult":"8","MSG":{"Title":"Code","Message":"Enter it","Accept_btn":"1","Accept_freetext":"1"}"#;
const ACTIVATED: &str =
    r#""CompanionConfigurations":[{"CompanionConfiguration":{"ICCID":"8981100000000000010","ServiceStatus":"1"}}]"#;
const WAITING: &str = r#""CompanionConfigurations":[{"CompanionConfiguration":{"ServiceStatus":"2","PollingInterval":"2","PollingIntervalUnit":"1"}}]"#;

fn companion(eid: Option<&str>, iccid: Option<&str>) -> Companion {
    Companion {
        terminal: terminal("Watch"),
        eid: eid.map(|eid| eid.parse().unwrap()),
        iccid: iccid.map(|iccid| iccid.parse().unwrap()),
        imsi: None,
        msisdn: None,
    }
}

struct Run<R> {
    outcome: Result<R, FlowError>,
    requests: Vec<HttpRequest>,
    events: Vec<String>,
    waited: Vec<Duration>,
    begun: Vec<Awaited>,
    store: Volatile,
}

/// Runs a primary with a token against answers about `app`.
fn run<R>(
    app: App,
    answers: &[&str],
    person: &mut Person,
    act: impl FnOnce(&mut Primary<'_, '_>) -> Result<R, FlowError>,
) -> Run<R> {
    hear(app, answers.iter().map(|fields| document(app.id(), fields)).collect(), person, act)
}

/// The same, for any answers.
fn hear<R>(
    app: App,
    answers: Vec<HttpAnswer>,
    person: &mut Person,
    act: impl FnOnce(&mut Primary<'_, '_>) -> Result<R, FlowError>,
) -> Run<R> {
    let mut server = FakeServer::script(answers);
    let (mut store, mut events, mut waited) = (Volatile::default(), Vec::new(), Vec::new());
    let mut begun = Vec::new();
    let endpoint = "https://aes.example.com/".to_owned();
    let token = crate::entitlement::Token::new("t", None);
    let subscription = "001010000000001".to_owned();
    store.0.set_token(StoredToken { endpoint: endpoint.clone(), subscription, app, token, expires: None });
    let mut primary = Primary {
        client: Client {
            http: &mut server,
            store: &mut store,
            user: person,
            settings: Settings::new(&endpoint, terminal("Phone")),
            random: &mut |octets| octets.fill(7),
            now: 1000,
            tell: &mut |event| events.push(event.to_string()),
        },
        subscriber: Subscriber {
            imsi: "001010000000001".parse().ok(),
            identity: None,
            card: None,
            msisdn: "81901234567".parse().ok(),
            eid: None,
            temporary_token: None,
        },
        pace: Pace {
            attempts: 3,
            pause: Duration::from_secs(1),
            longest: Duration::MAX,
            begins: &mut |awaited| begun.push(awaited),
            wait: &mut |time| waited.push(time),
        },
    };
    let outcome = act(&mut primary);
    Run { outcome, requests: server.requests, events, waited, begun, store }
}

fn operations(requests: &[HttpRequest]) -> Vec<String> {
    let part = |request: &HttpRequest, name| request.parameter(name).unwrap_or_default();
    requests.iter().map(|one| format!("{} {}", part(one, "operation"), part(one, "operation_type"))).collect()
}

/// A minimal secondary.
fn watch(mut channel: pairing::Link) -> std::thread::JoinHandle<Vec<Message>> {
    std::thread::spawn(move || {
        let mut heard = Vec::new();
        while let Ok(message) = channel.receive(SOON) {
            let answers = match &message {
                Message::Identify => vec![Message::Identifiers {
                    eid: EID.parse().ok(),
                    iccid: None,
                    imsi: None,
                    msisdn: None,
                    terminal_id: "2".into(),
                    vendor: "V".into(),
                    model: "M".into(),
                    name: "Watch".into(),
                }],
                Message::ActivationCode { .. } => vec![
                    Message::Progress { step: "authenticateClient".into() },
                    Message::InstallResult { iccid: ICCID.parse().ok(), seq_number: Some(1), error: None },
                    Message::Enabled { iccid: ICCID.parse().unwrap() },
                ],
                Message::Enable { iccid, .. } => vec![Message::Enabled { iccid: iccid.clone() }],
                Message::Remove { iccid } => vec![Message::Removed { iccid: iccid.clone(), error: None }],
                _ => vec![],
            };
            for answer in answers {
                // A primary that has given up hears no more.
                if channel.send(&answer).is_err() {
                    return heard;
                }
            }
            heard.push(message);
        }
        heard
    })
}

#[test]
fn a_profile_for_a_watch_with_a_contract_and_the_number_shared() {
    let (mut one, other) = in_process();
    let watch = watch(other);
    let how = Acquisition { sharing: Some(Sharing::default()), timeout: SOON, ..Acquisition::default() };
    let mut person = Person { pages: [PageOutcome::Finished].into(), ..Person::default() };
    let answers = [ELIGIBLE, WEBSHEET, DELAYED, WAITING, DOWNLOAD_CONFIGURATION, DONE, WAITING, ACTIVATED];
    let run = run(App::Companion, &answers, &mut person, |primary| primary.acquire_for_companion(&mut one, &how));
    let companion = run.outcome.unwrap();
    assert_eq!(companion.iccid.unwrap().to_string(), ICCID);
    assert_eq!(person.asked, ["page https://p/?t=1"]);
    assert_eq!(
        operations(&run.requests),
        [
            "CheckEligibility ",
            "ManageSubscription 0",
            "ManageSubscription 0",
            "AcquireConfiguration ",
            "AcquireConfiguration ",
            "ManageSubscription 4",
            "AcquireConfiguration ",
            "AcquireConfiguration ",
        ]
    );
    assert_eq!(run.requests[1].parameter("companion_terminal_eid").as_deref(), Some(EID));
    assert_eq!(run.requests[1].parameter("companion_terminal_service").as_deref(), Some("SharedNumber"));
    assert_eq!(run.requests[5].parameter("companion_terminal_iccid").as_deref(), Some(ICCID));
    assert_eq!(run.waited, [Duration::from_secs(2); 2]);
    drop(one);
    let heard = watch.join().unwrap();
    assert!(heard.contains(&Message::ServiceResult { active: true, msisdn: "81901234567".parse().ok(), reason: None }));
    let code = "LPA:1$smdp.example.com$ABC-1".to_owned();
    let (eid, iccid) = (EID.parse().unwrap(), ICCID.parse().ok());
    assert!(heard.contains(&Message::ActivationCode { code, eid, through_primary: false, iccid }));
    assert!(run.events.contains(&"Secondary → Primary: authenticateClient".to_owned()));
}

#[test]
fn a_profile_that_was_installed_before_is_enabled() {
    let (mut one, other) = in_process();
    let watch = watch(other);
    let over = r#"{"CompanionConfiguration":{"ICCID":"8981100000000000028","ServiceStatus":"4"}}"#;
    let here = format!(r#"{{"CompanionConfiguration":{{"ICCID":"{ICCID}","ServiceStatus":"2"}}}}"#);
    let both = format!(r#""CompanionConfigurations":[{over},{here}]"#);
    let sharing = Some(Sharing::default());
    let how = Acquisition { through_primary: true, timeout: SOON, ..Acquisition::default() };
    let shared = Acquisition { sharing, ..how.clone() };
    let answers = [ELIGIBLE, DOWNLOAD, DONE, ELIGIBLE, DONE, &both, DONE, ACTIVATED];
    let mut agreed = Vec::new();
    let run = run(App::Companion, &answers, &mut Person::default(), |primary| {
        primary.acquire_for_companion(&mut one, &how)?;
        primary.acquire_through(&mut one, &shared, |_, smdp| agreed.push(smdp.to_owned()))
    });
    assert_eq!(run.outcome.unwrap().iccid, ICCID.parse().ok());
    let left = ["AcquireConfiguration ", "ManageSubscription 4", "AcquireConfiguration "];
    assert_eq!(operations(&run.requests)[5..], left);
    drop(one);
    let heard: Vec<_> = watch.join().unwrap().iter().map(Message::name).collect();
    assert_eq!(heard, ["identify", "activation_code", "identify", "enable", "service_result"]);
    assert_eq!(agreed, ["smdp.example.com"]);
    assert!(run.events.contains(&format!("Primary → Secondary: enable {ICCID}")), "{:?}", run.events);
    let before = format!("AS → Primary: the eUICC has its profile already: {ICCID}");
    assert!(run.events.contains(&before), "{:?}", run.events);
}

#[test]
fn what_is_left_of_a_profile_that_is_not_enabled_any_more_is_removed() {
    let ended = format!(
        r#""CompanionConfigurations":[{{"CompanionConfiguration":{{"ICCID":"{ICCID}","ServiceStatus":"4"}}}}]"#
    );
    let nothing = r#""CompanionConfigurations":[]"#;
    for (configurations, told) in [(&*ended, &["service_result", "remove"][..]), (nothing, &["service_result"])] {
        let (mut one, other) = in_process();
        let watch = watch(other);
        let companion = companion(Some(EID), None);
        let run = run(App::Companion, &[configurations], &mut Person::default(), |primary| {
            primary.unbind(&mut one, &companion, &Sharing::default(), true, SOON)
        });
        assert_eq!(run.outcome.unwrap(), ServiceStatus::DeactivatedNoReuse);
        drop(one);
        let heard: Vec<_> = watch.join().unwrap().iter().map(Message::name).collect();
        assert_eq!(heard, told);
    }
}

const DOWNLOAD_CONFIGURATION: &str = r#""CompanionConfigurations":[{"CompanionConfiguration":{"ServiceStatus":"2","DownloadInfo":{"ProfileIccid":"8981100000000000010","ProfileActivationCode":"LPA:1$smdp.example.com$ABC-1"}}}]"#;

#[test]
fn declining_changes_nothing() {
    for (page, answers) in [(PageOutcome::Dismissed, &[WEBSHEET][..]), (PageOutcome::Finished, &[WEBSHEET, DISMISS])] {
        let mut person = Person { pages: [page].into(), ..Person::default() };
        let subject = Subject::Companion(companion(Some(EID), None));
        let run = run(App::Companion, answers, &mut person, |primary| primary.acquire_profile(&subject, None));
        assert!(matches!(run.outcome, Err(FlowError::Declined)));
    }
    let (mut one, other) = in_process();
    let watch = watch(other);
    let no = [r#""CompanionAppEligibility":"0","NotEnabledURL":"https://p/why""#];
    let run = run(App::Companion, &no, &mut Person::default(), |primary| {
        primary.acquire_for_companion(&mut one, &Acquisition { timeout: SOON, ..Acquisition::default() })
    });
    let error = run.outcome.unwrap_err().to_string();
    assert!(error.ends_with("it explains at https://p/why"), "{error}");
    drop(one);
    assert!(matches!(watch.join().unwrap().last(), Some(Message::Failed { .. })));
}

#[test]
fn two_cards_share_a_number_after_a_code() {
    let mut person = Person { codes: ["123456"].into(), ..Person::default() };
    let subject = Subject::Companion(companion(Some(EID), Some(ICCID)));
    let sharing = Sharing { secondary: "msisdn:81907654321".parse().ok(), ..Sharing::default() };
    let answers = [QUESTION, DONE, ACTIVATED];
    let run = run(App::Companion, &answers, &mut person, |primary| primary.bind_card(&subject, &sharing));
    assert_eq!(run.outcome.unwrap(), ServiceStatus::Activated);
    assert_eq!(run.requests[0].parameter("companion_terminal_eid"), None);
    assert_eq!(run.requests[0].parameter("companion_terminal_iccid").as_deref(), Some(ICCID));
    assert_eq!(run.requests[1].parameter("MSG_response").as_deref(), Some("123456"));
    assert_eq!(run.requests[1].parameter("MSG_btn").as_deref(), Some("1"));
    assert_eq!(run.requests[1].parameter("x_secondary_id").as_deref(), Some("81907654321"));
}

#[test]
fn sharing_and_its_end() {
    let subject = Subject::Companion(companion(Some(EID), Some(ICCID)));
    let answers = [r#""ServiceStatus":"2""#, DONE, WAITING, ACTIVATED];
    let shared = run(App::Companion, &answers, &mut Person::default(), |primary| {
        primary.share_number(&subject, &Sharing::default())
    });
    assert_eq!(shared.outcome.unwrap(), ServiceStatus::Activated);
    assert_eq!(operations(&shared.requests)[..2], ["ManageService 10", "ManageSubscription 2"]);
    let (mut one, other) = in_process();
    let watch = watch(other);
    let companion = companion(Some(EID), Some(ICCID));
    let ended = run(App::Companion, &[r#""ServiceStatus":"4""#], &mut Person::default(), |primary| {
        primary.unbind(&mut one, &companion, &Sharing::default(), true, SOON)
    });
    assert_eq!(ended.outcome.unwrap(), ServiceStatus::DeactivatedNoReuse);
    assert_eq!(ended.requests[0].parameter("x_remove_profile").as_deref(), Some("1"));
    drop(one);
    let heard: Vec<_> = watch.join().unwrap().iter().map(Message::name).collect();
    assert_eq!(heard, ["service_result", "remove"]);
    // An operator that never finishes.
    let never = run(App::Companion, &[WAITING; 3], &mut Person::default(), |primary| primary.await_service(&subject));
    let error = never.outcome.unwrap_err().to_string();
    assert!(error.starts_with("waited 6 s, and the operator has not heard from the SM-DP+"), "{error}");
    assert_eq!(never.waited.iter().map(Duration::as_secs).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(never.begun, [Awaited::Enabled], "said once, when it begins");
    let told = ["Primary → AS: AcquireConfiguration, with token", "AS → Primary: service being activated"];
    assert_eq!(never.events, told, "what has not changed is told once");
}

#[test]
fn a_new_phone_and_the_old_one() {
    let eid = EID.parse().unwrap();
    let subject = Subject::NewDevice { eid, iccid: None, old_iccid: ICCID.parse().ok() };
    let moved = run(App::Primary, &[DOWNLOAD], &mut Person::default(), |primary| primary.transfer(&subject));
    assert!(moved.outcome.is_ok());
    assert_eq!(operations(&moved.requests), ["ManageSubscription 3"]);
    assert_eq!(moved.requests[0].parameter("terminal_eid").as_deref(), Some(EID));
    assert_eq!(moved.requests[0].parameter("old_terminal_iccid").as_deref(), Some(ICCID));
    // The number is on this eUICC: this device has lost that, the operator has not.
    let here = format!(r#""PrimaryConfiguration":{{"ICCID":"{ICCID}","ServiceStatus":"1"}}"#);
    let kept = run(App::Primary, &[DONE, &here], &mut Person::default(), |primary| primary.transfer(&subject));
    assert_eq!(kept.outcome.unwrap().download, Download::Installed(ICCID.parse().unwrap()));
    assert!(kept.events.contains(&format!("AS → Primary: the eUICC has its profile already: {ICCID}")));
    let iccid: Iccid = ICCID.parse().unwrap();
    for (status, state) in [
        ("1", SubscriptionState::Active),
        ("2", SubscriptionState::Unknown),
        ("3", SubscriptionState::Suspended),
        ("4", SubscriptionState::Ended),
    ] {
        let configuration = format!(r#""PrimaryConfiguration":{{"ICCID":"{ICCID}","ServiceStatus":"{status}"}}"#);
        let old = run(App::Primary, &[&configuration], &mut Person::default(), |primary| primary.obey(&iccid));
        assert_eq!(old.outcome.unwrap(), state);
        assert_eq!(old.store.state().disabled(&iccid).is_some(), state == SubscriptionState::Ended);
    }
}

#[test]
fn long_waits_are_reported() {
    let busy = |seconds: &str| answer(503, "text/plain", "").with_header("Retry-After", seconds);
    let eligible = |answers| {
        hear(App::Companion, answers, &mut Person::default(), |primary| primary.check_eligibility(App::Companion, None))
    };
    let soon = eligible(vec![busy("5"), document(App::Companion.id(), ELIGIBLE)]);
    assert!(soon.outcome.is_ok() && soon.waited == [Duration::from_secs(5)]);
    assert!(soon.events.contains(&"AS → Primary: busy; asked again in 5 s".to_owned()));
    let late = eligible(vec![busy("3600")]);
    assert!(late.outcome.unwrap_err().to_string().ends_with("try again in 60 min"));
    assert!(late.waited.is_empty());
}

/// An operator without a profile is waited for until the timeout, and no longer.
#[test]
fn what_is_waited_for_has_an_end() {
    let subject = Subject::Companion(companion(Some("89049032123451234512345678901235"), None));
    for (longest, asked) in [(0, 1), (1, 2), (2, 3), (Duration::MAX.as_secs(), 3)] {
        let run =
            run(App::Companion, &[r#""CompanionConfigurations":[]"#; 3][..asked], &mut Person::default(), |primary| {
                primary.pace.longest = Duration::from_secs(longest);
                primary.await_download(&subject)
            });
        let error = run.outcome.unwrap_err().to_string();
        assert!(error.contains("no profile ready yet. Nothing is lost"), "{error}");
        assert_eq!((run.requests.len(), run.waited.len()), (asked, asked - 1));
        assert_eq!(run.begun.len(), usize::from(asked > 1));
    }
}

#[test]
fn another_profile_is_noticed() {
    let (mut one, other) = in_process();
    let watch = watch(other);
    one.send(&Message::ActivationCode {
        code: String::new(),
        eid: EID.parse().unwrap(),
        through_primary: false,
        iccid: None,
    })
    .unwrap();
    let announced: Iccid = "8981100000000000028".parse().unwrap();
    let run = run(App::Companion, &[], &mut Person::default(), |primary| {
        primary.follow_download(&mut one, Some(&announced), SOON)
    });
    assert!(matches!(run.outcome, Err(FlowError::OtherProfile { .. })));
    drop(one);
    watch.join().unwrap();
}
