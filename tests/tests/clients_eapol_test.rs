//! `eapol_test` of Debian's `eapoltest`: an EAP-SIM, EAP-AKA and EAP-AKA' peer that finds its USIM in a PC/SC reader.
//!
//! It speaks RADIUS to the EAP server of Debian's `hostapd`, which asks our authentication centre over a Unix socket:
//!
//! ```text
//! our USIM ── PC/SC ── eapol_test ── RADIUS ── hostapd ── unix datagrams ── our authentication centre
//! ```

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use saip::builder::{Code, Subscriber};
use vuicc_tests::process::{Finished, Process, run};
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::subscriber::{AuthenticationCentre, IMSI, K, OPC, package, subscriber};
use vuicc_tests::{peer, vuicc};

#[test]
fn aka() {
    beside_hostapd(&subscriber(1), |network| {
        network.authenticate("AKA").expect_success();
        network.authenticate("AKA").expect_success();
        assert_eq!(network.requests("AKA-REQ-AUTH"), 2, "one challenge each");
        assert_eq!(network.requests("AKA-AUTS"), 0);
    });
}

#[test]
fn aka_prime() {
    beside_hostapd(&subscriber(1), |network| {
        network.authenticate("AKA'").expect_success();
        assert_eq!(network.requests("AKA-REQ-AUTH"), 1);
    });
}

#[test]
fn sim() {
    beside_hostapd(&subscriber(1), |network| {
        network.authenticate("SIM").expect_success();
        assert_eq!(network.requests("SIM-REQ-AUTH"), 1);
    });
}

/// The card has seen higher sequence numbers than the network remembers, also after its power was cut.
#[test]
fn a_network_that_lost_count_is_brought_back_in_step() {
    beside_hostapd(&subscriber(1), |network| {
        network.centre().add(IMSI, &K, &OPC, 1_000_000);
        network.authenticate("AKA").expect_success();
        network.centre().add(IMSI, &K, &OPC, 1);
        network.authenticate("AKA").expect_success();
        assert_eq!(network.requests("AKA-AUTS"), 1);
        assert_eq!(network.requests("AKA-AUTS accepted"), 1, "the card's AUTS is genuine");
        assert_eq!(network.requests("AKA-REQ-AUTH"), 3);
        network.authenticate("AKA").expect_success();
        assert_eq!(network.requests("AKA-AUTS"), 1, "in step again");
    });
}

#[test]
fn a_network_without_the_key_is_turned_away() {
    beside_hostapd(&subscriber(1), |network| {
        network.centre().add(IMSI, &[0xEE; 16], &OPC, 10);
        let said = network.authenticate("AKA").expect_failure();
        assert!(said.contains("Authentication-Reject") || said.contains("did not match"), "{said}");
        network.centre().add(IMSI, &K, &OPC, 10);
        network.authenticate("AKA").expect_success();
    });
}

#[test]
fn pin_1_is_asked_for_where_it_is_enabled() {
    let mut careful = subscriber(1);
    careful.codes.pin1 = Code::new("1234");
    careful.codes.pin1_enabled = true;
    beside_hostapd(&careful, |network| {
        network.authenticate("AKA").expect_success();
        network.pin = "4321";
        // It has nothing to answer with then, and waits for its time to run out.
        network.patience = "2";
        network.authenticate("AKA").expect_failure();
        assert_eq!(network.requests("AKA-REQ-AUTH"), 1, "no IMSI to be had without the PIN");
    });
}

/// A card with the subscriber's profile in the reader, and a network to attach to.
struct Network {
    folder: PathBuf,
    eapol_test: PathBuf,
    pin: &'static str,
    /// Seconds after which `eapol_test` gives up.
    patience: &'static str,
    centre: Door,
    _hostapd: Process,
    _card: Process,
}

const RADIUS_PORT: &str = "18120";
const RADIUS_SECRET: &str = "between the two of us";

fn beside_hostapd(subscriber: &Subscriber, test: impl FnOnce(&mut Network)) {
    let (Some(eapol_test), Some(hostapd)) =
        (peer::debian("eapol_test", "eapoltest"), peer::debian("hostapd", "hostapd"))
    else {
        return;
    };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = vuicc::Card::new(folder.path(), &[&package(folder.path(), subscriber)]);
        let mut centre = AuthenticationCentre::default();
        centre.add(IMSI, &K, &OPC, 1);
        test(&mut Network {
            folder: folder.path().to_owned(),
            eapol_test,
            pin: "1234",
            patience: "30",
            centre: Door::open(&folder.path().join("auc"), centre),
            _hostapd: serve_radius(&hostapd, folder.path()),
            _card: card.insert(reader, 0),
        });
    });
}

