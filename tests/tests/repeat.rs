//! Runs that repeat bit by bit from a seed and a clock, and what happens when the clock says that something has expired.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use apdu::InProcess;
use calendar::Clock;
use card::entropy::{ChaCha, Seed};
use card::personalise::{Euicc, euicc, mint_pki};
use card::{Entropy as _, open_repeatably};
use crypto::provider::Deterministic;
use lpa::{
    Checks, Decision, Es9Client, HttpResponse, HttpsClient, Offer, Order, ServerError, Settings, Trust, User, download,
};
use reader_bridge::trace::{Event, Tracer};
use rsp::certificate::Role;
use smdp::order::{MatchingId, OrderRequest, ProfileSelector, order};
use smdp::profile::Offered;
use smdp::{Config, System, tls_identity_by};
use vuicc_tests::process::{Finished, run};
use vuicc_tests::subscriber::{self, subscriber};
use vuicc_tests::vuicc::{SmDp, command};

/// The SM-DP+ address, wherever its port is this time.
const ADDRESS: &str = "smdp.example.com";
const NOON: u64 = 1_800_000_000;

/// Everything that the user agrees to.
struct Agreeing;

impl User for Agreeing {
    fn consent(&mut self, _: Offer<'_>) -> Decision {
        Decision::Accept
    }
}

/// A client that writes down what goes over ES9+.
struct Recorder {
    inner: HttpsClient,
    exchanges: Vec<String>,
}

impl Es9Client for Recorder {
    fn post(&mut self, address: &str, path: &str, body: &str) -> Result<HttpResponse, ServerError> {
        let answer = self.inner.post(address, path, body)?;
        self.exchanges.push(format!("{path} {body}\n{} {}", answer.status, String::from_utf8_lossy(&answer.body)));
        Ok(answer)
    }

    fn until(&mut self, moment: Option<Instant>) {
        self.inner.until(moment);
    }

    fn certificate(&self) -> Option<&[u8]> {
        self.inner.certificate()
    }
}

/// PKI, card, server and profile from nothing, and a whole download with its report: all APDUs, all of ES9+.
fn whole_download(seed: &str, now: u64) -> (Vec<String>, Vec<String>) {
    let seed: Seed = seed.parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("card.img");
    let pki = mint_pki(None, now, &mut ChaCha::from_seed(&seed, "PKI")).unwrap();
    euicc(&Euicc::new(pki.clone(), now), &mut ChaCha::from_seed(&seed, "new card")).unwrap().save(&image).unwrap();

    let draws = Mutex::new(ChaCha::from_seed(&seed, "SM-DP+"));
    let randomness = Arc::new(move |octets: &mut [u8]| draws.lock().unwrap().fill(octets));
    let system = System { clock: Arc::new(move || now), randomness };
    let mut config = Config::from_pki(&pki).unwrap();
    config.tls = Some(tls_identity_by(&system, &pki, ADDRESS, &[]).unwrap());
    config.settings.address = ADDRESS.into();
    config.provider = Arc::new(Deterministic);
    config.system = system;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(smdp::serve(config)).unwrap();
    let package = std::fs::read(subscriber::package(folder.path(), &subscriber(1))).unwrap();
    let offered = Offered { name: "one", provider: "vuicc", class: rsp::metadata::ProfileClass::OPERATIONAL };
    let profile = offered.profile(&package, ADDRESS, &[], now).unwrap();
    let request = OrderRequest {
        matching_id: MatchingId::Given("AGAIN".into()),
        ..OrderRequest::new(ProfileSelector::Iccid(profile.iccid().clone()))
    };
    runtime.block_on(async {
        server.store().add_profiles(&[(profile, &package)]).await.unwrap();
        order(server.store(), request, &mut |_| {}, now).await.unwrap();
    });

    let apdus = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&apdus);
    let card = InProcess::connect(open_repeatably(&image, ChaCha::from_seed(&seed, "card 0")).unwrap());
    let card = Tracer::new(card, move |event: Event<'_>| {
        if let Event::Exchange { command, response, .. } = event {
            recorded.lock().unwrap().push(format!("{command:02X?} {response:02X?}"));
        }
    });
    let mut euicc = lpa::Euicc::open(card, lpa::Options::default()).unwrap();
    let there = format!("{ADDRESS}={}", server.listening_at()).parse().unwrap();
    let settings = Settings {
        hosts: vec![there],
        clock: Clock::Frozen(now),
        ..Settings::new(Trust::Cis(vec![pki.get(Role::Ci).unwrap().der().to_vec()]))
    };
    let checks: Checks = settings.checks(now);
    let mut client = Recorder { inner: HttpsClient::with(&settings).unwrap(), exchanges: Vec::new() };
    let installed =
        download(&mut euicc, &mut client, &Order::new(ADDRESS, Some("AGAIN".into())), &checks, &mut Agreeing).unwrap();
    assert!(installed.is_reported);
    euicc.close();
    runtime.block_on(server.shutdown());
    let apdus = apdus.lock().unwrap().clone();
    (apdus, client.exchanges)
}

#[test]
fn a_whole_download_repeats_bit_by_bit() {
    let (apdus, exchanges) = whole_download("a whole download", NOON);
    assert!(apdus.len() > 30 && exchanges.len() == 4, "{} {}", apdus.len(), exchanges.len());
    let again = whole_download("a whole download", NOON);
    assert!(apdus == again.0 && exchanges == again.1);
    for (seed, now) in [("another download", NOON), ("a whole download", NOON + 1)] {
        let other = whole_download(seed, now);
        assert!(apdus != other.0 && exchanges != other.1, "{seed} {now}");
    }
}

