//! What must never depend on what: the walls of ARCHITECTURE.md, checked over what Cargo resolved.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each member of the workspace, and the members it may depend on, for its tests too. A member that is not listed, or
/// listed but gone, fails: a new crate has to be listed here with its dependencies.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("apdu", &[]),
    ("calendar", &[]),
    ("printable", &[]),
    ("identities", &["apdu"]),
    ("crypto", &[]),
    // Outside of the crates without input and output: it draws random numbers.
    ("crypto-ring", &["crypto"]),
    ("rsp", &["apdu", "calendar", "crypto", "identities"]),
    ("x509", &["apdu", "calendar", "crypto"]),
    ("test-pki", &["apdu", "calendar", "crypto", "identities", "rsp", "x509"]),
    ("saip", &["apdu", "crypto", "sms"]),
    ("sms", &["calendar"]),
    // What both ends of a wire share: octets and names, no decisions.
    ("eap", &[]),
    ("ts43", &[]),
    ("mt", &[]),
    ("rspro", &["apdu"]),
    // Both carry commands to a card, and know it from its contacts.
    ("usb", &["apdu"]),
    ("capture", &["apdu", "printable"]),
    ("decode", &["apdu", "calendar", "capture", "crypto", "printable", "rsp", "saip", "sms"]),
    ("card-os", &["apdu"]),
    ("applets", &["apdu", "crypto", "identities", "rsp", "test-pki", "saip", "card-os"]),
    (
        "card",
        &[
            "apdu",
            "crypto",
            "crypto-ring",
            "identities",
            "printable",
            "rsp",
            "test-pki",
            "saip",
            "card-os",
            "applets",
            "twin",
        ],
    ),
    ("reader-bridge", &["apdu", "capture", "decode", "rspro", "usb"]),
    // Dialogues with any card: it knows none.
    ("conformance", &["apdu", "reader-bridge"]),
    // Terminal and network meet the card only in `tests` and in `cli`; otherwise both ends share one mistake.
    ("es10", &["apdu", "identities", "rsp"]),
    ("tls", &[]),
    ("lpa", &["apdu", "calendar", "crypto", "es10", "identities", "rsp", "test-pki", "saip", "tls"]),
    ("pairing", &["calendar", "crypto", "identities", "printable", "tls", "x509"]),
    ("usim", &["apdu", "identities", "sms"]),
    ("modem", &["apdu", "sms", "usim"]),
    ("programmer", &["apdu", "crypto", "identities", "saip"]),
    // It knows cards from outside only; what it writes down, `card` makes one from.
    ("twin", &["apdu"]),
    ("device", &["apdu", "crypto", "eap", "identities", "rsp", "lpa", "pairing", "sms", "ts43", "mt", "usim"]),
    ("system", &[]),
    ("database", &["identities"]),
    ("https", &[]),
    // What servers of remote SIM provisioning share; it knows no profiles, orders or databases.
    ("rsp-server", &["crypto", "https", "identities", "printable", "rsp", "test-pki", "tls"]),
    (
        "smdp",
        &[
            "apdu",
            "calendar",
            "crypto",
            "crypto-ring",
            "database",
            "https",
            "identities",
            "rsp",
            "test-pki",
            "rsp-server",
            "saip",
            "system",
        ],
    ),
    // The rooms of the operator, each above those it asks; `operator` configures and serves them.
    ("network-base", &["database", "https", "identities"]),
    ("hlr", &["crypto", "database", "https", "identities", "network-base", "system", "ts43"]),
    ("aaa", &["crypto", "database", "eap", "hlr", "identities", "network-base", "system"]),
    (
        "smsc",
        &[
            "aaa",
            "calendar",
            "crypto",
            "database",
            "eap",
            "hlr",
            "https",
            "identities",
            "network-base",
            "sms",
            "system",
            "ts43",
            "mt",
        ],
    ),
    (
        "boss",
        &[
            "calendar",
            "database",
            "hlr",
            "https",
            "identities",
            "network-base",
            "rsp",
            "test-pki",
            "rsp-server",
            "smsc",
            "system",
            "ts43",
        ],
    ),
    (
        "entitlement",
        &[
            "aaa",
            "boss",
            "calendar",
            "crypto",
            "database",
            "eap",
            "hlr",
            "https",
            "identities",
            "network-base",
            "rsp",
            "system",
            "ts43",
        ],
    ),
    (
        "portal",
        &["boss", "calendar", "database", "hlr", "https", "identities", "network-base", "printable", "rsp", "system"],
    ),
    (
        "operator",
        &[
            "aaa",
            "boss",
            "calendar",
            "crypto",
            "database",
            "eap",
            "entitlement",
            "hlr",
            "https",
            "identities",
            "network-base",
            "portal",
            "rsp",
            "sms",
            "smsc",
            "system",
        ],
    ),
    // What commands have in common.
    ("console", &["printable"]),
    // The card's owner: it sees the card from inside, and as a host of its own from outside.
    (
        "inspector",
        &[
            "apdu",
            "applets",
            "capture",
            "card",
            "card-os",
            "console",
            "decode",
            "es10",
            "https",
            "identities",
            "printable",
            "rsp",
            "saip",
        ],
    ),
    // They assemble everything.
    ("demo", ANY),
    ("vuicc", ANY),
    ("tests", ANY),
    ("examples", ANY),
    // It measures them, and starts them as the tests do.
    ("bench", ANY),
];
const ANY: &[&str] = &["*"];

