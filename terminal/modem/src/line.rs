//! Octets to command lines. V.250 §5.2. There may be PINs in them.

use zeroize::Zeroizing;

/// What a line of a program came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A command line, without its prefix `AT`.
    Line(Zeroizing<String>),
    /// `A/`: the last line once more.
    Again,
    /// A line longer than this modem takes.
    TooLong,
    /// What no program writes to a modem, on a line that takes nothing else.
    Foreign,
}

const LINE_FEED: u8 = b'\n';
/// Octets that no line with PINs has.
const SHORT: usize = 128;

/// The characters with which lines are written and edited: S3 and S5. V.250 §6.2.1, §6.2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Characters {
    pub(crate) terminator: u8,
    pub(crate) editing: u8,
}

/// Collects a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineReader {
    collected: Zeroizing<Vec<u8>>,
    is_too_long: bool,
    /// Whether noise before a command is refused.
    is_strict: bool,
}

impl LineReader {
    /// One that takes lines that begin with `AT`, and no noise but spaces and control characters.
    pub(crate) fn strict() -> Self {
        Self { is_strict: true, ..Self::default() }
    }

    pub(crate) const fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// Whether a line has begun.
    pub(crate) fn has_begun(&self) -> bool {
        !self.collected.is_empty()
    }

    /// Takes one octet: whether it is echoed, and what it ends. A line may have `limit` octets.
    pub(crate) fn take(&mut self, octet: u8, limit: usize, characters: Characters) -> (bool, Option<Input>) {
        if octet == characters.terminator {
            let line = std::mem::take(&mut self.collected);
            let is_too_long = std::mem::take(&mut self.is_too_long);
            if self.is_strict && Start::of(&line) == Start::Partial {
                return (false, Some(Input::Foreign));
            }
            return (true, if is_too_long { Some(Input::TooLong) } else { command(&line) });
        }
        if octet == characters.editing {
            self.collected.pop();
            return (true, None);
        }
        // Control characters mean nothing, and ESC comes from programs that leave a prompt which may be there.
        if octet < b' ' {
            return (octet != LINE_FEED, None);
        }
        self.collect(octet, limit);
        if self.collected.eq_ignore_ascii_case(b"A/") {
            self.collected.clear();
            return (true, Some(Input::Again));
        }
        // There may be no end of it.
        if self.is_strict && Start::of(&self.collected) == Start::Foreign {
            return (false, Some(Input::Foreign));
        }
        (true, None)
    }

    fn collect(&mut self, octet: u8, limit: usize) {
        if self.collected.capacity() == 0 {
            // What has to grow leaves a copy behind.
            self.collected.reserve(SHORT);
        }
        if self.collected.len() < limit {
            self.collected.push(octet);
        } else {
            self.is_too_long = true;
        }
    }
}

/// What a line begins with, spaces and DEL aside; other control characters are not collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Blank,
    /// `A`, which may become a command.
    Partial,
    Command,
    Foreign,
}

impl Start {
    fn of(line: &[u8]) -> Self {
        let mut octets = line.iter().skip_while(|octet| matches!(octet, b' ' | 0x7F)).map(u8::to_ascii_uppercase);
        match (octets.next(), octets.next()) {
            (None, _) => Self::Blank,
            (Some(b'A'), None) => Self::Partial,
            (Some(b'A'), Some(b'T')) => Self::Command,
            _ => Self::Foreign,
        }
    }
}

/// The line behind the first `AT`; before it is noise, and a line without it is noise.
fn command(line: &[u8]) -> Option<Input> {
    let start = line.windows(2).position(|pair| pair.eq_ignore_ascii_case(b"AT"))?;
    let rest = line.get(start + 2..).unwrap_or_default();
    Some(Input::Line(String::from_utf8_lossy(rest).into_owned().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Characters = Characters { terminator: b'\r', editing: 8 };

    fn read(octets: &[u8]) -> (Vec<u8>, Vec<Input>) {
        read_by(LineReader::default(), octets)
    }

    fn read_by(mut reader: LineReader, octets: &[u8]) -> (Vec<u8>, Vec<Input>) {
        let (mut echo, mut inputs) = (Vec::new(), Vec::new());
        for octet in octets {
            let (is_echoed, input) = reader.take(*octet, 40, USUAL);
            if is_echoed {
                echo.push(*octet);
            }
            inputs.extend(input);
        }
        (echo, inputs)
    }

    fn line(text: &str) -> Input {
        Input::Line(text.to_owned().into())
    }

    #[test]
    fn lines_end_with_s3_and_line_feeds_do_not_count() {
        assert_eq!(read(b"AT\r"), (b"AT\r".to_vec(), vec![line("")]));
        assert_eq!(read(b"\nAT+CGMI\r\n"), (b"AT+CGMI\r".to_vec(), vec![line("+CGMI")]));
        assert_eq!(read(b"at+cfun=0\rAT+CFUN=1\r").1, [line("+cfun=0"), line("+CFUN=1")]);
        assert_eq!(read(b"ATI").1, []);
    }

    #[test]
    fn noise_and_editing() {
        assert_eq!(read(b"\x1b\r").1, []);
        assert_eq!(read(b"\x7e\x20\x01\x02AT\r").1, [line("")], "a frame of another protocol before it");
        assert_eq!(read(b"hello\r\r\r").1, []);
        assert_eq!(read(b"ATX\x08I\r").1, [line("I")]);
        assert_eq!(read(b"AT\xff\r").1, [line("\u{fffd}")]);
    }

    #[test]
    fn a_strict_line_takes_commands_alone() {
        let strict = |octets| read_by(LineReader::strict(), octets).1;
        assert_eq!(strict(b"\0\r\n\x1b\r \x7f\r\n at\rATX\x08I\rA/\r"), [line(""), line("I"), Input::Again]);
        assert_eq!(strict(b"A\r"), [Input::Foreign]);
        for foreign in ["P", "~", "\u{16}\u{3}\u{1}\u{fc}", "hAT", " A/"] {
            assert_eq!(strict(foreign.as_bytes()).first(), Some(&Input::Foreign), "{foreign}");
        }
    }

    #[test]
    fn the_last_line_again_needs_no_terminator() {
        assert_eq!(read(b"ATI\rA/a/AT\r").1, [line("I"), Input::Again, Input::Again, line("")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_line() {
        let mut octets = b"AT".to_vec();
        octets.extend([b'1'; 100]);
        octets.extend(b"\rAT\r");
        assert_eq!(read(&octets).1, [Input::TooLong, line("")]);
    }
}
