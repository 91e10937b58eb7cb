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
    /// Whether what a web browser sends is refused.
    is_guarded: bool,
    /// The first octet of all, until the second has come.
    first: Option<u8>,
    /// Whether something has come.
    has_heard: bool,
}

impl LineReader {
    /// One that takes nothing from a web browser: neither HTTP nor TLS. Other noise is noise.
    pub(crate) fn guarded() -> Self {
        Self { is_guarded: true, ..Self::default() }
    }

    /// Forgets the line that has begun.
    pub(crate) fn forget(&mut self) {
        *self = Self { is_guarded: self.is_guarded, has_heard: self.has_heard, ..Self::default() };
    }

    /// Whether a line has begun.
    pub(crate) fn has_begun(&self) -> bool {
        !self.collected.is_empty()
    }

    /// Takes one octet: whether it is echoed, and what it ends. A line may have `limit` octets.
    pub(crate) fn take(&mut self, octet: u8, limit: usize, characters: Characters) -> (bool, Option<Input>) {
        if self.is_guarded && self.begins_tls(octet) {
            return (false, Some(Input::Foreign));
        }
        if octet == characters.terminator {
            let line = std::mem::take(&mut self.collected);
            let is_too_long = std::mem::take(&mut self.is_too_long);
            if self.is_guarded && ends_as_http(&line) {
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
        if self.is_guarded && begins_as_http(&self.collected) {
            return (false, Some(Input::Foreign));
        }
        (true, None)
    }

    /// Whether the first two octets of all are those of a handshake. RFC 8446 §5.1.
    fn begins_tls(&mut self, octet: u8) -> bool {
        const HANDSHAKE: u8 = 22;
        const VERSION: u8 = 3;
        let is_first = !std::mem::replace(&mut self.has_heard, true);
        let before = std::mem::replace(&mut self.first, is_first.then_some(octet));
        before == Some(HANDSHAKE) && octet == VERSION
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

/// Whether a line begins as a request of HTTP does: a method, and what it is for. RFC 9112 §3.
fn begins_as_http(line: &[u8]) -> bool {
    const LONGEST: usize = 8;
    let Some(space) = line.iter().position(|octet| *octet == b' ') else { return false };
    let (method, target) = line.split_at(space);
    let target = target.get(1..).unwrap_or_default();
    // Behind that it was looked at before.
    if target.is_empty() || target.len() > LONGEST || is_command(line) {
        return false;
    }
    let is_method = !method.is_empty() && method.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-');
    let is_url = [&b"http://"[..], b"https://"].iter().any(|scheme| target.eq_ignore_ascii_case(scheme));
    is_method && (target.starts_with(b"/") || is_url || method == b"CONNECT")
}

/// Whether a line ends as a request of HTTP does, and begins as no command.
fn ends_as_http(line: &[u8]) -> bool {
    !is_command(line) && line.windows(6).any(|window| window == b" HTTP/")
}

fn is_command(line: &[u8]) -> bool {
    line.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"AT"))
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
    fn a_guarded_line_takes_noise_and_no_browser() {
        let guarded = |octets: &[u8]| read_by(LineReader::guarded(), octets).1;
        for noise in [&b"FOO\r"[..], b"\xff\r", b"~\x0c\x14:~\r", b"A\r", b"\x1b\r\0\n", b"a b c /\r", b"\x16\r"] {
            assert_eq!(guarded(&[noise, b"ATI\r"].concat()), [line("I")], "{noise:02X?}");
        }
        assert_eq!(guarded(b"hello AT\rATD /x HTTP/1\rA/"), [line(""), line("D /x HTTP/1"), Input::Again]);
        for browser in [
            "GET /",
            "post /",
            "M-SEARCH /",
            "GET http://",
            "PUT HTTPS://",
            "CONNECT a",
            "PRI * HTTP/2.0\r",
            "\u{16}\u{3}",
            "x\rGET /",
        ] {
            assert_eq!(guarded(browser.as_bytes()).first(), Some(&Input::Foreign), "{browser}");
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
