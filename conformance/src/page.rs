//! The result of a run as tables in Markdown.

use core::fmt::Write as _;

use crate::sheet::{Row, Sheet};
use crate::shipped::CARDS;

/// What a row came to.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// Its sheet.
    pub sheet: &'a Sheet,
    /// The row.
    pub row: &'a Row,
    /// Whether it passed.
    pub is_passed: bool,
}

/// The tables: cards, sheets with their counts, what fails and why, all rows.
pub fn page(lines: &[Line<'_>]) -> String {
    let mut page = String::new();
    let passed = lines.iter().filter(|line| line.is_passed).count();
    let negative = lines.iter().filter(|line| line.row.is_negative).count();
    let _ = writeln!(
        page,
        "{passed} of {} rows pass, {} fail for a known reason. In {negative} the card has to refuse something.\n",
        lines.len(),
        lines.len() - passed
    );
    cards(&mut page);
    counts(&mut page, lines);
    failures(&mut page, lines);
    rows(&mut page, lines);
    page
}

fn cards(page: &mut String) {
    page.push_str("| card | what it is |\n|---|---|\n");
    for card in CARDS {
        let _ = writeln!(page, "| `{}` | {} |", card.name, card.about);
    }
}

/// Lines of each sheet, in the order of the sheets.
fn by_sheet<'a, 'b>(lines: &'b [Line<'a>]) -> Vec<(&'a Sheet, Vec<&'b Line<'a>>)> {
    let mut sheets: Vec<(&Sheet, Vec<&Line<'_>>)> = Vec::new();
    for line in lines {
        match sheets.last_mut().filter(|(sheet, _)| sheet.name == line.sheet.name) {
            Some((_, lines)) => lines.push(line),
            None => sheets.push((line.sheet, vec![line])),
        }
    }
    sheets
}

fn counts(page: &mut String, lines: &[Line<'_>]) {
    page.push_str("\n| sheet | about | rows | of them negative | pass | known failures |\n|---|---|---|---|---|---|\n");
    for (sheet, lines) in by_sheet(lines) {
        let negative = lines.iter().filter(|line| line.row.is_negative).count();
        let passed = lines.iter().filter(|line| line.is_passed).count();
        let (name, title, rows) = (&sheet.name, &sheet.title, lines.len());
        let _ = writeln!(
            page,
            "| [`{name}`](../conformance/rows/{name}.apdu) | {title} | {rows} | {negative} | {passed} | {} |",
            rows - passed
        );
    }
}

fn failures(page: &mut String, lines: &[Line<'_>]) {
    page.push_str("\n### What fails, and why\n\n");
    let failing: Vec<_> = lines.iter().filter(|line| !line.is_passed).collect();
    if failing.is_empty() {
        page.push_str("Nothing.\n");
        return;
    }
    page.push_str("| row | what has to be so | clause | why it fails |\n|---|---|---|---|\n");
    for Line { sheet, row, .. } in failing {
        let why = row.fails.as_deref().unwrap_or_default();
        let _ = writeln!(page, "| `{}/{}` | {} | {} | {why} |", sheet.name, row.name, cell(&row.title), row.clause);
    }
}

fn rows(page: &mut String, lines: &[Line<'_>]) {
    page.push_str("\n### All rows\n");
    for (sheet, lines) in by_sheet(lines) {
        let _ = writeln!(
            page,
            "\n#### {}\n\n| row | what has to be so | clause | test case | card | |\n|---|---|---|---|---|---|",
            sheet.title
        );
        for Line { row, is_passed, .. } in lines {
            let test = row.test.as_deref().unwrap_or_default();
            let mark = if *is_passed { "pass" } else { "fail" };
            let (title, card) = (cell(&row.title), row.card.name);
            let _ = writeln!(page, "| `{}` | {title} | {} | {test} | {card} | {mark} |", row.name, row.clause);
        }
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
