//! What comes from outside: raw files, their lines, the events and catalogue rows in them, and the lines that are bad.
//!
//! Bad input is refused or put into quarantine with its place and reason, never dropped in silence. Nothing here decides
//! whether a day is good, or writes canonical data.

pub mod catalog;
pub mod event;
pub mod lines;
pub(crate) mod magic;
pub mod quarantine;
pub mod raw;
pub mod stop;
