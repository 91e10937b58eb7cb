//! What programs of pySim print of their APDUs: `-> HEADER DATA`, `<- SW: DATA`, `-- RESET`.

use crate::error::CaptureError;
use crate::event::{Event, Origin, Session, What};
use crate::hexadecimal::unhex;

/// What a line says.
enum Line<'a> {
    Sent(&'a str),
    Received { sw: &'a str, data: &'a str },
    Reset,
}

/// Whether a line is of the log.
pub(crate) fn is_log(line: &str) -> bool {
    parse(line).is_some()
}

/// A line without its colours and what a logger puts before it: `INFO: `, or where it comes from as well.
fn parse(line: &str) -> Option<Line<'_>> {
    let line = line.strip_prefix('\u{1B}').and_then(|line| Some(line.split_once('m')?.1)).unwrap_or(line);
    let line = line.split('\u{1B}').next().unwrap_or(line);
    let line = line.rsplit_once("INFO: ").map_or(line, |(_, line)| line).trim();
    let digits = |text: &str| text.chars().next().is_some_and(|first| first.is_ascii_hexdigit());
    if let Some(sent) = line.strip_prefix("-> ").filter(|sent| digits(sent)) {
        return Some(Line::Sent(sent));
    }
    if let Some((sw, data)) = line.strip_prefix("<- ").and_then(|received| received.split_once(':')) {
        return Some(Line::Received { sw, data });
    }
    (line == "-- RESET").then_some(Line::Reset)
}

/// Reads a log, among whatever else was printed.
pub(crate) fn read(text: &str) -> Result<Session, CaptureError> {
    let mut events: Vec<Event> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let refused = |cause: String| CaptureError::line(Origin::PySim, index + 1, cause);
        let what = match parse(line) {
            None => continue,
            Some(Line::Reset) => What::Reset { atr: Vec::new(), warm: false },
            Some(Line::Sent(digits)) => {
                What::Exchange { command: unhex(digits).map_err(refused)?, response: Vec::new() }
            }
            Some(Line::Received { sw, data }) => {
                let mut received = unhex(data).map_err(refused)?;
                let sw = unhex(sw).map_err(refused)?;
                match events.last_mut().map(|event| &mut event.what) {
                    _ if sw.len() > 2 => return Err(refused("a status word has two octets".into())),
                    Some(What::Exchange { response, .. }) if response.is_empty() => {
                        received.extend(sw);
                        *response = received;
                    }
                    _ => return Err(refused("a response without a command before it".into())),
                }
                continue;
            }
        };
        events.push(Event { line: Some(index + 1), ..Event::new(what) });
    }
    Ok(Session { origin: Origin::PySim, events })
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn the_log_is_found_among_other_lines() {
        let log = "\
Using reader PCSC[Virtual PCD 00 00]
INFO: -- RESET
-> 00a4000402 3f00
<- 6122: 
pySim.transport.41 -- INFO: -> 00b0000002 
pySim.transport.42 -- INFO: <- 9000: 0102
{ \"body\": 1 }
";
        let session = crate::read(log.as_bytes()).unwrap();
        assert_eq!(session.origin, Origin::PySim);
        let expected = [
            Event { line: Some(2), ..Event::new(What::Reset { atr: vec![], warm: false }) },
            Event { line: Some(3), ..Event::exchange(hex!("00A40004023F00"), hex!("6122")) },
            Event { line: Some(5), ..Event::exchange(hex!("00B0000002"), hex!("01029000")) },
        ];
        assert_eq!(session.events, expected);
    }

    #[test]
    fn mistakes_have_lines() {
        let refused = |text: &str| crate::read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused("-> 00a40\n"), "pySim's APDU log, line 1: an odd number of hexadecimal digits");
        assert!(refused("hello\n<- 9000: \n").contains("line 2: a response without a command"));
        assert!(refused("-> 00a40004\n<- 900000: \n").contains("line 2: a status word has two octets"));
    }
}
