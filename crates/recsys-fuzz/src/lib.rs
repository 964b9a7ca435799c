//! For tests only: what each fuzz target checks of the bytes it is given.
//!
//! A check takes any bytes and returns when all is well; a panic is a finding. The programs in `fuzz/` give it
//! bytes that a fuzzer makes up, and a test of this crate those that are kept in `testdata/fuzz/`.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a finding")]

mod canonical_json;
mod catalog;
mod documents;
mod event;

pub use canonical_json::canonical_json;
pub use catalog::catalog;
pub use documents::documents;
pub use event::event;

/// What a target checks.
pub type Check = fn(&[u8]);

/// Every target, by the name of its program and of its folder below `testdata/fuzz/`.
pub const TARGETS: &[(&str, Check)] =
    &[("event", event), ("catalog", catalog), ("documents", documents), ("canonical_json", canonical_json)];
