//! What `vuicc apdu run` leaves behind: JUnit XML, TAP, exit codes, a place to go on; and what it never shows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use roxmltree::{Document, Node};
use serde_json::Value;
use vuicc_tests::process::{Finished, Process, run};
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::subscriber::{package, subscriber};
use vuicc_tests::vuicc::{self, Card, command, json_lines};
use vuicc_tests::{peer, repository, vector};

/// A script with every outcome: as expected, unchecked, different, skipped, a loop, an empty loop.
const MIXED: &str = "\
reset
> 00A40004 #(3F00) 00                 # SELECT MF <&>
< 62 .. 9000
for fid in 2FE2, 2FFF
    > 00A40004 #(${fid}) 00
    < 62 .. 9000
end
for nothing from response 6F
    > 00FF0000
end
expect response has 62/83 = 2FE2
> 00200001
skip unless 6A82
> 00FF0000
";

struct Bench {
    folder: tempfile::TempDir,
    card: Card,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[&package(folder.path(), &subscriber(1))]);
        Self { folder, card }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `vuicc`, then these arguments, in the folder of this test.
    fn vuicc(&self, arguments: &[&str]) -> Finished {
        run(command(&self.folder.path().join("state"), []).args(arguments).current_dir(self.folder.path()))
    }

    /// `vuicc apdu run` on the image.
    fn play(&self, arguments: &[&str]) -> Finished {
        self.vuicc(&[&["apdu", "run", "--card", self.card.image().to_str().unwrap()], arguments].concat())
    }
}

/// Checks a document against the schema that the xUnit plugin of Jenkins has (junit-10.xsd), and against what GitLab makes
/// of it: cases are told apart by class and name. Returns tests, failures, errors and skipped ones.
fn check_junit(text: &str) -> [usize; 4] {
    let document = Document::parse(text).unwrap();
    let root = document.root_element();
    allow(root, "testsuites", &["name"], &["tests", "failures", "errors", "time", "disabled"]);
    let mut sum = [0; 4];
    for suite in root.children().filter(Node::is_element) {
        let counters = ["tests", "failures", "errors", "skipped"];
        allow(
            suite,
            "testsuite",
            &["name", "tests"],
            &["failures", "errors", "skipped", "time", "timestamp", "hostname"],
        );
        let mut counted = [0; 4];
        let mut names = HashSet::new();
        for case in suite.children().filter(Node::is_element) {
            allow(case, "testcase", &["name", "classname"], &["time"]);
            assert!(names.insert((case.attribute("classname"), case.attribute("name"))), "{case:?} twice");
            counted[0] += 1;
            for inside in case.children().filter(Node::is_element) {
                match inside.tag_name().name() {
                    "failure" => {
                        allow(inside, "failure", &["type", "message"], &[]);
                        counted[1] += 1;
                    }
                    "error" => {
                        allow(inside, "error", &["type", "message"], &[]);
                        counted[2] += 1;
                    }
                    "skipped" => {
                        allow(inside, "skipped", &["message"], &[]);
                        counted[3] += 1;
                    }
                    other => assert_eq!(other, "system-out"),
                }
            }
        }
        for (counter, counted) in counters.iter().zip(counted) {
            assert_eq!(suite.attribute(*counter), Some(counted.to_string().as_str()), "{counter} of {suite:?}");
        }
        sum = core::array::from_fn(|at| sum[at] + counted[at]);
    }
    for (counter, sum) in ["tests", "failures", "errors"].iter().zip(sum) {
        assert_eq!(root.attribute(*counter), Some(sum.to_string().as_str()), "{counter}");
    }
    sum
}

/// An element with this name, all of the first attributes and any of the others; times have three decimals.
fn allow(element: Node<'_, '_>, name: &str, required: &[&str], optional: &[&str]) {
    assert_eq!(element.tag_name().name(), name);
    for attribute in required {
        assert!(element.has_attribute(*attribute), "{attribute} of {element:?}");
    }
    for attribute in element.attributes() {
        assert!(required.contains(&attribute.name()) || optional.contains(&attribute.name()), "{attribute:?}");
        if attribute.name() == "time" {
            let (whole, decimals) = attribute.value().split_once('.').unwrap();
            assert!(whole.parse::<u32>().is_ok() && decimals.len() == 3 && decimals.parse::<u32>().is_ok());
        }
    }
}

