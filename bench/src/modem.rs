//! The card in a modem, met by AT commands, beside one in a reader.

use std::error::Error;

use apdu::Transport;
use reader_bridge::PcscReader;
use vuicc_tests::modem::Modem;
use vuicc_tests::reader::Reader;
use vuicc_tests::subscriber::{package, subscriber};
use vuicc_tests::vuicc::Card;

use crate::figure::{Figure, Target};
use crate::in_process::SELECT_AND_READ;
use crate::reader::reader;
use crate::rounds::{medians, per_second};

const ROUNDS: usize = 25;
const PASSES: u32 = 150;

/// SELECT EF.ICCID and READ BINARY as AT+CSIM on a pseudo-terminal, beside the same through the PC/SC service.
pub(crate) fn generic_access() -> Result<Vec<Figure>, Box<dyn Error>> {
    let reader = reader()?;
    let folder = tempfile::tempdir()?;
    let package = package(folder.path(), &subscriber(1));
    let (in_reader, in_modem) = (Card::new(folder.path(), &[&package]), Card::new(folder.path(), &[&package]));
    let _inserted = in_reader.insert(&reader, 0);
    let modem = Modem::start(folder.path(), &in_modem, &[]);
    let mut program = modem.at_terminal();
    program.ask("ATE0");
    let lines = SELECT_AND_READ.map(|command| {
        let digits = hex::encode_upper(command);
        format!("AT+CSIM={},\"{digits}\"", digits.len())
    });
    for line in &lines {
        let answer = program.ask(line);
        if answer.last().is_none_or(|result| result != "OK") {
            return Err(format!("{line} is answered {answer:?}").into());
        }
    }
    let mut host = PcscReader::connect(Reader::FIRST)?;
    let mut by_modem = || {
        per_second(PASSES, || {
            for line in &lines {
                std::hint::black_box(program.ask(line));
            }
        })
    };
    let mut by_reader = || {
        per_second(PASSES, || {
            for command in SELECT_AND_READ {
                // A card that stops answering shows as a figure of nothing.
                let _ = std::hint::black_box(host.transmit(command));
            }
        })
    };
    let [ours, theirs] = medians(ROUNDS, [&mut || Ok(by_modem() * 2.0), &mut || Ok(by_reader() * 2.0)])?;
    Ok(vec![
        Figure::new("modem.generic_access", ours, "APDU/s")
            .beside(theirs, "the same APDUs through pcscd")
            .target(Target::RatioAtLeast(0.5)),
    ])
}
