//! `vuicc subscriber export`: subscribers as core networks read them.

mod document;
mod format;
mod lines;

use std::path::PathBuf;

use clap::Args;
use console::Exit;
use saip::builder::{Algorithm, Subscriber, SuciProfile};
use serde::Serialize;
use zeroize::Zeroizing;

use self::format::{Format, Row, Setting};
use super::file;
use crate::Context;
use crate::failure::Failure;
use crate::file::{Readers, is_stdout, make};

/// Octets of an SQN, as digits. TS 33.102 §6.3.2.
const SQN_DIGITS: usize = 12;
/// Octets of an AMF, as digits.
const AMF_DIGITS: usize = 4;
/// Octets of a slice differentiator, as digits. TS 23.003 §28.4.2.
const SD_DIGITS: usize = 6;
/// Characters of an access point name. TS 23.003 §9.1.
const APN_CHARACTERS: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Descriptions of subscribers, in TOML or JSON
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What reads it
    #[arg(long, value_enum)]
    format: Format,
    /// The file to write; it must not exist yet [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The sequence number that the network counts from, 12 hexadecimal digits; a card that is ahead of it answers once with
    /// AUTS [default: 000000000000]
    #[arg(long, value_name = "HEX", value_parser = sqn)]
    sqn: Option<u64>,
    /// Authentication management field, 4 hexadecimal digits [default: 8000]
    #[arg(long, value_name = "HEX", value_parser = amf)]
    amf: Option<String>,
    /// Access point name, or data network name in 5G [default: internet]
    #[arg(long, value_name = "NAME", value_parser = apn)]
    apn: Option<String>,
    /// Slice or service type [default: 1]
    #[arg(long, value_name = "N")]
    sst: Option<u8>,
    /// Slice differentiator, 6 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = sd)]
    sd: Option<String>,
}

/// What of a network is written beside its subscribers.
struct Network<'a> {
    sqn: u64,
    amf: &'a str,
    apn: &'a str,
    sst: u8,
    sd: Option<&'a str>,
}

impl Network<'_> {
    fn sqn_digits(&self) -> String {
        format!("{:0SQN_DIGITS$x}", self.sqn)
    }
}

/// What a network has to know of a subscriber.
struct Entry {
    imsi: String,
    mcc: String,
    mnc: String,
    iccid: String,
    /// Without `+`.
    msisdn: Option<String>,
    algorithm: Algorithm,
    k: Zeroizing<String>,
    /// Empty with the test algorithm.
    opc: Zeroizing<String>,
    routing_indicator: String,
    /// The first key of the home network for profile A: scheme, identifier, key.
    home_key: Option<(u8, u8, String)>,
}

impl Entry {
    fn of(subscriber: &Subscriber) -> Result<Self, Failure> {
        let (mcc, mnc) = subscriber.home_network();
        let opc =
            subscriber.operator_variant().map_err(|error| Failure::because(error.to_string()).with(Exit::Input))?;
        let suci = subscriber.suci.as_ref();
        let keys = suci.map(|suci| suci.keys.as_slice()).unwrap_or_default();
        let of_a = keys.iter().find(|key| key.profile == SuciProfile::A);
        let home_key = of_a.map(|key| (1, key.id, hex::encode(key.key.expose())));
        Ok(Self {
            imsi: subscriber.imsi.clone(),
            mcc: mcc.to_owned(),
            mnc: mnc.to_owned(),
            iccid: subscriber.iccid.clone(),
            msisdn: subscriber.msisdn.as_deref().map(|number| number.trim_start_matches('+').to_owned()),
            algorithm: subscriber.algorithm,
            k: Zeroizing::new(hex::encode(subscriber.key.expose())),
            opc: Zeroizing::new(hex::encode(opc.expose())),
            routing_indicator: suci.map_or_else(|| "0000".to_owned(), |suci| suci.routing_indicator.clone()),
            home_key,
        })
    }
}

