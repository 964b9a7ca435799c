//! Gates: conditions that a day must meet before anything is built from it, and the report of the results.
//!
//! A gate that is not set lets everything pass; one that refuses names its setting and the figures. The same day always
//! gets the same verdict. Gates move and remove no data: the caller decides what happens to a refused day.

pub mod day_report;
mod largest_share;
mod volume;

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

pub use largest_share::LargestShare;
pub use volume::{DayCounts, Medians, Past};

use crate::canonical::DayRows;
use crate::columnar::spill::Budget;
use crate::domain::class::class;
use crate::domain::limit::Limits;
use crate::domain::share::{Fraction, Share};
use crate::domain::weights::Weights;
use crate::domain::window::Day;
use crate::table::events::{EventTable, TableError};

/// Conditions on a day and its artifacts. Each field is the setting of the same name under `validation`; a gate that is
/// not set lets everything pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Validation {
    /// Minimum number of events of a day. An empty day is suspicious; 0 allows it.
    pub min_events: u64,
    /// Maximum share of a day's lines that may break a rule; they are set aside. With 0, the first one stops the job.
    pub max_invalid_ratio: Fraction,
    /// Maximum bytes of lines set aside, as the quarantine file has them. With more, the day is refused.
    pub max_quarantine_bytes: u64,
    /// Maximum share by which a day's events, sessions, items and users may each fall below their median of the days
    /// before.
    pub max_volume_drop: Option<Fraction>,
    /// Maximum share by which they may each rise above it.
    pub max_volume_spike: Option<Share>,
    /// Number of days before a day over which medians are taken. With fewer than half of them, volume is not judged.
    pub lookback_days: u32,
    /// Maximum share of repeated deliveries among the events delivered.
    pub max_duplicate_share: Option<Fraction>,
    /// Maximum share of events without a user.
    pub max_guest_share: Option<Fraction>,
    /// Maximum number of events of a session.
    pub max_session_events: Option<u64>,
    /// Maximum share of events of other days in a day's own files.
    pub max_outside_share: Option<Fraction>,
    /// Maximum share of one user, or one session, in the events of any of the day's `top_items`.
    pub max_share_of_one: Option<Fraction>,
    /// Maximum difference of an artifact from the current one of its kind, as a share of that one's rows and of its
    /// bytes.
    pub max_artifact_change: Option<Share>,
    /// Maximum share of an artifact's `top_items` that may differ from those of the current one of its kind.
    pub max_top_change: Option<Fraction>,
    /// Number of items that count as the top of a day or an artifact.
    pub top_items: NonZeroU32,
    /// What happens to a window that contains a refused day.
    pub on_refused_day: OnRefusedDay,
}

impl Validation {
    /// Upper bound of `lookback_days`: each day costs a look at its report.
    pub const MAX_LOOKBACK_DAYS: u32 = 366;
}

/// What happens to a window that contains a refused day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRefusedDay {
    /// Nothing is built from it.
    #[default]
    Refuse,
    /// It is built without the refused days, unless its newest day is one of them.
    Exclude,
}

impl Default for Validation {
    fn default() -> Self {
        Self {
            min_events: 1,
            max_invalid_ratio: Fraction::default(),
            max_quarantine_bytes: 256 << 20,
            max_volume_drop: None,
            max_volume_spike: None,
            lookback_days: 7,
            max_duplicate_share: None,
            max_guest_share: None,
            max_session_events: None,
            max_outside_share: None,
            max_share_of_one: None,
            max_artifact_change: None,
            max_top_change: None,
            top_items: NonZeroU32::new(20).unwrap_or(NonZeroU32::MIN),
            on_refused_day: OnRefusedDay::default(),
        }
    }
}

/// The gates of a day, each named after its setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The day has enough events.
    MinEvents,
    /// No count falls too far below its median of the days before.
    MaxVolumeDrop,
    /// No count rises too far above it.
    MaxVolumeSpike,
    /// Few events are repeated deliveries.
    MaxDuplicateShare,
    /// Few events have no user.
    MaxGuestShare,
    /// No session has too many events.
    MaxSessionEvents,
    /// Few events in the day's own files are of other days.
    MaxOutsideShare,
    /// No top item owes too many of its events to one user or session.
    MaxShareOfOne,
}

