//! From lines of text to steps.

use std::sync::Arc;
use std::time::Duration;

use apdu::tlv::{Header, Tag};

use super::condition::{Condition, Item, List, Path, Segment, Source, Subject, Test};
use super::pattern::{Element, Expectation, Pattern};
use super::scanner::{LogicalLine, Problem, STATEMENTS, Scanner, check_name, logical_lines, meant};
use super::template::{MOST_OCTETS, Part, Template};
use super::{Action, Included, Location, Mode, Resolve, Script, Step};

/// Scripts that include scripts that include scripts …
const INCLUDE_DEPTH: usize = 16;
/// `#( #( … ) )`.
const COUNT_DEPTH: usize = 16;
/// `if` and `for` within each other, in one file.
const BLOCK_DEPTH: usize = 16;
/// Gaps, captures and variables one pattern may have.
const ELEMENTS: usize = 256;
/// Values one list may have.
const LIST: usize = 65_536;
/// Steps of a script with all that it includes.
const STEPS: usize = 1_000_000;
/// Scripts that one includes, with all that they include, however often the same.
const INCLUDES: usize = 10_000;
/// Characters of a script with all that it includes.
const TEXT: usize = 64 << 20;
/// Tags of one path.
const PATH: usize = 32;
/// The longest time that `within` may say.
const LONGEST: Duration = Duration::from_hours(1);

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
    /// The line as it is written; empty if there is none.
    pub text: String,
}

impl ScriptError {
    /// At a line and column of `text`.
    pub(super) fn new(file: &str, text: &str, (line, column): (usize, usize), problem: String) -> Self {
        let written = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        Self { file: file.into(), line, column, problem, text: written.trim_end().replace('\t', " ") }
    }

    /// The line, and below it a mark under the place; `None` for an empty line.
    pub fn excerpt(&self) -> Option<[String; 2]> {
        let mark = format!("{:1$}^", "", self.column.saturating_sub(1));
        (!self.text.is_empty()).then(|| [self.text.clone(), mark])
    }
}

/// Reads a script with its includes.
pub(super) fn script(name: &str, text: &str, resolve: &mut Resolve<'_>) -> Result<Script, ScriptError> {
    let mut reader = Reader { steps: Vec::new(), open: None, includes: 0, text: 0 };
    reader.file(name, text, resolve, Place { depth: 0, blocks: 0, outer: None })?;
    let acts = |step: &Step| matches!(step.action, Action::Send { .. } | Action::Reset { .. });
    if reader.steps.iter().any(acts) {
        return Ok(Script { steps: reader.steps });
    }
    let problem =
        "the script does nothing to a card: a line that begins with `>` sends a command, as `> 00A40004023F00`";
    Err(ScriptError { file: name.into(), line: 1, column: 1, problem: problem.into(), text: String::new() })
}

/// What has been read so far.
struct Reader {
    steps: Vec<Step>,
    /// The command that `<` and `within` may describe: the step directly above.
    open: Option<usize>,
    /// Scripts that were included so far, and characters of all.
    includes: usize,
    text: usize,
}

/// Where a file stands within the whole.
#[derive(Clone, Copy)]
struct Place {
    /// How many others it is included by.
    depth: usize,
    /// How many `if` and `for` are around its `include`, and around those it is included by.
    blocks: usize,
    /// The line of the whole script that it stands for, if it is included.
    outer: Option<usize>,
}

/// An `if` or a `for` that waits for its `end`.
struct Block {
    line: usize,
    kind: Kind,
    /// What to say if there is none.
    unclosed: ScriptError,
}

enum Kind {
    If {
        /// The step whose `otherwise` is not known yet.
        last: Option<usize>,
        /// The jumps to the end.
        jumps: Vec<usize>,
        /// Its first step.
        first: usize,
    },
    For {
        /// Its step.
        start: usize,
    },
}

