//! `vuicc card conformance`: rows of the conformance scoreboard, on cards made for them or on any card.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use apdu::{InProcess, Transport, counted};
use card::entropy::ChaCha;
use card::image::Manufacture;
use card::personalise::{Euicc, NewCard, PersonalisationError, ProfileToLoad, Twin, Uicc, euicc, mint_pki, twin, uicc};
use card_os::CardProfile;
use card_os::nvm::MemoryNvm;
use clap::Args;
use clap::builder::PossibleValuesParser;
use conformance::{CARDS, DESCRIPTIONS, Difference, Line, Result as Came, Row, Sheet, play};
use console::Exit;
use reader_bridge::HeldBack;
use reader_bridge::script::{RunError, Variables};
use saip::builder::{Subscriber, build};
use serde_json::json;

use crate::Context;
use crate::apdu::secrets;
use crate::apdu::sources::assignment;
use crate::failure::{AtPath, Failure, line};
use crate::fields::from_toml;
use crate::target::TargetArguments;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Sheets of rows to play [default: those that are shipped]
    #[arg(value_name = "SHEET")]
    sheets: Vec<PathBuf>,
    /// Play these only: SHEET or SHEET/ROW; repeat for more
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    #[command(flatten)]
    target: TargetArguments,
    /// What the card in the reader or the image is: rows for this one are played
    #[arg(long = "as", value_name = "CARD", default_value = "uicc", value_parser = kinds())]
    kind: String,
    /// Also play what leaves something changed on the card: a blocked PIN, a file gone
    #[arg(long)]
    changing: bool,
    /// Set a value that rows use, where the card has another than conformance/cards says
    #[arg(long = "set", value_name = "NAME=HEX", value_parser = assignment)]
    variables: Vec<(String, Vec<u8>)>,
    /// PINs and keys of the card, in TOML: `[pins]` with digits, `[keys]` with hexadecimal
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Show the rows that pass, too
    #[arg(long)]
    all: bool,
    /// Print tables in Markdown instead, as in docs/conformance.md
    #[arg(long)]
    markdown: bool,
}

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(CARDS.iter().map(|card| card.name))
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if arguments.markdown && (context.output.is_json() || arguments.target.is_given()) {
        let cause = "--markdown is the page of this project's cards: not with --json, --reader or --card";
        return Err(Failure::because(cause).with(Exit::Usage));
    }
    let sheets = sheets(&arguments.sheets)?;
    let chosen = chosen(&sheets, arguments)?;
    let mut variables = Variables::new();
    if let Some(path) = &arguments.secrets {
        secrets::read(path, &mut variables)?;
    }
    variables.extend(arguments.variables.iter().cloned());
    let mut player = Player { arguments, context, variables, told: Told::default() };
    if arguments.target.is_given() {
        let mut card = arguments.target.connect_hiding(&player.variables)?;
        for (sheet, row) in &chosen {
            player.on_target(sheet, row, &mut *card)?;
        }
    } else {
        let mut cards = Cards::default();
        for (sheet, row) in &chosen {
            player.on_own(sheet, row, &mut cards)?;
        }
    }
    player.conclude(&chosen)
}

fn sheets(paths: &[PathBuf]) -> Result<Vec<Sheet>, Failure> {
    let wrong = |error: &conformance::SheetError| Failure::because(line(error)).with(Exit::Input);
    if paths.is_empty() {
        return conformance::shipped().map_err(|error| wrong(&error));
    }
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).at("read the sheet", path)?;
        let name = Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
        Sheet::parse(&name, &text).map_err(|error| wrong(&error))
    };
    paths.iter().map(read).collect()
}

