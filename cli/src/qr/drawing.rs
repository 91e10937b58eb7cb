//! QR codes, drawn on the terminal and into files.

use console::Exit;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;

use portal::qr::QrCode;

use crate::failure::Failure;
use crate::file::{Readers, put};

/// Pixels per module in a PNG.
const SCALE: usize = 8;

/// The QR code of a text.
pub(crate) fn of(text: &str) -> Result<QrCode, Failure> {
    QrCode::of(text).ok_or_else(|| Failure::because("the text is too long for a QR code"))
}

/// A QR code for a terminal, two modules per character; in black and white if there are colours, else for light text on
/// a dark background.
pub(crate) fn for_terminal(code: &QrCode, colours: bool) -> String {
    let (begin, end) = if colours { ("\x1b[97;40m", "\x1b[0m") } else { ("", "") };
    let mut lines = String::new();
    for y in (0..code.side()).step_by(2) {
        lines.push_str(begin);
        for x in 0..code.side() {
            lines.push(match (code.is_dark(x, y), code.is_dark(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        // Writing to a String does not fail.
        let _ = writeln!(lines, "{end}");
    }
    lines
}

/// How a QR code is written to a file.
enum Form {
    Png,
    Svg,
}

impl Form {
    /// By the file's name.
    fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().map(OsStr::to_ascii_lowercase).unwrap_or_default();
        match extension.to_str() {
            Some("png") => Ok(Self::Png),
            Some("svg") => Ok(Self::Svg),
            _ => {
                Err(Failure::because(format!("{}: a QR code is written as .png or .svg", path.display()))
                    .with(Exit::Usage))
            }
        }
    }
}

/// Refuses a file name that no QR code can be written to.
pub(crate) fn check_name(path: &Path) -> Result<(), Failure> {
    Form::of(path).map(drop)
}

/// Writes a QR code to a private file, as SVG or PNG by its name. Completely or not at all: another process may be
/// reading.
pub(crate) fn write(code: &QrCode, path: &Path) -> Result<(), Failure> {
    let octets = match Form::of(path)? {
        Form::Png => code.png(SCALE),
        Form::Svg => code.svg().into_bytes(),
    };
    put(path, &octets, Readers::Owner, "the QR code")
}
