//! Formats of documents: JSON, and a script that sends it.

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Entry, Network};
use crate::failure::Failure;

/// Bits a second of a session and of a UE. A gigabit each.
const GIGABIT: u64 = 1_000_000_000;
/// 5QI of the default bearer. TS 23.501 §5.7.4.
const QUALITY: u8 = 9;

/// An array for `mongoimport --jsonArray`, numbers of 64 bits in extended JSON.
pub(super) fn open5gs(entries: &[Entry], network: &Network<'_>) -> Result<Zeroizing<String>, Failure> {
    let documents: Vec<Value> = entries.iter().map(|entry| open5gs_document(entry, network)).collect();
    Ok(Zeroizing::new(format!("{}\n", serde_json::to_string_pretty(&documents)?)))
}

fn open5gs_document(entry: &Entry, network: &Network<'_>) -> Value {
    /// Of a rate: gigabits.
    const UNIT: u8 = 3;
    let rate = json!({ "downlink": { "value": 1, "unit": UNIT }, "uplink": { "value": 1, "unit": UNIT } });
    let mut slice = json!({
        "sst": network.sst,
        "default_indicator": true,
        "session": [{
            "name": network.apn,
            "type": 3,
            "qos": {
                "index": QUALITY,
                "arp": { "priority_level": 8, "pre_emption_capability": 1, "pre_emption_vulnerability": 1 },
            },
            "ambr": rate,
            "pcc_rule": [],
        }],
    });
    if let (Some(sd), Some(slice)) = (network.sd, slice.as_object_mut()) {
        slice.insert("sd".to_owned(), sd.into());
    }
    json!({
        "schema_version": 1,
        "imsi": entry.imsi,
        "msisdn": entry.msisdn.iter().collect::<Vec<_>>(),
        "imeisv": [],
        "mme_host": [],
        "mme_realm": [],
        "purge_flag": [],
        "security": {
            "k": *entry.k,
            "op": null,
            "opc": *entry.opc,
            "amf": network.amf,
            "sqn": { "$numberLong": network.sqn.to_string() },
        },
        "ambr": rate,
        "slice": [slice],
        "access_restriction_data": 32,
        "network_access_mode": 0,
        "subscriber_status": 0,
        "operator_determined_barring": 0,
        "subscribed_rau_tau_timer": 12,
        "__v": 0,
    })
}

/// A request in each line: its path, and the body to POST.
pub(super) fn free5gc(entries: &[Entry], network: &Network<'_>) -> Result<Zeroizing<String>, Failure> {
    let mut lines = Zeroizing::new(String::new());
    for entry in entries {
        let plmn = format!("{}{}", entry.mcc, entry.mnc);
        let path = format!("/api/subscriber/imsi-{}/{plmn}", entry.imsi);
        let request = json!({ "path": path, "body": free5gc_body(entry, &plmn, network) });
        let line = Zeroizing::new(serde_json::to_string(&request)?);
        *lines = format!("{}{}\n", *lines, *line);
    }
    Ok(lines)
}