/// The rows that `--only` leaves.
fn chosen<'a>(sheets: &'a [Sheet], arguments: &Arguments) -> Result<Vec<(&'a Sheet, &'a Row)>, Failure> {
    let all: Vec<(&Sheet, &Row)> =
        sheets.iter().flat_map(|sheet| sheet.rows.iter().map(move |row| (sheet, row))).collect();
    let is_named = |only: &String, (sheet, row): &(&Sheet, &Row)| {
        *only == sheet.name || only.split_once('/') == Some((sheet.name.as_str(), row.name.as_str()))
    };
    if let Some(unknown) = arguments.only.iter().find(|only| !all.iter().any(|one| is_named(only, one))) {
        let names = sheets.iter().map(|sheet| sheet.name.as_str()).collect::<Vec<_>>().join(", ");
        let cause = format!("--only {unknown}: there is no such sheet or row; sheets are {names}");
        return Err(Failure::because(cause).with(Exit::Usage));
    }
    let wanted =
        |one: &(&Sheet, &Row)| arguments.only.is_empty() || arguments.only.iter().any(|only| is_named(only, one));
    Ok(all.into_iter().filter(wanted).collect())
}

/// How often what happened.
#[derive(Default)]
struct Told {
    passed: Vec<bool>,
    failed: usize,
    known: usize,
    unnoticed: usize,
    skipped: usize,
}

struct Player<'a> {
    arguments: &'a Arguments,
    context: &'a Context,
    variables: Variables,
    told: Told,
}

impl Player<'_> {
    /// On a card made for this row alone, which may fail where the row says so and must not pass there.
    fn on_own(&mut self, sheet: &Sheet, row: &Row, cards: &mut Cards) -> Result<(), Failure> {
        let mut card = cards.fresh(row.card.name)?;
        let played = play(row, &self.variables, &mut *card).map_err(wrong)?;
        let outcome = match (&played.result, &row.fails) {
            (Came::Skipped, _) => "skipped",
            (Came::Passed, None) => "passed",
            (Came::Passed, Some(_)) => "unnoticed",
            (Came::Failed(_), None) => "failed",
            (Came::Failed(_), Some(_)) => "known",
        };
        self.tell(sheet, row, outcome, &played.result)
    }

    /// On the card that was named: what is known to fail on this project's cards is no excuse for another.
    fn on_target(&mut self, sheet: &Sheet, row: &Row, card: &mut dyn Transport) -> Result<(), Failure> {
        if row.card.name != self.arguments.kind || row.leaves.is_some() && !self.arguments.changing {
            return self.tell(sheet, row, "skipped", &Came::Skipped);
        }
        let played = play(row, &self.variables, card).map_err(wrong)?;
        let outcome = match &played.result {
            Came::Skipped => "skipped",
            Came::Passed => "passed",
            Came::Failed(_) => "failed",
        };
        self.tell(sheet, row, outcome, &played.result)
    }

    fn tell(&mut self, sheet: &Sheet, row: &Row, outcome: &str, came: &Came) -> Result<(), Failure> {
        let told = &mut self.told;
        told.passed.push(outcome == "passed");
        match outcome {
            "failed" => told.failed += 1,
            "known" => told.known += 1,
            "unnoticed" => told.unnoticed += 1,
            "skipped" => told.skipped += 1,
            _ => {}
        }
        if self.arguments.markdown {
            return Ok(());
        }
        let difference = if let Came::Failed(difference) = came { Some(difference) } else { None };
        self.context.output.json(&json!({
            "sheet": sheet.name, "row": row.name, "title": row.title, "clause": row.clause, "test": row.test,
            "card": row.card.name, "negative": row.is_negative, "line": row.line, "outcome": outcome,
            "fails": row.fails, "leaves": row.leaves, "difference": difference.map(object),
        }))?;
        let is_shown = self.arguments.all || matches!(outcome, "failed" | "unnoticed");
        if !is_shown || self.context.output.is_json() {
            return Ok(());
        }
        let (name, line) = (&sheet.name, row.line);
        let mut text = format!("{outcome:9} {name}/{}  {} [{}]", row.name, row.title, row.clause);
        if let Some(difference) = difference.filter(|_| outcome == "failed") {
            let shown = difference.mismatch.to_string().replace('\n', "\n          ");
            let sent = &difference.command;
            let _ = write!(text, "\n          {name}.apdu:{}  {sent}\n          {shown}", difference.line);
        }
        if outcome == "unnoticed" {
            let why = row.fails.as_deref().unwrap_or_default();
            let _ = write!(text, "\n          {name}.apdu:{line}: it passes now, remove `fails {why}`");
        }
        Ok(self.context.output.block(text)?)
    }

    fn conclude(&self, chosen: &[(&Sheet, &Row)]) -> Result<(), Failure> {
        let told = &self.told;
        let output = self.context.output;
        let passed = told.passed.iter().filter(|passed| **passed).count();
        if self.arguments.markdown {
            let played = chosen.iter().zip(&told.passed);
            let lines: Vec<Line<'_>> =
                played.map(|(&(sheet, row), &is_passed)| Line { sheet, row, is_passed }).collect();
            output.drawing(conformance::page(&lines).trim_end())?;
        } else {
            output.summary([
                ("rows", chosen.len()),
                ("passed", passed),
                ("failed", told.failed),
                ("known", told.known),
                ("unnoticed", told.unnoticed),
                ("skipped", told.skipped),
            ])?;
            output.text(format!(
                "{passed} of {} pass, {} fail, {} fail as known, {} pass unnoticed, {} skipped",
                counted(chosen.len(), "row"),
                told.failed,
                told.known,
                told.unnoticed,
                told.skipped
            ))?;
        }
        if told.failed + told.unnoticed > 0 { Err(Failure::Told(Exit::Difference)) } else { Ok(()) }
    }
}

