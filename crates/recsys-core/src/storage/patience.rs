//! How long services are waited for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long to wait for services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patience {
    /// Seconds after which a request without an answer has failed.
    pub timeout_s: u32,
    /// Seconds for which a request that fails is tried again.
    pub retry_timeout_s: u32,
    /// Seconds within which a service must answer the first request of an operator's command.
    pub operator_timeout_s: u32,
}

/// The longest pause before a request is tried again.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(5);

impl Patience {
    /// The patience of somebody who looks at a terminal: the last try of a request ends before the first answer is overdue.
    #[must_use]
    pub fn of_operator(self) -> Self {
        let most = self.operator_timeout_s.saturating_sub(u32::try_from(MAX_PAUSE.as_secs()).unwrap_or(0));
        Self { retry_timeout_s: self.retry_timeout_s.min(most), ..self }
    }
}

#[cfg(feature = "http")]
impl Patience {
    pub(super) fn timeout(self) -> Duration {
        Duration::from_secs(self.timeout_s.into())
    }

    /// The longest that a request takes which is answered at all: it is tried again for so long, and the last try may
    /// wait once for its connection and once for its answer.
    pub(super) fn of_request(self) -> Duration {
        2 * self.timeout() + Duration::from_secs(self.retry_timeout_s.into())
    }

    /// The time over which the speed of an answer is judged.
    pub(super) fn of_answer(self) -> Duration {
        2 * self.timeout()
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { timeout_s: 30, retry_timeout_s: 60, operator_timeout_s: 15 }
    }
}
