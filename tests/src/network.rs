//! A network beside the test: an SM-DP+ and an operator as processes, each of which can be killed and started again.
//! The operator is one process, or several that share a PostgreSQL.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use crate::postgresql::Cluster;
use crate::process::{Process, run};
use crate::vuicc::{command, json_lines};

/// What profiles for companions and for new devices are ordered as.
const PROFILE_TYPE: &str = "Companion";

/// A process of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// `vuicc smdp serve`.
    SmDp,
    /// `vuicc operator serve`, all its parts.
    Operator,
    /// Its parts `entitlement` and `portal`.
    Entitlement,
    /// Its part `boss`.
    Boss,
    /// Its parts `smsc` and `hlr`.
    Smsc,
    /// Its parts `radius` and `eap-sim-db`.
    Authentication,
    /// The database of the parts.
    PostgreSql,
}

impl Server {
    /// One process for all parts of the operator.
    pub const WHOLE: [Self; 2] = [Self::Operator, Self::SmDp];
    /// Several, and the database they share. Each needs some of those after it.
    pub const PARTS: [Self; 5] = [Self::Entitlement, Self::Boss, Self::Smsc, Self::SmDp, Self::PostgreSql];
}

/// The ports of the servers: the same ones after a restart.
#[derive(Clone, Copy, Debug)]
struct Ports {
    es9plus: u16,
    es2plus: u16,
    https: u16,
    mt: u16,
    progress: u16,
    smpp: u16,
    radius: u16,
    internal: u16,
}

impl Ports {
    fn free() -> Self {
        Self {
            es9plus: free_port(),
            es2plus: free_port(),
            https: free_port(),
            mt: free_port(),
            progress: free_port(),
            smpp: free_port(),
            radius: free_port(),
            internal: free_port(),
        }
    }
}

/// A free port, below those the operating system gives to connections, so that none is taken while its server is away.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u32 = 20_000;
    const SPAN: u32 = 12_000;
    let begin = process::id().wrapping_mul(64) % SPAN;
    let mut free = (0..SPAN).filter_map(|_| {
        let port = FIRST + (begin + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % SPAN;
        let port = u16::try_from(port).ok()?;
        let here = (Ipv4Addr::LOCALHOST, port);
        (TcpListener::bind(here).is_ok() && UdpSocket::bind(here).is_ok()).then_some(port)
    });
    free.next().expect("a free port")
}

/// A subscriber the command line has made up.
#[derive(Clone, Debug)]
pub struct Invented {
    /// The description: one file for card, register and profile package.
    pub file: PathBuf,
    /// ICCID.
    pub iccid: String,
    /// IMSI.
    pub imsi: String,
    /// The number, without `+`.
    pub msisdn: Option<String>,
}

/// The servers, and the folder where all keep everything.
#[derive(Debug)]
pub struct Network {
    ports: Ports,
    // The last one ends last, and what they have said is there until then.
    servers: Vec<(Server, Mutex<Option<Process>>)>,
    database: Option<Cluster>,
    folder: TempDir,
    kills: AtomicUsize,
}

impl Network {
    /// Starts an SM-DP+ and an operator, one process each.
    ///
    /// # Panics
    /// If one does not come up.
    pub fn start() -> Self {
        Self::of(&Server::WHOLE, None)
    }

    /// Starts an SM-DP+ and the parts of an operator, which share a database.
    ///
    /// # Panics
    /// If one does not come up.
    pub fn in_parts(database: Cluster) -> Self {
        Self::of(&Server::PARTS, Some(database))
    }

    /// Starts the parts of an operator that authenticate, and nothing else.
    ///
    /// # Panics
    /// If they do not come up.
    pub fn authenticating() -> Self {
        Self::of(&[Server::Authentication], None)
    }

