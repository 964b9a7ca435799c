//! Gates: what a day must look like before anything is built from it, and an artifact before it becomes current.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::window::Day;

/// What a day must look like. Each field is the setting of the same name under `validation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Validation {
    /// The least number of events a day may have. An empty day is suspicious; 0 allows it.
    pub min_events: u64,
    /// What share of a day's lines may break a rule; they are set aside. With 0, the first one stops the job.
    pub max_invalid_ratio: Share,
    /// By how much an artifact may differ from the current one of its kind, as a share of the current one's rows
    /// and of its bytes. Unset, it may differ by any amount.
    pub max_artifact_change: Option<Share>,
}

impl Default for Validation {
    fn default() -> Self {
        Self { min_events: 1, max_invalid_ratio: Share::default(), max_artifact_change: None }
    }
}

/// A part of something, or a multiple of it: 0.5 is half, 2 is twice as much. Never negative, always finite.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// No share is `NaN`.
impl Eq for Share {}

/// A number that is no share.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not a share: it must be a number of 0 or more, such as 0.5 for half")]
pub struct NoShare(f64);

impl TryFrom<f64> for Share {
    type Error = NoShare;

    fn try_from(number: f64) -> Result<Self, NoShare> {
        if number.is_finite() && number >= 0.0 { Ok(Self(number)) } else { Err(NoShare(number)) }
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that was, and is another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// What is counted.
    pub what: &'static str,
    /// How many there were.
    pub before: u64,
    /// How many there are.
    pub after: u64,
}

impl Move {
    /// By what share of what there was it has grown, or shrunk where it is negative. None when there was none.
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    pub fn change(&self) -> Option<f64> {
        (self.before > 0).then(|| (self.after as f64 - self.before as f64) / self.before as f64)
    }

    /// Whether it has changed by more than `most` in either direction. What was nothing may become anything.
    pub fn exceeds(&self, most: Share) -> bool {
        self.change().is_some_and(|change| change.abs() > most.0)
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, before, after } = self;
        write!(f, "{what} from {before} to {after}")?;
        self.change().map_or(Ok(()), |change| write!(f, " ({:+.1} %)", change * 100.0))
    }
}

/// A gate that refused a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The day has too few events.
    #[error(
        "gate min_events refused {day}: {events} events, at least {min_events} expected{found}; \
         if the day is right, lower validation.min_events"
    )]
    MinEvents {
        /// The day.
        day: Day,
        /// The events it has.
        events: u64,
        /// The events it should have at least.
        min_events: u64,
        /// What was found in its place, as ` (…)`, or empty.
        found: String,
    },
    /// There are no raw events any more, but there were when the day was ingested before.
    #[error(
        "gate min_events refused {day}: there are no raw events, and {canonical} would be erased; \
         if that is right, set validation.min_events to 0"
    )]
    Erasure {
        /// The day.
        day: Day,
        /// The canonical file.
        canonical: String,
    },
}

impl Validation {
    /// Judges a day by its canonical events. `found` says what else there was, when that is known.
    pub fn check(&self, day: Day, events: usize, found: Option<String>) -> Result<(), Refused> {
        let (events, min_events) = (events as u64, self.min_events);
        if events < min_events {
            let found = found.map(|found| format!(" ({found})")).unwrap_or_default();
            return Err(Refused::MinEvents { day, events, min_events, found });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(before: u64, after: u64) -> Move {
        Move { what: "items", before, after }
    }

    #[test]
    fn a_change_is_measured_against_what_there_was() {
        let half = Share(0.5);
        for (before, after, exceeds) in [
            (100, 50, false),
            (100, 49, true),
            (100, 150, false),
            (100, 151, true),
            (0, 9, false),
            (2, 0, true),
        ] {
            assert_eq!(moved(before, after).exceeds(half), exceeds, "{before} to {after}");
        }
        assert!(moved(3, 4).exceeds(Share(0.0)) && !moved(3, 3).exceeds(Share(0.0)));
        assert_eq!(moved(1000, 12).to_string(), "items from 1000 to 12 (-98.8 %)");
        assert_eq!(moved(4, 6).to_string(), "items from 4 to 6 (+50.0 %)");
        assert_eq!(moved(0, 6).to_string(), "items from 0 to 6");
    }

    #[test]
    fn a_share_is_a_number_of_zero_or_more() {
        let share = |text: &str| serde_json::from_str::<Share>(text).map_err(|error| error.to_string());
        assert_eq!(share("0.25"), Ok(Share(0.25)));
        assert_eq!(share("3"), Ok(Share(3.0)));
        assert!(share("-0.1").unwrap_err().starts_with("-0.1 is not a share"));
        assert!(share("\"x\"").is_err());
    }
}