#[test]
fn junit_has_a_case_for_every_step() {
    let bench = Bench::new();
    bench.write("mixed.apdu", MIXED);
    bench.write("fine.apdu", "reset\n> 00A4000C #(3F00)\n< 9000\n");
    let played = bench.play(&["mixed.apdu", "fine.apdu", "--keep-going", "--junit", "result.xml"]);
    assert_eq!(played.code(), Some(3), "{played:#?}");
    let text = fs::read_to_string(bench.folder.path().join("result.xml")).unwrap();
    assert_eq!(check_junit(&text), [10, 2, 0, 2], "{text}");
    assert!(
        text.contains("line 5 [fid=2FFF]: SELECT 00 04") && text.contains("expect response has 62/83 = 2FE2"),
        "{text}"
    );
    // The table names each script, and the first difference.
    let row = |script: &str| played.stdout.lines().rfind(|line| line.starts_with(script)).unwrap().to_owned();
    let words = |row: String| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mixed = words(row("mixed.apdu"));
    assert_eq!((mixed[1].as_str(), mixed[2].as_str(), mixed[5].as_str()), ("6", "2", "mixed.apdu:5"), "{mixed:?}");
    assert_eq!(words(row("fine.apdu"))[5..], ["-"]);
    assert!(played.stdout.contains("8 steps, 2 not as expected, 2 skipped"), "{}", played.stdout);

    // Without --keep-going a script ends at its first difference, and the next one is played.
    let played = bench.play(&["mixed.apdu", "fine.apdu", "--junit", "result.xml"]);
    assert_eq!(played.code(), Some(3));
    let text = fs::read_to_string(bench.folder.path().join("result.xml")).unwrap();
    assert_eq!(check_junit(&text), [6, 1, 0, 0], "{text}");

    let refused = bench.play(&["fine.apdu", "--junit", "no/such/folder/result.xml"]);
    assert!(refused.stderr.contains("no/such/folder") && refused.stdout.is_empty(), "{refused:#?}");
}

#[test]
fn the_summary_is_the_last_object() {
    let bench = Bench::new();
    bench.write("mixed.apdu", MIXED);
    let played = bench.vuicc(&[
        "--json",
        "apdu",
        "run",
        "--card",
        bench.card.image().to_str().unwrap(),
        "mixed.apdu",
        "--keep-going",
    ]);
    let lines = json_lines(&played);
    let summary = lines.iter().find_map(|line| line.get("summary")).unwrap();
    assert_eq!((&summary["steps"], &summary["failed"], &summary["skipped"]), (&6.into(), &2.into(), &2.into()));
    let script = &summary["scripts"][0];
    assert_eq!(script["outcome"], "failed");
    assert_eq!(script["first_difference"]["place"], "mixed.apdu:5");
    assert_eq!(summary["resume"], Value::Null);
    assert!(lines.iter().any(|line| line["turns"] == serde_json::json!(["fid=2FFF"])), "{lines:#?}");
    assert_eq!(lines.last().unwrap()["error"]["code"], "difference", "{lines:#?}");
}

/// Perl's own reader of TAP, in its harness.
#[test]
fn prove_reads_tap() {
    let Some(prove) = peer::debian("prove", "perl") else { return };
    let bench = Bench::new();
    bench.write("mixed.apdu", MIXED);
    bench.write("fine.apdu", "reset\n> 00A4000C #(3F00)\n< 9000\n");
    let image = bench.card.image().to_str().unwrap();
    let program = vuicc::program().to_str().unwrap();
    let exec = format!("{program} apdu run --keep-going --tap --card {image}");
    let proved = |scripts: &[&str]| {
        run(Command::new(&prove).args(["--verbose", "--exec", &exec]).args(scripts).current_dir(bench.folder.path()))
    };
    let passed = proved(&["fine.apdu"]).success();
    assert!(passed.stdout.contains("Files=1, Tests=2") && passed.stdout.contains("Result: PASS"), "{passed:#?}");
    let failed = proved(&["fine.apdu", "mixed.apdu"]);
    assert_eq!(failed.code(), Some(1), "{failed:#?}");
    for said in ["Files=2, Tests=10", "Failed tests:  4, 6", "Non-zero exit status: 3", "Result: FAIL"] {
        assert!(failed.stdout.contains(said), "no `{said}` in {failed:#?}");
    }
    assert!(!failed.stdout.contains("Parse errors"), "{failed:#?}");
    assert!(failed.stdout.contains("# SKIP"), "{failed:#?}");
}

