//! What people meet in their first hour: the private smart card service's shell, files on a disk that is full, commands
//! that a reader takes for something else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use apdu::{Transport, TransportError};
use card::image::{FileNvm, Manufacture};
use card_os::nvm::{Key, MemoryNvm, Nvm, Partition, Update};
use reader_bridge::PcscReader;
use vuicc_tests::peer;
use vuicc_tests::process::{Process, run};
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::repository;
use vuicc_tests::vuicc::{Card, command};

fn private_pcscd() -> Command {
    Command::new(repository().join("scripts/private-pcscd"))
}

/// Whether a private service can run here at all.
fn possible(test: &str) -> bool {
    let probe = run(private_pcscd().args(["-n", "true"]));
    if probe.code() != Some(0) {
        peer::skip(test, probe.stderr.trim());
    }
    probe.code() == Some(0)
}

/// Help that was asked for is no error; an option that does not exist is named.
#[test]
fn the_private_service_explains_its_options() {
    for asked in ["--help", "-h"] {
        let told = run(private_pcscd().arg(asked)).success().stdout;
        assert!(told.contains("scripts/private-pcscd -j"), "{told}");
    }
    for (wrong, named) in
        [("-x", "no option -x"), ("--what", "no option --WORD but --help"), ("-p", "-p takes a value")]
    {
        let refused = run(private_pcscd().arg(wrong));
        assert!(refused.code() == Some(2) && refused.stderr.contains(named), "{refused:#?}");
    }
}

/// What runs beside the service is interrupted as anywhere else, by Ctrl-C too: no signal is ignored that was not ignored
/// before.
#[test]
fn no_signal_is_ignored_beside_the_private_service() {
    if !possible("signals") {
        return;
    }
    let ignored = |command: &mut Command| {
        let status = run(command).success().stdout;
        status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim().to_owned()
    };
    let outside = ignored(Command::new("cat").arg("/proc/self/status"));
    let mut inside = Command::new(repository().join("scripts/private-pcscd"));
    assert_eq!(ignored(inside.args(["-n", "cat", "/proc/self/status"])), outside);
}

/// A terminal of its own beside the service that another one runs: in its network, with its readers, in the folder it was
/// asked from; and it ends with that one.
#[test]
fn a_second_terminal_joins_the_private_service() {
    if !possible("a second terminal") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut first = private_pcscd();
    first.args([
        "-n",
        "-p",
        "4711",
        "sh",
        "-c",
        "readlink /proc/self/ns/net > net; echo $VUICC_PRIVATE_PCSCD > id; read _",
    ]);
    first.stdin(std::process::Stdio::piped()).current_dir(folder.path());
    let mut first = first.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    let said = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default().trim().to_owned();
    while said("id").is_empty() {
        assert!(Instant::now() < deadline, "the service does not come up");
        thread::sleep(Duration::from_millis(20));
    }
    let id = said("id");
    let join = |command: &str| {
        let mut second = private_pcscd();
        second.args(["--join", "-i", &id, "sh", "-c", command]);
        run(second.current_dir(folder.path()))
    };
    let told =
        join("readlink /proc/self/ns/net; pwd; echo $VPCD_PORT $VUICC_PRIVATE_PCSCD; [ -S /run/pcscd/pcscd.comm ]");
    let here = folder.path().canonicalize().unwrap();
    assert_eq!(told.success().stdout, format!("{}\n{}\n4711 {id}\n", said("net"), here.display()));
    assert_eq!(join("exit 7").code(), Some(7));
    // What the program says there, when the service is gone.
    let program = vuicc_tests::vuicc::program();
    let told = join(&format!("rm /run/pcscd/pcscd.comm; '{}' reader list", program.display()));
    assert!(told.code() == Some(4) && told.stderr.contains("this is beside scripts/private-pcscd"), "{told:#?}");
    let refused = run(private_pcscd().args(["-j", "-i", "1", "true"]));
    assert!(refused.code() == Some(1) && refused.stderr.contains("1 is no private-pcscd"), "{refused:#?}");

    let mut second = private_pcscd();
    second.args(["-i", &id, "sh", "-c", "echo > second; sleep 600"]).current_dir(folder.path());
    let mut second = Process::start(&mut second, folder.path());
    second.wait_until("it has joined", |_| folder.path().join("second").exists());
    drop(first.stdin.take());
    assert!(first.wait().is_ok());
    second.wait_for_end();
}

