//! Each fault that an SM-DP+ can be ordered to have, played: what this project's LPA sees over HTTPS, what an operator's
//! client sees over ES2+, and for some of them what lpac sees. The catalogue in `docs/faults.md` is made from the same table.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apdu::InProcess;
use card::entropy::{ChaCha, Seed};
use card::open_repeatably;
use card::personalise::{Euicc, euicc, mint_pki};
use lpa::{Decision, HttpsClient, Offer, Order, Settings, Trust, User, download};
use rsp::certificate::Role;
use rsp::es2plus::{ConfirmOrderRequest, DownloadOrderRequest, ReleaseProfileRequest};
use rsp_server::{CallError, Client};
use smdp::fault::kind::{Played, Row};
use smdp::fault::order::places;
use smdp::fault::{At, Fault, Faults, Listeners, ROWS};
use smdp::order::{MatchingId, OrderRequest, ProfileSelector, order};
use smdp::profile::Offered;
use smdp::{Config, Es2Plus, Operator, Server, System};
use test_pki::{Pki, ServerName};
use tokio::runtime::Runtime;
use vuicc_tests::server_faults::{LPAC, Seen};
use vuicc_tests::subscriber::{self, subscriber};

const NOW: u64 = 1_795_457_691;
const OPERATOR: &str = "operator.example";

struct Person {
    decision: Decision,
}

impl User for Person {
    fn consent(&mut self, _: Offer<'_>) -> Decision {
        self.decision
    }
}

/// What all of them have in common: a PKI, a card that is copied, a profile package.
struct Stage {
    folder: tempfile::TempDir,
    pki: Pki,
    package: Vec<u8>,
    runtime: Runtime,
    system: System,
}

fn seed() -> Seed {
    "faults of servers".parse().unwrap()
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut entropy = ChaCha::from_seed(&seed(), "stage");
        let pki = mint_pki(None, NOW, &mut entropy).unwrap();
        euicc(&Euicc::new(pki.clone(), NOW), &mut entropy).unwrap().save(&folder.path().join("card.img")).unwrap();
        let package = std::fs::read(subscriber::package(folder.path(), &subscriber(1))).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let system = System { clock: Arc::new(|| NOW), ..System::default() };
        Self { folder, pki, package, runtime, system }
    }

    /// A server with this fault, and a profile that may be downloaded any number of times.
    fn serve(&self, ordered: &str) -> Server {
        let faults = vec![ordered.parse::<Fault>().unwrap()];
        let listeners = Listeners { has_tls: true, has_es2plus: true };
        let faults = Faults::new(faults, listeners, &self.pki, &self.system).unwrap();
        let mut config = Config::from_pki(&self.pki).unwrap();
        let own = ServerName::loopback();
        let tls = faults.tls_identity(&self.system, &self.pki, "127.0.0.1", &own).unwrap();
        config.es2plus = Some(Es2Plus {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: rsp_server::tls_identity(self.pki.get(Role::DpTls).unwrap()).unwrap(),
            roots: vec![self.ci()],
            operators: vec![Operator::named(OPERATOR)],
        });
        config.tls = Some(tls);
        config.faults = Some(faults);
        config.system = self.system.clone();
        let server = self.runtime.block_on(smdp::serve(config)).unwrap();
        let offered = Offered { name: "one", provider: "vuicc", class: rsp::metadata::ProfileClass::OPERATIONAL };
        let profile = offered.profile(&self.package, server.address(), &[], NOW).unwrap();
        let request = OrderRequest {
            matching_id: MatchingId::Given("FAULT".into()),
            reusable: true,
            ..OrderRequest::new(ProfileSelector::Iccid(profile.iccid().clone()))
        };
        self.runtime.block_on(async {
            server.store().add_profiles(&[(profile, &self.package)]).await.unwrap();
            order(server.store(), request, &mut |_| {}, NOW).await.unwrap();
        });
        server
    }

    fn ci(&self) -> Vec<u8> {
        self.pki.get(Role::Ci).unwrap().der().to_vec()
    }

    /// What becomes of a download, in one line.
    fn phone(&self, ordered: &str) -> String {
        let server = self.serve(ordered);
        let image = self.folder.path().join("copy.img");
        std::fs::copy(self.folder.path().join("card.img"), &image).unwrap();
        let card = InProcess::connect(open_repeatably(&image, ChaCha::from_seed(&seed(), ordered)).unwrap());
        let mut euicc = lpa::Euicc::open(card, lpa::Options::default()).unwrap();
        let settings = Settings {
            exchange_limit: Duration::from_secs(2),
            clock: calendar::Clock::Frozen(NOW),
            ..Settings::new(Trust::Cis(vec![self.ci()]))
        };
        let mut client = HttpsClient::with(&settings).unwrap();
        let is_rejected = ordered.starts_with(At::CancelSession.name());
        let mut person = Person { decision: if is_rejected { Decision::Reject } else { Decision::Accept } };
        let wanted = Order::new(server.address(), Some("FAULT".into()));
        let outcome = download(&mut euicc, &mut client, &wanted, &settings.checks(NOW), &mut person);
        euicc.close();
        let said = match outcome {
            Ok(installed) if installed.is_reported => "installed".to_owned(),
            Ok(_) => "installed; the report stays on the eUICC".to_owned(),
            Err(error) => line(&error),
        };
        let said = said.replace(server.address(), "SMDP");
        drop(server);
        said
    }

    /// What an operator sees.
    fn operator(&self, ordered: &str) -> String {
        let server = self.serve(ordered);
        let name = ServerName::Dns(OPERATOR.into());
        let credential = self.pki.issue_operator(&[name], NOW, &mut |octets| getrandom::fill(octets).unwrap()).unwrap();
        let identity = rsp_server::tls_identity(&credential).unwrap();
        let url = format!("https://{}", server.es2plus_at().unwrap());
        let clock = Arc::clone(&self.system.clock);
        let client = Client::by(clock, &url, OPERATOR, &[self.ci()], Some(&identity)).unwrap();
        let iccid: identities::Iccid = subscriber::iccid(1).parse().unwrap();
        let outcome: Result<(), CallError> = self.runtime.block_on(async {
            match ordered.split('=').next().unwrap() {
                "downloadOrder" => {
                    let call = DownloadOrderRequest { iccid: Some(iccid), ..DownloadOrderRequest::default() };
                    client.call("1", &call).await.map(drop)
                }
                "confirmOrder" => {
                    let call = ConfirmOrderRequest {
                        iccid,
                        eid: None,
                        matching_id: None,
                        confirmation_code: None,
                        smds_address: None,
                        release_flag: true,
                    };
                    client.call("1", &call).await.map(drop)
                }
                _ => client.call("1", &ReleaseProfileRequest { iccid }).await.map(drop),
            }
        });
        let said = outcome.map_or_else(|error| error.to_string(), |()| "executed".to_owned());
        said.replace(&url, "ES2PLUS")
    }

    fn play(&self, Played { order, .. }: &Played) -> String {
        let fault: Fault = order.parse().unwrap();
        if fault.at.is_of_operators() { self.operator(order) } else { self.phone(order) }
    }
}

