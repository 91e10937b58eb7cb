//! A PC/SC service for one test alone.

use std::env;
use std::io::{self, Read};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use reader_bridge::pcsc_reader::list_readers;

use crate::process::start;
use crate::{peer, repository, vuicc};

/// Set in the environment of a test that runs beside its private reader.
const BESIDE_READER: &str = "VUICC_TEST_BESIDE_READER";
/// Where `scripts/private-pcscd` tells the port of the first slot.
const PORT: &str = "VPCD_PORT";

/// The virtual reader of a test: two slots, or more where more were asked for, and nothing else in sight.
#[derive(Clone, Debug)]
pub struct Reader {
    port: u16,
}

impl Reader {
    /// The name the PC/SC service gives the first slot.
    pub const FIRST: &str = "Virtual PCD 00 00";
    /// The name the PC/SC service gives the second slot.
    pub const SECOND: &str = "Virtual PCD 00 01";

    /// The reader this process was started beside, if it was.
    pub fn here() -> Option<Self> {
        let port = env::var(PORT).ok()?.parse().ok()?;
        Some(Self { port })
    }

    /// The name the PC/SC service gives a slot: 0 and 1 are the first reader's, 2 and 3 the second one's.
    pub const fn name(slot: u16) -> &'static str {
        match slot {
            0 => Self::FIRST,
            1 => Self::SECOND,
            2 => "Virtual PCD 2 00 00",
            _ => "Virtual PCD 2 00 01",
        }
    }

    /// Whether the PC/SC service sees a card in a slot, which has answered to reset.
    pub fn holds_card(&self, slot: u16) -> bool {
        Self::card(slot).is_some_and(|atr| !atr.is_empty())
    }

    /// The answer to reset of the card in a slot, empty if there is none yet.
    fn card(slot: u16) -> Option<Vec<u8>> {
        let readers = list_readers().unwrap_or_default();
        readers.into_iter().find(|reader| reader.name == Self::name(slot)).and_then(|reader| reader.card)
    }

    /// Waits until the PC/SC service has noticed that a card is gone.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_until_empty(&self, slot: u16) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Self::card(slot).is_some() {
            assert!(Instant::now() < deadline, "{} is not empty", Self::name(slot));
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where a card connects to be in a slot.
    pub fn slot(&self, slot: u16) -> String {
        format!("127.0.0.1:{}", self.port + slot)
    }
}

/// Runs `test` beside a PC/SC service in a network of its own, of which only loopback exists.
///
/// The test is started a second time, as the command of `scripts/private-pcscd`; only that second run calls `test`.
/// Must be called on the thread of a `#[test]`, whose name says which test to start.
///
/// # Panics
/// If the test fails in there.
pub fn beside_private_reader(test: impl FnOnce(&Reader)) {
    beside_private_readers(1, test);
}

/// As [`beside_private_reader`], with so many readers of two slots each.
///
/// # Panics
/// If the test fails in there.
pub fn beside_private_readers(readers: u8, test: impl FnOnce(&Reader)) {
    if env::var_os(BESIDE_READER).is_some() {
        thread::spawn(end_with_lifeline);
        return test(&Reader::here().expect("scripts/private-pcscd sets VPCD_PORT"));
    }
    let current = thread::current();
    let name = current.name().expect("a test's thread carries its name");
    let script = repository().join("scripts/private-pcscd");
    let probe = Command::new(&script).args(["-n", "true"]).output().expect("scripts/private-pcscd can be started");
    if !probe.status.success() {
        return peer::skip(name, String::from_utf8_lossy(&probe.stderr).trim());
    }
    let mut inner = Command::new(&script);
    inner
        .args(["-n", "-r", &readers.to_string()])
        .arg(env::current_exe().expect("a running program is a file"))
        .args([name, "--exact", "--nocapture"]);
    inner.env(BESIDE_READER, "1").env(vuicc::PROGRAM, vuicc::program());
    // A proxy of this machine is out of reach in there.
    for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        inner.env_remove(proxy);
    }
    let mut child = start(&inner, Stdio::piped(), Stdio::piped(), Stdio::piped());
    let _lifeline = child.stdin.take();
    let outcome = child.wait_with_output().expect("a child can be waited for");
    let (out, err) = (String::from_utf8_lossy(&outcome.stdout), String::from_utf8_lossy(&outcome.stderr));
    for line in err.lines().filter(|line| line.contains(" ... skipped: ")) {
        peer::say(line);
    }
    println!("{out}{err}");
    assert!(outcome.status.success() && out.contains("1 passed"), "{name} failed beside its private reader");
}

/// Ends this run of a test when the run that has started it is gone, whose end of the pipe to stdin nobody has then: there
/// is nobody left who could tell what came of it. All that it has started ends with it.
fn end_with_lifeline() {
    while io::stdin().read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
    process::exit(1);
}
