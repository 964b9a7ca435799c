//! Byte encodings: canonical JSON, decimals, timestamps, hashes.
//!
//! Equal values give equal bytes on every machine, and bytes that are not well formed are refused. This module reads no
//! files and does not know what documents mean.

pub(crate) mod decimal;
pub mod hash;
pub mod json;
pub mod timestamp;
