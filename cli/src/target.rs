//! Which card a command uses: one in a reader, or an image run inside this process.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apdu::{InProcess, Transport};
use card::OpenError;
use card::image::ImageError;
use clap::Args;
use reader_bridge::PcscReader;
use reader_bridge::pcsc_reader::{Options, Sharing};
use reader_bridge::socket::{Address, SocketCard};
use reader_bridge::trace::{Event, JsonTrace, Observer, TextTrace, Tracer};

use crate::failure::{AtPath, Failure};
use crate::file::{Readers, image};
use crate::output::{lose, tell};

/// The options that choose a card.
#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
    /// The card in this reader: its number, its name or a part of it; or behind a socket, tcp:HOST:PORT or unix:PATH [default:
    /// the first reader with a card]
    #[arg(long, global = true, value_name = "NAME")]
    reader: Option<String>,
    /// The card in this image, run inside this process without any reader
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "reader", value_parser = image)]
    card: Option<PathBuf>,
    #[command(flatten)]
    trace: TraceArguments,
}

/// The option that records the exchange between host and card.
#[derive(Clone, Debug, Args)]
pub(crate) struct TraceArguments {
    /// Write every APDU to FILE, readable by its owner only: text, or JSON lines if its name ends in .json; `-` is
    /// stderr
    #[arg(long, global = true, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl TargetArguments {
    /// Connects to the card, for exclusive use.
    pub(crate) fn connect(&self) -> Result<Box<dyn Transport>, Failure> {
        self.connect_as(Sharing::Exclusive)
    }

    /// Connects to the card.
    pub(crate) fn connect_as(&self, sharing: Sharing) -> Result<Box<dyn Transport>, Failure> {
        let target = match (&self.card, &self.reader) {
            (Some(image), _) => Target::Image(image),
            (None, Some(name)) => Target::Reader(name),
            (None, None) => Target::First,
        };
        self.trace.watch(target.connect_as(sharing)?)
    }

    /// The image, if the card is in one.
    pub(crate) fn image(&self) -> Option<&Path> {
        self.card.as_deref()
    }
}

/// An observer of any kind.
pub(crate) type Watcher = Box<dyn FnMut(Event<'_>) + Send>;

fn watcher(mut observer: impl Observer + Send + 'static) -> Watcher {
    Box::new(move |event| observer.observe(event))
}

/// One card.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// In the first reader that has a card.
    First,
    /// In this reader.
    Reader(&'a str),
    /// In this image.
    Image(&'a Path),
}

impl Target<'_> {
    /// Connects to the card, for exclusive use.
    pub(crate) fn connect(self) -> Result<Box<dyn Transport>, Failure> {
        self.connect_as(Sharing::Exclusive)
    }

    /// Connects to the card; reports when another program makes it wait.
    fn connect_as(self, sharing: Sharing) -> Result<Box<dyn Transport>, Failure> {
        let options = Options { sharing, waiting: |waiting| tell(&format!("vuicc: {waiting}")) };
        Ok(match self {
            Self::First => Box::new(PcscReader::open(None, options)?),
            Self::Reader(name) => match Address::of_reader(name) {
                Some(address) => Box::new(SocketCard::connect(&address?)?),
                None => Box::new(PcscReader::open(Some(name), options)?),
            },
            Self::Image(path) => Box::new(InProcess::connect(once_free(|| card::open(path), IN_USE)?)),
        })
    }
}

/// Timeout for a card image in use by another command: most are done with it in a second.
pub(crate) const IN_USE: Duration = Duration::from_secs(10);

/// Opens an image as soon as its holder releases it, and reports once who that is. After `longest` it is refused.
pub(crate) fn once_free<C>(mut open: impl FnMut() -> Result<C, OpenError>, longest: Duration) -> Result<C, OpenError> {
    const UNTOLD: Duration = Duration::from_secs(1);
    const GLANCE: Duration = Duration::from_millis(50);
    let (begun, mut is_told) = (Instant::now(), false);
    loop {
        match open() {
            Err(OpenError::Image(ImageError::InUse { path, holder })) if begun.elapsed() < longest => {
                if !is_told && begun.elapsed() >= UNTOLD {
                    is_told = true;
                    tell(&format!(
                        "vuicc: waiting for {}, in use by {holder}, for up to {} s; Ctrl-C gives up",
                        path.display(),
                        longest.as_secs()
                    ));
                }
                std::thread::sleep(GLANCE);
            }
            outcome => return outcome,
        }
    }
}

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
        Ok(match self.observer(None)? {
            Some(observer) => Box::new(Tracer::new(card, observer)),
            None => card,
        })
    }

    /// The observer that writes the trace, with `label` before every line. Several observers write to the same file.
    pub(crate) fn observer(&self, label: Option<&String>) -> Result<Option<Watcher>, Failure> {
        let Some(path) = &self.trace else { return Ok(None) };
        let file: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stderr())
        } else {
            let mut options = File::options();
            options.create(true).write(true).append(label.is_some()).truncate(label.is_none());
            // It contains CK and IK of every authentication.
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, Readers::Owner.mode());
            let file = options.open(path).at("write the trace to", path)?;
            #[cfg(unix)]
            if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                let owners = std::os::unix::fs::PermissionsExt::from_mode(Readers::Owner.mode());
                file.set_permissions(owners).at("keep others from reading", path)?;
            }
            Box::new(file)
        };
        // An event is written when it is flushed, at once and completely.
        let file = BufWriter::with_capacity(1 << 16, TraceFile { file, path: path.clone(), ended: false });
        let json = path.extension().is_some_and(|extension| extension == "json");
        let label = label.map_or("", String::as_str);
        Ok(Some(if json {
            watcher(JsonTrace::new(file).labelled(label))
        } else {
            watcher(TextTrace::new(file).labelled(label))
        }))
    }
}

