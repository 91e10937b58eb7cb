//! `vuicc card twin-check`: whether two cards are equal, on probes from a seed.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use apdu::{StatusWord, Transport, TransportError, counted};
use clap::Args;
use console::Exit;
use decode::{Decoder, Differing, compare};
use serde_json::json;
use twin::{Answer, Identity, KINDS, Learned, Outside, Probe, ask, identity, probes};

use super::learn::emulated;
use super::personality;
use crate::apdu::differing;
use crate::apdu::junit::Report;
use crate::apdu::report::{Case, Failing, Suite, Verdict};
use crate::failure::{Failure, line};
use crate::file::{image, not_stdout};
use crate::output::{tell as warn, within_a_line};
use crate::target::Target;
use crate::{Context, hexadecimal};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The description that the probes are about, as `card learn` wrote it
    #[arg(value_name = "DESCRIPTION")]
    description: PathBuf,
    /// The card in this reader or behind this socket. Name one card, which is compared with the description's, or two;
    /// readers come first
    #[arg(long = "reader", value_name = "NAME")]
    readers: Vec<String>,
    /// The card in this image
    #[arg(long = "card", value_name = "PATH", value_parser = image)]
    cards: Vec<PathBuf>,
    /// How many probes
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    probes: u32,
    /// What the probes are made from: the same text, the same probes
    #[arg(long, value_name = "TEXT", default_value = "twin")]
    seed: String,
    /// Fail if fewer answers than this are equal, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 99.0, value_parser = percent)]
    at_least: f64,
    /// Show equal answers too
    #[arg(long)]
    all: bool,
    /// Write the result to FILE as JUnit XML: a case for each probe
    #[arg(long, value_name = "FILE", value_parser = not_stdout)]
    junit: Option<PathBuf>,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "wants a number from 0 to 100".to_owned())
}

/// What both cards answered to a probe.
struct Compared {
    probe: Probe,
    answers: [Answer; 2],
}

impl Compared {
    fn is_equal(&self) -> bool {
        let [left, right] = &self.answers;
        left.responses == right.responses
    }

    /// Whether the first card carried it out.
    fn succeeded(&self) -> bool {
        let [reference, _] = &self.answers;
        reference.last().is_some_and(|sw| sw.is_ok() || sw.is_warning() && sw.sw1() != 0x63)
    }
}

/// All that two cards are compared by, the first of which is the reference.
struct Comparison {
    names: [String; 2],
    /// Files that the description has.
    files: usize,
    identities: [Identity; 2],
    compared: Vec<Compared>,
}

/// Of what the description has, so many percent has to be on the reference card: two cards that refuse everything prove nothing.
const REACHED: usize = 50;

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let like = personality::read_file(&arguments.description)?;
    let Some(learned) = &like.description.learned else {
        let cause =
            format!("{}: nothing was learned in it; `vuicc card learn` writes one", arguments.description.display());
        return Err(Failure::because(cause).with(Exit::Input));
    };
    let outside = Outside {
        atr: like.description.card.atr.as_ref().map(|atr| atr.0.clone()).unwrap_or_default(),
        channels: like.description.card.logical_channels.unwrap_or_default(),
    };
    let probes =
        probes(learned, outside.channels, &arguments.seed, usize::try_from(arguments.probes).unwrap_or(usize::MAX));
    if !learned.complete {
        warn(&format!("{}: not all of the card was learned", arguments.description.display()));
    }
    let targets = targets(arguments)?;
    let mut names = targets.iter().map(|(name, _)| name.clone()).chain(["description".to_owned()]);
    let names = [names.next().unwrap_or_default(), names.next().unwrap_or_default()];
    let mut asked = Vec::new();
    for (name, target) in targets {
        asked.push(ask_all(&mut *target.connect()?, learned, &probes, &name)?);
    }
    if asked.len() == 1 {
        asked.push(ask_all(&mut *emulated(learned, &outside)?, learned, &probes, "description")?);
    }
    let [(right, rights), (left, lefts)] = [asked.pop().unwrap_or_default(), asked.pop().unwrap_or_default()];
    let compared = probes
        .into_iter()
        .zip(lefts.into_iter().zip(rights))
        .map(|(probe, (left, right))| Compared { probe, answers: [left, right] })
        .collect();
    let comparison = Comparison { names, files: learned.files.len(), identities: [left, right], compared };
    tell(arguments, &comparison, context)
}

