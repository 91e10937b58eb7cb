//! Ten thousand eUICCs in one process: until each has answered, what they cost after each was enabled and written to, and
//! how many downloads a second they make.

use std::error::Error;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;

use lpa::{Euicc, Options};
use rsp::es10c::ProfileIdentifier;
use serde_json::Value;
use vuicc_tests::fleet::{Fleet, Running};
use vuicc_tests::process::run;
use vuicc_tests::subscriber::{TS48_AS_PUBLISHED, package, subscriber, ts48};
use vuicc_tests::vuicc::{SmDp, command, json_lines};

use crate::figure::{Figure, Target};
use crate::processors::on_two;

const CARDS: usize = 10_000;
/// Clients at a time.
const CLIENTS: usize = 16;
/// Cards that download.
const DOWNLOADS: usize = 1_000;

/// `vuicc fleet run`, from its start until every card has answered GetEID, and its memory after each was enabled and written to.
pub(crate) fn ten_thousand() -> Result<Vec<Figure>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let Some(package) = ts48(folder.path(), TS48_AS_PUBLISHED) else { return Ok(Vec::new()) };
    let package = package.to_str().ok_or("a plain path")?;
    let figures = on_two(|| {
        let fleet = Fleet::new(folder.path(), CARDS, &["--profile", package, "--disabled"]);
        let running = fleet.run(&[]);
        let ready = running.process.log().lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            line["seconds"].as_f64().filter(|_| line["event"] == "ready")
        });
        use_each(&fleet, &running)?;
        let memory = resident_mebibytes(running.process.id())?;
        Ok([ready.ok_or("it is not ready")?, memory])
    })?;
    let [ready, memory] = figures;
    Ok(vec![
        Figure::new("fleet.ready", ready, "s").target(Target::Below(30.0)),
        Figure::new("fleet.resident_memory", memory, "MiB").target(Target::Below(4_096.0)),
    ])
}

/// Enables each card's profile, and gives it a name.
fn use_each(fleet: &Fleet, running: &Running) -> Result<(), String> {
    let waiting = Mutex::new(fleet.cards.iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let used = |card: &Value| -> Result<(), Box<dyn Error>> {
        let text = |name: &str| card[name].as_str().ok_or("no such entry");
        let mut euicc = Euicc::open(running.connect(text("eid")?), Options::default())?;
        let iccid: identities::Iccid = text("iccid")?.parse()?;
        euicc.enable_profile(ProfileIdentifier::Iccid(iccid.clone()), true)?;
        Ok(euicc.set_nickname(iccid, "used")?)
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(card) = next() {
                        used(card).map_err(|error| error.to_string())?;
                    }
                    Ok(())
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client stopped".to_owned())?)
    })
}

fn resident_mebibytes(process: u32) -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    Ok(kibibytes.ok_or("the kernel does not say how much memory a process has")?.parse::<f64>()? / 1024.0)
}

/// `vuicc fleet load` against `vuicc smdp serve`, two processes, all on the disk.
pub(crate) fn load() -> Result<Vec<Figure>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let rate = on_two(|| {
        let fleet = Fleet::new(folder.path(), DOWNLOADS, &["--no-profile"]);
        let smdp = SmDp::serve(folder.path());
        let many = smdp.offer(&package(folder.path(), &subscriber(1)), &["--reusable"]);
        let mut load = command(&folder.path().join("state"), ["fleet", "load", "--json", "--smdp", smdp.address()]);
        let done = run(load.arg(fleet.folder()).args(["--matching-id", &many])).success();
        let report = json_lines(&done).into_iter().find(|line| line["event"] == "report").ok_or("no report")?;
        Ok(report["per_second"].as_f64().ok_or("no rate")?)
    })?;
    Ok(vec![Figure::new("fleet.downloads_per_second", rate, "1/s").target(Target::AtLeast(50.0))])
}
