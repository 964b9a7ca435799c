//! The steps that jobs and `run` are made of. Each returns a report that can be printed or serialized.

pub(crate) mod build;
pub(crate) mod catalog;
pub(crate) mod day_hashes;
pub(crate) mod ingest;
pub(crate) mod met;
pub(crate) mod outcomes;
pub(crate) mod publish;
pub(crate) mod quarantine;
pub(crate) mod refused;
pub(crate) mod signals;
pub(crate) mod validate;
