//! Shares, fractions and relative changes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A non-negative finite ratio: 0.5 is half, 2 is twice as much.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// Valid because no share is `NaN`.
impl Eq for Share {}

/// The number is negative, infinite or `NaN`.
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

/// A part of a whole: a share of at most 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Fraction(Share);

/// The number is not between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoFraction {
    /// The number is not a share.
    #[error(transparent)]
    NoShare(#[from] NoShare),
    /// The number is above 1.
    #[error(
        "{0} is more than the whole, and no day would be refused: it must be from 0 to 1, such as 0.5 for 50 %"
    )]
    TooMuch(f64),
}

impl TryFrom<f64> for Fraction {
    type Error = NoFraction;

    fn try_from(number: f64) -> Result<Self, NoFraction> {
        let share = Share::try_from(number)?;
        if number <= 1.0 { Ok(Self(share)) } else { Err(NoFraction::TooMuch(number)) }
    }
}

impl From<Fraction> for f64 {
    fn from(fraction: Fraction) -> Self {
        fraction.0.0
    }
}

impl From<Fraction> for Share {
    fn from(fraction: Fraction) -> Self {
        fraction.0
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The change of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// What is counted, for messages.
    pub what: &'static str,
    /// The count before.
    pub before: u64,
    /// The count now.
    pub after: u64,
}

impl Move {
    /// The relative change: positive for growth, negative for decline. `None` if the count was 0 before.
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    pub fn change(&self) -> Option<f64> {
        (self.before > 0).then(|| (self.after as f64 - self.before as f64) / self.before as f64)
    }

    /// Whether the relative change exceeds `most` in either direction. Never if the count was 0 before.
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
