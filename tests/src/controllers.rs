//! Two Bluetooth controllers in one room, which Bumble is: each serves one device by HCI over TCP, and they hear each
//! other.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use crate::peer;
use crate::process::Process;

/// Two virtual controllers.
#[derive(Debug)]
pub struct Controllers {
    hci: [SocketAddr; 2],
    _process: Process,
}

impl Controllers {
    /// Starts them; `None`, said aloud, where `BUMBLE` does not name a Python that has Bumble.
    ///
    /// # Panics
    /// If they do not come up.
    pub fn start(folder: &Path) -> Option<Self> {
        let python = peer::named_by("BUMBLE", "Bumble")?;
        let hci = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()));
        let hci = hci.map(|address| address.expect("a free port"));
        let mut command = Command::new(python);
        command.args(["-m", "bumble.apps.controllers"]).args(hci.map(|address| format!("tcp-server:{address}")));
        let mut process = Process::start(&mut command, folder);
        // Nobody may knock, as a controller has one host only.
        let ports = hci.map(|address| format!(":{:04X} ", address.port()));
        process.wait_until("both controllers", |_| {
            let sockets = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
            let listening: Vec<_> = sockets.lines().filter(|line| line.contains(" 0A ")).collect();
            ports.iter().all(|port| listening.iter().any(|line| line.contains(port)))
        });
        Some(Self { hci, _process: process })
    }

    /// Where the first speaks HCI, and the second.
    pub fn hci(&self) -> [String; 2] {
        self.hci.map(|address| address.to_string())
    }
}
