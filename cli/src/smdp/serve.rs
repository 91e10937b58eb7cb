//! `vuicc smdp serve`: ES9+ over HTTPS until interrupted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use calendar::Timestamp;
use clap::Args;
use console::Exit;
use database::without_password;
use rsp::certificate::Role;
use serde_json::json;
use smdp::fault::order::places;
use smdp::fault::{At, Fault, FaultError, Faults, Listeners, ROWS};
use smdp::identity::Identity;
use smdp::profile::{Profile, ProfileState, UnixTime};
use smdp::{Config, Es2Plus, Operator, ServeError, System, tls_identity_by};
use test_pki::{Pki, ServerName};

use super::rules::Rules;
use super::{DEFAULT_LISTEN, DatabaseArguments, remember_address};
use crate::failure::{AtPath, Failure};
use crate::key_log::KeyLogArguments;
use crate::output::tell;
use crate::pki::PkiArguments;
use crate::repeatable::{ClockArguments, SeedArguments};
use crate::server_address::server_address;
use crate::server_address::{OPERATOR, PROGRESS_PORT, host_of, socket_address};
use crate::waiting::DatabaseWait;
use crate::{Context, asynchronous, random};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_LISTEN, value_parser = socket_address)]
    listen: SocketAddr,
    /// The SM-DP+ address in activation codes, as LPAs reach it [default: the listening address]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = server_address)]
    address: Option<String>,
    /// Address of an ES2+ listener for operators; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", value_parser = socket_address)]
    es2_listen: Option<SocketAddr>,
    /// Issuers of the operators' TLS certificates, in PEM [default: the CI]
    #[arg(long, value_name = "FILE", requires = "es2_listen")]
    es2_clients: Option<PathBuf>,
    /// An operator that may order: the name in its certificate, and its URL for progress notifications; repeat for more
    /// [default: the operator of this state directory, at its default port]
    #[arg(long = "operator", value_name = "NAME[=URL]", requires = "es2_listen", value_parser = operator)]
    operators: Vec<Operator>,
    /// Another host name or address in its TLS certificate, besides that of the address; repeat for more. This
    /// machine's names are in it if it listens on loopback
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<ServerName>,
    /// How many eUICC notifications are kept; the oldest are deleted first
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    keep_notifications: u32,
    /// For how many days they are kept
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    keep_notifications_for: u32,
    #[command(flatten)]
    database: DatabaseArguments,
    #[command(flatten)]
    wait: DatabaseWait,
    #[command(flatten)]
    pki: PkiArguments,
    #[command(flatten)]
    seed: SeedArguments,
    #[command(flatten)]
    clock: ClockArguments,
    /// Fail in this way, so that it can be seen what an LPA does; repeat for more. --help has the list
    #[arg(long = "fault", value_name = "FUNCTION=KIND[:VALUE][@WHEN]", long_help = faults_help())]
    faults: Vec<Fault>,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    key_log: KeyLogArguments,
    /// Speak HTTP without TLS, for use behind a proxy
    #[arg(long)]
    plain: bool,
    /// Such a proxy, whose X-Forwarded-For is trusted; repeat for more
    #[arg(long = "proxy", value_name = "ADDRESS", value_parser = ip_address)]
    proxies: Vec<IpAddr>,
}

/// A proxy's source address.
fn ip_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "expected an IP address, such as 192.0.2.1".to_owned())
}

/// `NAME`, `NAME=URL`, or a URL alone, whose host is the name.
fn operator(text: &str) -> Result<Operator, String> {
    let (name, url) = match text.split_once('=') {
        Some((name, url)) if !name.contains("://") => (name.to_owned(), Some(url)),
        _ => match text.split_once("://") {
            Some((_, rest)) => (host_of(rest.split('/').next().unwrap_or_default()), Some(text)),
            None => (text.to_owned(), None),
        },
    };
    if name.is_empty() {
        return Err("the operator's name is missing: NAME=URL".to_owned());
    }
    if url.is_some_and(|url| !url.starts_with("https://")) {
        return Err("progress notifications need an https:// URL".to_owned());
    }
    Ok(Operator { progress_url: url.map(str::to_owned), ..Operator::named(name) })
}

/// The kinds of faults, in the help.
fn faults_help() -> String {
    let mut help = String::from(
        "Fail in this way, so that it can be seen what an LPA does; repeat for more. Such a server is for tests only. WHEN is \
         once, always, or the number of a call: authenticateClient=status:8.2.6/3.8@once, getBoundProfilePackage=cut@2 \
         [default: always]. What LPAs do then: docs/faults.md\n",
    );
    for row in ROWS {
        let at = if row.at.len() == ANYWHERE { "any function".to_owned() } else { places(row) };
        // Writing to a String does not fail.
        let _ = write!(help, "\n{}{}: {} ({at})", row.name, row.value.form(), row.does);
    }
    help
}

