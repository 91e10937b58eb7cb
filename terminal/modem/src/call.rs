//! A command line to commands. V.250 §5.3, §5.4.

use zeroize::Zeroizing;

use crate::result_code::{Cme, Fault};

/// One command of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// As it is written, in upper case: `E`, `&F`, `S0`, `+CSIM`.
    pub(crate) name: String,
    pub(crate) form: Form,
}

/// What is asked of a command. V.250 §5.4.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing behind the name.
    Execute,
    /// With arguments: `=…`, or a number behind a basic command.
    Set(Arguments),
    /// `?`
    Read,
    /// `=?`
    Test,
}

/// What stands behind `=`, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments(Vec<Argument>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Argument {
    /// A PIN, perhaps.
    text: Zeroizing<String>,
    is_quoted: bool,
}

impl Argument {
    /// One without a text. A PIN finds its place in it without leaving a copy behind.
    fn empty() -> Self {
        const LONGEST_PIN: usize = 8;
        Self { text: String::with_capacity(LONGEST_PIN).into(), is_quoted: false }
    }
}

/// The line cannot be read from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// The commands of a line. What follows one that cannot be read is not looked at.
pub(crate) fn calls(line: &str) -> Vec<Result<Call, Unreadable>> {
    let mut rest = line;
    let mut calls = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ';']);
        if rest.is_empty() {
            return calls;
        }
        match next(rest) {
            Ok((call, behind)) => {
                calls.push(Ok(call));
                rest = behind;
            }
            Err(unreadable) => {
                calls.push(Err(unreadable));
                return calls;
            }
        }
    }
}

/// What names of extended commands begin with.
const EXTENDED: [char; 6] = ['+', '^', '$', '*', '#', '%'];

fn next(line: &str) -> Result<(Call, &str), Unreadable> {
    let first = line.chars().next().ok_or(Unreadable)?;
    if EXTENDED.contains(&first) {
        return extended(line, first);
    }
    basic(line)
}

fn extended(line: &str, first: char) -> Result<(Call, &str), Unreadable> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || "!%-./:_".contains(character);
    let behind = line.get(first.len_utf8()..).ok_or(Unreadable)?;
    let length = first.len_utf8() + behind.find(|character| !is_of_name(character)).unwrap_or(behind.len());
    let (name, rest) = line.split_at_checked(length).ok_or(Unreadable)?;
    let (body, behind) = rest.split_at(end_of_command(rest)?);
    let body = body.trim_end();
    let form = match body.strip_prefix('=').map(str::trim_start) {
        None if body.is_empty() => Form::Execute,
        None if body == "?" => Form::Read,
        None => return Err(Unreadable),
        Some("?") => Form::Test,
        Some(arguments) => Form::Set(Arguments::parse(arguments)?),
    };
    Ok((Call { name: name.to_ascii_uppercase(), form }, behind))
}

/// Where the `;` is that no quotes are around.
fn end_of_command(text: &str) -> Result<usize, Unreadable> {
    let mut is_quoted = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            ';' if !is_quoted => return Ok(at),
            _ => {}
        }
    }
    if is_quoted { Err(Unreadable) } else { Ok(text.len()) }
}

fn basic(line: &str) -> Result<(Call, &str), Unreadable> {
    let (is_ampersand, letters) = line.strip_prefix('&').map_or((false, line), |letters| (true, letters));
    let letter = letters.chars().next().filter(char::is_ascii_alphabetic).ok_or(Unreadable)?.to_ascii_uppercase();
    let rest = letters.get(1..).ok_or(Unreadable)?;
    let digits = rest.len() - rest.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let (number, behind) = rest.split_at(digits);
    if letter == 'D' && !is_ampersand {
        // To the end of the line, whatever it is.
        let form = Form::Set(Arguments(vec![Argument { text: rest.trim().to_owned().into(), is_quoted: false }]));
        return Ok((Call { name: "D".to_owned(), form }, ""));
    }
    if letter == 'S' && !is_ampersand {
        return parameter(number, behind);
    }
    let form = if number.is_empty() { Form::Execute } else { Form::Set(Arguments::parse(number)?) };
    let name = if is_ampersand { format!("&{letter}") } else { letter.to_string() };
    Ok((Call { name, form }, behind))
}

