//! What it costs to know when something can be used, beside its being so: ready file, `--detach`, `reader wait`, `smdp wait`.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use vuicc_tests::process::Process;
use vuicc_tests::reader::Reader;
use vuicc_tests::vuicc::{Card, command};

use crate::figure::{Figure, Target};
use crate::reader::reader;
use crate::rounds::{medians, took};

const ROUNDS: usize = 11;
/// Nothing here takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks: less than any of the figures could tell.
const LOOK: Duration = Duration::from_millis(2);
/// How much later than a card is there it may be known. Most of it is a process that is started.
const CARD: f64 = 1.25;
/// The same of a server, which is there within few milliseconds.
const SERVER: f64 = 3.0;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Milliseconds from starting `card run` until it is known that the card can be used.
pub(crate) fn card() -> Outcome<Vec<Figure>> {
    let reader = reader()?;
    let folder = tempfile::tempdir()?;
    let desk = Desk { card: Card::new(folder.path(), &[]), reader, folder: folder.path() };
    let [seen, ready_file, detached, waited] = medians(
        ROUNDS,
        [&mut || desk.seen(), &mut || desk.ready_file(), &mut || desk.detached(), &mut || desk.reader_wait()],
    )?;
    let known = |name, value| {
        Figure::new(name, value, "ms").beside(seen, "a host that looks all the time").target(Target::RatioBelow(CARD))
    };
    Ok(vec![
        known("waits.card.ready_file", ready_file),
        known("waits.card.detach", detached),
        known("waits.card.reader_wait", waited),
    ])
}

struct Desk<'a> {
    card: Card,
    reader: Reader,
    folder: &'a Path,
}

impl Desk<'_> {
    fn vuicc<const N: usize>(&self, arguments: [&str; N]) -> Command {
        command(&self.folder.join("state"), arguments)
    }

    fn card_run(&self) -> Command {
        let mut run = self.vuicc(["card", "run", "--reader", &self.reader.slot(0)]);
        run.arg(self.card.image());
        run
    }

    /// A host that asks the PC/SC service again and again.
    fn seen(&self) -> Outcome<f64> {
        self.timed(|| {
            let run = Process::start(&mut self.card_run(), self.folder);
            until("the card", || self.reader.holds_card(0))?;
            Ok(run)
        })
    }

    fn ready_file(&self) -> Outcome<f64> {
        let file = self.folder.join("ready.json");
        self.timed(|| {
            let run = Process::start(self.card_run().arg("--ready-file").arg(&file), self.folder);
            until("the ready file", || file.exists())?;
            Ok(run)
        })
    }

    fn detached(&self) -> Outcome<f64> {
        let millis = self.timed(|| succeed(self.card_run().arg("--detach")))?;
        succeed(self.vuicc(["card", "eject"]).arg(self.card.image()))?;
        Ok(millis)
    }

    fn reader_wait(&self) -> Outcome<f64> {
        self.timed(|| {
            let run = Process::start(&mut self.card_run(), self.folder);
            succeed(&mut self.vuicc(["reader", "wait", "--reader", Reader::FIRST]))?;
            Ok(run)
        })
    }

    /// Milliseconds for `work` in an empty reader, which it keeps something in.
    fn timed<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<f64> {
        self.reader.wait_until_empty(0);
        let (time, inserted) = took(work);
        drop(inserted?);
        Ok(time.as_secs_f64() * 1e3)
    }
}

/// Milliseconds from starting `smdp serve` until it is known that it can be used.
pub(crate) fn server() -> Outcome<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let vuicc = |arguments: [&str; 4]| command(&folder.path().join("state"), arguments);
    // A free port of a network that has nothing else in it.
    let at = "127.0.0.1:8443";
    let serve = || Process::start(&mut vuicc(["smdp", "serve", "--json", "--listen=127.0.0.1:8443"]), folder.path());
    let timed = |known: &dyn Fn(&Process) -> Outcome<()>| -> Outcome<f64> {
        let (time, outcome) = took(|| {
            let server = serve();
            known(&server).map(|()| server)
        });
        drop(outcome?);
        Ok(time.as_secs_f64() * 1e3)
    };
    let told = |server: &Process| until("its address", || server.log().lines().any(is_address));
    let waited = |_: &Process| succeed(&mut vuicc(["smdp", "wait", "--at", at]));
    let [told, waited] = medians(ROUNDS, [&mut || timed(&told), &mut || timed(&waited)])?;
    Ok(vec![
        Figure::new("waits.server.smdp_wait", waited, "ms")
            .beside(told, "what the server says of itself")
            .target(Target::RatioBelow(SERVER)),
    ])
}

fn is_address(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|line| line.get("address").is_some())
}

fn until(what: &str, mut is_there: impl FnMut() -> bool) -> Outcome<()> {
    let deadline = Instant::now() + LIMIT;
    while !is_there() {
        if Instant::now() > deadline {
            return Err(format!("no sign of {what}").into());
        }
        sleep(LOOK);
    }
    Ok(())
}

fn succeed(command: &mut Command) -> Outcome<()> {
    let output = command.output()?;
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {output:?}").into()) }
}
