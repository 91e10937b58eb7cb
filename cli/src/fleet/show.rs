//! `vuicc fleet show`: a fleet, or one of its cards laid open.

use std::fmt;

use card::image::fleet::Nvm as _;
use card::inspect;
use clap::Args;
use identities::Eid;
use serde::Serialize;

use super::Folder;
use crate::Context;
use crate::card::show::show;
use crate::failure::{AtPath as _, Failure};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    folder: Folder,
    /// Of this card [default: of the fleet as a whole]
    #[arg(value_name = "EID")]
    eid: Option<Eid>,
    /// Omit the card's file trees
    #[arg(long, requires = "eid")]
    brief: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let folder = &arguments.folder;
    if let Some(eid) = &arguments.eid {
        let (fleet, _, memory) = folder.read_one(eid)?;
        let inspection = inspect::card(&fleet.manufacture, &memory.to_memory())?;
        let name = folder.path().join(eid.to_string());
        return show(&name, inspection, arguments.brief, context);
    }
    let (fleet, file) = (folder.read()?, folder.file());
    let own: usize = fleet.cards.iter().map(|(_, memory)| memory.own().count()).sum();
    let used: usize = fleet.cards.iter().map(|(_, memory)| memory.used()).sum();
    let summary = Summary {
        fleet: folder.path().display().to_string(),
        cards: fleet.cards.len(),
        with_a_profile: fleet.cards.iter().filter(|(member, _)| member.subscription.is_some()).count(),
        made_by: crate::output::printable(&fleet.manufacture.made_by),
        made_at: fleet.manufacture.made_at,
        octets: std::fs::metadata(&file).at("look at", &file)?.len(),
        used,
        own_values: own,
    };
    Ok(context.output.put_block(&summary)?)
}

#[derive(Serialize)]
struct Summary {
    fleet: String,
    cards: usize,
    with_a_profile: usize,
    made_by: String,
    made_at: u64,
    /// Of the file.
    octets: u64,
    /// Octets of non-volatile memory in use on all cards, as each of them counts.
    used: usize,
    /// Values that are not as on the other cards.
    own_values: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fleet, cards, with_a_profile, made_by, octets, used, own_values, .. } = self;
        writeln!(f, "{fleet}: {cards} eUICCs, {with_a_profile} made with a profile, by {made_by}")?;
        write!(f, "  file of {octets} octets for {used} octets of memory in use, {own_values} values of their own")
    }
}
