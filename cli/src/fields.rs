//! Files of fields, in TOML or JSON. Errors give the position, the field and what is expected, but never a single
//! character of the value: it may be a key or a code.

use serde::Deserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Some editors put it at the start of a file; it has no meaning in UTF-8.
const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// What the other form is refused with. Where both are read, the file's name tells which it is.
pub(crate) const IS_JSON: &str = "this is JSON, not TOML";
const IS_TOML: &str = "this is TOML: name the file .toml";

/// Parses TOML.
pub(crate) fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let place = |error: &toml::de::Error| place(text, error.span().map_or(0, |span| span.start));
    let deserializer = toml::Deserializer::parse(text).map_err(|error| {
        let (line, column) = place(&error);
        let field = text.lines().nth(line - 1).and_then(field_of_line);
        let cause = match field {
            Some(_) if is_unquoted(error.message()) => QUOTES,
            _ if is_json(text) => IS_JSON,
            _ => error.message(),
        };
        let field = field.map(|field| format!("{field}: ")).unwrap_or_default();
        format!("line {line}, column {column}: {field}{cause}")
    })?;
    parse(deserializer, |error| (Some(place(error)), error.message().to_owned()))
}

/// Line and column, counted from 1, of a value in TOML that parses: the names that lead to it, and of a list the number.
pub(crate) fn place_in_toml(text: &str, field: &[&str]) -> Option<(usize, usize)> {
    use toml::de::{DeTable, DeValue};
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let (first, rest) = field.split_first()?;
    let whole = DeTable::parse(text).ok()?;
    let mut value = whole.get_ref().get(*first)?;
    for name in rest {
        value = match value.get_ref() {
            DeValue::Table(table) => table.get(*name)?,
            DeValue::Array(list) => list.get(name.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(place(text, value.span().start))
}

/// Line and column, counted from 1, of the end of a value in JSON that parses; of a table or list its beginning.
pub(crate) fn place_in_json(text: &str, field: &[&str]) -> Option<(usize, usize)> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let found = Sought(field).deserialize(&mut serde_json::Deserializer::from_str(text)).err()?;
    // Nothing else goes wrong in what has parsed before.
    (found.is_data() && found.line() > 0).then(|| (found.line(), found.column()))
}

/// Goes to a value, and stops there with an error, which has its place.
struct Sought<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Sought<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Sought<'_> {
    /// A value with nothing in it: the one that is sought, or none.
    fn leaf<E: de::Error>(&self) -> Result<(), E> {
        if self.0.is_empty() { Err(E::custom("here")) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for Sought<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.leaf()
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.leaf()
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.leaf()
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.leaf()
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.leaf()
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.leaf()
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((number, rest)) = self.0.split_first() else { return self.leaf() };
        let number = number.parse::<usize>().unwrap_or(usize::MAX);
        for at in 0_usize.. {
            let there = if at == number {
                list.next_element_seed(Sought(rest))?.is_some()
            } else {
                list.next_element::<IgnoredAny>()?.is_some()
            };
            if !there {
                break;
            }
        }
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<(), A::Error> {
        let Some((name, rest)) = self.0.split_first() else { return self.leaf() };
        while let Some(key) = table.next_key::<String>()? {
            if key == *name {
                table.next_value_seed(Sought(rest))?;
            } else {
                table.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Counted from 1, the column in characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    (before.matches('\n').count() + 1, column + 1)
}

/// Parses JSON.
pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if !text.trim().is_empty() && !is_json(text) && text.parse::<toml::Table>().is_ok() {
        return Err(IS_TOML.to_owned());
    }
    parse(&mut serde_json::Deserializer::from_str(text), |error| {
        let place = (error.line() > 0).then(|| (error.line(), error.column()));
        let cause = error.to_string();
        let place_again = place.map(|(line, column)| format!(" at line {line} column {column}"));
        let cause = place_again.and_then(|again| cause.strip_suffix(&again).map(str::to_owned)).unwrap_or(cause);
        (place, cause)
    })
}

/// Text, keys and codes are.
const QUOTES: &str = "is written in quotes";

fn parse<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
    place_and_cause: impl Fn(&D::Error) -> (Option<(usize, usize)>, String),
) -> Result<T, String> {
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let (place, cause) = place_and_cause(error.inner());
        let (field, cause) = (error.path().to_string(), without_value(&cause));
        let place = place.map(|(line, column)| format!("line {line}, column {column}: ")).unwrap_or_default();
        if field == "." { format!("{place}{cause}") } else { format!("{place}{field}: {cause}") }
    })
}

/// What was expected, without what was found: a PIN without quotes is still a PIN.
fn without_value(cause: &str) -> String {
    // The value comes first, and may be anything.
    let wanted = cause.rsplit_once(", expected ").map(|(_, wanted)| wanted);
    if cause.starts_with("unknown variant ") {
        return match wanted {
            Some(wanted) => format!("wants {}", wanted.trim_start_matches("one of ")),
            None => "is none of the words known here".to_owned(),
        };
    }
    if let Some(field) = cause.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
        let known = cause.split('`').skip(3).step_by(2);
        return match card::fault::nearest(field, known) {
            Some(near) => format!("there is no such field; did you mean {near}?"),
            None => cause.to_owned(),
        };
    }
    if !["invalid type: ", "invalid value: ", "invalid length "].iter().any(|found| cause.starts_with(found)) {
        // Fields parsed from text have error messages of their own.
        return match cause {
            "invalid socket address syntax" => wants("socket address"),
            "invalid IP address syntax" => wants("IP address"),
            other => other.to_owned(),
        };
    }
    wanted.map_or_else(|| "is not what is wanted here".to_owned(), wants)
}

/// What is expected, in the files' terms.
fn wants(wanted: &str) -> String {
    match wanted {
        "a string" => QUOTES.to_owned(),
        "a boolean" => "wants true or false".to_owned(),
        "a sequence" => "wants a list, in brackets: [ ]".to_owned(),
        "a map" => "wants a table of fields".to_owned(),
        "socket address" => "wants HOST:PORT, an IP address and a port such as 127.0.0.1:9443 or [::1]:9443".to_owned(),
        "IP address" => "wants an IP address, such as 192.0.2.1".to_owned(),
        "u8" => "wants a number from 0 to 255".to_owned(),
        "u16" => "wants a number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "wants a number".to_owned(),
        other if other.starts_with("struct ") => "wants a table of fields".to_owned(),
        other => format!("wants {other}"),
    }
}

/// The field that a line of TOML is about, if there is one.
fn field_of_line(line: &str) -> Option<&str> {
    let field = line.split_once('=')?.0.trim();
    let is_name = field.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'.');
    // Digits of a key are not a field.
    (is_name && field.len() <= 32 && !field.bytes().all(|c| c.is_ascii_hexdigit())).then_some(field)
}

