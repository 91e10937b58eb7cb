//! Writes what the fuzzers start from: `cargo run -p vuicc-tests --example fuzz_seeds`.
//!
//! Valid commands, dialogues, messages and packages go to `fuzz/corpus/<target>`, and the dialogue that brings a card to
//! where it waits for a bound profile package to `fuzz/prepared`.

#[path = "../src/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

use vuicc_tests::host::pack;
use vuicc_tests::specimen::{ICCIDS, Specimen, package};
use vuicc_tests::{dialogues, repository, vector};

fn main() -> io::Result<()> {
    let specimen = Specimen::new();
    let dialogues = dialogues::all(&specimen);
    let (prepared, pieces) = dialogues::download_in_two_parts(&specimen);
    let folder = repository().join("fuzz");

    let commands: BTreeSet<&Vec<u8>> = dialogues.iter().flat_map(|dialogue| &dialogue.commands).collect();
    write(&folder, "command_parse", commands.iter().copied().cloned())?;
    let data = commands.iter().filter_map(|command| command.get(5..)).map(<[u8]>::to_vec);
    write(&folder, "tlv", data.chain(answers(&specimen)))?;
    write(&folder, "card_session", dialogues.iter().map(|dialogue| pack(&dialogue.commands)))?;
    write(&folder, "decode_session", sessions(&specimen, &dialogues))?;
    write(
        &folder,
        "at_lines",
        LINES.iter().map(|frames| pack(&frames.iter().map(|frame| frame.to_vec()).collect::<Vec<_>>())),
    )?;
    write(&folder, "usb_reader", HOSTS.iter().map(|parts| parts.concat()))?;
    write(&folder, "rsp_decode", dialogues::es10_requests().into_iter().chain(answers(&specimen)))?;
    let unprotected = pack(&dialogues::unprotected_pieces(&specimen));
    write(&folder, "bpp_stream", [pack(&pieces), unprotected])?;
    let ts48 = vector("ts48/TS48_v7.0_SAIP2.3_BERTLV_SUCI.der").map(fs::read).transpose()?;
    write(&folder, "profile_package", ICCIDS.iter().map(|iccid| package(iccid)).chain(ts48))?;
    for entrance in &wire::ENTRANCES {
        let right = (entrance.seeds)().into_iter().filter(|seed| (entrance.read)(seed));
        write(&folder, entrance.name, right)?;
    }
    fs::write(folder.join("prepared"), pack(&prepared))
}

/// What programs write to a modem, and what its card answers to the modem's TERMINAL PROFILE and then.
const LINES: [&[&[u8]]; 4] = [
    &[b"AT+CSIM=10,\"0070000001\"\r", &[0x90, 0], &[0x01, 0x90, 0]],
    &[
        b"ATE0+CMEE=1;+CCHO=\"A0000005591010\"\rAT+CGLA=1,10,\"81C0000001\"\rA/",
        &[0x90, 0],
        &[0x01, 0x90, 0],
        &[0x90, 0],
        &[0, 0x90, 0],
    ],
    &[b"AT+CPIN?;+CPIN=\"1234\"\r", &[0x90, 0], &[0x62, 0, 0x90, 0]],
    &[b"AT+CMGF=1;+CMGL=\"ALL\"\r", &[0x90, 0], &[0x90, 0], &[0x62, 7, 0x82, 5, 0x42, 0x21, 0, 0x28, 2, 0x90, 0]],
];

/// What hosts of a USB reader send: QEMU behind 0, a client of USB/IP behind 1.
const HOSTS: [&[&[u8]]; 2] = [
    &[
        &[0],
        &[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 12, 0x56, 0x53, 0x43, 0x44, 0, 0, 0, 2, 0, 0, 0, 0],
        &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0],
        &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0],
        &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5, 0x00, 0xB1, 0, 0, 0],
    ],
    &[
        &[1],
        // SET_CONFIGURATION, IccPowerOn, an answer, XfrBlock.
        &[0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x62, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 3, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 15, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 4, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x6F, 5, 0, 0, 0, 0, 2, 0, 0, 0, 0x00, 0xB1, 0, 0, 0],
    ],
];

/// What the card answers in all dialogues, whole.
fn answers(specimen: &Specimen) -> Vec<Vec<u8>> {
    let mut answers = BTreeSet::new();
    for dialogue in dialogues::all(specimen) {
        let mut card = specimen.card();
        card.reset();
        let mut whole = Vec::new();
        for command in &dialogue.commands {
            let answer = card.transmit(command);
            let (data, sw) = answer.split_at(answer.len().saturating_sub(2));
            whole.extend_from_slice(data);
            if sw.first() != Some(&0x61) && !whole.is_empty() {
                answers.insert(std::mem::take(&mut whole));
            }
        }
    }
    answers.into_iter().collect()
}

/// Commands of each dialogue, each with what the card answers behind it.
fn sessions(specimen: &Specimen, dialogues: &[dialogues::Dialogue]) -> Vec<Vec<u8>> {
    let session = |dialogue: &dialogues::Dialogue| {
        let mut card = specimen.card();
        card.reset();
        let exchanges: Vec<Vec<u8>> = dialogue
            .commands
            .iter()
            .flat_map(|command| {
                let answer = card.transmit(command);
                [command.clone(), answer]
            })
            .collect();
        pack(&exchanges)
    };
    dialogues.iter().map(session).collect()
}

fn write(folder: &Path, target: &str, seeds: impl IntoIterator<Item = Vec<u8>>) -> io::Result<()> {
    let corpus = folder.join("corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let mut count = 0;
    for seed in seeds {
        fs::write(corpus.join(format!("seed-{count:04}")), seed)?;
        count += 1;
    }
    println!("{}: {count}", corpus.display());
    Ok(())
}
