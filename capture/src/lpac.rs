//! What lpac says of its APDUs: on its standard error if asked for, and to the program behind its driver `stdio`.

use serde_json::{Value, json};

use crate::error::CaptureError;
use crate::event::{Event, Origin, Session, What};
use crate::hexadecimal::unhex;

/// How lines of the log begin.
const SENT: &str = "[DEBUG] [APDU] [TX] ";
const RECEIVED: &str = "[DEBUG] [APDU] [RX] ";

/// Whether a line is of the log.
pub(crate) fn is_log(line: &str) -> bool {
    line.contains(SENT) || line.contains(RECEIVED)
}

/// Reads a log, among whatever else lpac wrote.
pub(crate) fn read_log(text: &str) -> Result<Session, CaptureError> {
    let mut events: Vec<Event> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let refused = |cause: String| CaptureError::line(Origin::LpacLog, index + 1, cause);
        if let Some((_, fields)) = line.split_once(SENT) {
            let command = octets(fields, &["CLA", "INS", "P1", "P2", "Lc"]).map_err(refused)?;
            events.push(Event { line: Some(index + 1), ..Event::exchange(command, []) });
        } else if let Some((_, fields)) = line.split_once(RECEIVED) {
            let sw = octets(fields, &["SW1", "SW2"]).map_err(refused)?;
            let (sw, data) = sw.split_at_checked(2).unwrap_or_default();
            match events.last_mut().map(|event| &mut event.what) {
                Some(What::Exchange { response, .. }) if response.is_empty() => {
                    response.extend(data);
                    response.extend(sw);
                }
                _ => return Err(refused("a response without a command before it".into())),
            }
        }
    }
    Ok(Session { origin: Origin::LpacLog, events })
}

/// The octets of a log line: those that have names, in this order, then the data.
fn octets(fields: &str, names: &[&str]) -> Result<Vec<u8>, String> {
    // On a terminal the line has colours, which end it.
    let fields = fields.split('\u{1B}').next().unwrap_or(fields);
    let mut octets = Vec::new();
    let mut parts = fields.split(", ");
    for name in names.iter().chain(&["Data"]) {
        let value = parts.next().and_then(|part| part.trim_start().strip_prefix(name)?.strip_prefix(':'));
        let value = value.ok_or_else(|| format!("`{name}:` is missing: the line is cut short"))?;
        let value = unhex(value).map_err(|cause| format!("`{name}`: {cause}"))?;
        if *name != "Data" && value.len() != 1 {
            return Err(format!("`{name}` has {} octets, not one", value.len()));
        }
        octets.extend(value);
    }
    Ok(octets)
}

/// Whether a line is of the transcript.
pub(crate) fn is_stdio(line: &str) -> bool {
    message(line).is_some()
}

/// The payload of an APDU message. Recorders put arrows before what goes in and out.
fn message(line: &str) -> Option<Value> {
    let line = line.trim_start_matches(['<', '>', '-', ' ', '\t']);
    if !line.starts_with('{') {
        return None;
    }
    let mut message: Value = serde_json::from_str(line).ok()?;
    (message["type"] == "apdu").then(|| message["payload"].take())
}

/// Reads a transcript of both directions.
///
/// `logic_channel_open` stands for MANAGE CHANNEL and SELECT, which the program sent for lpac, and
/// `logic_channel_close` for MANAGE CHANNEL: they become those commands.
pub(crate) fn read_stdio(text: &str) -> Result<Session, CaptureError> {
    let mut events = Vec::new();
    let mut asked: Option<(usize, Value)> = None;
    for (index, line) in text.lines().enumerate() {
        let Some(payload) = message(line) else { continue };
        let refused = |cause: String| CaptureError::line(Origin::LpacStdio, index + 1, cause);
        if payload["func"].is_string() {
            if let Some((before, _)) = asked.replace((index + 1, payload)) {
                return Err(refused(format!(
                    "the request of line {before} has no answer: a transcript needs what lpac reads as well"
                )));
            }
        } else if let Some((line, request)) = asked.take() {
            let what = happened(&request, &payload).map_err(refused)?;
            events.extend(what.into_iter().map(|what| Event { line: Some(line), ..Event::new(what) }));
        } else {
            return Err(refused("an answer without a request before it".into()));
        }
    }
    // The last request may have been lost on its way: of those only one to the card is known to have happened.
    if let Some((line, request)) = asked.filter(|(_, request)| request["func"] == "transmit") {
        let what = happened(&request, &json!({ "ecode": 0 }));
        let what = what.map_err(|cause| CaptureError::line(Origin::LpacStdio, line, cause))?;
        events.extend(what.into_iter().map(|what| Event { line: Some(line), ..Event::new(what) }));
    }
    Ok(Session { origin: Origin::LpacStdio, events })
}

