//! Explained sessions as JSON: one object for each event.

use serde_json::{Map, Value as Json, json};

use crate::field::{Field, Value, hex};
use crate::session::{Decoded, Kind};

/// An event as an object.
pub fn event(decoded: &Decoded) -> Json {
    let mut object = Map::new();
    let mut put = |name: &str, value: Json| object.insert(name.to_owned(), value);
    let kind = match decoded.kind {
        Kind::Reset { warm: false } => "reset",
        Kind::Reset { warm: true } => "warm_reset",
        Kind::PowerOff => "power_off",
        Kind::Exchange => "exchange",
        Kind::Failed => "failed",
    };
    put("event", kind.into());
    put("number", decoded.number.into());
    put("topic", decoded.topic.name().into());
    put("summary", decoded.summary.as_str().into());
    put("outcome", decoded.outcome.as_str().into());
    put("failed", decoded.failed.into());
    if matches!(decoded.kind, Kind::Exchange | Kind::Failed) {
        put("command", hex(&decoded.command).into());
        if decoded.hidden > 0 {
            put("secret_bytes", decoded.hidden.into());
        }
    }
    match decoded.kind {
        Kind::Exchange => {
            put("response", hex(&decoded.response).into());
            if !decoded.response_hidden.is_empty() {
                put("response_secret_bytes", decoded.response_hidden.len().into());
            }
        }
        Kind::Reset { .. } => {
            put("atr", hex(&decoded.response).into());
        }
        Kind::PowerOff | Kind::Failed => {}
    }
    put("fields", decoded.fields.iter().map(field).collect());
    Json::Object(object)
}

/// A field as an object.
pub fn field(field: &Field) -> Json {
    let mut object = Map::new();
    let mut put = |name: &str, value: Json| object.insert(name.to_owned(), value);
    put("name", field.name.name.into());
    put("label", field.name.label.into());
    match &field.value {
        Value::None => {}
        Value::Number(number) => {
            put("value", (*number).into());
        }
        Value::Flag(flag) => {
            put("value", (*flag).into());
        }
        Value::Text(text) => {
            put("value", text.as_str().into());
        }
        Value::Octets(octets) => {
            put("value", hex(octets).into());
        }
        Value::Hidden(hidden) => {
            put("secret_bytes", hidden.len().into());
        }
    }
    if let Some(meaning) = &field.meaning {
        put("meaning", meaning.as_str().into());
    }
    if let Some(place) = &field.place {
        put("in", place.source.name().into());
        put("at", json!([place.octets.start, place.octets.end]));
    }
    if !field.fields.is_empty() {
        put("fields", field.fields.iter().map(self::field).collect());
    }
    Json::Object(object)
}
