//! The host LPA.