impl Reader {
    fn file(&mut self, name: &str, text: &str, resolve: &mut Resolve<'_>, place: Place) -> Result<(), ScriptError> {
        let file: Arc<str> = name.into();
        let first = self.steps.len();
        let mut blocks: Vec<Block> = Vec::new();
        self.open = None;
        for line in logical_lines(text) {
            let at = |(position, problem): Problem| ScriptError::new(name, text, line.position(position), problem);
            let mut scanner = Scanner::new(&line.text);
            let statement = statement(&mut scanner).map_err(at)?;
            let outer = place.outer.or_else(|| blocks.first().map(|block| block.line)).unwrap_or(line.first_line());
            if let Statement::Include(path) = statement {
                let included = include(name, &path, resolve, place.depth).map_err(|problem| at((0, problem)))?;
                self.count(&included).map_err(|problem| at((0, problem)))?;
                let place = Place { depth: place.depth + 1, blocks: place.blocks + blocks.len(), outer: Some(outer) };
                self.file(&included.name, &included.text, resolve, place)?;
                self.open = None;
                continue;
            }
            let location = Location { file: file.clone(), line: line.first_line() };
            let note = scanner.comment();
            // A block's own first and last step are in it: they are played whenever it is come by.
            let closes = usize::from(matches!(statement, Statement::End | Statement::Else(_)));
            let around = place.blocks + blocks.len().saturating_sub(closes);
            let step = |action| Step { location: location.clone(), outer, blocks: around, action, note: note.clone() };
            self.statement(statement, step, &mut blocks, &line, &at)?;
            if self.steps.len() > STEPS {
                return Err(at((
                    0,
                    format!("more than {STEPS} steps; does a script include another again and again?"),
                )));
            }
        }
        if let Some(block) = blocks.pop() {
            return Err(block.unclosed);
        }
        self.open = None;
        let end = self.steps.len();
        for step in self.steps.get_mut(first..).unwrap_or_default() {
            // Those of included scripts have their own end already.
            if let Action::SkipUnless { to, .. } = &mut step.action
                && *to == usize::MAX
            {
                *to = end;
            }
        }
        Ok(())
    }

    /// Counts a script that is included: a few lines can name as many as there are stars.
    fn count(&mut self, included: &Included) -> Result<(), String> {
        self.includes += 1;
        self.text = self.text.saturating_add(included.text.len());
        if self.includes > INCLUDES {
            return Err(format!(
                "more than {INCLUDES} scripts are included; does one include another again and again?"
            ));
        }
        if self.text > TEXT {
            return Err(format!("the included scripts have more than {} MiB of text", TEXT >> 20));
        }
        Ok(())
    }

    fn statement(
        &mut self,
        statement: Statement,
        step: impl Fn(Action) -> Step,
        blocks: &mut Vec<Block>,
        line: &LogicalLine,
        at: &impl Fn(Problem) -> ScriptError,
    ) -> Result<(), ScriptError> {
        let here = self.steps.len();
        let open = self.open.take();
        match statement {
            Statement::Expect(expectation) => {
                self.open = open;
                return self
                    .describe(|expected, _| {
                        if expected.is_some() {
                            return Err(
                                "this command has an expected response already; join alternatives by `|`".into()
                            );
                        }
                        *expected = Some(expectation);
                        Ok(())
                    })
                    .map_err(|problem| at((0, problem)));
            }
            Statement::Within(time) => {
                self.open = open;
                return self
                    .describe(|_, within| {
                        *within = Some(time);
                        Ok(())
                    })
                    .map_err(|problem| at((0, problem)));
            }
            Statement::Act(action) => {
                let kind = match &action {
                    Action::If { .. } => Some(Kind::If { last: Some(here), jumps: Vec::new(), first: here }),
                    Action::For { .. } => Some(Kind::For { start: here }),
                    Action::Send { .. } => {
                        self.open = Some(here);
                        None
                    }
                    _ => None,
                };
                if let Some(kind) = kind {
                    if blocks.len() == BLOCK_DEPTH {
                        return Err(at((0, format!("more than {BLOCK_DEPTH} levels of `if` and `for`"))));
                    }
                    let unclosed = at((0, "`end` is missing: it ends what begins here".into()));
                    blocks.push(Block { line: line.first_line(), kind, unclosed });
                }
                self.steps.push(step(action));
            }
            Statement::Else(condition) => {
                self.otherwise(blocks, condition, step).map_err(|problem| at((0, problem)))?;
            }
            Statement::End => self.end(blocks, step).map_err(|problem| at((0, problem)))?,
            // It is in its place already.
            Statement::Include(_) => {}
        }
        Ok(())
    }

