//! From lines of text to steps.

use std::sync::Arc;

use super::pattern::{Element, Expectation, Masked, Pattern};
use super::template::{Part, Template};
use super::{Action, Included, Location, Mode, Resolve, Script, Step};

/// Scripts that include scripts that include scripts …
const INCLUDE_DEPTH: usize = 16;
/// `#( #( … ) )`.
const COUNT_DEPTH: usize = 16;
/// Gaps, captures and variables one pattern may have.
const ELEMENTS: usize = 256;

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct ScriptError {
    /// The script's name.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column, counted from 1, in characters.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// A problem within a line: the position in the line's characters, and what it is.
type Problem = (usize, String);

/// Reads a script with its includes.
pub(super) fn script(name: &str, text: &str, resolve: &mut Resolve<'_>) -> Result<Script, ScriptError> {
    let mut steps = Vec::new();
    read_into(&mut steps, name, text, resolve, 0)?;
    Ok(Script { steps })
}

fn read_into(
    steps: &mut Vec<Step>,
    name: &str,
    text: &str,
    resolve: &mut Resolve<'_>,
    depth: usize,
) -> Result<(), ScriptError> {
    let file: Arc<str> = name.into();
    let first = steps.len();
    for line in logical_lines(text) {
        let at = |(position, problem): Problem| {
            let (line, column) = line.position(position);
            ScriptError { file: name.into(), line, column, problem }
        };
        let mut scanner = Scanner::new(&line.text);
        let statement = statement(&mut scanner).map_err(at)?;
        let location = Location { file: file.clone(), line: line.first_line() };
        let note = scanner.comment();
        let action = match statement {
            Statement::Act(action) => action,
            Statement::Expect(expectation) => {
                expect(steps, first, expectation).map_err(|problem| at((0, problem)))?;
                continue;
            }
            Statement::Include(path) => {
                if depth == INCLUDE_DEPTH {
                    return Err(at((
                        0,
                        format!("more than {INCLUDE_DEPTH} levels of include; does one include itself?"),
                    )));
                }
                let Included { name, text } =
                    resolve(name, &path).map_err(|problem| at((0, format!("include {path}: {problem}"))))?;
                read_into(steps, &name, &text, resolve, depth + 1)?;
                continue;
            }
        };
        steps.push(Step { location, action, note });
    }
    let end = steps.len();
    for step in steps.get_mut(first..).unwrap_or_default() {
        // Those of included scripts have their own end already.
        if let Action::SkipUnless { to, .. } = &mut step.action
            && *to == usize::MAX
        {
            *to = end;
        }
    }
    Ok(())
}

/// Hangs a `<` on the `>` before it.
fn expect(steps: &mut [Step], first: usize, expectation: Expectation) -> Result<(), String> {
    match steps.get_mut(first..).and_then(<[Step]>::last_mut).map(|step| &mut step.action) {
        Some(Action::Send { expected: expected @ None, .. }) => {
            *expected = Some(expectation);
            Ok(())
        }
        Some(Action::Send { expected: Some(_), .. }) => {
            Err("this command has an expected response already; join alternatives by `|`".into())
        }
        _ => Err("`<` belongs directly behind the `>` whose response it describes".into()),
    }
}

/// A line with its continuations.
struct LogicalLine {
    text: Vec<char>,
    /// For each physical line: where it begins in `text`, its number, and the column its text begins at.
    pieces: Vec<(usize, usize, usize)>,
}

impl LogicalLine {
    fn first_line(&self) -> usize {
        self.pieces.first().map_or(0, |(_, line, _)| *line)
    }

    fn position(&self, position: usize) -> (usize, usize) {
        let piece = self.pieces.iter().rev().find(|(begin, ..)| *begin <= position);
        piece.map_or((0, 0), |(begin, line, column)| (*line, column + position - begin))
    }
}

/// Lines that hold something, each joined with the indented ones below it; blank and comment lines are left out.
fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut lines: Vec<LogicalLine> = Vec::new();
    // Some editors begin a file with a byte order mark, which says nothing in UTF-8.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    for (index, physical) in text.lines().enumerate() {
        let content: Vec<char> = physical.trim().chars().collect();
        if content.is_empty() || begins_comment(&content) {
            continue;
        }
        let indent = physical.chars().take_while(|c| c.is_whitespace()).count();
        match lines.last_mut() {
            Some(line) if indent > 0 => {
                drop_comment(&mut line.text);
                line.text.push(' ');
                line.pieces.push((line.text.len(), index + 1, indent + 1));
                line.text.extend(content);
            }
            _ => lines.push(LogicalLine { text: content, pieces: vec![(0, index + 1, indent + 1)] }),
        }
    }
    lines
}

