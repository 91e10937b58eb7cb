//! `vuicc card personalities`: descriptions of cards as they are met in the field; and reading one for `card new --like`.

use std::fmt;
use std::path::{Path, PathBuf};

use card::fault::nearest;
use card::personality::{Description, Name, SHIPPED, shipped};
use card::programmable::{Programmable, TYPES, named};
use clap::Args;
use console::Exit;
use serde::Serialize;

use crate::Context;
use crate::failure::{AtPath, Failure};
use crate::fields::{from_toml, place_in_toml};
use crate::output::within_a_line;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print the description of this one, to begin a file with
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let chosen = arguments.name.as_deref();
    for one in SHIPPED.iter().filter(|one| chosen.is_none_or(|name| name.eq_ignore_ascii_case(one.name))) {
        let Description { about, sources, .. } = from_toml(one.text).map_err(Failure::because)?;
        let text = chosen.map(|_| one.text);
        let about = about.map(|about| about.0).unwrap_or_default();
        let sources = sources.into_iter().map(|source| source.0).collect();
        let listed = Listed { name: one.name, about, sources, text };
        match text {
            Some(text) => {
                context.output.json(&listed)?;
                context.output.block(text.trim_end())?;
            }
            None => context.output.put(&listed)?,
        }
    }
    for one in TYPES.iter().filter(|one| chosen.is_none_or(|name| name.eq_ignore_ascii_case(one.name))) {
        let sources = one.sources.iter().map(|source| (*source).to_owned()).collect();
        context.output.put(&Listed { name: one.name, about: one.about.to_owned(), sources, text: None })?;
    }
    match chosen {
        Some(name) if shipped(name).is_none() && named(name).is_none() => Err(unknown(name)),
        _ => Ok(()),
    }
}

/// The programmable card that `--like` names for a UICC.
pub(crate) fn programmable(like: &str) -> Result<&'static Programmable, Failure> {
    named(like).ok_or_else(|| {
        let names: Vec<_> = TYPES.iter().map(|one| one.name).collect();
        Failure::because(format!("--like {like}: a UICC can be like a programmable card: {}", names.join(", ")))
            .with(Exit::Usage)
    })
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    about: String,
    sources: Vec<String>,
    /// The whole file, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:18}  {}", self.name, within_a_line(&self.about))
    }
}

fn unknown(name: &str) -> Failure {
    let wish = nearest(name, SHIPPED.iter().map(|one| one.name)).map(|near| format!("did you mean {near}? "));
    let shown = if name.is_empty() { "\"\"" } else { name };
    Failure::because(format!(
        "{shown}: there is no such personality; {}`vuicc card personalities` lists them, and a file is named with its folder or \
         .toml",
        wish.unwrap_or_default()
    ))
    .with(Exit::Usage)
}

/// What `--like` names.
#[derive(Debug, Default)]
pub(crate) struct Like {
    pub(crate) description: Description,
    /// Where it is written, if that is a file.
    file: Option<(PathBuf, String)>,
}

impl Like {
    /// A folder that it names, relative to itself.
    pub(crate) fn folder(&self, folder: &Path) -> PathBuf {
        let beside = self.file.as_ref().and_then(|(path, _)| path.parent());
        beside.map_or_else(|| folder.to_owned(), |beside| beside.join(folder))
    }

    /// What is wrong with a field of it, found out when the card was made.
    pub(crate) fn refuse(&self, field: &[&str], cause: &str) -> Failure {
        let mut name = String::new();
        for part in field {
            match part.parse::<usize>() {
                Ok(_) => name.extend(["[", *part, "]"]),
                Err(_) if name.is_empty() => name.push_str(part),
                Err(_) => name.extend([".", part]),
            }
        }
        let (path, place) = match &self.file {
            Some((path, text)) => (format!("{}: ", path.display()), place_in_toml(text, field)),
            None => (String::new(), None),
        };
        let place = place.map(|(line, column)| format!("line {line}, column {column}: ")).unwrap_or_default();
        Failure::because(format!("{path}{place}{name}: {cause}")).with(Exit::Input)
    }
}

/// Reads a file.
pub(crate) fn read_file(path: &Path) -> Result<Like, Failure> {
    let text = std::fs::read_to_string(path).at("read the description", path)?;
    let mut description: Description = from_toml(&text).map_err(|cause| {
        let advice = "`vuicc card personalities standard` shows every field";
        Failure::because(format!("{}: {cause}; {advice}", path.display())).with(Exit::Input)
    })?;
    let stem = path.file_stem().map(|stem| Name(within_a_line(&stem.to_string_lossy())));
    description.name = description.name.or(stem);
    Ok(Like { description, file: Some((path.to_owned(), text)) })
}

/// Reads a shipped description, or a file.
pub(crate) fn read(like: &str) -> Result<Like, Failure> {
    let path = Path::new(like);
    let is_file = path.components().count() > 1 || path.extension().is_some_and(|extension| extension == "toml");
    match shipped(like) {
        Some(one) => Ok(Like { description: from_toml(one.text).map_err(Failure::because)?, file: None }),
        None if is_file => read_file(path),
        None if named(like).is_some() => {
            Err(Failure::because(format!("--like {like}: this is a plain SIM: use it with --type uicc"))
                .with(Exit::Usage))
        }
        None => Err(unknown(like)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(like: &str) -> String {
        let Err(Failure::Because(cause)) = read(like) else { panic!("{like} was read") };
        cause.to_string()
    }

    fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd.toml");
        std::fs::write(&path, text).unwrap();
        told(&path.to_string_lossy())
    }

    /// Line, field, and what was meant.
    #[test]
    fn a_typo_is_told_with_its_line_and_the_field_that_is_near() {
        for (text, told) in [
            ("[isd_r]\naid = []", "line 2, column 1: isd_r.aid: there is no such field; did you mean aids?"),
            ("[versions]\nsgp22 = \"3.1.0\"", "line 2, column 9: versions.sgp22: the card is one of SGP.22 version 2"),
            (
                "\n[isd_r]\nrefresh = \"sometimes\"",
                "line 3, column 11: isd_r.refresh: wants `announced`, `never`, `always`",
            ),
            ("[card]\natr = \"3B\"", "line 2, column 7: card.atr: is cut off"),
            ("[card]\nlogical_channels = 20", "card.logical_channels: wants a number from 0 to 19"),
            ("[capabilities]\nuicc = [\"javacard\"]", "claims = [\"javacard\"]"),
            ("faults = [\"EnableProfile=6\"]", "faults[0]: EnableProfile has no result code 6; it has ok(0)"),
            ("[ecasd]\neid = 5", "ecasd.eid: "),
            ("[isd_r]\naids = []", "line 2, column 8: isd_r.aids: wants one AID at least"),
            ("name = \"a\\u0007\"", "line 1, column 8: name: has the character \\u{7}"),
            ("about = \"\\u001B[2J\"", "line 1, column 9: about: has the character \\u{1b}"),
            ("[isd_r]\nunknown_tag = \"9100\"", "line 2, column 15: isd_r.unknown_tag: 9100 announces"),
        ] {
            let refused = refusal(text);
            assert!(refused.contains(told) && refused.contains("odd.toml"), "{text}\n{refused}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_told_with_what_is_near() {
        let told = told("5bear");
        assert!(told.contains("did you mean 5ber?"), "{told}");
        assert_eq!(read("5BER").unwrap().description.name, Some(Name("5ber".to_owned())));
    }
}
