//! Recorded sessions between a host and a card.
//!
//! [`read`] takes the bytes of a recording, finds out its format (see [`Origin`]) and gives a [`Session`]: resets and
//! exchanges, in order. [`write`](write()) does the reverse for the four formats of [`Format`]; an [`Encoder`] writes
//! event by event, for a session that is still going on. [`gsmtap`] has the packets that carry an event over UDP.
//!
//! What is written never contains a PIN or a PUK, see [`secret_part`].

mod encoder;
mod error;
mod event;
mod frame;
pub mod gsmtap;
mod hexadecimal;
mod json;
mod lpac;
mod pcap;
mod pysim;
mod secret;
mod shape;
mod text;

pub use encoder::{Describe, Encoder, Format, write};
pub use error::{CaptureError, Place};
pub use event::{Event, Origin, Session, What};
pub use secret::{MASK, is_masked, secret_part};
pub use shape::{Exchanged, OUTGOING, split};
pub use text::shown_command;

/// Reads a recorded session, whatever its format.
pub fn read(bytes: &[u8]) -> Result<Session, CaptureError> {
    if let Some(origin) = pcap::recognise(bytes) {
        return pcap::read(origin, bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Err(CaptureError::unknown(bytes)) };
    // Some editors begin a file with a byte order mark, which says nothing in UTF-8.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let session = match text.lines().find_map(recognise) {
        Some(Origin::Text) => text::read(text),
        Some(Origin::JsonLines) => json::read(text),
        Some(Origin::LpacLog) => lpac::read_log(text),
        Some(Origin::LpacStdio) => lpac::read_stdio(text),
        Some(Origin::PySim) => pysim::read(text),
        _ => return Err(CaptureError::unknown(bytes)),
    }?;
    if session.events.is_empty() {
        return Err(CaptureError::whole(session.origin, "it holds no event of a card"));
    }
    Ok(session)
}

/// The format that a line of text gives away.
fn recognise(line: &str) -> Option<Origin> {
    [
        (Origin::LpacLog, lpac::is_log as fn(&str) -> bool),
        (Origin::LpacStdio, lpac::is_stdio),
        (Origin::JsonLines, json::is_event),
        (Origin::PySim, pysim::is_log),
        (Origin::Text, text::is_trace),
    ]
    .into_iter()
    .find_map(|(origin, is_one)| is_one(line).then_some(origin))
}
