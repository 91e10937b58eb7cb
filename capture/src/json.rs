//! A trace for programs: one JSON object per line.
//!
//! `{"event":"exchange","command":"00A40004023F00","name":"SELECT 00 04","data":"62…","sw":"9000","meaning":"…",
//! "micros":120}`, besides `power_on` and `warm_reset` with `atr`, `power_off`, and `failed` with `cause`. Of a PIN or
//! PUK only the length is told, as `secret_bytes`. Of another secret `${name}` stands in its place, and `left_out` has
//! `{"in":"command","name":"k","bytes":4}` for each, in order. `at` is the time in seconds since 1970, `card` the card's label.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::encoder::Describe;
use crate::error::CaptureError;
use crate::event::{Event, Origin, Session, What};
use crate::hexadecimal::{hex, unhex};
use crate::left_out::{Allowance, LeftOut, Places, SOME_SECRET, Shown, Unnamed, joined, written};
use crate::line::one_line;

/// Values of `event`.
const POWER_ON: &str = "power_on";
const WARM_RESET: &str = "warm_reset";
const POWER_OFF: &str = "power_off";
const EXCHANGE: &str = "exchange";
const FAILED: &str = "failed";

/// Whether a line is an object of such a trace.
pub(crate) fn is_event(line: &str) -> bool {
    object(line).is_some_and(|object| object.get("event").is_some_and(Value::is_string))
}

fn object(line: &str) -> Option<Map<String, Value>> {
    let line = line.trim();
    line.starts_with('{').then(|| serde_json::from_str(line).ok()).flatten()
}

/// Writes an event as one line.
pub(crate) fn write(event: &Event, shown: &Shown, label: &str, describe: &Describe, out: &mut Vec<u8>) {
    let mut line = Map::new();
    let mut insert = |name: &str, value: Value| {
        line.insert(name.into(), value);
    };
    let mut words = |name: &str, words: String| {
        if !words.is_empty() {
            insert(name, words.into());
        }
    };
    match &event.what {
        What::Reset { atr, warm } => {
            words("event", if *warm { WARM_RESET } else { POWER_ON }.into());
            insert("atr", hex(atr).into());
        }
        What::PowerOff => words("event", POWER_OFF.into()),
        What::Exchange { .. } => {
            let (data, sw) = shown.response.split_at(shown.response.len().saturating_sub(2));
            words("event", EXCHANGE.into());
            words("name", (describe.command)(&shown.command));
            words("meaning", (describe.response)(&shown.response));
            insert("data", written(data, &shown.of_response).into());
            insert("sw", hex(sw).into());
        }
        What::Failed { cause, .. } => {
            words("event", FAILED.into());
            words("name", (describe.command)(&shown.command));
            insert("cause", one_line(cause).into());
        }
    }
    if let Some(took) = event.took {
        insert("micros", u64::try_from(took.as_micros()).unwrap_or(u64::MAX).into());
    }
    if let Some(at) = event.at {
        insert("at", at.as_secs_f64().into());
    }
    if matches!(event.what, What::Exchange { .. } | What::Failed { .. }) {
        match shown.of_command.as_slice() {
            // A PIN at the end, as most are.
            [(pin, name)] if name == SOME_SECRET && pin.end == shown.command.len() && shown.of_response.is_empty() => {
                insert("command", hex(shown.command.get(..pin.start).unwrap_or_default()).into());
                insert("secret_bytes", pin.len().into());
            }
            _ => {
                insert("command", written(&shown.command, &shown.of_command).into());
                let left_out = listed(COMMAND, &shown.of_command).chain(listed(DATA, &shown.of_response));
                let left_out: Vec<Value> = left_out.collect();
                if !left_out.is_empty() {
                    insert("left_out", left_out.into());
                }
            }
        }
    }
    if !label.is_empty() {
        insert("card", label.into());
    }
    out.extend(Value::Object(line).to_string().into_bytes());
    out.push(b'\n');
}

