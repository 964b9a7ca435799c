//! The silence of a service or another process: after a while it is told who is waited for, and for how long still.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};

/// A wait longer than this is told.
pub const SILENT_WAIT: Duration = Duration::from_secs(3);

/// Whether the silence of a service was told, so that of many that wait for it only one tells it.
#[derive(Debug, Default)]
pub struct Silence(AtomicBool);

impl Silence {
    /// Waits for the answer of `service`, which comes within about `longest` or never, and tells it when that takes long and
    /// goes on. Needs the clock of a runtime.
    pub async fn told<T>(&self, service: &str, longest: Duration, answer: impl Future<Output = T>) -> T {
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

    /// Notes that the service has answered: its next silence is told again.
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
