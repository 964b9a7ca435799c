//! What every binary shares: flags, configuration, logs, the steps of the pipeline, exit codes.
//!
//! A binary names itself and calls [`main`] with one of the functions in [`jobs`].

pub mod cli;
pub mod clock;
pub mod config;
pub mod context;
pub mod error;
pub mod jobs;
pub mod metrics;

mod checkpoint;
mod database;
mod entry;
mod failure_note;
mod interrupt;
mod logging;
mod notify;
mod operate;
mod output;
mod post;
mod progress;
mod run;
mod run_id;
mod step;
mod steps;
mod visible;

pub use entry::main;
