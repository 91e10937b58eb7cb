//! Other cards of this machine, whose slots are taken.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use console::Exit;
use reader_bridge::pcsc_reader::list_readers;
use reader_bridge::socket::Address;

use super::first_port;
use crate::card::ready::{Ready, ReadyCard, folder, running};
use crate::failure::Failure;
use crate::state::State;

/// How long a process that ends may take until its slot is free.
const ENDING: Duration = Duration::from_secs(1);
/// Between two looks.
const GLANCE: Duration = Duration::from_millis(50);
/// The slots of a virtual reader.
const SLOTS: u16 = 2;

/// The cards that other processes of this state directory run.
#[derive(Clone, Debug)]
pub(super) struct Neighbours {
    /// Where their records are.
    folder: Option<PathBuf>,
    /// The slots that this process wants.
    wanted: Vec<String>,
}

impl Neighbours {
    pub(super) fn of(ready: &Ready, state: &State) -> Self {
        let wanted = ready.cards.iter().filter_map(|card| card.slot.clone()).collect();
        // Without a folder there are no records.
        Self { folder: folder(state).ok(), wanted }
    }

    /// Fails if another card is where one of this process is to be, and stays there.
    pub(super) fn are_gone(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + ENDING;
        for slot in &self.wanted {
            while let Some(told) = self.refusal(slot) {
                if Instant::now() >= deadline {
                    return Err(told);
                }
                std::thread::sleep(GLANCE);
            }
        }
        Ok(())
    }

    /// Waits until a slot is vacant: a card that came while the reader has not missed the one before would be taken for that.
    /// `tell` is called if that takes long.
    pub(super) async fn vacancy(&self, slot: &str, tell: impl FnOnce(Failure)) {
        let (begun, mut tell) = (Instant::now(), Some(tell));
        while let Some(told) = self.refusal(slot) {
            if begun.elapsed() >= ENDING
                && let Some(tell) = tell.take()
            {
                tell(told);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Which card is in a slot, and which slot is free.
    pub(super) fn refusal(&self, slot: &str) -> Option<Failure> {
        let others = self.others();
        let (pid, card) =
            others.iter().find(|(_, card)| card.slot.as_deref().is_some_and(|taken| is_same(taken, slot)))?;
        let image = card.image.display();
        let free = self.free_slot(&others);
        let way_out = free.map_or_else(String::new, |free| format!("free is --reader {free}; "));
        let told = format!(
            "{image} is in the slot at {slot} already (process {pid}); {way_out}`vuicc card eject {image}` takes it out"
        );
        Some(Failure::because(told).with(Exit::Card))
    }

    fn others(&self) -> Vec<(u32, ReadyCard)> {
        let records = self.folder.as_deref().map(running).unwrap_or_default();
        let others = records.into_iter().filter(|(_, record)| record.ready.pid != std::process::id());
        others
            .flat_map(|(_, record)| record.ready.cards.into_iter().map(move |card| (record.ready.pid, card)))
            .collect()
    }

    /// A slot of this machine's first virtual reader that no process has, wants, or shows a card in.
    fn free_slot(&self, others: &[(u32, ReadyCard)]) -> Option<String> {
        let first = first_port().ok()?;
        let readers = list_readers().unwrap_or_default();
        (0..SLOTS).find_map(|slot| {
            let address = format!("127.0.0.1:{}", first.checked_add(slot)?);
            let name = format!("Virtual PCD 00 0{slot}");
            let taken = others.iter().filter_map(|(_, card)| card.slot.as_deref());
            let mut taken = taken.chain(self.wanted.iter().map(String::as_str));
            let is_full = readers.iter().any(|reader| reader.name == name && reader.card.is_some());
            (!is_full && !taken.any(|taken| is_same(taken, &address))).then_some(address)
        })
    }
}

/// Whether two addresses are of one slot, as far as they tell: this machine has several.
fn is_same(one: &str, other: &str) -> bool {
    let port = |slot: &str| slot.rsplit_once(':').map(|(_, port)| port.to_owned());
    let is_local = |slot: &str| Address::Tcp(slot.to_owned()).is_local();
    one == other || is_local(one) && is_local(other) && port(one) == port(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_this_machine_have_several_names() {
        assert!(is_same("127.0.0.1:7", "localhost:7") && is_same("10.0.0.1:7", "10.0.0.1:7"));
        assert!(!is_same("127.0.0.1:7", "127.0.0.1:8") && !is_same("10.0.0.1:7", "127.0.0.1:7"));
    }
}
