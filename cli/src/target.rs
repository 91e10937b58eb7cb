//! Which card a command uses: one in a reader, or an image run inside this process.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apdu::{InProcess, Transport};
use card::OpenError;
use card::image::ImageError;
use clap::Args;
use console::Exit;
use reader_bridge::pcsc_reader::{Options, Sharing};
use reader_bridge::script::{Hiding, Variables};
use reader_bridge::socket::{CardAddress, Lookout, SocketCard};
use reader_bridge::trace::Tracer;
use reader_bridge::{HeldBack, PcscReader};

use crate::failure::Failure;
use crate::file::{image, not_stdout};
use crate::key_log;
use crate::output::tell;
use crate::repeatable::SeedArguments;
use crate::trace::TraceArguments;

/// The options that choose a card.
#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
    /// The card in this reader: its number, its name or a part of it; or behind a socket, tcp:HOST:PORT or unix:PATH, with
    /// /EID after it for one of a fleet [default: the first reader with a card]
    #[arg(long, global = true, value_name = "NAME")]
    reader: Option<String>,
    /// The card in this image, run inside this process without any reader
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "reader", value_parser = image)]
    card: Option<PathBuf>,
    /// Append the session keys of each download to FILE, readable by its owner only; for a card in an image. Who has it can
    /// open the profiles that were downloaded, their keys included
    #[arg(long, global = true, value_name = "FILE", value_parser = not_stdout)]
    keylog: Option<PathBuf>,
    #[command(flatten)]
    seed: SeedArguments,
    #[command(flatten)]
    trace: TraceArguments,
}

impl TargetArguments {
    /// Connects to the card, for exclusive use.
    pub(crate) fn connect(&self) -> Result<Box<dyn Transport>, Failure> {
        self.connect_as(Sharing::Exclusive)
    }

    /// Connects to the card in an image that was named otherwise, or else to the one that is chosen, for exclusive use.
    pub(crate) fn connect_or(&self, image: Option<&Path>) -> Result<Box<dyn Transport>, Failure> {
        let Some(image) = image else { return self.connect() };
        self.seed.warn();
        let card = Target::Image(image).connect_as(Sharing::Exclusive, &self.seed, self.keylog.as_deref())?;
        self.trace.watch(card)
    }

    /// Opens the card in an image, to be run for other programs.
    pub(crate) fn open(&self, image: &Path) -> Result<card::Card, Failure> {
        self.seed.warn();
        let provider = key_log::before(self.keylog.as_deref(), self.seed.provider())?;
        Ok(once_free(|| self.seed.open(image, 0, &provider), IN_USE)?)
    }

    /// Connects to the card.
    pub(crate) fn connect_as(&self, sharing: Sharing) -> Result<Box<dyn Transport>, Failure> {
        self.trace.watch(self.untraced(sharing)?)
    }

    /// Connects to the card, for exclusive use; the values of these secret variables do not appear in the trace.
    pub(crate) fn connect_hiding(&self, secrets: &Variables) -> Result<Box<dyn Transport>, Failure> {
        let card = self.untraced(Sharing::Exclusive)?;
        Ok(match self.trace.observers(&[""])?.pop() {
            Some(observer) => Box::new(Tracer::new(card, Hiding::new(observer, secrets.clone()))),
            None => card,
        })
    }

    /// Connects to the card, for exclusive use; of one behind a socket, with a lookout whether it is still there.
    pub(crate) fn connect_watched(&self) -> Result<(Box<dyn Transport>, Option<Lookout>), Failure> {
        let Some(address) = self.reader().and_then(CardAddress::of_reader).transpose()? else {
            return Ok((self.connect()?, None));
        };
        self.check()?;
        let card = SocketCard::connect(&address)?;
        let lookout = card.lookout()?;
        Ok((self.trace.watch(Box::new(card))?, Some(lookout)))
    }

    fn untraced(&self, sharing: Sharing) -> Result<Box<dyn Transport>, Failure> {
        self.check()?;
        self.seed.warn();
        let target = match (&self.card, &self.reader) {
            (Some(image), _) => Target::Image(image),
            (None, Some(name)) => Target::Reader(name),
            (None, None) => Target::First,
        };
        target.connect_as(sharing, &self.seed, self.keylog.as_deref())
    }

    /// Whether options are given that fit the card.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.seed.is_given() && self.card.is_none() {
            return Err(Failure::because(
                "--seed is for a card that runs inside this process: name its image with --card; one in the virtual reader is \
                 seeded by `vuicc card run --seed`",
            )
            .with(Exit::Usage));
        }
        if self.card.is_none() && self.keylog.is_some() {
            return Err(Failure::because(
                "--keylog writes down the keys of a card in an image (--card), or of one that `vuicc card run --keylog` \
                 runs: a card in a reader keeps them to itself",
            )
            .with(Exit::Usage));
        }
        Ok(())
    }

    /// Whether a card was chosen.
    pub(crate) const fn is_given(&self) -> bool {
        self.reader.is_some() || self.card.is_some()
    }

    /// Where the exchange is recorded.
    pub(crate) const fn trace(&self) -> &TraceArguments {
        &self.trace
    }

    /// The reader or the socket, if one was chosen.
    pub(crate) fn reader(&self) -> Option<&str> {
        self.reader.as_deref()
    }

    /// The image, if the card is in one.
    pub(crate) fn image(&self) -> Option<&Path> {
        self.card.as_deref()
    }
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
        self.connect_as(Sharing::Exclusive, &SeedArguments::default(), None)
    }

    /// Connects to the card; reports when another program makes it wait.
    fn connect_as(
        self,
        sharing: Sharing,
        seed: &SeedArguments,
        keylog: Option<&Path>,
    ) -> Result<Box<dyn Transport>, Failure> {
        let options = Options { sharing, waiting: |waiting| tell(&format!("vuicc: {waiting}")) };
        Ok(match self {
            Self::First => Box::new(PcscReader::open(None, options)?),
            Self::Reader(name) => match CardAddress::of_reader(name) {
                Some(address) => Box::new(SocketCard::connect(&address?)?),
                None => Box::new(PcscReader::open(Some(name), options)?),
            },
            Self::Image(path) => {
                let provider = key_log::before(keylog, seed.provider())?;
                let card = once_free(|| seed.open(path, 0, &provider), IN_USE)?;
                Box::new(InProcess::connect(HeldBack(card)))
            }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
