//! The network of a flow: a PKI, an SM-DP+ with a stock of profiles, and a complete operator, on loopback. Each
//! subscriber description feeds the register, the stock, and a card.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use boss::es2plus::{NotHandled, ProgressHandler, ProgressSenders, SmDp};
use boss::{Answer, Boss, Call, Filter, Order, ProfileServer, Proof, ServerError, Subject};
use card::entropy::ChaCha;
use card::personalise::{Euicc, ProfileToLoad, Uicc, euicc, uicc};
use device::http::HttpsClient;
use device::secondary::HttpsServers;
use hlr::{AuditEntry, Change, Hlr, Lookup, Status, Subscription};
use https::TlsIdentity;
use identities::{Eid, Iccid, Imsi};
use lpa::Trust;
use network_base::BoxFuture;
use network_base::database::Database;
use operator::serve::{Config, Operator, SmsClient};
use portal::OfficeKey;
use rsp::certificate::Role;
use rsp::es2plus::{HandleDownloadProgressInfoRequest, Request};
use rsp::metadata::ProfileClass;
use saip::builder::{Subscriber, build};
use smdp::profile::{Offered, ProfileState};
use smsc::Timeouts;
use test_pki::{Pki, ServerName};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use zeroize::Zeroizing;

use super::Surroundings;
use super::then::Reach;
use super::trace::{Passed, Trace};
use crate::Names;
use crate::narrator::{Told, ensure};
use crate::stage::{Card, Workshop};
use console::{Failure, random};

/// Type of the profiles in the stock.
const STOCK: &str = "Companion";
/// Where everything is.
const HOST: &str = "127.0.0.1";
/// How long the network may take to learn about events on a card.
const TIMEOUT: Duration = Duration::from_secs(20);

/// This operator's requirements for its subscribers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Policy {
    /// Sharing needs a contract of its own.
    pub(super) second_contract: bool,
    /// Every secondary proves possession by a code.
    pub(super) sms_check: bool,
}

impl Policy {
    fn settings(self, smdp: &str) -> boss::Settings {
        boss::Settings {
            networks: vec!["00101".into()],
            second_contract: self.second_contract,
            proof: if self.sms_check { Proof::Always } else { Proof::Strangers },
            ..boss::Settings::new(STOCK, smdp)
        }
    }
}

/// The SM-DP+'s configuration; it reports to the operator at `progress`.
fn profile_server(pki: &Pki, workshop: &Workshop, progress: SocketAddr) -> Result<smdp::Config, Failure> {
    let Names { operator, smdp_files: (database, master_key), .. } = workshop.surroundings().names;
    let mut config = smdp::Config::from_pki(pki)?;
    config.database = workshop.directory().join(database).to_string_lossy().into_owned();
    config.master_key = workshop.master_key(master_key)?;
    config.es2plus = Some(smdp::Es2Plus {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        tls: smdp::tls_identity(pki, HOST, &ServerName::loopback())?,
        roots: vec![pki.get(Role::Ci)?.der().to_vec()],
        operators: vec![smdp::Operator {
            progress_url: Some(format!("https://{progress}")),
            ..smdp::Operator::named(operator)
        }],
    });
    Ok(config)
}

/// The operator's name, and those of this machine.
fn own_names(operator: &str) -> Vec<ServerName> {
    let name = operator.parse().unwrap_or_else(|never| match never {});
    [name].into_iter().chain(ServerName::loopback()).collect()
}

/// The short message service centre.
fn service_centre(number: &str) -> Result<smsc::Settings, Failure> {
    let address = sms::Address::parse(number).ok_or_else(|| Failure::because(format!("{number} is not an address")))?;
    Ok(smsc::Settings { address, time_zone: 0, clients: Vec::new(), timeouts: Timeouts::default() })
}

