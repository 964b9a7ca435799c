//! What must be in memory as a whole, and does not fit.

use super::Budget;
use crate::domain::class::class;

/// Something that cannot be put into a temporary file takes more memory than the budget leaves for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} take {bytes} bytes of memory, {max} are for them with resources.memory_bytes at {memory_bytes}; raise \
     resources.memory_bytes if this is expected"
)]
pub struct BudgetExceeded {
    /// What it is, in the plural.
    pub what: String,
    /// What it takes, at least.
    pub bytes: u64,
    /// What it may take.
    pub max: u64,
    /// The whole budget.
    pub memory_bytes: u64,
}

class!(BudgetExceeded => Limit);

/// Something that grows, and the share of the budget that it may take.
#[derive(Debug)]
pub struct Reservation<'a> {
    budget: &'a Budget,
    share: usize,
    what: &'a str,
    bytes: usize,
}

impl<'a> Reservation<'a> {
    pub(super) fn new(budget: &'a Budget, share: usize, what: &'a str) -> Self {
        Self { budget, share, what, bytes: 0 }
    }

    /// Adds what was taken.
    pub fn add(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= self.share {
            return Ok(());
        }
        Err(BudgetExceeded {
            what: self.what.to_owned(),
            bytes: self.bytes as u64,
            max: self.share as u64,
            memory_bytes: self.budget.0.memory_bytes as u64,
        })
    }
}
