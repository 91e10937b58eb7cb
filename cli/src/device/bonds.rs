//! `vuicc device … bonds`: lists and removes paired devices, of both transports.

use core::fmt;

use clap::Args;
use pairing::bluetooth::Address;
use pairing::{Fingerprint, PairingError};
use serde_json::json;

use super::memory::Memory;
use crate::Context;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Remove this device: its name, or the first four or more characters of its fingerprint or address
    #[arg(long, value_name = "NAME|FINGERPRINT|ADDRESS")]
    forget: Option<String>,
}

/// Text after the help of the command.
pub(super) const EXAMPLES: &str = "\
Examples:
  vuicc device primary bonds
      one a line: name, by which way, fingerprint or address
  vuicc device primary bonds --forget Watch
  vuicc device secondary bonds --forget 3f09a2c4
      one of two of the same name

No card is needed. A removed device is a stranger here until both users have compared digits again; the other device \
does not forget this one by that.";

/// Shorter prefixes are rather the name of a device that is not there.
const SHORTEST_BEGINNING: usize = 4;

pub(super) fn run(arguments: &Arguments, memory: &Memory, context: &Context) -> Result<(), Failure> {
    let bonds = Bond::all(memory)?;
    let Some(wanted) = &arguments.forget else {
        if bonds.is_empty() {
            context.output.text("no paired devices")?;
        }
        return bonds.iter().try_for_each(|bond| {
            context.output.json(&bond.event("bond"))?;
            Ok(context.output.text(bond)?)
        });
    };
    let bond = only(&bonds, wanted)?;
    // Another command may have removed it meanwhile, which is fine.
    bond.device.forget(memory)?;
    context.output.json(&bond.event("forgotten"))?;
    Ok(context.output.text(format_args!("forgotten: {bond}"))?)
}

/// A device this one is paired with.
#[derive(Debug, PartialEq, Eq)]
struct Bond {
    /// The name it sent; empty if it sent none, as a primary over Bluetooth.
    name: String,
    device: Device,
}

/// Its key.
#[derive(Debug, PartialEq, Eq)]
enum Device {
    Lan(Fingerprint),
    Bluetooth(Address),
}

impl Bond {
    fn all(memory: &Memory) -> Result<Vec<Self>, PairingError> {
        let (lan, bluetooth) = (memory.bonds()?, memory.keyring()?);
        let lan = lan.iter().map(|(device, name)| (Device::Lan(*device), name));
        let all = lan.chain(bluetooth.iter().map(|(device, name)| (Device::Bluetooth(device), name)));
        Ok(all.map(|(device, name)| Self { name: name.into(), device }).collect())
    }

    fn is(&self, wanted: &str) -> bool {
        let id = self.device.to_string();
        let beginning = id.get(..wanted.len()).filter(|_| wanted.len() >= SHORTEST_BEGINNING);
        !wanted.is_empty() && self.name == wanted
            || beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(wanted))
    }

    fn event(&self, event: &str) -> serde_json::Value {
        let name = (!self.name.is_empty()).then_some(&self.name);
        let carrier = match self.device {
            Device::Lan(_) => "lan",
            Device::Bluetooth(_) => "bluetooth",
        };
        json!({ "event": event, "name": name, "carrier": carrier, "device": self.device.to_string() })
    }
}

/// `“Watch” on the local network, 3f09a2c4d1e85b76`.
impl fmt::Display for Bond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            f.write_str("a device without a name")?;
        } else {
            write!(f, "“{}”", self.name)?;
        }
        match &self.device {
            Device::Lan(fingerprint) => write!(f, " on the local network, {}", fingerprint.prefix()),
            Device::Bluetooth(address) => write!(f, " by Bluetooth, {address}"),
        }
    }
}

impl Device {
    fn forget(&self, memory: &Memory) -> Result<bool, PairingError> {
        match self {
            Self::Lan(fingerprint) => memory.bonds()?.remove(fingerprint),
            Self::Bluetooth(address) => memory.keyring()?.remove(*address),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lan(fingerprint) => fingerprint.fmt(f),
            Self::Bluetooth(address) => address.fmt(f),
        }
    }
}

/// The device that is meant.
fn only<'b>(bonds: &'b [Bond], wanted: &str) -> Result<&'b Bond, Failure> {
    let list = |bonds: &[&Bond]| bonds.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let meant: Vec<_> = bonds.iter().filter(|bond| bond.is(wanted)).collect();
    match meant[..] {
        [one] => Ok(one),
        [] if bonds.is_empty() => Err(Failure::because(format!(
            "`{wanted}` is not paired with this device: no device is; is another --memory meant?"
        ))),
        [] => {
            let all = list(&bonds.iter().collect::<Vec<_>>());
            Err(Failure::because(format!("`{wanted}` is not paired with this device; paired are: {all}")))
        }
        _ => Err(Failure::because(format!(
            "`{wanted}` is ambiguous: {}; name one by its fingerprint or address",
            list(&meant)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bond(name: &str, device: Device) -> Bond {
        Bond { name: name.into(), device }
    }

    #[test]
    fn the_one_that_is_meant() {
        let prints = [b"one", b"two"].map(|octets| Fingerprint::of(octets));
        let address: Address = "C0:12:34:56:78:9A".parse().unwrap();
        let bonds = [
            bond("Watch", Device::Lan(prints[0])),
            bond("Watch", Device::Lan(prints[1])),
            bond("", Device::Bluetooth(address)),
            bond("C0:1", Device::Lan(Fingerprint::of(b"three"))),
        ];
        let said = |wanted: &str| match only(&bonds, wanted) {
            Ok(bond) => bond.to_string(),
            Err(Failure::Because(cause)) => cause.to_string(),
            Err(Failure::Told(_)) => panic!(),
        };
        let print = prints[1].to_string();
        assert_eq!(said(&print[..8].to_uppercase()), format!("“Watch” on the local network, {}", prints[1].prefix()));
        assert_eq!(said("c0:12"), "a device without a name by Bluetooth, C0:12:34:56:78:9A");
        for several in ["Watch", "C0:1"] {
            assert!(said(several).contains("is ambiguous"), "{}", said(several));
        }
        assert!(said("Watch").contains(&prints[0].prefix()) && !said("Watch").contains("Bluetooth"));
        for nobody in ["", "C0:", &print[..3], "watch", "Wat", &format!("{print}0"), "Työ"] {
            let said = said(nobody);
            assert!(said.contains("is not paired") && said.contains("C0:12:34:56:78:9A"), "{said}");
        }
        assert!(only(&[], "Watch").is_err());
    }
}