/// How many functions there are: a kind that can strike at all of them is not listed with each.
const ANYWHERE: usize = At::ALL.len() - 1;

/// The server's time and randomness.
fn system(arguments: &Arguments) -> System {
    let clock = arguments.clock.clock();
    System { clock: Arc::new(move || clock.at(random::now())), randomness: arguments.seed.randomness("SM-DP+") }
}

/// The ES2+ listener for operators, if there is one.
fn es2plus(arguments: &Arguments, pki: &Pki, host: &str, system: &System) -> Result<Option<Es2Plus>, Failure> {
    let Some(listen) = arguments.es2_listen else { return Ok(None) };
    let own =
        || Operator { progress_url: Some(format!("https://127.0.0.1:{PROGRESS_PORT}")), ..Operator::named(OPERATOR) };
    let mut operators = arguments.operators.clone();
    if operators.is_empty() {
        operators.push(own());
    }
    let roots = match &arguments.es2_clients {
        Some(file) => {
            let pem = std::fs::read(file).at("read", file)?;
            let named = |error| Failure::from(error).while_doing(&file.display().to_string());
            https::tls::certificates_from_pem(&pem).map_err(named)?
        }
        None => vec![pki.get(Role::Ci)?.der().to_vec()],
    };
    let tls = tls_identity_by(system, pki, host, &names(&arguments.hosts, listen))?;
    Ok(Some(Es2Plus { listen, tls, roots, operators }))
}

/// Tells that downloads fail, where by the server's clock its certificates are not valid.
fn tell_of_time(pki: &Pki, now: u64) {
    for role in [Role::Ci, Role::Eum, Role::DpAuth, Role::DpPb] {
        let outside = pki.get(role).ok().and_then(|found| found.certificate().verify_time(now).err());
        if let Some(why) = outside {
            return tell(&format!(
                "vuicc: by the server's clock it is {}, and of its PKI, {}: {why}; downloads fail then. To see that, fine; otherwise \
                 check --clock and this machine's clock, or use a PKI of that time: --pki, or --state NEW to mint one",
                Timestamp(now),
                role,
            ));
        }
    }
}

pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    arguments.seed.warn();
    let system = system(arguments);
    let pki = arguments.pki.open_at(context, &arguments.seed, &arguments.clock)?;
    tell_of_time(&pki, system.now());
    let host = arguments.address.as_deref().map_or_else(|| arguments.listen.ip().to_string(), host_of);
    if arguments.plain && !arguments.listen.ip().is_loopback() {
        tracing::warn!(
            "HTTP without TLS at {}: anyone in between can read and change what eUICCs are sent; let only the proxy reach it",
            arguments.listen
        );
    }
    let others = names(&arguments.hosts, arguments.listen);
    let listeners = Listeners { has_tls: !arguments.plain, has_es2plus: arguments.es2_listen.is_some() };
    let faults = match arguments.faults.as_slice() {
        [] => None,
        ordered => Some(Faults::new(ordered.to_vec(), listeners, &pki, &system).map_err(|error| with_way_out(&error))?),
    };
    let tls = match (&faults, arguments.plain) {
        (_, true) => None,
        (Some(faults), _) => Some(faults.tls_identity(&system, &pki, &host, &others)?),
        (None, _) => Some(tls_identity_by(&system, &pki, &host, &others)?),
    };
    let mut config = Config::new(vec![Identity::from_pki(&pki)?], vec![pki.trust_anchor()?], tls);
    config.provider = arguments.key_log.before(arguments.seed.provider())?;
    config.system = system.clone();
    for fault in faults.iter().flat_map(Faults::ordered) {
        tell(&format!("vuicc: fault ordered: {fault}"));
    }
    config.faults = faults;
    config.listen = arguments.listen;
    config.settings.address = arguments.address.clone().unwrap_or_default();
    arguments.rules.apply(&mut config.settings);
    config.settings.notifications_kept = arguments.keep_notifications;
    config.settings.notifications_kept_for = UnixTime::from(arguments.keep_notifications_for) * 24 * 60 * 60;
    context.state.directory()?;
    config.database = arguments.database.url(context)?;
    config.database_wait = arguments.wait.timeout();
    let (store, key) = arguments.database.open_within(context, config.database_wait).await?;
    config.master_key = key;
    config.proxies.clone_from(&arguments.proxies);
    config.es2plus = es2plus(arguments, &pki, &host, &system)?;
    let database = without_password(&config.database);
    let server = smdp::serve(config).await.map_err(|error| match error {
        ServeError::Database(_) => Failure::from(error).while_doing(&database),
        other => other.into(),
    })?;
    remember_address(context, server.address())?;

    let (listening_at, address) = (server.listening_at(), server.address().to_owned());
    let operators = server.es2plus_at();
    context.output.json(&json!({ "listening": listening_at, "address": address, "es2plus": operators }))?;
    if let Some(at) = operators {
        context.output.text(format_args!("ES2+ for operators at {at}"))?;
    }
    context.output.text(format_args!("SM-DP+ {address}, listening at {listening_at}; Ctrl-C ends it"))?;
    let looks = async {
        // A store that cannot be read is the server's to report.
        for told in elsewhere(&store.profiles().await.unwrap_or_default(), &address) {
            tell(&told);
        }
        store.close().await;
        asynchronous::interrupted().await;
    };
    tokio::select! {
        () = looks => {}
        () = asynchronous::interrupted() => {}
    }
    server.shutdown().await;
    Ok(())
}

