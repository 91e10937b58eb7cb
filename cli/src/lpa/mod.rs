//! `vuicc lpa`: the host LPA: the contents of an eUICC, and new profiles for it.

mod chip;
mod download;
mod notification;
mod profile;
pub(crate) mod user;

use std::path::{Path, PathBuf};
use std::time::Duration;

use apdu::Transport;
use calendar::Clock;
use clap::{Args, Subcommand};
use console::Exit;
use identities::Iccid;
use lpa::https::EXCHANGE_LIMIT;
use lpa::{Checks, DOWNLOAD_LIMIT, Elsewhere, Euicc, HttpsClient, Options, REPORT_LIMIT, Settings, Trust};
use reader_bridge::pcsc_reader::Sharing;
use rsp::DecodeError;
use rsp::certificate::{Certificate, Role};
use rsp::es10c::ProfileIdentifier;
use rsp::metadata::ProfileState;
use serde::Serialize;
use serde_json::json;

use crate::failure::{AtPath, Failure};
use crate::output::{Output, tell};
use crate::pki::PkiArguments;
use crate::repeatable::ClockArguments;
use crate::target::TargetArguments;
use crate::{Context, hexadecimal, random};

#[derive(Debug, Args)]
pub(crate) struct Lpa {
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    way: WayArguments,
    #[command(flatten)]
    servers: ServerArguments,
    #[command(flatten)]
    clock: ClockArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The eUICC itself
    #[command(subcommand)]
    Chip(chip::Command),
    /// Its profiles
    #[command(subcommand)]
    Profile(profile::Command),
    /// Its notifications: pending reports to servers
    #[command(subcommand)]
    Notification(notification::Command),
}

/// How the LPA talks to the card.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access to the ISD-R")]
struct WayArguments {
    /// Octets per STORE DATA, 1 to 255; fewer for poor readers
    #[arg(long, global = true, value_name = "N", default_value_t = Options::default().block_size)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..))]
    block_size: u8,
    /// AID of the ISD-R, for cards with a nonstandard one
    #[arg(long, global = true, value_name = "HEX")]
    aid: Option<String>,
    /// Use the basic channel, for cards without others
    #[arg(long, global = true)]
    basic_channel: bool,
    /// Behave like a phone: announce a toolkit, and carry out the REFRESH a card asks for
    #[arg(long, global = true)]
    toolkit: bool,
    /// Share the card with another program that does so too, as a phone's LPA shares it with the modem: own logical
    /// channel, no reset; what a profile switch requires is left to that program [default: exclusive access]
    #[arg(long, global = true, conflicts_with_all = ["toolkit", "basic_channel"])]
    shared: bool,
}

/// Which servers the LPA trusts, and where it finds them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Servers")]
pub(crate) struct ServerArguments {
    #[command(flatten)]
    pki: PkiArguments,
    /// Trust servers certified by this CI (a certificate in DER or PEM); repeat for more
    #[arg(long, global = true, value_name = "FILE")]
    ci: Vec<PathBuf>,
    /// Trust any server; for tests
    #[arg(long, global = true)]
    insecure: bool,
    /// Connect to this address instead of the server's name or address (NAME may include a port); repeat for more.
    /// Unused ones are reported at the end
    #[arg(long, global = true, value_name = "NAME=HOST:PORT")]
    connect: Vec<Elsewhere>,
    /// Accept any TLS certificate that a CI issued for the server's name: without CERT.DPtls policy, or with another
    /// OID than the server signs with
    #[arg(long, global = true)]
    any_tls_certificate: bool,
    /// Ignore the validity period of certificates
    #[arg(long, global = true)]
    ignore_validity: bool,
    /// Timeout for one exchange with a server, from the connection to the end of its answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = EXCHANGE_LIMIT.as_secs())]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    exchange_timeout: u64,
    /// Timeout for a whole download, without the time the user takes to answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = DOWNLOAD_LIMIT.as_secs())]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    download_timeout: u64,
    /// Timeout for reports to operators, after a download or for the whole of `notification process`; undelivered ones
    /// stay on the eUICC for later
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = REPORT_LIMIT.as_secs())]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    notification_timeout: u64,
}