/// One card or two, and not the same one twice.
fn targets(arguments: &Arguments) -> Result<Vec<(String, Target<'_>)>, Failure> {
    let readers = arguments.readers.iter().map(|name| (name.clone(), Target::Reader(name)));
    let images = arguments.cards.iter().map(|path| (path.display().to_string(), Target::Image(path)));
    let targets: Vec<_> = readers.chain(images).collect();
    if !(1..=2).contains(&targets.len()) {
        let cause = format!(
            "twin-check compares one card with the description's, or two cards; {} are named: use --reader NAME and \
             --card PATH",
            targets.len()
        );
        return Err(Failure::because(cause).with(Exit::Usage));
    }
    let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let is_one = match (arguments.readers.as_slice(), arguments.cards.as_slice()) {
        ([one, other], _) => one == other,
        (_, [one, other]) => real(one) == real(other),
        _ => false,
    };
    if let Some((name, _)) = targets.first().filter(|_| is_one) {
        let cause = format!("{name} is named twice: a card is always like itself; name two cards, or one");
        return Err(Failure::because(cause).with(Exit::Usage));
    }
    Ok(targets)
}

/// What a card is, and its answers to all probes.
fn ask_all(
    card: &mut dyn Transport,
    learned: &Learned,
    probes: &[Probe],
    name: &str,
) -> Result<(Identity, Vec<Answer>), Failure> {
    let lost = |error: &TransportError, number: usize| {
        let so_far = format!("{name}: {}; {number} of {} were asked", line(error), counted(probes.len(), "probe"));
        Failure::because(so_far).with(Exit::Card)
    };
    let identity = identity(card, learned).map_err(|error| lost(&error, 0))?;
    let mut answers = Vec::new();
    for (number, probe) in probes.iter().enumerate() {
        answers.push(ask(card, probe).map_err(|error| lost(&error, number))?);
    }
    Ok((identity, answers))
}

fn tell(arguments: &Arguments, comparison: &Comparison, context: &Context) -> Result<(), Failure> {
    let Comparison { names, compared, identities: [left, right], .. } = comparison;
    let mut report = Report::new(arguments.junit.as_deref())?;
    report.begin(Suite::new("vuicc card twin-check"));
    let differences = left.differences(right);
    for (what, values) in &differences {
        context.output.json(&json!({"identity": what, "equal": false, "left": values[0], "right": values[1]}))?;
        let mut text = format!("DIFFERS {what}");
        for (name, value) in names.iter().zip(values) {
            let _ = write!(text, "\n          {}: {value}", within_a_line(name));
        }
        context.output.block(text)?;
    }
    report.case(|_| Some(identity_case(&differences)));
    for (number, one) in compared.iter().enumerate() {
        let differences = if one.is_equal() { Vec::new() } else { fields(one) };
        let [left, right] = &one.answers;
        context.output.json(&json!({
            "probe": number + 1, "kind": one.probe.kind, "is_learned": one.probe.weight.is_learned,
            "setup": one.probe.setup.iter().map(|command| hexadecimal::whole(command)).collect::<Vec<_>>(),
            "command": hexadecimal::whole(&one.probe.command), "equal": one.is_equal(),
            "left": responses(left), "right": responses(right),
            "differences": differences.iter().map(|one| differing::object(one, ["left", "right"])).collect::<Vec<_>>(),
        }))?;
        if arguments.all || !one.is_equal() {
            context.output.block(shown(number, one, names, &differences))?;
        }
        report.case(|_| Some(case(number, one, names)));
    }
    report.write()?;
    conclude(arguments, comparison, differences.len(), context)
}

fn conclude(
    arguments: &Arguments,
    comparison: &Comparison,
    differences: usize,
    context: &Context,
) -> Result<(), Failure> {
    let Comparison { names, files, identities: [reference, _], compared } = comparison;
    let equal = compared.iter().filter(|one| one.is_equal()).count();
    let unlearned = compared.iter().filter(|one| !one.probe.weight.is_learned).count();
    for kind in KINDS {
        let of_kind: Vec<&Compared> = compared.iter().filter(|one| one.probe.kind == kind.name).collect();
        if of_kind.is_empty() {
            continue;
        }
        let same = of_kind.iter().filter(|one| one.is_equal()).count();
        let seen = of_kind.iter().filter(|one| one.probe.weight.is_learned).count();
        let seen = if seen > 0 { format!("{seen} sent in learning") } else { String::new() };
        context.output.text(format!("{same:4} of {:4}  {:58} {seen}", of_kind.len(), kind.name).trim_end())?;
    }
    let proactive = compared.iter().any(|one| one.answers.iter().any(|answer| answer.has_proactive));
    if proactive {
        context.output.text("9000 and 91XX count as equal: what the toolkit of a card does is not learned")?;
    }
    let succeeded = compared.iter().filter(|one| one.succeeded()).count();
    let meant: Vec<&Compared> = compared.iter().filter(|one| one.probe.weight.succeeds).collect();
    let reached = meant.iter().filter(|one| one.succeeded()).count();
    let found = reference.files.len();
    context.output.summary([
        ("probes", compared.len()),
        ("equal", equal),
        ("different", compared.len() - equal),
        ("not_used_in_learning", unlearned),
        ("succeeded", succeeded),
        ("refused", compared.len() - succeeded),
        ("meant_to_succeed", meant.len()),
        ("reached", reached),
        ("identity_differences", differences),
    ])?;
    let reference = within_a_line(&names[0]);
    context.output.text(format!(
        "{reference} has {found} of {} and carried out {succeeded} of {}; of {} of what it has to have, {reached}",
        counted(*files, "file"),
        counted(compared.len(), "probe"),
        meant.len(),
    ))?;
    // Rounded down: what says 100 % is all.
    let percent = if compared.is_empty() { 0.0 } else { 100.0 * ratio(equal, compared.len()) };
    context.output.text(format!(
        "{equal} of {} are answered alike, {:.1} %; {unlearned} were not sent in learning",
        counted(compared.len(), "probe"),
        (percent * 10.0).floor() / 10.0
    ))?;
    let mut is_alike = percent >= arguments.at_least && !compared.is_empty();
    for (fails, cause) in [
        (differences > 0, format!("not the same card: {} in what it is and holds", counted(differences, "difference"))),
        (
            found * 100 < files * REACHED || reached * 100 < meant.len() * REACHED,
            format!("{reference} is not the card of the description: less than {REACHED} % of it is there"),
        ),
        (
            unlearned * 2 < compared.len(),
            "more than half of the probes were sent in learning; they prove little".to_owned(),
        ),
    ] {
        if fails {
            is_alike = false;
            context.output.text(cause)?;
        }
    }
    if is_alike { Ok(()) } else { Err(Failure::Told(Exit::Difference)) }
}

