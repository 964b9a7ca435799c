//! UTC days and half-open windows of them.

use crate::domain::class::class;
use crate::encoding::json;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// A UTC day, `[D 00:00:00Z, D+1 00:00:00Z)`.
///
/// Limited to the years that a signed 64-bit nanosecond clock fully covers: 1678 to 2261.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

/// Why a day was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DayError {
    /// Not of the form `YYYY-MM-DD`, or not in the calendar.
    #[error("{0:?} is not a day of the form YYYY-MM-DD")]
    Format(String),
    /// Outside the years that a 64-bit nanosecond clock covers.
    #[error("day {0} is outside 1678-01-01 to 2261-12-31")]
    Range(String),
}

class!(DayError => Usage);

impl Day {
    /// The length of a day in nanoseconds.
    pub(crate) const NS: i64 = 86_400_000_000_000;

    const FIRST: Date = date(1678, 1, 1);
    const LAST: Date = date(2261, 12, 31);

    fn new(date: Date) -> Result<Self, DayError> {
        if (Self::FIRST..=Self::LAST).contains(&date) {
            Ok(Self(date))
        } else {
            Err(DayError::Range(date.to_string()))
        }
    }

    /// The UTC day that contains `at`.
    pub fn of(at: Timestamp) -> Result<Self, DayError> {
        Self::new(TimeZone::UTC.to_datetime(at).date())
    }

    /// The following day.
    pub fn next(self) -> Result<Self, DayError> {
        self.plus(1)
    }

    /// The day `days` later, or earlier if negative.
    pub fn plus(self, days: i64) -> Result<Self, DayError> {
        let out_of_range = || DayError::Range(format!("{self} {days:+} days"));
        let days = Span::new().try_days(days).map_err(|_| out_of_range())?;
        Self::new(self.0.checked_add(days).map_err(|_| out_of_range())?)
    }

    /// The day `days` after 1970-01-01, if in range.
    pub(crate) fn since_1970(days: i64) -> Option<Self> {
        Self(date(1970, 1, 1)).plus(days).ok()
    }

    /// The start of the day, in nanoseconds since 1970-01-01T00:00:00Z.
    pub fn start_ns(self) -> i64 {
        let days = (self.0 - date(1970, 1, 1)).get_days();
        i64::from(days) * Self::NS
    }

    /// The end of the day (exclusive), in nanoseconds since 1970-01-01T00:00:00Z.
    pub fn end_ns(self) -> i64 {
        self.start_ns() + Self::NS
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let format = || DayError::Format(text.to_owned());
        // The date parser accepts more formats than the contract.
        let shape = text.bytes().map(|b| if b.is_ascii_digit() { b'd' } else { b });
        if !shape.eq(*b"dddd-dd-dd") {
            return Err(format());
        }
        Self::new(text.parse().map_err(|_| format())?)
    }
}

json::text!(Day);

/// Formats sorted days, with consecutive ones as ranges such as `2026-01-01..2026-01-31`.
pub fn ranges(days: &[Day]) -> String {
    let mut runs: Vec<(Day, Day)> = Vec::new();
    for day in days {
        match runs.last_mut() {
            Some((_, last)) if last.next().ok() == Some(*day) => *last = *day,
            _ => runs.push((*day, *day)),
        }
    }
    let words = runs
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}..{last}") });
    words.collect::<Vec<_>>().join(" ")
}

/// A half-open range of UTC days, `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    start: Day,
    end: Day,
}

impl Window {
    /// The window of `days` days that ends with the day `last`.
    pub fn ending_with(last: Day, days: u32) -> Result<Self, DayError> {
        Ok(Self { start: last.plus(1 - i64::from(days))?, end: last.next()? })
    }

    /// The first day (inclusive).
    pub fn start(self) -> Day {
        self.start
    }

    /// The end of the window (exclusive): the day after the last.
    pub fn end(self) -> Day {
        self.end
    }

    /// The days of the window, oldest first.
    pub fn days(self) -> impl Iterator<Item = Day> {
        std::iter::successors(Some(self.start), |day| day.next().ok()).take_while(move |day| *day < self.end)
    }
}

/// `2026-01-01_2026-01-02`, as used in the names of staging folders.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.start, self.end)
    }
}

/// A window as serialised in artifacts and records: two midnights with `Z`.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct Edges {
    start: String,
    end: String,
}

json::object!(Edges and Serialize);

impl Serialize for Window {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let edge = |day: Day| format!("{day}T00:00:00Z");
        Edges { start: edge(self.start), end: edge(self.end) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let edges = <Edges as Deserialize>::deserialize(deserializer)?;
        let day = |edge: &str| {
            let day = edge.strip_suffix("T00:00:00Z");
            day.and_then(|day| day.parse().ok())
                .ok_or_else(|| D::Error::custom(format_args!("window edge {edge:?} is not a UTC midnight")))
        };
        let window = Self { start: day(&edges.start)?, end: day(&edges.end)? };
        if window.start >= window.end {
            return Err(D::Error::custom(format_args!("window {window} is empty")));
        }
        Ok(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_plain_form_of_a_day_is_taken() {
        for bad in [
            "",
            "2026-1-1",
            "2026-02-30",
            "20260101",
            "2026-01-01T00:00:00Z",
            " 2026-01-01",
            "+2026-01-01",
            "２026-01-01",
        ] {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
        assert_eq!("1600-01-01".parse::<Day>(), Err(DayError::Range("1600-01-01".into())));
        assert_eq!(day("2024-02-29").next().unwrap(), day("2024-03-01"));
    }

    #[test]
    fn the_edges_of_the_calendar_fit_the_clock() {
        assert_eq!(day("1970-01-02").start_ns(), 86_400_000_000_000);
        assert!(day("1678-01-01").start_ns() < 0);
        assert!(day("2261-12-31").end_ns() > 0);
        assert!(day("2261-12-31").next().is_err());
        assert!(day("1678-01-01").plus(-1).is_err());
        assert!(day("2026-01-01").plus(i64::MAX).is_err());
    }

    #[test]
    fn a_window_counts_back_from_its_last_day() {
        let window = Window::ending_with(day("2026-01-03"), 3).unwrap();
        assert_eq!(window.to_string(), "2026-01-01_2026-01-04");
        let days: Vec<_> = window.days().map(|day| day.to_string()).collect();
        assert_eq!(days, ["2026-01-01", "2026-01-02", "2026-01-03"]);
        let json = serde_json::to_string(&window).unwrap();
        assert_eq!(json, r#"{"start":"2026-01-01T00:00:00Z","end":"2026-01-04T00:00:00Z"}"#);
        assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), window);
    }

    #[test]
    fn a_window_that_is_empty_or_not_at_midnight_is_refused() {
        for bad in [
            r#"{"start":"2026-01-02T00:00:00Z","end":"2026-01-02T00:00:00Z"}"#,
            r#"{"start":"2026-01-01T00:00:01Z","end":"2026-01-02T00:00:00Z"}"#,
        ] {
            assert!(serde_json::from_str::<Window>(bad).is_err(), "{bad}");
        }
    }
}