/// The card, opened.
type Card = Euicc<Box<dyn Transport>>;

pub(crate) fn run(lpa: &Lpa, context: &Context) -> Result<(), Failure> {
    let session = Session { lpa, context };
    let outcome = match &lpa.command {
        Command::Chip(command) => chip::run(command, &session),
        Command::Profile(command) => profile::run(command, &session),
        Command::Notification(command) => notification::run(command, &session),
    };
    lpa.servers.tell_unused();
    outcome
}

/// Options of every LPA command.
struct Session<'a> {
    lpa: &'a Lpa,
    context: &'a Context,
}

impl Session<'_> {
    /// Opens the eUICC.
    fn open(&self) -> Result<Card, Failure> {
        let way = &self.lpa.way;
        let mut options = Options {
            block_size: way.block_size,
            on_basic_channel: way.basic_channel,
            toolkit: way.toolkit,
            shared: way.shared,
            ..Options::default()
        };
        if let Some(aid) = &way.aid {
            options.aid = hexadecimal::parse(aid).map_err(|cause| Failure::because(cause).with(Exit::Usage))?;
        }
        if way.shared && self.lpa.target.image().is_some() {
            return Err(Failure::because("--shared is for a card in a reader; a card image has no other user")
                .with(Exit::Usage));
        }
        let sharing = if way.shared { Sharing::Shared } else { Sharing::Exclusive };
        Ok(Euicc::open(self.lpa.target.connect_as(sharing)?, options)?)
    }

    /// The progress of a profile switch that the eUICC has accepted. `state` is the resulting state.
    fn switched(&self, euicc: &mut Card, profile: &ProfileIdentifier, state: ProfileState) -> Switched {
        if !self.lpa.way.shared {
            return Switched::Done;
        }
        match euicc.profile(profile) {
            Ok(Some(now)) if now.profile_state == Some(state) => Switched::Unseen,
            Ok(Some(_)) => Switched::AfterRefresh,
            Ok(None) | Err(_) => Switched::Unknown,
        }
    }

    /// A client for servers, and how they are judged.
    fn servers(&self) -> Result<(HttpsClient, Checks), Failure> {
        let servers = &self.lpa.servers;
        let clock = self.lpa.clock.clock();
        let settings = Settings { clock, ..servers.settings(servers.trust(self.context)?) };
        let report_limit = Duration::from_secs(servers.notification_timeout);
        let checks =
            Checks { limit: servers.download_limit(), report_limit, ..settings.checks(clock.at(random::now())) };
        Ok((HttpsClient::with(&settings)?, checks))
    }
}

/// The progress of a profile switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Switched {
    /// The card has been reset, and the switch is complete.
    Done,
    /// It is complete; the program that shares the card has not noticed.
    Unseen,
    /// The eUICC waits for that program's terminal to carry out the REFRESH it asks for. SGP.22 §5.7.16
    AfterRefresh,
    /// One or the other.
    Unknown,
}

impl Switched {
    /// As text; `done` is the word for the profile's resulting state.
    fn told(self, done: &str) -> String {
        match self {
            Self::Done => done.to_owned(),
            Self::Unseen => format!("{done}; the program that shares the card notices when it resets the card"),
            Self::AfterRefresh => format!(
                "accepted, not {done} yet: it takes effect when the program that shares the card carries out the REFRESH that \
                 the eUICC asks it for, or resets the card"
            ),
            Self::Unknown => {
                format!("{done}; the program that shares the card notices by a REFRESH, or when it resets the card")
            }
        }
    }
}

impl ServerArguments {
    /// Which servers are trusted.
    pub(crate) fn trust(&self, context: &Context) -> Result<Trust, Failure> {
        Ok(if self.insecure {
            Trust::Insecure
        } else if self.ci.is_empty() {
            Trust::Cis(vec![self.pki.open(context)?.get(Role::Ci)?.der().to_vec()])
        } else {
            Trust::Cis(self.ci.iter().map(|path| ci(path)).collect::<Result<_, _>>()?)
        })
    }

