//! `vuicc card program`: writes subscribers to programmable cards.

mod batch;
mod log;
mod rows;

use std::fmt;
use std::path::{Path, PathBuf};

use apdu::Transport;
use clap::Args;
use console::Exit;
use programmer::{
    Adm, AdmState, Found, KINDS, Kind, Order, Plan, Planned, Progress, Proof, State, Stopped, Tries, identify,
};
use reader_bridge::script::{SHORTEST_SECRET, Variables};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::{AtPath, Failure};
use crate::output::tell;
use crate::question::{ask, is_at_a_terminal, is_yes};
use crate::subscriber::file;
use crate::target::TargetArguments;
use crate::{Context, random};

/// Where the administrative key may be, if no file has it.
const ADM_VARIABLE: &str = "VUICC_ADM";

/// How many tries a card is taken to have that does not tell: no type here has fewer.
const ASSUMED_TRIES: u8 = 3;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The subscriber, in TOML or JSON
    #[arg(long, value_name = "FILE", required_unless_present_any = ["csv", "types"], conflicts_with = "csv")]
    subscriber: Option<PathBuf>,
    /// Many subscribers, a row each, for one card after the other; the first row names the columns
    #[arg(long, value_name = "FILE", requires = "batch_log")]
    csv: Option<PathBuf>,
    /// What has become of each row is appended to this file, and a row that is done there is not done again
    #[arg(long, value_name = "FILE", requires = "csv")]
    batch_log: Option<PathBuf>,
    /// The type of the card, where its answer to reset does not say it
    #[arg(long = "type", value_name = "NAME", value_parser = kind)]
    kind: Option<&'static Kind>,
    #[command(flatten)]
    opening: Opening,
    /// Let a card keep an ICCID that is not the subscriber's
    #[arg(long)]
    keep_iccid: bool,
    /// Access class, 4 hexadecimal digits [default: from the last digit of the IMSI]
    #[arg(long, value_name = "HEX", conflicts_with = "csv", value_parser = acc)]
    acc: Option<u16>,
    /// A forbidden network, MCC and MNC; repeat for more
    #[arg(long = "fplmn", value_name = "DIGITS", conflicts_with = "csv")]
    fplmns: Vec<String>,
    /// Write without asking; without it, and without a terminal to ask at, what would be written is shown and nothing is
    #[arg(long)]
    yes: bool,
    /// How long to wait for the next card of several
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// List the types of cards that can be written to
    #[arg(long, conflicts_with_all = ["subscriber", "csv"])]
    types: bool,
    #[command(flatten)]
    target: TargetArguments,
}

/// The administrative key, and what may be risked with it.
#[derive(Debug, Args)]
struct Opening {
    /// File with the ADM of the card: 4 to 8 digits, or 16 hexadecimal ones [default: the environment variable VUICC_ADM]
    #[arg(long, value_name = "FILE")]
    adm_file: Option<PathBuf>,
    /// Do not try the ADM if fewer tries than this would be left should it be wrong
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=15))]
    adm_left: u8,
    /// Try the ADM of a card that does not tell how many tries are left: 3 are taken to be, less those that the log knows of
    #[arg(long)]
    adm_uncounted: bool,
    /// Try an ADM again at a card that refused one, as the log has it
    #[arg(long, requires = "csv")]
    again: bool,
    /// Set the card's ADM to the one given first, by the key that the maker gives to all cards of the type
    #[arg(long)]
    maker_key: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if arguments.types {
        return KINDS.iter().try_for_each(|kind| Ok(context.output.put(&Listed::from(kind))?));
    }
    match (&arguments.csv, &arguments.batch_log, &arguments.subscriber) {
        (Some(csv), Some(log), _) => batch::run(arguments, csv, log, context),
        (_, _, Some(subscriber)) => one(arguments, subscriber, context),
        _ => Ok(()),
    }
}

