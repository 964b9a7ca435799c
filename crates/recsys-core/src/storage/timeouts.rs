//! Timeouts of requests to services.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long to wait for services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreTimeouts {
    /// Seconds after which a request without an answer fails.
    pub timeout_s: u32,
    /// Seconds during which a failed request is retried.
    pub retry_timeout_s: u32,
    /// Seconds within which a service must first answer an operator's command.
    pub operator_timeout_s: u32,
    /// Time limit for the first answer of a service, if shorter than the usual one.
    #[serde(skip)]
    pub first_answer: Option<Duration>,
}

/// The longest pause before a request is tried again.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(5);

impl StoreTimeouts {
    /// Shortens the waits for an operator at a terminal: the last retry begins before the first answer is overdue.
    #[must_use]
    pub fn for_operator(self) -> Self {
        let most = self.operator_timeout_s.saturating_sub(u32::try_from(MAX_PAUSE.as_secs()).unwrap_or(0));
        let first_answer = Some(Duration::from_secs(self.operator_timeout_s.into()));
        Self { retry_timeout_s: self.retry_timeout_s.min(most), first_answer, ..self }
    }
}

#[cfg(feature = "http")]
impl StoreTimeouts {
    pub(super) fn timeout(self) -> Duration {
        Duration::from_secs(self.timeout_s.into())
    }

    /// The longest time that a request with an answer takes: the time for retries, plus a last try that may wait once
    /// for its connection and once for its answer.
    pub(super) fn longest_request(self) -> Duration {
        2 * self.timeout() + Duration::from_secs(self.retry_timeout_s.into())
    }
}

impl Default for StoreTimeouts {
    fn default() -> Self {
        Self { timeout_s: 30, retry_timeout_s: 60, operator_timeout_s: 15, first_answer: None }
    }
}
