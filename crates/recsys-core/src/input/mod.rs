//! Input from outside: raw files, their lines, other sources of events, event and catalogue parsing, and quarantine for
//! bad lines.
//!
//! Bad input is refused or quarantined with its place and reason, never silently dropped. This module does not judge
//! whether a day is good, and it writes no canonical data.

pub mod catalog;
pub mod event;
pub mod lines;
pub(crate) mod magic;
pub mod quarantine;
pub mod raw;
pub mod source;
pub mod stop;