/// One command after the other has a card: the next one waits for it, says whose turn it is, and goes on.
#[test]
fn a_card_that_is_in_use_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let mut held = Some(card::open(card.image()).unwrap());
    let mut info = command(folder.path(), ["lpa", "chip", "info", "--card"]);
    let mut info = Process::start(info.arg(card.image()), folder.path());
    info.wait_until("it says what it waits for", |info| {
        let waits = info.log().contains("waiting for ") && info.log().contains(&std::process::id().to_string());
        if waits {
            held.take();
        }
        waits
    });
    assert!(info.wait_for_end().success() && info.log().contains("EID"), "{}", info.log());
}

/// Where no slot of a virtual reader can be, no card tries for ever to get into one; a file is no folder.
#[test]
fn what_cannot_be_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    fs::write(folder.path().join("a-file"), "").unwrap();
    let image = card.image().to_str().unwrap().to_owned();
    for (arguments, code, told) in [
        (&["card", "run", &image, "--reader", "1"][..], 2, "HOST:PORT"),
        (&["card", "run", &image, "--reader", "Virtual PCD 00 00"], 2, "HOST:PORT"),
        (&["--state", "a-file", "smdp", "serve"], 1, "a-file is a file"),
        (&["--state", "a-file/below", "smdp", "profile", "list"], 1, "a-file is a file"),
        (&["device", "primary", "--memory", "a-file", "bonds"], 1, "a-file is a file"),
        (&["apdu", "diff", "x.apdu", "--card", &image], 2, "one is given"),
    ] {
        let mut vuicc = Command::new(vuicc_tests::vuicc::program());
        let refused = run(vuicc.args(arguments).env("XDG_DATA_HOME", folder.path()).current_dir(folder.path()));
        assert!(refused.code() == Some(code) && refused.stderr.contains(told), "{arguments:?}: {refused:#?}");
    }
}

#[test]
fn the_private_service_says_what_to_do_without_namespaces() {
    let mut here = Command::new("unshare");
    here.args(["--user", "--map-root-user", "--mount", "--net", "bash", "-c"]);
    // A container's root: no user namespaces of its own, and no right to make others.
    here.arg(
        "mount -t tmpfs tmpfs /run && ip link set lo up && echo 0 >/proc/sys/user/max_user_namespaces || exit 99
         drop='setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin --'
         $drop \"$0\" -n true && exit 98
         $drop \"$0\" -s sh -c '[ -S /run/pcscd/pcscd.comm ] && exit 5'",
    );
    let told = run(here.arg(repository().join("scripts/private-pcscd")));
    if matches!(told.code(), Some(1 | 99)) && !told.stderr.contains("private-pcscd: no namespaces") {
        return peer::skip("without namespaces", told.stderr.trim());
    }
    assert!(told.stderr.contains("CAP_SYS_ADMIN") && told.stderr.contains(" -s "), "{}", told.stderr);
    assert_eq!(told.code(), Some(5), "{told:#?}");
}

/// pcscd's virtual reader takes some commands of one octet for its own: no client keeps the others out with them, and
/// what breaks the connection is noticed as a removal.
#[test]
fn no_command_keeps_a_reader_from_others() {
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[]);
        let _inserted = card.insert(reader, 0);
        let select: &[u8] = &[0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00];
        let again = || {
            let deadline = Instant::now() + Duration::from_mins(1);
            loop {
                let answer = PcscReader::connect(Reader::FIRST).and_then(|mut host| Ok(host.transmit(select)?));
                match answer {
                    Ok(answer) if answer == [0x90, 0x00] => return,
                    other => assert!(Instant::now() < deadline, "{other:?}"),
                }
                thread::sleep(Duration::from_millis(50));
            }
        };
        for octet in [0xFF, 0x80, 0x05, 0x03] {
            let mut host = PcscReader::connect(Reader::FIRST).unwrap();
            assert_eq!(host.transmit(&[octet]).unwrap(), [0x67, 0x00], "{octet:02X} is no control");
            assert_eq!(host.transmit(select).unwrap(), [0x90, 0x00]);
        }
        for octet in [0x00, 0x01, 0x02] {
            let mut host = PcscReader::connect(Reader::FIRST).unwrap();
            let answer = host.transmit(&[octet]);
            assert!(answer.is_err(), "{octet:02X}: {answer:?}");
            drop(host);
            again();
        }
    });
}

