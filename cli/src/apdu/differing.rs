//! Fields that differ, as text and as JSON.

use decode::{Differing, Field, Value as FieldValue};
use serde_json::{Value, json};

/// Octets that a line shows of a long value.
const SHOWN: usize = 20;

/// A field that differs, with its place, in a line. `sides` are the names of both.
pub(crate) fn line(one: &Differing, sides: [&str; 2]) -> String {
    let [left, right] = sides;
    format!("{}: {left} {}, {right} {}", one.path.join(" / "), shown(one.left.as_ref()), shown(one.right.as_ref()))
}

fn shown(field: Option<&Field>) -> String {
    let Some(field) = field else { return "nothing".to_owned() };
    match (&field.value, &field.meaning) {
        (FieldValue::Octets(octets), _) if octets.len() > SHOWN => {
            let start = octets.get(..SHOWN).unwrap_or_default();
            format!("{}... ({} octets)", decode::hex(start), octets.len())
        }
        (FieldValue::None, None) if field.fields.is_empty() => "there".to_owned(),
        (FieldValue::Number(_), Some(meaning)) if field.name.name == "status_word" => meaning.clone(),
        _ => field.shown().unwrap_or_else(|| inside(field)),
    }
}

/// The first values inside a group.
fn inside(group: &Field) -> String {
    const FIRST: usize = 3;
    let leaves: Vec<_> = group.all().into_iter().filter(|field| field.fields.is_empty()).collect();
    let mut text: Vec<_> =
        leaves.iter().take(FIRST).map(|leaf| format!("{} {}", leaf.name.label, shown(Some(leaf)))).collect();
    if leaves.len() > FIRST {
        text.push("...".to_owned());
    }
    format!("({})", text.join(", "))
}

/// A field that differs, as an object. `sides` are the keys of both.
pub(crate) fn object(one: &Differing, sides: [&str; 2]) -> Value {
    let [left, right] = sides;
    let field = |field: Option<&Field>| field.map(decode::json::field);
    json!({
        "name": one.name.name, "path": one.path, "varies": one.varies().is_some(),
        left: field(one.left.as_ref()), right: field(one.right.as_ref()),
    })
}
