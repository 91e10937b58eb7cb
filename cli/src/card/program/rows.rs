//! The rows of a batch: all of them are read and checked before the first card is touched.

use std::path::Path;

use console::Exit;
use programmer::{Adm, Order};
use saip::builder::{Algorithm, Key, Subscriber};
use zeroize::Zeroizing;

use crate::failure::{AtPath, Failure};

/// A column: how it may be called, and what it is about for a subscriber.
struct Column {
    names: &'static [&'static str],
    /// The field that errors name.
    field: &'static str,
}

const COLUMNS: &[Column] = &[
    Column { names: &["iccid"], field: "iccid" },
    Column { names: &["imsi"], field: "imsi" },
    Column { names: &["mnc_length"], field: "mnc_length" },
    Column { names: &["msisdn"], field: "msisdn" },
    Column { names: &["spn", "name"], field: "spn" },
    Column { names: &["smsc"], field: "smsc" },
    Column { names: &["algorithm"], field: "algorithm" },
    Column { names: &["key", "ki", "k"], field: "key" },
    Column { names: &["op"], field: "op" },
    Column { names: &["opc"], field: "opc" },
    Column { names: &["acc"], field: "acc" },
    Column { names: &["fplmn"], field: "fplmn" },
    Column { names: &["ehplmns", "ehplmn"], field: "ehplmns" },
    Column { names: &["user_plmns"], field: "user_plmns" },
    Column { names: &["operator_plmns"], field: "operator_plmns" },
    Column { names: &["adm", "adm1", "pin_adm"], field: "adm" },
];

/// One subscriber.
pub(super) struct Row {
    /// In the file, from 1.
    pub(super) line: u64,
    pub(super) order: Order,
    pub(super) adm: Option<Adm>,
}

/// What is wrong, and where.
struct Wrong {
    line: u64,
    /// From 1, with its name.
    column: Option<(usize, String)>,
    cause: String,
}

impl Wrong {
    fn told(self, path: &Path) -> Failure {
        let Self { line, column, cause } = self;
        let column = column.map(|(number, name)| format!(", column {number} ({name})")).unwrap_or_default();
        Failure::because(format!("{}: line {line}{column}: {cause}", path.display())).with(Exit::Input)
    }
}

/// Reads and checks all rows.
pub(super) fn read(path: &Path) -> Result<Vec<Row>, Failure> {
    let contents = Zeroizing::new(std::fs::read(path).at("read the rows", path)?);
    let text = str::from_utf8(&contents).map_err(|error| {
        let before = contents.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|octet| *octet == b'\n').count() as u64;
        Wrong { line, column: None, cause: "is not text in UTF-8".to_owned() }.told(path)
    })?;
    rows(text).map_err(|wrong| wrong.told(path))
}

fn rows(text: &str) -> Result<Vec<Row>, Wrong> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if let Some(wrong) = unclosed(text) {
        return Err(wrong);
    }
    let delimiter =
        if text.lines().next().is_some_and(|first| first.contains(';') && !first.contains(',')) { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let no_text = |_| Wrong { line: 1, column: None, cause: "is no CSV".to_owned() };
    let header = records.next().transpose().map_err(no_text)?;
    let header = header.ok_or_else(|| Wrong { line: 1, column: None, cause: "there are no rows".to_owned() })?;
    let columns = columns(&header)?;
    let mut rows: Vec<Row> = Vec::new();
    for record in records {
        let record = record.map_err(no_text)?;
        let line = record.position().map_or(1, |place| line_of(text, place.byte()));
        if record.len() != columns.len() {
            let cause = format!("has {} fields, and the first row names {}", record.len(), columns.len());
            return Err(Wrong { line, column: None, cause });
        }
        let fields: Vec<(&Column, &str)> = columns.iter().copied().zip(record.iter()).collect();
        let row = row(line, &fields)?;
        for (field, same) in [
            (
                "iccid",
                &(|other: &Row| other.order.subscriber().iccid == row.order.subscriber().iccid)
                    as &dyn Fn(&Row) -> bool,
            ),
            ("imsi", &|other: &Row| other.order.subscriber().imsi == row.order.subscriber().imsi),
            ("msisdn", &|other: &Row| {
                let own = row.order.subscriber().msisdn.as_deref().map(digits_of);
                own.is_some() && own == other.order.subscriber().msisdn.as_deref().map(digits_of)
            }),
        ] {
            if let Some(other) = rows.iter().find(|other| same(other)) {
                let cause = format!("is the same as in line {}", other.line);
                return Err(Wrong { line, column: place(&fields, field), cause });
            }
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(Wrong {
            line: 1,
            column: None,
            cause: "there is no row below the names of the columns".to_owned(),
        });
    }
    Ok(rows)
}

/// A number with and without `+` is one.
fn digits_of(number: &str) -> &str {
    number.trim_start_matches('+')
}

/// The line in which a record begins that the reader began to look for here: behind a line break, or within one.
fn line_of(text: &str, place: u64) -> u64 {
    let (before, rest) = usize::try_from(place).ok().and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""));
    let breaks = rest.split(|character: char| !matches!(character, '\r' | '\n')).next().unwrap_or_default();
    1 + (before.matches('\n').count() + breaks.matches('\n').count()) as u64
}