    /// Hangs something on the `>` directly above.
    fn describe(
        &mut self,
        change: impl FnOnce(&mut Option<Expectation>, &mut Option<Duration>) -> Result<(), String>,
    ) -> Result<(), String> {
        match self.open.and_then(|open| self.steps.get_mut(open)).map(|step| &mut step.action) {
            Some(Action::Send { expected, within, .. }) => change(expected, within),
            _ => Err("`<` and `within` belong directly behind the `>` whose response they describe".into()),
        }
    }

    /// `else`, `else if CONDITION`.
    fn otherwise(
        &mut self,
        blocks: &mut [Block],
        condition: Option<Condition>,
        step: impl Fn(Action) -> Step,
    ) -> Result<(), String> {
        let Some(Block { kind: Kind::If { last, jumps, .. }, .. }) = blocks.last_mut() else {
            return Err("`else` belongs into an `if`, before its `end`".into());
        };
        let Some(before) = last.take() else {
            return Err("this `if` has its `else` already, which is the last branch".into());
        };
        jumps.push(self.steps.len());
        self.steps.push(step(Action::Jump { to: usize::MAX }));
        let next = self.steps.len();
        self.leads_to(before, next);
        if let Some(condition) = condition {
            *last = Some(next);
            self.steps.push(step(Action::If { condition, otherwise: usize::MAX, left_out: None }));
        }
        Ok(())
    }

    fn end(&mut self, blocks: &mut Vec<Block>, step: impl Fn(Action) -> Step) -> Result<(), String> {
        match blocks.pop().map(|block| block.kind) {
            None => Err("`end` without `if` or `for`".into()),
            Some(Kind::If { last, jumps, first }) => {
                let end = self.steps.len();
                let branches = self.steps.get(first..).unwrap_or_default();
                let told = branches.iter().filter(|step| !step.action.is_quiet()).count();
                if let Some(Step { action: Action::If { left_out, .. }, .. }) =
                    last.and_then(|last| self.steps.get_mut(last))
                {
                    *left_out = Some(told);
                }
                last.into_iter().chain(jumps).for_each(|from| self.leads_to(from, end));
                Ok(())
            }
            Some(Kind::For { start }) => {
                let end = self.steps.len();
                self.leads_to(start, end);
                self.steps.push(step(Action::Next { start }));
                Ok(())
            }
        }
    }

    fn leads_to(&mut self, step: usize, target: usize) {
        let action = self.steps.get_mut(step).map(|step| &mut step.action);
        if let Some(Action::If { otherwise: to, .. } | Action::Jump { to } | Action::For { end: to, .. }) = action {
            *to = target;
        }
    }
}

fn include(from: &str, path: &str, resolve: &mut Resolve<'_>, depth: usize) -> Result<Included, String> {
    if depth == INCLUDE_DEPTH {
        return Err(format!("more than {INCLUDE_DEPTH} levels of include; does one include itself?"));
    }
    resolve(from, path).map_err(|problem| format!("include {path}: {problem}"))
}

enum Statement {
    Act(Action),
    Expect(Expectation),
    Within(Duration),
    Include(String),
    Else(Option<Condition>),
    End,
}

