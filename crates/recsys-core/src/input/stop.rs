//! Why the work on a line ends the work on all.

use crate::input::event::Fault;
use crate::input::quarantine::Hopeless;
use crate::storage::StoreError;

/// Why the work on a line stops all work.
#[derive(Debug)]
pub enum Stop {
    /// The line breaks a rule.
    Fault(Fault),
    /// What the lines hold could not be put aside, which is not the line's fault.
    Temporary(StoreError),
    /// Too many lines break a rule already.
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