impl Gate {
    /// The name of the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MinEvents => "min_events",
            Self::MaxVolumeDrop => "max_volume_drop",
            Self::MaxVolumeSpike => "max_volume_spike",
            Self::MaxDuplicateShare => "max_duplicate_share",
            Self::MaxGuestShare => "max_guest_share",
            Self::MaxSessionEvents => "max_session_events",
            Self::MaxOutsideShare => "max_outside_share",
            Self::MaxShareOfOne => "max_share_of_one",
        }
    }
}

/// The figure that a gate looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Number of events.
    Events,
    /// Number of distinct sessions.
    Sessions,
    /// Number of distinct items.
    Items,
    /// Number of distinct users.
    Users,
    /// Share of repeated deliveries in all that was delivered.
    DuplicateShare,
    /// Share of events without a user.
    GuestShare,
    /// Number of events of the largest session.
    LargestSession,
    /// Share of events of other days in the day's own files.
    OutsideShare,
    /// Share of one user in the events of an item.
    ShareOfOneUser,
    /// Share of one session in the events of an item.
    ShareOfOneSession,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events => "events",
            Self::Sessions => "sessions",
            Self::Items => "items",
            Self::Users => "users",
            Self::DuplicateShare => "share of duplicates",
            Self::GuestShare => "share of guests",
            Self::LargestSession => "events of the largest session",
            Self::OutsideShare => "share of other days",
            Self::ShareOfOneUser => "share of one user",
            Self::ShareOfOneSession => "share of one session",
        })
    }
}

/// A count or a share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// A number of things.
    Count(u64),
    /// A part of the whole, where 1 is all of it.
    Share(f64),
}

impl<S: Into<f64>> From<S> for Number {
    fn from(share: S) -> Self {
        Self::Share(share.into())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Share(share) => write!(f, "{share:.4}"),
        }
    }
}

/// The result of one gate for one figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The gate that was applied.
    pub gate: Gate,
    /// The figure it looked at.
    pub of: Subject,
    /// The item, if the figure is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The value of the figure.
    pub value: Number,
    /// The median of the days before, if the gate compares with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// The limit that is set.
    pub allowed: Number,
    /// Whether the value is within the limit.
    pub passed: bool,
}

impl Check {
    fn new(gate: Gate, of: Subject, value: Number, allowed: Number, passed: bool) -> Self {
        Self { gate, of, item: None, value, median: None, allowed, passed }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate, of, item, value, median, allowed, .. } = self;
        let of = match item {
            Some(item) => format!("{of} in the events of {item:?}"),
            None => of.to_string(),
        };
        match median {
            Some(median) => {
                write!(f, "{of} {value} against a median of {median}, {} allows {allowed}", gate.as_str())
            }
            None => write!(f, "{of} {value}, {} allows {allowed}", gate.as_str()),
        }
    }
}

/// A gate that refused a day.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The day has too few events.
    #[error(
        "gate min_events refused {day}: {events} events, at least {min_events} expected{found}; \
         if the day is right, accept it by `job_validate --accept REASON` or lower validation.min_events"
    )]
    MinEvents {
        /// The refused day.
        day: Day,
        /// Number of events it has.
        events: u64,
        /// Minimum number of events.
        min_events: u64,
        /// What was found instead, as ` (…)`, or empty.
        found: String,
    },
    /// Gates other than `min_events` refused the day.
    #[error(
        "gates refused {day}: {}{found}; if the day is right, accept it by `job_validate --accept REASON` or change these \
         settings under validation",
        .failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Day {
        /// The refused day.
        day: Day,
        /// The checks that did not pass.
        failed: Vec<Check>,
        /// What else was found, as ` (…)`, or empty.
        found: String,
    },
    /// There are no raw events any more, although the day had some when it was last ingested.
    #[error(
        "gate min_events refused {day}: there are no raw events, and {canonical} would be erased; \
         if that is right, set validation.min_events to 0"
    )]
    Erasure {
        /// The refused day.
        day: Day,
        /// Name of the canonical file that would be erased.
        canonical: String,
    },
}

