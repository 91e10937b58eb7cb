//! One card after the other, a row of the file each.

use std::path::Path;
use std::time::Duration;

use console::Exit;
use programmer::{Cause, Found, Order, Stopped, identify};
use reader_bridge::pcsc_reader::{wait_for_card, wait_until_empty};
use reader_bridge::socket::Address;

use super::log::{Entry, Log, Outcome};
use super::rows::{self, Row};
use super::{Arguments, Shown, failed, of_card};
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
            Err(failure) if arguments.takes_turns() => {
                failures += 1;
                failure.tell();
            }
            Err(failure) => return Err(failure),
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
) -> Result<Turn, Failure> {
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
    log.put(entry(row, Outcome::Begun, None))?;
    let adm = row.adm.as_ref().or(fallback);
    match arguments.write(&mut card, plan, order, adm, Some(row.line), context) {
        Ok(_) => log.put(entry(row, Outcome::Done, None)).map(|()| Turn::Written),
        Err(stopped) => {
            let outcome = match stopped.cause {
                Cause::WrongAdm(_) => Outcome::AdmRefused,
                _ => Outcome::Failed,
            };
            log.put(entry(row, outcome, Some(&stopped)))?;
            Err(failed(&stopped))
        }
    }
}

fn entry(row: &Row, outcome: Outcome, stopped: Option<&Stopped>) -> Entry {
    let subscriber = row.order.subscriber();
    Entry {
        row: row.line,
        iccid: subscriber.iccid.clone(),
        imsi: subscriber.imsi.clone(),
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

    /// The row for a card: that of its ICCID; else, if its number can be written, the first that no card has begun with.
    fn row<'a>(&self, rows: &'a [Row], log: &Log, found: &Found) -> Result<&'a Row, Failure> {
        let iccid = found.iccid.to_string();
        let refused = |cause: String| Err(Failure::because(cause).with(Exit::Card));
        let kind = self.kind.or(found.kind);
        let row = match rows.iter().find(|row| row.order.subscriber().iccid == iccid) {
            Some(row) => row,
            None if kind.is_some_and(|kind| kind.iccid) || self.keep_iccid => {
                let fresh = pending(rows, log).find(|row| log.of(&row.order.subscriber().iccid).is_none());
                match fresh.or_else(|| pending(rows, log).next()) {
                    Some(row) => row,
                    None => return refused("no row is left".to_owned()),
                }
            }
            None => return refused(format!("the card has ICCID {iccid}, which is in no row")),
        };
        match log.of(&row.order.subscriber().iccid) {
            Some(entry) if entry.outcome == Outcome::Done => {
                refused(format!("card {iccid} has its subscriber already: row {}", row.line))
            }
            _ if log.has_refused(&row.order.subscriber().iccid) && !self.opening.again => refused(format!(
                "card {iccid} has refused the ADM of row {} before, and it is not tried again; --again does, once it is right",
                row.line
            )),
            _ => Ok(row),
        }
    }
}