#[test]
fn a_script_that_is_wrong_is_shown_with_a_mark() {
    let bench = Bench::new();
    bench.write("wrong.apdu", "reset\n> 00A4 zz\n");
    bench.write("empty.apdu", "# nothing here\nraw\n");
    bench.write("open.apdu", "for x in 01\n> 00\n");
    let wrong = bench.play(&["wrong.apdu"]);
    assert_eq!((wrong.code(), wrong.stdout.as_str()), (Some(5), ""));
    let lines: Vec<_> = wrong.stderr.lines().collect();
    assert!(lines[0].starts_with("vuicc: wrong.apdu:2:8: hexadecimal digits"), "{lines:#?}");
    assert_eq!(lines[1..], ["    > 00A4 zz", "           ^"]);
    let empty = bench.play(&["empty.apdu"]);
    assert_eq!(empty.code(), Some(5));
    assert!(empty.stderr.starts_with("vuicc: empty.apdu:1:1: the script does nothing to a card"), "{}", empty.stderr);
    let open = bench.play(&["open.apdu"]);
    assert_eq!(open.code(), Some(5));
    assert!(open.stderr.starts_with("vuicc: open.apdu:1:1: `end` is missing"), "{}", open.stderr);
    let none = bench.play(&["none.apdu"]);
    assert!(none.code() == Some(5) && none.stderr.contains("none.apdu"), "{none:#?}");
    // For programs the same is in the object.
    let json = bench.vuicc(&["--json", "apdu", "run", "wrong.apdu"]);
    let error = &json_lines(&json).pop().unwrap()["error"];
    assert_eq!((&error["code"], &error["exit_code"]), (&"input".into(), &5.into()));
    assert!(error["message"].as_str().unwrap().starts_with("wrong.apdu:2:8"), "{error}");
}

/// Secrets are sent, and are in no output, report, trace or recording.
#[test]
fn secrets_appear_nowhere() {
    let bench = Bench::new();
    let key = "A1B2C3D4E5F60718";
    bench.write("s.toml", &format!("[pins]\npin1 = \"9182\"\n[keys]\nadm = \"{key}\"\n"));
    // The card says no to all of it; what matters is what is told of that.
    let script = format!(
        "secret pin1\nsecret adm\nset wrapped 00 ${{adm}} 00\nreset\n> 00200001 #(${{pin1}})\n< 6985\n> 00CB0000 #(${{wrapped}})\n\
         < ${{adm}} 9000\n# not a secret: {}\n",
        "00"
    );
    bench.write("s.apdu", &script);
    let image = bench.card.image().to_str().unwrap();
    let secrets = ["--secrets", "s.toml"];
    let mut told = String::new();
    for options in [
        &["--show"][..],
        &["--tap"],
        &["--keep-going", "--junit", "s.xml", "--trace", "s.trace"],
        &["--keep-going", "--trace", "s.json"],
    ] {
        let played = bench.play(&[&["s.apdu"], &secrets[..], options].concat());
        assert_eq!(played.code(), Some(3), "{played:#?}");
        told += &(played.stdout + &played.stderr);
    }
    let json =
        bench.vuicc(&[&["--json", "apdu", "run", "s.apdu", "--card", image, "--keep-going"], &secrets[..]].concat());
    let recorded = bench.vuicc(&[&["apdu", "record", "s.apdu", "--card", image], &secrets[..]].concat()).success();
    let other = Card::new(bench.folder.path(), &[]);
    let compared = bench.vuicc(
        &[
            &["apdu", "diff", "s.apdu", "--all", "--card", image, "--card", other.image().to_str().unwrap()],
            &secrets[..],
        ]
        .concat(),
    );
    assert!(recorded.stdout.starts_with("secret adm\nsecret pin1\n"), "{}", recorded.stdout);
    for finished in [json, recorded, compared] {
        told += &(finished.stdout + &finished.stderr);
    }
    for file in ["s.xml", "s.trace", "s.json"] {
        told += &fs::read_to_string(bench.folder.path().join(file)).unwrap();
    }
    assert!(told.contains("${adm}") && told.contains("${pin1}"), "{told}");
    for secret in [key, "39313832", "9182"] {
        assert!(!told.to_uppercase().contains(secret), "{secret} in {told}");
    }
    // Without the file the script names what is missing.
    let without = bench.play(&["s.apdu"]);
    assert_eq!(without.code(), Some(5));
    assert!(
        without.stderr.contains("the secret `pin1` is not given") && without.stderr.contains("--secrets FILE"),
        "{without:#?}"
    );
}

