//! What happens to a card, explained while it happens: the last of it is kept, and all who listen hear it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use decode::Decoder;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::handle::Seen;

/// Octets of messages that are kept for pages that come later; the oldest go.
const KEPT: usize = 4 * 1024 * 1024;
/// Messages that are kept at most.
const MESSAGES: usize = 2_000;
/// Octets of one message: of a longer exchange only the first line is told.
const LONGEST: usize = 64 * 1024;
/// Messages that a listener may be late with.
const LATE: usize = 1_024;

/// One message: its number, from 1 without gaps, and its text, JSON.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number.
    pub number: u64,
    /// Its text.
    pub text: Arc<str>,
}

/// The messages.
#[derive(Debug)]
pub struct Stream {
    told: broadcast::Sender<Message>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    decoder: Decoder,
    number: u64,
    messages: VecDeque<Message>,
    octets: usize,
}

impl Default for Stream {
    fn default() -> Self {
        Self { told: broadcast::channel(LATE).0, kept: Mutex::default() }
    }
}

impl Stream {
    /// Explains an event and tells it.
    pub fn see(&self, seen: &Seen) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let decoded = kept.decoder.recorded(&seen.event.what);
        let mut event = decode::json::event(&decoded);
        if let Some(object) = event.as_object_mut() {
            object.insert("by".into(), seen.by.name().into());
            object.insert("at".into(), seen.event.at.map_or_else(now, |at| at.as_secs_f64()).into());
            if let Some(took) = seen.event.took {
                object.insert("micros".into(), u64::try_from(took.as_micros()).unwrap_or(u64::MAX).into());
            }
            object.insert("kind".into(), "apdu".into());
        }
        if event.to_string().len() > LONGEST
            && let Some(object) = event.as_object_mut()
        {
            object.insert("fields".into(), json!([]));
            object.insert("cut".into(), true.into());
        }
        self.put(&mut kept, event);
    }

    /// Tells that events were missed: the decoder starts anew.
    pub fn lost(&self, why: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.decoder = Decoder::new();
        self.put(&mut kept, json!({ "kind": "lost", "at": now(), "why": why }));
    }

    /// Tells what has changed in the card's memory.
    pub fn changed(&self, changes: &[Value]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(&mut kept, json!({ "kind": "changes", "at": now(), "changes": changes }));
    }

    /// Tells that the card's state is another one: in or out, with or without power.
    pub fn state(&self, state: &Value) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(&mut kept, json!({ "kind": "state", "at": now(), "state": state }));
    }

    fn put(&self, kept: &mut Kept, mut message: Value) {
        kept.number += 1;
        if let Some(object) = message.as_object_mut() {
            object.insert("id".into(), kept.number.into());
        }
        // What steers how a text is read stands in it as escapes.
        let text: Arc<str> = harmless(&message.to_string()).into();
        kept.octets += text.len();
        let message = Message { number: kept.number, text };
        kept.messages.push_back(message.clone());
        while kept.messages.len() > MESSAGES || kept.octets > KEPT {
            let Some(oldest) = kept.messages.pop_front() else { break };
            kept.octets -= oldest.text.len();
        }
        // Nobody may listen.
        let _ = self.told.send(message);
    }

    /// What was told after the message of this number and is kept, and what will be.
    pub fn listen(&self, after: u64) -> (Vec<Message>, broadcast::Receiver<Message>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = kept.messages.iter().filter(|message| message.number > after).cloned().collect();
        (missed, self.told.subscribe())
    }
}

/// JSON whose strings show characters that no page is to have as they are, as escapes that are read by people.
pub(crate) fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if printable::steers(character) {
            // Writing to a string does not fail.
            let _ = write!(text, "\\\\u{{{:x}}}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::By;

    fn exchange(by: By, command: &[u8]) -> Seen {
        Seen { by, event: capture::Event::exchange(command, [0x90, 0x00]) }
    }

    #[test]
    fn late_listeners_get_what_is_kept() {
        let stream = Stream::default();
        stream.see(&exchange(By::Host, &[0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00]));
        stream.changed(&[json!({ "what": "x" })]);
        let (missed, mut more) = stream.listen(1);
        assert_eq!(missed.len(), 1);
        assert!(missed[0].text.contains("\"changes\""));
        stream.see(&exchange(By::Owner, &[0x00, 0xB0, 0x00, 0x00, 0x00]));
        let told = more.try_recv().unwrap();
        assert!(told.number == 3 && told.text.contains("\"by\":\"page\""), "{}", told.text);
    }

    #[test]
    fn pins_are_not_told() {
        let stream = Stream::default();
        stream
            .see(&exchange(By::Owner, &[0x01, 0x20, 0x00, 0x0A, 0x08, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38]));
        let (kept, _) = stream.listen(0);
        assert!(!kept[0].text.contains("3132") && kept[0].text.contains("\"secret_bytes\":8"), "{}", kept[0].text);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let stream = Stream::default();
        for _ in 0..MESSAGES + 5 {
            stream.see(&exchange(By::Host, &[0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00]));
        }
        let (kept, _) = stream.listen(0);
        assert_eq!((kept.len(), kept[0].number), (MESSAGES, 6));
    }

    #[test]
    fn a_name_cannot_steer() {
        let shown = harmless("\"a\u{202e}b\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), "a\\u{202e}b");
    }
}
