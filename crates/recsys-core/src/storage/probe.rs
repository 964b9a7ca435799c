//! Tests whether a store honours the conditions of writes.
//!
//! Some servers accept a conditional write and ignore its condition. Two publishers would then overwrite each other's
//! manifest, and both would report success. A server cannot be asked about this, only tried.

use super::{Commit, Condition, Conditions, Store, StoreError, layout};

/// Tries before a store that refuses good writes counts as broken: the answer to a write may have been lost, and its
/// retry refused because the first one succeeded.
const ATTEMPTS: usize = 3;

/// Writes a document under a unique name with conditions that hold and conditions that do not, removes it, and returns
/// how the store treated the conditions.
pub fn probe(store: &dyn Store) -> Result<Conditions, StoreError> {
    for _ in 0..ATTEMPTS {
        let key = layout::probe(fastrand::u128(..));
        let found = match attempt(store, &key) {
            // The server does not support conditional writes.
            Err(error) if error.is_unsupported() => return Ok(Conditions::Broken),
            found => found,
        };
        // A publisher may lack the permission to delete; the leftover is a few bytes that nothing names.
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
