//! Does a store honour the conditions of a write?
//!
//! Some servers take a conditional write and ignore the condition. Two publishers would then overwrite each
//! other's manifest and both be told that they succeeded. There is no asking; there is only trying.

use super::{Commit, Condition, Conditions, Store, StoreError};

/// The folder of the documents that are written to try it. A probe that dies leaves one of a few bytes.
const FOLDER: &str = ".probe";

/// Writes that should succeed and are refused are tried again so often: the answer to a first try may have been
/// lost, and the second one refused because of it.
const ATTEMPTS: usize = 3;

/// Writes a document under a name of its own with conditions that hold and conditions that do not, removes
/// it, and says what became of the writes.
pub fn probe(store: &dyn Store) -> Result<Conditions, StoreError> {
    for _ in 0..ATTEMPTS {
        let key = format!("{FOLDER}/{:032x}", fastrand::u128(..));
        let found = match attempt(store, &key) {
            // It does not know what a condition is.
            Err(error) if error.is_unsupported() => return Ok(Conditions::Broken),
            found => found,
        };
        // Whoever publishes need not be allowed to delete; what is left is a few bytes that nothing names.
        let _ = store.remove(&key);
        match found? {
            Conditions::Broken => {}
            conditions => return Ok(conditions),
        }
    }
    Ok(Conditions::Broken)
}

fn attempt(store: &dyn Store, key: &str) -> Result<Conditions, StoreError> {
    let written =
        |condition, bytes: &[u8]| store.put(key, bytes, condition).map(|commit| commit != Commit::Refused);
    let first_is_written = written(Condition::Absent, b"first")?;
    if written(Condition::Absent, b"second")? {
        return Ok(Conditions::Ignored);
    }
    let Some((_, tag)) = store.read_tagged(key)? else { return Ok(Conditions::Broken) };
    let still = || Condition::Still(Some(tag.clone()));
    let third_is_written = written(still(), b"third")?;
    if third_is_written && written(still(), b"fourth")? {
        return Ok(Conditions::Ignored);
    }
    Ok(if first_is_written && third_is_written { Conditions::Honoured } else { Conditions::Broken })
}