fn drop_comment(text: &mut Vec<char>) {
    if let Some(start) = (0..text.len()).find(|position| begins_comment(text.get(*position..).unwrap_or_default())) {
        text.truncate(start);
    }
}

/// A `#` that is not `#(`, `#{` or `#..`.
fn begins_comment(rest: &[char]) -> bool {
    matches!(rest, ['#', ..]) && !matches!(rest, ['#', '(' | '{', ..] | ['#', '.', '.', ..])
}

enum Statement {
    Act(Action),
    Expect(Expectation),
    Include(String),
}

fn statement(scanner: &mut Scanner<'_>) -> Result<Statement, Problem> {
    if scanner.eat(">") {
        let command = template(scanner, 0)?;
        return Ok(Statement::Act(Action::Send { command, expected: None }));
    }
    if scanner.eat("<") {
        return alternatives(scanner).map(Statement::Expect);
    }
    let start = scanner.position;
    let word = scanner.word();
    let action = match word.as_str() {
        "reset" => {
            let start = scanner.position;
            match scanner.word().as_str() {
                "" => Action::Reset { warm: false },
                "warm" => Action::Reset { warm: true },
                other => return Err((start + 1, format!("`reset` or `reset warm`, not `{other}`"))),
            }
        }
        "auto" => Action::Mode(Mode::Auto),
        "raw" => Action::Mode(Mode::Raw),
        "set" => {
            let start = scanner.position;
            let name = scanner.word();
            check_name(&name).map_err(|problem| (start + 1, problem))?;
            Action::Set { name, value: template(scanner, 0)? }
        }
        "skip" => {
            let start = scanner.position;
            if scanner.word() != "unless" {
                return Err((start + 1, "`skip unless PATTERN`".into()));
            }
            Action::SkipUnless { expected: alternatives(scanner)?, to: usize::MAX }
        }
        "include" => {
            let path = scanner.rest_before_comment();
            if path.is_empty() {
                return Err((start, "`include` needs the path of a script".into()));
            }
            return Ok(Statement::Include(path));
        }
        other => {
            let known = "`>`, `<`, `reset`, `auto`, `raw`, `set`, `skip unless`, `include` or `#`";
            return Err((start, format!("a line begins with {known}, not `{other}`")));
        }
    };
    scanner.blanks();
    if scanner.at_end() {
        Ok(Statement::Act(action))
    } else {
        Err((scanner.position, "nothing more belongs here".into()))
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(legal) {
        return Ok(());
    }
    Err(format!("a name is letters, digits, `_` and `-`, not `{name}`"))
}

/// Bytes, variables and counted groups up to the end, or up to the `)` that closes this group.
fn template(scanner: &mut Scanner<'_>, depth: usize) -> Result<Template, Problem> {
    let mut parts: Vec<Part> = Vec::new();
    let start = scanner.position;
    loop {
        scanner.blanks();
        let position = scanner.position;
        if scanner.at_end() {
            return if depth > 0 {
                Err((position, "`)` is missing".into()))
            } else if parts.is_empty() {
                Err((start, "bytes in hexadecimal are missing".into()))
            } else {
                Ok(Template { parts })
            };
        }
        if scanner.eat("#(") {
            if depth == COUNT_DEPTH {
                return Err((position, format!("more than {COUNT_DEPTH} levels of #( … )")));
            }
            parts.push(Part::Counted(template(scanner, depth + 1)?));
        } else if scanner.eat(")") {
            return if depth > 0 { Ok(Template { parts }) } else { Err((position, "`)` without `#(`".into())) };
        } else if scanner.eat("${") {
            parts.push(Part::Variable(scanner.name_in_braces()?));
        } else if let Some(byte) = scanner.byte()? {
            match parts.last_mut() {
                Some(Part::Bytes(bytes)) => bytes.push(byte),
                _ => parts.push(Part::Bytes(vec![byte])),
            }
        } else {
            return Err((position, scanner.strange("hexadecimal digits, `${name}` or `#( … )`")));
        }
    }
}

/// Patterns joined by `|`, up to the end.
fn alternatives(scanner: &mut Scanner<'_>) -> Result<Expectation, Problem> {
    let mut patterns = Vec::new();
    loop {
        patterns.push(pattern(scanner)?);
        if !scanner.eat("|") {
            return Ok(Expectation { patterns });
        }
    }
}

fn pattern(scanner: &mut Scanner<'_>) -> Result<Pattern, Problem> {
    let mut elements: Vec<Element> = Vec::new();
    scanner.blanks();
    let start = scanner.position;
    loop {
        scanner.blanks();
        let position = scanner.position;
        if scanner.at_end() || scanner.peek("|") {
            if elements.is_empty() {
                return Err((start, "a pattern is missing; `..` stands for any response".into()));
            }
            return Ok(Pattern { source: scanner.text_from(start), elements });
        }
        let gap_before = matches!(elements.last(), Some(Element::Any | Element::Capture(_)));
        if scanner.eat("#..") {
            elements.push(Element::Counted(None));
        } else if scanner.eat("#{") {
            elements.push(Element::Counted(Some(scanner.name_in_braces()?)));
        } else if scanner.eat("${") {
            elements.push(Element::Variable(scanner.name_in_braces()?));
        } else if scanner.eat("..") {
            if gap_before {
                return Err((position, "two gaps side by side: where would one end?".into()));
            }
            elements.push(Element::Any);
        } else if scanner.eat("{") {
            let capture = capture(scanner)?;
            if gap_before && matches!(capture, Element::Capture(_)) {
                return Err((position, "two gaps side by side: where would one end?".into()));
            }
            elements.push(capture);
        } else if let Some(masked) = scanner.masked_byte()? {
            match elements.last_mut() {
                Some(Element::Bytes(bytes)) => bytes.push(masked),
                _ => elements.push(Element::Bytes(vec![masked])),
            }
        } else {
            let known = "hexadecimal digits, `?`, `..`, `{name}`, `{name:length}`, `${name}`, `#..`, `#{name}` or `|`";
            return Err((position, scanner.strange(known)));
        }
        if elements.len() > ELEMENTS {
            return Err((position, format!("more than {ELEMENTS} gaps, captures and variables in one pattern")));
        }
    }
}

/// What is behind the `{` of `{name}` and `{name:length}`.
fn capture(scanner: &mut Scanner<'_>) -> Result<Element, Problem> {
    let start = scanner.position;
    let inside = scanner.in_braces()?;
    let (name, length) = match inside.split_once(':') {
        Some((name, length)) => (name, Some(length)),
        None => (inside.as_str(), None),
    };
    check_name(name).map_err(|problem| (start, problem))?;
    match length.map(str::parse::<usize>) {
        None => Ok(Element::Capture(name.into())),
        Some(Ok(length)) => Ok(Element::CaptureExactly(name.into(), length)),
        Some(Err(_)) => Err((start, "`{name:length}` with the length in bytes, decimal".into())),
    }
}

/// A walk over the characters of a line.
struct Scanner<'a> {
    text: &'a [char],
    position: usize,
}