class!(Refused => Refused);

/// Events that were delivered but are not in the canonical data of a day; `None` if not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Number of repeated deliveries.
    pub duplicates: Option<u64>,
    /// Number of events of other days in the day's own files.
    pub outside: Option<u64>,
}

/// The figures of a day that gates look at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Counts of its canonical data.
    pub counts: DayCounts,
    /// Events that were dropped from it.
    pub dropped: Dropped,
    /// The largest share of one user, and of one session, in a top item; empty if no gate needs them.
    pub top_shares: Vec<LargestShare>,
}

impl Validation {
    /// Takes the figures of a day's events. Outcomes count if they have weights.
    pub fn figures(
        &self,
        (exposures, outcomes): (&DayRows, Option<&DayRows>),
        dropped: Dropped,
        weights: Weights,
        limits: &Limits,
        budget: &Budget,
    ) -> Result<Figures, TableError> {
        let top_shares = match self.max_share_of_one {
            Some(_) => {
                let table = EventTable::of_day(weights, exposures, outcomes, limits)?;
                LargestShare::in_top_items(&table, self.top_items.get(), budget)?
            }
            None => Vec::new(),
        };
        Ok(Figures { counts: DayCounts::of(exposures)?, dropped, top_shares })
    }

    /// Compares the figures of a day with the settings and with its past.
    pub fn judge(&self, found: &Figures, past: &Past) -> Vec<Check> {
        let Figures { counts, dropped: Dropped { duplicates, outside }, top_shares } = found;
        let mut checks = vec![Check::new(
            Gate::MinEvents,
            Subject::Events,
            Number::Count(counts.events),
            Number::Count(self.min_events),
            counts.events >= self.min_events,
        )];
        checks.extend(self.volume_checks(counts, past));
        let mut share = |gate, of, most: Option<Fraction>, part: Option<u64>, all: u64| {
            let (Some(most), Some(few), true) = (most, part, all > 0) else { return };
            #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
            let share = few as f64 / all as f64;
            checks.push(Check::new(gate, of, Number::Share(share), most.into(), share <= f64::from(most)));
        };
        let delivered = counts.events + duplicates.unwrap_or(0);
        let most = self.max_duplicate_share;
        share(Gate::MaxDuplicateShare, Subject::DuplicateShare, most, *duplicates, delivered);
        let read = delivered + outside.unwrap_or(0);
        share(Gate::MaxOutsideShare, Subject::OutsideShare, self.max_outside_share, *outside, read);
        let guests = Some(counts.guest_events);
        share(Gate::MaxGuestShare, Subject::GuestShare, self.max_guest_share, guests, counts.events);
        checks.extend(self.max_session_events.map(|most| {
            let largest = counts.largest_session;
            let (value, allowed) = (Number::Count(largest), Number::Count(most));
            Check::new(Gate::MaxSessionEvents, Subject::LargestSession, value, allowed, largest <= most)
        }));
        checks.extend(top_shares.iter().zip(self.max_share_of_one.into_iter().cycle()).map(|(one, most)| {
            let (value, passed) = (Number::Share(one.share), one.share <= f64::from(most));
            let found = Check::new(Gate::MaxShareOfOne, one.of, value, most.into(), passed);
            Check { item: Some(one.item.clone()), ..found }
        }));
        checks
    }