/// Folders of the crates without input and output: bytes, randomness and time come in as arguments.
const SANS_IO: &[&str] = &[
    "apdu",
    "calendar",
    "printable",
    "identities",
    "crypto",
    "rsp",
    "x509",
    "test-pki",
    "saip",
    "sms",
    "wire/eap",
    "wire/ts43",
    "wire/mt",
    "wire/rspro",
    "wire/usb",
    "capture",
    "decode",
    "card-os",
    "applets",
    "terminal/es10",
    "terminal/modem",
    "terminal/programmer",
    "terminal/twin",
    "terminal/usim",
];

/// What a sans-IO crate never contains, however deep: executors, sockets, readers, files, clocks, global randomness.
const INPUT_AND_OUTPUT: &[&str] = &[
    "async-std",
    "axum",
    "fastrand",
    "futures-executor",
    "getrandom",
    "hyper",
    "hyper-util",
    "iana-time-zone",
    "libsqlite3-sys",
    "mio",
    "pcsc",
    "pcsc-sys",
    "rand",
    "rayon",
    "redb",
    "reqwest",
    "ring",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "sqlx-core",
    "tempfile",
    "tokio",
    "tokio-rustls",
    "tracing-subscriber",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO")).args(arguments).args(["--offline", "--locked"]).current_dir(root()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a package is called in here: most have their folder's name behind that of the project.
fn short(package: &str) -> &str {
    package.strip_prefix("vuicc-").unwrap_or(package)
}

/// The members, and the names of all packages each asks for, in whatever role.
fn members() -> BTreeMap<String, BTreeSet<String>> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let name = |value: &Value| short(value["name"].as_str().unwrap()).to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| (name(package), package["dependencies"].as_array().unwrap().iter().map(name).collect()))
        .collect()
}

/// All that is linked into `member` when it is built alone, with the way there. What runs at compile time does not count.
fn linked(member: &str) -> BTreeMap<String, String> {
    let tree = cargo(&["tree", "-p", &format!("vuicc-{member}"), "-e", "normal,no-proc-macro", "--prefix", "depth"]);
    let (mut found, mut way) = (BTreeMap::new(), Vec::new());
    for line in tree.lines() {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let (depth, rest) = line.split_at(digits);
        let name = short(rest.split(' ').next().unwrap()).to_owned();
        way.truncate(depth.parse().unwrap());
        way.push(name.clone());
        found.entry(name).or_insert_with(|| way.join(" → "));
    }
    found
}

#[test]
fn members_depend_on_what_they_may() {
    let members = members();
    let listed: BTreeSet<&str> = MAY_DEPEND_ON.iter().map(|(name, _)| *name).collect();
    assert_eq!(members.keys().map(String::as_str).collect::<BTreeSet<_>>(), listed, "every member has its line");
    for (name, allowed) in MAY_DEPEND_ON {
        // A package may depend on itself, for the features its own tests need.
        let others = members[*name].iter().filter(|other| other.as_str() != *name);
        for dependency in others.filter(|dependency| members.contains_key(*dependency)) {
            let may = *allowed == ANY || allowed.contains(&dependency.as_str());
            assert!(may, "{name} must not depend on {dependency}");
            let last = dependency == "vuicc" || (dependency == "tests" && *name != "bench");
            assert!(!last, "{name}: nothing depends on {dependency}");
        }
    }
}

