//! The factory's core: events in, immutable verifiable artifacts out.
//!
//! The rooms stand in the order in which data flows. A room imports only from those above it; a test reads the `use` lines
//! and keeps it so.

pub mod threads;

pub mod encoding;

pub mod domain;

pub mod storage;

pub mod columnar;

pub mod input;

pub mod canonical;

pub mod database;

pub mod table;

pub mod counts;

pub mod score;

pub mod artifact;

pub mod staging;

pub mod gate;

pub mod publish;
