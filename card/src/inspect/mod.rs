//! A card laid open: what is on it, without its keys and without changing it.
//!
//! The eUICC's part is asked of a copy of the card, through the commands an LPA sends; files, PINs and applications are
//! read from memory.
//!
//! ```no_run
//! let inspection = card::inspect::image("my.img".as_ref())?;
//! println!("{inspection}");
//! # Ok::<(), card::inspect::InspectionError>(())
//! ```

mod domain;
mod euicc;
pub mod names;
mod report;

pub use domain::{Application, Directory, Domain, Pin, key_name, words};
pub use euicc::{Euicc, Notification, Profile};

use crate::entropy::ChaCha;
use crate::fault;
use crate::image::{self, CardType, ImageError, Manufacture};
use card_os::nvm::{MemoryNvm, Nvm};
use card_os::{Card, DomainView};
use serde::Serialize;
use std::path::Path;

/// All there is to see of a card. As JSON, octets are upper-case hexadecimal.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// `eUICC` or `UICC`.
    pub card_type: &'static str,
    /// Answer to reset.
    pub atr: String,
    /// The card in the field that it was made like.
    pub like: Option<String>,
    /// Program and version that made it.
    pub made_by: String,
    /// When, in seconds since 1970.
    pub made_at: u64,
    /// Non-volatile memory.
    pub memory: Memory,
    /// What an LPA sees, if it is an eUICC.
    pub euicc: Option<Euicc>,
    /// What is to go wrong with it.
    pub faults: Vec<Fault>,
    /// The platform, then the profiles.
    pub domains: Vec<Domain>,
}

/// A fault that is ordered.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// Its number.
    pub number: u16,
    /// As it is written.
    pub fault: String,
    /// How often it will still strike; `None`: always.
    pub left: Option<u32>,
    /// How often it has struck; of one that strikes always, whether it has.
    pub struck: u32,
    /// Both in words.
    pub state: String,
}

/// The faults ordered for the card in a memory.
pub fn faults(memory: &MemoryNvm) -> Vec<Fault> {
    let ordered = card_os::fault::ordered(memory);
    ordered
        .into_iter()
        .map(|one| Fault {
            number: one.number,
            fault: fault::text(&one.fault),
            left: one.left(),
            struck: one.struck,
            state: fault::state(&one),
        })
        .collect()
}

/// Non-volatile memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What the card was made with.
    pub total: usize,
    /// What is in use.
    pub used: usize,
    /// What is left.
    pub free: usize,
}

/// A card cannot be laid open.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// ISD-R does not answer what it is asked.
    #[error("the card does not answer {function}: {answer}; its image may be damaged, or made by another program")]
    NoAnswer {
        /// What it was asked.
        function: &'static str,
        /// What came.
        answer: String,
    },
}

/// Looks into an image, also that of a card at work; see [`image::read`].
pub fn image(path: &Path) -> Result<Inspection, InspectionError> {
    let (manufacture, memory) = image::read(path)?;
    card(&manufacture, &memory)
}

/// A copy of the card without power, for questions that are to leave no trace: nothing goes wrong with it, and it is gone with its
/// memory. What a change of profile waits for, the next reset, happens to it at its first.
pub fn copy(manufacture: &Manufacture, memory: &MemoryNvm) -> Card {
    let mut memory = memory.clone();
    // What is ordered to go wrong is not to go wrong here.
    let _ = card_os::fault::clear(&mut memory, None);
    // Nothing asked of it needs a secret.
    let (memory, entropy) = (Box::new(memory), Box::new(ChaCha::from_number(0)));
    crate::assemble::card(manufacture, memory, entropy, std::sync::Arc::new(crypto::provider::Deterministic))
}

/// Looks into a card.
pub fn card(manufacture: &Manufacture, memory: &MemoryNvm) -> Result<Inspection, InspectionError> {
    let (card_type, euicc) = match manufacture.card_type {
        CardType::Euicc => ("eUICC", Some(euicc::ask(manufacture, memory)?)),
        CardType::Uicc => ("UICC", None),
    };
    let total = manufacture.profile.non_volatile_memory;
    let used = memory.used();
    Ok(Inspection {
        card_type,
        atr: hexadecimal(&manufacture.profile.atr),
        like: manufacture.like.clone(),
        made_by: manufacture.made_by.clone(),
        made_at: manufacture.made_at,
        memory: Memory { total, used, free: total.saturating_sub(used) },
        euicc,
        faults: faults(memory),
        domains: DomainView::all(memory).iter().map(Domain::of).collect(),
    })
}

fn hexadecimal(octets: &[u8]) -> String {
    use core::fmt::Write;
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a string does not fail.
        let _ = write!(text, "{octet:02X}");
        text
    })
}
