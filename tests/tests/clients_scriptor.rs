//! `scriptor` of Debian's `pcsc-tools`: sends the commands of a file. `vuicc apdu run` plays the same file.

use std::process::Command;

use vuicc_tests::process::run;
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::subscriber::{package, subscriber};
use vuicc_tests::vuicc::{Card, command, json_lines};
use vuicc_tests::{peer, repository};

#[test]
fn the_same_file_gets_the_same_responses() {
    let Some(scriptor) = peer::debian("scriptor", "pcsc-tools") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[&package(folder.path(), &subscriber(1))]);
        let _inserted = card.insert(reader, 0);
        let file = repository().join("scripts/apdu/select.scriptor");

        let theirs = run(Command::new(&scriptor).args(["-r", Reader::FIRST]).arg(&file)).success();
        let theirs = responses_of_scriptor(&theirs.stdout);
        let ours =
            run(command(folder.path(), ["--json", "apdu", "run", "--reader", Reader::FIRST]).arg(&file)).success();
        let ours: Vec<String> = json_lines(&ours)
            .iter()
            .filter_map(|line| line.get("response").or_else(|| line.get("atr"))?.as_str().map(str::to_owned))
            .collect();
        assert!(theirs.len() == 9 && theirs[1].starts_with("61"), "{theirs:#?}");
        assert_eq!(theirs, ours);
    });
}

/// The answers to reset and responses that scriptor prints: `< 61 22 : …`, in lines of sixteen bytes.
fn responses_of_scriptor(printed: &str) -> Vec<String> {
    let mut responses: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in printed.lines() {
        let begins = line.strip_prefix("< ");
        let Some(text) = begins.or(goes_on.then_some(line)) else { continue };
        let text = text.strip_prefix("OK: ").unwrap_or(text);
        let (bytes, is_last) = text.split_once(" : ").map_or((text, false), |(bytes, _)| (bytes, true));
        let bytes: String = bytes.split_whitespace().collect();
        match (begins, responses.last_mut()) {
            (None, Some(response)) => response.push_str(&bytes),
            _ => responses.push(bytes),
        }
        goes_on = !is_last && !line.starts_with("< OK: ");
    }
    responses
}
