//! What lpac's driver `stdio` asks, and the answers: a line of JSON each.
//!
//! ```text
//! {"type":"apdu","payload":{"func":"connect","param":null}}               {"type":"apdu","payload":{"ecode":0}}
//! {"type":"apdu","payload":{"func":"logic_channel_open","param":"A0…"}}   {"type":"apdu","payload":{"ecode":1}}
//! {"type":"apdu","payload":{"func":"transmit","param":"81E2…"}}           {"type":"apdu","payload":{"ecode":0,"data":"6115"}}
//! {"type":"apdu","payload":{"func":"logic_channel_close","param":"01"}}   {"type":"apdu","payload":{"ecode":0}}
//! {"type":"apdu","payload":{"func":"disconnect","param":null}}            {"type":"apdu","payload":{"ecode":0}}
//! ```
//!
//! What it says besides, its result for one, comes between these and has no answer; the result is not the last line.

use apdu::{Transport, TransportError};
use serde_json::{Value, json};

/// What refuses a request.
const REFUSED: i64 = -1;
/// Of a request to a server: the driver has no network.
const NO_SERVER: u16 = 502;

/// Answers for a card.
#[derive(Debug)]
pub(super) struct Driver<T> {
    card: T,
    lost: Option<String>,
    /// The program has let the card go.
    is_let_go: bool,
}

/// What a line was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A request: its answer, without the end of the line.
    Answer(String),
    /// No request.
    Other,
}

impl<T: Transport> Driver<T> {
    pub(super) const fn new(card: T) -> Self {
        Self { card, lost: None, is_let_go: false }
    }

    /// Why the card does not answer any more, if it does not.
    pub(super) fn lost(&self) -> Option<String> {
        self.lost.clone()
    }

    /// Does what a line asks for.
    pub(super) fn hear(&mut self, line: &str) -> Heard {
        let Ok(said) = serde_json::from_str::<Value>(line) else { return Heard::Other };
        match said["type"].as_str() {
            Some("apdu") => {
                let payload = self.asked(&said["payload"]);
                Heard::Answer(json!({ "type": "apdu", "payload": payload }).to_string())
            }
            Some("http") => {
                Heard::Answer(json!({ "type": "http", "payload": { "rcode": NO_SERVER, "rx": "" } }).to_string())
            }
            _ => Heard::Other,
        }
    }

    fn asked(&mut self, payload: &Value) -> Value {
        let octets = || payload["param"].as_str().and_then(|text| hex::decode(text).ok());
        match payload["func"].as_str() {
            // The card has its power, also before.
            Some("connect") if self.lost.is_none() => {
                self.is_let_go = false;
                json!({ "ecode": 0 })
            }
            Some("disconnect") => {
                self.is_let_go = true;
                json!({ "ecode": 0 })
            }
            _ if self.is_let_go => json!({ "ecode": REFUSED }),
            Some("logic_channel_open") => {
                let opened = octets().and_then(|aid| self.open(&aid));
                json!({ "ecode": opened.map_or(REFUSED, i64::from) })
            }
            Some("logic_channel_close") => {
                let channel = octets().and_then(|octets| octets.first().copied());
                let closed = channel.and_then(|channel| self.transmit(&[0x00, 0x70, 0x80, channel]));
                json!({ "ecode": if closed.as_deref() == Some(&[0x90, 0x00]) { 0 } else { REFUSED } })
            }
            Some("transmit") => match octets().and_then(|command| self.transmit(&command)) {
                Some(response) => json!({ "ecode": 0, "data": hex::encode(response) }),
                None => json!({ "ecode": REFUSED }),
            },
            _ => json!({ "ecode": REFUSED }),
        }
    }

    /// Opens a channel, and selects an application on it.
    fn open(&mut self, aid: &[u8]) -> Option<u8> {
        let length = u8::try_from(aid.len()).ok().filter(|length| (1..=16).contains(length))?;
        let opened = self.transmit(&[0x00, 0x70, 0x00, 0x00, 0x01])?;
        let [channel, 0x90, 0x00] = opened[..] else { return None };
        let class = match channel {
            1..=3 => channel,
            4..=19 => 0x40 | (channel - 4),
            _ => return None,
        };
        let selected = self.transmit(&[&[class, 0xA4, 0x04, 0x00, length][..], aid].concat());
        if selected.is_some_and(|answer| matches!(answer[..], [.., 0x90 | 0x61, _])) {
            return Some(channel);
        }
        self.transmit(&[0x00, 0x70, 0x80, channel]);
        None
    }

