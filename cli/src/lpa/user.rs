//! The user at the terminal: sees progress, is asked for consent and codes.

use std::io::{self, IsTerminal};

use lpa::{Decision, Offer, Progress, User};
use serde_json::json;

use crate::failure::line;
use crate::output::{Output, beside, count, tell, tell_over, within_a_line};
use crate::question;

/// Progress goes to stderr as text, or to stdout as JSON; questions are asked at a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    output: Output,
    agrees: bool,
    shows: Shows,
}

/// Which progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    All,
    /// Long waits, as text.
    Waits,
    #[cfg(feature = "operator")]
    Nothing,
}

impl Terminal {
    /// `agrees` to everything, or is asked.
    pub(crate) const fn new(output: Output, agrees: bool) -> Self {
        Self { output, agrees, shows: Shows::All }
    }

    /// Shows no progress.
    #[cfg(feature = "operator")]
    pub(crate) const fn silent(self) -> Self {
        Self { shows: Shows::Nothing, ..self }
    }

    /// Shows long waits as text, and no other progress.
    pub(crate) const fn waits_only(self) -> Self {
        Self { shows: Shows::Waits, ..self }
    }
}

impl User for Terminal {
    fn progress(&mut self, event: Progress<'_>, apdus: u64) {
        let is_wait = matches!(event, Progress::NotificationSending { .. } | Progress::NotificationDelayed { .. });
        let is_shown = match self.shows {
            Shows::All => true,
            Shows::Waits => is_wait && !self.output.is_json(),
            #[cfg(feature = "operator")]
            Shows::Nothing => false,
        };
        if !is_shown {
            return;
        }
        let (kind, told) = words(&event);
        if self.output.is_json() {
            // A reader that is gone does not need progress.
            beside(self.output.json(&json!({ "event": "progress", "kind": kind, "text": told, "apdus": apdus })));
            return;
        }
        match event {
            // A counting line, if there is a screen to overwrite it on; otherwise its last state.
            Progress::Loaded { piece, of } if piece < of => {
                if io::stderr().is_terminal() {
                    count(&format!("  {told}"));
                }
            }
            Progress::Loaded { .. } if io::stderr().is_terminal() => tell_over(&format!("  {told}")),
            _ => tell(&format!("  {told}")),
        }
    }

    fn consent(&mut self, offer: Offer<'_>) -> Decision {
        if self.agrees {
            return Decision::Accept;
        }
        let rules = if offer.rules_to_agree_to.is_empty() {
            String::new()
        } else {
            format!(
                " It carries rules: {} (ppr1: cannot be disabled, ppr2: cannot be deleted).",
                offer.rules_to_agree_to
            )
        };
        let name = within_a_line(&offer.metadata.profile_name);
        let provider = within_a_line(&offer.metadata.service_provider_name);
        loop {
            let is_seen = question::is_at_a_terminal();
            let choice = if is_seen { "[Y/n/later]" } else { "[y/n/later]" };
            match question::ask(&format!("Install “{name}” of {provider}?{rules} {choice}")) {
                None => {
                    tell("  nobody is there to agree; use --yes to agree in advance");
                    return Decision::Postpone;
                }
                Some(answer) => match decision(&answer, is_seen) {
                    Some(decision) => return decision,
                    // The answer may have been meant for something else: a line pasted after the command.
                    None => tell("  y, n or later?"),
                },
            }
        }
    }

    fn confirmation_code(&mut self, after_a_wrong_one: bool) -> Option<String> {
        let wrong = if after_a_wrong_one { "That was not it. " } else { "" };
        question::ask(&format!("{wrong}Confirmation code:")).filter(|code| !code.is_empty())
    }
}

/// The kind of a step, and its words: the way out too, where it is an error.
fn words(event: &Progress<'_>) -> (&'static str, String) {
    match event {
        Progress::Card(function) => ("card", format!("eUICC: {function}")),
        Progress::Server { function, address } => ("server", format!("{address}: {function}")),
        Progress::Metadata(metadata) => {
            ("metadata", format!("offered: {} ({})", metadata.profile_name, metadata.service_provider_name))
        }
        Progress::Loaded { piece, of } => ("loaded", format!("loaded {piece} of {of}")),
        Progress::Cancel(reason) => ("cancel", format!("cancelling: {reason}")),
        Progress::NotificationSending { seq_number, event, address, within } => {
            let at_most = within.map(|within| format!(", up to {} s", within.as_secs_f64().ceil()));
            let text = format!("reporting {event} ({seq_number}) to {address}{}", at_most.unwrap_or_default());
            ("notification_sending", text)
        }
        Progress::NotificationDelayed { seq_number, address, cause, pause } => {
            let pause = pause.as_secs();
            let cause = line(*cause);
            let text = format!("{seq_number} not reported to {address} yet: {cause}; next try in {pause} s");
            ("notification_delayed", text)
        }
        Progress::NotificationSent { seq_number, event, address } => {
            ("notification_sent", format!("reported {event} ({seq_number}) to {address}"))
        }
        Progress::NotificationFailed { seq_number, address, cause } => (
            "notification_failed",
            format!("could not report {seq_number} to {address}: {}; it stays on the eUICC", line(*cause)),
        ),
        Progress::NotificationHeldBack { seq_number, address } => (
            "notification_failed",
            format!(
                "could not report {seq_number} to {address}: an earlier one for the same server was not delivered; \
                 it stays on the eUICC"
            ),
        ),
    }
}

/// The decision; `None` if the answer does not tell. Pressing Enter at a terminal agrees, an empty line from a pipe
/// means nothing.
fn decision(answer: &str, is_seen: bool) -> Option<Decision> {
    match answer.to_lowercase().as_str() {
        "" if is_seen => Some(Decision::Accept),
        "y" | "yes" => Some(Decision::Accept),
        "n" | "no" => Some(Decision::Reject),
        "l" | "later" => Some(Decision::Postpone),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lpa::{ServerError, TimeLimit};
    use std::time::Duration;

    #[test]
    fn an_error_comes_with_its_way_out() {
        console::failure::advise(crate::way_out::of);
        let slow =
            ServerError::TooSlow { address: "op.example".into(), limit: TimeLimit::Report { share: 5, whole: 60 } };
        let option = ", or allow more time with --notification-timeout; ";
        let (seq_number, address, pause) = (7, "op.example", Duration::from_secs(1));
        let (_, told) = words(&Progress::NotificationDelayed { seq_number, address, cause: &slow, pause });
        assert!(told.ends_with(&format!("{option}next try in 1 s")), "{told}");
        let (kind, told) = words(&Progress::NotificationFailed { seq_number, address, cause: &slow.into() });
        assert_eq!(kind, "notification_failed");
        assert!(told.ends_with(&format!("{option}it stays on the eUICC")), "{told}");
    }

    #[test]
    fn what_is_no_answer_decides_nothing() {
        for (answer, decided) in [
            ("", Some(Decision::Accept)),
            ("Y", Some(Decision::Accept)),
            ("no", Some(Decision::Reject)),
            ("later", Some(Decision::Postpone)),
            ("vuicc operator order list", None),
            ("yy", None),
        ] {
            assert_eq!(decision(answer, true), decided, "{answer}");
        }
        assert_eq!((decision("", false), decision("y", false)), (None, Some(Decision::Accept)));
    }
}
