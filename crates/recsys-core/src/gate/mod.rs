//! Gates: what a day must look like before anything is built from it, and the report that keeps what was found.
//!
//! A gate that is not set lets everything through; one that refuses names its setting and the figures. The same day gives
//! the same verdict. Nothing here moves or removes data: what becomes of a refused day is up to the caller.

pub mod day_report;
mod of_one;
mod volume;

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

pub use of_one::OfOne;
pub use volume::{DayCounts, Medians, Past};

use crate::canonical::DayRows;
use crate::columnar::spill::Budget;
use crate::domain::limit::Limits;
use crate::domain::share::{Fraction, Share};
use crate::domain::weights::Weights;
use crate::domain::window::Day;
use crate::table::events::{EventTable, TableError};

/// What a day must look like. Each field is the setting of the same name under `validation`; a gate that is not set
/// lets everything through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Validation {
    /// The least number of events a day may have. An empty day is suspicious; 0 allows it.
    pub min_events: u64,
    /// What share of a day's lines may break a rule; they are set aside. With 0, the first one stops the job.
    pub max_invalid_ratio: Fraction,
    /// How many bytes the lines that are set aside may take, as the quarantine file has them. With more, the day is refused.
    pub max_quarantine_bytes: u64,
    /// By what share the events, sessions, items and users of a day may each fall below their median of the days before.
    pub max_volume_drop: Option<Fraction>,
    /// By what share they may each rise above it.
    pub max_volume_spike: Option<Share>,
    /// How many days before a day its median is taken of. With fewer than half of them, volume is not judged.
    pub lookback_days: u32,
    /// What share of the events that were delivered may be repeated deliveries.
    pub max_duplicate_share: Option<Fraction>,
    /// What share of the events may be of no user.
    pub max_guest_share: Option<Fraction>,
    /// How many events a session may have.
    pub max_session_events: Option<u64>,
    /// What share of the events in a day's own files may be of other days.
    pub max_outside_share: Option<Fraction>,
    /// What share of an item's events may be of one user, or of one session, among the `top_items` of a day.
    pub max_share_of_one: Option<Fraction>,
    /// By how much an artifact may differ from the current one of its kind, as a share of the current one's rows
    /// and of its bytes.
    pub max_artifact_change: Option<Share>,
    /// What share of the `top_items` of an artifact may be others than those of the current one of its kind.
    pub max_top_change: Option<Fraction>,
    /// How many items are the top of a day or an artifact.
    pub top_items: NonZeroU32,
    /// What becomes of a window that holds a day which a gate has refused.
    pub on_refused_day: OnRefusedDay,
}

impl Validation {
    /// No gate looks further back: each day costs a look at its report.
    pub const MAX_LOOKBACK_DAYS: u32 = 366;
}

/// What becomes of a window that holds a refused day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRefusedDay {
    /// Nothing is built from it.
    #[default]
    Refuse,
    /// It is built without what was refused, unless that is its newest day.
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

/// The gates of a day. Each is named as the setting that it is set by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Enough events.
    MinEvents,
    /// No fall below the median of the days before.
    MaxVolumeDrop,
    /// No rise above it.
    MaxVolumeSpike,
    /// Few repeated deliveries.
    MaxDuplicateShare,
    /// Few events without a user.
    MaxGuestShare,
    /// No giant session.
    MaxSessionEvents,
    /// Few events of other days.
    MaxOutsideShare,
    /// No item that lives by one user or session.
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

/// What a gate looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Events.
    Events,
    /// Distinct sessions.
    Sessions,
    /// Distinct items.
    Items,
    /// Distinct users.
    Users,
    /// Repeated deliveries among all that was delivered.
    DuplicateShare,
    /// Events without a user among all.
    GuestShare,
    /// Events of the session that has most.
    LargestSession,
    /// Events of other days among all that the day's files hold.
    OutsideShare,
    /// Events of one user among those of an item.
    ShareOfOneUser,
    /// Events of one session among those of an item.
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

/// A number or a share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// How many.
    Count(u64),
    /// What part of all.
    Share(f64),
}

impl From<Share> for Number {
    fn from(share: Share) -> Self {
        Self::Share(share.into())
    }
}

