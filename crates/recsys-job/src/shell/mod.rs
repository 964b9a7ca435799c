//! Parts that every program shares: flags, exit codes, logs, output, clock, signals.
//!
//! Data goes to standard output, everything else to standard error. A failure is one line and an exit code. Nothing
//! here works on events or artifacts.

pub mod cli;
pub mod clock;
pub(crate) mod error;
pub(crate) mod interrupt;
pub(crate) mod logging;
pub(crate) mod output;
pub(crate) mod run_id;
pub(crate) mod visible;
