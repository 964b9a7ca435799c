//! Errors in the work on one line that stop the work on all lines.

use crate::input::event::LineFault;
use crate::input::quarantine::ExceededBound;
use crate::storage::StoreError;

/// Why processing one line stops the whole read.
#[derive(Debug)]
pub enum Stop {
    /// The line breaks a rule.
    Fault(LineFault),
    /// A temporary file could not be written; the line is not at fault.
    Temporary(StoreError),
    /// Too many lines have broken a rule already.
    ExceededBound(ExceededBound),
}

impl From<LineFault> for Stop {
    fn from(fault: LineFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Temporary(error)
    }
}