/// Warns of profiles whose eUICCs report to other servers alone: at `own` this one hears nothing of them.
fn elsewhere(profiles: &[Profile], own: &str) -> Vec<String> {
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    for profile in
        profiles.iter().filter(|profile| !matches!(profile.state, ProfileState::Deleted | ProfileState::Unavailable))
    {
        let recipients = profile.metadata.notification_configuration_info.as_deref().unwrap_or_default();
        if let Some(first) = recipients.first()
            && recipients.iter().all(|recipient| *recipient.notification_address != *own)
        {
            *others.entry(&first.notification_address).or_default() += 1;
        }
    }
    let told = others.into_iter().map(|(other, count)| {
        let what = if count == 1 { "1 profile tells its eUICC" } else { &format!("{count} profiles tell their eUICCs") };
        format!(
            "vuicc: {what} to report to {other}, not to this server at {own}: start it at that address (--listen, --address), or \
             give the LPA --connect {other}={own}; `vuicc smdp profile add` puts in the address of the server that ran last, \
             or --address"
        )
    });
    told.collect()
}

/// Why the faults cannot be ordered, and which option is the way out.
fn with_way_out(error: &FaultError) -> Failure {
    let way_out = match error {
        FaultError::NoOperators(_) => "; --es2-listen opens one",
        FaultError::NoTls(_) => "; leave --plain out",
        _ => "",
    };
    let exit = if matches!(error, FaultError::Pki(_)) { Exit::Failed } else { Exit::Usage };
    Failure::because(format!("{error}{way_out}")).with(exit)
}

/// More names of a server at this address. On addresses beyond loopback, this machine's names belong to others.
fn names(hosts: &[ServerName], listen: SocketAddr) -> Vec<ServerName> {
    let loopback = if listen.ip().is_loopback() { ServerName::loopback() } else { Vec::new() };
    hosts.iter().cloned().chain(loopback).collect()
}

#[cfg(test)]
mod tests {
    use rsp::metadata::ProfileClass;
    use saip::builder::{Key, Subscriber};
    use smdp::profile::Offered;

    use super::*;

    /// Profiles added before the server had its address.
    #[test]
    fn profiles_that_name_another_server_are_told_of() {
        let key = || Key::new(&[1; 16]);
        let subscriber = Subscriber::new("8988211000000000011", "001010000000001", key(), key());
        let package = saip::encode_package(&saip::builder::build(&subscriber).unwrap());
        let offered = Offered { name: "one", provider: "vuicc", class: ProfileClass::OPERATIONAL };
        let others = ["127.0.0.1:9".to_owned()];
        let at = |own: &str, others: &[String]| offered.profile(&package, own, others, 0).unwrap();
        let profiles = [at("127.0.0.1:41", &[]), at("127.0.0.1:41", &[]), at("127.0.0.1:8443", &others)];
        assert_eq!(elsewhere(&profiles[2..], "127.0.0.1:8443"), Vec::<String>::new());
        let told = elsewhere(&profiles, "127.0.0.1:8443");
        assert!(
            told.len() == 1 && told[0].contains("2 profiles tell their eUICCs to report to 127.0.0.1:41, "),
            "{told:?}"
        );
        assert!(told[0].contains("--connect 127.0.0.1:41=127.0.0.1:8443"), "{told:?}");
        assert!(elsewhere(&profiles[1..], "127.0.0.1:8443")[0].contains("1 profile tells its eUICC to "));
    }

    #[test]
    fn operators_have_a_name_and_optionally_a_url() {
        let read = |text: &str| operator(text).map(|operator| (operator.certificate_name, operator.progress_url));
        let url = |url: &str| Some(url.to_owned());
        assert_eq!(read("operator.example"), Ok(("operator.example".into(), None)));
        let at = "https://127.0.0.1:8444";
        assert_eq!(read(&format!("operator.example={at}")), Ok(("operator.example".into(), url(at))));
        assert_eq!(read("https://a.example:1/x?y=z"), Ok(("a.example".into(), url("https://a.example:1/x?y=z"))));
        for wrong in ["", "=https://a", "a=b", "a=http://b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
