//! The applications of the card.