/// The file of a trace. If it cannot be written the card must not stop: the trace ends there, because one with a gap
/// would be of another dialogue; that is reported, and the command fails at the end.
struct TraceFile {
    file: Box<dyn Write + Send>,
    path: PathBuf,
    ended: bool,
}

impl TraceFile {
    fn or_end<T>(&mut self, outcome: io::Result<T>, instead: T) -> io::Result<T> {
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.ended = true;
                lose(&format!("cannot write the trace to {}: {error}; it ends there", self.path.display()));
                Ok(instead)
            }
            outcome => outcome,
        }
    }
}

impl Write for TraceFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(octets.len());
        }
        let written = self.file.write(octets);
        self.or_end(written, octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        let flushed = self.file.flush();
        self.or_end(flushed, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for some octets.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let written = octets.len().min(self.0);
            self.0 -= written;
            if written == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(written) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Commands use a card in turn; other errors are reported at once.
    #[test]
    fn an_image_is_waited_for() {
        let in_use =
            || OpenError::Image(ImageError::InUse { path: "phone.img".into(), holder: "process 7 (vuicc)".into() });
        let mut left = 3;
        let opened = once_free(
            || {
                left -= 1;
                if left > 0 { Err(in_use()) } else { Ok(left) }
            },
            Duration::MAX,
        );
        assert_eq!(opened.unwrap(), 0);
        let refused = once_free(|| Err::<(), _>(in_use()), Duration::ZERO).unwrap_err().to_string();
        assert!(refused.contains("process 7 (vuicc)"), "{refused}");
        let mut tries = 0;
        let missing = once_free(
            || {
                tries += 1;
                Err::<(), _>(ImageError::NotFound("phone.img".into()).into())
            },
            Duration::MAX,
        );
        assert!(matches!(missing, Err(OpenError::Image(ImageError::NotFound(_)))) && tries == 1);
    }

    #[test]
    fn a_trace_ends_where_the_disk_is_full() {
        let mut trace = TraceFile { file: Box::new(Disk(8)), path: "t.apdu".into(), ended: false };
        assert!(trace.write_all(b"> 00A4").is_ok() && !trace.ended);
        assert!(trace.write_all(b"< 9000").is_ok() && trace.ended);
        assert!(crate::output::lost().is_some());
        assert!(trace.write_all(b"> 00B0").is_ok() && trace.flush().is_ok());
    }
}
