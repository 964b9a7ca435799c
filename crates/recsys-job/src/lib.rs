//! What every binary shares: flags, configuration, logs, the steps of the pipeline, exit codes.
//!
//! A binary names itself and calls [`main`] with one of the functions in [`jobs`].

pub mod cli;
pub mod clock;
pub mod config;
pub mod context;
pub mod error;
pub mod jobs;

mod checkpoint;
mod database;
mod entry;
mod logging;
mod operate;
mod output;
mod progress;
mod run;
mod steps;

pub use entry::main;