    /// The response; `None` if there is none.
    fn transmit(&mut self, command: &[u8]) -> Option<Vec<u8>> {
        match self.card.transmit(command) {
            Ok(response) => Some(response),
            Err(TransportError::CommandTooLong(_)) => None,
            Err(why) => {
                self.lost.get_or_insert_with(|| why.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use apdu::transport::Dialogue;

    use super::*;

    fn card(steps: &[(&str, &str)]) -> Driver<Dialogue> {
        let octets = |text: &str| hex::decode(text).unwrap();
        Driver::new(Dialogue::new(steps.iter().map(|(command, response)| (octets(command), octets(response)))))
    }

    fn answered(driver: &mut Driver<Dialogue>, function: &str, parameter: &Value) -> Value {
        let line = json!({ "type": "apdu", "payload": { "func": function, "param": parameter } }).to_string();
        match driver.hear(&line) {
            Heard::Answer(answer) => serde_json::from_str::<Value>(&answer).unwrap()["payload"].clone(),
            Heard::Other => panic!("{line}"),
        }
    }

    /// As lpac asks.
    #[test]
    fn a_session() {
        const ISD_R: &str = "a0000005591010ffffffff8900000100";
        let mut driver = card(&[
            ("0070000001", "019000"),
            ("01A4040010A0000005591010FFFFFFFF8900000100", "6121"),
            ("81E2910006BF3E035C015A", "6115"),
            ("0070800100".get(..8).unwrap(), "9000"),
        ]);
        for (function, parameter, answer) in [
            ("connect", Value::Null, json!({ "ecode": 0 })),
            ("logic_channel_open", json!(ISD_R), json!({ "ecode": 1 })),
            ("transmit", json!("81e2910006bf3e035c015a"), json!({ "ecode": 0, "data": "6115" })),
            ("logic_channel_close", json!("01"), json!({ "ecode": 0 })),
            ("disconnect", Value::Null, json!({ "ecode": 0 })),
        ] {
            assert_eq!(answered(&mut driver, function, &parameter), answer, "{function}");
        }
        assert!(driver.card.is_finished());
        assert_eq!(driver.lost(), None);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let refused = json!({ "ecode": -1 });
        let mut driver = card(&[("0070000001", "019000"), ("01A4040001A0", "6A82"), ("00708001", "9000")]);
        assert_eq!(answered(&mut driver, "logic_channel_open", &json!("A0")), refused);
        assert!(driver.card.is_finished(), "the channel is closed again");
        let mut driver = card(&[("0070000001", "6A81")]);
        assert_eq!(answered(&mut driver, "logic_channel_open", &json!("A0")), refused);
        for (function, parameter) in [
            ("logic_channel_open", json!("")),
            ("logic_channel_open", json!("A0".repeat(17))),
            ("logic_channel_close", json!("")),
            ("transmit", json!("0xyz")),
            ("transmit", json!(7)),
            ("transmit", Value::Null),
            ("burn", Value::Null),
        ] {
            assert_eq!(answered(&mut driver, function, &parameter), refused, "{function} {parameter}");
        }
        // A channel that the card does not close; a card that was let go, or has gone.
        let close = json!("09");
        let mut driver = card(&[("00708009", "6881"), ("0084000000", "9000")]);
        assert_eq!(answered(&mut driver, "logic_channel_close", &close), refused);
        assert_eq!(answered(&mut driver, "disconnect", &Value::Null), json!({ "ecode": 0 }));
        for function in ["transmit", "logic_channel_open", "logic_channel_close"] {
            assert_eq!(answered(&mut driver, function, &json!("0084000000")), refused, "{function}");
        }
        assert_eq!(answered(&mut driver, "connect", &Value::Null), json!({ "ecode": 0 }));
        assert_eq!(answered(&mut driver, "transmit", &json!("0084000000")), json!({ "ecode": 0, "data": "9000" }));
        driver.lost = Some("gone".to_owned());
        assert_eq!(answered(&mut driver, "connect", &Value::Null), refused);
        let no_http = r#"{"type":"http","payload":{"url":"https://a/b","tx":"","headers":[]}}"#;
        assert!(matches!(driver.hear(no_http), Heard::Answer(answer) if answer.contains("502")));
    }

    #[test]
    fn what_is_no_request_has_no_answer() {
        let mut driver = card(&[]);
        for line in ["", "{", "[]", "null", "hello", r#"{"type":"lpa","payload":{"code":0}}"#, r#"{"type":"progress"}"#]
        {
            assert_eq!(driver.hear(line), Heard::Other, "{line}");
        }
    }
}
