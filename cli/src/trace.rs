//! `--trace`: what passes between host and card, to a file, to stderr or over UDP.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::net::{ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use apdu::Transport;
use capture::{Encoder, Format, gsmtap};
use clap::Args;
use reader_bridge::trace::{DESCRIBE, Event, Tracer};

use crate::failure::Failure;
use crate::file::{Readers, begin};
use crate::output::lose;

/// The option that records the exchange between host and card.
#[derive(Clone, Debug, Args)]
pub(crate) struct TraceArguments {
    /// Write every APDU to FILE, readable by its owner only: text, JSON lines if its name ends in .json, packets for
    /// Wireshark if it ends in .pcapng or .pcap; `-` is stderr; gsmtap:HOST or gsmtap:HOST:PORT sends the packets
    /// there while they happen
    #[arg(long, global = true, value_name = "FILE", value_parser = destination)]
    trace: Option<Destination>,
}

/// Where a trace goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To standard error, as text.
    Stderr,
    /// To a file, in the format that its name asks for.
    File(PathBuf),
    /// GSMTAP over UDP, to `HOST:PORT`.
    Gsmtap(String),
}

impl Destination {
    /// The file, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        if let Self::File(path) = self { Some(path) } else { None }
    }
}

/// What a trace to UDP begins with.
pub(crate) const GSMTAP: &str = "gsmtap:";

/// Reads what users write for one.
pub(crate) fn destination(text: &str) -> Result<Destination, String> {
    if text == "-" {
        return Ok(Destination::Stderr);
    }
    let Some(address) = text.strip_prefix(GSMTAP) else {
        return if text.is_empty() { Err("give a file".into()) } else { Ok(Destination::File(text.into())) };
    };
    let port = address.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    match port {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Ok(Destination::Gsmtap(address.into()))
        }
        None if address.ends_with(']') || !address.contains(':') && !address.is_empty() => {
            Ok(Destination::Gsmtap(format!("{address}:{}", gsmtap::PORT)))
        }
        _ => Err(format!("gsmtap:HOST[:PORT], as in gsmtap:127.0.0.1 (port {})", gsmtap::PORT)),
    }
}

/// An observer of any kind.
pub(crate) type Watcher = Box<dyn FnMut(Event<'_>) + Send>;

impl TraceArguments {
    /// Whether a trace was requested.
    pub(crate) const fn is_given(&self) -> bool {
        self.trace.is_some()
    }

    /// No trace.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self { trace: None }
    }

    /// Attaches the trace, if requested, to the card.
    pub(crate) fn watch(&self, card: Box<dyn Transport>) -> Result<Box<dyn Transport>, Failure> {
        Ok(match self.observers(&[""])?.pop() {
            Some(observer) => Box::new(Tracer::new(card, observer)),
            None => card,
        })
    }

    /// An observer for each of several cards, which all write to the same place; `labels` tell them apart. None if no
    /// trace was requested.
    pub(crate) fn observers(&self, labels: &[&str]) -> Result<Vec<Watcher>, Failure> {
        self.trace.as_ref().map_or_else(|| Ok(Vec::new()), |destination| destination.observers(labels))
    }
}

impl Destination {
    /// An observer for each of several cards, which all write here; `labels` tell them apart.
    pub(crate) fn observers(&self, labels: &[&str]) -> Result<Vec<Watcher>, Failure> {
        let format = match self {
            Self::File(path) => Format::of_extension(&path.extension().unwrap_or_default().to_string_lossy()),
            _ => Format::Text,
        };
        let sink = Arc::new(Mutex::new(Sink::open(self)?));
        let several = labels.len() > 1;
        let mut observers: Vec<Watcher> = Vec::new();
        for (card, label) in (0..=u8::MAX).zip(labels) {
            let mut encoder = Encoder::new(format).described(DESCRIBE);
            if several {
                encoder = encoder.labelled(label, card);
            }
            if matches!(format, Format::Pcap | Format::PcapNg) {
                // One header for all, at once: a file without packets can be opened, too.
                if card == 0 {
                    locked(&sink).append(&encoder.header());
                }
                encoder = encoder.continued();
            }
            let sink = Arc::clone(&sink);
            observers.push(Box::new(move |event| {
                let event = event.recorded(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok());
                let mut sink = locked(&sink);
                match &*sink {
                    Sink::Udp { .. } => gsmtap::datagrams(&event, card).iter().for_each(|packet| sink.append(packet)),
                    Sink::Stderr | Sink::File(_) => sink.append(&encoder.event(&event)),
                }
            }));
        }
        Ok(observers)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("stderr"),
            Self::File(path) => path.display().fmt(f),
            Self::Gsmtap(to) => write!(f, "packets to {to}"),
        }
    }
}