/// One goes, another comes within a moment, while a client goes on: the client hears of it, and the next is served.
#[test]
fn a_card_that_is_run_again_at_once_is_noticed() {
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[]);
        let mut inserted = Some(card.insert(reader, 0));
        let select: &[u8] = &[0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00];
        for _ in 0..3 {
            let mut host = PcscReader::connect(Reader::FIRST).unwrap();
            assert_eq!(host.transmit(select).unwrap(), [0x90, 0x00]);
            inserted.take().unwrap().stop();
            // This finds the connection gone, and takes it from the reader before that looks.
            let gone = host.transmit(select);
            assert!(gone.is_err() || gone.is_ok_and(|answer| answer != [0x90, 0x00]));
            let mut run = command(folder.path(), ["card", "run"]);
            run.arg(card.image()).args(["--reader", &reader.slot(0)]);
            inserted = Some(Process::start(&mut run, folder.path()));
            let deadline = Instant::now() + Duration::from_mins(1);
            let mut told_of_removal = false;
            while !told_of_removal {
                // Until the service has missed the card, it does not know better than to try.
                match host.transmit(select) {
                    Err(TransportError::CardRemoved | TransportError::CardReset) => told_of_removal = true,
                    other => assert!(Instant::now() < deadline, "{other:?}"),
                }
                thread::sleep(Duration::from_millis(20));
            }
            drop(host);
            reader_holds(reader, deadline);
        }
        let mut host = PcscReader::connect(Reader::FIRST).unwrap();
        assert_eq!(host.transmit(select).unwrap(), [0x90, 0x00]);
    });
}