/// Values of `in`.
const COMMAND: &str = "command";
const DATA: &str = "data";

fn listed<'a>(part: &'a str, places: &'a Places) -> impl Iterator<Item = Value> + 'a {
    places.iter().map(move |(range, name)| json!({ "in": part, "name": name, "bytes": range.len() }))
}

/// Reads a trace of one card.
pub(crate) fn read(text: &str) -> Result<Session, CaptureError> {
    let (mut events, allowance) = (Vec::new(), Allowance::of(text.len()));
    let mut card: Option<Value> = None;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let refused = |cause: String| CaptureError::line(Origin::JsonLines, number, cause);
        let object: Map<String, Value> = serde_json::from_str(line.trim())
            .map_err(|error| refused(format!("no JSON object: {}", place_free(&error.to_string()))))?;
        let label = object.get("card").cloned().unwrap_or(Value::Null);
        if let Some(other) = card.as_ref().filter(|card| **card != label) {
            return Err(refused(format!(
                "two cards in one trace, {} and {}: keep the lines of one of them",
                one_line(&other.to_string()),
                one_line(&label.to_string())
            )));
        }
        card = Some(label);
        let (what, left_out) = what(&object, &allowance).map_err(refused)?;
        events.push(Event {
            at: object
                .get("at")
                .and_then(Value::as_f64)
                .and_then(|at| Duration::try_from_secs_f64(at).ok())
                .map(micros),
            took: object.get("micros").and_then(Value::as_u64).map(Duration::from_micros),
            line: Some(number),
            what,
            left_out,
        });
    }
    Ok(Session { origin: Origin::JsonLines, events })
}

/// Whole microseconds, which a fraction of a second is exact to.
fn micros(at: Duration) -> Duration {
    Duration::from_micros(u64::try_from((at + Duration::from_nanos(500)).as_micros()).unwrap_or(u64::MAX))
}

/// A parser of one line has nothing to say about lines.
fn place_free(message: &str) -> &str {
    message.split(" at line ").next().unwrap_or(message)
}

fn what(object: &Map<String, Value>, allowance: &Allowance) -> Result<(What, Vec<LeftOut>), String> {
    let text = |name: &str| {
        object.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is missing, or not a text"))
    };
    let octets = |name: &str| unhex(text(name)?).map_err(|cause| format!("`{name}`: {cause}"));
    let filled = |name: &str| {
        let filled = Unnamed::parse(text(name)?).and_then(|unnamed| unnamed.filled(&lengths(object, name), allowance));
        filled.map_err(|cause| format!("`{name}`: {cause}"))
    };
    let command = || match count(object.get("secret_bytes")) {
        Some(pin) => {
            let mut command = octets(COMMAND)?;
            let place = allowance.fill(&mut command, pin)?;
            Ok::<_, String>((command, vec![(place, SOME_SECRET.to_owned())]))
        }
        None => filled(COMMAND),
    };
    let what = match text("event")? {
        POWER_ON => What::Reset { atr: octets("atr")?, warm: false },
        WARM_RESET => What::Reset { atr: octets("atr")?, warm: true },
        POWER_OFF => What::PowerOff,
        EXCHANGE => {
            let ((command, of_command), (mut response, of_response)) = (command()?, filled(DATA)?);
            response.extend(octets("sw")?);
            return Ok((What::Exchange { command, response }, joined(of_command, of_response)));
        }
        FAILED => {
            let (command, of_command) = command()?;
            return Ok((What::Failed { command, cause: one_line(text("cause")?) }, joined(of_command, Vec::new())));
        }
        other => return Err(format!("`event` is `{}`, none that a trace has", other.escape_default())),
    };
    Ok((what, Vec::new()))
}

fn count(value: Option<&Value>) -> Option<usize> {
    value.and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok())
}

