//! `vuicc fleet list`: who the cards of a fleet are.

use std::fmt;

use card::image::fleet::{Member, Subscription};
use clap::Args;
use saip::aka::{AlgoConfiguration, AlgorithmId};
use saip::builder::Key;
use serde::Serialize;
use zeroize::Zeroizing;

use super::Folder;
use crate::Context;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    folder: Folder,
    /// With K and OPc: a program that has them can pass for the cards
    #[arg(long)]
    secrets: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    for (number, (member, _)) in arguments.folder.read()?.cards.iter().enumerate() {
        context.output.put(&Line::of(number, member, arguments.secrets))?;
    }
    Ok(())
}

/// One card.
#[derive(Serialize)]
struct Line {
    number: usize,
    eid: String,
    iccid: Option<String>,
    imsi: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opc: Option<Key>,
}

impl Line {
    fn of(number: usize, member: &Member, secrets: bool) -> Self {
        let subscription = member.subscription.as_ref();
        let algo =
            subscription.filter(|_| secrets).and_then(|Subscription { aka, .. }| match &aka.algo_configuration {
                AlgoConfiguration::Algo(algo) => Some(algo),
                AlgoConfiguration::Mapping(_) => None,
            });
        Self {
            number,
            eid: member.eid.to_string(),
            iccid: subscription.map(|subscription| subscription.iccid.to_string()),
            imsi: subscription.map(|subscription| subscription.imsi.as_str().to_owned()),
            algorithm: algo.map(|algo| match algo.algorithm_id {
                AlgorithmId::Milenage => "milenage",
                AlgorithmId::Tuak => "tuak",
                AlgorithmId::UsimTestAlgorithm => "xor",
            }),
            key: algo.map(|algo| Key::new(algo.key.expose())),
            opc: algo
                .filter(|algo| algo.algorithm_id != AlgorithmId::UsimTestAlgorithm)
                .map(|algo| Key::new(algo.opc.expose())),
        }
    }
}

fn hexadecimal(key: &Key) -> Zeroizing<String> {
    Zeroizing::new(hex::encode(key.expose()))
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6}  {}", self.number, self.eid)?;
        let Self { iccid: Some(iccid), imsi: Some(imsi), .. } = self else { return f.write_str("  no profile") };
        write!(f, "  ICCID {iccid}  IMSI {imsi}")?;
        let (Some(algorithm), Some(key)) = (self.algorithm, &self.key) else { return Ok(()) };
        write!(f, "  {algorithm} K {}", *hexadecimal(key))?;
        self.opc.as_ref().map_or(Ok(()), |opc| write!(f, " OPc {}", *hexadecimal(opc)))
    }
}
