//! Files of scriptor and gscriptor, the command line and the window of the package pcsc-tools.

use std::fmt::Write as _;

use super::parse::{self, ScriptError};
use super::scanner::STATEMENTS;
use super::{Action, Location, Mode, Script, Step};

/// A file of scriptor, read and checked.
///
/// One command a line, in hexadecimal, in bytes with blanks between them or without any; `\` at the end joins the next
/// line. `reset` is a warm reset, `exit` the end, `#` a comment. Responses are not expected, and come as the card sends
/// them: GET RESPONSE is a command like others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scriptor {
    name: String,
    /// The same in the language of scripts, line by line.
    lines: Vec<String>,
}

/// Whether a text is a file of scriptor rather than a script: its first line that is neither blank, comment nor `reset`
/// begins with digits, or is `exit`.
pub fn is_scriptor(text: &str) -> bool {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut others = lines.filter(|line| !line.to_lowercase().starts_with("reset"));
    others.next().is_some_and(|line| {
        let word = line.split_whitespace().next().unwrap_or_default().trim_end_matches('\\');
        word.eq_ignore_ascii_case("exit")
            || word.len() >= 2 && word.chars().all(|c| c.is_ascii_hexdigit()) && !STATEMENTS.contains(&word)
    })
}

impl Scriptor {
    /// Reads one. `name` stands for it in messages.
    ///
    /// # Errors
    /// [`ScriptError`] for a line that is neither a command nor one of its words, or if there is no command and no reset.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScriptError> {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let mut lines = Vec::new();
        let mut continued = false;
        let mut acts = 0;
        for (index, line) in text.lines().enumerate() {
            let written = line.trim().replace('\t', " ");
            let written = written.as_str();
            if !continued && (written.is_empty() || written.starts_with('#')) {
                lines.push(written.to_owned());
                continue;
            }
            if written.to_lowercase().starts_with("exit") {
                break;
            }
            if !continued && written.to_lowercase().starts_with("reset") {
                lines.push("reset warm".into());
                acts += 1;
                continue;
            }
            let at = |column, problem| ScriptError::new(name, text, (index + 1, column), problem);
            let indent = line.chars().take_while(|c| c.is_whitespace()).count();
            check_digits(written, continued).map_err(|(column, problem)| at(column + indent + 1, problem))?;
            let (digits, goes_on) = written.strip_suffix('\\').map_or((written, false), |digits| (digits, true));
            lines.push(format!("{} {}", if continued { " " } else { ">" }, digits.trim()));
            acts += usize::from(!continued);
            continued = goes_on;
        }
        if acts == 0 {
            let problem = "no command in it before its end: each line is one in hexadecimal, as `00 A4 00 04 02 3F 00`";
            return Err(ScriptError::new(name, "", (1, 1), problem.into()));
        }
        Ok(Self { name: name.to_owned(), lines })
    }

    /// The script that does the same; its lines are those of the file.
    ///
    /// # Errors
    /// [`ScriptError`] as [`Script::parse`] has it.
    pub fn script(&self) -> Result<Script, ScriptError> {
        let Script { mut steps } = parse::script(&self.name, &self.lines.join("\n"), &mut |_, _| Err(String::new()))?;
        let location = Location { file: self.name.as_str().into(), line: 1 };
        // Nothing in it leads to another step, whose number this would change.
        steps.insert(0, Step { location, outer: 1, blocks: 0, action: Action::Mode(Mode::Raw), note: None });
        Ok(Script { steps })
    }

    /// The same as text.
    pub fn to_text(&self) -> String {
        let mut text = "raw\n".to_owned();
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

/// Bytes of two digits; or the column and what is wrong there.
fn check_digits(written: &str, continued: bool) -> Result<(), (usize, String)> {
    let (mut column, mut bytes) = (0, 0);
    for word in written.strip_suffix('\\').unwrap_or(written).split(' ') {
        if let Some(at) = word.chars().position(|c| !c.is_ascii_hexdigit()) {
            let found: String = word.chars().skip(at).take(1).collect();
            let problem = format!("a command in hexadecimal, `reset`, `exit` or `#` expected, not `{found}`");
            return Err((column + at, problem));
        }
        if word.len() % 2 == 1 {
            return Err((column + word.len() - 1, "half a byte: two digits make one".into()));
        }
        bytes += word.len() / 2;
        column += word.len() + 1;
    }
    if bytes == 0 && !continued { Err((0, "bytes in hexadecimal are missing".into())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Outcome, Run, Variables};
    use crate::testing::dialogue;

    const FILE: &str = "# reset the card\nreset\n\n# Select MF 3F00\nA0 A4 00 00 02 3F 00\nA0C0000002\nA0 A4 00 00 \\\n02 \\\n7F 10\nexit\nnot read";

    #[test]
    fn a_file_of_scriptor_plays() {
        assert!(is_scriptor(FILE));
        let scriptor = Scriptor::parse("x.scr", FILE).unwrap();
        let script = scriptor.script().unwrap();
        let mut card = dialogue(&[("A0A40000023F00", "9F02"), ("A0C0000002", "01029000"), ("A0A40000027F10", "6102")]);
        let done = Run::new(&script, Variables::new()).finish(&mut card).unwrap();
        let lines: Vec<_> = done.iter().map(|done| done.location.line).collect();
        assert_eq!(lines, [2, 5, 6, 7]);
        assert_eq!(done[3].outcome, Outcome::Unchecked, "61XX is not followed");
        let text = scriptor.to_text();
        assert!(text.starts_with("raw\n# reset the card\nreset warm\n\n# Select"), "{text}");
        let same = Script::parse("x", &text, &mut |_, _| Err(String::new())).unwrap();
        assert_eq!(same.steps().len(), script.steps().len());
    }

    #[test]
    fn scripts_are_not_taken_for_one() {
        for script in ["> 00A4", "reset\n> 00A4", "# 00A4\nraw\n", "set aa 00\n> 00", "", "end"] {
            assert!(!is_scriptor(script), "{script}");
        }
        for scriptor in ["exit\n00 A4", "00 A4 00 00", "\u{FEFF}# x\nRESET\n00a4000002\\\n3F00", "reset\n80CA9F7F00"] {
            assert!(is_scriptor(scriptor), "{scriptor}");
        }
    }

    #[test]
    fn problems_have_a_place() {
        let problem = |text: &str| Scriptor::parse("x.scr", text).unwrap_err().to_string();
        assert_eq!(problem("00 A4\n00 A"), "x.scr:2:4: half a byte: two digits make one");
        assert!(problem("00 A4 zz").starts_with("x.scr:1:7: a command in hexadecimal"), "{}", problem("00 A4 zz"));
        assert!(problem("exit\n00").contains("no command in it"));
    }

    #[test]
    fn a_file_may_hold_a_reset_alone() {
        let script = Scriptor::parse("x.scriptor", "reset\nexit\n00").unwrap().script().unwrap();
        assert!(matches!(script.steps()[1].action, Action::Reset { warm: true }));
    }
}