/// A quotation mark that nothing closes swallows the rows behind it.
fn unclosed(text: &str) -> Option<Wrong> {
    let (mut line, mut column, mut opened) = (1, 1, None);
    for character in text.chars() {
        match character {
            '"' => opened = if opened.is_some() { None } else { Some((line, column)) },
            '\n' => (line, column) = (line + 1, 0),
            _ => {}
        }
        column += 1;
    }
    let (line, column) = opened?;
    let cause = format!("the quotation mark at character {column} is not closed");
    Some(Wrong { line, column: None, cause })
}

fn columns(header: &csv::StringRecord) -> Result<Vec<&'static Column>, Wrong> {
    let mut columns: Vec<&'static Column> = Vec::new();
    for (number, name) in (1..).zip(header) {
        let lower = name.to_ascii_lowercase();
        let wrong = |cause| Err(Wrong { line: 1, column: Some((number, lower.clone())), cause });
        let known = || COLUMNS.iter().flat_map(|column| column.names).copied();
        let Some(column) = COLUMNS.iter().find(|column| column.names.contains(&lower.as_str())) else {
            let near = card::fault::nearest(&lower, known()).map(|near| format!("; did you mean {near}?"));
            return wrong(format!("there is no such column{}", near.unwrap_or_default()));
        };
        if columns.iter().any(|other| other.field == column.field) {
            return wrong("there is another column for the same".to_owned());
        }
        columns.push(column);
    }
    for needed in ["iccid", "imsi", "key"] {
        if !columns.iter().any(|column| column.field == needed) {
            return Err(Wrong { line: 1, column: None, cause: format!("there is no column {needed}") });
        }
    }
    Ok(columns)
}

fn place(fields: &[(&Column, &str)], field: &str) -> Option<(usize, String)> {
    let at = fields.iter().position(|(column, _)| column.field == field)?;
    Some((at + 1, fields.get(at)?.0.names.first().copied().unwrap_or(field).to_owned()))
}

