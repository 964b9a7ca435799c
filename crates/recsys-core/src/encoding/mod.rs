//! Byte encodings: canonical JSON, timestamps, hashes.
//!
//! Equal values give equal bytes on every machine. This module reads no files and does not know what documents mean.

pub mod hash;
pub mod json;
pub mod timestamp;