fn serve_radius(hostapd: &Path, folder: &Path) -> Process {
    // The first digit of an identity tells the method, and whether it is a pseudonym. RFC 4186, 4187, 9048.
    fs::write(
        folder.join("users"),
        "\"0\"* AKA\n\"2\"* AKA\n\"4\"* AKA\n\"1\"* SIM\n\"3\"* SIM\n\"5\"* SIM\n\"6\"* AKA'\n\"7\"* AKA'\n\"8\"* AKA'\n",
    )
    .unwrap();
    fs::write(folder.join("clients"), format!("127.0.0.1 {RADIUS_SECRET}\n")).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let settings = [
        ("driver", "none".into()),
        ("interface", "lo".into()),
        ("logger_stdout", "-1".into()),
        ("eap_server", "1".into()),
        ("eap_user_file", path("users")),
        ("eap_sim_db", format!("unix:{}", path("auc"))),
        ("eap_sim_id", "3".into()),
        ("radius_server_clients", path("clients")),
        ("radius_server_auth_port", RADIUS_PORT.into()),
    ];
    let text = settings.iter().fold(String::new(), |text, (name, value)| text + name + "=" + value + "\n");
    fs::write(folder.join("hostapd.conf"), text).unwrap();
    let mut process = Process::start(Command::new(hostapd).arg("-d").arg(folder.join("hostapd.conf")), folder);
    process.wait_until("its RADIUS server", |_| {
        // The socket table of this network: local port in hexadecimal.
        fs::read_to_string("/proc/net/udp").is_ok_and(|table| table.contains(":46C8 "))
    });
    process
}

impl Network {
    /// One run of `eapol_test`: the card is powered, asked, and let go.
    fn authenticate(&self, method: &str) -> Outcome {
        let settings = self.folder.join("eapol.conf");
        let pin = self.pin;
        fs::write(
            &settings,
            format!("network={{\n ssid=\"x\"\n key_mgmt=WPA-EAP\n eap={method}\n pcsc=\"\"\n pin=\"{pin}\"\n}}\n"),
        )
        .unwrap();
        Outcome(run(Command::new(&self.eapol_test).arg("-c").arg(settings).args([
            "-R",
            Reader::FIRST,
            "-a",
            "127.0.0.1",
            "-p",
            RADIUS_PORT,
            "-s",
            RADIUS_SECRET,
            "-t",
            "20",
        ])))
    }

    /// What the network knows of its subscribers.
    fn centre(&self) -> std::sync::MutexGuard<'_, AuthenticationCentre> {
        self.centre.centre.lock().unwrap()
    }

    /// How many requests to the authentication centre began with these words.
    fn requests(&self, words: &str) -> usize {
        self.centre.heard.lock().unwrap().iter().filter(|request| request.starts_with(words)).count()
    }
}

struct Outcome(Finished);

impl Outcome {
    fn expect_success(self) {
        let Finished { status, stdout, .. } = &self.0;
        let proven =
            status.success() && stdout.contains("MPPE keys OK: 1  mismatch: 0") && stdout.ends_with("SUCCESS\n");
        assert!(proven, "no success:\n{stdout}");
    }

    fn expect_failure(self) -> String {
        let Finished { status, stdout, .. } = self.0;
        assert!(!status.success() && stdout.ends_with("FAILURE\n"), "no failure:\n{stdout}");
        stdout
    }
}

/// The authentication centre behind the Unix socket at which hostapd asks.
struct Door {
    centre: Arc<Mutex<AuthenticationCentre>>,
    heard: Arc<Mutex<Vec<String>>>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    fn open(path: &Path, centre: AuthenticationCentre) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let centre = Arc::new(Mutex::new(centre));
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let closing = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (centre, heard, closing) = (Arc::clone(&centre), Arc::clone(&heard), Arc::clone(&closing));
            move || {
                let mut buffer = [0; 2048];
                while !closing.load(Ordering::Relaxed) {
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                    let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    let (note, reply) = answer(&mut centre.lock().unwrap(), &request);
                    heard.lock().unwrap().push(note);
                    if let (Some(reply), Some(back)) = (reply, from.as_pathname()) {
                        socket.send_to(reply.as_bytes(), back).unwrap();
                    }
                }
            }
        });
        Self { centre, heard, closing, thread: Some(thread) }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// hostapd's words: a note of the request for the test, and the reply. Values are hexadecimal.
fn answer(centre: &mut AuthenticationCentre, request: &str) -> (String, Option<String>) {
    let words: Vec<&str> = request.split_whitespace().collect();
    let reply = match *words.as_slice() {
        ["AKA-REQ-AUTH", imsi] => {
            let values = centre.quintet(imsi).map(|quintet| quintet.map(hex::encode).join(" "));
            format!("AKA-RESP-AUTH {imsi} {}", values.as_deref().unwrap_or("FAILURE"))
        }
        ["SIM-REQ-AUTH", imsi, count] => {
            let triplets = (0..count.parse().unwrap_or(0)).map(|_: u8| centre.triplet(imsi));
            let values = triplets.collect::<Option<Vec<_>>>().map(|triplets| {
                triplets.into_iter().fold(String::new(), |mut text, triplet| {
                    let _ = write!(text, " {}", triplet.map(hex::encode).join(":"));
                    text
                })
            });
            format!("SIM-RESP-AUTH {imsi}{}", values.as_deref().unwrap_or(" FAILURE"))
        }
        ["AKA-AUTS", imsi, auts, rand] => {
            let genuine = match (hex::decode(auts), hex::decode(rand).map(<[u8; 16]>::try_from)) {
                (Ok(auts), Ok(Ok(rand))) => centre.resynchronise(imsi, &rand, &auts),
                _ => false,
            };
            return (format!("AKA-AUTS {}", if genuine { "accepted" } else { "refused" }), None);
        }
        _ => panic!("hostapd asks `{request}`"),
    };
    (request.to_owned(), Some(reply))
}