/// What was left out of a trace is asked for when it is played, and nothing is sent in its place.
#[test]
fn a_trace_without_its_secret_is_not_played() {
    let bench = Bench::new();
    bench.write("k.apdu", "secret k\nreset\n> 00A40004 #(${k})\n< 6A8?\n> 00A40004 #(3F00) 00\n");
    for trace in ["k.trace", "k.json", "k.pcapng", "k.pcap"] {
        let _ = bench.play(&["k.apdu", "--set", "k=11223344", "--trace", trace]).success();
        let octets = fs::read(bench.folder.path().join(trace)).unwrap();
        assert!(!octets.windows(4).any(|octets| octets == [0x11, 0x22, 0x33, 0x44]), "{trace}");
        // The names of secrets are in all of them.
        let refused = bench.play(&[trace]);
        assert_eq!((refused.code(), refused.stdout.as_str()), (Some(5), ""), "{trace}: {refused:#?}");
        assert!(refused.stderr.contains("the secret `k` is not given"), "{trace}: {refused:#?}");
        let given = bench.play(&[trace, "--set", "k=11223344"]).success();
        assert!(given.stdout.contains("3 steps, 0 not as expected"), "{trace}: {given:#?}");
        let decoded = bench.vuicc(&["apdu", "decode", trace]).success();
        assert!(decoded.stdout.contains("SELECT"), "{trace}: {decoded:#?}");
    }
}

/// A pipeline is not green because nothing was sent.
#[test]
fn a_script_whose_branches_are_not_taken_fails() {
    let bench = Bench::new();
    bench.write("none.apdu", "set x 01\nif x is 02\n  > 00A4000C #(3F00)\nelse if x is 03\n  reset\nend\n");
    bench.write("fine.apdu", "reset\n");
    let played = bench.play(&["none.apdu", "fine.apdu", "--junit", "none.xml"]);
    assert_eq!(played.code(), Some(5), "{played:#?}");
    assert!(played.stdout.contains("skip    none.apdu:4  2 steps skipped: not so: x is 03"), "{played:#?}");
    assert!(played.stderr.contains("none.apdu: no command or reset was sent to the card"), "{played:#?}");
    let text = fs::read_to_string(bench.folder.path().join("none.xml")).unwrap();
    assert_eq!(check_junit(&text), [3, 0, 1, 1], "{text}");
    for command in [
        &["apdu", "record", "none.apdu", "--card"][..],
        &["apdu", "diff", "none.apdu", "--card", bench.card.image().to_str().unwrap(), "--card"],
    ] {
        let image = bench.card.image().to_str().unwrap();
        let refused = bench.vuicc(&[command, &[image]].concat());
        assert_eq!(refused.code(), Some(5), "{refused:#?}");
    }
    bench.write("early.apdu", "if response has 62\n  > 00A4000C #(3F00)\nelse\n  reset\nend\n");
    let early = bench.play(&["early.apdu"]);
    assert!(
        early.code() == Some(5) && early.stderr.contains("early.apdu:1: there is no response to look at"),
        "{early:#?}"
    );
}

