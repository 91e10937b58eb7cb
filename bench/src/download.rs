//! A whole profile download: the GSMA's test profile from our SM-DP+ onto our eUICC, through the PC/SC service.

use std::cell::RefCell;
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use vuicc_tests::reader::Reader;
use vuicc_tests::subscriber::{ts48, ts48_iccid};
use vuicc_tests::vuicc::{self, Card, SmDp};

use crate::figure::{Figure, Target};
use crate::reader::reader;
use crate::rounds::{medians, took};

const ROUNDS: usize = 5;

/// From starting the LPA's process to its end, for `vuicc lpa` and, where there is one, `lpac`; and what of that the
/// card spends between command and response.
pub(crate) fn profile() -> Result<Vec<Figure>, Box<dyn Error>> {
    let reader = reader()?;
    let folder = tempfile::tempdir()?;
    if ts48(folder.path(), 0).is_none() {
        return Ok(Vec::new());
    }
    let desk = RefCell::new(Desk::new(folder));
    let lpac = env::var_os("LPAC").map(PathBuf::from);

    let inserted = desk.borrow().card.insert(&reader, 0);
    let mut ours = || desk.borrow_mut().time(Desk::vuicc_lpa);
    let (ours, theirs) = if let Some(lpac) = &lpac {
        let mut theirs = || desk.borrow_mut().time(|desk, matching_id| desk.lpac(lpac, matching_id));
        let [ours, theirs] = medians(ROUNDS, [&mut ours, &mut theirs])?;
        (ours, Some(theirs))
    } else {
        let [ours] = medians(ROUNDS, [&mut ours])?;
        (ours, None)
    };
    drop(inserted);
    reader.wait_until_empty(0);
    let [card] = medians(ROUNDS, [&mut || desk.borrow_mut().time_within_card(&reader)])?;

    let whole = |name, value| Figure::new(name, value, "ms").target(Target::Below(500.0));
    let mut figures = vec![whole("download.vuicc_lpa", ours)];
    figures.extend(theirs.map(|theirs| whole("download.lpac", theirs).beside(ours, "vuicc lpa")));
    let card = Figure::new("download.within_the_card", card, "ms").target(Target::Below(30.0));
    figures.push(card.beside(ours, "the whole download"));
    Ok(figures)
}

/// One card, one server, and profiles that differ in their ICCIDs.
struct Desk {
    folder: TempDir,
    smdp: SmDp,
    card: Card,
    profiles: u8,
}

impl Desk {
    fn new(folder: TempDir) -> Self {
        let card = Card::new(folder.path(), &[]);
        let smdp = SmDp::serve(folder.path());
        Self { folder, smdp, card, profiles: 0 }
    }

    fn vuicc_lpa(&self, matching_id: &str) -> Command {
        let state = self.folder.path().join("state");
        let mut lpa = vuicc::command(&state, ["lpa", "--reader", Reader::FIRST, "profile", "download", "--yes"]);
        lpa.args(["--smdp", self.smdp.address(), "--matching-id", matching_id]);
        lpa
    }

    fn lpac(&self, program: &Path, matching_id: &str) -> Command {
        let mut lpac = Command::new(program);
        lpac.env("LPAC_APDU", "pcsc").env("LPAC_HTTP", "curl").env("LPAC_APDU_PCSC_DRV_IFID", "0");
        lpac.args(["profile", "download", "-s", self.smdp.address(), "-m", matching_id]);
        lpac
    }

    /// Milliseconds one download takes. Offering the profile before, and deleting it afterwards, do not count.
    fn time(&mut self, download: impl Fn(&Self, &str) -> Command) -> Result<f64, Box<dyn Error>> {
        self.profiles += 1;
        let package = ts48(self.folder.path(), self.profiles).ok_or("the test profile is gone")?;
        let matching_id = self.smdp.offer(&package, &[]);
        let mut download = download(self, &matching_id);
        let (took, outcome) = took(|| succeed(&mut download));
        outcome?;
        let (state, iccid) = (self.folder.path().join("state"), ts48_iccid(self.profiles));
        succeed(&mut vuicc::command(&state, ["lpa", "--reader", Reader::FIRST, "profile", "delete", &iccid]))?;
        Ok(took.as_secs_f64() * 1e3)
    }

    /// Milliseconds of one download between command and response, as the card's own trace has it.
    fn time_within_card(&mut self, reader: &Reader) -> Result<f64, Box<dyn Error>> {
        let trace = self.folder.path().join(format!("{}.json", self.profiles));
        let inserted = self.card.insert_with(reader, 0, &["--trace", trace.to_str().unwrap_or_default()]);
        self.time(Self::vuicc_lpa)?;
        drop(inserted);
        reader.wait_until_empty(0);

        let trace = fs::read_to_string(trace)?;
        let events: Vec<Value> = trace.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let mut sessions = events.split(|event| event["event"] == "power_on");
        // The download is the first time anybody says something to the card; then it is deleted again.
        let micros = |session: &[Value]| session.iter().filter_map(|event| event["micros"].as_f64()).sum::<f64>();
        let download = sessions.find(|session| session.iter().any(|event| event["event"] == "exchange"));
        Ok(micros(download.ok_or("the card's trace is empty")?) / 1e3)
    }
}

fn succeed(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command.output()?;
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {output:?}").into()) }
}