/// Whether TOML mistakes a text value for something else.
fn is_unquoted(message: &str) -> bool {
    ["string values must be quoted", "invalid float", "invalid integer", "invalid hexadecimal", "invalid octal"]
        .iter()
        .chain(&["invalid binary", "invalid date", "invalid time", "unexpected key or value"])
        .any(|begin| message.starts_with(begin))
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Fields {
        text: String,
        number: u8,
        flag: bool,
        list: Vec<String>,
        inner: Inner,
        at: Option<SocketAddr>,
        proxy: Option<IpAddr>,
        which: Which,
    }

    #[derive(Debug, Default, Deserialize)]
    struct Inner {}

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Which {
        #[default]
        One,
        Other,
    }

    /// Stands for a key in every place where one may end up by mistake.
    const SECRET: &str = "465b5ce8";

    #[test]
    fn a_field_is_named_and_what_it_wants_is_said() {
        for (line, told) in [
            ("text = 5", "line 1, column 8: text: is written in quotes"),
            ("text = zz", "line 1, column 8: text: is written in quotes"),
            ("number = 'x, expected one'", "line 1, column 10: number: wants a number from 0 to 255"),
            ("flag = 'yes'", "line 1, column 8: flag: wants true or false"),
            ("list = 'x'", "line 1, column 8: list: wants a list, in brackets: [ ]"),
            ("list = [5]", "line 1, column 9: list[0]: is written in quotes"),
            ("inner = 5", "line 1, column 9: inner: wants a table of fields"),
            ("at = 'localhost'", "line 1, column 6: at: wants HOST:PORT, an IP address and a port"),
            ("at = '127.0.0.1'", "line 1, column 6: at: wants HOST:PORT, an IP address and a port"),
            ("at = 9443", "line 1, column 6: at: wants HOST:PORT, an IP address and a port"),
            ("proxy = 'here'", "line 1, column 9: proxy: wants an IP address, such as"),
            ("which = 'third'", "line 1, column 9: which: wants `one` or `other`"),
            ("text = '", "line 1, column 9: text: "),
            ("{ \"text\": 5 }", "line 1, column 1: this is JSON, not TOML"),
        ] {
            let refused = from_toml::<Fields>(line).unwrap_err();
            assert!(refused.starts_with(told), "{line}: {refused}");
        }
        for (text, told) in [
            ("{\"text\":5}", "line 1, column 9: text: is written in quotes"),
            ("{\"number\":\n 300}", "line 2, column 4: number: wants a number from 0 to 255"),
            ("{\"text\":\"\\z\"}", "line 1, column 11: text: invalid escape"),
            ("text = 'x'\n", "this is TOML: name the file .toml"),
        ] {
            let refused = from_json::<Fields>(text).unwrap_err();
            assert!(refused.starts_with(told), "{text}: {refused}");
        }
    }

    #[test]
    fn what_stands_there_is_not_repeated() {
        for line in [
            "text = SECRET",
            "text = 'SECRET",
            "text = \"SECRET\\z\"",
            "text = 'SECRET' SECRET",
            "number = 'SECRET'",
            "number = \"SECRET, expected SECRET\"",
            "flag = 'SECRET'",
            "list = 'SECRET'",
            "list = ['SECRET' 'SECRET']",
            "inner = 'SECRET'",
            "which = 'SECRET'",
            "at = 'SECRET'",
            "proxy = 'SECRET'",
            "SECRET",
            "'SECRET' 5",
        ] {
            let refused = from_toml::<Fields>(&line.replace("SECRET", SECRET)).unwrap_err();
            assert!(!refused.contains("465b"), "{line}: {refused}");
        }
        for text in ["{\"number\":\"SECRET\"}", "{\"which\":\"SECRET\"}", "{\"text\":SECRET}", "\"SECRET\""] {
            let refused = from_json::<Fields>(&text.replace("SECRET", SECRET)).unwrap_err();
            assert!(!refused.contains("465b"), "{text}: {refused}");
        }
    }

    /// For what is found to be wrong later.
    #[test]
    fn a_value_is_found_again() {
        let text = "a = 1\n[card]\nmemory = 0\npkis = [\"x\",\n \"y\"]\n";
        assert_eq!(place_in_toml(text, &["card", "memory"]), Some((3, 10)));
        assert_eq!(place_in_toml(text, &["card", "pkis", "1"]), Some((5, 2)));
        assert_eq!(place_in_toml("\u{FEFF}a = 1", &["a"]), Some((1, 5)));
        assert_eq!(place_in_toml(text, &["card", "none"]), None);
        let text = "{ \"a\": { \"b\": [1,\n 25] },\n  \"c\": \"x\" }";
        assert_eq!(place_in_json(text, &["a", "b", "1"]), Some((2, 3)));
        assert_eq!(place_in_json(text, &["c"]), Some((3, 10)));
        assert!(place_in_json(text, &["a", "b"]).is_some_and(|(line, _)| line == 1));
        for nowhere in [&["d"][..], &["a", "c"], &["a", "b", "2"], &["c", "x"]] {
            assert_eq!(place_in_json(text, nowhere), None, "{nowhere:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_says_nothing() {
        assert_eq!(from_toml::<Fields>("\u{FEFF}text = 'x'").unwrap().text, "x");
        assert_eq!(from_json::<Fields>("\u{FEFF}{\"text\":\"x\"}").unwrap().text, "x");
    }
}