fn row(line: u64, fields: &[(&Column, &str)]) -> Result<Row, Wrong> {
    let wrong = |field: &str, cause: String| Wrong { line, column: place(fields, field), cause };
    let value = |field: &str| {
        fields
            .iter()
            .find(|(column, _)| column.field == field)
            .map(|(_, value)| *value)
            .filter(|value| !value.is_empty())
    };
    let key = |field: &'static str| {
        let digits = value(field).map(str::parse::<Key>);
        digits.transpose().map_err(|error| wrong(field, error.to_string()))
    };
    let needed = |field: &'static str| value(field).ok_or_else(|| wrong(field, "is empty".to_owned()));
    let list = |field| {
        let several = value(field).unwrap_or_default().split([' ', '/', '|']);
        several.filter(|one| !one.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let none = Key::new(&[]);
    let mut subscriber = Subscriber {
        opc: key("opc")?,
        op: key("op")?,
        ..Subscriber::new(needed("iccid")?, needed("imsi")?, key("key")?.unwrap_or_else(|| none.clone()), none.clone())
    };
    subscriber.msisdn = value("msisdn").map(str::to_owned);
    subscriber.spn = value("spn").map(str::to_owned);
    subscriber.smsc = value("smsc").map(str::to_owned);
    (subscriber.ehplmns, subscriber.user_plmns) = (list("ehplmns"), list("user_plmns"));
    subscriber.operator_plmns = list("operator_plmns");
    if let Some(length) = value("mnc_length") {
        subscriber.mnc_length = length.parse().map_err(|_| wrong("mnc_length", "is 2 or 3".to_owned()))?;
    }
    subscriber.algorithm = match value("algorithm").map(str::to_ascii_lowercase).as_deref() {
        None | Some("milenage") => Algorithm::Milenage,
        Some("tuak") => Algorithm::Tuak,
        Some("xor") => Algorithm::Xor,
        Some(_) => return Err(wrong("algorithm", "wants milenage, tuak or xor".to_owned())),
    };
    let acc = value("acc").map(super::acc).transpose().map_err(|cause| wrong("acc", cause))?;
    let adm = value("adm")
        .map(str::parse)
        .transpose()
        .map_err(|error: programmer::NotAnAdm| wrong("adm", error.to_string()))?;
    let order = Order::new(subscriber, acc, &list("fplmn")).map_err(|error| wrong(error.field, error.reason))?;
    Ok(Row { line, order, adm })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "iccid,imsi,ki,opc,adm\n";
    const FIRST: &str = "8988211000000000011,001010000000001,465b5ce8b199b49faa5f0a2ee238a6bc,cd63cb71954a9f4e48a5994e37a02baf,12345678";
    const SECOND: &str = "8988211000000000029,001010000000002,465b5ce8b199b49faa5f0a2ee238a6bc,cd63cb71954a9f4e48a5994e37a02baf,12345678";

    fn told(text: &str) -> String {
        let Err(wrong) = rows(text) else { panic!("{text} was accepted") };
        match wrong.told(Path::new("b.csv")) {
            Failure::Because(text) => text.to_string(),
            Failure::Told(_) => unreachable!(),
        }
    }

    #[test]
    fn rows_as_programs_write_them_are_read() {
        for text in [
            format!("{HEADER}{FIRST}\n{SECOND}\n"),
            format!("\u{FEFF}{HEADER}{FIRST}\r\n\r\n{SECOND}\r\n"),
            format!("{HEADER}{FIRST}\n{SECOND}"),
            format!("{HEADER}{FIRST}\n{SECOND}\n").replace(',', ";"),
            format!("{HEADER}{FIRST}\n{SECOND}\n").replace("12345678", "\"12345678\""),
            format!("{HEADER}{FIRST}\n{SECOND}\n").replace(',', " , ").replace("ki", "KI"),
        ] {
            let rows = rows(&text).unwrap_or_else(|wrong| panic!("{}\n{text}", wrong.cause));
            let imsis: Vec<_> = rows.iter().map(|row| row.order.subscriber().imsi.as_str()).collect();
            assert_eq!(imsis, ["001010000000001", "001010000000002"], "{text}");
            let line = if text.contains("\r\n\r\n") { 4 } else { 3 };
            assert_eq!((rows[0].line, rows[1].line), (2, line), "{text}");
            assert!(rows.iter().all(|row| row.adm == Some("12345678".parse().unwrap())));
        }
        let lists = "iccid,imsi,ki,opc,acc,fplmn,spn\n".to_owned()
            + &FIRST.replace("12345678", "0200,26201 310410,\"Example, Inc.\"");
        let rows = rows(&lists).map_err(|wrong| wrong.cause).unwrap();
        assert_eq!(rows[0].order.subscriber().spn.as_deref(), Some("Example, Inc."));
    }

    #[test]
    fn what_does_not_fit_is_told_with_line_and_column() {
        let wrong = |from: &str, to: &str| told(&format!("{HEADER}{FIRST}\n{}\n", SECOND.replace(from, to)));
        assert_eq!(
            wrong("8988211000000000029", "8988211000000000028"),
            "b.csv: line 3, column 1 (iccid): its last digit is not the check digit (Luhn) of the others, which is 9"
        );
        assert_eq!(
            wrong("8988211000000000029", "8988211000000000011"),
            "b.csv: line 3, column 1 (iccid): is the same as in line 2"
        );
        // A number that is filled up as the card has it is the same number.
        let filled = SECOND.replace("8988211000000000029", "8988211000000000011F");
        assert_eq!(
            told(&format!("{HEADER}{FIRST}\n{filled}\n")),
            "b.csv: line 3, column 1 (iccid): is the same as in line 2"
        );
        let numbers = format!("{}\n{FIRST},+4930123\n{SECOND},4930123\n", HEADER.trim_end().to_owned() + ",msisdn");
        assert_eq!(told(&numbers), "b.csv: line 3, column 6 (msisdn): is the same as in line 2");
        assert_eq!(
            wrong("001010000000002", "001010000000001"),
            "b.csv: line 3, column 2 (imsi): is the same as in line 2"
        );
        assert!(wrong("001010000000002", "00101").starts_with("b.csv: line 3, column 2 (imsi): "));
        assert_eq!(wrong("a6bc,", "a6,"), "b.csv: line 3, column 3 (key): has 15 octets, and wants 16");
        assert_eq!(
            wrong("a6bc,", "a6zz,"),
            "b.csv: line 3, column 3 (key): wants hexadecimal digits, two for each octet"
        );
        assert_eq!(
            wrong("12345678", "1234567x"),
            "b.csv: line 3, column 5 (adm): an ADM has 4 to 8 digits, or 16 hexadecimal digits"
        );
        assert_eq!(wrong(",12345678", ""), "b.csv: line 3: has 4 fields, and the first row names 5");
        assert_eq!(wrong(",12345678", ",1234,"), "b.csv: line 3: has 6 fields, and the first row names 5");
        assert_eq!(wrong("12345678", "\"1234"), "b.csv: line 3: the quotation mark at character 103 is not closed");
        assert!(!wrong("a6bc,", "a6zz,").contains("465b"));
        assert_eq!(
            told("icid,imsi,ki\n"),
            "b.csv: line 1, column 1 (icid): there is no such column; did you mean iccid?"
        );
        assert_eq!(told("iccid,imsi,ki,k\n"), "b.csv: line 1, column 4 (k): there is another column for the same");
        assert_eq!(told("iccid,imsi\n"), "b.csv: line 1: there is no column key");
        assert_eq!(told(HEADER), "b.csv: line 1: there is no row below the names of the columns");
        assert_eq!(told(""), "b.csv: line 1: there are no rows");
    }
}
