//! The operator as a modem's network: attached with the card, over HTTPS, as a phone without a radio (`/mt/v1`).
//!
//! ```text
//! modem ── Request ──► radio ── attach, send, acknowledge ──► operator
//!   ▲                    │ starts, tells what was acknowledged
//!   └───── Event ─────── paging ◄── waits for messages ──────────┘
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use device::event::Party;
use device::http::HttpsClient;
use device::mt::{Attachment, MtClient, MtError, Sent};
use device::usim::{Authenticator, GsmAnswer, UmtsAnswer, UsimError};
use identities::Imsi;
use modem::network::{Event, Request, What};
use mt::Acknowledgement;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{Output, beside};
use crate::random;

/// How long the operator is asked to hold a request until there is a message.
const HELD: Duration = Duration::from_secs(25);
/// How long the card may take with a challenge.
const CARD: Duration = Duration::from_secs(30);
/// RP-Cause: network out of order. TS 24.011 §8.2.5.4.
const OUT_OF_ORDER: u8 = mt::cause::NETWORK_OUT_OF_ORDER;

/// Where the modem hears of events.
pub(super) type Hear = Arc<dyn Fn(Event) + Send + Sync>;

/// The network, as the modem asks it.
pub(super) struct Network {
    requests: Sender<Request>,
    /// What the card says to challenges.
    answers: Sender<Option<UmtsAnswer>>,
}

/// What both threads have.
#[derive(Clone)]
struct Line {
    http: HttpsClient,
    base: String,
    hear: Hear,
}

impl Network {
    /// Starts it. Nothing is sent before the modem asks for something.
    pub(super) fn start(base: String, http: HttpsClient, hear: Hear, teller: Teller) -> Result<Self, Failure> {
        let ((requests, asked), (answers, answered)) = (channel(), channel());
        let line = Line { http, base, hear };
        let radio = Radio { line, teller, answered, attachment: None };
        thread::Builder::new().name("radio".to_owned()).spawn(move || radio.run(&asked))?;
        Ok(Self { requests, answers })
    }

    /// Takes a request. Its outcome is an event.
    pub(super) fn ask(&self, request: Request) {
        // The thread lasts as long as this.
        let _ = match request {
            Request::Answer(answer) => self.answers.send(answer).is_ok(),
            request => self.requests.send(request).is_ok(),
        };
    }
}

/// Tells the user whether there is a network.
pub(super) struct Teller {
    pub(super) output: Output,
    /// What the card is called.
    pub(super) card: String,
}

impl Teller {
    fn tell(&self, base: &str, event: &str, cause: Option<&MtError>) {
        let cause = cause.map(ToString::to_string);
        beside(self.output.json(&json!({ "card": self.card, "operator": base, "event": event, "cause": cause })));
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        beside(self.output.text(format_args!("{} at {base}: {event}{cause}", self.card)));
    }
}

/// An attachment, and what tells its paging what was acknowledged.
struct Attached {
    attempt: u64,
    attachment: Attachment,
    acknowledged: Sender<String>,
}

struct Radio {
    line: Line,
    teller: Teller,
    answered: Receiver<Option<UmtsAnswer>>,
    attachment: Option<Attached>,
}

impl Radio {
    fn run(mut self, asked: &Receiver<Request>) {
        let mut last_told = None;
        while let Ok(request) = asked.recv() {
            match request {
                Request::Attach { attempt, imsi, mnc_length } => {
                    self.attachment = None;
                    let outcome = self.attach(attempt, &imsi, mnc_length);
                    let (event, what) = match &outcome {
                        Ok(()) => ("registered", What::Attached),
                        Err(MtError::NotAuthenticated) => ("refused", What::Refused),
                        Err(_) => ("unreachable", What::Lost),
                    };
                    let cause = outcome.err();
                    // Not at every try.
                    if last_told != Some((event, cause.clone())) {
                        self.teller.tell(&self.line.base, event, cause.as_ref());
                        last_told = Some((event, cause));
                    }
                    self.line.hear(attempt, what);
                    self.page();
                }
                Request::Detach => self.attachment = None,
                Request::Submit { number, tpdu } => self.submit(number, &tpdu),
                Request::Report { id, cause } => self.report(id, cause),
                Request::MemoryAvailable => {
                    self.with(|client, attachment| client.memory_available(attachment).map(drop));
                }
                Request::Answer(_) => {}
            }
        }
    }

    fn attach(&mut self, attempt: u64, imsi: &str, mnc_length: usize) -> Result<(), MtError> {
        let Ok(imsi) = imsi.parse::<Imsi>() else { return Err(MtError::NotAuthenticated) };
        // Answers to a challenge that was given up.
        while self.answered.try_recv().is_ok() {}
        let mut card = Card { attempt, hear: Arc::clone(&self.line.hear), answered: &self.answered };
        let attachment = self.line.clone().ask(|client| client.attach_as(&imsi, mnc_length, &mut card))?;
        let (acknowledged, _) = channel();
        self.attachment = Some(Attached { attempt, attachment, acknowledged });
        Ok(())
    }