fn statement(scanner: &mut Scanner<'_>) -> Result<Statement, Problem> {
    if scanner.eat(">") {
        let command = template(scanner, 0, false)?;
        return ended(scanner, Statement::Act(Action::Send { command, expected: None, within: None }));
    }
    if scanner.eat("<") {
        return alternatives(scanner).map(Statement::Expect);
    }
    let start = scanner.position;
    let word = scanner.word();
    let act = match word.as_str() {
        "reset" => reset(scanner)?,
        "auto" => Action::Mode(Mode::Auto),
        "raw" => Action::Mode(Mode::Raw),
        "set" => {
            let name = scanner.name()?;
            if scanner.eat_word("from") {
                Action::Take { name, source: source(scanner)? }
            } else {
                Action::Set { name, value: template(scanner, 0, false)? }
            }
        }
        "secret" => Action::Secret { name: scanner.name()? },
        "expect" => Action::Expect { condition: condition(scanner)? },
        "if" => Action::If { condition: condition(scanner)?, otherwise: usize::MAX, left_out: None },
        "for" => Action::For { name: scanner.name()?, list: list(scanner)?, end: usize::MAX },
        "skip" => {
            scanner.blanks();
            let start = scanner.position;
            if scanner.word() != "unless" {
                return Err((start, "`skip unless PATTERN`".into()));
            }
            Action::SkipUnless { expected: alternatives(scanner)?, to: usize::MAX }
        }
        "within" => {
            let time = time(scanner)?;
            return ended(scanner, Statement::Within(time));
        }
        "else" => {
            let condition = if scanner.eat_word("if") { Some(condition(scanner)?) } else { None };
            return ended(scanner, Statement::Else(condition));
        }
        "end" => return ended(scanner, Statement::End),
        "include" => {
            let path = scanner.rest_before_comment();
            if path.is_empty() {
                return Err((start, "`include` needs the path of a script".into()));
            }
            return Ok(Statement::Include(path));
        }
        other => return Err((start, unknown(other))),
    };
    ended(scanner, Statement::Act(act))
}

fn unknown(word: &str) -> String {
    let known = STATEMENTS.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
    let meant = if !word.is_empty() && word.chars().all(|c| c.is_ascii_hexdigit()) {
        "; put `>` before a command".to_owned()
    } else {
        meant(word, STATEMENTS)
    };
    format!("a line begins with `>`, `<`, {known} or `#`, not `{word}`{meant}")
}

fn ended(scanner: &mut Scanner<'_>, statement: Statement) -> Result<Statement, Problem> {
    scanner.blanks();
    if scanner.at_end() { Ok(statement) } else { Err((scanner.position, "nothing more belongs here".into())) }
}

fn reset(scanner: &mut Scanner<'_>) -> Result<Action, Problem> {
    scanner.blanks();
    let start = scanner.position;
    match scanner.word().as_str() {
        "" => Ok(Action::Reset { warm: false }),
        "warm" => Ok(Action::Reset { warm: true }),
        other => Err((start, format!("`reset` or `reset warm`, not `{other}`"))),
    }
}

/// `50 ms`, `2 s`.
fn time(scanner: &mut Scanner<'_>) -> Result<Duration, Problem> {
    scanner.blanks();
    let start = scanner.position;
    let number = scanner.digits(10).parse().ok();
    let unit = scanner.word();
    let time = match (number, unit.as_str()) {
        (Some(number), "ms") => Some(Duration::from_millis(number)),
        (Some(number), "s") => Some(Duration::from_secs(number)),
        _ => None,
    };
    time.filter(|time| !time.is_zero() && *time <= LONGEST)
        .ok_or_else(|| (start, "a time of at most an hour, in `ms` or `s`: `within 50 ms`".to_owned()))
}

/// `response`, or the name of a variable.
fn subject(scanner: &mut Scanner<'_>) -> Result<Subject, Problem> {
    scanner.blanks();
    let start = scanner.position;
    let word = scanner.word();
    if word.is_empty() {
        return Err((start, "`response` or the name of a variable is missing: what to look at".into()));
    }
    check_name(&word).map_err(|problem| (start, problem))?;
    Ok(if word == "response" { Subject::Response } else { Subject::Variable(word) })
}

