//! A PostgreSQL of a test's own, on loopback, that can be taken away as by a power cut and started again.
//!
//! `postgres` does not run as root; it becomes `nobody` then.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::network::free_port;
use crate::peer;
use crate::process::{Process, run, until_death};

/// User and group `nobody`.
const NOBODY: u32 = 65534;
/// The superuser of the cluster.
const USER: &str = "vuicc";

/// Where a cluster is, whether its server runs or not.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Cluster {
    /// Makes one; `None`, said aloud, if PostgreSQL is not installed.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new(test: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            peer::skip(test, "PostgreSQL is not installed; apt install postgresql");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        if geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("a folder can be given away by root");
        }
        let cluster = Self { programs, folder, port: free_port() };
        let mut initdb = cluster.command("initdb");
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--username", USER, "--pgdata"]);
        let _ = run(initdb.arg(cluster.data())).success();
        Some(cluster)
    }

    /// What names its database.
    pub fn url(&self) -> String {
        self.other_url("postgres")
    }

    /// What would name another database there.
    pub fn other_url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Starts its server, and waits until it takes connections.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn serve(&self, logs: &Path) -> Process {
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path()).arg("-p").arg(self.port.to_string());
        for setting in ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=100", "shared_buffers=16MB"] {
            postgres.args(["-c", setting]);
        }
        let status = self.data().join("postmaster.pid");
        loop {
            let mut server = Process::start(&mut postgres, logs);
            let id = server.id().to_string();
            // The last line of the file says so; what an earlier server left behind begins with another number.
            let is_ready = || {
                let text = fs::read_to_string(&status).unwrap_or_default();
                text.lines().next() == Some(&*id) && text.lines().any(|line| line.trim() == "ready")
            };
            let mut gone = false;
            server.wait_until("connections", |server| {
                gone = server.log().contains("is still in use");
                gone || is_ready()
            });
            if !gone {
                return server;
            }
            // Those who worked for a server that was killed have to notice first.
            server.wait_for_end();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        // SIGQUIT: at once, and its own children with it.
        let mut command = until_death("QUIT");
        if geteuid().is_root() {
            command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()]);
        }
        command.arg("--").arg(self.programs.join(program)).current_dir(self.folder.path());
        command
    }
}

/// The folder of the newest version Debian has installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders.filter(|folder| folder.join("postgres").is_file()).max()
}