/// An error and its causes.
fn line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let words = cause.to_string();
        if !text.contains(&words) {
            let _ = write!(text, ": {words}");
        }
        below = cause.source();
    }
    text
}

/// With `SEEN=1` it prints what was seen, for the table.
#[test]
fn every_fault_is_seen_as_the_catalogue_says() {
    let stage = Stage::new();
    let mut others = Vec::new();
    for played in ROWS.iter().flat_map(|row| row.played) {
        let seen = stage.play(played);
        if std::env::var_os("SEEN").is_some() {
            println!("SEEN {} => {seen}", played.order);
        }
        if seen != played.seen {
            others.push(format!("{}: {seen}\n  instead of: {}", played.order, played.seen));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

/// A fault at the first call, and at the second.
#[test]
fn a_fault_strikes_when_it_is_due() {
    let stage = Stage::new();
    let server = stage.serve("authenticateClient=status:8.2/1.2@2");
    let settings = Settings { clock: calendar::Clock::Frozen(NOW), ..Settings::new(Trust::Cis(vec![stage.ci()])) };
    let mut outcomes = Vec::new();
    for number in 0..3 {
        let image = stage.folder.path().join(format!("{number}.img"));
        std::fs::copy(stage.folder.path().join("card.img"), &image).unwrap();
        let mut euicc =
            lpa::Euicc::open(InProcess::connect(card::open(&image).unwrap()), lpa::Options::default()).unwrap();
        let mut client = HttpsClient::with(&settings).unwrap();
        let wanted = Order::new(server.address(), Some("FAULT".into()));
        let mut person = Person { decision: Decision::Accept };
        outcomes.push(download(&mut euicc, &mut client, &wanted, &settings.checks(NOW), &mut person).is_ok());
    }
    assert_eq!(outcomes, [true, false, true]);
}

/// The catalogue in the documentation; with `UPDATE=1` it is written.
#[test]
fn the_catalogue_is_made_from_the_table() {
    const BEGIN: &str = "<!-- faults of servers: made from network/smdp/src/fault/kind.rs -->\n";
    const END: &str = "<!-- end of faults of servers -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (inside, after) = rest.split_once(END).unwrap();
    let made = catalogue();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
        return;
    }
    assert!(inside == made, "docs/faults.md is not made from the table: UPDATE=1 cargo test --test server_faults");
}

fn catalogue() -> String {
    let mut page = String::new();
    for Row { name, value, at, does, played, .. } in ROWS {
        let form = value.form();
        let at = if at.len() == At::ALL.len() - 1 { "any function".to_owned() } else { places(row_of(name).unwrap()) };
        let _ = writeln!(page, "\n### `{name}{form}`\n\nThe server {does}. At: {at}.\n");
        let _ = writeln!(page, "| `--fault` | what is seen |\n|---|---|");
        for Played { order, seen } in *played {
            let _ = writeln!(page, "| `{order}` | {} |", seen.replace('|', "\\|"));
        }
    }
    page.push_str("\n### What lpac makes of some of them\n\nlpac 8f68d5c (2.3) looks at no TLS certificate and at no time; what the eUICC does not refuse, it takes.\n\n| `--fault` | it ends at | and says |\n|---|---|---|\n");
    for Seen { fault, at, what } in LPAC {
        let at = if *at == "success" { "the profile is installed".to_owned() } else { format!("`{at}`") };
        let _ = writeln!(page, "| `{fault}` | {at} | {what} |");
    }
    page.push('\n');
    page
}

fn row_of(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
