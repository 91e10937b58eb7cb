//! An operator's configuration: `operator.toml`, and options that override it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use console::Exit;
use rsp::activation_code::is_server_address;
use saip::builder::has_three_digit_mncs;
use serde::Deserialize;

use crate::Context;
use crate::failure::{AtPath, Failure};
use crate::fields::from_toml;
use crate::server_address::{OPERATOR, PROGRESS_PORT};
use crate::subscriber::invent::SMSC;

/// The option that names the settings.
#[derive(Clone, Debug, Args)]
pub(crate) struct SettingsArguments {
    /// The operator's settings, in TOML: docs/operator.md [default: operator.toml in the state directory, if it exists]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

impl SettingsArguments {
    /// The settings.
    pub(crate) fn read(&self, context: &Context) -> Result<Settings, Failure> {
        if let Some(path) = &self.settings {
            return read(path);
        }
        let path = context.state.path()?.join("operator.toml");
        if path.exists() { read(&path) } else { Ok(Settings::default()) }
    }
}

fn read(path: &Path) -> Result<Settings, Failure> {
    let text = std::fs::read_to_string(path).at("read the settings", path)?;
    parse(&text).map_err(|cause| {
        Failure::because(format!("{}: {cause}; docs/operator.md lists all settings", path.display())).with(Exit::Input)
    })
}

fn parse(text: &str) -> Result<Settings, String> {
    let settings: Settings = from_toml(text)?;
    settings.check()?;
    Ok(settings)
}

/// All settings; each has a default that suits a test network on one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The network.
    pub(crate) network: Network,
    /// Listeners.
    pub(crate) listen: Listen,
    /// What phones and browsers see.
    pub(crate) public: Public,
    /// What subscribers have to agree to.
    pub(crate) contract: Contract,
    /// Which profiles are ordered.
    pub(crate) profiles: Profiles,
    /// The SM-DP+.
    pub(crate) smdp: SmDp,
    /// Short messages.
    pub(crate) smsc: Smsc,
    /// The register's call-delivery endpoint.
    pub(crate) hlr: CallDelivery,
    /// The operator's page.
    pub(crate) office: Office,
    /// How cards authenticate.
    pub(crate) eap: Eap,
    /// RADIUS.
    pub(crate) radius: Radius,
}

/// Listeners.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    /// For phones and browsers.
    pub(crate) https: SocketAddr,
    /// Health and metrics.
    pub(crate) internal: SocketAddr,
    /// The operator's page; none: port 9445 of this machine, or any free one if `https` is not the default.
    pub(crate) office: Option<SocketAddr>,
    /// Host names of listeners without TLS, besides addresses, `localhost`, and names without a dot.
    pub(crate) names: Vec<String>,
    /// Progress notifications from SM-DP+s.
    pub(crate) progress: SocketAddr,
    /// SMPP.
    pub(crate) smpp: SocketAddr,
    /// RADIUS.
    pub(crate) radius: SocketAddr,
    /// hostapd's socket.
    pub(crate) eap_sim_db: Option<PathBuf>,
}

/// The default ports for phones and browsers, and of the operator's page.
pub(crate) const HTTPS_PORT: u16 = 9443;
pub(crate) const OFFICE_PORT: u16 = 9445;

impl Default for Listen {
    fn default() -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            https: at(HTTPS_PORT),
            internal: at(9080),
            office: None,
            names: Vec::new(),
            progress: at(PROGRESS_PORT),
            smpp: at(2775),
            radius: at(1812),
            eap_sim_db: None,
        }
    }
}

/// What phones and browsers see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Public {
    /// URL of the HTTPS listener; none: its address.
    pub(crate) base_url: Option<String>,
    /// URL of the portal, if another process runs it; none: below `base_url`.
    pub(crate) portal_url: Option<String>,
    /// Proxies in front of the HTTPS listener, whose X-Forwarded-For says where requests come from.
    pub(crate) proxies: Vec<IpAddr>,
    /// Where users find help: a number, an address.
    pub(crate) support: String,
    /// More names and addresses in the generated certificate; this machine's names are in it only if all listeners are
    /// on loopback.
    pub(crate) names: Vec<String>,
    /// The certificate shown there and to the SM-DP+, with its chain, in PEM; none: a fresh one issued by the PKI.
    pub(crate) certificate: Option<PathBuf>,
    /// Its key, in PEM.
    pub(crate) key: Option<PathBuf>,
}

/// What subscribers have to agree to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Contract {
    /// Version of the terms.
    pub(crate) terms: String,
    /// Before a profile is ordered.
    pub(crate) required: bool,
    /// Again before a number is shared.
    pub(crate) sharing: bool,
    /// Which secondaries prove possession by a code.
    pub(crate) sms_check: SmsCheck,
}

impl Default for Contract {
    fn default() -> Self {
        Self { terms: "1".into(), required: true, sharing: false, sms_check: SmsCheck::default() }
    }
}

