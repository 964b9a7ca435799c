//! Why a reader failed.

use std::error::Error;
use std::io;

use crate::storage::StoreError;

/// The error of that type that made a reader fail, perhaps of a store.
pub(super) fn cause<E: Error + 'static>(error: &io::Error) -> Option<&E> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| cause(&inner.downcast_ref::<StoreError>()?.source))
}
