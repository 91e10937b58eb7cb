//! One card after the other, a row of the file each.

use std::path::Path;
use std::time::Duration;

use console::Exit;
use programmer::{Cause, Found, Order, Stopped, identify};
use reader_bridge::pcsc_reader::{wait_for_card, wait_until_empty};
use reader_bridge::socket::Address;

use super::log::{Card, Entry, Log, Outcome};
use super::rows::{self, Row};
use super::{Arguments, Shown, Writing, failed, of_card};
use crate::Context;
use crate::failure::Failure;
use crate::output::tell;

pub(super) fn run(arguments: &Arguments, csv: &Path, log: &Path, context: &Context) -> Result<(), Failure> {
    let rows = rows::read(csv)?;
    let mut log = Log::open(log)?;
    let fallback = arguments.adm()?;
    let (mut done, mut failures) = (0, 0);
    loop {
        if pending(&rows, &log).next().is_none() {
            break;
        }
        match card(arguments, &rows, &mut log, fallback.as_ref(), context) {
            Ok(Turn::Written) => done += 1,
            Ok(Turn::Shown) => return Ok(()),
            // The next card may be a better one.
            Err(unwritten) if arguments.takes_turns() => {
                failures += 1;
                unwritten.failure.tell();
                if unwritten.is_of_all {
                    tell("vuicc: the cards that follow would be given the same ADM, so this run ends");
                    break;
                }
            }
            Err(unwritten) => return Err(unwritten.failure),
        }
        let left = pending(&rows, &log).count();
        if left == 0 || !arguments.takes_turns() {
            break;
        }
        tell(&format!("vuicc: remove the card; {left} left"));
        let (reader, limit) = (arguments.target.reader(), Duration::from_secs(arguments.timeout));
        let next = wait_until_empty(reader, limit).and_then(|_| wait_for_card(reader, limit));
        next.map_err(|error| Failure::from(error).with(Exit::TimedOut))?;
    }
    let left = pending(&rows, &log).count();
    context.output.summary([("written", done), ("failed", failures), ("left", left)])?;
    context.output.text(format_args!("{done} written, {failures} failed, {left} left of {}", rows.len()))?;
    if failures > 0 {
        return Err(
            Failure::because(format!("{failures} cards were not programmed; the log says why")).with(Exit::Card)
        );
    }
    Ok(())
}

/// What came of a card.
enum Turn {
    Written,
    /// Only what would be written.
    Shown,
}

/// Why a card was not written to.
struct Unwritten {
    failure: Failure,
    /// Whether it may come to the same with the cards that follow: the ADM of all of them was wrong.
    is_of_all: bool,
}

impl<E: Into<Failure>> From<E> for Unwritten {
    fn from(cause: E) -> Self {
        Self { failure: cause.into(), is_of_all: false }
    }
}

/// Rows that are not done.
fn pending<'a, 'l>(rows: &'a [Row], log: &'l Log) -> impl Iterator<Item = &'a Row> + use<'a, 'l> {
    rows.iter()
        .filter(move |row| log.of(&row.order.subscriber().iccid).is_none_or(|entry| entry.outcome != Outcome::Done))
}

/// The card that is there now.
fn card(
    arguments: &Arguments,
    rows: &[Row],
    log: &mut Log,
    fallback: Option<&programmer::Adm>,
    context: &Context,
) -> Result<Turn, Unwritten> {
    // What a trace has to leave out is known only when the row is: all rows stay out of it.
    let mut card = arguments.connect_for(rows, fallback)?;
    let found = identify(&mut card).map_err(of_card)?;
    let row = arguments.row(rows, log, &found)?;
    let order = &row.order;
    let plan = arguments.plan(&mut card, &found, order)?;
    context.output.put_block(&Shown::of(&plan, order, Some(row.line)))?;
    if !arguments.may_write(&plan, order) {
        tell("vuicc: nothing was written; --yes writes it");
        return Ok(Turn::Shown);
    }
    let before = known_as(&found);
    // The number that it has once it was written to.
    let iccid = if plan.kind().iccid { &order.subscriber().iccid } else { &before.iccid };
    let after = Card { iccid: iccid.clone(), ..before.clone() };
    let adm = row.adm.as_ref().or(fallback);
    let writing = Writing { order, adm, row: Some(row.line), refusals: log.refusals(&before) };
    log.put(entry(row, &before, Outcome::Begun, None))?;
    let mut noted = Ok(());
    let opened = &mut || noted = log.put(entry(row, &before, Outcome::Opened, None));
    let outcome = arguments.write(&mut card, plan, &writing, context, opened);
    match outcome {
        Ok(_) => log.put(entry(row, &after, Outcome::Done, None))?,
        Err(stopped) => {
            let outcome = match stopped.cause {
                Cause::WrongAdm { .. } | Cause::WrongMakersKey { .. } => Outcome::AdmRefused,
                Cause::AdmUnanswered(_) => Outcome::AdmUnanswered,
                _ => Outcome::Failed,
            };
            let card = if stopped.written.is_empty() { &before } else { &after };
            log.put(entry(row, card, outcome, Some(&stopped)))?;
            let is_of_all = row.adm.is_none() && matches!(stopped.cause, Cause::WrongAdm { .. });
            return Err(Unwritten { failure: failed(&stopped), is_of_all });
        }
    }
    noted?;
    Ok(Turn::Written)
}

