//! `vuicc card show`: what a card is and holds, without a reader and without disturbing it.
//!
//! The image is copied and looked at; what only the eUICC itself can tell is asked of a card on that copy. A card at
//! work may be looked at too.

use std::fmt;
use std::path::PathBuf;

use card::assemble::card;
use card::entropy::ChaCha;
use card::image::{CardType, Manufacture, read};
use card_os::fs::{FileKind, FileNumber, PinConfiguration, Structure};
use card_os::nvm::{MemoryNvm, Nvm};
use card_os::{DomainId, DomainView};
use clap::Args;
use lpa::{Euicc, Options};
use reader_bridge::InProcess;
use rsp::metadata::{ProfileClass, ProfileState};
use serde::Serialize;

use super::names;
use crate::failure::Failure;
use crate::{Context, hexadecimal};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The card image
    #[arg(value_name = "PATH")]
    image: PathBuf,
    /// Leave out the file trees
    #[arg(long)]
    brief: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let output = context.output;
    let (manufacture, memory) = read(&arguments.image)?;
    let domains = DomainView::all(&memory);
    output.put(&CardLine::new(arguments, &manufacture, &memory))?;
    if manufacture.card_type == CardType::Euicc {
        ask_the_euicc(&manufacture, memory, context)?;
    }
    for domain in &domains {
        show_domain(domain, arguments.brief, context)?;
    }
    Ok(())
}

/// What the ISD-R says: asked of a card that runs on a copy of the memory.
fn ask_the_euicc(manufacture: &Manufacture, memory: MemoryNvm, context: &Context) -> Result<(), Failure> {
    let output = context.output;
    let copy = card(manufacture, Box::new(memory), Box::new(ChaCha::from_operating_system()?));
    let mut euicc = Euicc::open(InProcess::connect(copy), Options::default())?;
    let addresses = euicc.configured_addresses()?;
    output.put(&EuiccLine {
        kind: "euicc",
        eid: euicc.eid()?.to_string(),
        svn: euicc.info2()?.svn.to_string(),
        default_smdp: addresses.default_dp_address.filter(|address| !address.is_empty()),
        root_smds: addresses.root_ds_address,
    })?;
    for profile in euicc.profiles()? {
        output.put(&ProfileLine {
            kind: "profile",
            iccid: profile.iccid.map(|iccid| iccid.to_string()),
            isdp_aid: profile.isdp_aid.map(|aid| aid.to_string()),
            state: profile.profile_state.and_then(ProfileState::name),
            class: profile.profile_class.and_then(ProfileClass::name),
            name: profile.profile_name,
            provider: profile.service_provider_name,
            nickname: profile.profile_nickname,
        })?;
    }
    for notification in euicc.notifications()? {
        output.put(&NotificationLine {
            kind: "notification",
            seq_number: notification.seq_number,
            event: notification.profile_management_operation.to_string(),
            address: notification.notification_address,
            iccid: notification.iccid.map(|iccid| iccid.to_string()),
        })?;
    }
    Ok(())
}

fn show_domain(domain: &DomainView, brief: bool, context: &Context) -> Result<(), Failure> {
    let output = context.output;
    output.put(&DomainLine {
        kind: "domain",
        number: domain.id.0,
        platform: domain.id == DomainId::PLATFORM,
        active: domain.active,
        used: domain.used,
    })?;
    for application in &domain.applications {
        output.put(&ApplicationLine {
            kind: "application",
            domain: domain.id.0,
            aid: application.record.aid.to_string(),
            application: names::of_application(application.record.kind),
            life_cycle: application.record.life_cycle,
        })?;
    }
    for (context, pin) in &domain.pins {
        let place = || names::of_file(&domain.tree, *context, &domain.applications).unwrap_or_default();
        let (reference, puk, enabled, tries, maximum) = match pin {
            PinConfiguration::Pin(reference, pin) => {
                (reference, false, Some(pin.enabled), pin.tries, pin.maximum_tries)
            }
            PinConfiguration::Puk(reference, puk) => (reference, true, None, puk.tries, puk.maximum_tries),
            PinConfiguration::SharedWith(_) => continue,
        };
        let key_reference = format!("{:02X}", reference.0);
        let directory = place();
        output.put(&PinLine {
            kind: "pin",
            domain: domain.id.0,
            key_reference,
            puk,
            enabled,
            tries,
            maximum,
            directory,
        })?;
    }
    if !brief && domain.tree.get(FileNumber::MF).is_some() {
        show_files(domain, FileNumber::MF, 0, "", context)?;
    }
    Ok(())
}