impl<'a> Scanner<'a> {
    const fn new(text: &'a [char]) -> Self {
        Self { text, position: 0 }
    }

    fn rest(&self) -> &'a [char] {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.position += self.rest().iter().take_while(|c| c.is_whitespace()).count();
    }

    /// Whether only a comment is left.
    fn at_end(&self) -> bool {
        self.rest().is_empty() || begins_comment(self.rest())
    }

    fn peek(&self, token: &str) -> bool {
        let mut rest = self.rest().iter();
        token.chars().all(|expected| rest.next() == Some(&expected))
    }

    fn eat(&mut self, token: &str) -> bool {
        let there = self.peek(token);
        if there {
            self.position += token.chars().count();
        }
        there
    }

    /// The next word, empty at the end; a comment ends the line.
    fn word(&mut self) -> String {
        self.blanks();
        if self.at_end() {
            return String::new();
        }
        let word: String = self.rest().iter().take_while(|c| !c.is_whitespace()).collect();
        self.position += word.chars().count();
        word
    }

    fn rest_before_comment(&mut self) -> String {
        let mut rest = self.rest().to_vec();
        drop_comment(&mut rest);
        self.position += rest.len();
        rest.iter().collect::<String>().trim().to_owned()
    }

    /// The comment that ends the line, if that is what is left.
    fn comment(&mut self) -> Option<String> {
        self.blanks();
        let comment: String = self.rest().iter().skip(1).collect();
        let comment = comment.trim();
        (begins_comment(self.rest()) && !comment.is_empty()).then(|| comment.to_owned())
    }

    fn text_from(&self, start: usize) -> String {
        let text: String = self.text.get(start..self.position).unwrap_or_default().iter().collect();
        text.trim().to_owned()
    }

    fn in_braces(&mut self) -> Result<String, Problem> {
        let start = self.position;
        let inside: String = self.rest().iter().take_while(|c| **c != '}').collect();
        self.position += inside.chars().count();
        if self.eat("}") { Ok(inside.trim().to_owned()) } else { Err((start, "`}` is missing".into())) }
    }

    fn name_in_braces(&mut self) -> Result<String, Problem> {
        let start = self.position;
        let name = self.in_braces()?;
        check_name(&name).map_err(|problem| (start, problem))?;
        Ok(name)
    }

    /// A hexadecimal digit or `?`: its value and its mask.
    fn nibble(&mut self) -> Option<(u8, u8)> {
        let nibble = match self.rest().first()? {
            '?' => (0, 0),
            digit => (u8::try_from(digit.to_digit(16)?).ok()?, 0x0F),
        };
        self.position += 1;
        Some(nibble)
    }

    fn masked_byte(&mut self) -> Result<Option<Masked>, Problem> {
        let Some((high, high_mask)) = self.nibble() else { return Ok(None) };
        let position = self.position;
        let Some((low, low_mask)) = self.nibble() else {
            return Err((position, "half a byte: two digits (or `?`) make one".into()));
        };
        let byte = Masked { value: high << 4 | low, mask: high_mask << 4 | low_mask };
        if !self.eat("/") {
            return Ok(Some(byte));
        }
        let position = self.position;
        match self.byte()? {
            Some(mask) if byte.mask == 0xFF => Ok(Some(Masked { value: byte.value & mask, mask })),
            _ => Err((position, "`VV/MM` with value and mask as two digits each".into())),
        }
    }

    fn byte(&mut self) -> Result<Option<u8>, Problem> {
        let position = self.position;
        let Some((high, high_mask)) = self.nibble() else { return Ok(None) };
        match self.nibble() {
            Some((low, low_mask)) if (high_mask, low_mask) == (0x0F, 0x0F) => Ok(Some(high << 4 | low)),
            Some(_) => Err((position, "`?` stands for a digit of a response only".into())),
            None => Err((self.position, "half a byte: two digits make one".into())),
        }
    }

    fn strange(&self, expected: &str) -> String {
        match self.rest().first() {
            Some(found) => format!("{expected} expected, not `{found}`"),
            None => format!("{expected} expected"),
        }
    }
}