/// A job's time limit ends a run by SIGTERM: what was played is in the report.
#[test]
fn a_run_that_is_ended_leaves_its_report() {
    let bench = Bench::new();
    bench.write("slow.apdu", "reset\n> 00A4000C #(3F00)\n> 00A4000C #(3F00)\n");
    let image = bench.card.image().to_str().unwrap();
    let _ = bench.vuicc(&["card", "fault", "add", image, "slow=3600s@SELECT,from=2"]).success();
    let mut run = command(&bench.folder.path().join("state"), []);
    run.args(["apdu", "run", "slow.apdu", "--junit", "slow.xml", "--card", image]).current_dir(bench.folder.path());
    let mut run = Process::start(&mut run, bench.folder.path());
    run.wait_until("the command before is played", |run| run.log().contains("slow.apdu:2"));
    assert_eq!(run.stop().code(), Some(1));
    let text = fs::read_to_string(bench.folder.path().join("slow.xml")).unwrap();
    assert_eq!(check_junit(&text), [3, 0, 1, 0], "{text}");
    assert!(text.contains("the run was ended by a signal"), "{text}");
}

/// The same where what reads the output does so no more, at the summary: that a run is over is no reason to stay.
#[test]
fn a_run_whose_output_is_not_read_is_ended() {
    let bench = Bench::new();
    let _ = run(Command::new("mkfifo").arg(bench.folder.path().join("out"))).success();
    // The summary is longer than a pipe.
    let names: Vec<_> = (0..600).map(|number| format!("{number}.apdu")).collect();
    for name in &names {
        bench.write(name, "reset\n");
    }
    let vuicc = command(&bench.folder.path().join("state"), []);
    let mut unread = Command::new("sh");
    unread.args(["-c", "exec \"$0\" \"$@\" >out"]).arg(vuicc.get_program()).args(vuicc.get_args());
    unread.args(["--json", "apdu", "run", "--junit", "r.xml", "--card"]).arg(bench.card.image()).args(&names);
    let run = Process::start(unread.current_dir(bench.folder.path()), bench.folder.path());
    let mut out = fs::File::open(bench.folder.path().join("out")).unwrap();
    let (mut read, mut some) = (Vec::new(), [0; 1024]);
    while !String::from_utf8_lossy(&read).contains("{\"summary\"") {
        let length = out.read(&mut some).unwrap();
        assert_ne!(length, 0, "no summary: {}", run.log());
        // What was read before has no part of it but the last line.
        let line = read.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        let _ = read.drain(..line);
        read.extend(&some[..length]);
    }
    assert_eq!(run.stop().code(), Some(1));
    let text = fs::read_to_string(bench.folder.path().join("r.xml")).unwrap();
    assert!(text.contains("the run was ended by a signal"), "{text}");
}

/// The example with a PIN, on a card whose PIN is enabled.
#[test]
fn the_example_with_a_secret_plays() {
    let bench = Bench::new();
    fs::write(bench.folder.path().join("anna.toml"), "iccid = \"8988211000000000011\"\nimsi = \"001010000000001\"\nkey = \"465B5CE8B199B49FAA5F0A2EE238A6BC\"\nopc = \"CD63CB71954A9F4E48A5994E37A02BAF\"\n[codes]\npin1 = \"4321\"\npin1_enabled = true\n").unwrap();
    let _ = bench.vuicc(&["card", "new", "anna.img", "--type", "uicc", "--subscriber", "anna.toml"]).success();
    bench.write("right.toml", "[pins]\npin1 = \"4321\"\n");
    bench.write("wrong.toml", "[pins]\npin1 = \"1234\"\n");
    let example = repository().join("scripts/apdu/secrets/verify-pin.apdu");
    let play = |secrets: &str| {
        bench.vuicc(&["apdu", "run", example.to_str().unwrap(), "--card", "anna.img", "--secrets", secrets])
    };
    assert_eq!(play("wrong.toml").code(), Some(3));
    assert_eq!(play("wrong.toml").code(), Some(3));
    let careful = play("wrong.toml");
    assert!(careful.stdout.contains("expect not response is 63C1"), "the last try is left alone: {careful:#?}");
    let unblock = bench.write("try.apdu", "reset\n> 00200001 #(34333231FFFFFFFF)\n< 9000\n");
    let _ = bench.vuicc(&["apdu", "run", unblock.to_str().unwrap(), "--card", "anna.img"]).success();
    let _ = play("right.toml").success();
}