/// `[not] SUBJECT is PATTERN`, `[not] SUBJECT has PATH [= PATTERN]`.
fn condition(scanner: &mut Scanner<'_>) -> Result<Condition, Problem> {
    scanner.blanks();
    let start = scanner.position;
    let negated = scanner.eat_word("not");
    let subject = subject(scanner)?;
    scanner.blanks();
    let verb = scanner.position;
    let test = match scanner.word().as_str() {
        "is" => Test::Is(alternatives(scanner)?),
        "has" => {
            let path = path(scanner)?;
            scanner.blanks();
            let value = if scanner.eat("=") { Some(alternatives(scanner)?) } else { None };
            Test::Has(path, value)
        }
        other => {
            let meant = meant(other, &["is", "has"]);
            return Err((verb, format!("`is PATTERN` or `has PATH` expected, not `{other}`{meant}")));
        }
    };
    Ok(Condition { negated, subject, test, source: scanner.text_from(start) })
}

/// `SUBJECT PATH`.
fn source(scanner: &mut Scanner<'_>) -> Result<Source, Problem> {
    Ok(Source { subject: subject(scanner)?, path: path(scanner)? })
}

/// `BF2D/A0/E3[2]/5A`.
fn path(scanner: &mut Scanner<'_>) -> Result<Path, Problem> {
    scanner.blanks();
    let mut segments = Vec::new();
    loop {
        let start = scanner.position;
        let digits = scanner.digits(16);
        let tag = tag(&digits).ok_or_else(|| {
            let found = if digits.is_empty() { scanner.strange("a tag") } else { format!("`{digits}` is no tag") };
            (start, format!("{found}; a path is tags of BER-TLV joined by `/`, as `BF2D/A0/E3/5A`"))
        })?;
        let mut nth = None;
        if scanner.eat("[") {
            let start = scanner.position;
            nth = scanner.digits(10).parse().ok().filter(|nth| *nth > 0);
            if nth.is_none() || !scanner.eat("]") {
                return Err((start, "`[2]` is the second with this tag: a number from 1, then `]`".into()));
            }
        }
        segments.push(Segment { tag, nth });
        if segments.len() > PATH {
            return Err((start, format!("more than {PATH} tags in one path")));
        }
        if !scanner.eat("/") {
            return Ok(Path { segments });
        }
    }
}

/// The tag that these digits are, if they are exactly one.
fn tag(digits: &str) -> Option<Tag> {
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let mut bytes = (0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<_>>>()?;
    bytes.push(0);
    let header = Header::parse(&bytes).ok()??;
    (header.header_length == bytes.len()).then_some(header.tag)
}

/// `in VALUE, FIRST..LAST, …`, `from SUBJECT PATH`.
fn list(scanner: &mut Scanner<'_>) -> Result<List, Problem> {
    scanner.blanks();
    let start = scanner.position;
    match scanner.word().as_str() {
        "from" => source(scanner).map(List::Found),
        "in" => {
            let (mut items, mut count) = (Vec::new(), 0_usize);
            loop {
                scanner.blanks();
                let start = scanner.position;
                let item = item(scanner)?;
                count += match &item {
                    Item::One(_) => 1,
                    Item::Range { first, last, .. } => usize::try_from(last - first).unwrap_or(LIST).saturating_add(1),
                };
                if count > LIST {
                    return Err((start, format!("more than {LIST} values in one list")));
                }
                items.push(item);
                if !scanner.eat(",") {
                    return Ok(List::Items(items));
                }
            }
        }
        other => {
            let meant = meant(other, &["in", "from"]);
            let known = "`in VALUE, VALUE, FIRST..LAST` or `from response PATH`";
            Err((start, format!("{known} expected, not `{other}`{meant}")))
        }
    }
}

/// `2FE2`, `01..0A`.
fn item(scanner: &mut Scanner<'_>) -> Result<Item, Problem> {
    let start = scanner.position;
    let first = template(scanner, 0, true)?;
    if !scanner.eat("..") {
        return Ok(Item::One(first));
    }
    let last = template(scanner, 0, true)?;
    let number = |template: &Template| match template.parts.as_slice() {
        [Part::Bytes(bytes)] if bytes.len() <= 4 => {
            Some((bytes.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)), bytes.len()))
        }
        _ => None,
    };
    match (number(&first), number(&last)) {
        (Some((first, width)), Some((last, other))) if width == other && first <= last => {
            Ok(Item::Range { first, last, width })
        }
        _ => Err((
            start,
            "a range is two numbers of as many bytes, at most four, the smaller one first: `01..0A`".into(),
        )),
    }
}