fn show_files(
    domain: &DomainView,
    number: FileNumber,
    depth: usize,
    above: &str,
    context: &Context,
) -> Result<(), Failure> {
    let Some(file) = domain.tree.get(number) else { return Ok(()) };
    let path = format!("{above}{:04X}", file.fid.0);
    let (structure, size) = match &file.kind {
        FileKind::Mf | FileKind::Df | FileKind::Adf(_) => ("directory", None),
        FileKind::Ef(structure) => {
            let own = domain.content(number).map_or(structure.size() as usize, <[u8]>::len);
            match structure {
                Structure::Transparent { .. } => ("transparent", Some(own)),
                Structure::LinearFixed { .. } => ("linear fixed", Some(own)),
                Structure::Cyclic { .. } => ("cyclic", Some(own)),
                Structure::BerTlv { .. } => ("BER-TLV", Some(own)),
            }
        }
    };
    let records = match &file.kind {
        FileKind::Ef(
            Structure::LinearFixed { record_length, records } | Structure::Cyclic { record_length, records },
        ) => Some([u32::from(*records), u32::from(*record_length)]),
        _ => None,
    };
    context.output.put(&FileLine {
        kind: "file",
        domain: domain.id.0,
        depth,
        name: names::of_file(&domain.tree, number, &domain.applications),
        aid: if let FileKind::Adf(aid) = &file.kind { Some(aid.to_string()) } else { None },
        structure,
        size,
        records,
        sfi: file.sfi,
        activated: file.life_cycle.is_activated(),
        link: file.link.is_some(),
        path: path.clone(),
    })?;
    for child in domain.tree.children(number) {
        show_files(domain, child, depth + 1, &format!("{path}/"), context)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct CardLine<'a> {
    kind: &'static str,
    image: &'a PathBuf,
    card_type: &'static str,
    made_by: &'a str,
    made_at: u64,
    atr: String,
    memory_used: usize,
    memory: usize,
}

impl<'a> CardLine<'a> {
    fn new(arguments: &'a Arguments, manufacture: &'a Manufacture, memory: &MemoryNvm) -> Self {
        Self {
            kind: "card",
            image: &arguments.image,
            card_type: match manufacture.card_type {
                CardType::Euicc => "eUICC",
                CardType::Uicc => "UICC",
            },
            made_by: &manufacture.made_by,
            made_at: manufacture.made_at,
            atr: hexadecimal::whole(&manufacture.profile.atr),
            memory_used: memory.used(),
            memory: manufacture.profile.non_volatile_memory,
        }
    }
}

impl fmt::Display for CardLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} made by {}", self.image.display(), self.card_type, self.made_by)?;
        writeln!(f, "  ATR             {}", self.atr)?;
        write!(f, "  memory          {} of {} bytes used", self.memory_used, self.memory)
    }
}

#[derive(Serialize)]
struct EuiccLine {
    kind: &'static str,
    eid: String,
    svn: String,
    default_smdp: Option<String>,
    root_smds: String,
}

impl fmt::Display for EuiccLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  EID             {}", self.eid)?;
        writeln!(f, "  SGP.22 release  {}", self.svn)?;
        writeln!(f, "  default SM-DP+  {}", self.default_smdp.as_deref().unwrap_or("none"))?;
        write!(f, "  root SM-DS      {}", self.root_smds)
    }
}

#[derive(Serialize)]
struct ProfileLine {
    kind: &'static str,
    iccid: Option<String>,
    isdp_aid: Option<String>,
    state: Option<&'static str>,
    class: Option<&'static str>,
    name: Option<String>,
    provider: Option<String>,
    nickname: Option<String>,
}

impl fmt::Display for ProfileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        write!(f, "  profile         {}  {:<8}  ", or_dash(&self.iccid), self.state.unwrap_or("-"))?;
        write!(f, "{} ({})", or_dash(&self.name), or_dash(&self.provider))
    }
}

#[derive(Serialize)]
struct NotificationLine {
    kind: &'static str,
    seq_number: u64,
    event: String,
    address: String,
    iccid: Option<String>,
}

impl fmt::Display for NotificationLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iccid = self.iccid.as_deref().unwrap_or("-");
        write!(f, "  notification    {}  {}  {iccid}  to {}", self.seq_number, self.event, self.address)
    }
}

