//! A card that runs, in this process or another, as its page has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use inspector::handle::State;
use inspector::stream::Stream;
use inspector::{Handle, Refusal};

use crate::card::control::{Answer, Beside, Demand, Digits, Moved, Order, Overwrite, ask, watch};
use crate::card::eject::is_same;
use crate::card::ready::{ReadyCard, running};
use crate::card::shared::Shared;
use crate::failure::Failure;
use crate::hexadecimal;

/// Where a card runs.
pub(super) enum Running {
    /// In this process, for the page.
    Here(Shared),
    /// In whichever process runs its image, of those recorded in this folder.
    Elsewhere(PathBuf),
}

/// A card that runs.
pub(super) struct Handled {
    pub(super) image: PathBuf,
    pub(super) running: Running,
}

/// The process that runs an image, and the number of the card there.
pub(super) fn find(folder: &Path, image: &Path) -> Option<(u32, usize, ReadyCard)> {
    running(folder).into_iter().find_map(|(_, record)| {
        let pid = record.ready.pid;
        let mut cards = record.ready.cards.into_iter().enumerate();
        cards.find(|(_, card)| is_same(&card.image, image)).map(|(number, card)| (pid, number, card))
    })
}

impl Handled {
    fn obey(&self, demand: Demand) -> Result<Answer, Refusal> {
        let answer = match &self.running {
            Running::Here(card) => card.obey(&demand),
            Running::Elsewhere(folder) => {
                let (pid, number, _) = find(folder, &self.image).ok_or_else(|| self.is_gone())?;
                ask(folder, pid, number, demand).map_err(|failure| Refusal(in_words(&failure)))?
            }
        };
        if let Answer::Refused { line, .. } = answer { Err(Refusal(line)) } else { Ok(answer) }
    }

    fn is_gone(&self) -> Refusal {
        Refusal(format!("the card does not run any more; `vuicc card run {}` runs it again", self.image.display()))
    }

    fn done(&self, demand: impl Into<Demand>) -> Result<Vec<u16>, Refusal> {
        match self.obey(demand.into())? {
            Answer::Done(numbers) => Ok(numbers),
            _ => Err(other_version()),
        }
    }
}

fn other_version() -> Refusal {
    Refusal::because("the process that runs the card is of another version; end it, and run it again")
}

fn in_words(failure: &Failure) -> String {
    if let Failure::Because(cause) = failure {
        cause.to_string()
    } else {
        "the card's process does not answer".to_owned()
    }
}

impl Handle for Handled {
    fn image(&self) -> &Path {
        &self.image
    }

    fn state(&self) -> Result<State, Refusal> {
        let Answer::State { is_in, is_powered } = self.obey(Beside::State.into())? else { return Err(other_version()) };
        let place = match &self.running {
            Running::Here(_) => None,
            Running::Elsewhere(folder) => find(folder, &self.image).map(|(_, _, card)| card.place().to_owned()),
        };
        Ok(State { place, is_in, is_powered })
    }

    fn transmit(&self, command: &[u8]) -> Result<Vec<u8>, Refusal> {
        let Answer::Response(response) = self.obey(Beside::Transmit(Digits(hexadecimal::whole(command))).into())?
        else {
            return Err(other_version());
        };
        hexadecimal::parse(&response).map_err(|_| other_version())
    }

    fn cut(&self) -> Result<(), Refusal> {
        self.done(Beside::Cut).map(drop)
    }

    fn reset(&self) -> Result<(), Refusal> {
        self.done(Beside::Reset).map(drop)
    }

    fn put(&self, is_in: bool) -> Result<(), Refusal> {
        let moved = if is_in { Moved::Inserted } else { Moved::Pulled };
        self.done(Demand::Place { moved }).map(drop)
    }

    fn overwrite(&self, domain: u16, file: u16, offset: usize, octets: &[u8]) -> Result<(), Refusal> {
        let octets = hexadecimal::whole(octets);
        self.done(Beside::Overwrite(Overwrite { domain, file, offset, octets })).map(drop)
    }

    fn order(&self, fault: &str) -> Result<Vec<u16>, Refusal> {
        self.done(Order::Add(vec![fault.to_owned()]))
    }

    fn clear(&self, numbers: &[u16]) -> Result<Vec<u16>, Refusal> {
        self.done(Order::Clear(numbers.to_vec()))
    }
}

/// Has a stream hear what happens to a card in whichever process runs it, as long as this one lives. `begun` is told when nothing is
/// missed any more for the first time.
pub(super) fn hear(folder: PathBuf, image: PathBuf, stream: Arc<Stream>, begun: Sender<()>) {
    /// Between two looks for a process.
    const GLANCE: Duration = Duration::from_millis(300);
    thread::spawn(move || {
        loop {
            if let Some((pid, number, _)) = find(&folder, &image) {
                let mut was_heard = false;
                let is_heard = || {
                    was_heard = true;
                    // Nobody may wait for it any more.
                    let _ = begun.send(());
                };
                let ended = watch(&folder, pid, number, is_heard, |seen| stream.see(&seen));
                if was_heard {
                    let why = ended.map_or_else(
                        |error| error.to_string(),
                        |()| "its process has ended, or told no more".to_owned(),
                    );
                    stream.lost(&why);
                }
            }
            thread::sleep(GLANCE);
        }
    });
}
