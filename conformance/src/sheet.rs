//! Reading a sheet: the words around the script, and the script of each row.

use reader_bridge::script::{Included, Script, ScriptError};

use crate::shipped::{CARDS, CardKind, card};

/// The rows of one command.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Its name: that of its file, without the ending.
    pub name: String,
    /// What it is about: `SELECT`.
    pub title: String,
    /// The rows, in the order of the file.
    pub rows: Vec<Row>,
}

/// A dialogue.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name, unique in its sheet.
    pub name: String,
    /// What has to be so.
    pub title: String,
    /// Where that is written: document and clause.
    pub clause: String,
    /// The test case of a test specification, where its number is known.
    pub test: Option<String>,
    /// The card it needs.
    pub card: &'static CardKind,
    /// Why it fails on the card of this project, as long as it does.
    pub fails: Option<String>,
    /// What it leaves changed on a card: it is not played on a card in a reader without being asked for.
    pub leaves: Option<String>,
    /// Whether the card has to refuse something.
    pub is_negative: bool,
    /// The line it begins in.
    pub line: usize,
    /// What is played: reset, values of the card, what comes before all rows, and the row.
    pub script: Script,
}

/// A sheet that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SheetError {
    /// In its own words.
    #[error("{sheet}:{line}: {problem}")]
    Sheet {
        /// The sheet.
        sheet: String,
        /// The line.
        line: usize,
        /// What is wrong with it, and the way out.
        problem: String,
    },
    /// In the script of a row.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

/// A word that begins a line of a sheet, and is no statement of a script.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Sheet,
    Card,
    Clause,
    Test,
    Before,
    Row,
    Fails,
    Leaves,
}

const WORDS: &[(&str, Word)] = &[
    ("sheet", Word::Sheet),
    ("card", Word::Card),
    ("clause", Word::Clause),
    ("test", Word::Test),
    ("before", Word::Before),
    ("row", Word::Row),
    ("fails", Word::Fails),
    ("leaves", Word::Leaves),
];

/// A row as it is read, its script still text.
struct Open {
    row: Unplayed,
    /// Its lines, by their number from 0.
    body: Vec<usize>,
    before: Vec<usize>,
}

struct Unplayed {
    name: String,
    title: String,
    clause: String,
    test: Option<String>,
    card: &'static CardKind,
    fails: Option<String>,
    leaves: Option<String>,
    line: usize,
}

struct Reader<'a> {
    name: &'a str,
    lines: Vec<&'a str>,
    title: Option<String>,
    card: Option<&'static CardKind>,
    clause: Option<String>,
    test: Option<String>,
    before: Vec<usize>,
    rows: Vec<Open>,
    in_row: bool,
}

impl Sheet {
    /// Reads a sheet. `name` is that of its file, without the ending.
    ///
    /// # Errors
    /// [`SheetError`] with the line: a word that is not known or not where it belongs, a row without a clause, two rows of one
    /// name, a script that is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self, SheetError> {
        let mut reader = Reader {
            name,
            lines: text.lines().collect(),
            title: None,
            card: None,
            clause: None,
            test: None,
            before: Vec::new(),
            rows: Vec::new(),
            in_row: false,
        };
        for at in 0..reader.lines.len() {
            reader.line(at)?;
        }
        reader.finish()
    }
}