/// One card, one subscriber.
fn one(arguments: &Arguments, path: &Path, context: &Context) -> Result<(), Failure> {
    let refused = |error: saip::builder::SubscriberError| {
        Failure::because(format!("{}: {error}", path.display())).with(Exit::Input)
    };
    let order = Order::new(file::read(path)?, arguments.acc, &arguments.fplmns).map_err(refused)?;
    let adm = arguments.adm()?;
    let mut card = arguments.connect_hiding_all(&[(&order, adm.as_ref())])?;
    let found = identify(&mut card).map_err(of_card)?;
    let plan = arguments.plan(&mut card, &found, &order)?;
    context.output.put_block(&Shown::of(&plan, &order, None))?;
    if !arguments.may_write(&plan, &order) {
        tell("vuicc: nothing was written; --yes writes it");
        return Ok(());
    }
    let writing = Writing { order: &order, adm: adm.as_ref(), row: None, refusals: 0 };
    let done = arguments.write(&mut card, plan, &writing, context, &mut || {});
    done.map(drop).map_err(|stopped| failed(&stopped))
}

/// What is written to one card.
struct Writing<'a> {
    order: &'a Order,
    adm: Option<&'a Adm>,
    row: Option<u64>,
    /// How often the card is known to have refused an ADM since it took one.
    refusals: u8,
}

impl Arguments {
    /// The administrative key, if there is one.
    fn adm(&self) -> Result<Option<Adm>, Failure> {
        let (text, place) = match &self.opening.adm_file {
            Some(path) => {
                let text = Zeroizing::new(std::fs::read_to_string(path).at("read the ADM", path)?);
                (text, path.display().to_string())
            }
            None => match std::env::var(ADM_VARIABLE) {
                Ok(text) => (Zeroizing::new(text), ADM_VARIABLE.to_owned()),
                Err(_) => return Ok(None),
            },
        };
        let adm = text.trim().parse().map(Some);
        adm.map_err(|error| Failure::because(format!("{place}: {error}")).with(Exit::Input))
    }

    /// The card; what is secret of the orders stays out of traces.
    fn connect_hiding_all(&self, orders: &[(&Order, Option<&Adm>)]) -> Result<Box<dyn Transport>, Failure> {
        let mut secrets = Variables::new();
        for (number, (order, adm)) in (1..).zip(orders) {
            for (name, secret) in order.secrets(*adm).into_iter().filter(|(_, secret)| secret.len() >= SHORTEST_SECRET)
            {
                let name = if orders.len() == 1 { name.to_owned() } else { format!("{name}_{number}") };
                secrets.set_secret(name, secret.to_vec());
            }
        }
        self.target.connect_hiding(&secrets)
    }

    fn plan(&self, card: &mut Box<dyn Transport>, found: &Found, order: &Order) -> Result<Plan, Failure> {
        let plan = Plan::make(card, found, self.kind, order, self.keep_iccid);
        let plan = if self.opening.maker_key { plan.and_then(Plan::by_makers_key) } else { plan };
        plan.map_err(|stopped| failed(&stopped))
    }

    /// Whether somebody says so.
    fn may_write(&self, plan: &Plan, order: &Order) -> bool {
        let question =
            format!("Write IMSI {} to the {} {}? [y/N]", order.subscriber().imsi, plan.kind().name, plan.iccid());
        self.yes || (is_at_a_terminal() && is_yes(ask(&question).as_deref()))
    }

    /// Carries a plan out, and shows what came of it. `opened` is called before anything is written.
    fn write(
        &self,
        card: &mut Box<dyn Transport>,
        plan: Plan,
        writing: &Writing<'_>,
        context: &Context,
        opened: &mut dyn FnMut(),
    ) -> Result<programmer::Report, Stopped> {
        let Writing { order, adm, row, refusals } = *writing;
        let uncounted = self.opening.adm_uncounted.then(|| ASSUMED_TRIES.saturating_sub(refusals));
        let tries = Tries { least_left: self.opening.adm_left, uncounted };
        let (kind, iccid) = (plan.kind().name, plan.iccid().to_string());
        let card_iccid = if plan.kind().iccid { order.subscriber().iccid.clone() } else { iccid };
        let told = &mut |progress: Progress<'_>| {
            if progress == Progress::Opened {
                opened();
            }
        };
        let outcome = plan.carry_out(card, adm, tries, &random::bytes(), told);
        let imsi = &order.subscriber().imsi;
        let shown = match &outcome {
            Ok(report) => Outcome::of(report, kind, &card_iccid, imsi, row),
            Err(stopped) => Outcome::stopped(stopped, kind, &card_iccid, imsi, row),
        };
        // What has become of the card is not changed by what has become of the output.
        crate::output::beside(context.output.put(&shown));
        outcome
    }
}