/// Which secondaries prove possession by a code sent to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SmsCheck {
    /// None
    Never,
    /// Those whose profile the subscriber did not order
    #[default]
    Strangers,
    /// All
    Always,
}

/// The profile type ordered for each use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Profiles {
    /// For a companion device.
    pub(crate) companion: String,
    /// For the eUICC beside the UICC.
    pub(crate) primary: String,
    /// For a new device that takes over the number.
    pub(crate) transfer: String,
}

impl Profiles {
    /// The same for all.
    pub(crate) fn all(kind: &str) -> Self {
        Self { companion: kind.to_owned(), primary: kind.to_owned(), transfer: kind.to_owned() }
    }
}

impl Default for Profiles {
    fn default() -> Self {
        Self::all("Companion")
    }
}

/// The SM-DP+.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SmDp {
    /// Its ES2+ listener, for operators.
    pub(crate) url: String,
    /// Its address in activation codes, if it does not return one; none: that of the SM-DP+ run here last.
    pub(crate) address: Option<String>,
    /// The operator's name there (functionRequesterIdentifier), and in its certificate.
    pub(crate) requester: String,
    /// Names in certificates of SM-DP+s that may report progress; none: the host of `url`.
    pub(crate) names: Vec<String>,
    /// functionRequesterIdentifiers they may use, besides the names in their certificates.
    pub(crate) identifiers: Vec<String>,
    /// Whether they need a CERT.DP.TLS, by its policy.
    pub(crate) policy: bool,
    /// Issuers of its certificates, in PEM; none: the CI of the PKI.
    pub(crate) roots: Option<PathBuf>,
}

impl Default for SmDp {
    fn default() -> Self {
        Self {
            url: "https://127.0.0.1:8444".into(),
            address: None,
            requester: OPERATOR.into(),
            names: Vec::new(),
            identifiers: Vec::new(),
            policy: true,
            roots: None,
        }
    }
}

/// Short messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Smsc {
    /// The service centre to use; none: the one run here.
    pub(crate) address: Option<String>,
    /// The operator's name there.
    pub(crate) system_id: String,
    /// Its password; none: `smpp-password` in the state directory.
    pub(crate) password: Option<Hidden>,
    /// The number messages come from, and of the service centre run here.
    pub(crate) number: String,
    /// Other clients of the one run here.
    pub(crate) clients: Vec<SmscClient>,
}

impl Default for Smsc {
    fn default() -> Self {
        let (address, password, clients) = (None, None, Vec::new());
        Self { address, system_id: "operator".into(), password, number: SMSC.into(), clients }
    }
}

/// A client that may send short messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmscClient {
    /// Up to 15 characters.
    pub(crate) system_id: String,
    /// Up to 8 characters.
    pub(crate) password: Hidden,
}

/// The register's call-delivery endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CallDelivery {
    /// The clients' bearer token; none: `hlr-secret` in the state directory.
    pub(crate) secret: Option<Hidden>,
    /// Clients need no token, so `listen.internal` has to be on loopback.
    pub(crate) open: bool,
}

/// The operator's page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Office {
    /// Who may log in, each with their own key; none: one clerk, with the key in `office-key` in the state directory.
    pub(crate) keys: Vec<OfficeKey>,
}

/// A key to the operator's page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfficeKey {
    /// Its owner's name, as in the audit log.
    pub(crate) name: String,
    /// At least 24 characters.
    pub(crate) key: Hidden,
}

/// How cards authenticate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Eap {
    /// Whether a USIM may authenticate by EAP-SIM, which is for SIMs.
    pub(crate) sim_with_usim: bool,
}

/// RADIUS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Radius {
    /// Clients; none: this machine, with the secret in `radius-secret` in the state directory.
    pub(crate) clients: Vec<RadiusClient>,
    /// Whether a peer that sends an IMSI learns at once that it is unknown or out of service.
    pub(crate) says_who_is: bool,
}

/// An access point, a gateway, a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RadiusClient {
    /// Its source address.
    pub(crate) address: IpAddr,
    /// The secret shared with the server.
    pub(crate) secret: Hidden,
}

/// A secret in the settings, wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq, Deserialize, zeroize::ZeroizeOnDrop)]
pub(crate) struct Hidden(pub(crate) String);

impl core::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Hidden")
    }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Network {
    /// Its name, as subscribers see it.
    pub(crate) name: String,
    /// Mobile country code.
    pub(crate) mcc: String,
    /// Mobile network code, 2 or 3 digits.
    pub(crate) mnc: String,
}

impl Default for Network {
    fn default() -> Self {
        Self { name: "vuicc".into(), mcc: "001".into(), mnc: "01".into() }
    }
}

