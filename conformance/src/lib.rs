//! A conformance scoreboard: dialogues with a card as data, written from the specifications.
//!
//! A [`Sheet`] has the rows of one command, in the language of APDU scripts with a few words more (`docs/apdu-scripts.md`,
//! `docs/conformance.md`). Each [`Row`] cites the clause that it rests on and begins with a reset, so rows do not depend on each
//! other. [`play()`] plays one on any card.
//!
//! ```
//! let sheets = conformance::shipped().unwrap();
//! assert!(sheets.iter().map(|sheet| sheet.rows.len()).sum::<usize>() > 700);
//! ```

mod page;
mod play;
mod sheet;
mod shipped;

pub use page::{Line, page};
pub use play::{Difference, Played, Result, play};
pub use sheet::{Row, Sheet, SheetError};
pub use shipped::{CARDS, CardKind, DESCRIPTIONS, Descriptions, SHEETS, card, shipped};