fn kind(name: &str) -> Result<&'static Kind, String> {
    programmer::named(name).ok_or_else(|| {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        format!("there is no such type; these are known: {}", names.join(", "))
    })
}

fn acc(text: &str) -> Result<u16, String> {
    let right = text.len() == 4 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    u16::from_str_radix(text, 16).ok().filter(|_| right).ok_or_else(|| "wants 4 hexadecimal digits".to_owned())
}

fn of_card(error: programmer::CardError) -> Failure {
    Failure::from(error).with(Exit::Card)
}

/// What stopped it, and the way on.
fn failed(stopped: &Stopped) -> Failure {
    use programmer::Cause;
    let advice = match &stopped.cause {
        Cause::NoAdm => "; --adm-file names the file that has it",
        Cause::Uncounted => "; --adm-uncounted tries it once all the same",
        Cause::TooFewTries { .. } | Cause::TooFewAssumed { .. } => "; --adm-left sets the limit",
        Cause::WrongMakersKey { .. } => "; without --maker-key the card's own ADM is tried",
        Cause::UnknownKind(_) => "; --type says which it is, `vuicc card program --types` lists them",
        Cause::PinEnabled(_) => "; disable it, or program the card with it disabled",
        Cause::OtherIccid { .. } => "; --keep-iccid lets it keep its own",
        _ => "",
    };
    let exit = match &stopped.cause {
        Cause::Unfit(_) | Cause::NoRoom { .. } => Exit::Input,
        Cause::NoAdm | Cause::NoMakersKey(_) => Exit::Usage,
        _ => Exit::Card,
    };
    Failure::because(format!("{stopped}{advice}")).with(exit)
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    atrs: Vec<String>,
    adm: Option<String>,
    iccid: bool,
    sources: &'static [&'static str],
}

impl From<&Kind> for Listed {
    fn from(kind: &Kind) -> Self {
        let atrs = kind.atrs.iter().map(|atr| crate::hexadecimal::whole(atr)).collect();
        let adm = kind.adm.map(|reference| format!("{reference:02X}"));
        Self { name: kind.name, atrs, adm, iccid: kind.iccid, sources: kind.sources }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let adm = self.adm.as_deref().map_or_else(|| "no ADM".to_owned(), |adm| format!("ADM {adm}"));
        let iccid = if self.iccid { "ICCID can be written" } else { "ICCID is fixed" };
        let known = if self.atrs.is_empty() { ", to be named with --type" } else { "" };
        write!(f, "{:16}  {adm:6}  {iccid}{known}", self.name)
    }
}

/// What would be written.
#[derive(Serialize)]
struct Shown<'a> {
    plan: Vec<Line>,
    #[serde(rename = "type")]
    kind: &'static str,
    iccid: String,
    imsi: &'a str,
    /// `null`: the card does not say, or has no such key.
    adm_tries_left: Option<u8>,
    /// What of the subscriber the card cannot have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
}

#[derive(Serialize)]
struct Line {
    what: &'static str,
    place: String,
    octets: usize,
    state: &'static str,
}

impl From<&Planned> for Line {
    fn from(planned: &Planned) -> Self {
        let Planned { what, place, octets, state } = planned;
        let state = match state {
            State::Same => "same",
            State::Differs => "differs",
            State::Unreadable => "unreadable",
            State::Absent => "absent",
        };
        Self { what, place: place.clone(), octets: *octets, state }
    }
}

