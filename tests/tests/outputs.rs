//! Files that commands write: over nothing that they read or that lasts, whole or not at all, and for their owner where they hold
//! what a card said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use vuicc_tests::peer;
use vuicc_tests::process::{Finished, run};
use vuicc_tests::vuicc::{Card, command, program};

const SCRIPT: &str = "reset\n> 00A40004023F00\n";

fn vuicc(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(&folder.join("state"), []).args(arguments).current_dir(folder))
}

/// Whatever the option: what is there stays, and the one line says so before anything else is done.
#[test]
fn nothing_is_written_over_what_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let (card, other) = (Card::new(folder.path(), &[]), Card::new(folder.path(), &[]));
    let (image, victim) = (card.image().to_str().unwrap(), other.image().to_str().unwrap());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let _ = vuicc(folder.path(), &["subscriber", "new", "anna.toml"]).success();
    let _ = vuicc(folder.path(), &["subscriber", "new", "anna.json"]).success();
    let like = vuicc(folder.path(), &["card", "personalities", "5ber"]).success();
    fs::write(at("like.toml"), like.stdout).unwrap();
    // It makes the database.
    let _ = vuicc(folder.path(), &["smdp", "profile", "add", "anna.toml", "--database", "smdp.db"]).success();
    fs::write(at("included.apdu"), SCRIPT).unwrap();
    fs::write(at("s.apdu"), "include included.apdu\n> 00A40004022FE2\n").unwrap();
    fs::hard_link(at("s.apdu"), at("link.apdu")).unwrap();
    fs::hard_link(victim, at("link.img")).unwrap();
    std::os::unix::fs::symlink(victim, at("symbolic.img")).unwrap();
    let kept = ["anna.toml", "anna.json", "like.toml", "smdp.db", "s.apdu", "included.apdu"].map(at);
    let kept: Vec<_> = kept.iter().map(String::as_str).chain([image, victim]).collect();
    let before: Vec<_> = kept.iter().map(|path| fs::read(path).unwrap()).collect();
    let run = ["apdu", "run", "s.apdu", "--card", image];
    for (arguments, over) in [
        (&[&run[..], &["--trace"]].concat()[..], victim),
        (&[&run[..], &["--trace"]].concat(), image),
        (&[&run[..], &["--trace"]].concat(), "s.apdu"),
        (&[&run[..], &["--trace"]].concat(), "link.apdu"),
        (&[&run[..], &["--trace"]].concat(), "included.apdu"),
        (&[&run[..], &["--junit"]].concat(), "link.img"),
        (&[&run[..], &["--junit"]].concat(), "included.apdu"),
        (&[&run[..], &["--keylog"]].concat(), "symbolic.img"),
        (&[&run[..], &["--keylog"]].concat(), "smdp.db"),
        (&["apdu", "record", "s.apdu", "--card", image, "--out"], "link.apdu"),
        (&["apdu", "record", "s.apdu", "--card", image, "--out"], "included.apdu"),
        (&["apdu", "record", "s.apdu", "--card", image, "-o"], victim),
        (&["apdu", "convert", "s.apdu", "--out"], "s.apdu"),
        (&["apdu", "convert", "s.apdu", "--out"], "anna.json"),
        (&["apdu", "proxy", "--card", image, "--listen", "0", "--out"], victim),
        (&["apdu", "replay", "s.apdu", "--listen", "0", "--trace"], "link.apdu"),
        (&["card", "run", image, "--listen", "0", "--ready-file"], victim),
        (&["card", "run", image, "--listen", "0", "--ready-file"], "anna.json"),
        (&["card", "run", image, "--listen", "0", "--detach", "--log-file"], victim),
        (&["card", "run", image, "--listen", "0", "--detach", "--log-file"], "smdp.db"),
        (&["card", "run", image, "--listen", "0", "--keylog"], "anna.toml"),
        (&["lpa", "chip", "info", "--card", image, "--trace"], "anna.toml"),
        (&["lpa", "chip", "info", "--card", image, "--trace"], "like.toml"),
        (&["smdp", "serve", "--database", "smdp.db", "--keylog"], "smdp.db"),
        (&["demo", "--in-process", "--trace"], "anna.toml"),
    ] {
        let refused = vuicc(folder.path(), &[arguments, &[over]].concat());
        assert_eq!(refused.code(), Some(2), "{arguments:?} {over}: {refused:#?}");
        assert!(refused.stderr.contains("would replace; name another file"), "{arguments:?} {over}: {refused:#?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{arguments:?} {over}: {refused:#?}");
    }
    for (path, before) in kept.iter().zip(before) {
        assert!(fs::read(path).unwrap() == before, "{path} has changed");
    }
    // The same options for files of their own, and again over those; what others could read is the owner's now.
    let own = [&run[..], &["--trace", "t.apdu", "--junit", "r.xml", "--keylog", "k"]].concat();
    fs::write(at("t.apdu"), "old").unwrap();
    fs::set_permissions(at("t.apdu"), PermissionsExt::from_mode(0o644)).unwrap();
    let _ = vuicc(folder.path(), &own).success();
    let _ = vuicc(folder.path(), &own).success();
    for private in ["t.apdu", "k"] {
        assert_eq!(fs::metadata(at(private)).unwrap().permissions().mode() & 0o777, 0o600, "{private}");
    }
    let named = vuicc(folder.path(), &[&run[..], &["--trace", "both", "--junit", "both"]].concat());
    assert!(named.code() == Some(2) && named.stderr.contains("both write to"), "{named:#?}");
}

/// A disk without room: what was there before is there still, whole, and nothing else.
#[test]
fn a_full_disk_leaves_the_old_file() {
    let Some(mut full) = peer::own_mounts("a full disk") else { return };
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    fs::write(folder.path().join("s.apdu"), SCRIPT).unwrap();
    // What is converted is a recording.
    let image = card.image().to_str().unwrap();
    let _ = vuicc(folder.path(), &["apdu", "run", "s.apdu", "--card", image, "--trace", "recorded.apdu"]).success();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    full.args(["sh", "-c"]).arg(
        "mount -t tmpfs -o size=64k tmpfs disk || exit 99
         for name in t.apdu r.xml o.apdu c.apdu; do echo old >disk/$name; done
         dd if=/dev/zero of=disk/ballast bs=4k 2>/dev/null
         for option in '--trace disk/t.apdu' '--junit disk/r.xml'; do
             \"$@\" apdu run s.apdu --card \"$0\" $option; echo \"code $?\"
         done
         \"$@\" apdu record s.apdu --card \"$0\" --out disk/o.apdu; echo \"code $?\"
         \"$@\" apdu convert recorded.apdu --out disk/c.apdu; echo \"code $?\"
         cat disk/*.apdu disk/*.xml; ls -A disk",
    );
    full.arg(card.image()).arg(program()).arg("--state").arg(folder.path().join("state")).current_dir(folder.path());
    let told = run(&mut full);
    let codes: Vec<_> = told.stdout.lines().filter(|line| line.starts_with("code ")).collect();
    assert_eq!(codes, ["code 1"; 4], "{told:#?}");
    assert_eq!(told.stderr.matches("free some space").count(), 4, "{told:#?}");
    assert!(told.stdout.ends_with("old\nold\nold\nold\nballast\nc.apdu\no.apdu\nr.xml\nt.apdu\n"), "{told:#?}");
}
