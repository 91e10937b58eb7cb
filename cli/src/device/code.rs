//! A code sent to one device, on its way to another: shown as a QR code, and scanned.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use device::entitlement::client::PageOutcome;
use device::entitlement::{Message, Page, User};
use device::event::{Event, Party, What};
use device::one_time_code::OneTimeCode;
use identities::Msisdn;

use super::person::Person;
use crate::Context;
use crate::failure::Failure;
use crate::output::tell;
use crate::qr;

/// Interval between two looks at the pictures.
const GLANCE: Duration = Duration::from_millis(250);

/// How a received code is shown to the device it is for.
#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// Show a received code as a QR code too, for a new device to scan
    #[arg(long)]
    qr: bool,
    /// Write it to this file, .png or .svg; the latest one is kept
    #[arg(long, value_name = "FILE")]
    qr_file: Option<PathBuf>,
}

impl ShowArguments {
    const fn is_wanted(&self) -> bool {
        self.qr || self.qr_file.is_some()
    }

    /// Refuses what could not be shown, before a code arrives.
    pub(super) fn check(&self, msisdn: Option<&Msisdn>) -> Result<(), Failure> {
        if self.is_wanted() && msisdn.is_none() {
            let advice = "the card does not contain its number, which the QR code needs; pass it with --msisdn";
            return Err(Failure::because(advice));
        }
        self.qr_file.as_deref().map_or(Ok(()), qr::check_name)
    }

    /// Shows the code in a message to `msisdn`, if there is one and it is to be shown.
    pub(super) fn show(
        &self,
        msisdn: Option<&Msisdn>,
        text: &str,
        context: &Context,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(), Failure> {
        let msisdn = msisdn.filter(|_| self.is_wanted());
        let Some(code) = msisdn.and_then(|msisdn| OneTimeCode::in_message(msisdn, text)) else { return Ok(()) };
        let code = qr::of(&code.qr_text())?;
        if self.qr {
            context.output.drawing(&qr::for_terminal(&code, context.output.is_on_a_screen()))?;
        }
        if let Some(path) = &self.qr_file {
            qr::write(&code, path)?;
        }
        tell(Event::new(Party::Primary, Party::Person, What::CodeShown));
        Ok(())
    }
}

/// A user who holds the other device up to this one's camera, for codes.
pub(super) struct Scanning<'a> {
    person: Person,
    /// Pictures, one of which will contain the code sooner or later.
    pictures: &'a [PathBuf],
    timeout: Duration,
    /// Codes that were tried and refused.
    tried: Vec<OneTimeCode>,
    /// Whether the picture on standard input has been read: it can be read once.
    input_seen: bool,
}

impl<'a> Scanning<'a> {
    /// Polls `pictures` until one has a code, for no longer than `timeout`.
    pub(super) const fn new(person: Person, pictures: &'a [PathBuf], timeout: Duration) -> Self {
        Self { person, pictures, timeout, tried: Vec::new(), input_seen: false }
    }

    /// The code in one of the pictures; reports once what is wrong with the others.
    fn look(&mut self, msisdn: &Msisdn, complaints: &mut Vec<String>) -> Option<OneTimeCode> {
        for picture in self.pictures {
            let is_there =
                if is_input(picture) { !std::mem::replace(&mut self.input_seen, true) } else { picture.exists() };
            if !is_there {
                continue;
            }
            let texts = match qr::scan(picture) {
                Ok(texts) => texts,
                Err(failure) => {
                    complain(complaints, failure);
                    continue;
                }
            };
            for text in texts {
                match OneTimeCode::scanned(&text, msisdn) {
                    Ok(code) if !self.tried.contains(&code) => return Some(code),
                    Ok(_) => complain(complaints, Failure::because("that code was refused; wait for the next one")),
                    Err(error) => {
                        let named = Failure::from(error).while_doing(&picture.display().to_string());
                        complain(complaints, named);
                    }
                }
            }
        }
        None
    }
}

/// Whether this is standard input, which can be read once.
fn is_input(picture: &Path) -> bool {
    picture.as_os_str() == "-"
}

fn complain(complaints: &mut Vec<String>, failure: Failure) {
    let Failure::Because(text) = failure else { return };
    if !complaints.iter().any(|told| text == **told) {
        tell(&format!("vuicc: {text}"));
        complaints.push(text.into());
    }
}

impl User for Scanning<'_> {
    fn one_time_code(&mut self, msisdn: &Msisdn, after_a_wrong_one: bool) -> Option<String> {
        if self.pictures.is_empty() {
            return self.person.one_time_code(msisdn, after_a_wrong_one);
        }
        self.person.scans(msisdn, after_a_wrong_one);
        let (end, mut complaints) = (Instant::now() + self.timeout, Vec::new());
        loop {
            if let Some(code) = self.look(msisdn, &mut complaints) {
                let digits = code.code().to_owned();
                self.tried.push(code);
                return Some(digits);
            }
            if self.pictures.iter().all(|picture| is_input(picture)) || Instant::now() > end {
                tell(&format!("vuicc: no picture contains the code for +{msisdn}; without --scan it can be typed in"));
                return None;
            }
            std::thread::sleep(GLANCE);
        }
    }

    fn open_page(&mut self, page: &Page) -> PageOutcome {
        self.person.open_page(page)
    }

    fn message(&mut self, message: &Message) -> (bool, Option<String>) {
        self.person.message(message)
    }
}
