//! `vuicc lpa chip`: the eUICC itself.

use std::fmt;

use clap::{Args, Subcommand};
use console::Exit;
use identities::Eid;
use lpa::es10;
use rsp::VersionType;
use rsp::es10a::EuiccConfiguredAddressesElements;
use rsp::es10c::ResetOptions;
use rsp::euicc_info::{EuiccInfo2Elements, ExtCardResource};
use serde::Serialize;
use serde_json::json;

use super::Session;
use crate::failure::Failure;
use crate::output::{tell, within_a_line};
use crate::server_address::server_address;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show EID, versions, memory, addresses, trusted CIs
    #[command(after_help = "\
Examples:
  vuicc lpa chip info
  vuicc lpa chip info --card my.img --json | jq -r .eid

What the eUICC refuses to tell hides nothing else: it is named, in JSON under `refused`, and the exit status is 1.")]
    Info,
    /// Show, set or remove the default SM-DP+
    #[command(after_help = "\
Examples:
  vuicc lpa chip default-smdp                   show it
  vuicc lpa chip default-smdp smdp.example.com  set it
  vuicc lpa chip default-smdp --remove")]
    DefaultSmdp(DefaultSmdp),
    /// Delete profiles, all of a kind, and reset the default SM-DP+
    #[command(after_help = "\
Examples:
  vuicc lpa chip memory-reset --operational --yes
  vuicc lpa chip memory-reset --operational --test --default-smdp --yes

Policy rules and states do not protect a profile from this. Notifications stay.")]
    MemoryReset(MemoryReset),
}

#[derive(Debug, Args)]
pub(crate) struct DefaultSmdp {
    /// The new address
    #[arg(value_name = "HOST[:PORT]", value_parser = server_address_or_none)]
    address: Option<String>,
    /// Remove it
    #[arg(long, conflicts_with = "address")]
    remove: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one per option of the command line")]
pub(crate) struct MemoryReset {
    /// Delete operational profiles
    #[arg(long)]
    operational: bool,
    /// Delete test profiles that were downloaded
    #[arg(long)]
    test: bool,
    /// Reset the default SM-DP+ to its factory value
    #[arg(long)]
    default_smdp: bool,
    /// Confirm the deletion
    #[arg(long, required = true)]
    yes: bool,
}

/// An empty address removes the current one, as on ES10a.
fn server_address_or_none(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { server_address(text) }
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<(), Failure> {
    let output = session.context.output;
    match command {
        Command::Info => {
            let mut euicc = session.open()?;
            let (eid, addresses, info) = (euicc.eid(), euicc.configured_addresses_elements(), euicc.info2_elements());
            euicc.close();
            if let (Err(error), Err(_), Err(_)) = (&eid, &addresses, &info) {
                return Err(error.clone().into());
            }
            let mut faults = Vec::new();
            let eid = eid.map_err(|error| faults.push(error)).ok();
            if eid.as_ref().is_some_and(|eid| !eid.is_valid()) {
                tell(
                    "vuicc: the check digits of the EID are wrong: the line to the card was disturbed, or its maker is in error",
                );
            }
            let addresses = read(addresses, &mut faults);
            let info = read(info, &mut faults);
            let refused: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let count = refused.len();
            output.put_block(&Info::new(eid, addresses, info, refused))?;
            if count > 0 {
                return Err(Failure::because(format!(
                    "the eUICC did not report everything: {} refused or faulty",
                    apdu::counted(count, "item")
                )));
            }
        }
        Command::DefaultSmdp(arguments) => {
            let mut euicc = session.open()?;
            match (&arguments.address, arguments.remove) {
                (Some(address), _) => euicc.set_default_dp_address(address)?,
                (None, true) => euicc.set_default_dp_address("")?,
                (None, false) => {}
            }
            let address = euicc.configured_addresses()?.default_dp_address;
            euicc.close();
            output.json(&json!({ "default_smdp": address }))?;
            output.text(address.as_deref().filter(|address| !address.is_empty()).unwrap_or("none"))?;
        }
        Command::MemoryReset(arguments) => {
            let wanted = [
                (arguments.operational, ResetOptions::DELETE_OPERATIONAL_PROFILES),
                (arguments.test, ResetOptions::DELETE_FIELD_LOADED_TEST_PROFILES),
                (arguments.default_smdp, ResetOptions::RESET_DEFAULT_SMDP_ADDRESS),
            ];
            let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, option)| option);
            let Some(options) = wanted.reduce(ResetOptions::with) else {
                return Err(
                    Failure::because("nothing to reset; use --operational, --test or --default-smdp").with(Exit::Usage)
                );
            };
            let mut euicc = session.open()?;
            euicc.memory_reset(options)?;
            euicc.close();
            output.json(&json!({ "reset": options.iter().map(|one| one.to_string()).collect::<Vec<_>>() }))?;
            output.text(format_args!("done: {options}"))?;
        }
    }
    Ok(())
}