/// How the operator's other parts reach it.
fn sms_client(service_centre: &str) -> SmsClient {
    SmsClient {
        address: None,
        system_id: "operator".into(),
        password: Zeroizing::new(random::digits(8)),
        source: smsc::Address::international(service_centre.trim_start_matches('+')),
    }
}

/// The network.
pub(super) struct World {
    runtime: Runtime,
    smdp: smdp::Server,
    operator: Operator,
    /// Closes the listener for the SM-DP+'s progress notifications.
    progress_listener: oneshot::Sender<()>,
    ci: Vec<u8>,
    pki: Pki,
    directory: PathBuf,
    surroundings: Surroundings,
    pub(super) trace: Trace,
    /// Devices reached by each number that was called.
    reach: Mutex<Vec<Reach>>,
}

impl World {
    /// Starts SM-DP+ and operator, each with the other's address.
    pub(super) fn start(pki: Pki, workshop: &Workshop, policy: Policy, told: &mut Told) -> Result<Self, Failure> {
        let Names { operator: name, service_centre: number, .. } = workshop.surroundings().names;
        let surroundings = workshop.surroundings().flows;
        let operator_files = surroundings.operator_files;
        let trace = Trace::default();
        let directory = workshop.directory().to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let ci = pki.get(Role::Ci)?.der().to_vec();
        // Each needs the other's address before it starts.
        let reserved = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let progress = reserved.local_addr()?;

        let smdp = runtime.block_on(smdp::serve(profile_server(&pki, workshop, progress)?))?;
        let es2plus = smdp.es2plus_at().ok_or_else(|| Failure::because("the SM-DP+ has no ES2+ listener"))?;
        told.say(format!("SM-DP+: ES9+ at https://{}, ES2+ at https://{es2plus}", smdp.address()));

        let identity =
            rsp_server::tls_identity(&pki.issue_operator(&own_names(name), random::now(), &mut random::fill)?)?;
        let es2plus = SmDp::new(&format!("https://{es2plus}"), name, std::slice::from_ref(&ci), &identity)?;
        let es2plus = Traced { server: es2plus, trace: trace.clone() };
        let operator = runtime.block_on(async {
            let database = Database::open(&directory.join(operator_files.0).to_string_lossy()).await?;
            let key = workshop.master_key(operator_files.1)?;
            let boss = policy.settings(smdp.address());
            let mut config =
                Config::new(database, key, Arc::new(es2plus), boss, service_centre(number)?, sms_client(number));
            config.tls = Some(identity.clone());
            config.portal = portal::Settings {
                operator: "vuicc".into(),
                office: vec![OfficeKey::new(&random::digits(32))?],
                ..portal::Settings::default()
            };
            // Its phones authenticate by any method.
            config.sim_with_usim = true;
            config.round = Duration::from_millis(250);
            Ok::<_, Failure>(operator::serve::serve(config).await?)
        })?;
        let register =
            Arc::new(Register { hlr: Arc::clone(operator.hlr()), read: AsyncMutex::new(0), trace: trace.clone() });
        let observed = Observed { boss: operator.boss().clone(), register: Arc::clone(&register) };
        let progress_listener = runtime.block_on(async { observed.listen(reserved, &identity, &ci) })?;
        let handle = runtime.handle().clone();
        trace.observed_by(move || {
            handle.block_on(async { register.read(None, &mut *register.read.lock().await).await });
        });
        told.say(format!("operator: {}, with register, SMS centre and portal", operator.base_url()));
        Ok(Self {
            runtime,
            smdp,
            operator,
            progress_listener,
            ci,
            pki,
            directory,
            surroundings,
            trace,
            reach: Mutex::default(),
        })
    }

    /// Stops everything.
    pub(super) fn stop(self) {
        drop(self.progress_listener);
        self.runtime.block_on(async {
            self.operator.shutdown().await;
            self.smdp.shutdown().await;
        });
    }

    // ── Subscribers and cards ──────────────────────────────────────────────────────────────────────────────────────

