//! A small document that several processes change: read, changed, and written only if nobody was faster.

use std::thread;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use serde::Serialize;

use crate::encoding::json::readable;
use crate::storage::{Commit, Condition, Store, StoreError};

/// The longest pause before another try.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// Changes the document at `key` as `change` says, which is asked again when another process was faster. `read` gets the
/// document and what must hold when it is written; `contended` says that others were faster every time. No pause before
/// another try is longer than `most`.
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
            // The answer to a write may be lost, and its second try refused because of the first.
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
