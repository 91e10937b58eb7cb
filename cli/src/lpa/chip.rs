//! `vuicc lpa chip`: the eUICC itself.

use std::fmt;

use clap::{Args, Subcommand};
use rsp::es10c::ResetOptions;
use rsp::euicc_info::{EuiccInfo2, ExtCardResource};
use serde::Serialize;
use serde_json::json;

use super::Session;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// EID, versions, memory, addresses, whom it believes
    #[command(after_help = "\
Examples:
  vuicc lpa chip info
  vuicc lpa chip info --card my.img --json | jq -r .eid")]
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
    #[arg(value_name = "HOST[:PORT]")]
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
    /// Reset the default SM-DP+ to what it was when the card was made
    #[arg(long)]
    default_smdp: bool,
    /// Yes, really
    #[arg(long, required = true)]
    yes: bool,
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<(), Failure> {
    let output = session.context.output;
    match command {
        Command::Info => {
            let mut euicc = session.open()?;
            let (eid, addresses, info) = (euicc.eid()?, euicc.configured_addresses()?, euicc.info2()?);
            let info = Info::new(eid.to_string(), addresses, &info);
            euicc.close();
            output.put(&info)?;
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
                return Err(Failure::because("nothing to reset; say --operational, --test or --default-smdp"));
            };
            let mut euicc = session.open()?;
            euicc.memory_reset(options)?;
            euicc.close();
            output.json(&json!({ "reset": options.to_string() }))?;
            output.text(format_args!("done: {options}"))?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Info {
    eid: String,
    svn: String,
    profile_version: String,
    firmware_version: String,
    free_non_volatile_memory: Option<u32>,
    free_volatile_memory: Option<u32>,
    installed_applications: Option<u32>,
    uicc_capability: String,
    rsp_capability: String,
    forbidden_profile_policy_rules: Option<String>,
    ci_for_verification: Vec<String>,
    ci_for_signing: Vec<String>,
    sas_accreditation_number: String,
    default_smdp: Option<String>,
    root_smds: String,
}

impl Info {
    fn new(eid: String, addresses: rsp::es10a::EuiccConfiguredAddressesResponse, info: &EuiccInfo2) -> Self {
        let resource = ExtCardResource::parse(&info.ext_card_resource);
        let keys = |keys: &[rsp::SubjectKeyIdentifier]| keys.iter().map(ToString::to_string).collect();
        Self {
            eid,
            svn: info.svn.to_string(),
            profile_version: info.profile_version.to_string(),
            firmware_version: info.euicc_firmware_ver.to_string(),
            free_non_volatile_memory: resource.map(|resource| resource.free_non_volatile_memory),
            free_volatile_memory: resource.map(|resource| resource.free_volatile_memory),
            installed_applications: resource.map(|resource| resource.installed_applications),
            uicc_capability: info.uicc_capability.to_string(),
            rsp_capability: info.rsp_capability.to_string(),
            forbidden_profile_policy_rules: info.forbidden_profile_policy_rules.map(|rules| rules.to_string()),
            ci_for_verification: keys(&info.euicc_ci_pk_id_list_for_verification),
            ci_for_signing: keys(&info.euicc_ci_pk_id_list_for_signing),
            sas_accreditation_number: info.sas_acreditation_number.clone(),
            default_smdp: addresses.default_dp_address.filter(|address| !address.is_empty()),
            root_smds: addresses.root_ds_address,
        }
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = |bytes: Option<u32>| bytes.map_or("unknown".into(), |bytes| format!("{bytes} bytes"));
        writeln!(f, "EID               {}", self.eid)?;
        writeln!(f, "SGP.22 release    {}", self.svn)?;
        writeln!(f, "profile packages  {}", self.profile_version)?;
        writeln!(f, "firmware          {}", self.firmware_version)?;
        writeln!(f, "free memory       {}", memory(self.free_non_volatile_memory))?;
        writeln!(f, "working memory    {}", memory(self.free_volatile_memory))?;
        writeln!(f, "UICC capability   {}", self.uicc_capability)?;
        writeln!(f, "RSP capability    {}", self.rsp_capability)?;
        if let Some(rules) = &self.forbidden_profile_policy_rules {
            writeln!(f, "forbidden rules   {rules}")?;
        }
        for ci in &self.ci_for_verification {
            writeln!(f, "believes CI       {ci}")?;
        }
        for ci in &self.ci_for_signing {
            writeln!(f, "certified by CI   {ci}")?;
        }
        writeln!(f, "accreditation     {}", self.sas_accreditation_number)?;
        writeln!(f, "default SM-DP+    {}", self.default_smdp.as_deref().unwrap_or("none"))?;
        write!(f, "root SM-DS        {}", self.root_smds)
    }
}
