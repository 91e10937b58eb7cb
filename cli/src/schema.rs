//! `vuicc schema`: the JSON Schema of what commands print with `--json`.

use std::collections::BTreeMap;

use clap::Args;
use console::Exit;
use serde_json::{Map, Value, json};

use crate::Context;
use crate::failure::Failure;

/// The schema of all commands. A definition named after a command, with dashes, is what that prints.
const WHOLE: &str = include_str!("../schema/vuicc-1.json");

/// What every command may print besides.
const OF_ALL: [&str; 2] = ["error", "summary"];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Of this command alone, as in: card new [default: of all]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

/// It is JSON in any case: for people on many lines, with `--json` on one, as all objects are.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let mut schema: Value = serde_json::from_str(WHOLE)?;
    if arguments.command.is_empty() {
        context.output.block(WHOLE.trim_end())?;
        return Ok(context.output.json(&schema)?);
    }
    let command = arguments.command.join(" ");
    schema = of(&command, &schema).ok_or_else(|| {
        Failure::because(format!("there is no schema of `{command}`; `vuicc --help` lists the commands"))
            .with(Exit::Usage)
    })?;
    context.output.block(serde_json::to_string_pretty(&schema)?)?;
    Ok(context.output.json(&schema)?)
}

/// The part of the schema that is about one command, complete in itself.
fn of(command: &str, whole: &Value) -> Option<Value> {
    let definitions = whole.get("$defs")?.as_object()?;
    let own = definitions.get(&command.replace(' ', "-"))?;
    let mut needed = BTreeMap::new();
    gather(own, definitions, &mut needed);
    let mut any = vec![own.clone()];
    for name in OF_ALL {
        any.push(json!({ "$ref": format!("{PREFIX}{name}") }));
    }
    for one in &any {
        gather(one, definitions, &mut needed);
    }
    let needed: Map<_, _> = needed.into_iter().map(|(name, schema)| (name.to_owned(), schema.clone())).collect();
    let id = format!("{}:{}", whole.get("$id")?.as_str()?, command.replace(' ', "-"));
    let title = format!("What vuicc {command} prints with --json");
    Some(json!({ "$schema": whole.get("$schema")?, "$id": id, "title": title, "anyOf": any, "$defs": needed }))
}

/// How a reference to a definition begins.
const PREFIX: &str = "#/$defs/";

/// The definitions that a schema refers to, and those that they refer to.
fn gather<'a>(schema: &Value, all: &'a Map<String, Value>, found: &mut BTreeMap<&'a str, &'a Value>) {
    match schema {
        Value::Object(members) => {
            let named = members.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(PREFIX));
            if let Some((name, definition)) = named.and_then(|name| all.get_key_value(name))
                && found.insert(name, definition).is_none()
            {
                gather(definition, all, found);
            }
            members.values().for_each(|member| gather(member, all, found));
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, all, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;
    use console::exit::TABLE;

    use super::*;
    use crate::Cli;

    /// What a schema is, others say.
    const WITHOUT: [&str; 1] = ["schema"];

    fn whole() -> Value {
        serde_json::from_str(WHOLE).unwrap()
    }

    /// Each command that is there has a definition, and all may be what a line is.
    #[test]
    fn every_command_is_in_the_schema() {
        fn visit(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            if !command.has_subcommands() {
                found.push(path.to_owned());
            }
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                visit(sub, format!("{path} {}", sub.get_name()).trim(), found);
            }
        }
        let whole = whole();
        let mut commands = Vec::new();
        visit(&Cli::command(), "", &mut commands);
        commands.retain(|command| !WITHOUT.contains(&command.as_str()));
        let missing: Vec<_> = commands.iter().filter(|command| of(command, &whole).is_none()).collect();
        assert!(missing.is_empty(), "no definition in cli/schema/vuicc-1.json: {missing:?}");
        let any = whole["anyOf"].as_array().unwrap();
        let any: BTreeSet<_> =
            any.iter().map(|one| one["$ref"].as_str().unwrap().strip_prefix(PREFIX).unwrap()).collect();
        let expected: Vec<_> = commands.iter().map(|command| command.replace(' ', "-")).collect();
        assert_eq!(any, expected.iter().map(String::as_str).chain(OF_ALL).collect());
    }

    /// What a definition refers to is there, in the whole and in a part.
    #[test]
    fn a_part_is_complete() {
        fn check(schema: &Value, definitions: &Value) {
            match schema {
                Value::Object(members) => {
                    if let Some(to) = members.get("$ref") {
                        let name = to.as_str().unwrap().strip_prefix(PREFIX).unwrap();
                        assert!(definitions.get(name).is_some(), "{name}");
                    }
                    members.values().for_each(|member| check(member, definitions));
                }
                Value::Array(items) => items.iter().for_each(|item| check(item, definitions)),
                _ => {}
            }
        }
        check(&whole(), &whole()["$defs"]);
        let part = of("card show", &whole()).unwrap();
        check(&part, &part["$defs"]);
        assert!(part["$defs"]["file"].is_object() && part["$defs"]["error"].is_object());
        assert!(part["$defs"].get("order").is_none());
        assert_eq!(of("card knew", &whole()), None);
    }

    /// The names of exit codes are those of the table.
    #[test]
    fn errors_have_the_names_of_the_table() {
        let names = whole()["$defs"]["error"]["properties"]["error"]["properties"]["code"]["enum"].clone();
        let table: Vec<_> = TABLE.iter().skip(1).map(|row| row.name).collect();
        assert_eq!(names, json!(table));
    }
}
