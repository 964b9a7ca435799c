//! Exact integers: what the events of a window hold, before anything is scored, ranked or cut.
//!
//! One table each: items; pairs of items, with the sessions of each item and of all; user × item; user × next item. The limits
//! of what is counted and the rule for sessions that are too large are applied here and nowhere else. Rows are handed on as
//! they are made, on the threads that make them, so that no table need be in memory as a whole; neither the memory budget nor
//! the number of threads shows in them. Nothing here knows what a count is good for.

mod by_user;
mod items;
mod next_items;
mod pairs;
mod sessions;
mod user_items;

pub(crate) use items::items;
pub(crate) use next_items::next_items;
pub(crate) use pairs::Pairs;
pub use sessions::Marginals;
pub(crate) use user_items::user_items;

use crate::domain::class::Class;
use crate::domain::limit::LimitExceeded;
use crate::storage::StoreError;

/// Why nothing was counted.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// The events hold more than the limits allow.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A temporary file cannot be written or read.
    #[error(transparent)]
    Temporary(#[from] StoreError),
}

impl CountError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Limit(_) => Some(Class::Limit),
            Self::Temporary(_) => None,
        }
    }
}