#[test]
fn a_run_starts_where_it_is_told() {
    let bench = Bench::new();
    bench.write("a.apdu", "reset\n> 00A4000C #(2FFF)\n< 9000\n");
    bench.write("b.apdu", "set fid 3F00\nreset\n> 00A4000C #(2FFF)\n< 9000\nreset\n> 00A4000C #(${fid})\n< 9000\nfor x in 01\n> 00200001\nend\n");
    let played = bench.play(&["a.apdu", "b.apdu", "--from", "b.apdu:4", "--keep-going"]).success();
    assert!(played.stdout.contains("3 steps, 0 not as expected"), "{}", played.stdout);
    assert!(played.stdout.contains("not played"), "{}", played.stdout);
    for (from, said) in [
        ("b.apdu:9", "inside what begins in line 8"),
        ("b.apdu:11", "the last one is in line 8"),
        ("c.apdu:1", "none of the scripts"),
        ("b.apdu", "FILE:LINE"),
    ] {
        let refused = bench.play(&["a.apdu", "b.apdu", "--from", from]);
        assert!(refused.code() == Some(2) && refused.stderr.contains(said), "{from}: {refused:#?}");
    }
}

/// The card leaves in the middle: what was played is reported, and the run goes on where it says.
#[test]
fn a_lost_card_leaves_a_report_and_a_place_to_go_on() {
    beside_private_reader(|reader| {
        let bench = Bench::new();
        bench.write("before.apdu", "reset\n> 00A4000C #(3F00)\n< 9000\n");
        bench.write(
            "long.apdu",
            "reset\n> 00A4000C #(3F00)\n< 9000\nreset\nfor x in 0000..FFFF\n  > 00A4000C #(3F00)\n  < 9000\nend\n",
        );
        bench.write("after.apdu", "> 00A4000C #(3F00)\n");
        let inserted = bench.card.insert(reader, 0);
        let scripts = ["before.apdu", "long.apdu", "after.apdu"];
        let mut playing = command(
            &bench.folder.path().join("state"),
            ["apdu", "run", "--reader", Reader::FIRST, "--junit", "lost.xml"],
        );
        let mut playing = Process::start(playing.args(scripts).current_dir(bench.folder.path()), bench.folder.path());
        playing.wait_until("some turns", |playing| playing.log().contains("[x=0003]"));
        let _ = inserted.stop();
        let status = playing.wait_for_end();
        let log = playing.log();
        assert_eq!(status.code(), Some(4), "{log}");
        let last = log.lines().last().unwrap();
        assert!(last.starts_with("vuicc: long.apdu:6: ") && last.ends_with("go on with --from long.apdu:4"), "{last}");
        let [tests, failures, errors, skipped] =
            check_junit(&fs::read_to_string(bench.folder.path().join("lost.xml")).unwrap());
        assert!(tests > 6 && (failures, errors, skipped) == (0, 1, 1), "{tests} {failures} {errors} {skipped}");

        let _inserted = bench.card.insert(reader, 0);
        let again = bench
            .vuicc(&[
                "apdu",
                "run",
                "--reader",
                Reader::FIRST,
                "before.apdu",
                "long.apdu",
                "after.apdu",
                "--from",
                "long.apdu:4",
                "--set",
                "x=00",
            ])
            .success();
        assert!(again.stdout.contains("3 steps, 0 not as expected"), "{}", again.stdout);
    });
}

