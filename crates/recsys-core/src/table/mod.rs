//! The events of a window in memory, as columns.
//!
//! They are parsed once, and every count is made from them. Nothing here counts, or knows of artifacts.

pub mod events;