/// One function's answer, as far as it can be read.
fn read<T>(answer: Result<(T, Vec<es10::Error>), es10::Error>, faults: &mut Vec<es10::Error>) -> Option<T> {
    match answer {
        Ok((read, wrong)) => {
            faults.extend(wrong);
            Some(read)
        }
        Err(error) => {
            faults.push(error);
            None
        }
    }
}

#[derive(Serialize)]
struct Info {
    eid: Option<String>,
    #[serde(flatten)]
    of_euicc: Option<OfEuicc>,
    #[serde(flatten)]
    servers: Option<Servers>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
}

/// From EUICCInfo2; `None` for missing elements.
#[derive(Serialize)]
struct OfEuicc {
    svn: Option<String>,
    profile_version: Option<String>,
    firmware_version: Option<String>,
    free_non_volatile_memory: Option<u32>,
    free_volatile_memory: Option<u32>,
    installed_applications: Option<u32>,
    uicc_capability: Option<Vec<String>>,
    rsp_capability: Option<Vec<String>>,
    forbidden_profile_policy_rules: Option<Vec<String>>,
    ci_for_verification: Option<Vec<String>>,
    ci_for_signing: Option<Vec<String>>,
    sas_accreditation_number: Option<String>,
}

#[derive(Serialize)]
struct Servers {
    default_smdp: Option<String>,
    root_smds: Option<String>,
}

impl Info {
    fn new(
        eid: Option<Eid>,
        addresses: Option<EuiccConfiguredAddressesElements>,
        info: Option<EuiccInfo2Elements>,
        refused: Vec<String>,
    ) -> Self {
        let keys = |keys: Vec<rsp::SubjectKeyIdentifier>| keys.iter().map(ToString::to_string).collect();
        let version = |version: Option<VersionType>| version.map(|version| version.to_string());
        let of_euicc = info.map(|info| {
            let resource = info.ext_card_resource.as_deref().and_then(ExtCardResource::parse);
            OfEuicc {
                svn: version(info.svn),
                profile_version: version(info.profile_version),
                firmware_version: version(info.euicc_firmware_ver),
                free_non_volatile_memory: resource.map(|resource| resource.free_non_volatile_memory),
                free_volatile_memory: resource.map(|resource| resource.free_volatile_memory),
                installed_applications: resource.map(|resource| resource.installed_applications),
                uicc_capability: info.uicc_capability.map(|all| all.iter().map(|one| one.to_string()).collect()),
                rsp_capability: info.rsp_capability.map(|all| all.iter().map(|one| one.to_string()).collect()),
                forbidden_profile_policy_rules: info
                    .forbidden_profile_policy_rules
                    .map(|rules| rules.iter().map(|one| one.to_string()).collect()),
                ci_for_verification: info.euicc_ci_pk_id_list_for_verification.map(keys),
                ci_for_signing: info.euicc_ci_pk_id_list_for_signing.map(keys),
                sas_accreditation_number: info.sas_acreditation_number,
            }
        });
        let servers = addresses.map(|addresses| Servers {
            default_smdp: addresses.default_dp_address.filter(|address| !address.is_empty()),
            root_smds: addresses.root_ds_address,
        });
        Self { eid: eid.map(|eid| eid.to_string()), of_euicc, servers, refused }
    }
}

