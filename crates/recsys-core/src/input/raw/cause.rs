//! Finds the typed cause of a read error.

use std::error::Error;
use std::io;

use crate::storage::StoreError;

/// The cause of type `E`, directly in `error` or below a [`StoreError`].
pub(super) fn cause<E: Error + 'static>(error: &io::Error) -> Option<&E> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| cause(&inner.downcast_ref::<StoreError>()?.source))
}