    /// A new subscriber, in service; `signed` if all contracts are.
    pub(super) fn subscriber(&self, signed: bool) -> Result<Subscriber, Failure> {
        let subscriber = (self.surroundings.invent)(None)?;
        let subscription = self.wait(self.provision(&subscriber, Status::Active))?;
        if signed {
            self.sign(&subscription.imsi)?;
        }
        Ok(subscriber)
    }

    /// Adds a subscriber to the register.
    async fn provision(&self, subscriber: &Subscriber, status: Status) -> Result<Subscription, Failure> {
        let (subscription, credentials) = (self.surroundings.subscription)(subscriber, status)?;
        self.hlr().add(&subscription, &credentials, &Change::by(self.surroundings.actor)).await?;
        Ok(subscription)
    }

    /// Signs all contracts of a subscription.
    pub(super) fn sign(&self, imsi: &Imsi) -> Result<(), Failure> {
        for subject in Subject::ALL {
            self.wait(self.operator.boss().sign(imsi, *subject, random::now()))?;
        }
        Ok(())
    }

    /// Puts profiles into the stock: each waits in the SM-DP+, and its subscription in the register.
    pub(super) fn stock(&self, count: usize) -> Result<Vec<Subscriber>, Failure> {
        let stock = (0..count).map(|_| (self.surroundings.invent)(Some(STOCK))).collect::<Result<Vec<_>, _>>()?;
        self.runtime.block_on(async {
            for subscriber in &stock {
                self.provision(subscriber, Status::Provisioned).await?;
                let package = saip::encode_package(&build(subscriber)?);
                let (store, address) = (self.smdp.store(), self.smdp.address());
                let offered = Offered { name: STOCK, provider: "vuicc", class: ProfileClass::OPERATIONAL };
                store.add_profiles(&[(offered.profile(&package, address, &[], random::now())?, &package)]).await?;
            }
            Ok::<_, Failure>(())
        })?;
        Ok(stock)
    }

    /// A UICC with this subscriber; returns the path of its image.
    pub(super) fn uicc(&self, name: &str, subscriber: &Subscriber) -> Result<PathBuf, Failure> {
        let image = self.directory.join(format!("{name}.img"));
        let profile = ProfileToLoad::from(saip::encode_package(&build(subscriber)?));
        uicc(&Uicc::new(profile, random::now()))?.save(&image)?;
        Ok(image)
    }

    /// An empty eUICC.
    pub(super) fn euicc(&self, name: &str) -> Result<Card, Failure> {
        let image = self.directory.join(format!("{name}.img"));
        let description = Euicc::new(self.pki.clone(), random::now());
        let new = euicc(&description, &mut ChaCha::from_operating_system()?)?;
        new.save(&image)?;
        Ok(Card { image, eid: new.eid.ok_or_else(|| Failure::because("the new card has no EID"))? })
    }

    // ── What devices need ──────────────────────────────────────────────────────────────────────────────────────────

    /// Address of the operator.
    pub(super) fn endpoint(&self) -> String {
        format!("{}/", self.operator.base_url())
    }

    /// Address of the SM-DP+.
    pub(super) fn smdp_address(&self) -> &str {
        self.smdp.address()
    }

    /// Address of the register's call-delivery endpoint.
    pub(super) fn register(&self) -> Result<&str, Failure> {
        let at = self.operator.listening_at("health and metrics");
        at.ok_or_else(|| Failure::because("the register has no listener"))
    }

    /// What the program around the demo provides for the flows.
    pub(super) const fn surroundings(&self) -> Surroundings {
        self.surroundings
    }

