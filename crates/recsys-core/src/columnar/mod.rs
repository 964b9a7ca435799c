//! Columns of integers: dictionaries of strings, rows grouped by a key, and what does not fit in memory.
//!
//! The order of ids is the byte order of their strings, so that ties are broken without a look at a string. A memory budget
//! never shows in a result. Nothing here knows what a column means.

pub(crate) mod counter;
pub mod csr;
pub mod dictionary;
pub(crate) mod pair;
pub mod spill;
