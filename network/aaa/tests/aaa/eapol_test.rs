//! `eapol_test` of Debian's `eapoltest`, an EAP peer with a software USIM behind its control socket, in front of our
//! RADIUS listener; and in front of Debian's `hostapd`, which asks our authentication centre.
//!
//! ```text
//! USIM here ── control socket ── eapol_test ── RADIUS ── our EAP server ── HLR
//! USIM here ── control socket ── eapol_test ── RADIUS ── hostapd ── unix datagrams ── our HLR
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use aaa::eap::{IdentityRound, Server, Settings};
use aaa::eap_sim_db;
use aaa::radius::{RadiusServer, Secret};
use crypto::aka::{Aka, Sqn, kc, sres};
use crypto::milenage::Milenage;
use hex_literal::hex;
use hlr::{AlgorithmSet, Change, Credentials, Hlr, MasterKey, Status, Subscription};
use tokio::net::UdpSocket;

const K: [u8; 16] = hex!("465b5ce8b199b49faa5f0a2ee238a6bc");
const OPC: [u8; 16] = hex!("cd63cb71954a9f4e48a5994e37a02baf");
const IMSI: &str = "001010000000001";
const SECRET: &str = "between the two of us";

#[tokio::test(flavor = "multi_thread")]
async fn each_method() {
    for (method, prefix) in [("AKA", 0), ("AKA'", 6), ("SIM", 1)] {
        let run = Run { method, prefix, ..Run::default() };
        let Some(outcome) = run.against_us(Settings::access(), Credentials::milenage(K, OPC)).await else { return };
        outcome.expect_success(1);
        assert_eq!(outcome.card_asked, 1);
    }
}

/// Every subset of the methods in every order, whatever the identity begins with: each leads to success as long as the
/// operator lets a USIM do one of them, and by the method that RFC 9048 §4 leaves.
#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_methods() {
    const ORDERS: [&str; 15] = [
        "AKA",
        "AKA'",
        "SIM",
        "AKA AKA'",
        "AKA' AKA",
        "AKA SIM",
        "SIM AKA",
        "AKA' SIM",
        "SIM AKA'",
        "AKA AKA' SIM",
        "AKA SIM AKA'",
        "AKA' AKA SIM",
        "AKA' SIM AKA",
        "SIM AKA AKA'",
        "SIM AKA' AKA",
    ];
    for sim in [true, false] {
        for method in ORDERS {
            for prefix in [0, 6, 1] {
                let run = Run { method, prefix, sim, options: &["-t5"], ..Run::default() };
                let Some(outcome) = run.against_us(Settings::access(), Credentials::milenage(K, OPC)).await else {
                    return;
                };
                if sim || method != "SIM" {
                    outcome.expect_success(1);
                } else {
                    outcome.expect_failure();
                    assert_eq!(outcome.card_asked, 0, "no triplets");
                }
            }
        }
    }
}