fn vuicc(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(&folder.join("state"), []).current_dir(folder).args(arguments))
}

/// The trace of a download with the programs, everything made anew.
fn with_the_programs(seed: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let clock = ["--clock", "2027-03-01T12:00:00Z"];
    let card = ["card", "new", "card.img", "--seed", seed];
    let _ = vuicc(folder, &[&card[..], &clock].concat()).success();
    let smdp = SmDp::serve_with(folder, &["--address", ADDRESS, "--seed", seed, clock[0], clock[1]]);
    let package = subscriber::package(folder, &subscriber(1));
    smdp.offer(&package, &["--matching-id", "AGAIN"]);
    let there = format!("{ADDRESS}={}", smdp.listening_at());
    let download = ["lpa", "--card", "card.img", "--trace", "trace.apdu", "--connect", &there, "--seed", seed];
    let code = format!("LPA:1${ADDRESS}$AGAIN");
    let _ = vuicc(folder, &[&download[..], &clock, &["profile", "download", "--yes", &code]].concat()).success();
    let trace = std::fs::read_to_string(folder.join("trace.apdu")).unwrap();
    // Remarks tell how long each took.
    let exchanged = trace.lines().map(|line| line.split('#').next().unwrap_or_default().trim_end().to_owned());
    exchanged.collect()
}

#[test]
fn the_programs_repeat_a_download() {
    let trace = with_the_programs("the programs");
    assert!(trace.len() > 100, "{trace:#?}");
    let again = with_the_programs("the programs");
    assert!(trace == again, "{:?}", trace.iter().zip(&again).find(|(one, other)| one != other));
    assert_ne!(with_the_programs("other programs"), trace);
}

/// A server that is started again with its seed draws what it has drawn: sessions of before are not in the way.
#[test]
fn a_seeded_server_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _ = vuicc(folder, &["card", "new", "card.img"]).success();
    let options = ["--seed", "started again"];
    let smdp = SmDp::serve_with(folder, &options);
    let package = subscriber::package(folder, &subscriber(1));
    smdp.offer(&package, &["--matching-id", "AGAIN", "--reusable"]);
    for _ in 0..3 {
        let refused =
            ["lpa", "--card", "card.img", "profile", "download", "--smdp", smdp.address(), "--matching-id", "NO"];
        assert!(vuicc(folder, &refused).stderr.contains("8.2.6/3.8"));
    }
    let smdp = smdp.restart(&options);
    let download =
        ["lpa", "--card", "card.img", "profile", "download", "--smdp", smdp.address(), "--matching-id", "AGAIN"];
    let _ = vuicc(folder, &[&download[..], &["--yes"]].concat()).success();
}

/// Certificates and orders expire, by the server's clock and by the LPA's.
#[test]
fn what_has_expired_is_refused_by_either_clock() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _ = vuicc(folder, &["card", "new", "card.img"]).success();
    let package = subscriber::package(folder, &subscriber(1));
    let download = |smdp: &SmDp, options: &[&str]| {
        let order = ["--smdp", smdp.address(), "--matching-id", "AGAIN", "--yes"];
        vuicc(folder, &[&["lpa", "--card", "card.img"], options, &["profile", "download"], &order].concat())
    };
    let smdp = SmDp::serve(folder);
    smdp.offer(&package, &["--matching-id", "AGAIN", "--expires-in", "1"]);
    let late = download(&smdp, &["--clock", "+50y"]);
    assert!(!late.status.success() && late.stderr.contains("expired"), "{late:#?}");
    let early = download(&smdp, &["--clock", "2001-01-01T00:00:00Z"]);
    assert!(!early.status.success() && early.stderr.contains("not valid yet"), "{early:#?}");

    let smdp = smdp.restart(&["--clock", "+2h"]);
    let late = download(&smdp, &["--clock", "+2h"]);
    assert!(!late.status.success() && late.stderr.contains("8.8.5/4.10"), "{late:#?}");
    smdp.reset(&subscriber::iccid(1));
    smdp.order(&subscriber::iccid(1), &["--matching-id", "AGAIN"]);
    let smdp = smdp.restart(&["--clock", "+100y"]);
    let late = download(&smdp, &["--ignore-validity"]);
    assert!(!late.status.success() && late.stderr.contains("8.1.2/6.3"), "{late:#?}");
}

/// Bad input: one line, with the way out, and nothing is made.
#[test]
fn a_seed_or_clock_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (arguments, cause) in [
        (&["card", "new", "card.img", "--seed", "short"][..], "at least 8 characters"),
        (&["card", "new", "card.img", "--clock", "tomorrow"], "+90d"),
        (&["smdp", "serve", "--clock", "2027-02-30T00:00:00Z"], "a clock is set to a moment"),
        (&["lpa", "--seed", "no card in here", "chip", "info"], "name its image with --card"),
    ] {
        let refused = vuicc(folder, arguments);
        assert!(!refused.status.success() && refused.stderr.contains(cause), "{refused:#?}");
    }
    assert!(!folder.join("card.img").exists() && !folder.join("state/smdp.db").exists());
}
