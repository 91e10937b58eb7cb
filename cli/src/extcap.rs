//! Wireshark's live captures: started under any name with an option `--extcap-…`, this program is one of Wireshark's external
//! capture programs. The interface `vuicc` listens for GSMTAP over UDP, which `--trace gsmtap:…` of any command sends, as
//! SIMtrace does, and writes pcapng to Wireshark.
//!
//! Wireshark calls it with no word of this program's command line: for the interfaces, their link types and options, and
//! with `--capture` for the packets. A call that is not known gets no answer, and no error.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use capture::{Encoder, Format, gsmtap};

use crate::failure::{AtPath, Failure};
use crate::output::Output;

/// The name of the interface.
const INTERFACE: &str = "vuicc";
/// What is listened to unless Wireshark's user wants another.
const ADDRESS: &str = "127.0.0.1";

/// Options of the interface, in Wireshark's words; `{port}` and `{address}` are the defaults.
const OPTIONS: &str = "\
arg {number=0}{call=--address}{display=Address}{type=string}{default={address}}{tooltip=The address of this machine to listen on}
arg {number=1}{call=--port}{display=UDP port}{type=integer}{range=1,65535}{default={port}}{tooltip=Where --trace gsmtap:HOST:PORT sends packets}";

/// Wireshark's call, if this is one.
pub(crate) fn call() -> Option<Call> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    parse(&arguments)
}

/// What Wireshark wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Interfaces,
    Dlts,
    Config,
    /// Is this capture filter valid?
    Filter,
    Capture {
        fifo: PathBuf,
        address: String,
        port: u16,
        filter: bool,
    },
    /// Of another version of Wireshark.
    Other,
}

fn parse(arguments: &[OsString]) -> Option<Call> {
    let texts: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    if !texts.iter().any(|text| text.starts_with("--extcap-")) {
        return None;
    }
    let is_there = |name: &str| texts.iter().any(|text| text == name);
    // Wireshark writes values behind their options.
    let value = |name: &str| {
        let at = texts.iter().position(|text| text == name)?;
        arguments.get(at + 1)
    };
    let text = |name: &str| value(name).map(|value| value.to_string_lossy().into_owned());
    if is_there("--extcap-interfaces") {
        return Some(Call::Interfaces);
    }
    let is_ours = text("--extcap-interface").is_some_and(|interface| interface == INTERFACE);
    let filter = text("--extcap-capture-filter").is_some_and(|filter| !filter.trim().is_empty());
    Some(match value("--fifo") {
        _ if !is_ours => Call::Other,
        _ if is_there("--extcap-dlts") => Call::Dlts,
        _ if is_there("--extcap-config") => Call::Config,
        Some(fifo) if is_there("--capture") => Call::Capture {
            fifo: fifo.into(),
            address: text("--address").filter(|address| !address.is_empty()).unwrap_or_else(|| ADDRESS.to_owned()),
            // A range is given to Wireshark; what comes through nevertheless cannot be bound.
            port: text("--port").map_or(Some(gsmtap::PORT), |port| port.parse().ok()).unwrap_or(0),
            filter,
        },
        _ if filter => Call::Filter,
        _ => Call::Other,
    })
}

/// Answers the call.
pub(crate) fn run(call: &Call) -> Result<(), Failure> {
    let answer = match call {
        Call::Interfaces => format!(
            "extcap {{version={}}}{{display=vuicc}}\ninterface {{value={INTERFACE}}}{{display=SIM cards of vuicc, by GSMTAP}}",
            env!("CARGO_PKG_VERSION")
        ),
        Call::Dlts => "dlt {number=1}{name=EN10MB}{display=GSMTAP in Ethernet}".into(),
        Call::Config => OPTIONS.replace("{address}", ADDRESS).replace("{port}", &gsmtap::PORT.to_string()),
        Call::Filter => "there are no capture filters for cards: use a display filter".into(),
        Call::Other => return Ok(()),
        Call::Capture { filter: true, .. } => {
            return Err(Failure::because("there are no capture filters for cards: use a display filter"));
        }
        Call::Capture { fifo, address, port, .. } => return capture(fifo, address, *port),
    };
    Ok(Output::new(false).drawing(&answer)?)
}

/// Passes packets on until Wireshark reads no more, or ends this process.
fn capture(fifo: &Path, address: &str, port: u16) -> Result<(), Failure> {
    if port == 0 {
        return Err(Failure::because("the UDP port of this interface is no number from 1 to 65535"));
    }
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let socket = UdpSocket::bind((address, port)).map_err(|error| {
        let way_out = match error.kind() {
            ErrorKind::AddrInUse => "another program listens there: end it, or choose another port for this interface",
            ErrorKind::PermissionDenied => "choose a port above 1023 for this interface",
            _ => "choose an address of this machine and a free port for this interface",
        };
        Failure::because(format!("cannot listen on {address}, UDP port {port}: {error}; {way_out}"))
    })?;
    let mut fifo_file = File::options().write(true).open(fifo).at("write packets to", fifo)?;
    let mut encoder = Encoder::new(Format::PcapNg);
    let mut datagram = vec![0; 1 << 16];
    let mut packet = encoder.header();
    loop {
        match fifo_file.write_all(&packet).and_then(|()| fifo_file.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err::<(), _>(error).at("write packets to", fifo),
        }
        let length = match socket.recv(&mut datagram) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(Failure::because(format!("cannot receive on UDP port {port}: {error}"))),
        };
        let received = datagram.get(..length).unwrap_or_default();
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        packet = if gsmtap::is_gsmtap(received) { encoder.datagram(at, received) } else { Vec::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Call> {
        let arguments: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        parse(&arguments)
    }

    #[test]
    fn calls_of_wireshark() {
        assert_eq!(parsed("card show a.img"), None);
        assert_eq!(parsed("--extcap-interfaces --extcap-version=4.0"), Some(Call::Interfaces));
        assert_eq!(parsed("--extcap-dlts --extcap-interface vuicc"), Some(Call::Dlts));
        assert_eq!(parsed("--extcap-config --extcap-interface vuicc"), Some(Call::Config));
        assert_eq!(parsed("--extcap-config --extcap-interface other"), Some(Call::Other));
        assert_eq!(parsed("--extcap-reload-option --extcap-interface vuicc"), Some(Call::Other));
        let filter = "--extcap-interface vuicc --extcap-capture-filter udp";
        assert_eq!(parsed(filter), Some(Call::Filter));
        let capture = |address: &str, port, filter| Call::Capture {
            fifo: "/tmp/f".into(),
            address: address.into(),
            port,
            filter,
        };
        let line = "--capture --extcap-interface vuicc --fifo /tmp/f";
        assert_eq!(parsed(line), Some(capture("127.0.0.1", 4729, false)));
        assert_eq!(parsed(&format!("{line} --address ::1 --port 5000")), Some(capture("::1", 5000, false)));
        assert_eq!(parsed(&format!("{line} --extcap-capture-filter udp")), Some(capture("127.0.0.1", 4729, true)));
    }
}