/// How many octets each name stands for in the command or in the data.
fn lengths(object: &Map<String, Value>, part: &str) -> Vec<usize> {
    let list = object.get("left_out").and_then(Value::as_array).into_iter().flatten();
    list.filter(|entry| entry["in"] == part).filter_map(|entry| count(entry.get("bytes"))).collect()
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;
    use crate::{Encoder, Format};

    #[test]
    fn every_line_is_an_object() {
        let took = Some(Duration::from_micros(7));
        let at = Some(Duration::from_micros(1_764_513_978_123_457));
        let pin = hex!("0020000108 31323334FFFFFFFF");
        let events = [
            Event::new(What::Reset { atr: vec![0x3B, 0], warm: false }),
            Event { at, took, ..Event::exchange(pin, hex!("AB 63C2")) },
            Event { took, ..Event::exchange([0, 0xA4, 0, 4], []) },
            Event::new(What::Failed { command: pin.into(), cause: "the card was removed".into() }),
            Event::new(What::Reset { atr: vec![0x3B, 0], warm: true }),
            Event::new(What::PowerOff),
        ];
        let describe =
            Describe { command: |_| "a command".into(), response: |_| "no answer".into(), ..Describe::NOTHING };
        let mut encoder = Encoder::new(Format::JsonLines).described(describe);
        let octets: Vec<u8> = events.iter().flat_map(|event| encoder.event(event)).collect();
        let text = String::from_utf8(octets).unwrap();
        assert!(!text.contains("31323334"), "{text}");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["atr"], "3B00");
        assert_eq!((&lines[1]["data"], &lines[1]["sw"]), (&"AB".into(), &"63C2".into()));
        assert_eq!((&lines[1]["command"], &lines[1]["secret_bytes"]), (&"0020000108".into(), &8.into()));
        assert_eq!(lines[2]["meaning"], "no answer");
        assert_eq!(lines[3]["cause"], "the card was removed");
        assert_eq!((&lines[5]["event"], &lines[5]["card"]), (&"power_off".into(), &Value::Null));

        let mut expected = events.to_vec();
        let masked = b"\x00\x20\x00\x01\x08********";
        expected[1].what = What::Exchange { command: masked.into(), response: hex!("AB 63C2").into() };
        expected[3].what = What::Failed { command: masked.into(), cause: "the card was removed".into() };
        for pin in [1, 3] {
            expected[pin].left_out = vec![LeftOut::pin(5..13)];
        }
        for (index, event) in expected.iter_mut().enumerate() {
            event.line = Some(index + 1);
        }
        let session = crate::read(text.as_bytes()).unwrap();
        assert_eq!((session.origin, session.events), (Origin::JsonLines, expected));

        let off = Encoder::new(Format::JsonLines).labelled("one", 0).event(&events[5]);
        let line: Value = serde_json::from_slice(&off).unwrap();
        assert_eq!(line["card"], "one");
    }

    #[test]
    fn mistakes_have_lines() {
        let refused = |text: &str| crate::read(text.as_bytes()).unwrap_err().to_string();
        let off = r#"{"event":"power_off"}"#;
        assert_eq!(
            refused(&format!("{off}\n{{\"event\":\"exchange\"}}")),
            "APDU trace in JSON lines, line 2: `command` is missing, or not a text"
        );
        assert!(refused(&format!("{off}\n{{\"event\":")).contains("line 2: no JSON object"));
        assert!(refused(r#"{"event":"power_on","atr":"3"}"#).contains("line 1: `atr`: an odd number"));
        let long = r#"{"event":"exchange","command":"0020000108","secret_bytes":65540,"data":"","sw":"9000"}"#;
        assert!(refused(long).contains("line 1: with the 65540 octets"));
        assert!(refused(r#"{"event":"lunch"}"#).contains("`event` is `lunch`"));
        let two = format!("{off}\n{}", r#"{"event":"power_off","card":"b"}"#);
        assert!(refused(&two).contains("line 2: two cards in one trace, null and \"b\""));
    }
}