fn object(difference: &Difference) -> serde_json::Value {
    json!({
        "line": difference.line, "command": difference.command, "expected": difference.mismatch.expected,
        "received": difference.mismatch.shown(), "wanted": difference.mismatch.wanted,
    })
}

fn wrong(error: RunError) -> Failure {
    match error {
        RunError::Transport(..) => Failure::because(line(&error)).with(Exit::Card),
        error => Failure::from(error).with(Exit::Input),
    }
}

/// The cards of the rows, each made once, and given to each row as it left the factory.
#[derive(Default)]
struct Cards {
    made: Vec<(String, Manufacture, MemoryNvm)>,
}

/// When they were made, seconds since 1970.
const NOW: u64 = 1_767_225_600;
/// Cards are the same in each run.
const SEED: u64 = 13;

impl Cards {
    fn fresh(&mut self, kind: &str) -> Result<Box<dyn Transport>, Failure> {
        if !self.made.iter().any(|(name, ..)| name == kind) {
            let new = make(kind)?;
            self.made.push((kind.to_owned(), new.manufacture, new.memory));
        }
        let made = self.made.iter().find(|(name, ..)| name == kind);
        let (_, manufacture, memory) = made.ok_or_else(|| Failure::because(format!("no card {kind} was made")))?;
        let new = NewCard { manufacture: manufacture.clone(), memory: memory.clone(), eid: None };
        Ok(Box::new(InProcess::connect(HeldBack(new.insert(Box::new(ChaCha::from_number(SEED)))))))
    }
}

fn make(kind: &str) -> Result<NewCard, Failure> {
    let mut entropy = ChaCha::from_number(SEED);
    let wrong = |error: PersonalisationError| Failure::because(format!("the card {kind}: {}", line(&error)));
    let subscriber: Subscriber = from_toml(DESCRIPTIONS.subscriber).map_err(Failure::because)?;
    match kind {
        "files" => {
            let description: card::personality::Description =
                from_toml(DESCRIPTIONS.files).map_err(Failure::because)?;
            let learned = description.learned.unwrap_or_default();
            let card = CardProfile::default();
            let new = Twin { learned: &learned, card, subscriber: Some(&subscriber), name: None, now: NOW };
            twin(&new, &mut entropy).map_err(wrong)
        }
        "euicc" => {
            let second: Subscriber = from_toml(DESCRIPTIONS.second).map_err(Failure::because)?;
            let pki = mint_pki(None, NOW, &mut entropy).map_err(wrong)?;
            let profiles = vec![profile(&subscriber)?, profile(&second)?];
            let new = Euicc { profiles, enable_first: true, ..Euicc::new(pki, NOW) };
            euicc(&new, &mut entropy).map_err(wrong)
        }
        _ => uicc(&Uicc::new(profile(&subscriber)?, NOW)).map_err(wrong),
    }
}

fn profile(subscriber: &Subscriber) -> Result<ProfileToLoad, Failure> {
    let elements = build(subscriber).map_err(|error| Failure::because(line(&error)))?;
    Ok(ProfileToLoad::from(saip::encode_package(&elements)))
}
