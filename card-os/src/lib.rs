//! The kernel of the emulated card.