fn ratio(part: usize, whole: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(part) / number(whole).max(1.0)
}

fn responses(answer: &Answer) -> Vec<String> {
    answer.responses.iter().map(|response| hexadecimal::whole(response)).collect()
}

/// Fields of the last answers that differ. The decoders follow what brought the cards there.
fn fields(one: &Compared) -> Vec<Differing> {
    let explain = |answer: &Answer| {
        let mut decoder = Decoder::new();
        for command in &one.probe.setup {
            decoder.exchange(command, &StatusWord::OK.0.to_be_bytes());
        }
        let mut command = one.probe.command.clone();
        let mut last = None;
        for response in &answer.responses {
            last = Some(decoder.exchange(&command, response));
            if let [.., 0x61, length] = response.as_slice() {
                command = vec![0x00, 0xC0, 0x00, 0x00, *length];
            }
        }
        last
    };
    match one.answers.each_ref().map(explain) {
        [Some(left), Some(right)] => compare(left.answer(), right.answer()),
        _ => Vec::new(),
    }
}

fn shown(number: usize, one: &Compared, names: &[String; 2], differences: &[Differing]) -> String {
    let mark = if one.is_equal() { "same   " } else { "DIFFERS" };
    let mut text =
        format!("{mark} probe {}: {}: {}", number + 1, one.probe.kind, hexadecimal::whole(&one.probe.command));
    for (name, answer) in names.iter().zip(&one.answers) {
        if !one.is_equal() {
            let (name, answer) = (within_a_line(name), responses(answer).join(", "));
            let _ = write!(
                text,
                "
          {name}: {answer}"
            );
        }
    }
    let [left, right] = names;
    for difference in differences {
        let _ = write!(text, "\n          {}", differing::line(difference, [left, right]));
    }
    text
}

/// Whether both say to be the same card.
fn identity_case(differences: &[(String, [String; 2])]) -> Case {
    let details = |(what, [left, right]): &(String, [String; 2])| {
        [("what", what.clone()), ("left", left.clone()), ("right", right.clone())]
    };
    let verdict = match differences {
        [] => Verdict::Passed,
        some => Verdict::Failed(Failing {
            kind: "difference",
            message: format!("{} in answer to reset and contents", counted(some.len(), "difference")),
            details: some.iter().flat_map(details).collect(),
        }),
    };
    Case { name: "answer to reset and contents".to_owned(), took: Duration::ZERO, verdict, remark: None }
}

fn case(number: usize, one: &Compared, names: &[String; 2]) -> Case {
    let verdict = if one.is_equal() {
        Verdict::Passed
    } else {
        let words = |answer: &Answer| answer.last().map(|sw| sw.to_string()).unwrap_or_default();
        let [left, right] = &one.answers;
        Verdict::Failed(Failing {
            kind: "difference",
            message: format!("{} answers {}, {} {}", names[0], words(left), names[1], words(right)),
            details: vec![
                ("sent", hexadecimal::whole(&one.probe.command)),
                ("left", responses(left).join(", ")),
                ("right", responses(right).join(", ")),
            ],
        })
    };
    Case {
        name: format!("probe {}: {}: {}", number + 1, one.probe.kind, hexadecimal::whole(&one.probe.command)),
        took: Duration::ZERO,
        verdict,
        remark: None,
    }
}