impl Reader<'_> {
    fn wrong(&self, at: usize, problem: impl Into<String>) -> SheetError {
        SheetError::Sheet { sheet: format!("{}.apdu", self.name), line: at + 1, problem: problem.into() }
    }

    fn line(&mut self, at: usize) -> Result<(), SheetError> {
        let line = self.lines.get(at).copied().unwrap_or_default();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match WORDS.iter().find(|(name, _)| *name == word) {
            Some((_, word)) => self.word(at, *word, rest.trim()),
            None if line.trim().is_empty() || line.starts_with('#') => Ok(()),
            None => {
                match self.rows.last_mut().filter(|_| self.in_row) {
                    Some(open) => open.body.push(at),
                    None => self.before.push(at),
                }
                Ok(())
            }
        }
    }

    fn word(&mut self, at: usize, word: Word, rest: &str) -> Result<(), SheetError> {
        if rest.is_empty() != (word == Word::Before) {
            let problem = if rest.is_empty() { "the rest of the line is missing" } else { "nothing follows `before`" };
            return Err(self.wrong(at, problem));
        }
        match word {
            Word::Sheet => self.title = Some(rest.to_owned()),
            Word::Card => self.card = Some(self.card_named(at, rest)?),
            Word::Clause => (self.clause, self.in_row) = (Some(rest.to_owned()), false),
            Word::Test => self.test = (rest != "none").then(|| rest.to_owned()),
            Word::Before => (self.before, self.in_row) = (Vec::new(), false),
            Word::Row => self.row(at, rest)?,
            Word::Fails | Word::Leaves => {
                let missing = self.wrong(at, "it belongs to a row: write it below a line `row NAME: TITLE`");
                let open = self.rows.last_mut().filter(|open| self.in_row && open.body.is_empty()).ok_or(missing)?;
                let place = if word == Word::Fails { &mut open.row.fails } else { &mut open.row.leaves };
                *place = Some(rest.to_owned());
            }
        }
        Ok(())
    }

    fn card_named(&self, at: usize, name: &str) -> Result<&'static CardKind, SheetError> {
        card(name).ok_or_else(|| {
            let names: Vec<_> = CARDS.iter().map(|card| card.name).collect();
            self.wrong(at, format!("there is no card {name}; there are {}", names.join(", ")))
        })
    }

    /// `NAME: TITLE`, maybe with a clause of its own in brackets at the end.
    fn row(&mut self, at: usize, rest: &str) -> Result<(), SheetError> {
        let Some((name, title)) = rest.split_once(':') else {
            return Err(
                self.wrong(at, "a row is `row NAME: TITLE`, with a clause of its own `row NAME: TITLE [CLAUSE]`")
            );
        };
        let (title, own) = match title.trim().strip_suffix(']').and_then(|title| title.rsplit_once(" [")) {
            Some((title, clause)) => (title, Some(clause.to_owned())),
            None => (title.trim(), None),
        };
        let clause = own.or_else(|| self.clause.clone());
        let clause = clause.ok_or_else(|| self.wrong(at, "no clause; write `clause DOCUMENT §…` above the row"))?;
        let card = self.card.ok_or_else(|| self.wrong(at, "no card; write `card NAME` above the row"))?;
        if self.rows.iter().any(|open| open.row.name == name) {
            return Err(self.wrong(at, format!("there is a row {name} already")));
        }
        let (name, title, test) = (name.to_owned(), title.trim().to_owned(), self.test.clone());
        let row = Unplayed { name, title, clause, test, card, fails: None, leaves: None, line: at + 1 };
        self.rows.push(Open { row, body: Vec::new(), before: self.before.clone() });
        self.in_row = true;
        Ok(())
    }

    fn finish(self) -> Result<Sheet, SheetError> {
        let Some(title) = self.title.clone() else {
            return Err(self.wrong(0, "a sheet begins with `sheet TITLE`"));
        };
        let rows = self.rows.iter().map(|open| self.closed(open)).collect::<Result<Vec<_>, _>>()?;
        Ok(Sheet { name: self.name.to_owned(), title, rows })
    }

    fn closed(&self, open: &Open) -> Result<Row, SheetError> {
        let at = open.row.line.saturating_sub(1);
        let lines = |numbers: &[usize]| -> Vec<&str> {
            numbers.iter().filter_map(|number| self.lines.get(*number).copied()).collect()
        };
        let body = lines(&open.body);
        let last = body.iter().rfind(|line| line.trim_start().starts_with('<'));
        let last =
            last.ok_or_else(|| self.wrong(at, "the row expects nothing; write `< PATTERN` below its command"))?;
        // What is not of this row is blank, so that lines have their numbers.
        let mut text = vec![""; self.lines.len() + 1];
        let include = format!("include {}", open.row.card.name);
        for number in open.before.iter().chain(&open.body) {
            if let (Some(place), Some(line)) = (text.get_mut(*number), self.lines.get(*number)) {
                *place = line;
            }
        }
        if let Some(first) = text.first_mut() {
            *first = &include;
        }
        let values = open.row.card;
        let mut resolve = |_: &str, _: &str| {
            Ok(Included { name: format!("cards/{}.apdu", values.name), text: values.values.to_owned() })
        };
        let script = Script::parse(&format!("{}.apdu", self.name), &text.join("\n"), &mut resolve)?;
        let Unplayed { name, title, clause, test, card, fails, leaves, line } = &open.row;
        Ok(Row {
            name: name.clone(),
            title: title.clone(),
            clause: clause.clone(),
            test: test.clone(),
            card,
            fails: fails.clone(),
            leaves: leaves.clone(),
            is_negative: refuses(last),
            line: *line,
            script,
        })
    }
}

