//! Reads the normative workbook of TS.48 version 7: what every file of the generic test profile is to be.

#![expect(clippy::unwrap_used, reason = "a test wants to hear of it")]

use serde_json::Value;

const WORKBOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/ts48/ts48v7-xlsx.json");

/// One file of the workbook.
#[derive(Debug)]
#[allow(dead_code, reason = "each test that includes this module looks at other columns")]
pub(crate) struct Expected {
    /// Path by identifiers, an ADF by the name the workbook gives it: `3F00/7F10/6F3A`, `USIM/6F07`.
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) sfi: Option<u8>,
    pub(crate) arr_record: u8,
    /// Octets; 0 for a DF.
    pub(crate) size: usize,
    /// Content of an EF, complete; none if the workbook does not say.
    pub(crate) content: Option<Vec<u8>>,
    /// The file is another's link.
    pub(crate) shared: bool,
    /// Who may read and update an EF: `ALWAYS`, `PIN`, `PIN2`, `ADM`, `NEVER`.
    pub(crate) read: String,
    pub(crate) update: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Df,
    Transparent,
    Linear { record_length: usize },
    Cyclic { record_length: usize },
    BerTlv,
}

/// Every file of the workbook; nothing, said aloud, on a machine without it.
pub(crate) fn files() -> Option<Vec<Expected>> {
    let Ok(text) = std::fs::read_to_string(WORKBOOK) else {
        println!("skipped: no {WORKBOOK}");
        return None;
    };
    let workbook: Value = serde_json::from_str(&text).unwrap();
    Some(workbook["files"].as_array().unwrap().iter().map(file).collect())
}

fn file(row: &Value) -> Expected {
    let name = row["name"].as_str().unwrap().to_owned();
    let id = row["fid"].as_str().unwrap().to_uppercase();
    let path = match row["path"].as_str() {
        // A slip: the EF with access rule 15 is the one in DF.SAIP.
        Some("USIM/5FC0") if name == "SUCI_Calc_Info_USIM" => "USIM/5FD0/4F01".to_owned(),
        Some(path) => format!("{path}/{id}"),
        None if id == "3F00" => id,
        None => name.rsplit(' ').next().unwrap().to_owned(),
    };
    let number = |key: &str| usize::try_from(row[key].as_u64().unwrap_or(0)).unwrap();
    let record_length = number("record_size");
    let kind = match row["type"].as_str() {
        Some("Transparent") => Kind::Transparent,
        Some("Linear") => Kind::Linear { record_length },
        Some("Cyclic") => Kind::Cyclic { record_length },
        Some("BER-TLV") => Kind::BerTlv,
        _ => Kind::Df,
    };
    let size = match kind {
        // Where they differ, number and length of records are right and the total is a slip.
        Kind::Linear { .. } | Kind::Cyclic { .. } => number("records") * record_length,
        Kind::Transparent | Kind::BerTlv => number("body_size"),
        Kind::Df => 0,
    };
    let shared = row["shared"] == "Y";
    let is_record = matches!(kind, Kind::Linear { .. } | Kind::Cyclic { .. });
    let records: Vec<Vec<u8>> = row["record_contents"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|record| {
            let octets = octets(record[1].as_str()?, record_length)?;
            let label = record[0].as_str()?;
            // One record's worth under a label for several stands for each of them.
            Some(if label.contains("to") && octets.len() == record_length {
                octets.repeat(size / record_length)
            } else {
                octets
            })
        })
        .collect();
    let content = if shared || kind == Kind::Df {
        None
    } else if kind == Kind::BerTlv {
        Some(Vec::new())
    } else if records.is_empty() {
        let text = row["content"].as_str().map_or_else(|| row["content"].to_string(), ToOwned::to_owned);
        octets(&text, if is_record { record_length } else { size })
    } else {
        Some(records.concat())
    };
    Expected {
        path,
        kind,
        sfi: row["sfi"].as_str().and_then(|sfi| u8::from_str_radix(sfi, 16).ok()),
        arr_record: u8::try_from(number("arr_record")).unwrap(),
        size,
        content: content.map(|content| match kind {
            Kind::BerTlv => content,
            _ => complete(content, size, is_record.then_some(record_length), &name),
        }),
        shared,
        read: row["read"].as_str().unwrap_or_default().to_owned(),
        update: row["update"].as_str().unwrap_or_default().to_owned(),
        name,
    }
}

/// A cell as octets: hexadecimal, `all … set to FF`, `A0 02 FF .. FF`; remarks in brackets and behind `for` are left out.
fn octets(cell: &str, length: usize) -> Option<Vec<u8>> {
    if let Some((_, value)) = cell.split_once("set to ").filter(|_| cell.starts_with("all") || cell.starts_with("All"))
    {
        let value = value.trim_start_matches("0x").get(..2)?;
        return Some(vec![u8::from_str_radix(value, 16).ok()?; length]);
    }
    let mut bare = String::new();
    let mut depth = 0;
    for character in cell.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 => bare.push(character),
            _ => {}
        }
    }
    let bare = bare.split("for").next()?.replace("FF ..", "..");
    let (start, filled) = bare.split_once("..").map_or((bare.as_str(), false), |(start, _)| (start, true));
    let mut octets = hex::decode(start.split_whitespace().collect::<String>()).ok()?;
    if filled {
        octets.resize(length, 0xFF);
    }
    (!octets.is_empty()).then_some(octets)
}

/// What the workbook leaves to the reader: a record written once stands for all, a cell that ends early goes on as it began,
/// otherwise the rest is FF.
fn complete(mut content: Vec<u8>, size: usize, record_length: Option<usize>, name: &str) -> Vec<u8> {
    let period = (1..=content.len()).find(|period| content.iter().zip(&content[*period..]).all(|(a, b)| a == b));
    match (record_length, period) {
        (Some(length), _) if content.len() == length => content = content.repeat(size / length),
        (None, Some(period)) if period < content.len() || size.is_multiple_of(period) => {
            content = content[..period].iter().copied().cycle().take(size).collect();
        }
        _ => {}
    }
    // EF.CDMAHOME: "Rec 7 to 20 set to 00" stands in a remark.
    content.resize(size, if name == "CDMAHOME" { 0x00 } else { 0xFF });
    content
}
