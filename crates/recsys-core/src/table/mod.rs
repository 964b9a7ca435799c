//! The events of a window in memory, as columns.
//!
//! Events are parsed once, and all counts are made from this table. This module does not count, nor does it know
//! artifacts.

pub mod events;
