//! `vuicc reader qemu` and `vuicc reader usbip` beside a test.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Process, run, unused};
use crate::vuicc::{Card, command};

/// A USB reader that runs.
#[derive(Debug)]
pub struct UsbReader {
    /// Its process.
    pub process: Process,
    state: PathBuf,
    image: PathBuf,
    port: u16,
}

impl UsbReader {
    /// Starts `vuicc reader KIND` with a card and further options, on a free port, and waits until hosts can have it.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start(folder: &Path, kind: &str, card: &Card, options: &[&str]) -> Self {
        let (ready_file, state) = (unused(folder, "usb.json"), folder.join("state"));
        let mut start = command(&state, ["reader", kind]);
        start.arg(card.image()).args(["--listen", "127.0.0.1:0", "--ready-file"]).arg(&ready_file).args(options);
        let mut process = Process::start(&mut start, folder);
        process.wait_until("the reader", |_| ready_file.exists());
        let ready = std::fs::read(&ready_file).expect("a ready file");
        let ready: Value = serde_json::from_slice(&ready).expect("JSON");
        let address = ready["cards"][0]["usb"].as_str().expect("an address");
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
        Self { process, state, image: card.image().to_owned(), port }
    }

    /// The port it listens on.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `vuicc reader pull`, `insert` or `reset`.
    ///
    /// # Panics
    /// If it fails.
    pub fn by_hand(&self, what: &str) {
        let _ = run(command(&self.state, ["reader", what]).arg(&self.image)).success();
    }

    /// How often something was told.
    pub fn told(&self, text: &str) -> usize {
        self.process.log().matches(text).count()
    }
}
