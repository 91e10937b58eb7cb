//! `vuicc lpa profile download`: from an activation code to an installed profile.

use std::path::PathBuf;

use clap::Args;
use console::Exit;
use lpa::discovery::discover;
use lpa::{LpaError, Order, ServerError, download};
use rsp::activation_code::ActivationCode;
use rsp::es9::status;
use rsp::es10c::ProfileIdentifier;
use rsp::metadata::ProfileState;
use serde::Serialize;
use serde_json::json;

use super::user::Terminal;
use super::{Card, Session};
use crate::element::SimaResponse;
use crate::failure::Failure;
use crate::output::beside;
use crate::package::confirmation_code;
use crate::qr;
use crate::server_address::server_address;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The activation code: LPA:1$address$matching-id, in quotes
    #[arg(value_name = "ACTIVATION-CODE", conflicts_with_all = ["smdp", "matching_id", "discover"])]
    activation_code: Option<ActivationCode>,
    /// Read the activation code from the QR code in this picture (PNG or JPEG), or from a picture on standard input: -
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["activation_code", "smdp", "matching_id", "discover"])]
    scan: Option<PathBuf>,
    /// Use this SM-DP+ [default: the eUICC's default SM-DP+]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = server_address)]
    smdp: Option<String>,
    /// The matchingId, if there is no activation code
    #[arg(long, value_name = "TEXT", requires = "smdp")]
    matching_id: Option<String>,
    /// Download what the eUICC's root SM-DS has events for
    #[arg(long, conflicts_with = "smdp")]
    discover: bool,
    /// The operator's confirmation code
    #[arg(long, value_name = "CODE", value_parser = confirmation_code)]
    confirmation_code: Option<String>,
    /// Agree to the profile and its policy rules without being asked; needed if nobody is there to answer
    #[arg(long)]
    yes: bool,
    /// Enable the profile afterwards
    #[arg(long)]
    enable: bool,
}

/// A failed installation, as JSON.
#[derive(Serialize)]
struct NotInstalled {
    event: &'static str,
    bpp_command: String,
    error_reason: String,
    #[serde(flatten)]
    sima_response: SimaResponse,
}

pub(crate) fn run(arguments: &Arguments, session: &Session<'_>) -> Result<(), Failure> {
    let output = session.context.output;
    // The picture is read before the card.
    let scanned = arguments.scan.as_deref().map(qr::scan_activation_code).transpose()?;
    let code = arguments.activation_code.as_ref().or(scanned.as_ref());
    let (mut client, checks) = session.servers()?;
    let mut euicc = session.open()?;
    let mut user = Terminal::new(output, arguments.yes);
    let orders = if arguments.discover {
        let root = Order::new(&euicc.configured_addresses()?.root_ds_address, None);
        let events = discover(&mut euicc, &mut client, &root, &checks, &mut user)?;
        if events.is_empty() {
            output.text("no profile is ready for download")?;
        }
        events.iter().map(Order::from).collect()
    } else {
        vec![order(code, arguments, &mut euicc)?]
    };
    for mut order in orders {
        order.confirmation_code = arguments.confirmation_code.clone().map(Into::into);
        let installed = download(&mut euicc, &mut client, &order, &checks, &mut user).inspect_err(|error| {
            if let LpaError::Installation { command, reason, sima_response } = error {
                let sima_response = SimaResponse::read(sima_response.as_deref());
                // The error itself is printed in any case.
                beside(output.json(&NotInstalled {
                    event: "not_installed",
                    bpp_command: command.to_string(),
                    error_reason: reason.to_string(),
                    sima_response,
                }));
            }
        });
        let installed = installed.map_err(|error| not_found_by_eid(error, &order))?;
        let sima_response = SimaResponse::read(Some(&installed.sima_response));
        output.json(&json!({
            "event": "installed", "iccid": installed.iccid.to_string(), "isdp_aid": installed.isdp_aid.to_string(),
            "name": installed.metadata.profile_name, "provider": installed.metadata.service_provider_name,
            "reported": installed.is_reported, "apdus": euicc.apdus(), "elements": sima_response.elements(),
        }))?;
        output.text(format_args!(
            "installed {}: {} ({}), after {} APDUs{}{sima_response}",
            installed.iccid,
            installed.metadata.profile_name,
            installed.metadata.service_provider_name,
            euicc.apdus(),
            if installed.is_reported { "" } else { "; the report to the server is pending on the eUICC" }
        ))?;
        if arguments.enable {
            let profile = ProfileIdentifier::Iccid(installed.iccid.clone());
            euicc.enable_profile(profile.clone(), true)?;
            let switched = session.switched(&mut euicc, &profile, ProfileState::ENABLED);
            let iccid = installed.iccid.to_string();
            output.json(&json!({ "event": "enabled", "iccid": iccid, "switched": switched }))?;
            output.text(switched.told("enabled"))?;
        }
    }
    euicc.close();
    Ok(())
}

/// A download without a code is found by the EID, so there is no code to check.
fn not_found_by_eid(error: LpaError, order: &Order) -> Failure {
    match &error {
        LpaError::Server(ServerError::Refused(data))
            if order.matching_id.is_none() && data.is(status::MATCHING_ID_REFUSED) =>
        {
            Failure::because(format!(
                "{} has no profile for this eUICC ({}/{}): without an activation code it is found by its EID (vuicc lpa chip \
                 info), so order one for it first (vuicc smdp profile order ICCID --eid EID --by-eid)",
                order.smdp_address, data.subject_code, data.reason_code
            )).with(Exit::Network)
        }
        _ => error.into(),
    }
}

fn order(code: Option<&ActivationCode>, arguments: &Arguments, euicc: &mut Card) -> Result<Order, Failure> {
    Ok(match (code, &arguments.smdp) {
        (Some(code), _) => Order::from(code),
        (None, Some(address)) => Order::new(address, arguments.matching_id.clone()),
        (None, None) => Order::of_default_smdp(&euicc.configured_addresses()?)?,
    })
}