/// Whether an expectation is met by no status word of success.
fn refuses(line: &str) -> bool {
    let is_comment = |(at, _): &(usize, &str)| {
        let rest = line.get(at + 1..).unwrap_or_default();
        !["(", "{", ".."].iter().any(|more| rest.starts_with(more))
    };
    let comment = line.match_indices('#').find(is_comment).map_or(line.len(), |(at, _)| at);
    let pattern = line.get(..comment).unwrap_or_default();
    pattern.split('|').all(|one| {
        let digits: String = one.chars().filter(|digit| !digit.is_whitespace()).collect();
        let sw = digits.get(digits.len().saturating_sub(4)..).unwrap_or_default();
        !(sw == "9000" || sw.starts_with("91") || sw.starts_with("61") || sw.starts_with("9F"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "sheet SELECT\ncard uicc\nclause TS 102 221 §11.1.1\ntest TS 102 230-2 6.9.1.1\n\
        > 00A40004 #(3F00) 00\n< .. 9000\n\nrow one: The MF\n> 00A4000C02 3F00\n< 9000\n\n\
        row two: No such file [TS 102 221 §10.2]\nfails it is broken\n> 00A4000C02 3F01\n< 6A82   # none\n";

    #[test]
    fn rows_have_what_stands_above_them() {
        let sheet = Sheet::parse("select", GOOD).unwrap();
        assert_eq!((sheet.title.as_str(), sheet.rows.len()), ("SELECT", 2));
        let [one, two] = sheet.rows.as_slice() else { panic!("two rows") };
        assert_eq!((one.name.as_str(), one.title.as_str(), one.is_negative), ("one", "The MF", false));
        assert_eq!((one.clause.as_str(), one.test.as_deref()), ("TS 102 221 §11.1.1", Some("TS 102 230-2 6.9.1.1")));
        assert_eq!((two.clause.as_str(), two.fails.as_deref()), ("TS 102 221 §10.2", Some("it is broken")));
        assert!(two.is_negative && two.title == "No such file");
        let lines: Vec<_> = one.script.steps().iter().map(|step| step.location.line).collect();
        assert!(lines.ends_with(&[5, 9]), "{lines:?}");
        assert!(two.script.steps().iter().all(|step| (&*step.location.file, step.location.line) != ("select.apdu", 9)));
    }

    #[test]
    fn a_row_is_negative_if_no_answer_is_success() {
        for (line, is_negative) in [
            ("< 62 #.. 9000", false),
            ("< BF31 #{data} 91?? # pending", false),
            ("< 6A82 # not 9000", true),
            ("< 6985 | 9000", false),
            ("    < 63C?", true),
        ] {
            assert_eq!(refuses(line), is_negative, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (sheet, told) in [
            ("card uicc", "begins with `sheet TITLE`"),
            ("sheet S\ncard sim", "x.apdu:2: there is no card sim"),
            ("sheet S\ncard uicc\nrow one: It\n> 00A4\n< 9000", "x.apdu:3: no clause"),
            ("sheet S\nclause C\nrow one: It", "x.apdu:3: no card"),
            ("sheet S\nclause C\ncard uicc\nrow one", "`row NAME: TITLE`"),
            ("sheet S\nclause C\ncard uicc\nrow one: It\n> 00A40004", "x.apdu:4: the row expects nothing"),
            ("sheet S\nfails because", "x.apdu:2: it belongs to a row"),
            ("sheet S\nclause C\ncard uicc\nrow a: It\n> 00A40000\n< 9000\nrow a: It\n> 00A40000\n< 9000", "already"),
            ("sheet S\nbefore x", "nothing follows"),
            ("sheet S\nclause C\ncard uicc\nrow a: It\n> 00A4zz\n< 9000", "x.apdu:5:"),
        ] {
            let error = Sheet::parse("x", sheet).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(told), "{sheet}: {error}");
        }
    }
}
