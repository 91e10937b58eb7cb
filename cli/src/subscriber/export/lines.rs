//! Formats of lines: CSV, commands, SQL, YAML.

use std::fmt::{self, Write};

use saip::builder::Algorithm;
use zeroize::Zeroizing;

use super::{Entry, Network};
use crate::failure::Failure;

/// Keys are in it. What is written into it grows in place: it is made as large as it gets.
fn text(entries: &[Entry]) -> Zeroizing<String> {
    const EACH: usize = 2048;
    Zeroizing::new(String::with_capacity(EACH * (1 + entries.len())))
}

fn written(text: Zeroizing<String>, outcome: fmt::Result) -> Result<Zeroizing<String>, Failure> {
    outcome.map(|()| text).map_err(|error| Failure::because(error.to_string()))
}

/// `user_db.csv`, which srsEPC writes anew when it ends.
pub(super) fn srsepc(entries: &[Entry], network: &Network<'_>) -> Result<Zeroizing<String>, Failure> {
    /// Its reader wants an operator variant also where none is used.
    const NONE: &str = "00000000000000000000000000000000";
    const QCI: u8 = 9;
    let mut out = text(entries);
    let outcome = (|| {
        writeln!(out, "# Name,Auth,IMSI,Key,OP_Type,OP/OPc,AMF,SQN,QCI,IP_alloc")?;
        for (number, entry) in (1..).zip(entries) {
            let Entry { imsi, k, opc, algorithm, .. } = entry;
            let (auth, opc) = match algorithm {
                Algorithm::Xor => ("xor", NONE),
                _ => ("mil", opc.as_str()),
            };
            let (amf, sqn) = (network.amf, network.sqn_digits());
            writeln!(out, "ue{number},{auth},{imsi},{},opc,{opc},{amf},{sqn},{QCI},dynamic", **k)?;
        }
        Ok(())
    })();
    written(out, outcome)
}

/// One command a subscriber. The tool itself starts at SQN 0 with AMF 8000.
pub(super) fn open5gs_dbctl(entries: &[Entry], network: &Network<'_>) -> Result<Zeroizing<String>, Failure> {
    let mut out = text(entries);
    let outcome = (|| {
        for Entry { imsi, k, opc, .. } in entries {
            let (apn, sst) = (network.apn, network.sst);
            match network.sd {
                None if sst == 1 => writeln!(out, "open5gs-dbctl add_ue_with_apn {imsi} {} {} {apn}", **k, **opc)?,
                sd => {
                    let sd = sd.unwrap_or("ffffff");
                    writeln!(out, "open5gs-dbctl add_ue_with_slice {imsi} {} {} {apn} {sst} {sd}", **k, **opc)?;
                }
            }
        }
        Ok(())
    })();
    written(out, outcome)
}

/// Commands of the VTY. It has none that sets SQN.
pub(super) fn osmo_hlr(entries: &[Entry], _: &Network<'_>) -> Result<Zeroizing<String>, Failure> {
    let mut out = text(entries);
    let outcome = (|| {
        writeln!(out, "enable")?;
        for Entry { imsi, k, opc, msisdn, .. } in entries {
            writeln!(out, "subscriber imsi {imsi} create")?;
            if let Some(msisdn) = msisdn {
                writeln!(out, "subscriber imsi {imsi} update msisdn {msisdn}")?;
            }
            writeln!(out, "subscriber imsi {imsi} update aud3g milenage k {} opc {} ind-bitlen 5", **k, **opc)?;
            writeln!(out, "subscriber imsi {imsi} update network-access-mode cs+ps")?;
        }
        Ok(())
    })();
    written(out, outcome)
}

/// Rows of its database, in one transaction.
pub(super) fn osmo_hlr_sql(entries: &[Entry], network: &Network<'_>) -> Result<Zeroizing<String>, Failure> {
    /// `OSMO_AUTH_ALG_MILENAGE`.
    const ALGORITHM: u8 = 5;
    let mut out = text(entries);
    let outcome = (|| {
        // After an error sqlite3 goes on, and commits the half of it.
        writeln!(out, ".bail on\nBEGIN;")?;
        for Entry { imsi, k, opc, msisdn, .. } in entries {
            let msisdn = msisdn.as_deref().map_or("NULL".to_owned(), |number| format!("'{number}'"));
            writeln!(out, "INSERT INTO subscriber (imsi, msisdn) VALUES ('{imsi}', {msisdn});")?;
            writeln!(
                out,
                "INSERT INTO auc_3g (subscriber_id, algo_id_3g, k, opc, sqn, ind_bitlen) \
                 SELECT id, {ALGORITHM}, '{}', '{}', {}, 5 FROM subscriber WHERE imsi = '{imsi}';",
                **k, **opc, network.sqn
            )?;
        }
        writeln!(out, "COMMIT;")
    })();
    written(out, outcome)
}

/// Configuration of `nr-ue`.
pub(super) fn ueransim(entries: &[Entry], network: &Network<'_>) -> Result<Zeroizing<String>, Failure> {
    let mut out = text(entries);
    let outcome = entries.iter().try_for_each(|entry| ue(&mut out, entry, network));
    written(out, outcome)
}

fn ue(out: &mut String, entry: &Entry, network: &Network<'_>) -> fmt::Result {
    let Entry { imsi, mcc, mnc, k, opc, routing_indicator, .. } = entry;
    writeln!(out, "supi: 'imsi-{imsi}'\nmcc: '{mcc}'\nmnc: '{mnc}'")?;
    match &entry.home_key {
        Some((scheme, id, key)) => {
            writeln!(out, "protectionScheme: {scheme}\nhomeNetworkPublicKey: '{key}'\nhomeNetworkPublicKeyId: {id}")?;
        }
        None => writeln!(out, "protectionScheme: 0")?,
    }
    writeln!(out, "routingIndicator: '{routing_indicator}'\n\nkey: '{}'\nop: '{}'\nopType: 'OPC'", **k, **opc)?;
    writeln!(out, "amf: '{}'\nimei: '356938035643803'\nimeiSv: '4370816125816151'\n", network.amf)?;
    out.write_str(
        "gnbSearchList:\n  - 127.0.0.1\n\nuacAic:\n  mps: false\n  mcs: false\n\nuacAcc:\n  normalClass: 0\n",
    )?;
    for class in 11..=15 {
        writeln!(out, "  class{class}: false")?;
    }
    let (apn, sst) = (network.apn, network.sst);
    let sd = network.sd;
    writeln!(out, "\nsessions:\n  - type: 'IPv4'\n    apn: '{apn}'\n    slice:\n      sst: {sst}")?;
    if let Some(sd) = sd {
        writeln!(out, "      sd: 0x{sd}")?;
    }
    for list in ["configured-nssai", "default-nssai"] {
        writeln!(out, "\n{list}:\n  - sst: {sst}")?;
        if let Some(sd) = sd {
            writeln!(out, "    sd: 0x{sd}")?;
        }
    }
    out.write_str(
        "\nintegrity:\n  IA1: true\n  IA2: true\n  IA3: true\n\nciphering:\n  EA1: true\n  EA2: true\n  EA3: true\n",
    )?;
    out.write_str("\nintegrityMaxRate:\n  uplink: 'full'\n  downlink: 'full'\n")
}