    /// The directory with all files.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn trust(&self) -> Trust {
        Trust::Cis(vec![self.ci.clone()])
    }

    /// A client for the operator.
    pub(super) fn https(&self) -> Result<HttpsClient, Failure> {
        Ok(HttpsClient::new(&self.trust())?)
    }

    /// A client for SM-DP+s.
    pub(super) fn servers(&self) -> HttpsServers {
        HttpsServers::new(self.trust(), random::now)
    }

    // ── How things stand ───────────────────────────────────────────────────────────────────────────────────────────

    pub(super) fn hlr(&self) -> &Arc<Hlr> {
        self.operator.hlr()
    }

    pub(super) const fn operator(&self) -> &Operator {
        &self.operator
    }

    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The subscription of this IMSI.
    pub(super) fn subscription(&self, imsi: &Imsi) -> Result<Subscription, Failure> {
        let found = self.wait(self.hlr().lookup(Lookup::Imsi(imsi)))?.pop();
        found.ok_or_else(|| Failure::because(format!("the register does not know {imsi}")))
    }

    /// Checks the state of a subscription, which may take a moment to be reached.
    pub(super) fn expect_status(&self, imsi: &Imsi, wanted: Status) -> Result<(), Failure> {
        Self::eventually(
            || Ok(self.subscription(imsi)?.status),
            |status| *status == wanted,
            |status| format!("{imsi} is {}, not {}", status.name(), wanted.name()),
        )
    }

    /// Checks the state of a profile at the SM-DP+, which may take a moment to be reached.
    pub(super) fn expect_profile(&self, iccid: &Iccid, wanted: ProfileState) -> Result<(), Failure> {
        Self::eventually(
            || {
                let found = self.wait(self.smdp.store().profile(iccid))?;
                Ok(found.ok_or_else(|| Failure::because(format!("the SM-DP+ does not know {iccid}")))?.state)
            },
            |state| *state == wanted,
            |state| format!("the SM-DP+ has {iccid} as {}, not {}", state.name(), wanted.name()),
        )
    }

    /// How many profiles of the stock are not ordered.
    pub(super) fn available(&self) -> Result<usize, Failure> {
        let profiles = self.wait(self.smdp.store().profiles())?;
        Ok(profiles.iter().filter(|profile| profile.state == ProfileState::Available).count())
    }

    /// The last order for this eUICC, or of this subscriber.
    pub(super) fn order(&self, filter: &Filter) -> Result<Order, Failure> {
        let mut orders = self.wait(self.operator.boss().orders(filter))?;
        (!orders.is_empty()).then(|| orders.remove(0)).ok_or_else(|| Failure::because("there is no such order"))
    }

    /// Waits until a condition holds.
    pub(super) fn eventually<T>(
        mut look: impl FnMut() -> Result<T, Failure>,
        right: impl Fn(&T) -> bool,
        wrong: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        let end = Instant::now() + TIMEOUT;
        loop {
            let found = look()?;
            if right(&found) || Instant::now() > end {
                return ensure(right(&found), || wrong(&found));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Records the devices that a number reaches from now on.
    pub(super) fn reaches(&self, reach: Reach) {
        let mut known = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        match known.iter_mut().find(|known| known.msisdn == reach.msisdn) {
            Some(known) => *known = reach,
            None => known.push(reach),
        }
    }

    /// The devices that the first called number reaches by now.
    pub(super) fn reach(&self) -> Option<Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }

    /// A request to the register's call-delivery endpoint; returns status and body.
    pub(super) fn ask_register(&self, request: &str, body: &str) -> Result<(u16, String), Failure> {
        let at = self.register()?;
        let mut stream = TcpStream::connect(at)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let length = body.len();
        let head = "Content-Type: application/json\r\nConnection: close";
        write!(stream, "{request} HTTP/1.1\r\nHost: {at}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Failure::because("the register's endpoint does not speak HTTP"))?;
        Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
    }

    /// The EID a subscription is on, as the register has it.
    pub(super) fn eid_of(&self, imsi: &Imsi) -> Result<Option<Eid>, Failure> {
        Ok(self.subscription(imsi)?.eid)
    }
}

/// The SM-DP+ as the operator sees it, with every call recorded.
struct Traced {
    server: SmDp,
    trace: Trace,
}

impl ProfileServer for Traced {
    fn call<'a>(&'a self, identifier: &'a str, call: &'a Call) -> BoxFuture<'a, Result<Answer, ServerError>> {
        self.trace.network("BOSS", "SM-DP+", format!("ES2+.{}", call.name()));
        self.server.call(identifier, call)
    }
}