/// Others can use what is published: it has a name of its own among all crates, and says what it is.
#[test]
fn what_is_published_can_be_found_and_read() {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
    let mut published = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if package["publish"].as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        published += 1;
        assert!(
            name == "vuicc" || name.starts_with("vuicc-"),
            "{name}: `name = \"vuicc-{name}\"`, or `publish = false`"
        );
        for field in ["description", "readme", "license"] {
            assert!(package[field].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {field}");
        }
        for field in ["keywords", "categories"] {
            let words = package[field].as_array().unwrap();
            assert!((1..=5).contains(&words.len()), "{name} needs one to five {field}");
        }
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let readme = folder.join(package["readme"].as_str().unwrap());
        assert!(readme.is_file(), "{} is missing", readme.display());
        // Packages that depend on each other name the version they were made for.
        let line = workspace.lines().find(|line| line.contains(&format!("package = \"{name}\"")));
        assert!(name == "vuicc" || line.is_some_and(|line| line.contains(&version)), "{name} in Cargo.toml: {version}");
    }
    assert!(published > 15, "{published}");
}

/// What `vuicc` is built of, each with its features, for these options.
fn built(features: &[&str]) -> BTreeSet<String> {
    let tree = ["tree", "-p", "vuicc", "-e", "normal,build", "--prefix", "none", "-f", "{p} {f}"];
    let tree = cargo(&[&tree, features].concat());
    tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// What each feature of `vuicc` brings, and is left out without it.
#[test]
fn vuicc_is_built_without_its_features_too() {
    let has = |built: &BTreeSet<String>, name: &str| built.iter().any(|line| line.starts_with(&format!("{name} ")));
    let features: [(&str, &[&str]); 3] = [
        ("pcsc", &["pcsc", "pcsc-sys"]),
        ("postgres", &["sqlx-postgres"]),
        (
            "operator",
            &[
                "askama",
                "mdns-sd",
                "trouble-host",
                "vuicc-aaa",
                "vuicc-boss",
                "vuicc-device",
                "vuicc-entitlement",
                "vuicc-hlr",
                "vuicc-network-base",
                "vuicc-operator",
                "vuicc-pairing",
                "vuicc-portal",
                "vuicc-smsc",
            ],
        ),
    ];
    let whole = built(&[]);
    for (feature, brings) in features {
        let others: Vec<_> = features.iter().map(|(other, _)| *other).filter(|other| *other != feature).collect();
        let without = built(&["--no-default-features", "--features", &others.join(",")]);
        for name in brings {
            assert!(has(&whole, name) && !has(&without, name), "{name} without {feature}");
        }
    }
}

/// A build with the operator after one without builds no dependency twice: all have the same features in both,
/// but for what the database stands on.
#[test]
fn both_builds_of_vuicc_share_their_dependencies() {
    let whole = built(&[]);
    for line in built(&["--no-default-features", "--features", "pcsc"]) {
        let name = line.split(' ').next().unwrap();
        let differs = ["vuicc", "vuicc-demo", "vuicc-database", "sqlx"].contains(&name);
        assert!(differs || whole.contains(&line), "{line}: name its other features in cli/Cargo.toml");
    }
}

#[test]
fn sans_io_crates_contain_no_input_or_output() {
    for member in SANS_IO {
        for (dependency, way) in linked(member.rsplit('/').next().unwrap()) {
            assert!(!INPUT_AND_OUTPUT.contains(&dependency.as_str()), "{member} is sans-IO: {way}");
        }
    }
    // The search does see what is there.
    assert!(linked("card").contains_key("redb"));
}

#[test]
fn sans_io_crates_carry_the_same_prohibitions() {
    let read = |name: &str| std::fs::read_to_string(root().join(name).join("clippy.toml")).expect(name);
    let prohibitions = read(SANS_IO.first().unwrap());
    for method in ["std::fs::read", "std::time::Instant::now", "std::thread::spawn", "getrandom::fill"] {
        assert!(prohibitions.contains(&format!("path = \"{method}\"")), "{method}");
    }
    for name in SANS_IO {
        assert_eq!(read(name), prohibitions, "{name}/clippy.toml");
    }
    // What the root allows in tests, they allow too: a member's file replaces the root's.
    let root_file = std::fs::read_to_string(root().join("clippy.toml")).unwrap();
    assert!(root_file.lines().all(|line| prohibitions.lines().any(|other| other == line)), "{root_file}");
}

#[test]
fn applets_do_not_know_each_other() {
    let folder = root().join("applets/src");
    // Shared tables are no application.
    let is_application = |path: &Path| {
        let source = std::fs::read_to_string(path).unwrap();
        source.contains("impl Application for")
    };
    let mut sources = Vec::new();
    let mut open = vec![folder.clone()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path);
            }
        }
    }
    let room = |path: &Path| {
        let first = path.strip_prefix(&folder).unwrap().components().next().unwrap();
        Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
    };
    let applications: BTreeSet<String> =
        sources.iter().filter(|path| is_application(path)).map(|path| room(path)).collect();
    assert!(!applications.is_empty());
    for path in sources.iter().filter(|path| applications.contains(&room(path))) {
        let source = std::fs::read_to_string(path).unwrap();
        for other in applications.iter().filter(|other| **other != room(path)) {
            let meets = source.contains(&format!("crate::{other}::")) || source.contains(&format!("super::{other}::"));
            assert!(!meets, "{}: applications meet through card-os, not {other}", path.display());
        }
    }
}