fn known_as(found: &Found) -> Card {
    Card { iccid: found.iccid.to_string(), atr: crate::hexadecimal::whole(&found.atr) }
}

fn entry(row: &Row, card: &Card, outcome: Outcome, stopped: Option<&Stopped>) -> Entry {
    let subscriber = row.order.subscriber();
    Entry {
        row: row.line,
        iccid: subscriber.iccid.clone(),
        imsi: subscriber.imsi.clone(),
        card: Some(card.clone()),
        outcome,
        written: stopped.iter().flat_map(|stopped| &stopped.written).map(|one| one.what.to_owned()).collect(),
        note: stopped.map(|stopped| stopped.cause.to_string()),
    }
}

impl Arguments {
    /// Whether another card can come: into a reader.
    fn takes_turns(&self) -> bool {
        self.target.image().is_none() && self.target.reader().and_then(Address::of_reader).is_none()
    }

    fn connect_for(
        &self,
        rows: &[Row],
        fallback: Option<&programmer::Adm>,
    ) -> Result<Box<dyn apdu::Transport>, Failure> {
        let orders: Vec<(&Order, Option<&programmer::Adm>)> =
            rows.iter().map(|row| (&row.order, row.adm.as_ref().or(fallback))).collect();
        self.connect_hiding_all(&orders)
    }

    /// The row for a card: that of its ICCID, or that with which it was begun; else, if its number can be written or is kept, the next of
    /// which nothing is on any card. A card that has a subscriber gets none, nor one that has refused an ADM.
    fn row<'a>(&self, rows: &'a [Row], log: &Log, found: &Found) -> Result<&'a Row, Failure> {
        let card = known_as(found);
        let iccid = &card.iccid;
        let refused = |cause: String| Err(Failure::because(cause).with(Exit::Card));
        let kind = self.kind.or(found.kind);
        if let Some(last) = log.last_of_card(&card).filter(|last| last.outcome == Outcome::Done) {
            return refused(format!("card {iccid} has its subscriber already: row {}", last.row));
        }
        let row = match rows.iter().find(|row| row.order.subscriber().iccid == *iccid) {
            Some(row) => row,
            None if kind.is_some_and(|kind| kind.iccid) || self.keep_iccid => match next(rows, log, &card) {
                Some(row) => row,
                None => return refused(left_over(rows, log)),
            },
            None => return refused(format!("the card has ICCID {iccid}, which is in no row")),
        };
        let subscriber = &row.order.subscriber().iccid;
        if log.of(subscriber).is_some_and(|entry| entry.outcome == Outcome::Done) {
            return refused(format!("card {iccid} has its subscriber already: row {}", row.line));
        }
        let has_adm = kind.is_none_or(|kind| kind.adm.is_some());
        if self.opening.again || !has_adm {
            return Ok(row);
        }
        match log.last_of_card(&card) {
            Some(last) if log.refusals(&card) > 0 && last.outcome == Outcome::Begun => refused(format!(
                "a run ended when card {iccid} was given the ADM of row {}, which may have cost a try; --again tries it once more",
                last.row
            )),
            Some(last) if log.refusals(&card) > 0 && last.outcome == Outcome::AdmUnanswered => refused(format!(
                "card {iccid} did not answer when it was given the ADM of row {}, which may have cost a try; --again tries it once more",
                last.row
            )),
            last if log.refusals(&card) > 0 || log.has_refused(subscriber, row.adm.is_some()) => refused(format!(
                "card {iccid} has refused the ADM of row {} before, and it is not tried again; --again does, once it is right",
                last.map_or(row.line, |last| last.row)
            )),
            _ => Ok(row),
        }
    }
}

/// The row for a card whose number is in none.
fn next<'a>(rows: &'a [Row], log: &Log, card: &Card) -> Option<&'a Row> {
    let own = |row: &&Row| log.unfinished(card).is_some_and(|last| last.iccid == row.order.subscriber().iccid);
    let untouched = |row: &&Row| log.of(&row.order.subscriber().iccid).is_none();
    let nowhere = |row: &&Row| !log.may_be_on_a_card(&row.order.subscriber().iccid);
    let pending = || pending(rows, log);
    pending().find(own).or_else(|| pending().find(untouched)).or_else(|| pending().find(nowhere))
}

/// Why there is no row for another card.
fn left_over(rows: &[Row], log: &Log) -> String {
    let lines: Vec<_> = pending(rows, log).map(|row| row.line.to_string()).collect();
    format!(
        "no row is left for this card; another one may have that of line {} in part: a file with those rows alone, and a new log, give \
         them to others",
        lines.join(", ")
    )
}
