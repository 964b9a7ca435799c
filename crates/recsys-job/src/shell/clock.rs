//! The only place that reads the time.

use jiff::Timestamp;
use recsys_core::domain::window::Day;

use crate::shell::error::JobError;

/// Environment variable that pins the clock: seconds since 1970, as in reproducible builds.
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// System time, ignoring a pinned [`Clock`]: for values that no document stores.
#[allow(clippy::disallowed_methods, reason = "no document holds it")]
pub(crate) fn wall() -> Timestamp {
    Timestamp::now()
}

/// The time stamped into documents.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Option<Timestamp>);

impl Clock {
    /// The system clock, or the time in `SOURCE_DATE_EPOCH`.
    pub fn from_env() -> anyhow::Result<Self> {
        let Some(text) = std::env::var_os(SOURCE_DATE_EPOCH) else { return Ok(Self(None)) };
        let seconds = text.to_str().and_then(|text| text.parse().ok());
        match seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
            Some(time) => Ok(Self(Some(time))),
            None => Err(JobError::Usage(format!(
                "{SOURCE_DATE_EPOCH} is {}; it must be a number of seconds since 1970",
                text.display()
            ))
            .into()),
        }
    }

    /// The later of the clock and the system time. Only what lies after it is in the future, so a clock pinned to the
    /// past does not put the present there.
    pub(crate) fn horizon(self) -> Timestamp {
        self.now().max(wall())
    }

    /// Whether a day has begun, by [`Self::horizon`].
    pub(crate) fn has_begun(self, day: Day) -> bool {
        self.horizon().as_nanosecond() >= i128::from(day.start_ns())
    }

    /// Whether a day has ended, by [`Self::horizon`].
    pub(crate) fn is_past(self, day: Day) -> bool {
        self.horizon().as_nanosecond() >= i128::from(day.end_ns())
    }

    /// The time, rounded to microseconds.
    #[allow(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
    pub fn now(self) -> Timestamp {
        let now = self.0.unwrap_or_else(Timestamp::now);
        now.round(jiff::Unit::Microsecond).unwrap_or(now)
    }
}