impl From<Fraction> for Number {
    fn from(fraction: Fraction) -> Self {
        Self::Share(fraction.into())
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

/// What a gate has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The gate.
    pub gate: Gate,
    /// What it has looked at.
    pub of: Subject,
    /// The item, where it has looked at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// What was found.
    pub value: Number,
    /// The median of the days before, where the gate compares with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// The setting.
    pub allowed: Number,
    /// Whether the day may go on.
    pub passed: bool,
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
        /// The day.
        day: Day,
        /// The events it has.
        events: u64,
        /// The events it should have at least.
        min_events: u64,
        /// What was found in its place, as ` (…)`, or empty.
        found: String,
    },
    /// Gates beyond the number of events.
    #[error(
        "gates refused {day}: {}{found}; if the day is right, accept it by `job_validate --accept REASON` or change these \
         settings under validation",
        .failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Day {
        /// The day.
        day: Day,
        /// What did not pass.
        failed: Vec<Check>,
        /// What was found besides, as ` (…)`, or empty.
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

/// What was delivered and is not in the canonical data of a day, where that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Repeated deliveries.
    pub duplicates: Option<u64>,
    /// Events of other days in the day's own files.
    pub outside: Option<u64>,
}

/// A day as it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Delivered<'a> {
    /// Its exposures.
    pub exposures: &'a DayRows,
    /// Its outcomes, if there are any.
    pub outcomes: Option<&'a DayRows>,
    /// What was left out of it.
    pub dropped: Dropped,
    /// What each event counts.
    pub weights: Weights,
    /// What it may hold.
    pub limits: &'a Limits,
}

/// What there is of a day, as far as gates look at it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// In its canonical data.
    pub counts: DayCounts,
    /// Not in it any more.
    pub dropped: Dropped,
    /// How much one user or session makes of an item; empty where no gate asks for it.
    pub of_one: Vec<OfOne>,
}

impl Validation {
    /// Looks at a day's events, from which `dropped` were left out. Outcomes count where they have weights.
    pub fn look(&self, day: Delivered<'_>, budget: &Budget) -> Result<Found, TableError> {
        let Delivered { exposures, outcomes, dropped, weights, limits } = day;
        let of_one = match self.max_share_of_one {
            Some(_) => {
                let table = EventTable::of_day(weights, exposures, outcomes, limits)?;
                OfOne::in_top_items(&table, self.top_items.get(), budget)?
            }
            None => Vec::new(),
        };
        Ok(Found { counts: DayCounts::of(exposures)?, dropped, of_one })
    }

    /// Judges a day.
    pub fn judge(&self, found: &Found, past: &Past) -> Vec<Check> {
        let Found { counts, dropped: Dropped { duplicates, outside }, of_one } = found;
        let check = |gate, of, value, allowed, passed| Check {
            gate,
            of,
            item: None,
            value,
            median: None,
            allowed,
            passed,
        };
        let mut checks = vec![check(
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
            checks.push(check(gate, of, Number::Share(share), most.into(), share <= f64::from(most)));
        };
        let delivered = counts.events + duplicates.unwrap_or(0);
        share(
            Gate::MaxDuplicateShare,
            Subject::DuplicateShare,
            self.max_duplicate_share,
            *duplicates,
            delivered,
        );
        let read = delivered + outside.unwrap_or(0);
        share(Gate::MaxOutsideShare, Subject::OutsideShare, self.max_outside_share, *outside, read);
        let guests = Some(counts.guest_events);
        share(Gate::MaxGuestShare, Subject::GuestShare, self.max_guest_share, guests, counts.events);
        checks.extend(self.max_session_events.map(|most| {
            let largest = counts.largest_session;
            let (value, allowed) = (Number::Count(largest), Number::Count(most));
            check(Gate::MaxSessionEvents, Subject::LargestSession, value, allowed, largest <= most)
        }));
        checks.extend(of_one.iter().zip(self.max_share_of_one.into_iter().cycle()).map(|(one, most)| {
            let (value, passed) = (Number::Share(one.share), one.share <= f64::from(most));
            let found = check(Gate::MaxShareOfOne, one.of, value, most.into(), passed);
            Check { item: Some(one.item.clone()), ..found }
        }));
        checks
    }

    /// The verdict over a day. `found` says what else there was, when that is known.
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

    fn found(counts: DayCounts, duplicates: Option<u64>) -> Found {
        Found { counts, dropped: Dropped { duplicates, outside: None }, of_one: Vec::new() }
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
            // What was nothing may become anything, as the users here.
            (0, vec![]),
        ] {
            assert_eq!(failed(&validation, None, &past(before)), expected, "{before}");
        }
        // Too little is known of the past.
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
        // 25 of 125 that were delivered, 30 of 100.
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
        let empty = validation.judge(&Found::default(), &past(1000));
        let refused = validation.verdict(day, &empty, None).unwrap_err();
        assert!(refused.to_string().starts_with("gate min_events refused 2026-01-08: 0 events"), "{refused}");
    }
}
