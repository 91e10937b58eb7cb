//! Contents of files as fields: by the decoder of recorded sessions, which is given the file to read.

use card_os::fs::Structure;
use decode::{Decoded, Decoder};
use serde::Serialize;
use serde_json::Value;

use super::{Place, hexadecimal};

/// A file's content, or one record of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chunk {
    /// The record, from 1; none of a file without records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u8>,
    /// Its octets; none if it may hold keys.
    pub octets: Option<String>,
    /// How many octets are not told, because they may be a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_bytes: Option<usize>,
    /// What is in it.
    pub fields: Vec<Value>,
}

/// A decoder that has this file selected, and what it says of the selection.
fn selected(place: &Place, fcp: &[u8]) -> (Decoder, Option<Decoded>) {
    let mut session = Decoder::new();
    let mut last = None;
    let ok = [0x90, 0x00];
    let mut names: Vec<(u8, Vec<u8>)> = vec![match &place.application {
        Some(aid) => (0x04, aid.clone()),
        None => (0x00, vec![0x3F, 0x00]),
    }];
    names.extend(place.below.iter().map(|fid| (0x00, fid.to_be_bytes().to_vec())));
    let count = names.len();
    for (at, (p1, name)) in names.into_iter().enumerate() {
        let length = u8::try_from(name.len()).unwrap_or_default();
        let command = [&[0x00, 0xA4, p1, 0x04, length], name.as_slice(), &[0x00]].concat();
        let data = if at + 1 == count { fcp } else { &[] };
        last = Some(session.exchange(&command, &[data, &ok].concat()));
    }
    (session, last)
}

/// What the control parameters of a file say.
pub fn explain_fcp(place: &Place, fcp: &[u8]) -> Vec<Value> {
    let (_, decoded) = selected(place, fcp);
    let fields = decoded.iter().flat_map(|decoded| &decoded.fields).map(decode::json::field);
    fields.filter(|field| is_of_response(field) && field["name"] != "status_word").collect()
}

/// A content, whole or by records.
pub fn explain(place: &Place, structure: Structure, content: &[u8]) -> Vec<Chunk> {
    let chunk = |record: Option<u8>, octets: &[u8]| {
        let command = match record {
            Some(record) => [0x00, 0xB2, record, 0x04, 0x00],
            None => [0x00, 0xB0, 0x00, 0x00, 0x00],
        };
        let (mut session, _) = selected(place, &[]);
        of_answer(record, octets, &session.exchange(&command, &[octets, &[0x90, 0x00]].concat()))
    };
    match structure {
        Structure::Transparent { .. } => vec![chunk(None, content)],
        Structure::LinearFixed { record_length, .. } | Structure::Cyclic { record_length, .. } => {
            let records = content.chunks(usize::from(record_length).max(1));
            (1..=u8::MAX).zip(records).map(|(number, octets)| chunk(Some(number), octets)).collect()
        }
        Structure::BerTlv { .. } => vec![objects(content)],
    }
}

fn of_answer(record: Option<u8>, octets: &[u8], decoded: &Decoded) -> Chunk {
    let hidden = decoded.response_hidden.len();
    let fields = decoded.fields.iter().map(decode::json::field);
    let fields =
        fields.filter(|field| is_of_response(field) && !matches!(field["name"].as_str(), Some("status_word" | "data")));
    // The file has its name already.
    let fields = fields.flat_map(|field| match (field["name"].as_str(), field["fields"].as_array()) {
        (Some("content"), Some(inside)) => inside.clone(),
        _ => vec![field],
    });
    Chunk {
        record,
        octets: (hidden == 0).then(|| hexadecimal(octets)),
        secret_bytes: (hidden > 0).then_some(hidden),
        fields: fields.collect(),
    }
}

/// Data objects as they lie there, each a line.
fn objects(content: &[u8]) -> Chunk {
    let end = content.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    let lines = decode::pretty_tlv(content.get(..end).unwrap_or_default()).unwrap_or_default();
    let field = |line: String| serde_json::json!({ "name": "object", "label": "Object", "value": line });
    let fields = lines.into_iter().map(field).collect();
    Chunk { record: None, octets: Some(hexadecimal(content)), secret_bytes: None, fields }
}

/// Whether a field was found in the response.
fn is_of_response(field: &Value) -> bool {
    let own = field["in"].as_str();
    own == Some("response")
        || own.is_none() && field["fields"].as_array().is_some_and(|fields| fields.iter().all(is_of_response))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USIM: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02];

    fn at(application: Option<&[u8]>, below: &[u16]) -> Place {
        Place { application: application.map(Into::into), below: below.into() }
    }

    #[test]
    fn contents_are_read_by_their_names() {
        let imsi = [0x08, 0x09, 0x10, 0x10, 0x21, 0x43, 0x65, 0x87, 0x09];
        let [chunk] = &explain(&at(Some(&USIM), &[0x6F07]), Structure::Transparent { size: 9 }, &imsi)[..] else {
            panic!("one chunk")
        };
        assert_eq!(chunk.octets.as_deref(), Some("080910102143658709"));
        let text = serde_json::to_string(&chunk.fields).unwrap();
        assert!(text.contains("001011234567890") || text.contains("00101"), "{text}");
    }

    #[test]
    fn records_are_apart() {
        let structure = Structure::LinearFixed { record_length: 2, records: 3 };
        let chunks = explain(&at(None, &[0x2FEE]), structure, &[1, 2, 3, 4, 5, 6]);
        let seen: Vec<_> = chunks.iter().map(|chunk| (chunk.record, chunk.octets.as_deref())).collect();
        assert_eq!(seen, [(Some(1), Some("0102")), (Some(2), Some("0304")), (Some(3), Some("0506"))]);
    }

    /// EF.Keys: CK and IK.
    #[test]
    fn keys_are_not_told() {
        let keys = [&[0x00][..], &[0xC1; 32]].concat();
        let chunks = explain(&at(Some(&USIM), &[0x6F08]), Structure::Transparent { size: 33 }, &keys);
        let text = serde_json::to_string(&chunks).unwrap();
        assert!(!text.contains("C1C1") && chunks[0].octets.is_none() && chunks[0].secret_bytes == Some(32), "{text}");
    }

    #[test]
    fn control_parameters_are_fields() {
        let fcp = [0x62, 0x0A, 0x82, 0x02, 0x41, 0x21, 0x83, 0x02, 0x2F, 0xE2, 0x80, 0x00];
        let text = serde_json::to_string(&explain_fcp(&at(None, &[0x2FE2]), &fcp)).unwrap();
        assert!(text.contains("2FE2"), "{text}");
    }
}