/// What a SIM knows, of the time before the USIM.
#[tokio::test(flavor = "multi_thread")]
async fn a_sim_authenticates_by_eap_sim() {
    let sim = Credentials { algorithm: AlgorithmSet::GsmMilenage, ..Credentials::milenage(K, OPC) };
    for method in ["SIM", "SIM AKA", "AKA SIM"] {
        let run = Run { method, prefix: 1, sim: false, ..Run::default() };
        let Some(outcome) = run.against_us(Settings::access(), sim.clone()).await else { return };
        outcome.expect_success(1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_identity_round() {
    for (method, prefix) in [("AKA", 0), ("AKA'", 6), ("SIM", 1)] {
        let settings = Settings { identity_round: IdentityRound::WhenNeeded, ..Settings::access() };
        let run = Run { method, prefix, ..Run::default() };
        let Some(outcome) = run.against_us(settings, Credentials::milenage(K, OPC)).await else { return };
        outcome.expect_success(1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fast_reauthentication() {
    for (method, prefix) in [("AKA", 0), ("AKA'", 6), ("SIM", 1)] {
        let run = Run { method, prefix, options: &["-r2"], ..Run::default() };
        let Some(outcome) = run.against_us(Settings::access(), Credentials::milenage(K, OPC)).await else { return };
        outcome.expect_success(3);
        assert_eq!(outcome.card_asked, 1, "twice without the card");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_in_writing() {
    for (method, prefix) in [("AKA", 0), ("AKA'", 6), ("SIM", 1)] {
        let run = Run { method, prefix, phase1: "result_ind=1", options: &["-r1"], ..Run::default() };
        let Some(outcome) = run.against_us(Settings::access(), Credentials::milenage(K, OPC)).await else { return };
        outcome.expect_success(2);
        assert!(outcome.log.contains("Notification"), "{}", outcome.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resynchronisation() {
    for (method, prefix) in [("AKA", 0), ("AKA'", 6)] {
        let run = Run { method, prefix, seq: 1_000_000, ..Run::default() };
        let Some(outcome) = run.against_us(Settings::access(), Credentials::milenage(K, OPC)).await else { return };
        outcome.expect_success(1);
        assert_eq!(outcome.card_asked, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_fails() {
    for (method, prefix) in [("AKA", 0), ("AKA'", 6), ("SIM", 1)] {
        let run = Run { method, prefix, ..Run::default() };
        let Some(outcome) = run.against_us(Settings::access(), Credentials::milenage([1; 16], OPC)).await else {
            return;
        };
        outcome.expect_failure();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_is_not_answered() {
    let run = Run { secret: "something else", options: &["-t2"], ..Run::default() };
    let Some(outcome) = run.against_us(Settings::access(), Credentials::milenage(K, OPC)).await else { return };
    outcome.expect_failure();
    assert_eq!(outcome.card_asked, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostapd_asks_our_authentication_centre() {
    for (method, prefix, seq) in [("AKA", 0, 0), ("AKA'", 6, 0), ("SIM", 1, 0), ("AKA", 0, 1_000_000)] {
        let run = Run { method, prefix, seq, ..Run::default() };
        let Some(outcome) = run.against_hostapd(Credentials::milenage(K, OPC)).await else { return };
        outcome.expect_success(1);
        assert_eq!(outcome.card_asked, if seq == 0 { 1 } else { 2 });
    }
    let Some(outcome) = Run::default().against_hostapd(Credentials::milenage([1; 16], OPC)).await else { return };
    outcome.expect_failure();
}

/// One run of `eapol_test`.
#[derive(Clone, Copy)]
struct Run {
    method: &'static str,
    prefix: u8,
    phase1: &'static str,
    secret: &'static str,
    options: &'static [&'static str],
    /// The highest SEQ the card has seen.
    seq: u64,
    /// Whether a USIM may be asked by EAP-SIM.
    sim: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self { method: "AKA", prefix: 0, phase1: "", secret: SECRET, options: &[], seq: 0, sim: true }
    }
}

/// What came of it.
struct Outcome {
    success: bool,
    log: String,
    /// How many challenges the card was given.
    card_asked: usize,
}

impl Outcome {
    fn expect_success(&self, keys: usize) {
        let proven = format!("MPPE keys OK: {keys}  mismatch: 0");
        assert!(self.success && self.log.contains(&proven) && self.log.ends_with("SUCCESS\n"), "{}", self.log);
    }

    fn expect_failure(&self) {
        assert!(!self.success && self.log.ends_with("FAILURE\n"), "{}", self.log);
    }
}

impl Run {
    /// Against our RADIUS listener. `None` if there is no `eapol_test`.
    async fn against_us(self, settings: Settings, credentials: Credentials) -> Option<Outcome> {
        let program = program("eapol_test", "eapoltest")?;
        let clients = HashMap::from([(IpAddr::from([127, 0, 0, 1]), Secret::new(SECRET))]);
        let server = RadiusServer::new(Server::new(settings, hlr(credentials, self.sim).await), clients);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port().to_string();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(socket, async move {
            let _ = stopped.await;
        }));
        let outcome = tokio::task::spawn_blocking(move || {
            let folder = tempfile::tempdir().unwrap();
            self.beside_card(folder.path(), || {
                let mut command = Command::new(&program);
                command.args(self.arguments(&port)).args(self.options).current_dir(folder.path());
                command
            })
        });
        let outcome = outcome.await.unwrap();
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
        Some(outcome)
    }

    /// Against hostapd, in a network of its own: its RADIUS server listens everywhere.
    async fn against_hostapd(self, credentials: Credentials) -> Option<Outcome> {
        let eapol_test = program("eapol_test", "eapoltest")?;
        let hostapd = program("hostapd", "hostapd")?;
        let (unshare, _) = (program("unshare", "util-linux")?, program("ip", "iproute2")?);
        if !Command::new(&unshare).args(["-rn", "true"]).status().is_ok_and(|status| status.success()) {
            skip("a network of one's own is not allowed here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let hlr = Arc::new(hlr(credentials, self.sim).await);
        let auc = eap_sim_db::bind(&folder.path().join("auc")).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(eap_sim_db::serve(auc, hlr, async move {
            let _ = stopped.await;
        }));
        let outcome = tokio::task::spawn_blocking(move || {
            let users = "\"0\"* AKA\n\"2\"* AKA\n\"4\"* AKA\n\"1\"* SIM\n\"3\"* SIM\n\"5\"* SIM\n\
                         \"6\"* AKA'\n\"7\"* AKA'\n\"8\"* AKA'\n";
            fs::write(folder.path().join("users"), users).unwrap();
            fs::write(folder.path().join("clients"), format!("127.0.0.1 {SECRET}\n")).unwrap();
            let settings = "driver=none\ninterface=lo\nlogger_stdout=-1\neap_server=1\neap_user_file=users\n\
                            eap_sim_db=unix:auc\neap_sim_id=3\nradius_server_clients=clients\n\
                            radius_server_auth_port=18120\n";
            fs::write(folder.path().join("hostapd.conf"), settings).unwrap();
            // 46C8 is 18120 in the socket table of this network.
            let script = "ip link set lo up; $0 hostapd.conf > hostapd.log 2>&1 & server=$!; \
                          until grep -q ':46C8 ' /proc/net/udp; do kill -0 $server || { cat hostapd.log; exit 9; }; \
                          sleep 0.05; done; \"$@\"; result=$?; kill $server; wait $server; exit $result";
            self.beside_card(folder.path(), || {
                let mut command = Command::new(&unshare);
                command.args(["-rn", "sh", "-c", script]).arg(&hostapd).arg(&eapol_test);
                command.args(self.arguments("18120")).args(self.options).current_dir(folder.path());
                command
            })
        });
        let outcome = outcome.await.unwrap();
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
        Some(outcome)
    }

    fn arguments(&self, port: &str) -> Vec<String> {
        ["-W", "-c", "peer.conf", "-a", "127.0.0.1", "-p", port, "-s", self.secret, "-t", "20"]
            .map(str::to_owned)
            .into()
    }

    /// Runs a command that ends with `eapol_test`, its card beside it.
    fn beside_card(self, folder: &Path, command: impl FnOnce() -> Command) -> Outcome {
        let Self { method, prefix, phase1, .. } = self;
        let mut settings = format!(
            "ctrl_interface=control\nexternal_sim=1\nnetwork={{\n ssid=\"x\"\n key_mgmt=WPA-EAP\n eap={method}\n \
             identity=\"{prefix}{IMSI}@wlan.mnc001.mcc001.3gppnetwork.org\"\n"
        );
        if !phase1.is_empty() {
            writeln!(settings, " phase1=\"{phase1}\"").unwrap();
        }
        fs::write(folder.join("peer.conf"), settings + "}\n").unwrap();
        let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        let output: Output = thread::scope(|scope| {
            scope.spawn(|| Card { milenage: Milenage::new(&K, &OPC), seq: self.seq }.serve(folder, &done, &asked));
            let output = command().stdin(Stdio::null()).output();
            done.store(true, Ordering::Relaxed);
            output.unwrap()
        });
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        Outcome { success: output.status.success(), log, card_asked: asked.into_inner() }
    }
}

async fn hlr(credentials: Credentials, sim: bool) -> Hlr {
    let hlr = Hlr::open(":memory:", MasterKey::new([1; 32])).await.unwrap().with_sim_for_usims(sim);
    let iccid = identities::Iccid::with_check_digit("8988211000000000001").unwrap();
    let imsi = IMSI.parse().unwrap();
    let subscription = Subscription { imsi, iccid, msisdn: None, eid: None, status: Status::Active };
    hlr.add(&subscription, &credentials, &Change::by("test")).await.unwrap();
    hlr
}

/// The USIM that `eapol_test` asks with `external_sim=1`.
struct Card {
    milenage: Milenage,
    seq: u64,
}

impl Card {
    fn serve(mut self, folder: &Path, done: &AtomicBool, asked: &AtomicUsize) {
        let socket = UnixDatagram::bind(folder.join("card")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut buffer = [0; 4096];
        let mut attached = false;
        while !done.load(Ordering::Relaxed) {
            if !attached {
                let entry = fs::read_dir(folder.join("control")).ok().and_then(|mut entries| entries.next());
                let ready = entry.is_some_and(|entry| socket.connect(entry.unwrap().path()).is_ok());
                attached = ready && socket.send(b"ATTACH").is_ok();
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            let Ok(length) = socket.recv(&mut buffer) else { continue };
            let event = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if let Some((network, answer)) = self.answer(&event) {
                asked.fetch_add(1, Ordering::Relaxed);
                socket.send(format!("CTRL-RSP-SIM-{network}:{answer}").as_bytes()).unwrap();
            }
        }
    }

    /// To `CTRL-REQ-SIM-0:UMTS-AUTH:RAND:AUTN needed for …`, and the same with `GSM-AUTH:RAND:RAND…`.
    fn answer(&mut self, event: &str) -> Option<(String, String)> {
        let (_, request) = event.split_once("CTRL-REQ-SIM-")?;
        let mut words = request.split_whitespace().next()?.split(':');
        let (network, kind) = (words.next()?.to_owned(), words.next()?);
        let values: Vec<[u8; 16]> = words.map(|word| hex::decode(word).unwrap().try_into().unwrap()).collect();
        let answer = match (kind, &*values) {
            ("UMTS-AUTH", [rand, token]) => self.umts(rand, token),
            ("GSM-AUTH", rands) => rands.iter().fold("GSM-AUTH".to_owned(), |answer, rand| {
                let response = self.milenage.f2345(rand);
                let kc = hex::encode(kc(&response.ck, &response.ik));
                format!("{answer}:{kc}:{}", hex::encode(sres(&response.res)))
            }),
            other => panic!("eapol_test asks {other:?}"),
        };
        Some((network, answer))
    }

    fn umts(&mut self, rand: &[u8; 16], token: &[u8]) -> String {
        let Ok(challenge) = self.milenage.open_autn(rand, token) else { return "UMTS-FAIL".to_owned() };
        if challenge.sqn.seq() <= self.seq {
            return format!("UMTS-AUTS:{}", hex::encode(self.milenage.auts(rand, Sqn::new(self.seq, 0))));
        }
        self.seq = challenge.sqn.seq();
        let response = challenge.response;
        let [ik, ck, res] = [&response.ik, &response.ck, &response.res].map(hex::encode);
        format!("UMTS-AUTH:{ik}:{ck}:{res}")
    }
}

/// Where a program of a Debian package is, or `None`, said aloud.
fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed (apt install {package})"));
    }
    found
}

/// Says aloud why something is skipped.
fn skip(why: &str) {
    let required = std::env::var_os("VUICC_PEERS").is_some_and(|peers| !peers.is_empty());
    assert!(!required, "{why}, and VUICC_PEERS says it must be there");
    // The harness captures what `eprintln!` prints, not what is written here.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