/// What a request and its answer mean for the card.
fn happened(request: &Value, answer: &Value) -> Result<Vec<What>, String> {
    let octets = |value: &Value, name: &str| {
        unhex(value[name].as_str().unwrap_or_default()).map_err(|cause| format!("`{name}`: {cause}"))
    };
    let parameter = octets(request, "param")?;
    let code = answer["ecode"].as_i64().ok_or("`ecode` is missing, or not a number")?;
    let exchange = |command: Vec<u8>, response: Vec<u8>| What::Exchange { command, response };
    Ok(match request["func"].as_str().unwrap_or_default() {
        "connect" if code == 0 => vec![What::Reset { atr: Vec::new(), warm: false }],
        "disconnect" => vec![What::PowerOff],
        "transmit" => vec![exchange(parameter, octets(answer, "data")?)],
        "logic_channel_open" => {
            let Some(channel) = u8::try_from(code).ok().filter(|channel| (1..=19).contains(channel)) else {
                return Ok(Vec::new());
            };
            let class = if channel < 4 { channel } else { 0x40 | (channel - 4) };
            let length = u8::try_from(parameter.len()).map_err(|_| "`param` is longer than an AID")?;
            let mut select = vec![class, 0xA4, 0x04, 0x00, length];
            select.extend(parameter);
            vec![exchange(vec![0, 0x70, 0, 0, 1], vec![channel, 0x90, 0]), exchange(select, vec![0x90, 0])]
        }
        "logic_channel_close" => {
            let [channel] = parameter[..] else { return Err("`param` is not one octet".into()) };
            vec![exchange(vec![0, 0x70, 0x80, channel], vec![0x90, 0])]
        }
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    fn what(events: &[Event]) -> Vec<(Option<usize>, What)> {
        events.iter().map(|event| (event.line, event.what.clone())).collect()
    }

    fn exchange(command: &[u8], response: &[u8]) -> What {
        Event::exchange(command, response).what
    }

    #[test]
    fn the_log_is_found_among_other_lines() {
        let log = "\
{\"type\":\"progress\",\"payload\":{}}
[DEBUG] [APDU] [TX] CLA: 81, INS: E2, P1: 91, P2: 00, Lc: 06, Data: bf3e035c015a
[DEBUG] [APDU] [RX] SW1: 61, SW2: 15, Data: 
\u{1B}[0;32m[DEBUG] [APDU] [TX] CLA: 81, INS: C0, P1: 00, P2: 00, Lc: 15, Data: \u{1B}[0m
[DEBUG] [HTTP] [TX] URL: https://localhost, Data: {}
\u{1B}[0;31m[DEBUG] [APDU] [RX] SW1: 90, SW2: 00, Data: bf3e00\u{1B}[0m
";
        let session = crate::read(log.as_bytes()).unwrap();
        assert_eq!(session.origin, Origin::LpacLog);
        let expected = [
            (Some(2), exchange(&hex!("81E2910006BF3E035C015A"), &hex!("6115"))),
            (Some(4), exchange(&hex!("81C0000015"), &hex!("BF3E009000"))),
        ];
        assert_eq!(what(&session.events), expected);
    }

    #[test]
    fn a_transcript_has_channels_as_commands() {
        let transcript = r#"
< {"type":"apdu","payload":{"func":"connect","param":null}}
> {"type":"apdu","payload":{"ecode":0}}
{"type":"apdu","payload":{"func":"logic_channel_open","param":"a0000005591010ffffffff8900000100"}}
{"type":"apdu","payload":{"ecode":1}}
{"type":"apdu","payload":{"func":"transmit","param":"81e2910006bf3e035c015a"}}
{"type":"apdu","payload":{"ecode":0,"data":"6115"}}
{"type":"lpa","payload":{"code":0,"message":"success","data":{}}}
{"type":"apdu","payload":{"func":"logic_channel_close","param":"01"}}
{"type":"apdu","payload":{"ecode":0}}
{"type":"apdu","payload":{"func":"disconnect","param":null}}
{"type":"apdu","payload":{"ecode":0}}
"#;
        let session = crate::read(transcript.as_bytes()).unwrap();
        assert_eq!(session.origin, Origin::LpacStdio);
        let expected = [
            (Some(2), What::Reset { atr: vec![], warm: false }),
            (Some(4), exchange(&hex!("0070000001"), &hex!("019000"))),
            (Some(4), exchange(&hex!("01A4040010A0000005591010FFFFFFFF8900000100"), &hex!("9000"))),
            (Some(6), exchange(&hex!("81E2910006BF3E035C015A"), &hex!("6115"))),
            (Some(9), exchange(&hex!("00708001"), &hex!("9000"))),
            (Some(11), What::PowerOff),
        ];
        assert_eq!(what(&session.events), expected);
    }

    #[test]
    fn mistakes_have_lines() {
        let refused = |text: &str| crate::read(text.as_bytes()).unwrap_err().to_string();
        let sent = "[DEBUG] [APDU] [TX] CLA: 81, INS: E2, P1: 91, P2: 00, Lc: 06, Data: bf3e\n";
        assert!(refused(&sent.replace("bf3e", "bf3")).contains("log, line 1: `Data`: an odd number"));
        assert!(refused(&sent.replace(", Data: bf3e", "")).contains("`Data:` is missing: the line is cut short"));
        assert!(refused("\n[DEBUG] [APDU] [RX] SW1: 61, SW2: 15, Data: \n").contains("line 2: a response without"));
        let request = r#"{"type":"apdu","payload":{"func":"transmit","param":"81e29100"}}"#;
        assert!(refused(&format!("{request}\n{request}\n")).contains("line 2: the request of line 1 has no answer"));
        let answer = r#"{"type":"apdu","payload":{"ecode":0,"data":"6"}}"#;
        assert!(refused(&format!("{request}\n{answer}\n")).contains("line 2: `data`: an odd number"));
    }
}
