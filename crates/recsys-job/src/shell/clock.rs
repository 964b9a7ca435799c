//! The only place that knows what time it is.

use jiff::Timestamp;
use recsys_core::domain::window::Day;

use crate::shell::error::JobError;

/// The variable that pins the clock, in seconds since 1970, as reproducible builds have it.
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The time by the system's clock, whatever [`Clock`] says: when a process has run is no part of what it makes.
#[allow(clippy::disallowed_methods, reason = "no document holds it")]
pub(crate) fn wall() -> Timestamp {
    Timestamp::now()
}

/// The time that documents are stamped with.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Option<Timestamp>);

impl Clock {
    /// The system's clock, or the time that `SOURCE_DATE_EPOCH` names.
    pub fn from_env() -> Result<Self, JobError> {
        let Some(text) = std::env::var_os(SOURCE_DATE_EPOCH) else { return Ok(Self(None)) };
        let seconds = text.to_str().and_then(|text| text.parse().ok());
        match seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
            Some(time) => Ok(Self(Some(time))),
            None => Err(JobError::Usage(format!(
                "{SOURCE_DATE_EPOCH} is {}; it must be a number of seconds since 1970",
                text.display()
            ))),
        }
    }

    /// What lies after this lies in the future: a clock that is pinned to the past does not make the present so.
    pub(crate) fn horizon(self) -> Timestamp {
        self.now().max(wall())
    }

    /// Whether a day has begun.
    pub(crate) fn has_begun(self, day: Day) -> bool {
        self.horizon().as_nanosecond() >= i128::from(day.start_ns())
    }

    /// Whether a day has ended.
    pub(crate) fn is_past(self, day: Day) -> bool {
        self.horizon().as_nanosecond() >= i128::from(day.end_ns())
    }

    /// The time, to the microsecond.
    #[allow(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
    pub fn now(self) -> Timestamp {
        let now = self.0.unwrap_or_else(Timestamp::now);
        now.round(jiff::Unit::Microsecond).unwrap_or(now)
    }
}
