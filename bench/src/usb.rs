//! A card in USB readers of a guest, beside one in a virtual reader of the same guest.

use std::error::Error;
use std::path::Path;

use vuicc_tests::guest::{Guest, HOST, Made};
use vuicc_tests::process::Process;
use vuicc_tests::subscriber::{package, subscriber};
use vuicc_tests::usb::UsbReader;
use vuicc_tests::vuicc::{Card, command};

use crate::figure::{Figure, Target};
use crate::rounds::medians;

const ROUNDS: usize = 5;
/// Commands of a run of opensc-tool that counts, beside one with none.
const COMMANDS: usize = 100;

/// Milliseconds for READ BINARY of EF.ICCID by opensc-tool in a guest: through QEMU's reader and through USB/IP, each beside vpcd
/// of the same guest, whose card is here as well.
pub(crate) fn readers() -> Result<Vec<Figure>, Box<dyn Error>> {
    let Some(made) = Made::for_test("the figure of USB readers") else { return Ok(Vec::new()) };
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let package = package(folder, &subscriber(1));
    let [first, second, third] = [0; 3].map(|_| Card::new(folder, &[&package]));
    let in_qemu = UsbReader::start(folder, "qemu", &first, &[]);
    let by_network = UsbReader::start(folder, "usbip", &second, &[]);
    let port = free_port()?;
    let _in_vpcd = in_vpcd(folder, &third, port);
    let card = format!("socket,id=card,host=127.0.0.1,port={},nodelay=on", in_qemu.port());
    let options = ["-chardev", &card, "-device", "usb-ccid", "-device", "ccid-card-passthru,chardev=card"];
    let mut guest = made.start_reached(folder, &options, &[(port, 35963)]);
    guest.done(
        "printf 'FRIENDLYNAME \"Virtual PCD\"\\nDEVICENAME /dev/null:0x8C7B\\nLIBPATH \
         /usr/lib/pcsc/drivers/serial/libifdvpcd.so\\nCHANNELID 0x8C7B\\n' >/etc/reader.conf.d/vpcd",
    );
    guest.done("pcscd --foreground >/run/pcscd.log 2>&1 &");
    guest.done("modprobe vhci_hcd");
    guest.done(&format!("usbip --tcp-port {} attach -r {HOST} -b 1-1", by_network.port()));
    let number = |guest: &mut Guest, name: &str| {
        let listed = guest.until_says("opensc-tool --list-readers", |said| {
            said.lines().any(|line| line.contains(name) && line.contains("Yes"))
        });
        let line = listed.lines().find(|line| line.contains(name)).unwrap_or_default();
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let vpcd = number(&mut guest, "Virtual PCD");
    let qemu = number(&mut guest, "433-Swap");
    let usbip = number(&mut guest, "Generic");
    let accelerator = guest.accelerator.to_uppercase();
    let guest = std::cell::RefCell::new(guest);
    let each = |reader: &str| milliseconds(&mut guest.borrow_mut(), reader);
    let [by_qemu, by_usbip, by_vpcd] =
        medians(ROUNDS, [&mut || each(&qemu), &mut || each(&usbip), &mut || each(&vpcd)])?;
    let beside = format!("vpcd in the same guest, under {accelerator}");
    Ok([("usb.qemu", by_qemu), ("usb.usbip", by_usbip)]
        .map(|(name, value)| {
            Figure::new(name, value, "ms/APDU").beside(by_vpcd, &beside).target(Target::RatioBelow(2.0))
        })
        .into())
}

/// How long one command takes: a run of opensc-tool with many, without what a run with none takes.
fn milliseconds(guest: &mut Guest, reader: &str) -> Result<f64, Box<dyn Error>> {
    let mut took = |commands: usize| -> Result<f64, Box<dyn Error>> {
        let sent = " -s 00B000000A".repeat(commands);
        // Hundredths of a second since the guest began.
        let said = guest.done(&format!(
            "cut() {{ busybox cut -d' ' -f1 /proc/uptime; }}; a=$(cut); opensc-tool -r {reader} -s 00A40004023F00 -s \
             00A40004022FE2{sent} >/run/out || exit; b=$(cut); echo $a $b"
        ));
        let times: Vec<f64> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [begun, ended] = times.as_slice() else { return Err(format!("the guest's clock says {said}").into()) };
        Ok((ended - begun) * 1000.0)
    };
    let (many, none) = (took(COMMANDS)?, took(0)?);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let commands = COMMANDS as f64;
    Ok((many - none) / commands)
}

/// A card that goes into the virtual reader at this port.
fn in_vpcd(folder: &Path, card: &Card, port: u16) -> Process {
    let mut run = command(&folder.join("state"), ["card", "run"]);
    Process::start(run.arg(card.image()).args(["--reader", &format!("127.0.0.1:{port}")]), folder)
}

/// A port that nobody has just now.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
