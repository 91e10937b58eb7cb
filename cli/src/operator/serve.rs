//! `vuicc operator serve`: the operator's servers, all of them or some.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aaa::radius::Secret;
use clap::Args;
use console::Exit;
use operator::serve::{Config, Listen, Listening, Part, serve};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::parts;
use super::settings::{self, Settings, SettingsArguments};
use super::state::{DatabaseArguments, secret_file, smpp_password};
use crate::failure::Failure;
use crate::output::tell;
use crate::pki::PkiArguments;
use crate::server_address::{host_of, socket_address};
use crate::waiting::DatabaseWait;
use crate::{Context, asynchronous};

/// Default port of an https:// URL.
const HTTPS_PORT: u16 = 443;
/// Timeout for the initial check whether the SM-DP+ is up.
const SMDP_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only these parts, separated by commas [default: all]
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    only: Vec<Part>,
    /// For phones and browsers, HTTPS; port 0 picks a free one, here and below
    #[arg(long, value_name = "HOST:PORT", value_parser = socket_address)]
    https_listen: Option<SocketAddr>,
    /// Health and metrics, over plain HTTP
    #[arg(long, value_name = "HOST:PORT", value_parser = socket_address)]
    internal_listen: Option<SocketAddr>,
    /// The operator's page, for staff [default: 127.0.0.1:9445, or any free port if --https-listen is another]
    #[arg(long, value_name = "HOST:PORT", value_parser = socket_address)]
    office_listen: Option<SocketAddr>,
    /// Progress notifications from SM-DP+s
    #[arg(long, value_name = "HOST:PORT", value_parser = socket_address)]
    progress_listen: Option<SocketAddr>,
    /// SMPP
    #[arg(long, value_name = "HOST:PORT", value_parser = socket_address)]
    smpp_listen: Option<SocketAddr>,
    /// RADIUS
    #[arg(long, value_name = "HOST:PORT", value_parser = socket_address)]
    radius_listen: Option<SocketAddr>,
    /// hostapd's socket to the authentication centre [default: eap_sim_db.sock in the state directory]
    #[arg(long, value_name = "PATH", value_parser = crate::file::not_stdout)]
    eap_sim_db: Option<PathBuf>,
    /// Speak HTTP without TLS to phones and browsers, for use behind a proxy
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    counterparts: Counterparts,
    #[command(flatten)]
    policy: Policy,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    database: DatabaseArguments,
    #[command(flatten)]
    wait: DatabaseWait,
    #[command(flatten)]
    pki: PkiArguments,
}

/// Options that name the other systems.
#[derive(Clone, Debug, Args)]
struct Counterparts {
    /// The SM-DP+ to order from, ES2+
    #[arg(long, value_name = "URL")]
    smdp: Option<String>,
    /// The short message service centre to use, SMPP [default: the one run here]
    #[arg(long, value_name = "HOST:PORT")]
    smsc: Option<String>,
    /// URL of the HTTPS listener for phones and browsers [default: its address]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// URL of the portal, if another process runs it
    #[arg(long, value_name = "URL")]
    portal: Option<String>,
}

/// Options for the operator's policies.
#[derive(Clone, Debug, Args)]
struct Policy {
    /// The network's name
    #[arg(long, value_name = "NAME")]
    network_name: Option<String>,
    /// The network's MCC
    #[arg(long, value_name = "DIGITS")]
    mcc: Option<String>,
    /// The network's MNC
    #[arg(long, value_name = "DIGITS")]
    mnc: Option<String>,
    /// Type of the profiles ordered, for all uses
    #[arg(long, value_name = "TYPE")]
    profile_type: Option<String>,
    /// Version of the terms: a new one has to be accepted again
    #[arg(long, value_name = "VERSION")]
    terms: Option<String>,
    /// Whether terms have to be accepted before a profile is ordered
    #[arg(long, value_name = "BOOL")]
    contract: Option<bool>,
    /// Whether sharing terms have to be accepted before a number is shared
    #[arg(long, value_name = "BOOL")]
    second_contract: Option<bool>,
    /// Let subscribers with a USIM authenticate by EAP-SIM too, which is weaker than their cards' methods
    #[arg(long)]
    eap_sim_with_usim: bool,
    /// Which secondaries prove possession by a code sent to them before they share a number
    #[arg(long, value_enum)]
    sms_check: Option<super::settings::SmsCheck>,
}

impl Policy {
    /// Options that override the settings.
    fn apply(&self, settings: &mut Settings) {
        fn set<T: Clone>(setting: &mut T, option: Option<&T>) {
            if let Some(value) = option {
                setting.clone_from(value);
            }
        }
        set(&mut settings.network.name, self.network_name.as_ref());
        set(&mut settings.network.mcc, self.mcc.as_ref());
        set(&mut settings.network.mnc, self.mnc.as_ref());
        set(&mut settings.contract.terms, self.terms.as_ref());
        set(&mut settings.contract.required, self.contract.as_ref());
        set(&mut settings.contract.sharing, self.second_contract.as_ref());
        set(&mut settings.contract.sms_check, self.sms_check.as_ref());
        settings.eap.sim_with_usim |= self.eap_sim_with_usim;
        if let Some(kind) = &self.profile_type {
            settings.profiles = super::settings::Profiles::all(kind);
        }
    }
}

