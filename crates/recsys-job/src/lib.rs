//! What every binary shares: flags, configuration, logs, the steps of the pipeline, exit codes.
//!
//! A binary names itself and calls [`main`] with one of the functions in [`jobs`]. The rooms stand in the order in which they
//! build on each other: a room imports only from those above it; a test reads the `use` lines and keeps it so.

pub mod config;

pub mod shell;

pub mod watch;

pub mod pipeline;

mod operate;

pub mod jobs;

pub mod commands;

mod entry;

pub use entry::main;
