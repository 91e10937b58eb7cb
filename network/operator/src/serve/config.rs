//! The configuration an operator starts with.

use core::fmt;
use core::str::FromStr;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aaa::radius::Secret;
use boss::ProfileServer;
use boss::es2plus::ProgressSenders;
use hlr::MasterKey;
use https::TlsIdentity;
use network_base::database::Database;
use system::{Clock, unix_now};
use zeroize::Zeroizing;

/// A part that can run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The authorization server: TS.43.
    Entitlement,
    /// The web server: contracts, self-care, the operator's page.
    Portal,
    /// The business support system's worker, and the listener for progress notifications of SM-DP+s.
    Boss,
    /// The short message service centre, with the listener for phones.
    Smsc,
    /// The register's listener for call servers.
    Hlr,
    /// The EAP server for access networks.
    Radius,
    /// The authentication centre for hostapd.
    EapSimDb,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Entitlement, Self::Portal, Self::Boss, Self::Smsc, Self::Hlr, Self::Radius, Self::EapSimDb];

    /// Its name, as people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entitlement => "entitlement",
            Self::Portal => "portal",
            Self::Boss => "boss",
            Self::Smsc => "smsc",
            Self::Hlr => "hlr",
            Self::Radius => "radius",
            Self::EapSimDb => "eap-sim-db",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown part {0}; the parts are {parts}", parts = Part::ALL.map(Part::name).join(", "))]
pub struct UnknownPart(String);

impl FromStr for Part {
    type Err = UnknownPart;

    fn from_str(name: &str) -> Result<Self, UnknownPart> {
        Self::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| UnknownPart(name.to_owned()))
    }
}

/// All an operator needs.
pub struct Config {
    /// Which parts run in this process.
    pub parts: BTreeSet<Part>,
    /// The database of all parts.
    pub database: Database,
    /// What the keys in it are sealed with.
    pub key: Arc<MasterKey>,
    /// Addresses of the listeners.
    pub listen: Listen,
    /// Where phones and browsers reach the HTTPS listener, without a slash at the end; `None`: where it is.
    pub base_url: Option<String>,
    /// Where the portal is, if not in this process: phones are sent there to sign contracts.
    pub portal_url: Option<String>,
    /// What is shown to them; without it the listener speaks plain HTTP, for use behind a proxy.
    pub tls: Option<TlsIdentity>,
    /// What is shown at the operator's page instead, which may be on this machine alone while the rest is not.
    pub office_tls: Option<TlsIdentity>,
    /// Trusted proxies of the HTTPS listener, whose X-Forwarded-For names the client.
    pub proxies: Vec<IpAddr>,
    /// The SM-DP+.
    pub profile_server: Arc<dyn ProfileServer>,
    /// The listener for progress notifications of SM-DP+s; `None`: there is none.
    pub progress: Option<ProgressListener>,
    /// What the operator has decided about orders and contracts.
    pub boss: boss::Settings,
    /// The portal's name, terms and keys.
    pub portal: portal::Settings,
    /// What time it is, for all parts but short messages.
    pub clock: Clock,
    /// How often the worker looks for unfinished work.
    pub round: Duration,
    /// The short message service centre run here.
    pub smsc: smsc::Settings,
    /// How the other parts reach a short message service centre.
    pub sms: SmsClient,
    /// What call servers have to show at the register's listener; `None`: nothing, so that it has to be of this machine.
    pub call_delivery_secret: Option<Zeroizing<String>>,
    /// Whether who has a USIM may prove itself by EAP-SIM too.
    pub sim_with_usim: bool,
    /// Whether who names an IMSI over RADIUS learns at once, without any proof, that it is nobody's or not in service.
    pub radius_says_who_is: bool,
    /// Access points, gateways and proxies, each with its secret.
    pub radius_clients: HashMap<IpAddr, Secret>,
}

/// Addresses of the listeners; port 0 takes any free one.
#[derive(Clone, Debug)]
pub struct Listen {
    /// For phones and browsers, HTTPS.
    pub https: SocketAddr,
    /// Health, metrics and the register's listener for call servers, plain HTTP: for the operator's own network only.
    pub internal: SocketAddr,
    /// The operator's page, HTTPS: for the operator's people.
    pub office: SocketAddr,
    /// Host names listeners without TLS accept, besides those nobody else can own: see
    /// [`network_base::hosts::Hosts`].
    pub names: Vec<String>,
    /// For SM-DP+s that tell of progress, HTTPS with certificates on both sides.
    pub progress: SocketAddr,
    /// SMPP.
    pub smpp: SocketAddr,
    /// RADIUS.
    pub radius: SocketAddr,
    /// hostapd's socket; `None`: there is none.
    pub eap_sim_db: Option<PathBuf>,
}

impl Default for Listen {
    /// Free ports of this machine.
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            https: any,
            internal: any,
            office: any,
            names: Vec::new(),
            progress: any,
            smpp: any,
            radius: any,
            eap_sim_db: None,
        }
    }
}

/// The listener for progress notifications of SM-DP+s.
#[derive(Clone, Debug)]
pub struct ProgressListener {
    /// What is shown to them.
    pub identity: TlsIdentity,
    /// Trust anchors of their certificates, DER.
    pub roots: Vec<Vec<u8>>,
    /// Which of those may call.
    pub servers: ProgressSenders,
}

/// A client of a short message service centre.
#[derive(Clone)]
pub struct SmsClient {
    /// `HOST:PORT`; `None`: the one run here.
    pub address: Option<String>,
    /// Our system_id there; up to 15 characters.
    pub system_id: String,
    /// What proves it; up to 8 characters.
    pub password: Zeroizing<String>,
    /// The number messages come from.
    pub source: smsc::Address,
}

impl Config {
    /// All parts on free ports of this machine, plain HTTP, ordering from `profile_server`.
    pub fn new(
        database: Database,
        key: impl Into<Arc<MasterKey>>,
        profile_server: Arc<dyn ProfileServer>,
        boss: boss::Settings,
        smsc: smsc::Settings,
        sms: SmsClient,
    ) -> Self {
        Self {
            parts: Part::ALL.into(),
            database,
            key: key.into(),
            listen: Listen::default(),
            base_url: None,
            portal_url: None,
            tls: None,
            office_tls: None,
            proxies: Vec::new(),
            profile_server,
            progress: None,
            boss,
            portal: portal::Settings::default(),
            clock: Arc::new(unix_now),
            round: Duration::from_secs(1),
            smsc,
            sms,
            call_delivery_secret: None,
            sim_with_usim: false,
            radius_says_who_is: false,
            radius_clients: HashMap::new(),
        }
    }
}
