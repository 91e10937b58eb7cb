//! `vuicc reader pull`, `insert` and `reset`: cards in USB readers, by hand.

use std::path::{Path, PathBuf};

use clap::Args;
use console::Exit;
use serde_json::json;

use crate::Context;
use crate::card::control::{Demand, Moved, ask, not_in_a_usb_reader};
use crate::card::eject::is_same;
use crate::card::ready::{ReadyCard, folder, running};
use crate::failure::{AtPath as _, Failure};
use crate::file::image;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A card in a USB reader: its image, or what its reader was told to stand for [default: the only one]
    #[arg(value_name = "CARD", value_parser = image)]
    card: Option<PathBuf>,
}

/// A card that runs: its process, its number there.
struct Found {
    pid: u32,
    number: usize,
    card: ReadyCard,
}

pub(super) fn run(arguments: &Arguments, moved: Moved, context: &Context) -> Result<(), Failure> {
    let folder = folder(&context.state)?;
    let all = running(&folder).into_iter().flat_map(|(_, record)| {
        let pid = record.ready.pid;
        record.ready.cards.into_iter().enumerate().map(move |(number, card)| Found { pid, number, card })
    });
    let found = match &arguments.card {
        Some(named) => named_of(all, named)?,
        None => only(all.filter(|found| found.card.usb.is_some()).collect())?,
    };
    if found.card.usb.is_none() {
        return Err(not_in_a_usb_reader());
    }
    ask(&folder, found.pid, found.number, Demand::Place { moved })?;
    let ReadyCard { image, usb, .. } = &found.card;
    context.output.json(&json!({ "card": image, "usb": usb, "moved": moved }))?;
    let (image, usb) = (image.display(), usb.as_deref().unwrap_or_default());
    Ok(context.output.text(match moved {
        Moved::Pulled => format!("{image} pulled out of the USB reader at {usb}"),
        Moved::Inserted => format!("{image} inserted into the USB reader at {usb}"),
        Moved::Reset => format!("{image} reset in the USB reader at {usb}"),
    })?)
}

fn named_of(mut all: impl Iterator<Item = Found>, named: &Path) -> Result<Found, Failure> {
    let image = std::path::absolute(named).at("look into", named)?;
    all.find(|found| found.card.image == *named || is_same(&found.card.image, &image)).ok_or_else(|| {
        let named = named.display();
        Failure::because(format!("{named} is not running; `vuicc reader qemu` and `vuicc reader usbip` run it"))
            .with(Exit::Card)
    })
}

fn only(mut found: Vec<Found>) -> Result<Found, Failure> {
    let names: Vec<_> = found.iter().map(|found| found.card.image.display().to_string()).collect();
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(Failure::because(
            "no card is in a USB reader that was started with this state directory (--state); `vuicc reader qemu` and \
             `vuicc reader usbip` start one",
        )
        .with(Exit::Card)),
        _ => Err(Failure::because(format!("several cards are in USB readers: {}; name one", names.join(", ")))
            .with(Exit::Usage)),
    }
}
