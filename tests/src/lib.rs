//! What needs more than one crate to be tested.