    fn of(servers: &[Server], database: Option<Cluster>) -> Self {
        let network = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            ports: Ports::free(),
            servers: servers.iter().map(|server| (*server, Mutex::default())).collect(),
            database,
            kills: AtomicUsize::new(0),
        };
        for server in servers.iter().rev() {
            *network.lock(*server) = Some(network.serve(*server));
        }
        network
    }

    /// Which servers there are.
    pub fn servers(&self) -> impl Iterator<Item = Server> {
        self.servers.iter().map(|(server, _)| *server)
    }

    /// Kills a server from one moment to the next, whatever it is at, and starts it again in its place.
    ///
    /// # Panics
    /// If it does not come up again.
    pub fn kill(&self, server: Server) {
        let _there = if server == Server::PostgreSql { None } else { self.with_database() };
        let mut process = self.lock(server);
        let kills = self.kills.fetch_add(1, Ordering::Relaxed);
        match process.take() {
            // A database has two ways to be gone at once.
            Some(process) if server == Server::PostgreSql && kills.is_multiple_of(2) => process.quit(),
            Some(process) => process.kill(),
            None => {}
        }
        *process = Some(self.serve(server));
    }

    /// Takes a server away until [`Self::bring_back`].
    pub fn take_away(&self, server: Server) {
        if let Some(process) = self.lock(server).take() {
            process.kill();
        }
    }

    /// Starts a server that was taken away.
    ///
    /// # Panics
    /// If it does not come up again.
    pub fn bring_back(&self, server: Server) {
        *self.lock(server) = Some(self.serve(server));
    }

    /// How often a server was killed.
    pub fn kills(&self) -> usize {
        self.kills.load(Ordering::Relaxed)
    }

    /// Waits until nobody is being started again.
    pub fn wait(&self) {
        for server in self.servers() {
            drop(self.lock(server));
        }
    }

    /// What a server has said since it was started last.
    pub fn log(&self, server: Server) -> String {
        self.lock(server).as_ref().map(Process::log).unwrap_or_default()
    }

    /// Where phones and browsers reach the operator.
    pub fn base_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.https)
    }

    /// Where phones reach the service centre.
    pub fn mt_url(&self) -> String {
        if self.database.is_none() { self.base_url() } else { format!("https://127.0.0.1:{}", self.ports.mt) }
    }

    /// Where RADIUS clients of this machine reach the operator: the port, and the secret.
    ///
    /// # Panics
    /// If the operator has not made one up yet.
    pub fn radius(&self) -> (u16, String) {
        let secret = fs::read_to_string(self.state().join("radius-secret")).expect("a secret");
        (self.ports.radius, secret.trim().to_owned())
    }

    /// The socket at which hostapd asks the operator's authentication centre.
    pub fn eap_sim_db(&self) -> PathBuf {
        self.path("auc")
    }

    /// A file or folder here.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the PKI everything here is vouched for by.
    pub fn pki(&self) -> PathBuf {
        self.state().join("pki")
    }

    /// The command line beside the servers, printing JSON.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.state(), ["--json"]);
        command.args(arguments);
        if let Some(database) = &self.database {
            command.env("VUICC_OPERATOR_DATABASE", database.url());
        }
        command
    }

    /// Runs it; the JSON lines it prints.
    ///
    /// # Panics
    /// If it fails.
    pub fn vuicc(&self, arguments: &[&str]) -> Vec<Value> {
        let _there = self.with_database();
        json_lines(&run(&mut self.command(arguments)).success())
    }

    // ── Provisioning ───────────────────────────────────────────────────────────────────────────────────────────────

    /// Somebody in service who has signed all contracts, and their UICC.
    ///
    /// # Panics
    /// If that fails.
    pub fn subscriber(&self, name: &str) -> (Invented, PathBuf) {
        let invented = self.invent(name, &[]).remove(0);
        let (file, image) = (text(&invented.file), self.path(&format!("{name}.img")));
        self.vuicc(&["operator", "subscriber", "add", file, "--contract"]);
        self.vuicc(&["card", "new", text(&image), "--type", "uicc", "--subscriber", file]);
        (invented, image)
    }

    /// Two profiles or more that wait in the SM-DP+, and their subscriptions in the register.
    ///
    /// # Panics
    /// If that fails.
    pub fn stock(&self, count: usize) -> Vec<Invented> {
        let stock =
            self.invent("stock", &["--no-msisdn", "--profile-name", PROFILE_TYPE, "--count", &count.to_string()]);
        let files: Vec<_> = stock.iter().map(|one| text(&one.file)).collect();
        self.vuicc(&[&["operator", "subscriber", "add", "--status", "provisioned"][..], &files].concat());
        self.vuicc(&[&["smdp", "profile", "add"][..], &files].concat());
        stock
    }

    /// An empty eUICC, and its EID.
    ///
    /// # Panics
    /// If that fails.
    pub fn euicc(&self, name: &str) -> (PathBuf, String) {
        let image = self.path(&format!("{name}.img"));
        let made = self.vuicc(&["card", "new", text(&image)]).remove(0);
        (image, made["eid"].as_str().expect("an EID").to_owned())
    }

    fn invent(&self, name: &str, options: &[&str]) -> Vec<Invented> {
        let path = self.path(&format!("{name}.toml"));
        let made = self.vuicc(&[&["subscriber", "new", text(&path)], options].concat());
        let member = |line: &Value, name: &str| line[name].as_str().map(str::to_owned);
        let invented = |line: &Value| {
            Some(Invented {
                file: member(line, "file")?.into(),
                iccid: member(line, "iccid")?,
                imsi: member(line, "imsi")?,
                msisdn: member(line, "msisdn").map(|number| number.trim_start_matches('+').to_owned()),
            })
        };
        made.iter().map(|line| invented(line).expect("a subscriber")).collect()
    }

    // ── How things stand ───────────────────────────────────────────────────────────────────────────────────────────

    /// All orders, the newest first.
    ///
    /// # Panics
    /// If they cannot be had.
    pub fn orders(&self) -> Vec<Value> {
        self.vuicc(&["operator", "order", "list"])
    }

    /// Those of a subscriber, who is named by IMSI.
    ///
    /// # Panics
    /// If they cannot be had.
    pub fn orders_of(&self, subscriber: &str) -> Vec<Value> {
        self.vuicc(&["operator", "order", "list", "--subscriber", subscriber])
    }

    /// A subscription.
    ///
    /// # Panics
    /// If there is none.
    pub fn subscription(&self, imsi: &str) -> Value {
        self.vuicc(&["operator", "subscriber", "show", imsi]).remove(0)
    }

    /// All profiles of the SM-DP+: ICCID, and state by its specification name.
    ///
    /// # Panics
    /// If they cannot be had.
    pub fn profiles(&self) -> Vec<(String, String)> {
        let member = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let profiles = self.vuicc(&["smdp", "profile", "list"]);
        profiles.iter().map(|line| (member(line, "iccid"), member(line, "state"))).collect()
    }

    // ── Processes ──────────────────────────────────────────────────────────────────────────────────────────────────

    fn state(&self) -> PathBuf {
        self.path("state")
    }

    fn lock(&self, server: Server) -> MutexGuard<'_, Option<Process>> {
        let mut servers = self.servers.iter();
        let (_, process) = servers.find(|(other, _)| *other == server).expect("a server of this network");
        process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the database from being killed: nothing comes up without it.
    fn with_database(&self) -> Option<MutexGuard<'_, Option<Process>>> {
        self.database.as_ref().map(|_| self.lock(Server::PostgreSql))
    }

    fn serve(&self, server: Server) -> Process {
        if server == Server::PostgreSql {
            return self.database.as_ref().expect("a database").serve(self.folder.path());
        }
        let mut process = Process::start(&mut self.server(server), self.folder.path());
        process.wait_until("where it listens", |process| process.log().contains("\"listening\":"));
        process
    }

    fn server(&self, server: Server) -> Command {
        let Ports { es9plus, es2plus, https, mt, progress, smpp, radius, internal } = self.ports;
        let at = |port: u16| format!("127.0.0.1:{port}");
        let mut serve = self.command(&["-v"]);
        let (parts, https) = match server {
            Server::SmDp => {
                serve.args(["smdp", "serve", "--listen", &at(es9plus), "--es2-listen", &at(es2plus)]);
                serve.args(["--operator", &format!("operator.test=https://{}", at(progress))]);
                return serve;
            }
            Server::Operator | Server::PostgreSql => ("", https),
            Server::Entitlement => ("entitlement,portal", https),
            Server::Boss => ("boss", https),
            Server::Smsc => ("smsc,hlr", mt),
            Server::Authentication => ("radius,eap-sim-db", https),
        };
        serve.args(["operator", "serve", "--smdp", &format!("https://{}", at(es2plus))]);
        serve.args(["--https-listen", &at(https), "--progress-listen", &at(progress)]);
        serve.args(["--internal-listen", &at(if server == Server::Authentication { internal } else { 0 })]);
        serve.args(["--smpp-listen", &at(smpp), "--radius-listen", &at(radius)]);
        serve.arg("--eap-sim-with-usim").arg("--eap-sim-db").arg(self.eap_sim_db());
        if !parts.is_empty() {
            serve.args(["--only", parts]);
        }
        if matches!(server, Server::Entitlement | Server::Boss) {
            serve.args(["--smsc", &at(smpp)]);
        }
        serve
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
