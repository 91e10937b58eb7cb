//! A trace for programs: one JSON object per line.

use std::io::Write;

use serde_json::json;

use super::describe::hex;
use super::{Event, Observer, describe_command, describe_response, secret_part};

/// Writes every event as one line of JSON.
///
/// `{"event":"exchange","command":"00A40004023F00","name":"SELECT 00 04","data":"62…","sw":"9000","meaning":"…",
/// "micros":120}`, besides `power_on` and `warm_reset` with `atr`, `power_off`, and `failed` with `cause`. Of a PIN or
/// PUK only the length is told, as `secret_bytes`.
#[derive(Debug)]
pub struct JsonTrace<W> {
    output: W,
    label: String,
}

impl<W: Write> JsonTrace<W> {
    /// Writes to `output`.
    pub const fn new(output: W) -> Self {
        Self { output, label: String::new() }
    }

    /// Puts `label`, unless it is empty, into every object as `card`, to tell several cards apart.
    #[must_use]
    pub fn labelled(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    /// The output.
    pub fn into_inner(self) -> W {
        self.output
    }
}

impl<W: Write> Observer for JsonTrace<W> {
    fn observe(&mut self, event: Event<'_>) {
        let mut line = match event {
            Event::PowerOn { atr } => json!({ "event": "power_on", "atr": hex(atr) }),
            Event::WarmReset { atr } => json!({ "event": "warm_reset", "atr": hex(atr) }),
            Event::PowerOff => json!({ "event": "power_off" }),
            Event::Exchange { command, response, took } => {
                let (data, sw) = response.split_at_checked(response.len().saturating_sub(2)).unwrap_or((&[], response));
                json!({
                    "event": "exchange", "name": describe_command(command), "data": hex(data), "sw": hex(sw),
                    "meaning": describe_response(response),
                    "micros": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                })
            }
            Event::Failed { command, cause } => {
                json!({ "event": "failed", "name": describe_command(command), "cause": cause })
            }
        };
        if let Event::Exchange { command, .. } | Event::Failed { command, .. } = event
            && let Some(line) = line.as_object_mut()
        {
            let secret = secret_part(command);
            let open = secret.as_ref().map_or(command, |secret| command.get(..secret.start).unwrap_or_default());
            line.insert("command".into(), hex(open).into());
            if let Some(secret) = secret {
                line.insert("secret_bytes".into(), secret.len().into());
            }
        }
        if let Some(line) = line.as_object_mut().filter(|_| !self.label.is_empty()) {
            line.insert("card".into(), self.label.as_str().into());
        }
        // A trace that cannot be written must not stop the card.
        let _ = writeln!(self.output, "{line}").and_then(|()| self.output.flush());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hex_literal::hex;
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_line_is_an_object() {
        let mut trace = JsonTrace::new(Vec::new());
        trace.observe(Event::PowerOn { atr: &[0x3B, 0] });
        let took = Duration::from_micros(7);
        let pin = hex!("0020000108 31323334FFFFFFFF");
        trace.observe(Event::Exchange { command: &pin, response: &hex!("AB 63C2"), took });
        trace.observe(Event::Exchange { command: &[0, 0xA4, 0, 4], response: &[], took });
        trace.observe(Event::Failed { command: &pin, cause: "the card was removed" });
        trace.observe(Event::PowerOff);
        let text = String::from_utf8(trace.into_inner()).unwrap();
        assert!(!text.contains("31323334"), "{text}");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["atr"], "3B00");
        assert_eq!((&lines[1]["data"], &lines[1]["sw"]), (&"AB".into(), &"63C2".into()));
        assert_eq!((&lines[1]["command"], &lines[1]["secret_bytes"]), (&"0020000108".into(), &8.into()));
        assert_eq!(lines[2]["meaning"], "no answer");
        assert_eq!(lines[3]["cause"], "the card was removed");
        assert_eq!((&lines[4]["event"], &lines[4]["card"]), (&"power_off".into(), &Value::Null));

        let mut trace = JsonTrace::new(Vec::new()).labelled("one");
        trace.observe(Event::PowerOff);
        let line: Value = serde_json::from_slice(&trace.into_inner()).unwrap();
        assert_eq!(line["card"], "one");
    }
}