fn locked(sink: &Mutex<Sink>) -> std::sync::MutexGuard<'_, Sink> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a trace is written to.
#[derive(Debug)]
enum Sink {
    Stderr,
    File(TraceFile<File>),
    Udp { socket: UdpSocket, to: String, failed: bool },
}

impl Sink {
    fn open(destination: &Destination) -> Result<Self, Failure> {
        Ok(match destination {
            Destination::Stderr => Self::Stderr,
            Destination::File(path) => {
                // It contains CK and IK of every authentication.
                Self::File(TraceFile::new(begin(path, Readers::Owner, "the trace")?, path))
            }
            Destination::Gsmtap(to) => {
                let socket = connect(to).map_err(|error| {
                    Failure::because(format!("cannot send the trace to {to}: {error}; gsmtap:HOST[:PORT] names a host"))
                })?;
                Self::Udp { socket, to: to.clone(), failed: false }
            }
        })
    }

    /// Writes one event. A trace that cannot be written must not stop the card.
    fn append(&mut self, event: &[u8]) {
        match self {
            Self::Stderr => {
                let mut stderr = io::stderr().lock();
                let _ = stderr.write_all(event).and_then(|()| stderr.flush());
            }
            Self::File(file) => file.append(event),
            Self::Udp { socket, to, failed } => match socket.send(event) {
                // Nobody listens there yet, which is no failure of a sender.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(_) if *failed => {}
                Err(error) => {
                    *failed = true;
                    lose(&format!("cannot send a packet of the trace to {to}: {error}; it misses some"));
                }
            },
        }
    }
}

fn connect(to: &str) -> io::Result<UdpSocket> {
    let mut last = ErrorKind::AddrNotAvailable.into();
    for address in to.to_socket_addrs()? {
        let any: std::net::IpAddr =
            if address.is_ipv4() { [0; 4].into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
        match UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address).map(|()| socket)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The file of a trace. If it cannot be written the card must not stop: the trace ends there, because one with a gap
/// would be of another dialogue; that is reported, and the command fails at the end. What is there is whole events.
#[derive(Debug)]
struct TraceFile<F> {
    file: F,
    path: PathBuf,
    /// Octets of whole events so far.
    length: u64,
    ended: bool,
}

/// What is written to, and cut back where an event did not fit.
trait Growing: Write {
    /// Fails if it is no file that could be cut back.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Growing for File {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

impl<F: Growing> TraceFile<F> {
    fn new(file: F, path: &Path) -> Self {
        Self { file, path: path.to_owned(), length: 0, ended: false }
    }

    fn append(&mut self, event: &[u8]) {
        if self.ended {
            return;
        }
        match self.file.write_all(event).and_then(|()| self.file.flush()) {
            Ok(()) => self.length += u64::try_from(event.len()).unwrap_or(u64::MAX),
            Err(error) => {
                self.ended = true;
                let _ = self.file.cut(self.length);
                lose(&format!("cannot write the trace to {}: {error}; it ends there", self.path.display()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for some octets.
    #[derive(Debug)]
    struct Disk {
        room: usize,
        octets: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let written = octets.len().min(self.room - self.octets.len());
            self.octets.extend(&octets[..written]);
            if written == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(written) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Growing for Disk {
        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.octets.truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    #[test]
    fn a_trace_ends_with_the_last_whole_event_where_the_disk_is_full() {
        let mut trace = TraceFile::new(Disk { room: 8, octets: Vec::new() }, Path::new("t.apdu"));
        trace.append(b"> 00A4");
        assert!(!trace.ended);
        trace.append(b"< 9000");
        assert!(trace.ended && crate::output::lost().is_some());
        trace.append(b"!");
        assert_eq!(trace.file.octets, b"> 00A4");
    }

    #[test]
    fn destinations() {
        let gsmtap = |to: &str| Ok(Destination::Gsmtap(to.into()));
        assert_eq!(destination("-"), Ok(Destination::Stderr));
        assert_eq!(destination("a.pcapng"), Ok(Destination::File("a.pcapng".into())));
        assert_eq!(destination("gsmtap:127.0.0.1"), gsmtap("127.0.0.1:4729"));
        assert_eq!(destination("gsmtap:localhost:5000"), gsmtap("localhost:5000"));
        assert_eq!(destination("gsmtap:[::1]"), gsmtap("[::1]:4729"));
        assert_eq!(destination("gsmtap:[::1]:5000"), gsmtap("[::1]:5000"));
        for wrong in ["gsmtap:", "gsmtap:::1", "gsmtap:host:", "gsmtap:host:0", "gsmtap:host:70000", "gsmtap::1", ""] {
            assert!(destination(wrong).is_err(), "{wrong}");
        }
    }
}
