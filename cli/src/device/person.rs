//! The user of a device: compares digits, enters codes, opens pages.

use std::path::Path;

use device::entitlement::client::PageOutcome;
use device::entitlement::{Message, Page, User};
use device::secondary::{Owner, Removal};
use identities::{Iccid, Msisdn};
use lpa::{Decision, Offer, Progress};
use pairing::lan::COMPARISON;
use pairing::{IsWanted, Question};
use serde_json::json;

use crate::failure::Failure;
use crate::lpa::user::Terminal;
use crate::output::{Output, beside, tell};
use crate::qr;
use crate::question::{ask, ask_while, is_yes};

/// The user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    output: Output,
    agrees: bool,
    /// Digits need no comparison. `--yes` does not include that: comparing them is what keeps strangers out of a
    /// pairing.
    compares_nothing: bool,
}

impl Person {
    pub(super) const fn new(output: Output, agrees: bool) -> Self {
        Self { output, agrees, compares_nothing: false }
    }

    /// A user who accepts digits without comparing them, or not.
    pub(super) const fn who_compares_nothing(self, nothing: bool) -> Self {
        Self { compares_nothing: nothing, ..self }
    }

    /// Whether the other device shows the same digits; the question is withdrawn when the answer is no longer `wanted`.
    pub(super) fn compare(self, question: &Question, wanted: IsWanted<'_>) -> bool {
        self.tell(&json!({ "event": "digits", "name": question.name, "digits": question.digits.to_string() }));
        let same = format!("“{}” shows {}: the same digits as here? [y/N]", question.name, question.digits);
        // The other side times out as well, and other peers may be waiting.
        let agreed = self.compares_nothing || is_yes(ask_while(&same, COMPARISON, wanted).as_deref());
        if !wanted() {
            // With JSON a program asks in our place, and withdraws its own question; the caller reports why.
            self.tell(&json!({ "event": "digits_withdrawn", "name": question.name }));
            return false;
        }
        if agreed && !self.output.is_json() {
            tell(&format!("waiting for the user of “{}”", question.name));
        }
        agreed
    }

    /// The code is not typed in but scanned.
    pub(super) fn scans(self, msisdn: &Msisdn, after_a_wrong_one: bool) {
        self.tell(&json!({ "event": "code", "msisdn": msisdn.to_string(), "after_a_wrong_one": after_a_wrong_one }));
        let wrong = if after_a_wrong_one { "That was not it. " } else { "" };
        tell(&format!("{wrong}A code was sent to +{msisdn}; waiting for a picture of its QR code"));
    }

    /// Whether to delete a profile that is out of use; not, if nobody answers.
    pub(super) fn deletes(self, iccid: &Iccid) -> bool {
        let question = format!("Profile {iccid} is out of use and disabled. Delete it from this device? [y/N]");
        self.agrees || is_yes(ask(&question).as_deref())
    }

    fn tell(self, object: &serde_json::Value) {
        // A reader that is gone does not need questions.
        beside(self.output.json(object));
    }
}

impl User for Person {
    fn one_time_code(&mut self, msisdn: &Msisdn, after_a_wrong_one: bool) -> Option<String> {
        self.tell(&json!({ "event": "code", "msisdn": msisdn.to_string(), "after_a_wrong_one": after_a_wrong_one }));
        let wrong = if after_a_wrong_one { "That was not it. " } else { "" };
        ask(&format!("{wrong}The code that was sent to +{msisdn}:")).filter(|code| !code.is_empty())
    }

    fn open_page(&mut self, page: &Page) -> PageOutcome {
        self.tell(&json!({ "event": "page", "url": page.address() }));
        loop {
            tell("The operator has a page for you:");
            tell(&format!("  {}", page.address()));
            tell("Open it in a browser, then press Enter here; n to decline;");
            let answer = ask("or enter the activation code it shows, or the file name of a picture of its QR code:");
            match answered(answer.as_deref()) {
                Ok(outcome) => return outcome,
                // Reported; ask once more.
                Err(failure) => failure.tell(),
            }
        }
    }

    fn message(&mut self, message: &Message) -> (bool, Option<String>) {
        self.tell(&json!({ "event": "message", "title": message.title, "text": message.text }));
        tell(&message.title);
        message.text.lines().for_each(tell);
        if let Some(hint) = &message.free_text {
            let text = ask(&format!("{hint}:")).filter(|text| !text.is_empty());
            return (text.is_some(), text);
        }
        if self.agrees {
            return (true, None);
        }
        let accept = message.accept.as_deref().unwrap_or("OK");
        (is_yes(ask(&format!("{accept}? [y/N]")).as_deref()), None)
    }
}

/// The result of a page, from the user's answer; an unknown answer does not end it.
fn answered(answer: Option<&str>) -> Result<PageOutcome, Failure> {
    Ok(match answer {
        None | Some("n" | "N" | "no") => PageOutcome::Dismissed,
        Some("" | "y" | "Y" | "yes") => PageOutcome::Finished,
        // The page itself may have shown one.
        Some(code) if code.contains("1$") => PageOutcome::ActivationCode(code.to_owned()),
        Some(picture) => PageOutcome::ActivationCode(qr::scan_activation_code(Path::new(picture))?.to_string()),
    })
}

/// The user of a device with an eUICC.
pub(crate) struct EuiccOwner {
    terminal: Terminal,
    person: Person,
}

impl EuiccOwner {
    /// `agrees` to everything except the removal of profiles that the primary did not install, or is asked.
    pub(crate) const fn new(output: Output, agrees: bool) -> Self {
        Self { terminal: Terminal::new(output, agrees).silent(), person: Person::new(output, agrees) }
    }
}

impl Owner for EuiccOwner {
    fn remove(&mut self, removal: &Removal) -> bool {
        let Removal { iccid, name, enabled, came_from_primary } = removal;
        self.person.tell(&json!({
            "event": "removal", "iccid": iccid.to_string(), "name": name, "enabled": enabled,
            "came_from_primary": came_from_primary,
        }));
        let name = name.as_deref().unwrap_or("without a name");
        let state = if *enabled { ", which is in use" } else { "" };
        if *came_from_primary {
            let question = format!("The primary wants profile “{name}” ({iccid}) removed{state}. Remove it? [y/N]");
            return self.person.agrees || is_yes(ask(&question).as_deref());
        }
        let question = format!(
            "The primary wants profile “{name}” ({iccid}) removed{state}, which it did not install. Remove it anyway? [y/N]"
        );
        is_yes(ask(&question).as_deref())
    }
}

impl lpa::User for EuiccOwner {
    fn progress(&mut self, event: Progress<'_>, apdus: u64) {
        self.terminal.progress(event, apdus);
    }

    fn consent(&mut self, offer: Offer<'_>) -> Decision {
        self.terminal.consent(offer)
    }

    fn confirmation_code(&mut self, after_a_wrong_one: bool) -> Option<String> {
        self.terminal.confirmation_code(after_a_wrong_one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_answer_is_no_end_of_a_page() {
        let said = |answer| answered(answer).ok();
        assert_eq!((said(None), said(Some("n"))), (Some(PageOutcome::Dismissed), Some(PageOutcome::Dismissed)));
        assert_eq!(said(Some("")), Some(PageOutcome::Finished));
        assert_eq!(said(Some("LPA:1$a$b")), Some(PageOutcome::ActivationCode("LPA:1$a$b".into())));
        assert_eq!((said(Some("lettre.png")), said(Some("what?"))), (None, None));
    }
}
