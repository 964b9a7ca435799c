//! What every program has: flags, exit codes, logs, output, the clock, signals.
//!
//! Data goes to standard output and everything else to standard error; a failure is one line and an exit code. Nothing here
//! works on events or artifacts.

pub mod cli;
pub mod clock;
pub mod error;
pub(crate) mod interrupt;
pub(crate) mod logging;
pub(crate) mod output;
pub(crate) mod run_id;
pub(crate) mod visible;