impl Counterparts {
    fn apply(&self, settings: &mut Settings) {
        if let Some(url) = &self.smdp {
            settings.smdp.url.clone_from(url);
        }
        settings.smsc.address = self.smsc.clone().or(settings.smsc.address.take());
        settings.public.portal_url = self.portal.clone().or(settings.public.portal_url.take());
        settings.public.base_url = self.base_url.clone().or(settings.public.base_url.take());
    }
}

pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let (config, smdp) = config(arguments, context).await?;
    let has = |part| config.parts.contains(&part);
    let (has_boss, has_portal) = (has(Part::Boss), has(Part::Portal));
    say_what_is_open(arguments, &config);
    let mut operator = serve(config).await?;
    // Without a listener for phones and browsers there is nothing to name.
    let base_url = Some(operator.base_url()).filter(|url| !url.ends_with("://"));
    context.output.put_block(&Listeners { base_url, has_portal, listening: operator.listening() })?;
    if has_boss && !is_open(&smdp).await {
        tell(&format!(
            "vuicc: there is no SM-DP+ at {smdp} yet, and profiles cannot be ordered until there is: vuicc smdp serve \
             --es2-listen HOST:PORT, or name another with --smdp"
        ));
    }
    let outcome = tokio::select! {
        () = asynchronous::interrupted() => Ok(()),
        ended = operator.ended() => Err(ended.into()),
    };
    operator.shutdown().await;
    outcome
}

/// Warns of plain listeners that are reachable from other machines: all traffic can be read and changed on its way.
fn say_what_is_open(arguments: &Arguments, config: &Config) {
    let is_public = [Part::Entitlement, Part::Portal, Part::Smsc].iter().any(|part| config.parts.contains(part));
    let https = config.listen.https;
    if arguments.plain && is_public && !https.ip().is_loopback() {
        tell(&format!(
            "vuicc: with --plain, phones' authentication, tokens and messages and the web pages go unencrypted over {https}; \
             keep that behind a proxy with TLS: --https-listen 127.0.0.1:{}",
            https.port()
        ));
    }
    let office = config.listen.office;
    if arguments.plain && config.parts.contains(&Part::Portal) && !office.ip().is_loopback() {
        tell(&format!("vuicc: with --plain, the operator's page and its key go unencrypted over {office}"));
    }
}

/// Whether a server listens at this URL.
async fn is_open(url: &str) -> bool {
    let place = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = host_of(place);
    let port = place.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(HTTPS_PORT);
    let connection = TcpStream::connect((host.as_str(), port));
    matches!(timeout(SMDP_TIMEOUT, connection).await, Ok(Ok(_)))
}

/// The parts to serve, and the SM-DP+ to order from.
async fn config(arguments: &Arguments, context: &Context) -> Result<(Config, String), Failure> {
    let mut settings = arguments.settings.read(context)?;
    arguments.policy.apply(&mut settings);
    arguments.counterparts.apply(&mut settings);
    settings.check().map_err(|cause| Failure::because(by_option(&cause)).with(Exit::Input))?;

    let database = arguments.database.open_within(context, arguments.wait.timeout()).await?;
    let key = arguments.database.key(context, &database).await?;
    // The names in the certificate depend on it.
    let chosen = &mut settings.listen;
    chosen.https = arguments.https_listen.unwrap_or(chosen.https);
    chosen.progress = arguments.progress_listen.unwrap_or(chosen.progress);
    let pki = arguments.pki.open(context)?;
    let tls = parts::Tls::new(&settings, &pki)?;
    let password = smpp_password(&context.state.directory()?.join("smpp-password"))?;
    let mut config = Config::new(
        database,
        key,
        Arc::new(tls.profile_server(&settings)?),
        parts::boss(&settings, context),
        parts::smsc(&settings)?,
        parts::sms_client(&settings, &password),
    );
    if !arguments.only.is_empty() {
        config.parts = arguments.only.iter().copied().collect();
    }
    config.listen = listen(arguments, &settings, context)?;
    config.base_url.clone_from(&settings.public.base_url);
    config.tls = (!arguments.plain).then(|| tls.identity.clone());
    config.office_tls = parts::office_identity(&settings, config.listen.office, &pki)?;
    config.proxies.clone_from(&settings.public.proxies);
    config.progress = Some(tls.progress_listener(&settings));
    config.portal_url.clone_from(&settings.public.portal_url);
    config.portal = parts::portal(&settings, || secret_file(&context.state.directory()?.join("office-key")))?;
    if config.parts.contains(&Part::Hlr) {
        config.call_delivery_secret = call_delivery_secret(&settings, &config, context)?;
    }
    config.sim_with_usim = settings.eap.sim_with_usim;
    config.radius_says_who_is = settings.radius.says_who_is;
    if config.parts.contains(&Part::Radius) {
        config.radius_clients = radius_clients(&settings, context)?;
    }
    Ok((config, settings.smdp.url))
}