    /// Begins to wait for messages.
    fn page(&mut self) {
        let Some(Attached { attempt, attachment, acknowledged }) = &mut self.attachment else { return };
        let (sender, receiver) = channel();
        *acknowledged = sender;
        let paging = Paging {
            line: self.line.clone(),
            attempt: *attempt,
            attachment: attachment.clone(),
            acknowledged: receiver,
        };
        // Without it no messages come; the next attempt starts one.
        if thread::Builder::new().name("paging".to_owned()).spawn(move || paging.run()).is_err() {
            self.lose();
        }
    }

    fn submit(&mut self, number: u64, tpdu: &[u8]) {
        let mut refusal = Some(OUT_OF_ORDER);
        let attempt = self.attachment.as_ref().map(|attached| attached.attempt);
        self.with(|client, attachment| {
            refusal = match client.submit(attachment, tpdu)? {
                Sent::Accepted => None,
                Sent::Refused(cause) => Some(cause),
            };
            Ok(())
        });
        if let Some(attempt) = attempt {
            self.line.hear(attempt, What::Submitted { number, refusal });
        }
    }

    fn report(&mut self, id: String, cause: Option<u8>) {
        let report = Acknowledgement { delivered: cause.is_none(), cause };
        self.with(|client, attachment| client.report(attachment, &id, report));
        if let Some(attached) = &self.attachment {
            // The paging may have ended.
            let _ = attached.acknowledged.send(id);
        }
    }

    /// Does something with the attachment; an attachment that has ended, or an operator that is gone, is lost.
    fn with(&mut self, act: impl FnOnce(&mut MtClient<'_>, &Attachment) -> Result<(), MtError>) {
        let Some(Attached { attachment, .. }) = &self.attachment else { return };
        let attachment = attachment.clone();
        if self.line.clone().ask(|client| act(client, &attachment)).is_err() {
            self.lose();
        }
    }

    fn lose(&mut self) {
        if let Some(Attached { attempt, .. }) = self.attachment.take() {
            self.line.hear(attempt, What::Lost);
        }
    }
}

impl Line {
    fn hear(&self, attempt: u64, what: What) {
        (self.hear)(Event { attempt, what });
    }

    fn ask<R>(&mut self, act: impl FnOnce(&mut MtClient<'_>) -> Result<R, MtError>) -> Result<R, MtError> {
        let (mut fill, mut tell) = (random::fill, |_| {});
        act(&mut MtClient::new(&mut self.http, &self.base, &mut fill, &mut tell, Party::Primary))
    }
}

/// Waits for messages.
struct Paging {
    line: Line,
    attempt: u64,
    attachment: Attachment,
    acknowledged: Receiver<String>,
}

impl Paging {
    /// Until the attachment has ended.
    fn run(mut self) {
        loop {
            let attachment = self.attachment.clone();
            let Ok(messages) = self.line.ask(|client| client.messages(&attachment, HELD)) else {
                return self.line.hear(self.attempt, What::Lost);
            };
            let mut waiting = BTreeSet::new();
            for message in messages {
                // What is no octets is refused by the modem, like any message it cannot read.
                let tpdu = hex::decode(&message.tpdu).unwrap_or_default();
                waiting.insert(message.id.clone());
                // Its number is told without the sign of one in international form.
                let centre = format!("+{}", message.smsc.trim_start_matches('+'));
                self.line.hear(self.attempt, What::Message { id: message.id, centre, tpdu });
            }
            // Until then the operator would hand out the same ones.
            while !waiting.is_empty() {
                let Ok(id) = self.acknowledged.recv() else { return };
                waiting.remove(&id);
            }
        }
    }
}

/// The card, by way of the modem.
struct Card<'a> {
    attempt: u64,
    hear: Hear,
    answered: &'a Receiver<Option<UmtsAnswer>>,
}

impl Authenticator for Card<'_> {
    fn umts(&mut self, rand: &[u8; 16], autn: &[u8; 16]) -> Result<UmtsAnswer, UsimError> {
        (self.hear)(Event { attempt: self.attempt, what: What::Challenge { rand: *rand, autn: *autn } });
        let answer = self.answered.recv_timeout(CARD).ok().flatten();
        answer.ok_or(UsimError::Damaged("the answer to AUTHENTICATE"))
    }

    fn gsm(&mut self, _: &[u8; 16]) -> Result<GsmAnswer, UsimError> {
        Err(UsimError::Damaged("the answer to AUTHENTICATE"))
    }
}
