//! The factory's core: events in, immutable verifiable artifacts out.
//!
//! The modules stand in the order in which data flows: names and days, events and where they come from,
//! canonical data, the in-memory table, the builders, staging, publishing; gates and limits beside them.

pub mod artifact;
mod beginning;
pub mod canonical;
pub mod catalog;
pub mod database;
pub mod dictionary;
pub mod event;
pub mod events;
pub mod gate;
mod groups;
pub mod hash;
pub mod id;
pub mod interrupt;
pub mod json;
pub mod limit;
pub mod lines;
pub mod parallel;
pub mod publish;
pub mod quarantine;
pub mod raw;
pub mod report;
pub mod silence;
pub mod spill;
pub mod staging;
pub mod storage;
pub mod timestamp;
pub mod weights;
pub mod window;