/// An error in the settings, with the option that caused it: the file was checked before.
fn by_option(cause: &str) -> String {
    let options = [
        ("network.name", "--network-name"),
        ("network.mcc", "--mcc"),
        ("network.mnc", "--mnc"),
        ("smdp.url", "--smdp"),
        ("smsc.address", "--smsc"),
        ("public.base_url", "--base-url"),
        ("public.portal_url", "--portal"),
    ];
    let option = options.iter().find_map(|(setting, option)| Some((option, cause.strip_prefix(setting)?)));
    option.map_or_else(|| cause.to_owned(), |(option, cause)| format!("{option}{cause}"))
}

/// The call servers' secret, unless they need none.
fn call_delivery_secret(
    settings: &Settings,
    config: &Config,
    context: &Context,
) -> Result<Option<Zeroizing<String>>, Failure> {
    if settings.hlr.open {
        if config.listen.internal.ip().is_loopback() {
            return Ok(None);
        }
        let cause = "hlr.open: a secret is needed unless listen.internal is on loopback; or leave out the part hlr";
        return Err(Failure::because(cause));
    }
    match &settings.hlr.secret {
        Some(secret) => Ok(Some(Zeroizing::new(secret.0.clone()))),
        None => secret_file(&context.state.directory()?.join("hlr-secret")).map(Some),
    }
}

fn listen(arguments: &Arguments, settings: &Settings, context: &Context) -> Result<Listen, Failure> {
    let chosen = &settings.listen;
    let eap_sim_db = match arguments.eap_sim_db.as_ref().or(chosen.eap_sim_db.as_ref()) {
        Some(path) => path.clone(),
        None => context.state.directory()?.join("eap_sim_db.sock"),
    };
    let https = arguments.https_listen.unwrap_or(chosen.https);
    // Of two operators on one machine each uses other ports than the defaults; this one does too then.
    let port = if https == settings::Listen::default().https { settings::OFFICE_PORT } else { 0 };
    let office = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(Listen {
        https,
        office: arguments.office_listen.or(chosen.office).unwrap_or(office),
        names: chosen.names.clone(),
        internal: arguments.internal_listen.unwrap_or(chosen.internal),
        progress: arguments.progress_listen.unwrap_or(chosen.progress),
        smpp: arguments.smpp_listen.unwrap_or(chosen.smpp),
        radius: arguments.radius_listen.unwrap_or(chosen.radius),
        eap_sim_db: Some(eap_sim_db),
    })
}

/// The clients in the settings; without any, this machine, with a generated secret in the state directory.
fn radius_clients(settings: &Settings, context: &Context) -> Result<HashMap<IpAddr, Secret>, Failure> {
    if settings.radius.clients.is_empty() {
        let secret = secret_file(&context.state.directory()?.join("radius-secret"))?;
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        return Ok(loopback.map(|address| (address, Secret::new(secret.as_bytes()))).into());
    }
    let clients = settings.radius.clients.iter();
    Ok(clients.map(|client| (client.address, Secret::new(client.secret.0.as_bytes()))).collect())
}

/// The listeners, printed.
#[derive(Serialize)]
struct Listeners<'a> {
    base_url: Option<&'a str>,
    #[serde(skip)]
    has_portal: bool,
    listening: &'a [Listening],
}

impl fmt::Display for Listeners<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Listening { name, at } in self.listening {
            writeln!(f, "{name:<20}  {at}")?;
        }
        if let Some(base_url) = self.base_url.filter(|_| self.has_portal) {
            writeln!(f, "\nself-care             {base_url}/care/")?;
        }
        let office = self.listening.iter().find(|listening| listening.name == "operator's page");
        if let (Some(Listening { at, .. }), Some(base_url)) = (office, self.base_url) {
            let scheme = if base_url.starts_with("https") { "https" } else { "http" };
            writeln!(f, "operator's page       {scheme}://{at}/office/")?;
        }
        write!(f, "The operator is running; Ctrl-C ends it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_refused_by_its_name() {
        let mut settings =
            Settings { network: settings::Network { mcc: "310".into(), ..Default::default() }, ..Default::default() };
        let refused = by_option(&settings.check().unwrap_err());
        assert!(refused.starts_with("--mnc: has 3 digits in every network of MCC 310"), "{refused}");
        settings.network.mnc = "410".into();
        settings.public.base_url = Some("operator.example".into());
        assert_eq!(by_option(&settings.check().unwrap_err()), "--base-url: begins with https://");
    }
}
