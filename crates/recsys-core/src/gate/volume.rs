//! Compares the volume of a day with that of the days before it.
//!
//! The numbers of events, sessions, items and users are each compared with their median over the days before, which one
//! bad day among them hardly moves.

use serde::{Deserialize, Serialize};

use super::{Check, Gate, Number, Subject, Validation};
use crate::canonical::DayRows;
use crate::domain::share::Share;
use crate::domain::window::Day;
use crate::storage::StoreError;

/// Counts of a day's canonical exposures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayCounts {
    /// Number of events, without repeated deliveries.
    pub events: u64,
    /// Number of distinct sessions.
    pub sessions: u64,
    /// Number of distinct items.
    pub items: u64,
    /// Number of distinct users.
    pub users: u64,
    /// Number of events without a user.
    pub guest_events: u64,
    /// Number of events of the largest session.
    pub largest_session: u64,
}

impl DayCounts {
    /// Counts a day's events.
    pub fn of(day: &DayRows) -> Result<Self, StoreError> {
        let names = &day.names;
        let mut events_of = vec![0u64; names.sessions.len()];
        let mut guest_events = 0;
        day.for_each(|columns| {
            for session in columns.session {
                events_of[*session as usize] += 1;
            }
            guest_events += columns.user.iter().filter(|user| **user == 0).count() as u64;
            Ok::<(), StoreError>(())
        })?;
        Ok(Self {
            events: day.len() as u64,
            sessions: names.sessions.len() as u64,
            items: names.items.len() as u64,
            users: names.users.len() as u64,
            guest_events,
            largest_session: events_of.into_iter().max().unwrap_or(0),
        })
    }
}

/// The known days before a day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// Number of days looked for; 0 if no gate needs any.
    pub lookback_days: u32,
    /// The days that are known, of those looked for.
    pub days: Vec<Day>,
    /// Whether they suffice for a verdict: at least half of the days looked for are known.
    pub sufficient: bool,
    /// The medians over them; `None` if no day is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<Medians>,
}

/// Medians of the daily counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Medians {
    /// Median number of events.
    pub events: f64,
    /// Median number of distinct sessions.
    pub sessions: f64,
    /// Median number of distinct items.
    pub items: f64,
    /// Median number of distinct users.
    pub users: f64,
}

impl Past {
    /// The past of a day. `known` holds those of the `lookback_days` days before it that are known.
    pub fn new(known: &[(Day, DayCounts)], lookback_days: u32) -> Self {
        let median = |number: fn(&DayCounts) -> u64| {
            let mut numbers: Vec<u64> = known.iter().map(|(_, counts)| number(counts)).collect();
            median(&mut numbers)
        };
        let medians = || {
            Some(Medians {
                events: median(|counts| counts.events)?,
                sessions: median(|counts| counts.sessions)?,
                items: median(|counts| counts.items)?,
                users: median(|counts| counts.users)?,
            })
        };
        Self {
            lookback_days,
            days: known.iter().map(|(day, _)| *day).collect(),
            sufficient: known.len() >= lookback_days.div_ceil(2).max(1) as usize,
            median: medians(),
        }
    }
}

/// The middle number, or the mean of the two middle ones; `None` if there are no numbers.
#[allow(clippy::cast_precision_loss, reason = "a median needs no more than 53 bits")]
fn median(numbers: &mut [u64]) -> Option<f64> {
    numbers.sort_unstable();
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        len if len % 2 == 1 => Some(numbers[middle] as f64),
        _ => Some(f64::midpoint(numbers[middle - 1] as f64, numbers[middle] as f64)),
    }
}

impl Validation {
    /// Number of days before a day to look at: 0 unless a gate needs them.
    pub fn lookback(&self) -> u32 {
        let asked = self.max_volume_drop.is_some() || self.max_volume_spike.is_some();
        if asked { self.lookback_days } else { 0 }
    }

    /// Compares a day with its past, if gates are set and enough of the past is known.
    pub(super) fn volume_checks(&self, counts: &DayCounts, past: &Past) -> Vec<Check> {
        let Some(medians) = past.median.filter(|_| past.sufficient) else { return Vec::new() };
        let numbers = [
            (Subject::Events, counts.events, medians.events),
            (Subject::Sessions, counts.sessions, medians.sessions),
            (Subject::Items, counts.items, medians.items),
            (Subject::Users, counts.users, medians.users),
        ];
        let mut checks = Vec::new();
        for (of, value, median) in numbers {
            // No change can be measured against a median of 0.
            if median == 0.0 {
                continue;
            }
            #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
            let change = (value as f64 - median) / median;
            let gates = [
                (Gate::MaxVolumeDrop, self.max_volume_drop.map(Share::from), -change),
                (Gate::MaxVolumeSpike, self.max_volume_spike, change),
            ];
            for (gate, most, change) in gates {
                let Some(most) = most else { continue };
                let passed = change <= f64::from(most);
                let check = Check::new(gate, of, Number::Count(value), most.into(), passed);
                checks.push(Check { median: Some(median), ..check });
            }
        }
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_number_in_the_middle() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [7]), Some(7.0));
        assert_eq!(median(&mut [9, 1]), Some(5.0));
        assert_eq!(median(&mut [5, 100, 1]), Some(5.0));
        assert_eq!(median(&mut [4, 1, 1000, 3]), Some(3.5));
    }

    #[test]
    fn half_of_the_days_looked_for_are_enough() {
        let days = |count: i64| -> Vec<(Day, DayCounts)> {
            let first: Day = "2026-01-01".parse().unwrap();
            (0..count).map(|day| (first.plus(day).unwrap(), DayCounts::default())).collect()
        };
        for (known, lookback, sufficient) in [
            (0, 0, false),
            (1, 0, true),
            (0, 7, false),
            (3, 7, false),
            (4, 7, true),
            (1, 1, true),
            (1, 2, true),
        ] {
            assert_eq!(Past::new(&days(known), lookback).sufficient, sufficient, "{known} of {lookback}");
        }
        assert_eq!(Past::new(&[], 7).median, None);
    }
}