/// One expectation by itself.
#[cfg(test)]
pub(super) fn expectation(text: &str) -> Result<Expectation, Problem> {
    let text: Vec<char> = text.chars().collect();
    alternatives(&mut Scanner::new(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Variables;

    fn read(text: &str) -> Result<Script, ScriptError> {
        script("test.apdu", text, &mut |_, path| match path {
            "reset.apdu" => Ok(Included { name: path.into(), text: "reset\nskip unless 9000\nauto\n".into() }),
            "itself.apdu" => Ok(Included { name: path.into(), text: "include itself.apdu".into() }),
            _ => Err("there is no such file".into()),
        })
    }

    fn sent(text: &str) -> Vec<u8> {
        match &read(text).unwrap().steps()[0].action {
            Action::Send { command, .. } => command.fill(&Variables::new()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_line_becomes_a_step() {
        let script = read(
            "# a script\n\nreset          # cold\nreset warm\nraw\nset pin 3132 3334\n> 00 a4 0004 #(3F00)  # select MF\n\
             < 61?? | 9000\nskip unless 61??  # not T=0\nauto\n",
        )
        .unwrap();
        let kinds: Vec<_> = script.steps().iter().map(|step| (step.location.line, step.note.as_deref())).collect();
        let expected = [(3, Some("cold")), (4, None), (5, None), (6, None), (7, Some("select MF"))];
        assert_eq!(kinds[..5], expected);
        assert_eq!(kinds[5..], [(9, Some("not T=0")), (10, None)]);
        assert!(matches!(script.steps()[5].action, Action::SkipUnless { to: 7, .. }));
        assert_eq!(script.steps()[4].location.to_string(), "test.apdu:7");
    }

    #[test]
    fn commands_may_be_written_with_counts_and_over_lines() {
        assert_eq!(sent("> 00A40004#(3F00)00"), [0, 0xA4, 0, 4, 2, 0x3F, 0, 0]);
        assert_eq!(
            sent("> 81E29100 # store data\n   #( BF31   # enable\n   #( 8101FF ) )\n"),
            [0x81, 0xE2, 0x91, 0, 6, 0xBF, 0x31, 3, 0x81, 1, 0xFF]
        );
    }

    #[test]
    fn includes_stand_in_their_place() {
        let script = read("raw\ninclude reset.apdu  # first of all\n> 00B0000000\n").unwrap();
        let files: Vec<_> = script.steps().iter().map(|step| step.location.to_string()).collect();
        assert_eq!(files, ["test.apdu:1", "reset.apdu:1", "reset.apdu:2", "reset.apdu:3", "test.apdu:3"]);
        assert!(matches!(script.steps()[2].action, Action::SkipUnless { to: 4, .. }), "skips the included script only");
    }

    #[test]
    fn the_examples_are_scripts() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/apdu"));
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let parsed = script(&path.to_string_lossy(), &text, &mut |_, path| {
                let text = std::fs::read_to_string(folder.join(path)).map_err(|error| error.to_string())?;
                Ok(Included { name: path.into(), text })
            });
            assert!(parsed.unwrap().steps().len() > 2, "{}", path.display());
            read += 1;
        }
        assert!(read >= 8, "{read} examples");
    }

    #[test]
    fn problems_have_a_place_and_a_way_out() {
        let problem = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(problem("reset\n  cold"), "test.apdu:2:3: `reset` or `reset warm`, not `cold`");
        assert_eq!(problem("> 00A4000"), "test.apdu:1:10: half a byte: two digits make one");
        assert_eq!(problem("> 00A4?0"), "test.apdu:1:7: `?` stands for a digit of a response only");
        assert_eq!(problem("> 00A4 zz"), "test.apdu:1:8: hexadecimal digits, `${name}` or `#( … )` expected, not `z`");
        assert_eq!(problem("> 00A4 #( 3F00"), "test.apdu:1:15: `)` is missing");
        assert_eq!(problem("> 00A4 )"), "test.apdu:1:8: `)` without `#(`");
        assert_eq!(problem(">"), "test.apdu:1:2: bytes in hexadecimal are missing");
        assert_eq!(problem("> 00\n<"), "test.apdu:2:2: a pattern is missing; `..` stands for any response");
        assert!(problem("< 9000").contains("behind the `>`"));
        assert!(problem("> 00\n< 9000\n< 9000").starts_with("test.apdu:3:1: this command has"));
        assert!(problem("> 00\n< .. {rest}").starts_with("test.apdu:2:6: two gaps"));
        assert!(problem("> 00\n< {n:ten}").contains("decimal"));
        assert!(problem("> 00\n< {n o} 9000").contains("a name is"));
        assert!(problem("> 00\n< 9?/F0").contains("VV/MM"));
        assert!(problem("select 3F00").starts_with("test.apdu:1:1: a line begins with"));
        assert!(problem("raw auto").contains("nothing more"));
        assert!(problem("set").contains("a name is"));
        assert!(problem("skip if 9000").contains("skip unless"));
        assert_eq!(problem("\ninclude other.apdu"), "test.apdu:2:1: include other.apdu: there is no such file");
        assert!(problem("include itself.apdu").contains("does one include itself?"));
        assert!(problem("include  # nothing").contains("path"));
    }
}
