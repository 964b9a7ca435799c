//! Errors in the work on one line that stop the work on all lines.

use crate::input::event::Fault;
use crate::input::quarantine::Hopeless;
use crate::storage::StoreError;

/// Why processing one line stops the whole read.
#[derive(Debug)]
pub enum Stop {
    /// The line breaks a rule.
    Fault(Fault),
    /// A temporary file could not be written; the line is not at fault.
    Temporary(StoreError),
    /// Too many lines have broken a rule already.
    Hopeless(Hopeless),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Temporary(error)
    }
}
