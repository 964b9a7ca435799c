//! Changes a small document that several processes share: read it, change it, write it only if it is still the same.

use std::thread;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use serde::Serialize;

use crate::encoding::json::readable;
use crate::storage::{Commit, Condition, Store, StoreError};

/// The longest pause before another try.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// Applies `change` to the document at `key`, again whenever another process was faster. `read` returns the document
/// and the condition for writing it; `contended` is the error for losing every time. No pause between tries is longer
/// than `most`.
pub(super) fn update<D: Serialize + PartialEq + Clone, T, E: From<StoreError>>(
    store: &dyn Store,
    key: &str,
    most: Duration,
    read: impl Fn() -> Result<(D, Condition), E>,
    contended: impl Fn() -> E,
    mut change: impl FnMut(&mut D) -> Result<T, E>,
) -> Result<T, E> {
    let mut delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(5))
        .with_max_delay(MAX_PAUSE)
        .with_jitter()
        .with_max_times(20)
        .build();
    loop {
        let (before, condition) = read()?;
        let mut after = before.clone();
        let outcome = change(&mut after)?;
        if after == before {
            return Ok(outcome);
        }
        match store.put(key, &readable(&after), condition) {
            Ok(Commit::Written | Commit::Unchanged) => return Ok(outcome),
            // The answer to a write may have been lost, and its retry refused because of the first.
            answer => match (read(), answer) {
                (Ok((now, _)), _) if now == after => return Ok(outcome),
                (_, Err(error)) => return Err(error.into()),
                (read, Ok(_)) => drop(read?),
            },
        }
        let delay = delays.next().ok_or_else(&contended)?;
        thread::sleep(delay.min(most));
    }
}