fn reader_holds(reader: &Reader, deadline: Instant) {
    while !reader.holds_card(0) {
        assert!(Instant::now() < deadline, "the card does not come back");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Set where the test runs with a small disk of its own.
const SMALL_DISK: &str = "VUICC_TEST_SMALL_DISK";

/// The test is run once more in a namespace with a file system of eight mebibytes.
#[test]
fn a_full_disk_costs_nothing_but_what_did_not_fit() {
    if let Some(disk) = env::var_os(SMALL_DISK) {
        return on_a_small_disk(Path::new(&disk));
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(mut small) = peer::own_mounts("a full disk") else { return };
    small.args(["sh", "-c", "mount -t tmpfs -o size=8m tmpfs \"$0\" && exec \"$@\""]);
    small.arg(folder.path());
    small.arg(env::current_exe().unwrap());
    small.args(["a_full_disk_costs_nothing_but_what_did_not_fit", "--exact", "--nocapture"]);
    let outcome =
        run(small.env(SMALL_DISK, folder.path()).env(vuicc_tests::vuicc::PROGRAM, vuicc_tests::vuicc::program()));
    assert!(outcome.code() == Some(0) && outcome.stdout.contains("1 passed"), "{outcome:#?}");
}

fn on_a_small_disk(disk: &Path) {
    let (image, ballast) = (disk.join("card.img"), disk.join("ballast"));
    let manufacture = Manufacture::new(card::image::CardType::Euicc, card_os::CardProfile::default(), 1_767_225_600);
    card::image::create(&image, &manufacture, &MemoryNvm::default()).unwrap();
    let mut nvm = FileNvm::open(&image).unwrap();
    let update = |number: u32| vec![Update::Insert(Key::new(Partition::Content, 1, number), vec![0x5A; 9_000])];
    let mut model = MemoryNvm::default();
    for round in 0..3 {
        fill(&ballast);
        // What is free inside the image is used up first; then nothing fits, again and again.
        let mut number = round * 1_000;
        let mut failures = 0;
        while failures < 4 {
            match nvm.apply(update(number)) {
                Ok(()) => model.apply(update(number)).unwrap(),
                Err(_) => failures += 1,
            }
            assert_eq!(nvm.memory(), &model, "what failed has not happened");
            number += 1;
            assert!(number % 1_000 < 900, "the disk is not full");
        }
        fs::remove_file(&ballast).unwrap();
        nvm.apply(update(number)).unwrap();
        model.apply(update(number)).unwrap();
        assert_eq!(card::image::read(&image).unwrap().1, model);
        let all =
            (0..=number).map(|number| Update::Remove(Key::new(Partition::Content, 1, number))).collect::<Vec<_>>();
        nvm.apply(all.clone()).unwrap();
        model.apply(all).unwrap();
    }
    drop(nvm);
    assert_eq!(FileNvm::open(&image).unwrap().memory(), &model);

    // Commands that make files: none is left half, and the same command works once there is space.
    let state = disk.join("state");
    let within = |arguments: &[&str]| run(command(&state, []).args(arguments).current_dir(disk));
    let _ = within(&["subscriber", "new", "first.toml"]).success();
    fill(&ballast);
    let all: [(&[&str], &str); 3] = [
        (&["subscriber", "new", "anna.toml"], "anna.toml"),
        (&["card", "new", "sim.img", "--type", "uicc", "--subscriber", "first.toml"], "sim.img"),
        (&["smdp", "certify", "operator.test", "--out", "operator.pem"], "operator.pem"),
    ];
    for (arguments, file) in all {
        let refused = within(arguments);
        assert!(refused.code() == Some(1) && refused.stderr.to_lowercase().contains("no space"), "{refused:#?}");
        assert!(!disk.join(file).exists(), "{file} is there, and nothing in it");
    }
    assert!(!state.join("pki").exists(), "no half PKI");
    let databases = [&["smdp", "profile", "add", "first.toml"][..], &["operator", "subscriber", "add", "first.toml"]];
    for arguments in databases {
        let refused = within(arguments);
        let told = refused.stderr.to_lowercase();
        let named = ["no space", "full", "disk i/o error"].iter().any(|cause| told.contains(cause));
        assert!(refused.code() == Some(1) && named, "{refused:#?}");
    }
    fs::remove_file(&ballast).unwrap();
    for arguments in all.map(|(arguments, _)| arguments).into_iter().chain(databases) {
        let _ = within(arguments).success();
    }
}

/// Writes until nothing fits any more.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [65_536, 4_096, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// `-` is stdout where that makes sense, and refused where it does not; no file is made that is called so.
#[test]
fn a_dash_is_stdout_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let within = |arguments: &[&str]| {
        let mut vuicc = command(&folder.path().join("state"), []);
        run(vuicc.args(arguments).current_dir(folder.path()))
    };
    let subscriber = within(&["subscriber", "new", "-"]).success();
    assert!(subscriber.stdout.contains("iccid = "), "{}", subscriber.stdout);
    let certificate = within(&["smdp", "certify", "operator.test", "--out", "-"]).success();
    assert!(certificate.stdout.contains("PRIVATE KEY"), "{}", certificate.stdout);
    for refused in [
        &["card", "new", "-"][..],
        &["subscriber", "new", "-", "--count", "2"],
        &["smdp", "profile", "list", "--database", "-"],
        &["smdp", "profile", "list", "--db", "-"],
        &["operator", "subscriber", "list", "--database", "-"],
        &["--state", "-", "smdp", "profile", "list"],
        &["device", "primary", "--memory", "-", "bonds"],
    ] {
        let told = within(refused);
        assert!(told.code().is_some_and(|code| code > 0), "{refused:?}: {told:#?}");
    }
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name != "state");
    assert!(names.is_empty(), "{names:?}");
}

/// Keys of every authentication are in a trace.
#[test]
fn a_trace_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let (script, trace) = (folder.path().join("one.apdu"), folder.path().join("trace.json"));
    fs::write(&script, "\u{FEFF}reset\n> 00A4000C 023F00\n< 9000\n").unwrap();
    // One that was there before, open to all.
    fs::write(&trace, "").unwrap();
    fs::set_permissions(&trace, fs::Permissions::from_mode(0o644)).unwrap();
    let mut play = command(folder.path(), ["apdu", "run", "--card"]);
    let _ = run(play.arg(card.image()).arg("--trace").arg(&trace).arg(&script)).success();
    assert_eq!(fs::metadata(&trace).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&trace).unwrap().contains("3F00"));
}
