//! Explained sessions as text: a line for each event, its fields below.

use std::fmt::Write as _;

use crate::field::{Field, Value};
use crate::names;
use crate::session::{Decoded, Kind};

/// Octets that a line shows of a long value.
const SHOWN: usize = 48;

/// How much is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The line alone, without its fields.
    pub brief: bool,
    /// Values in full, however long, and the header of every command.
    pub whole: bool,
}

impl Text {
    /// An event, with a line end behind each of its lines.
    pub fn write(self, decoded: &Decoded) -> String {
        let mut text = String::new();
        let _ = write!(text, "{:>4}  {}", decoded.number, decoded.summary);
        if !decoded.outcome.is_empty() {
            let arrow = if decoded.kind == Kind::Exchange { "->" } else { " " };
            let _ = write!(text, " {arrow} {}", decoded.outcome);
        }
        text.push('\n');
        if !self.brief {
            for field in decoded.fields.iter().filter(|field| self.whole || !is_header(field)) {
                self.field(field, 1, &mut text);
            }
        }
        text
    }

    fn field(self, field: &Field, level: usize, text: &mut String) {
        let _ = write!(text, "{:1$}{2}", "", 4 + 2 * level, field.name.label);
        if let Some(shown) = self.shown(field).filter(|shown| !shown.is_empty()) {
            let _ = write!(text, ": {shown}");
        }
        text.push('\n');
        for inside in &field.fields {
            self.field(inside, level + 1, text);
        }
    }

    fn shown(self, field: &Field) -> Option<String> {
        match &field.value {
            Value::Octets(octets) if !self.whole && octets.len() > SHOWN => {
                let start = octets.get(..SHOWN).unwrap_or_default();
                let meaning = field.meaning.as_deref().map_or_else(String::new, |meaning| format!("  {meaning}"));
                Some(format!("{}... ({} octets){meaning}", crate::hex(start), octets.len()))
            }
            Value::Number(_) if field.name == names::STATUS_WORD => field.meaning.clone(),
            _ => field.shown(),
        }
    }
}

/// What the line above says already.
fn is_header(field: &Field) -> bool {
    let header = [names::CLASS, names::INSTRUCTION, names::P1, names::P2, names::LC, names::LE, names::STATUS_WORD];
    header.contains(&field.name) && field.find(names::PIN_TRIES.name).is_none()
}
