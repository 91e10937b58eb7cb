//! The card behind a reader: through the PC/SC service and the virtual reader, as every host program meets it.

use std::env;
use std::error::Error;
use std::process::Command;

use apdu::Icc;
use apdu::Transport;
use reader_bridge::{PcscReader, vpcd};
use vuicc_tests::process::Process;
use vuicc_tests::reader::Reader;
use vuicc_tests::subscriber::{package, subscriber};
use vuicc_tests::vuicc::{Card, command};

use crate::figure::{Figure, Target};
use crate::in_process::SELECT_AND_READ;
use crate::rounds::{medians, per_second};

/// Many and short: what else the machine does then strikes both.
const ROUNDS: usize = 75;
const PASSES: u32 = 150;

/// SELECT EF.ICCID and READ BINARY, beside a responder in the other slot that does nothing at all.
pub(crate) fn select_and_read() -> Result<Vec<Figure>, Box<dyn Error>> {
    let reader = reader()?;
    let folder = tempfile::tempdir()?;
    let card = Card::new(folder.path(), &[&package(folder.path(), &subscriber(1))]);
    let _card = card.insert(&reader, 0);
    let mut constant = Command::new(env::current_exe()?);
    let mut constant = Process::start(constant.args([CONSTANT, &reader.slot(1)]), folder.path());
    constant.wait_until("its insertion", |_| reader.holds_card(1));

    let mut ours = PcscReader::connect(Reader::FIRST)?;
    let mut theirs = PcscReader::connect(Reader::SECOND)?;
    for host in [&mut ours, &mut theirs] {
        answers(host)?;
    }
    let [ours, theirs] = medians(ROUNDS, [&mut || Ok(rate(&mut ours)), &mut || Ok(rate(&mut theirs))])?;
    Ok(vec![
        Figure::new("reader.select_and_read", ours, "APDU/s")
            .beside(theirs, "a responder that answers with a constant")
            .target(Target::AtLeast(5_000.0))
            .target(Target::RatioAtLeast(0.9)),
    ])
}

/// The same through `apdu proxy`, which records it: in front of an image, where only that is new, and in front of a reader, where
/// each APDU passes through the PC/SC service twice; beside a card that is in the reader itself.
pub(crate) fn recorded() -> Result<Vec<Figure>, Box<dyn Error>> {
    let reader = reader()?;
    let folder = tempfile::tempdir()?;
    let card = |number| Card::new(folder.path(), &[&package(folder.path(), &subscriber(number))]);
    let (itself, image, behind) = (card(1), card(2), card(3));
    let _inserted = [itself.insert(&reader, 0), behind.insert(&reader, BEHIND)];
    // Of the other reader, whose driver is another one: behind a proxy no slot waits for one of the same.
    let mut proxies = [(2, "--card", image.image().as_os_str()), (3, "--reader", Reader::name(BEHIND).as_ref())].map(
        |(slot, of, card)| {
            let out = folder.path().join(format!("{slot}.apdu"));
            let mut proxy = command(&folder.path().join("state"), ["apdu", "proxy", "--slot", &reader.slot(slot), of]);
            (slot, Process::start(proxy.arg(card).arg("--out").arg(out), folder.path()))
        },
    );
    for (slot, proxy) in &mut proxies {
        proxy.wait_until("the card in the reader", |_| reader.holds_card(*slot));
    }
    let mut hosts = Vec::new();
    for slot in [0, 2, 3] {
        hosts.push(PcscReader::connect(Reader::name(slot))?);
    }
    let [itself, image, behind] = hosts.as_mut_slice() else { return Err("three hosts are three".into()) };
    for host in [&mut *itself, image, behind] {
        answers(host)?;
    }
    let [itself, image, behind] =
        medians(ROUNDS, [&mut || Ok(rate(itself)), &mut || Ok(rate(image)), &mut || Ok(rate(behind))])?;
    let recorded = |name, rate| Figure::new(name, rate, "APDU/s").beside(itself, "a card in the reader itself");
    Ok(vec![
        recorded("proxy.in_front_of_an_image", image).target(Target::RatioAtLeast(0.9)),
        recorded("proxy.in_front_of_a_reader", behind),
    ])
}

/// The slot of the card that is behind a proxy.
const BEHIND: u16 = 1;

/// Whether each command gets a response that is none of an error.
fn answers(host: &mut PcscReader) -> Result<(), Box<dyn Error>> {
    for command in SELECT_AND_READ {
        let response = host.transmit(command)?;
        if !matches!(response.as_slice(), [.., 0x90, 0x00] | [.., 0x61, _]) {
            return Err(format!("{command:02X?} is answered {response:02X?}").into());
        }
    }
    Ok(())
}

fn rate(host: &mut PcscReader) -> f64 {
    let passes = per_second(PASSES, || {
        for command in SELECT_AND_READ {
            // A card that stops answering shows as a figure of nothing.
            let _ = std::hint::black_box(host.transmit(command));
        }
    });
    passes * 2.0
}

/// The private reader this was started beside.
pub(crate) fn reader() -> Result<Reader, Box<dyn Error>> {
    Reader::here().ok_or_else(|| "there is no private reader; start this with scripts/bench".into())
}

/// The argument that makes this program the constant responder.
pub(crate) const CONSTANT: &str = "--constant";

/// Serves the constant responder in the slot at `address` until it is ended from outside.
pub(crate) fn serve_constant(address: &str) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let forever = std::future::pending();
    runtime.block_on(vpcd::serve(&mut Constant, address, forever, |link| println!("{link}")));
    Ok(())
}

/// Answers every command with ten bytes and 9000, whatever it is.
struct Constant;

impl Icc for Constant {
    fn power_on(&mut self) -> Vec<u8> {
        self.atr()
    }
    fn warm_reset(&mut self) -> Vec<u8> {
        self.atr()
    }
    fn power_off(&mut self) {}
    fn atr(&self) -> Vec<u8> {
        // T=0, no historical bytes.
        vec![0x3B, 0x00]
    }
    fn transmit(&mut self, _: &[u8], response: &mut Vec<u8>) {
        response.extend([0xFF; 10]);
        response.extend([0x90, 0x00]);
    }
}