impl<'a> Shown<'a> {
    fn of(plan: &Plan, order: &'a Order, row: Option<u64>) -> Self {
        let adm_tries_left = match plan.adm() {
            Some(AdmState::Left(left)) => Some(left),
            Some(AdmState::Blocked) => Some(0),
            _ => None,
        };
        Self {
            plan: plan.planned().map(Line::from).collect(),
            kind: plan.kind().name,
            iccid: plan.iccid().to_string(),
            imsi: &order.subscriber().imsi,
            adm_tries_left,
            left_out: order.left_out(plan.kind()),
            row,
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tries = self.adm_tries_left.map_or_else(|| "not told".to_owned(), |left| left.to_string());
        writeln!(f, "{} with ICCID {}, tries of its ADM left: {tries}", self.kind, self.iccid)?;
        write!(f, "for IMSI {}, in this order:", self.imsi)?;
        for Line { what, place, octets, state } in &self.plan {
            let meaning = match *state {
                "same" => "has it already",
                "differs" => "is written",
                "unreadable" => "is written, cannot be read",
                _ => "there is no such file",
            };
            write!(f, "\n  {what:28}  {place:26}  {octets:3}  {meaning}")?;
        }
        for left_out in &self.left_out {
            write!(f, "\n  not written: {left_out}")?;
        }
        Ok(())
    }
}

/// What has come of a card.
#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    iccid: &'a str,
    imsi: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
    written: Vec<&'static str>,
    /// What had to be written and was not.
    left: Vec<&'static str>,
    /// Whether it authenticates with what was written.
    proven: bool,
    /// For GSM too.
    proven_for_gsm: bool,
    /// The highest sequence number it has accepted, 12 hexadecimal digits.
    sqn: Option<String>,
    /// Why it is not proven, or what stopped it.
    note: Option<String>,
    #[serde(skip)]
    has_stopped: bool,
}

impl<'a> Outcome<'a> {
    fn of(report: &programmer::Report, kind: &'static str, iccid: &'a str, imsi: &'a str, row: Option<u64>) -> Self {
        let (proven, proven_for_gsm, sqn, note) = match report.proof {
            Proof::Proven { sqn, gsm } => (true, gsm, sqn.map(|sqn| format!("{sqn:012x}")), None),
            Proof::Open(open) => (false, false, None, Some(open.to_string())),
        };
        let written = report.written.iter().map(|planned| planned.what).collect();
        Self {
            kind,
            iccid,
            imsi,
            row,
            written,
            left: Vec::new(),
            proven,
            proven_for_gsm,
            sqn,
            note,
            has_stopped: false,
        }
    }

    fn stopped(stopped: &Stopped, kind: &'static str, iccid: &'a str, imsi: &'a str, row: Option<u64>) -> Self {
        let names = |planned: &[Planned]| planned.iter().map(|one| one.what).collect();
        Self {
            kind,
            iccid,
            imsi,
            row,
            written: names(&stopped.written),
            left: names(&stopped.left),
            proven: false,
            proven_for_gsm: false,
            sqn: None,
            note: Some(stopped.cause.to_string()),
            has_stopped: true,
        }
    }
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (iccid, imsi, count) = (self.iccid, self.imsi, self.written.len());
        match &self.note {
            None => {
                let gsm = if self.proven_for_gsm { ", for GSM too" } else { "" };
                write!(f, "{iccid}: IMSI {imsi}, {count} written; the card authenticates with its keys{gsm}")?;
                self.sqn.as_ref().map_or(Ok(()), |sqn| write!(f, "; its SQN is {sqn}"))
            }
            Some(note) if self.has_stopped => write!(f, "{iccid}: IMSI {imsi}, stopped, {count} written: {note}"),
            Some(note) => {
                write!(f, "{iccid}: IMSI {imsi}, {count} written; whether it authenticates is not known: {note}")
            }
        }
    }
}
