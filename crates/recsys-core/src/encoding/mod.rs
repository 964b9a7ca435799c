//! The forms that bytes have: canonical JSON, timestamps, hashes.
//!
//! The same value gives the same bytes on every machine. Nothing here reads a file or knows what a document is for.

pub mod hash;
pub mod json;
pub mod timestamp;