#[derive(Serialize)]
struct DomainLine {
    kind: &'static str,
    number: u16,
    platform: bool,
    active: bool,
    used: usize,
}

impl fmt::Display for DomainLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.platform, self.active) {
            (true, _) => "the platform",
            (false, true) => "a profile, enabled",
            (false, false) => "a profile, disabled",
        };
        write!(f, "\ndomain {}: {what}, {} bytes", self.number, self.used)
    }
}

#[derive(Serialize)]
struct ApplicationLine {
    kind: &'static str,
    domain: u16,
    aid: String,
    application: &'static str,
    life_cycle: u8,
}

impl fmt::Display for ApplicationLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  application     {}  {}", self.aid, self.application)
    }
}

#[derive(Serialize)]
struct PinLine {
    kind: &'static str,
    domain: u16,
    key_reference: String,
    puk: bool,
    enabled: Option<bool>,
    tries: u8,
    maximum: u8,
    directory: String,
}

impl fmt::Display for PinLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.puk { "PUK of PIN" } else { "PIN" };
        let asked = match self.enabled {
            Some(false) => ", not asked for",
            _ => "",
        };
        let (reference, directory) = (&self.key_reference, &self.directory);
        write!(f, "  {what:<14}  {reference} of {directory}: {} of {} tries left{asked}", self.tries, self.maximum)
    }
}

#[derive(Serialize)]
struct FileLine {
    kind: &'static str,
    domain: u16,
    path: String,
    #[serde(skip)]
    depth: usize,
    name: Option<String>,
    aid: Option<String>,
    structure: &'static str,
    size: Option<usize>,
    records: Option<[u32; 2]>,
    sfi: Option<u8>,
    activated: bool,
    link: bool,
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fid = self.path.rsplit('/').next().unwrap_or_default();
        let name = self.name.as_deref().unwrap_or("-");
        write!(f, "  {:1$}{fid} {name}", "", 2 * self.depth)?;
        if let Some(aid) = &self.aid {
            write!(f, "  {aid}")?;
        }
        match (self.records, self.size) {
            (Some([records, length]), _) => write!(f, "  {}, {records} × {length} bytes", self.structure)?,
            (None, Some(size)) => write!(f, "  {}, {size} bytes", self.structure)?,
            (None, None) => {}
        }
        if let Some(sfi) = self.sfi {
            write!(f, ", SFI {sfi:02X}")?;
        }
        if self.link {
            f.write_str(", a link")?;
        }
        if self.activated { Ok(()) } else { f.write_str(", deactivated") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;
    use crate::state::State;

    #[test]
    fn a_built_profile_is_shown_whole_and_every_file_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context { output: Output::new(true), state: State::new(Some(folder.path().join("state"))) };
        let subscriber = folder.path().join("one.toml");
        let text = "iccid = '8988211000000000017'\nimsi = '001010000000001'\n\
            key = '465b5ce8b199b49faa5f0a2ee238a6bc'\nopc = 'cd63cb71954a9f4e48a5994e37a02baf'\n[ims]\n[suci]\n";
        std::fs::write(&subscriber, text).unwrap();
        let image = folder.path().join("one.card");
        let mut new = vec!["new".into(), image.clone().into_os_string()];
        new.extend(["--profile".into(), subscriber.into_os_string()]);
        super::super::tests::card(new, &context).unwrap();
        run(&Arguments { image: image.clone(), brief: false }, &context).unwrap();

        let (_, memory) = read(&image).unwrap();
        let domains = DomainView::all(&memory);
        let profile = domains.iter().find(|domain| domain.active).unwrap();
        let nameless: Vec<_> = profile
            .tree
            .numbers()
            .into_iter()
            .filter(|number| names::of_file(&profile.tree, *number, &profile.applications).is_none())
            .filter_map(|number| profile.tree.get(number).map(|file| format!("{:04X}", file.fid.0)))
            .collect();
        assert_eq!(nameless, Vec::<String>::new());
        let imsi = |number: &FileNumber| {
            names::of_file(&profile.tree, *number, &profile.applications).as_deref() == Some("EF.IMSI")
        };
        let imsi = profile.tree.numbers().into_iter().find(imsi).unwrap();
        assert_eq!(profile.content(imsi).map(<[u8]>::len), Some(9));
    }
}