    /// How servers with this trust are reached, and what is required of them.
    pub(crate) fn settings(&self, trust: Trust) -> Settings {
        Settings {
            trust,
            hosts: self.connect.clone(),
            roles: !self.any_tls_certificate,
            validity: !self.ignore_validity,
            exchange_limit: Duration::from_secs(self.exchange_timeout),
            clock: Clock::System,
        }
    }

    /// Timeout for a whole download.
    pub(crate) const fn download_limit(&self) -> Duration {
        Duration::from_secs(self.download_timeout)
    }

    /// Reports addresses that no server was looked up at: a typo would go unnoticed otherwise.
    fn tell_unused(&self) {
        for unused in self.connect.iter().filter(|elsewhere| !elsewhere.was_used()) {
            tell(&format!(
                "vuicc: --connect {unused} was not used: no server of that name was contacted, or another --connect took precedence"
            ));
        }
    }

    /// Addresses of some of them.
    #[cfg(feature = "operator")]
    pub(crate) fn hosts(&self) -> &[Elsewhere] {
        &self.connect
    }

    /// Whether any server is trusted.
    #[cfg(feature = "operator")]
    pub(crate) const fn is_insecure(&self) -> bool {
        self.insecure
    }
}

/// A CI certificate from a file, in DER.
pub(crate) fn ci(path: &Path) -> Result<Vec<u8>, Failure> {
    let contents = std::fs::read(path).at("read the certificate", path)?;
    let named = |failure: Failure| failure.while_doing(&path.display().to_string());
    let certificate = Certificate::parse(&x509::unarmoured(&contents)).map_err(|error| named(error.into()))?;
    Ok(certificate.der().octets().to_vec())
}

/// List entries that were not understood: they make the command fail, after the rest was shown.
fn told_of(output: Output, what: &str, faults: &[DecodeError]) -> Result<(), Failure> {
    let Some(first) = faults.first() else { return Ok(()) };
    for fault in faults {
        output.json(&json!({ "not_understood": what, "cause": fault.to_string() }))?;
    }
    let and_more = match faults.len() {
        1 => String::new(),
        more => format!(", and {} more", more - 1),
    };
    Err(Failure::because(format!(
        "not all of the {what}s on the eUICC is understood ({first}{and_more}); its firmware may be faulty"
    )))
}

/// A profile, named by its ICCID or by the AID of its ISD-P.
fn profile_identifier(text: &str) -> Result<ProfileIdentifier, String> {
    if text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("A0")) {
        return Ok(ProfileIdentifier::IsdpAid(hexadecimal::parse(text)?.into()));
    }
    let iccid = text.parse::<Iccid>().map_err(|error| format!("{error}; or give the AID of its ISD-P, A000…"))?;
    Ok(ProfileIdentifier::Iccid(iccid))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a shared card, a switch that waits for its REFRESH is not reported as complete.
    #[test]
    fn a_switch_that_waits_for_a_refresh_is_said_to_wait() {
        assert_eq!(Switched::Done.told("enabled"), "enabled");
        let waits = Switched::AfterRefresh.told("enabled");
        assert!(waits.starts_with("accepted, not enabled yet") && waits.contains("REFRESH"), "{waits}");
        assert!(Switched::Unseen.told("disabled").starts_with("disabled; "));
        assert_eq!(serde_json::to_value(Switched::AfterRefresh).unwrap(), "after_refresh");
    }

    #[test]
    fn profiles_have_two_names() {
        let by_iccid = profile_identifier("89000123456789012341").unwrap();
        assert_eq!(by_iccid, ProfileIdentifier::Iccid("89000123456789012341".parse().unwrap()));
        let by_aid = profile_identifier("a0000005591010FFFFFFFF8900001000").unwrap();
        assert!(matches!(by_aid, ProfileIdentifier::IsdpAid(aid) if aid.octets().len() == 16));
        assert!(profile_identifier("Travel").unwrap_err().contains("AID"));
    }
}