/// Names in a row, for text; JSON has them one by one.
fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = |bytes: Option<u32>| bytes.map_or("unknown".into(), |bytes| format!("{bytes} bytes"));
        let or_unknown = |told: &Option<String>| told.clone().unwrap_or_else(|| "unknown".into());
        let all = |names: &Option<Vec<String>>| names.as_deref().map_or("unknown".into(), listed);
        let each = |keys: &Option<Vec<String>>| keys.clone().unwrap_or_else(|| vec!["unknown".into()]);
        let mut rows: Vec<(&str, String)> = Vec::new();
        rows.extend(self.eid.clone().map(|eid| ("EID", eid)));
        if let Some(info) = &self.of_euicc {
            rows.push(("SGP.22 release", or_unknown(&info.svn)));
            rows.push(("profile packages", or_unknown(&info.profile_version)));
            rows.push(("firmware", or_unknown(&info.firmware_version)));
            rows.push(("free memory", memory(info.free_non_volatile_memory)));
            rows.push(("working memory", memory(info.free_volatile_memory)));
            rows.push(("UICC capability", all(&info.uicc_capability)));
            rows.push(("RSP capability", all(&info.rsp_capability)));
            rows.extend(info.forbidden_profile_policy_rules.as_ref().map(|rules| ("forbidden rules", listed(rules))));
            rows.extend(each(&info.ci_for_verification).into_iter().map(|ci| ("trusted CI", ci)));
            rows.extend(each(&info.ci_for_signing).into_iter().map(|ci| ("certified by CI", ci)));
            rows.push(("accreditation", or_unknown(&info.sas_accreditation_number)));
        }
        if let Some(servers) = &self.servers {
            rows.push(("default SM-DP+", servers.default_smdp.clone().unwrap_or_else(|| "none".into())));
            rows.push(("root SM-DS", or_unknown(&servers.root_smds)));
        }
        rows.extend(self.refused.iter().map(|cause| ("not told", cause.clone())));
        let rows: Vec<String> =
            rows.iter().map(|(name, value)| format!("{name:<16}  {}", within_a_line(value))).collect();
        f.write_str(&rows.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_named_and_hides_nothing() {
        let addresses = EuiccConfiguredAddressesElements {
            default_dp_address: None,
            root_ds_address: Some("lpa.ds.gsma.com\nEID  89".into()),
        };
        let refused = vec!["the eUICC refused GetEUICCInfo: 6A88".to_owned()];
        let info = Info::new(Eid::from_digits("89049032123451234512345678901235"), Some(addresses), None, refused);
        assert_eq!(
            info.to_string(),
            "EID               89049032123451234512345678901235\n\
             default SM-DP+    none\n\
             root SM-DS        lpa.ds.gsma.com EID  89\n\
             not told          the eUICC refused GetEUICCInfo: 6A88"
        );
        let json = serde_json::to_value(&info).unwrap();
        assert_eq!(json["eid"], "89049032123451234512345678901235");
        assert_eq!(json["refused"][0], "the eUICC refused GetEUICCInfo: 6A88");
        assert_eq!((json.get("svn"), json["default_smdp"].is_null()), (None, true));
    }

    /// Missing elements are unknown, all others are shown.
    #[test]
    fn what_is_missing_of_an_answer_is_unknown() {
        let info = EuiccInfo2Elements {
            svn: Some(VersionType::new(2, 5, 0)),
            uicc_capability: Some(rsp::euicc_info::UiccCapability::USIM_SUPPORT),
            ..EuiccInfo2Elements::default()
        };
        let cause = "the eUICC's answer to GetEUICCInfo is not understood (profileVersion (81): it is missing)";
        let info = Info::new(None, None, Some(info), vec![cause.to_owned()]);
        let text = info.to_string();
        for line in [
            "SGP.22 release    2.5.0",
            "profile packages  unknown",
            "free memory       unknown",
            "UICC capability   usimSupport",
            "RSP capability    unknown",
            "trusted CI        unknown",
            "accreditation     unknown",
            &format!("not told          {cause}"),
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        }
        let json = serde_json::to_value(&info).unwrap();
        assert_eq!((json["svn"].as_str(), json["profile_version"].is_null()), (Some("2.5.0"), true));
        assert_eq!(
            (json["uicc_capability"][0].as_str(), json["refused"][0].as_str()),
            (Some("usimSupport"), Some(cause))
        );
    }
}
