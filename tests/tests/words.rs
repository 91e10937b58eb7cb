//! Words that stay out of prose, help, errors, comments and names, and better ones.
//!
//! A reader who greps `heartbeat` or `timeout` finds the code, and no page reads as if translated.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// A word in lower case, and what to write instead.
const WORDS: &[(&str, &str)] = &[
    ("believed", "trusted, accepted, authenticated"),
    ("believes", "trusts"),
    ("diary", "audit log"),
    ("door", "listener, endpoint"),
    ("doors", "listeners"),
    ("he", "they for a user, it for a peer"),
    ("him", "them, it"),
    ("himself", "themself, itself"),
    ("his", "their, its"),
    ("news", "progress notification, event"),
    ("of above", "above"),
    ("of below", "below"),
    ("patience", "timeout"),
    ("section", "§ and the number"),
    ("sections", "§ and the number"),
    ("sign of life", "heartbeat"),
    ("signs of life", "heartbeats"),
    ("whoever", "name the user, client or peer"),
    ("whomever", "name the user, client or peer"),
];

/// Where a word stays: the beginning of a path, the word, or `*` for all of them, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("tests/tests/words.rs", "*", "the list itself"),
    ("CHANGELOG.md", "patience", "a former name in Rust"),
    ("CHANGELOG.md", "door", "a former name in Rust, in JSON and of a label"),
    // Interfaces keep their names.
    ("cli/src/device/mod.rs", "patience", "the option `--patience`"),
    ("tests/tests/faults_devices.rs", "patience", "the option `--patience`"),
    ("docs/operator.md", "patience", "the option `--patience`"),
    // Ordinary English, or numbers of a document that says section itself.
    ("terminal/pairing/src/bluetooth", "section", "the Core Specification numbers volumes, parts and sections"),
];

#[test]
fn prose_and_names_use_plain_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for path in files(root) {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        let excepted =
            |word: &str| EXCEPTIONS.iter().any(|(begin, of, _)| name.starts_with(begin) && (*of == "*" || *of == word));
        let text = fs::read_to_string(&path).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            let line_words = words_of(line);
            for (word, better) in WORDS.iter().filter(|(word, _)| occurs(word, &line_words) && !excepted(word)) {
                found.push(format!("{name}:{}: “{word}”: {better}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{} words to replace:\n{}", found.len(), found.join("\n"));
}

#[test]
fn names_are_split_into_words() {
    assert_eq!(words_of("fn progress_door(ProgressDoor)"), ["fn", "progress", "door", "progress", "door"]);
    assert!(occurs("sign of life", &words_of("/// The last sign of life.")));
    assert!(!occurs("he", &words_of("the header")));
    assert!(
        occurs("section", &words_of("RFC 4187 section 4.1")) && !occurs("section", &words_of("this section of it"))
    );
}

/// The words of a line, in lower case; names in snake case and camel case are split.
fn words_of(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in line.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a word or phrase occurs; `section` only before a number.
fn occurs(phrase: &str, line: &[String]) -> bool {
    let wanted: Vec<_> = phrase.split(' ').collect();
    let numbered = phrase.starts_with("section");
    line.windows(wanted.len() + usize::from(numbered)).any(|window| {
        window.iter().zip(&wanted).all(|(word, wanted)| word == wanted)
            && (!numbered || window.last().unwrap().starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// Sources, scripts and pages below a folder, without what is built.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                all.extend(files(&path));
            }
        } else if [".rs", ".md", ".sh", ".py"].iter().any(|end| name.ends_with(end)) || folder.ends_with("scripts") {
            all.push(path);
        }
    }
    all.sort();
    all
}