impl Arguments {
    /// What is given and has no place in the format would be missing without a word.
    fn check(&self, row: &Row) -> Result<(), Failure> {
        let given = [
            (Setting::Sqn, self.sqn.is_some()),
            (Setting::Amf, self.amf.is_some()),
            (Setting::Apn, self.apn.is_some()),
            (Setting::Sst, self.sst.is_some()),
            (Setting::Sd, self.sd.is_some()),
        ];
        match given.into_iter().find(|(setting, is_given)| *is_given && !row.settings.contains(setting)) {
            None => Ok(()),
            Some((setting, _)) => Err(Failure::because(format!(
                "{} has no place for {}; the format {} takes {}",
                row.what,
                setting.option(),
                row.name,
                row.options()
            ))
            .with(Exit::Usage)),
        }
    }

    fn network(&self) -> Network<'_> {
        Network {
            sqn: self.sqn.unwrap_or(0),
            amf: self.amf.as_deref().unwrap_or("8000"),
            apn: self.apn.as_deref().unwrap_or("internet"),
            sst: self.sst.unwrap_or(1),
            sd: self.sd.as_deref(),
        }
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let row = arguments.format.row();
    if row.one_only && arguments.files.len() > 1 {
        return Err(Failure::because(format!("{} describes one subscriber; export them one by one", row.what))
            .with(Exit::Usage));
    }
    arguments.check(row)?;
    let mut entries: Vec<Entry> = Vec::new();
    for path in &arguments.files {
        let subscriber = file::read(path)?;
        let entry = Entry::of(&subscriber)?;
        let refused = |cause: String| Failure::because(format!("{}: {cause}", path.display())).with(Exit::Input);
        if !row.algorithms.contains(&entry.algorithm) {
            return Err(refused(format!("algorithm: the format {} has {} alone", row.name, row.names())));
        }
        if let Some(lacks) = (row.lacks)(&subscriber) {
            return Err(refused(lacks.to_owned()));
        }
        if row.has_iccid && entries.iter().any(|other| other.iccid == entry.iccid) {
            return Err(refused(format!("its ICCID is in an earlier file, and {} takes each once", row.what)));
        }
        if entries.iter().any(|other| other.imsi == entry.imsi) {
            return Err(refused(format!("IMSI {} is in an earlier file", entry.imsi)));
        }
        if entry.msisdn.is_some() && entries.iter().any(|other| other.msisdn == entry.msisdn) {
            return Err(refused("its MSISDN is in an earlier file".to_owned()));
        }
        entries.push(entry);
    }
    let network = arguments.network();
    let text = (row.write)(&entries, &network)?;
    let imsis: Vec<&str> = entries.iter().map(|entry| entry.imsi.as_str()).collect();
    let Some(out) = arguments.out.as_deref().filter(|out| !is_stdout(out)) else {
        let printed = Exported { format: row.name, imsis: &imsis, file: None, text: Some(&text) };
        context.output.json(&printed)?;
        context.output.block(text.trim_end())?;
        return Ok(());
    };
    make(out, text.as_bytes(), Readers::Owner, "the export")?;
    context.output.json(&Exported { format: row.name, imsis: &imsis, file: Some(out), text: None })?;
    let count = entries.len();
    context.output.text(format_args!("{}: {count} for {}; {}", out.display(), row.what, row.use_it))?;
    Ok(())
}

/// What was exported.
#[derive(Serialize)]
struct Exported<'a> {
    format: &'static str,
    imsis: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a std::path::Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

fn digits(text: &str, count: usize) -> Result<String, String> {
    let right = text.len() == count && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if right { Ok(text.to_ascii_lowercase()) } else { Err(format!("wants {count} hexadecimal digits")) }
}

fn sqn(text: &str) -> Result<u64, String> {
    let digits = digits(text, SQN_DIGITS)?;
    u64::from_str_radix(&digits, 16).map_err(|error| error.to_string())
}

fn amf(text: &str) -> Result<String, String> {
    digits(text, AMF_DIGITS)
}

fn sd(text: &str) -> Result<String, String> {
    digits(text, SD_DIGITS)
}

/// Labels of letters, digits and hyphens. It gets into files of other programs, so nothing else may be in it.
fn apn(text: &str) -> Result<String, String> {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if text.len() <= APN_CHARACTERS && text.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err(format!("wants labels of letters, digits and hyphens, {APN_CHARACTERS} characters in all"))
    }
}

#[cfg(test)]
mod tests;
