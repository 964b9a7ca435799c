//! Cooperative cancellation: one flag for the process, polled between blocks of work.
//!
//! A signal concerns the whole process, so there is a single flag. Work on large data polls it once per block of a
//! file or batch of rows and fails with [`Interrupted`]; unfinished results are dropped as after any other failure.
//! Waits for a service use [`or_stop`]. The flag is not polled during a swap.

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
    /// Not of the kind `Interrupted`: readers retry after that.
    fn from(interrupted: Interrupted) -> Self {
        Self::other(interrupted)
    }
}

/// The flag, for the signal handler to set.
pub fn flag() -> &'static Arc<AtomicBool> {
    &FLAG
}

/// Fails when the process was asked to stop.
pub fn check() -> Result<(), Interrupted> {
    if FLAG.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}

/// How long to wait for a service after a stop request; a healthy one answers sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a wait polls the flag.
const LOOK: Duration = Duration::from_millis(100);

/// Waits for a service, but only a moment longer after a stop request. Needs a runtime with a timer.
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
