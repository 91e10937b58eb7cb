//! Recorded sessions between a host and a card.
//!
//! [`read`] takes the bytes of a recording, finds out its format (see [`Origin`]) and gives a [`Session`]: resets and
//! exchanges, in order. [`write`](write()) does the reverse for the four formats of [`Format`]; an [`Encoder`] writes
//! event by event, for a session that is still going on. [`gsmtap`] has the packets that carry an event over UDP.
//!
//! What is written never contains a PIN or a PUK, see [`secret_part`], nor what an event says was left out of it, see
//! [`LeftOut`].

mod encoder;
mod error;
mod event;
mod frame;
pub mod gsmtap;
mod hexadecimal;
mod json;
mod left_out;
mod line;
mod lpac;
mod pcap;
mod pysim;
mod secret;
mod shape;
mod text;

pub use encoder::{Describe, Encoder, Format, write};
pub use error::{CaptureError, Place};
pub use event::{Event, Origin, Session, What};
pub use left_out::{LeftOut, Part, SOME_SECRET, named};
pub use line::one_line;
pub use secret::{MASK, is_masked, secret_part};
pub use shape::{Exchanged, OUTGOING, split};
pub use text::shown_command;

/// Reads a recorded session, whatever its format.
///
/// Octets that are no command or no response are in it as they were recorded: a client may send anything.
///
/// # Errors
/// [`CaptureError`] with the line or packet and the cause, if the bytes are of none of the formats, are cut short or damaged,
/// are of two cards, or hold no event of a card.
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