impl Settings {
    /// Refuses invalid settings, by name.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Network { name, mcc, mnc } = &self.network;
        let digits = |text: &str, lengths: &[usize]| {
            lengths.contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit())
        };
        if name.trim().is_empty() {
            return Err("network.name: is empty".into());
        }
        if !digits(mcc, &[3]) {
            return Err("network.mcc: has 3 digits".into());
        }
        if !digits(mnc, &[2, 3]) {
            return Err("network.mnc: has 2 or 3 digits".into());
        }
        if mnc.len() == 2 && has_three_digit_mncs(mcc) {
            return Err(format!("network.mnc: has 3 digits in every network of MCC {mcc}, such as 410"));
        }
        if !self.smdp.url.starts_with("https://") {
            return Err("smdp.url: begins with https://".into());
        }
        if self.smsc.address.as_ref().is_some_and(|address| !is_host_and_port(address)) {
            return Err("smsc.address: is HOST:PORT, such as smsc.example:2775".into());
        }
        for (name, url) in [("base_url", &self.public.base_url), ("portal_url", &self.public.portal_url)] {
            if url.as_ref().is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
                return Err(format!("public.{name}: begins with https://"));
            }
        }
        if self.hlr.open && self.hlr.secret.is_some() {
            return Err("hlr.open: is true beside a secret; leave one out".into());
        }
        if self.office.keys.iter().any(|OfficeKey { name, key }| name.trim().is_empty() || key.0.chars().count() < 24) {
            return Err("office.keys: name is not empty, key has 24 characters at least".into());
        }
        if self.public.certificate.is_some() != self.public.key.is_some() {
            return Err("public.certificate and public.key: one is nothing without the other".into());
        }
        for SmscClient { system_id, password } in &self.smsc.clients {
            if system_id.is_empty() || system_id.len() > 15 || password.0.len() > 8 {
                return Err("smsc.clients: system_id has 1 to 15 characters, password at most 8".into());
            }
        }
        Ok(())
    }
}

/// Whether a text is a host and a port; the host may be a name or an address, IPv6 in brackets.
fn is_host_and_port(text: &str) -> bool {
    is_server_address(text) && text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_refused_by_name() {
        assert_eq!(parse(""), Ok(Settings::default()));
        let refused = |text: &str| parse(text).unwrap_err();
        assert!(refused("[network]\nmcc = '1'").starts_with("network.mcc: "));
        assert!(refused("[network]\nmcc = 1").starts_with("line 2, column 7: network.mcc: "));
        assert!(refused("[contract]\nsms_check = 'perhaps'").starts_with("line 2, column 13: contract.sms_check: "));
        assert!(refused("[listen]\nhttps = 'here'").starts_with("line 2, column 9: listen.https: "));
        assert_eq!(
            refused("[listen]\nhttps = '127.0.0.1'"),
            "line 2, column 9: listen.https: wants HOST:PORT, an IP address and a port such as 127.0.0.1:9443 or [::1]:9443"
        );
        assert!(refused("[network]\nmcc = '310'").starts_with("network.mnc: has 3 digits in every network of MCC 310"));
        let secret = refused("[[radius.clients]]\naddress = '192.0.2.1'\nsecret = 12345678");
        assert_eq!(secret, "line 3, column 10: radius.clients[0].secret: is written in quotes");
        for wrong in ["here", "smsc.example:", ":2775", "smsc.example:0x7", "[::1]", "smpp://smsc.example:2775"] {
            let text = refused(&format!("[smsc]\naddress = '{wrong}'"));
            assert_eq!(text, "smsc.address: is HOST:PORT, such as smsc.example:2775", "{wrong}");
        }
        for right in ["smsc.example:2775", "192.0.2.1:2775", "[::1]:2775", "localhost:1"] {
            assert!(parse(&format!("[smsc]\naddress = '{right}'")).is_ok(), "{right}");
        }
        assert!(refused("[smdp]\nurl = 'http://smdp'").starts_with("smdp.url: "));
        assert!(refused("[public]\nkey = 'a.pem'").starts_with("public.certificate"));
        assert!(refused("[office]\nkeys = [{ name = 'anna', key = 'short' }]").starts_with("office.keys: "));
        assert!(refused("[hlr]\nopen = true\nsecret = 'x'").starts_with("hlr.open: "));
        assert!(refused("[moon]").contains("moon"));
        assert_eq!(refused("{\"network\": {}}"), "line 1, column 1: this is JSON, not TOML");
        assert!(refused("[network]\nname = \"x\"\nmcc = 001\n").starts_with("line 3, column "));
        assert!(refused("[network\nmcc = '001'").starts_with("line 1, column "));
        assert_eq!(parse("\u{FEFF}[network]\nmcc = '001'"), Ok(Settings::default()), "a byte order mark");
    }

    #[test]
    fn the_example_of_the_documentation_has_the_defaults() {
        let text = include_str!("../../../docs/operator.md");
        let example = text.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        assert_eq!(parse(example), Ok(Settings::default()));
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = parse("[[radius.clients]]\naddress = '192.0.2.1'\nsecret = 'hush'").unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