    /// Refuses a day if any check failed. `found` says what else was found, if that is known.
    pub fn verdict(&self, day: Day, checks: &[Check], found: Option<String>) -> Result<(), Refused> {
        let found = found.map(|found| format!(" ({found})")).unwrap_or_default();
        let failed: Vec<&Check> = checks.iter().filter(|check| !check.passed).collect();
        match failed[..] {
            [] => Ok(()),
            [Check { gate: Gate::MinEvents, value: Number::Count(events), .. }, ..] => {
                Err(Refused::MinEvents { day, events: *events, min_events: self.min_events, found })
            }
            _ => Err(Refused::Day { day, failed: failed.into_iter().cloned().collect(), found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(number: f64) -> Share {
        number.try_into().unwrap()
    }

    fn part(number: f64) -> Fraction {
        number.try_into().unwrap()
    }

    fn past(events: u64) -> Past {
        let counts =
            DayCounts { events, sessions: 50, items: 20, users: 0, guest_events: 0, largest_session: 0 };
        let first: Day = "2026-01-01".parse().unwrap();
        let days: Vec<_> = (0..7).map(|day| (first.plus(day).unwrap(), counts)).collect();
        Past::new(&days, 7)
    }

    const DAY: DayCounts =
        DayCounts { events: 100, sessions: 50, items: 20, users: 9, guest_events: 30, largest_session: 12 };

    fn found(counts: DayCounts, duplicates: Option<u64>) -> Figures {
        Figures { counts, dropped: Dropped { duplicates, outside: None }, top_shares: Vec::new() }
    }

    fn failed(validation: &Validation, duplicates: Option<u64>, past: &Past) -> Vec<(Gate, Subject)> {
        let checks = validation.judge(&found(DAY, duplicates), past);
        checks.into_iter().filter(|check| !check.passed).map(|check| (check.gate, check.of)).collect()
    }

    #[test]
    fn a_day_is_compared_with_the_median_in_both_directions() {
        let validation = Validation {
            max_volume_drop: Some(part(0.5)),
            max_volume_spike: Some(share(1.0)),
            ..Validation::default()
        };
        for (before, expected) in [
            (100, vec![]),
            (200, vec![]),
            (201, vec![(Gate::MaxVolumeDrop, Subject::Events)]),
            (50, vec![]),
            (49, vec![(Gate::MaxVolumeSpike, Subject::Events)]),
            // A median of 0 lets any value pass, as for the users here.
            (0, vec![]),
        ] {
            assert_eq!(failed(&validation, None, &past(before)), expected, "{before}");
        }
        // Too few days are known.
        let short = Past { sufficient: false, ..past(100_000) };
        assert_eq!(failed(&validation, None, &short), []);
        assert_eq!(failed(&Validation::default(), None, &past(100_000)), []);
    }

    #[test]
    fn duplicates_guests_and_giant_sessions_are_gated_where_that_is_set() {
        let validation = Validation {
            max_duplicate_share: Some(part(0.2)),
            max_guest_share: Some(part(0.3)),
            max_session_events: Some(12),
            ..Validation::default()
        };
        // 25 of 125 delivered events; 30 of 100 events.
        assert_eq!(failed(&validation, Some(25), &Past::default()), []);
        assert_eq!(failed(&validation, None, &Past::default()), []);
        assert_eq!(
            failed(&validation, Some(26), &Past::default()),
            [(Gate::MaxDuplicateShare, Subject::DuplicateShare)]
        );
        let stricter = Validation {
            max_guest_share: Some(part(0.29)),
            max_session_events: Some(11),
            ..Validation::default()
        };
        assert_eq!(
            failed(&stricter, None, &Past::default()),
            [(Gate::MaxGuestShare, Subject::GuestShare), (Gate::MaxSessionEvents, Subject::LargestSession)]
        );
    }

    #[test]
    fn a_refusal_names_every_gate_with_its_figures() {
        let validation = Validation {
            max_volume_drop: Some(part(0.5)),
            max_session_events: Some(3),
            ..Validation::default()
        };
        let checks = validation.judge(&found(DAY, None), &past(1000));
        let day = "2026-01-08".parse().unwrap();
        let refused = validation.verdict(day, &checks, Some("what was read".to_owned())).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "gates refused 2026-01-08: events 100 against a median of 1000, max_volume_drop allows 0.5000; events of \
             the largest session 12, max_session_events allows 3 (what was read); if the day is right, accept it by \
             `job_validate --accept REASON` or change these settings under validation"
        );
        let empty = validation.judge(&Figures::default(), &past(1000));
        let refused = validation.verdict(day, &empty, None).unwrap_err();
        assert!(refused.to_string().starts_with("gate min_events refused 2026-01-08: 0 events"), "{refused}");
    }
}
