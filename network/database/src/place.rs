//! A PostgreSQL of our own: a cluster in a temporary folder, reached through a socket in it, gone with the last test
//! that uses it. And [`Place`]: wherever a database can be.
//!
//! `postgres` does not run as root; it becomes `nobody` then.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{env, fs};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

/// User and group `nobody`.
const NOBODY: u32 = 65534;
/// The superuser of the cluster.
const USER: &str = "vuicc";

/// A fresh place for a database, which can be opened more than once.
pub struct Place {
    /// What to open.
    pub url: String,
    _folder: Option<TempDir>,
    _cluster: Option<Arc<Cluster>>,
}

impl Place {
    /// A file.
    ///
    /// # Panics
    /// If there can be none.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("database.db").to_str().unwrap().to_owned();
        Self { url, _folder: Some(folder), _cluster: None }
    }

    /// A database in the cluster; `None`, said aloud, if there is no PostgreSQL.
    ///
    /// # Panics
    /// If there is one that does not work.
    pub async fn postgresql() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let cluster = Cluster::shared()?;
        let name = format!("place{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut connection = cluster.connect().await;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        connection.close().await.unwrap();
        Some(Self { url: cluster.url(&name), _folder: None, _cluster: Some(cluster) })
    }
}

/// Tests `async fn(&Place)`, one on SQLite and one on PostgreSQL each.
#[macro_export]
macro_rules! on_each_database {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(&$crate::place::Place::sqlite()).await;
            })+
        }
        mod on_postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                if let Some(place) = $crate::place::Place::postgresql().await {
                    super::$test(&place).await;
                }
            })+
        }
    };
}
pub use crate::on_each_database;

/// The running cluster.
struct Cluster {
    /// Dropped, it ends the server.
    running: Option<Sender<()>>,
    server: Option<JoinHandle<()>>,
    folder: TempDir,
}

impl Cluster {
    /// The one of this process, started if need be.
    fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return Some(cluster);
        }
        let Some(programs) = programs() else {
            assert!(
                env::var_os("VUICC_PEERS").is_none_or(|peers| peers.is_empty()),
                "PostgreSQL must be there: VUICC_PEERS"
            );
            // The test harness captures what `eprintln!` prints, not what is written here.
            let _ = writeln!(std::io::stderr(), "PostgreSQL ... skipped: not installed; apt install postgresql");
            return None;
        };
        let cluster = Arc::new(Self::start(&programs));
        *shared = Arc::downgrade(&cluster);
        Some(cluster)
    }

    fn start(programs: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = folder.path().join("data");
        let output = unprivileged(&programs.join("initdb"), folder.path())
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--username", USER, "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut server = unprivileged(&programs.join("postgres"), folder.path());
        server.arg("-D").arg(&data).arg("-k").arg(folder.path());
        for setting in ["listen_addresses=", "fsync=off", "max_connections=200", "shared_buffers=16MB"] {
            server.args(["-c", setting]);
        }
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let (running, stop) = channel::<()>();
        // The server ends with the thread that started it, however that ends.
        let thread = thread::spawn(move || {
            let mut server = server.spawn().unwrap();
            let _ = stop.recv();
            // SIGQUIT: at once.
            let _ = kill_process(Pid::from_child(&server), Signal::QUIT);
            let _ = server.wait();
        });
        let cluster = Self { running: Some(running), server: Some(thread), folder };
        cluster.wait_until_ready();
        cluster
    }

    fn wait_until_ready(&self) {
        // The third line from below in the file is the status, "ready" at last.
        let status = self.folder.path().join("data/postmaster.pid");
        for _ in 0..600 {
            if fs::read_to_string(&status).is_ok_and(|text| text.lines().any(|line| line.trim() == "ready")) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("postgres: {}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
    }

    fn url(&self, database: &str) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://{USER}@{folder}/{database}")
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url("postgres")).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// A command that runs without privileges, in a folder it may read, and ends with the thread that starts it.
fn unprivileged(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program).current_dir(folder);
    command
}

/// The folder of the newest version Debian has installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders.filter(|folder| folder.join("postgres").is_file()).max()
}