/// What a client said to a card is a script, in whatever format it was recorded.
#[test]
fn recorded_sessions_are_scripts() {
    let bench = Bench::new();
    let image = bench.card.image().to_str().unwrap();
    let example = repository().join("scripts/apdu/profiles-each.apdu");
    for trace in ["t.txt", "t.json", "t.pcapng", "t.pcap"] {
        let _ = bench.play(&[example.to_str().unwrap(), "--trace", trace]).success();
        let played = bench.play(&[trace]).success();
        assert!(played.stdout.contains("9 steps, 0 not as expected") || trace == "t.txt", "{trace}: {}", played.stdout);
        let converted = bench.vuicc(&["apdu", "convert", trace, "--out", "c.apdu"]).success();
        assert!(converted.stdout.contains("commands of"), "{}", converted.stdout);
        let _ = bench.play(&["c.apdu"]).success();
        // Another card gives other responses; shown only, that is no difference.
        let other = Card::new(bench.folder.path(), &[]);
        let other = other.image().to_str().unwrap();
        assert_eq!(bench.vuicc(&["apdu", "run", trace, "--card", other]).code(), Some(3), "{trace}");
        let _ = bench.vuicc(&["apdu", "convert", trace, "--expect", "none", "--out", "n.apdu"]).success();
        let _ = bench.vuicc(&["apdu", "run", "n.apdu", "--card", other]).success();
        let _ = bench.vuicc(&["apdu", "diff", "n.apdu", "--card", image, "--card", image]).success();
    }
    let script = bench.vuicc(&["apdu", "convert", example.to_str().unwrap()]);
    assert!(script.code() == Some(5) && script.stderr.contains("is a script already"), "{script:#?}");
    let image = bench.play(&[image]);
    assert!(image.code() == Some(5) && image.stderr.contains("is a card image, not a script"), "{image:#?}");
}

/// The log of lpac begins on a channel that it does not open there.
#[test]
fn a_log_of_lpac_plays_from_the_beginning() {
    let bench = Bench::new();
    let eid: String = bench.card.eid().to_lowercase();
    let log = format!(
        "[DEBUG] [APDU] [TX] CLA: 81, INS: E2, P1: 91, P2: 00, Lc: 06, Data: bf3e035c015a\n\
         [DEBUG] [APDU] [RX] SW1: 61, SW2: 15, Data: \n\
         [DEBUG] [APDU] [TX] CLA: 81, INS: C0, P1: 00, P2: 00, Lc: 15, Data: \n\
         [DEBUG] [APDU] [RX] SW1: 90, SW2: 00, Data: bf3e125a10{eid}\n"
    );
    bench.write("lpac.log", &log);
    let played = bench.play(&["lpac.log"]).success();
    assert!(played.stdout.contains("4 steps, 0 not as expected"), "{}", played.stdout);
    let raw = bench.vuicc(&["apdu", "convert", "lpac.log", "--raw", "--out", "raw.apdu"]).success();
    assert!(raw.stdout.contains("4 commands of lpac's APDU log"), "{}", raw.stdout);
    let _ = bench.play(&["raw.apdu"]).success();
    let other = Card::new(bench.folder.path(), &[]);
    assert_eq!(bench.vuicc(&["apdu", "run", "lpac.log", "--card", other.image().to_str().unwrap()]).code(), Some(3));
}

/// Sessions of real clients with real tools, as they recorded them.
#[test]
fn traces_of_other_clients_become_scripts() {
    let Some(folder) = vector("apdu-traces") else {
        return peer::skip("traces_of_other_clients_become_scripts", "there are no traces beside this repository");
    };
    let bench = Bench::new();
    let mut commands = 0;
    for client in ["lpac", "pysim", "eapol_test"] {
        for entry in fs::read_dir(folder.join(client)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "apdu") {
                commands += sent_by(&bench, &path);
            }
        }
    }
    assert!(commands > 500, "{commands}");
}

/// How many commands the script of a trace sends; it is one that this program reads.
fn sent_by(bench: &Bench, trace: &Path) -> usize {
    let converted = bench.vuicc(&["apdu", "convert", trace.to_str().unwrap(), "--expect", "none", "--out", "t.apdu"]);
    let _ = converted.success();
    let text = fs::read_to_string(bench.folder.path().join("t.apdu")).unwrap();
    // On a card of another subscriber every response is another one; that each command is sent is what counts.
    let played = bench.play(&["t.apdu"]).success();
    let sent = text.lines().filter(|line| line.starts_with('>')).count();
    assert!(played.stdout.lines().filter(|line| line.starts_with("- ")).count() == sent, "{}", played.stdout);
    sent
}