/// An S-parameter: `S0=0`, `S0?`. V.250 §5.3.2.
fn parameter<'a>(number: &str, rest: &'a str) -> Result<(Call, &'a str), Unreadable> {
    let number: u8 = number.parse().map_err(|_| Unreadable)?;
    let name = format!("S{number}");
    if let Some(behind) = rest.strip_prefix('?') {
        return Ok((Call { name, form: Form::Read }, behind));
    }
    let value = rest.strip_prefix('=').ok_or(Unreadable)?.trim_start();
    let digits = value.len() - value.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let (value, behind) = value.split_at(digits);
    Ok((Call { name, form: Form::Set(Arguments::parse(value)?) }, behind))
}

impl Arguments {
    fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut arguments = vec![Argument::empty()];
        let (mut is_quoted, mut is_closed) = (false, false);
        for character in text.chars() {
            let Some(last) = arguments.last_mut() else { return Err(Unreadable) };
            match character {
                '"' if is_quoted => (is_quoted, is_closed) = (false, true),
                '"' if last.text.is_empty() && !is_closed => (is_quoted, last.is_quoted) = (true, true),
                '"' => return Err(Unreadable),
                ',' if !is_quoted => {
                    arguments.push(Argument::empty());
                    is_closed = false;
                }
                ' ' if !is_quoted => {}
                _ if is_closed => return Err(Unreadable),
                _ => last.text.push(character),
            }
        }
        Ok(Self(arguments))
    }

    fn get(&self, at: usize) -> Option<&Argument> {
        self.0.get(at).filter(|argument| argument.is_quoted || !argument.text.is_empty())
    }

    /// Whether there are no more than `count` arguments; empty ones behind them do not count.
    pub(crate) fn at_most(&self, count: usize) -> Result<(), Fault> {
        let is_more = (count..self.0.len()).any(|at| self.get(at).is_some());
        if is_more { Err(Cme::INCORRECT_PARAMETERS.into()) } else { Ok(()) }
    }

    /// The text of an argument, quoted or not.
    pub(crate) fn text(&self, at: usize) -> Option<&str> {
        self.get(at).map(|argument| argument.text.as_str())
    }

    /// The text of an argument that has to be there.
    pub(crate) fn needed(&self, at: usize) -> Result<&str, Fault> {
        self.text(at).ok_or(Cme::INCORRECT_PARAMETERS.into())
    }

    /// A number, in quotes or not; `None` if it is left out.
    pub(crate) fn number<N: TryFrom<u32>>(&self, at: usize) -> Result<Option<N>, Fault> {
        let Some(text) = self.text(at) else { return Ok(None) };
        let number = text.parse::<u32>().ok().and_then(|number| N::try_from(number).ok());
        number.map(Some).ok_or(Cme::INCORRECT_PARAMETERS.into())
    }

    /// Short numbers, as they are, with commas between.
    pub(crate) fn numbers(&self) -> Result<String, Fault> {
        const MOST: usize = 8;
        let mut numbers = Vec::new();
        for at in 0..self.0.len() {
            numbers.push(self.number::<u32>(at)?.map_or_else(String::new, |number| number.to_string()));
        }
        if numbers.len() > MOST { Err(Cme::INCORRECT_PARAMETERS.into()) } else { Ok(numbers.join(",")) }
    }

    /// A number that has to be there.
    pub(crate) fn needed_number<N: TryFrom<u32>>(&self, at: usize) -> Result<N, Fault> {
        self.number(at)?.ok_or(Cme::INCORRECT_PARAMETERS.into())
    }

    /// Octets in hexadecimal digits; none if they are left out.
    pub(crate) fn octets(&self, at: usize) -> Result<Vec<u8>, Fault> {
        hex::decode(self.text(at).unwrap_or_default()).map_err(|_| Cme::INCORRECT_PARAMETERS.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, arguments: &str) -> Call {
        Call { name: name.into(), form: Form::Set(Arguments::parse(arguments).unwrap()) }
    }

    fn plain(name: &str, form: Form) -> Call {
        Call { name: name.into(), form }
    }

    #[test]
    fn lines_of_programs() {
        for (line, expected) in [
            ("", vec![]),
            ("I", vec![plain("I", Form::Execute)]),
            ("&F", vec![plain("&F", Form::Execute)]),
            ("E0V1", vec![set("E", "0"), set("V", "1")]),
            (
                "Q0 V1 E1 S0=0 &C1 &D2 +FCLASS=0",
                vec![
                    set("Q", "0"),
                    set("V", "1"),
                    set("E", "1"),
                    set("S0", "0"),
                    set("&C", "1"),
                    set("&D", "2"),
                    set("+FCLASS", "0"),
                ],
            ),
            ("+CMEE=1;+CREG=2", vec![set("+CMEE", "1"), set("+CREG", "2")]),
            ("+cpin?", vec![plain("+CPIN", Form::Read)]),
            ("+CSIM=?", vec![plain("+CSIM", Form::Test)]),
            ("S3?S5=8", vec![plain("S3", Form::Read), set("S5", "8")]),
            ("D*99***1#;X", vec![set("D", "*99***1#;X")]),
            ("^MBAU=00", vec![set("^MBAU", "00")]),
            ("+CPIN?;+CIMI", vec![plain("+CPIN", Form::Read), plain("+CIMI", Form::Execute)]),
        ] {
            assert_eq!(calls(line), expected.into_iter().map(Ok).collect::<Vec<_>>(), "{line}");
        }
    }

    #[test]
    fn quotes_keep_what_separates() {
        let calls = calls("+CMGW=\"a;b,c\",129 ; +CSQ");
        let Ok(Call { form: Form::Set(arguments), .. }) = &calls[0] else { panic!("{calls:?}") };
        assert_eq!((arguments.text(0), arguments.text(1)), (Some("a;b,c"), Some("129")));
        assert_eq!(calls[1], Ok(plain("+CSQ", Form::Execute)));
    }

    #[test]
    fn arguments_may_be_empty() {
        let arguments = Arguments::parse("1,176,28486,0,0,17,,\"7FFF\",").unwrap();
        assert_eq!((arguments.text(6), arguments.text(7), arguments.text(8)), (None, Some("7FFF"), None));
        assert!(arguments.at_most(8).is_ok() && arguments.at_most(7).is_err());
        assert_eq!(Arguments::parse("\"\"").unwrap().text(0), Some(""), "given, and empty");
        assert_eq!(arguments.number::<u8>(2), Err(Cme::INCORRECT_PARAMETERS.into()), "28486 is no octet");
        assert_eq!(arguments.number::<u16>(2), Ok(Some(28486)));
    }

    #[test]
    fn what_cannot_be_read_ends_the_line() {
        for (line, before) in
            [("+CMEE=1;+CPIN??;I", 1), ("+CSIM=10,\"00", 0), ("1", 0), ("E0=1", 1), ("S=1", 0), ("\"", 0)]
        {
            let calls = calls(line);
            assert_eq!(calls.len(), before + 1, "{line}: {calls:?}");
            assert_eq!(calls[before], Err(Unreadable), "{line}");
        }
        assert_eq!(calls("+CPIN=\"12\"34"), [Err(Unreadable)]);
        assert_eq!(calls("+CPIN=12\"34\""), [Err(Unreadable)]);
    }
}
