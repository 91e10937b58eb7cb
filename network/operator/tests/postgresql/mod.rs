//! Wherever a database can be.

#![allow(unused_imports, reason = "each test uses what it needs")]

pub(crate) use database::place::{Place, on_each_database};
