//! A file of activation codes.

use std::path::Path;

use console::Exit;
use identities::Eid;
use lpa::Order;
use rsp::activation_code::ActivationCode;

use crate::failure::{AtPath as _, Failure};

/// One of them.
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: usize,
    /// The card that is to download it.
    pub(super) eid: Option<Eid>,
    pub(super) order: Order,
}

/// Reads the file. Empty lines, and those that begin with `#`, are none.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, Failure> {
    let text = std::fs::read_to_string(path).at("read the activation codes", path)?;
    let lines: Vec<_> = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(line, number)| {
            of(line, number).map_err(|(column, cause)| {
                let path = path.display();
                Failure::because(format!("{path}: line {number}, column {column}: {cause}")).with(Exit::Input)
            })
        })
        .collect::<Result<_, _>>()?;
    if lines.is_empty() {
        return Err(Failure::because(format!("{} has no activation code", path.display())).with(Exit::Input));
    }
    Ok(lines)
}

/// The error is its column and cause.
fn of(line: &str, number: usize) -> Result<Line, (usize, String)> {
    let (eid, code) = match line.split_once(',') {
        Some((eid, code)) => (Some((eid.trim(), eid.len())), code),
        None => (None, line),
    };
    let column = eid.map_or(1, |(_, length)| length + 2);
    let eid = eid.map(|(eid, _)| eid.parse::<Eid>().map_err(|error| (1, error.to_string()))).transpose()?;
    let code: ActivationCode = code.trim().parse().map_err(|error| (column, format!("{error}")))?;
    Ok(Line { number, eid, order: Order::from(&code) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_with_the_place_of_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.csv");
        let eid = "89049032123451234512345678901235";
        let read = |text: String| {
            std::fs::write(&path, text).unwrap();
            read(&path)
        };
        let lines = read(format!("# codes\n\nLPA:1$a.test$ONE\n{eid}, LPA:1$b.test:8443$TWO\n")).unwrap();
        let told: Vec<_> = lines.iter().map(|line| (line.number, line.eid, line.order.smdp_address.as_str())).collect();
        assert_eq!(told, [(3, None, "a.test"), (4, Some(eid.parse().unwrap()), "b.test:8443")]);
        for (text, place) in [
            (format!("LPA:1$a.test$ONE\n{eid},nonsense"), "line 2, column 34: "),
            ("1234,LPA:1$a.test$ONE".to_owned(), "line 1, column 1: "),
            ("\nLPA:1".to_owned(), "line 2, column 1: "),
            ("# none\n".to_owned(), "no activation code"),
        ] {
            let Err(Failure::Because(cause)) = read(text.clone()) else { panic!("{text}") };
            assert!(cause.contains(place) && cause.contains("codes.csv"), "{text}: {cause}");
        }
    }
}
