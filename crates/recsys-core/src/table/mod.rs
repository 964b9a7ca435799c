//! The days of a window in memory, and their events as columns.
//!
//! Events are parsed once, and all counts are made from one table. [`WindowCache`] keeps days from one window to the next, as
//! far as the memory budget allows. [`SourceHashes`] say which canonical bytes a window is built from. This module neither
//! counts nor knows artifacts, and does not know where the memory budget and the list of streams come from.

mod basis;
pub mod events;
mod source_hash;
mod window_cache;
mod window_days;

pub use basis::BasisTable;
pub(crate) use basis::UnitEvent;
pub use source_hash::{SourceHash, SourceHashes};
pub use window_cache::WindowCache;
pub use window_days::WindowDays;
