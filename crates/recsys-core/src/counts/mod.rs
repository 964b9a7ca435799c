//! Exact integers: what the events of a window hold, before anything is scored, ranked or cut.
//!
//! One table each: items; pairs of items, with the sessions of each item and of all; user × item; user × next item. The limits
//! of what is counted and the rule for sessions that are too large are applied here and nowhere else. Rows are handed on as
//! they are made, on the threads that make them, so that no table need be in memory as a whole; neither the memory budget nor
//! the number of threads shows in them. Nothing here knows what a count is good for.

mod fixed_point;
mod items;
mod last_sessions;
mod pair_store;
mod pairs;
mod sessions;
mod unit_pairs;
mod units;
mod user_items;

#[cfg(test)]
pub(crate) use fixed_point::FULL;
pub(crate) use fixed_point::fixed_point;
pub(crate) use items::items;
pub(crate) use last_sessions::LastSessions;
pub(crate) use pair_store::{PairRow, PairStore, RowBuffer};
pub(crate) use pairs::Pairs;
pub use sessions::Marginals;
pub(crate) use unit_pairs::{Cell, Fading, Measure, RowCounter, UnitPairs};
pub(crate) use units::{Shape, Units};
pub(crate) use user_items::{next_items, user_items};

/// Why nothing was counted: for the reasons that a table cannot be built.
pub use crate::table::events::TableError as CountError;
