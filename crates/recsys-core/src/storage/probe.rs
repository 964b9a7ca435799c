//! Does a store honour the conditions of a write?
//!
//! Some servers take a conditional write and ignore the condition. Two publishers would then overwrite each
//! other's manifest and both be told that they succeeded. There is no asking; there is only trying.

use super::{Commit, Condition, Store, StoreError};

/// The folder of the documents that are written to try it. A probe that dies leaves one of a few bytes.
pub(crate) const FOLDER: &str = ".probe";

/// Writes a document under a name of its own with conditions that hold and conditions that do not, removes
/// it, and says whether each write did what it should.
pub fn probe(store: &dyn Store) -> Result<bool, StoreError> {
    let key = format!("{FOLDER}/{:032x}", fastrand::u128(..));
    let honoured = attempt(store, &key);
    let removed = store.remove(&key);
    let honoured = honoured?;
    removed?;
    Ok(honoured)
}

fn attempt(store: &dyn Store, key: &str) -> Result<bool, StoreError> {
    let written =
        |condition, bytes: &[u8]| store.put(key, bytes, condition).map(|commit| commit != Commit::Refused);
    if !written(Condition::Absent, b"first")? || written(Condition::Absent, b"second")? {
        return Ok(false);
    }
    let Some((_, first)) = store.read_tagged(key)? else { return Ok(false) };
    let first = || Condition::Still(Some(first.clone()));
    Ok(written(first(), b"third")? && !written(first(), b"fourth")?)
}
