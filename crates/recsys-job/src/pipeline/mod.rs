//! The way from raw events to what is current: ingest, validate, build, stage, publish.
//!
//! `day.rs` names the stages of a day and holds their order: `run` is all of it; each job is a slice of it. Each step ends
//! with one report, which makes its log line, its line for people, its JSON and its metrics. Nothing here reads a flag that
//! is not handed to it, or ends the process.

pub(crate) mod build;
pub(crate) mod catalog;
pub(crate) mod checkpoint;
pub mod context;
pub(crate) mod database;
pub(crate) mod day;
pub(crate) mod day_hashes;
pub(crate) mod ingest;
pub(crate) mod known_scopes;
pub(crate) mod publish;
pub(crate) mod quarantine;
pub(crate) mod refused;
pub(crate) mod run;
pub(crate) mod signals;
pub(crate) mod summary;
pub(crate) mod validate;
