//! Logs when a service or another process takes long to answer, once per silence.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};

/// A longer wait is logged.
pub const SILENT_WAIT: Duration = Duration::from_secs(3);

/// Whether the current silence of a service was logged, so that only one of many waiters logs it.
#[derive(Debug, Default)]
pub struct Silence(AtomicBool);

impl Silence {
    /// Waits for an answer of `service`; logs if that takes long and may take at least another second. The caller
    /// guarantees that the wait ends after about `longest`. Needs a runtime with a timer.
    pub async fn watch<T>(&self, service: &str, longest: Duration, answer: impl Future<Output = T>) -> T {
        match select(pin!(answer), pin!(tokio::time::sleep(SILENT_WAIT))).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), answer)) => {
                let goes_on = longest.saturating_sub(SILENT_WAIT) >= Duration::from_secs(1);
                if goes_on && !self.0.swap(true, Ordering::Relaxed) {
                    tell(service, longest);
                }
                answer.await
            }
        }
    }

    /// The service has answered: its next silence will be logged again.
    pub fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn tell(service: &str, longest: Duration) {
    if longest == Duration::MAX {
        tracing::warn!("waiting for an answer of {service}");
    } else {
        let left = longest.saturating_sub(SILENT_WAIT).as_secs();
        tracing::warn!("waiting for an answer of {service}, for {left} s at most");
    }
}
