//! Lines, and a walk over the characters of one.

use super::pattern::Masked;

/// A problem within a line: the position in the line's characters, and what it is.
pub(super) type Problem = (usize, String);

/// What lines begin with. `else` and `end` belong to blocks.
pub(super) const STATEMENTS: &[&str] =
    &["reset", "auto", "raw", "set", "secret", "within", "expect", "skip", "include", "if", "else", "for", "end"];

/// The characters of the longest of [`STATEMENTS`].
const LONGEST_WORD: usize = 7;

/// A line with its continuations.
pub(super) struct LogicalLine {
    pub(super) text: Vec<char>,
    /// For each physical line: where it begins in `text`, its number, and the column its text begins at.
    pieces: Vec<(usize, usize, usize)>,
}

impl LogicalLine {
    pub(super) fn first_line(&self) -> usize {
        self.pieces.first().map_or(0, |(_, line, _)| *line)
    }

    /// Line and column of a position in the text.
    pub(super) fn position(&self, position: usize) -> (usize, usize) {
        let piece = self.pieces.iter().rev().find(|(begin, ..)| *begin <= position);
        piece.map_or((0, 0), |(begin, line, column)| (*line, column + position - begin))
    }

    /// Whether an indented line that reads like a statement could still be the rest of this one: `set`, and on the next
    /// line a variable called `end`.
    fn is_bare(&self) -> bool {
        let word: String = self.text.iter().take(LONGEST_WORD).collect();
        self.text.len() <= LONGEST_WORD && matches!(word.trim(), "set" | "include" | "skip" | "secret" | "for" | "if")
    }
}

/// Lines that hold something, each joined with the indented ones below it, unless those begin a statement of their own;
/// blank and comment lines are left out.
pub(super) fn logical_lines(text: &str) -> Vec<LogicalLine> {
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
            Some(line) if indent > 0 && (!begins_statement(&content) || line.is_bare()) => {
                // The pieces before have none any more.
                let begin = line.pieces.last().map_or(0, |(begin, ..)| *begin);
                drop_comment(&mut line.text, begin);
                line.text.push(' ');
                line.pieces.push((line.text.len(), index + 1, indent + 1));
                line.text.extend(content);
            }
            _ => lines.push(LogicalLine { text: content, pieces: vec![(0, index + 1, indent + 1)] }),
        }
    }
    lines
}

/// Whether this is `>`, `<` or one of [`STATEMENTS`], none of which can be the rest of another.
fn begins_statement(content: &[char]) -> bool {
    matches!(content, ['>' | '<', ..]) || {
        let word: String = content.iter().take_while(|c| !c.is_whitespace()).collect();
        STATEMENTS.contains(&word.as_str())
    }
}

/// Cuts the comment off that begins at `begin` or behind.
fn drop_comment(text: &mut Vec<char>, begin: usize) {
    if let Some(start) = (begin..text.len()).find(|position| begins_comment(text.get(*position..).unwrap_or_default()))
    {
        text.truncate(start);
    }
}

/// A `#` that is not `#(`, `#{` or `#..`.
fn begins_comment(rest: &[char]) -> bool {
    matches!(rest, ['#', ..]) && !matches!(rest, ['#', '(' | '{', ..] | ['#', '.', '.', ..])
}

/// Whether this is a name of a variable.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(legal) {
        return Ok(());
    }
    Err(format!("a name is letters, digits, `_` and `-`, not `{name}`"))
}