fn free5gc_body(entry: &Entry, plmn: &str, network: &Network<'_>) -> Value {
    let snssai = match network.sd {
        Some(sd) => json!({ "sst": network.sst, "sd": sd }),
        None => json!({ "sst": network.sst }),
    };
    // As the console names one: the type with two digits, the differentiator behind it.
    let key = format!("{:02x}{}", network.sst, network.sd.unwrap_or_default());
    let (apn, rate) = (network.apn, json!({ "uplink": "1 Gbps", "downlink": "1 Gbps" }));
    // Its reader fills the first of the list in any case.
    let gpsi = entry.msisdn.as_deref().map(|number| format!("msisdn-{number}")).unwrap_or_default();
    let session = json!({
        "pduSessionTypes": { "defaultSessionType": "IPV4", "allowedSessionTypes": ["IPV4"] },
        "sscModes": { "defaultSscMode": "SSC_MODE_1", "allowedSscModes": ["SSC_MODE_2", "SSC_MODE_3"] },
        "5gQosProfile": { "5qi": QUALITY, "arp": { "priorityLevel": 8, "preemptCap": "", "preemptVuln": "" }, "priorityLevel": 8 },
        "sessionAmbr": rate,
    });
    json!({
        "plmnID": plmn,
        "ueId": format!("imsi-{}", entry.imsi),
        "AuthenticationSubscription": {
            "authenticationMethod": "5G_AKA",
            "permanentKey": { "permanentKeyValue": *entry.k, "encryptionKey": 0, "encryptionAlgorithm": 0 },
            "sequenceNumber": network.sqn_digits(),
            "authenticationManagementField": network.amf,
            "milenage": { "op": { "opValue": "", "encryptionKey": 0, "encryptionAlgorithm": 0 } },
            "opc": { "opcValue": *entry.opc, "encryptionKey": 0, "encryptionAlgorithm": 0 },
        },
        "AccessAndMobilitySubscriptionData": {
            "gpsis": [gpsi],
            "nssai": { "defaultSingleNssais": [snssai], "singleNssais": [] },
            "subscribedUeAmbr": rate,
        },
        "SessionManagementSubscriptionData": [{ "singleNssai": snssai, "dnnConfigurations": { apn: session } }],
        "SmfSelectionSubscriptionData": {
            "subscribedSnssaiInfos": { key.as_str(): { "dnnInfos": [{ "dnn": apn }] } },
        },
        "AmPolicyData": { "subscCats": ["free5gc"] },
        "SmPolicyData": {
            "smPolicySnssaiData": { key.as_str(): { "snssai": snssai, "smPolicyDnnData": { apn: { "dnn": apn } } } },
        },
        "FlowRules": [],
        "QosFlows": [],
        "ChargingDatas": [],
    })
}

/// What begins the script: how a request is sent, and how the number that is answered is found.
const PROLOGUE: &str = r#"#!/bin/sh
# Subscribers for PyHSS, by its API. PYHSS is where that is; APN_ID, an access point that exists already.
set -eu
: "${PYHSS:=http://127.0.0.1:8080}"
put() { curl -sSf -X PUT -H 'Content-Type: application/json' --data @- "$PYHSS/$1/"; }
id() {
    answer=$(put "$1") || exit 1
    number=$(printf %s "$answer" | tr -d '\n' | sed -n "s/.*\"$2\": *\([0-9][0-9]*\).*/\1/p")
    [ -n "$number" ] || { echo "PyHSS answered without $2" >&2; exit 1; }
    echo "$number"
}
"#;

/// A script: an entry of a subscriber refers to that of its keys by the number which the API answers.
pub(super) fn pyhss(entries: &[Entry], network: &Network<'_>) -> Result<Zeroizing<String>, Failure> {
    let apn = json!({ "apn": network.apn, "apn_ambr_dl": GIGABIT, "apn_ambr_ul": GIGABIT });
    let mut script = Zeroizing::new(format!("{PROLOGUE}apn=${{APN_ID:-$(id apn apn_id <<'END'\n{apn}\nEND\n)}}\n"));
    for entry in entries {
        let keys = Zeroizing::new(serde_json::to_string(&json!({
            "ki": *entry.k, "opc": *entry.opc, "amf": network.amf, "sqn": network.sqn, "iccid": entry.iccid, "imsi": entry.imsi,
        }))?);
        let mut subscriber = json!({
            "imsi": entry.imsi, "enabled": true, "auc_id": "AUC", "default_apn": "APN", "apn_list": "$apn",
            "ue_ambr_dl": GIGABIT, "ue_ambr_ul": GIGABIT, "nam": 0, "subscribed_rau_tau_timer": 600,
        });
        if let (Some(msisdn), Some(fields)) = (&entry.msisdn, subscriber.as_object_mut()) {
            fields.insert("msisdn".to_owned(), msisdn.as_str().into());
        }
        // Numbers, which the shell puts in.
        let subscriber = subscriber.to_string().replace("\"AUC\"", "$auc").replace("\"APN\"", "$apn");
        *script = format!(
            "{}auc=$(id auc auc_id <<'END'\n{}\nEND\n)\nput subscriber <<END\n{subscriber}\nEND\n",
            *script, *keys
        );
    }
    Ok(script)
}
