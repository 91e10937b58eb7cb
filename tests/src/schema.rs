//! What our program prints with `--json` is checked against its schema, whenever a test runs it: the schema as published, and
//! nothing besides.

use std::cell::RefCell;
use std::process::Command;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::vuicc;

/// The schema, as `vuicc schema` prints it.
const TEXT: &str = include_str!("../../cli/schema/vuicc-1.json");
const AT: &str = "urn:vuicc:schema:strict";

/// What any command may print.
const OF_ALL: [&str; 2] = ["error", "summary"];

struct Strict {
    schemas: Schemas,
    compiler: Compiler,
}

/// What is expected of a program of ours that is to print JSON, whether it is waited for or runs beside the test.
#[derive(Debug)]
pub(crate) struct Expected {
    words: Vec<String>,
    name: String,
}

impl Expected {
    /// `None` if the program is not ours, or prints no JSON.
    pub(crate) fn of(command: &Command) -> Option<Self> {
        let words: Vec<_> = command.get_args().filter_map(|argument| argument.to_str()).collect();
        let is_help = words.iter().any(|word| matches!(*word, "--help" | "-h"));
        if is_help || !words.contains(&"--json") || command.get_program() != vuicc::program() {
            return None;
        }
        let name = command_in(&words)?;
        Some(Self { words: words.into_iter().map(str::to_owned).collect(), name })
    }

    /// Checks all that it printed until it ended, with this exit code; without one it was killed, and has maybe not finished
    /// its last line.
    ///
    /// # Panics
    /// If a line is not what the schema says, or a failure has no error object, or not the exit code that is in it.
    pub(crate) fn check(&self, stdout: &str, code: Option<i32>) {
        let Self { words, name } = self;
        let printed = if code.is_some() { stdout } else { stdout.rsplit_once('\n').map_or("", |(lines, _)| lines) };
        let mut last = None;
        for line in printed.lines() {
            let object = serde_json::from_str(line).unwrap_or_else(|cause| panic!("{words:?}: {line}: {cause}"));
            conforms(name, &object)
                .unwrap_or_else(|cause| panic!("{words:?} printed {line}, which is not in the schema: {cause}"));
            last = Some(object);
        }
        let told = last.as_ref().and_then(|object| object.pointer("/error/exit_code")).and_then(Value::as_i64);
        if let Some(code) = code.filter(|code| *code != 101) {
            assert_eq!(
                told.unwrap_or(0),
                i64::from(code),
                "{words:?}: the last object does not have the exit code {code}: {stdout}"
            );
        }
    }
}

/// The definition of the command that these words call: its name is among them, maybe with options in between.
fn command_in(words: &[&str]) -> Option<String> {
    let schema: Value = serde_json::from_str(TEXT).expect("the schema is JSON");
    let names = schema["anyOf"].as_array()?.iter().filter_map(|one| one["$ref"].as_str()?.strip_prefix("#/$defs/"));
    let is_called = |name: &&str| {
        let mut rest = *name;
        for word in words {
            if let Some(more) = rest.strip_prefix(word) {
                if more.is_empty() {
                    return true;
                }
                rest = more.strip_prefix('-').unwrap_or(rest);
            }
        }
        false
    };
    names.filter(is_called).max_by_key(|name| name.len()).map(str::to_owned)
}

/// Whether an object is what a command may print.
///
/// # Errors
/// Why not.
pub fn conforms(command: &str, object: &Value) -> Result<(), String> {
    thread_local!(static STRICT: RefCell<Strict> = RefCell::new(Strict::new()));
    let refusal = |name| STRICT.with_borrow_mut(|strict| strict.refusal(name, object));
    let refused: Vec<_> = [command].into_iter().chain(OF_ALL).map(refusal).collect();
    if refused.iter().any(Option::is_none) {
        Ok(())
    } else {
        Err(refused.into_iter().flatten().next().unwrap_or_default())
    }
}

impl Strict {
    fn new() -> Self {
        let mut schema: Value = serde_json::from_str(TEXT).expect("the schema is JSON");
        close(&mut schema);
        schema["$id"] = json!(AT);
        let mut compiler = Compiler::new();
        compiler.add_resource(AT, schema).expect("the schema is a resource");
        Self { schemas: Schemas::new(), compiler }
    }

    fn refusal(&mut self, name: &str, object: &Value) -> Option<String> {
        let at = format!("{AT}#/$defs/{name}");
        let index: SchemaIndex = self.compiler.compile(&at, &mut self.schemas).expect("the schema is valid");
        self.schemas.validate(object, index).err().map(|error| error.to_string())
    }
}

/// Within a version fields may be added, and programs ignore those they do not know. Here none may be forgotten.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("type") == Some(&json!("object")) && members.contains_key("properties") {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_forgotten_and_nothing_added() {
        let whole = json!({ "index": 0, "name": "A", "card": false, "atr": null, "in_use": false, "exclusive": false });
        assert_eq!(conforms("reader-list", &whole), Ok(()));
        let mut less = whole.clone();
        less.as_object_mut().unwrap().remove("name");
        let mut more = whole.clone();
        more["colour"] = json!("blue");
        let mut other = whole;
        other["index"] = json!("0");
        for wrong in [less, more, other] {
            assert!(conforms("reader-list", &wrong).is_err(), "{wrong}");
        }
        let failed = json!({ "error": { "code": "card", "exit_code": 4, "message": "m", "causes": [], "help": null } });
        assert_eq!(conforms("reader-list", &failed), Ok(()));
    }

    #[test]
    fn a_program_that_was_killed_may_leave_a_line_unfinished() {
        let expected = Expected { words: vec![], name: "reader-list".into() };
        let whole = r#"{"index":0,"name":"A","card":false,"atr":null,"in_use":false,"exclusive":false}"#;
        let and_less = format!("{whole}\n{{\"index\":");
        expected.check(whole, Some(0));
        expected.check(&and_less, None);
        expected.check(r#"{"ind"#, None);
        let failed = r#"{"error":{"code":"card","exit_code":4,"message":"m","causes":[],"help":null}}"#;
        expected.check(failed, Some(4));
        let other = format!("{}\n{and_less}", r#"{"colour":"blue"}"#);
        for (stdout, code) in [(&*and_less, Some(0)), (failed, Some(0)), (whole, Some(4)), (&*other, None)] {
            let refused = std::panic::catch_unwind(|| expected.check(stdout, code));
            assert!(refused.is_err(), "{stdout} {code:?}");
        }
    }

    #[test]
    fn commands_are_found_among_options() {
        for (line, name) in [
            ("--state x --json card new my.img", Some("card-new")),
            ("--json smdp profile list --db x", Some("smdp-profile-list")),
            ("lpa profile --card x list --json", Some("lpa-profile-list")),
            ("device primary --operator x one-device --json", Some("device-primary-one-device")),
            ("--json --version", None),
        ] {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(command_in(&words).as_deref(), name, "{line}");
        }
    }
}