/// The sources of a crate, its tests aside.
fn sources(crate_folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![crate_folder.join("src")]);
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Programs other than `vuicc` stand on the libraries too: what to type is said by `cli/src/way_out.rs`.
#[test]
fn libraries_name_no_options() {
    /// Of other programs: PostgreSQL's, which tests start, and pcscd's.
    const OTHERS: &[&str] = &["network/database/src/place.rs", "`pcscd --foreground"];
    let is_option = |code: &str| {
        code.match_indices("--").any(|(at, _)| {
            let before = code[..at].chars().next_back();
            let after = code[at + 2..].chars().next();
            before.is_none_or(|before| !"-<!".contains(before)) && after.is_some_and(|after| after.is_ascii_lowercase())
        })
    };
    assert!(is_option(r#""or another --database""#) && !is_option("<!--comment-->"));
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = short(package["name"].as_str().unwrap());
        if ["vuicc", "demo", "console", "tests", "examples", "bench"].contains(&name) {
            continue;
        }
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        for path in sources(manifest.parent().unwrap()) {
            let source = std::fs::read_to_string(&path).unwrap();
            let code = source.lines().take_while(|line| *line != "mod tests {");
            for line in code.filter(|line| !line.trim_start().starts_with("//")) {
                let place = format!("{}: {line}", path.display());
                assert!(!is_option(line) || OTHERS.iter().any(|other| place.contains(other)), "{place}");
            }
            seen += 1;
        }
    }
    assert!(seen > 200, "{seen}");
}

/// Where ARCHITECTURE.md sends its reader, there is something.
#[test]
fn the_homes_of_facts_exist() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, table) = text.split_once("## Where each fact lives").unwrap();
    let (table, _) = table.split_once("## How to add").unwrap();
    let mut seen = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let home = row.split(" | ").nth(1).unwrap();
        for path in home.split('`').skip(1).step_by(2).filter(|name| name.contains('/')) {
            let names = match path.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
                Some((before, (names, after))) => {
                    names.split(',').map(|name| format!("{before}{name}{after}")).collect()
                }
                None => vec![path.to_owned()],
            };
            for name in names {
                assert!(root().join(&name).exists(), "{name} is not there: {row}");
                seen += 1;
            }
        }
    }
    assert!(seen > 80, "{seen}");
}

/// The tracer knows nothing of SGP.22 but names; those of the ES10 functions are the ones `rsp` declares, or that of the
/// message.
#[test]
fn the_tracer_names_es10_functions_as_they_are_declared() {
    const MESSAGES: &[&str] = &["EuiccInfo1", "EuiccInfo2", "BoundProfilePackage", "GetEuiccData"];
    for declared in rsp::es10::FUNCTIONS {
        let [.., high, low] = declared.tag.0.to_be_bytes();
        let line = reader_bridge::trace::describe_command(&[0x81, 0xE2, 0x91, 0, 3, high, low, 0]);
        let name = line.rsplit(", ").next().unwrap();
        let agrees = name.eq_ignore_ascii_case(declared.name) || MESSAGES.contains(&name);
        assert!(agrees, "{}: {line}", declared.name);
    }
}