/// The operator's business support system, notified by the SM-DP+ of progress, with all that follows recorded.
struct Observed {
    boss: Boss,
    register: Arc<Register>,
}

impl Observed {
    /// Opens the listener for the SM-DP+'s progress notifications; it closes when the result is dropped.
    ///
    /// Inside a runtime.
    fn listen(self, reserved: TcpListener, identity: &TlsIdentity, ci: &[u8]) -> Result<oneshot::Sender<()>, Failure> {
        let (close, closed) = oneshot::channel();
        reserved.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(reserved)?;
        let acceptor = https::tls::mutual_server(identity, &[ci.to_vec()])?;
        let servers = ProgressSenders { names: vec![HOST.into()], identifiers: Vec::new(), policy: true };
        let router = boss::es2plus::router(Arc::new(self), servers);
        tokio::spawn(https::serve(listener, Some(acceptor), router, async {
            // An error means that the world is gone too.
            let _ = closed.await;
        }));
        Ok(close)
    }
}

impl ProgressHandler for Observed {
    fn handle(&self, progress: Request<HandleDownloadProgressInfoRequest>) -> BoxFuture<'_, Result<(), NotHandled>> {
        Box::pin(async move {
            let passed = Passed { iccid: progress.body.iccid.clone(), point: progress.body.notification_point_id };
            let failed = if progress.body.notification_point_status.is_success() { "" } else { " failed" };
            // Nobody else reads the register's audit log in between.
            let mut read = self.register.read.lock().await;
            ProgressHandler::handle(&self.boss, progress).await?;
            let what = format!("ES2+.HandleDownloadProgressInfo: {}{failed}", passed.point);
            self.register.trace.following(&passed, "SM-DP+", "BOSS", what);
            self.register.read(Some(&passed), &mut read).await;
            Ok(())
        })
    }
}

/// The register, and how far its audit log has been read.
struct Register {
    hlr: Arc<Hlr>,
    read: AsyncMutex<u64>,
    trace: Trace,
}

impl Register {
    /// Records what orders and contracts have changed in the register since the last call, because of `passed` or of a
    /// device's request.
    async fn read(&self, passed: Option<&Passed>, read: &mut u64) {
        const MANY: u32 = 1000;
        // The trace is not part of what is checked: unreadable entries are left out.
        for entry in self.hlr.audit(*read, MANY).await.unwrap_or_default() {
            *read = entry.number;
            let Some(what) = change(&entry).filter(|_| entry.actor == "boss") else { continue };
            match passed {
                Some(passed) => self.trace.following(passed, "BOSS", "Register", what),
                None => self.trace.network("BOSS", "Register", what),
            }
        }
    }
}

/// A change in the register, in words; `None` for internal changes.
fn change(entry: &AuditEntry) -> Option<String> {
    let AuditEntry { action, subject, detail, .. } = entry;
    Some(match action.as_str() {
        "status" => format!("{subject} is {detail}"),
        "eid" if detail == "none" => format!("{subject} is on no eUICC"),
        "eid" => format!("{subject} is on EID {detail}"),
        "msisdn" if detail == "none" => format!("{subject} has no number of its own"),
        "msisdn" => format!("{subject} has the number {detail}"),
        "group" => format!("{subject} is shared, {detail}"),
        "bind" => format!("{detail} shares {subject}"),
        "unbind" => format!("{detail} does not share {subject}"),
        "dissolve" => format!("{subject} is not shared"),
        "mode" | "order" => format!("{subject} rings {detail}"),
        "transfer" => format!("{subject} moves from {detail}"),
        _ => return None,
    })
}
