//! The wish that this process stop, and the places where it does.
//!
//! A signal is sent to the process and not to one of its calls, so there is one flag for all of it. What works on much
//! data looks at the flag once for each piece (a block of a file, a batch of rows) and fails with [`Interrupted`];
//! what it had begun is dropped as after any other failure. What waits for a service waits [`or_stop`]. Nothing looks at the flag between the beginning of a swap
//! and its end.

use std::error::Error;
use std::io;
use std::pin::pin;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::{Either, select};

static FLAG: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The process was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl From<Interrupted> for io::Error {
    /// Not of the kind `Interrupted`, after which readers try again.
    fn from(interrupted: Interrupted) -> Self {
        Self::other(interrupted)
    }
}

/// The flag, to be set by whoever handles signals.
pub fn flag() -> &'static Arc<AtomicBool> {
    &FLAG
}

/// Fails when the process was asked to stop.
pub fn check() -> Result<(), Interrupted> {
    if FLAG.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}

/// How long a service is waited for once the process was asked to stop: one that is well answers sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a wait looks at the flag.
const LOOK: Duration = Duration::from_millis(100);

/// Waits for a service, but only a moment longer once the process was asked to stop. Needs the clock of a runtime.
pub async fn or_stop<T>(answer: impl Future<Output = T>) -> Result<T, Interrupted> {
    let stop = async {
        while check().is_ok() {
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(PATIENCE).await;
    };
    match select(pin!(answer), pin!(stop)).await {
        Either::Left((answer, _)) => Ok(answer),
        Either::Right(_) => Err(Interrupted),
    }
}

/// Whether an error is, or was caused by, [`Interrupted`].
pub fn is_cause(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| {
        let io = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        error.is::<Interrupted>() || io.is_some_and(|inner| is_cause(inner))
    })
}