/// Bytes, variables and counted groups up to the end, or up to the `)` that closes this group; in a list up to the `,` or
/// `..` that ends a value.
fn template(scanner: &mut Scanner<'_>, depth: usize, in_list: bool) -> Result<Template, Problem> {
    let mut parts: Vec<Part> = Vec::new();
    let start = scanner.position;
    loop {
        scanner.blanks();
        let position = scanner.position;
        if scanner.at_end() || in_list && depth == 0 && (scanner.peek(",") || scanner.peek("..")) {
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
            parts.push(Part::Counted(template(scanner, depth + 1, in_list)?));
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
        Some(Ok(length)) if length <= MOST_OCTETS => Ok(Element::CaptureExactly(name.into(), length)),
        Some(_) => Err((start, format!("`{{name:length}}` with the length in bytes, decimal, {MOST_OCTETS} at most"))),
    }
}

/// One expectation by itself.
#[cfg(test)]
pub(super) fn expectation(text: &str) -> Result<Expectation, Problem> {
    let text: Vec<char> = text.chars().collect();
    alternatives(&mut Scanner::new(&text))
}

/// One condition by itself.
#[cfg(test)]
pub(super) fn condition_alone(text: &str) -> Result<Condition, Problem> {
    let text: Vec<char> = text.chars().collect();
    condition(&mut Scanner::new(&text))
}

/// One list by itself.
#[cfg(test)]
pub(super) fn list_alone(text: &str) -> Result<List, Problem> {
    let text: Vec<char> = text.chars().collect();
    list(&mut Scanner::new(&text))
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
            if path.extension().is_none_or(|extension| extension != "apdu") {
                continue;
            }
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
        assert!(problem("rest\n> 00").ends_with("not `rest`; did you mean `reset`?"), "{}", problem("rest\n> 00"));
        assert!(problem("00A40004").ends_with("put `>` before a command"));
        assert_eq!(problem("\ninclude other.apdu"), "test.apdu:2:1: include other.apdu: there is no such file");
        assert!(problem("include itself.apdu").contains("does one include itself?"));
        assert!(problem("include  # nothing").contains("path"));
    }
    #[test]
    fn blocks_are_steps_that_lead_to_each_other() {
        let script = read(
            "> 00\nif response is 9000\n  > 01\nelse if not x has 6F/84[2] = A0 ..\n  for y in 01..03\n    > 02\n  end\nelse\n  \
             include reset.apdu\nend\n> 04\n",
        )
        .unwrap();
        let leads: Vec<_> = script
            .steps()
            .iter()
            .map(|step| match &step.action {
                Action::If { otherwise: to, .. }
                | Action::For { end: to, .. }
                | Action::Jump { to }
                | Action::SkipUnless { to, .. } => Some(*to),
                Action::Next { start } => Some(*start),
                _ => None,
            })
            .collect();
        let expected =
            [None, Some(4), None, Some(12), Some(9), Some(7), None, Some(5), Some(12), None, Some(12), None, None];
        assert_eq!(leads, expected);
        let outer: Vec<_> = script.steps().iter().map(|step| step.outer).collect();
        assert_eq!(outer, [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 11]);
    }

    /// Ten lines through fifteen levels would be more scripts than there is time to read.
    #[test]
    fn includes_are_counted_that_hold_nothing() {
        let mut read = 0;
        let error = script("0", &"include 1\n".repeat(10), &mut |from, _| {
            read += 1;
            let level = from.parse::<u32>().unwrap() + 1;
            let text = if level < 15 { "include x\n".repeat(10) } else { "# nothing".into() };
            Ok(Included { name: level.to_string(), text })
        })
        .unwrap_err();
        assert!(error.problem.starts_with("more than 10000 scripts are included"), "{error}");
        assert!(read <= INCLUDES + 1, "{read}");
        let long = "# ".to_owned() + &"x".repeat(TEXT / 4);
        let error =
            script("0", &"include 1\n".repeat(5), &mut |_, _| Ok(Included { name: "1".into(), text: long.clone() }));
        assert!(error.unwrap_err().problem.contains("more than 64 MiB of text"));
    }

    /// Each line used to walk over all lines before it.
    #[test]
    fn a_command_may_go_on_over_many_lines() {
        let text = "> 00D6000000FFFF  # begin\n".to_owned() + &"    00  # one more\n".repeat(60_000);
        assert_eq!(sent(&text).len(), 7 + 60_000);
    }

    #[test]
    fn statements_may_be_indented() {
        let script = read("  > 00A4 #(\n    3F00 )\n  < 62 ..\n    9000\n  set\n    end 01\n  reset\n").unwrap();
        assert_eq!(script.steps().len(), 3);
        assert!(matches!(&script.steps()[1].action, Action::Set { name, .. } if name == "end"));
    }

    #[test]
    fn problems_of_blocks_and_conditions() {
        let problem = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(
            problem("> 00\nif response is 9000\n> 01"),
            "test.apdu:2:1: `end` is missing: it ends what begins here"
        );
        assert!(problem("> 00\nend").starts_with("test.apdu:2:1: `end` without"));
        assert!(problem("> 00\nelse").contains("belongs into an `if`"));
        assert!(problem("if x is 00\nelse\nelse\nend").starts_with("test.apdu:3:1: this `if` has its `else`"));
        assert!(problem("for x in 01\nelse\nend").contains("belongs into an `if`"));
        assert!(
            problem("if response si 9000\nend")
                .starts_with("test.apdu:1:13: `is PATTERN` or `has PATH` expected, not `si`")
        );
        assert!(problem("if").starts_with("test.apdu:1:3: `response` or the name"), "{}", problem("if"));
        assert!(problem("if response has\nend").contains("a path is tags"));
        assert!(problem("if response has 9000\nend").contains("`9000` is no tag"));
        assert!(problem("if response has E3[0]\nend").contains("a number from 1"));
        assert!(problem("for x on 01\nend").starts_with("test.apdu:1:7: `in VALUE"));
        assert!(problem("for x in\nend").contains("bytes in hexadecimal are missing"));
        assert!(problem("for x in 05..01\nend").contains("the smaller one first"));
        assert!(problem("for x in 00..0001\nend").contains("of as many bytes"));
        assert!(problem("for x in 00000000..FFFFFFFF\nend").contains("more than 65536 values"));
        assert!(problem("> 00\nwithin 50").contains("`within 50 ms`"));
        assert!(problem("> 00\nwithin 0 ms").contains("`within 50 ms`"));
        assert!(problem("within 50 ms").contains("directly behind the `>`"));
        assert!(problem("if x is 00\n> 00\nend\n< 9000").contains("directly behind the `>`"));
        assert!(problem("raw").contains("does nothing to a card"));
        let deep = "if x is 00\n".repeat(17);
        assert!(problem(&deep).starts_with("test.apdu:17:1: more than 16 levels"));
    }

    #[test]
    fn a_mark_is_under_the_place() {
        let error = read("reset\n\t> 00A4 zz  # wrong").unwrap_err();
        assert_eq!(error.excerpt().unwrap(), [" > 00A4 zz  # wrong".to_owned(), "        ^".to_owned()]);
        assert_eq!(read("raw").unwrap_err().excerpt(), None);
    }
}