/// A walk over the characters of a line.
pub(super) struct Scanner<'a> {
    text: &'a [char],
    pub(super) position: usize,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a [char]) -> Self {
        Self { text, position: 0 }
    }

    fn rest(&self) -> &'a [char] {
        self.text.get(self.position..).unwrap_or_default()
    }

    pub(super) fn blanks(&mut self) {
        self.position += self.rest().iter().take_while(|c| c.is_whitespace()).count();
    }

    /// Whether only a comment is left.
    pub(super) fn at_end(&self) -> bool {
        self.rest().is_empty() || begins_comment(self.rest())
    }

    pub(super) fn peek(&self, token: &str) -> bool {
        let mut rest = self.rest().iter();
        token.chars().all(|expected| rest.next() == Some(&expected))
    }

    pub(super) fn eat(&mut self, token: &str) -> bool {
        let there = self.peek(token);
        if there {
            self.position += token.chars().count();
        }
        there
    }

    /// The next word, empty at the end; a comment ends the line.
    pub(super) fn word(&mut self) -> String {
        self.blanks();
        if self.at_end() {
            return String::new();
        }
        let word: String = self.rest().iter().take_while(|c| !c.is_whitespace()).collect();
        self.position += word.chars().count();
        word
    }

    /// Goes behind the next word if it is this one.
    pub(super) fn eat_word(&mut self, expected: &str) -> bool {
        let start = self.position;
        let there = self.word() == expected;
        if !there {
            self.position = start;
        }
        there
    }

    /// The name of a variable, the next word.
    pub(super) fn name(&mut self) -> Result<String, Problem> {
        self.blanks();
        let start = self.position;
        let name = self.word();
        check_name(&name).map_err(|problem| (start, problem))?;
        Ok(name)
    }

    pub(super) fn rest_before_comment(&mut self) -> String {
        let mut rest = self.rest().to_vec();
        drop_comment(&mut rest, 0);
        self.position += rest.len();
        rest.iter().collect::<String>().trim().to_owned()
    }

    /// The comment that ends the line, if that is what is left.
    pub(super) fn comment(&mut self) -> Option<String> {
        self.blanks();
        let comment: String = self.rest().iter().skip(1).collect();
        let comment = comment.trim();
        (begins_comment(self.rest()) && !comment.is_empty()).then(|| comment.to_owned())
    }

    pub(super) fn text_from(&self, start: usize) -> String {
        let text: String = self.text.get(start..self.position).unwrap_or_default().iter().collect();
        text.trim().to_owned()
    }

    pub(super) fn in_braces(&mut self) -> Result<String, Problem> {
        let start = self.position;
        let inside: String = self.rest().iter().take_while(|c| **c != '}').collect();
        self.position += inside.chars().count();
        if self.eat("}") { Ok(inside.trim().to_owned()) } else { Err((start, "`}` is missing".into())) }
    }

    pub(super) fn name_in_braces(&mut self) -> Result<String, Problem> {
        let start = self.position;
        let name = self.in_braces()?;
        check_name(&name).map_err(|problem| (start, problem))?;
        Ok(name)
    }

    /// Digits as long as there are some.
    pub(super) fn digits(&mut self, radix: u32) -> String {
        let digits: String = self.rest().iter().take_while(|c| c.is_digit(radix)).collect();
        self.position += digits.len();
        digits
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

    pub(super) fn masked_byte(&mut self) -> Result<Option<Masked>, Problem> {
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

    pub(super) fn byte(&mut self) -> Result<Option<u8>, Problem> {
        let position = self.position;
        let Some((high, high_mask)) = self.nibble() else { return Ok(None) };
        match self.nibble() {
            Some((low, low_mask)) if (high_mask, low_mask) == (0x0F, 0x0F) => Ok(Some(high << 4 | low)),
            Some(_) => Err((position, "`?` stands for a digit of a response only".into())),
            None => Err((self.position, "half a byte: two digits make one".into())),
        }
    }

    pub(super) fn strange(&self, expected: &str) -> String {
        match self.rest().first() {
            Some(found) => format!("{expected} expected, not `{found}`"),
            None => format!("{expected} expected"),
        }
    }
}

/// The one of `known` that `word` was meant to be, in words to be added to a problem.
pub(super) fn meant(word: &str, known: &[&str]) -> String {
    let lower = word.to_lowercase();
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&lower, known), known))
        .filter(|(distance, known)| *distance <= known.len() / 3 || lower == **known)
        .min();
    near.map(|(_, known)| format!("; did you mean `{known}`?")).unwrap_or_default()
}
