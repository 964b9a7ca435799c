//! Which numbers a setting of a model may have.

use std::fmt;

/// Numbers that a setting may have. None of them is infinite or `NaN`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Numbers {
    AtLeast0,
    Above0,
    /// Above 0, up to this.
    Above0UpTo(u8),
    /// From 0 to this, both included.
    UpTo(u8),
    /// From 0, which is included, to 1, which is not.
    Below1,
}

impl Numbers {
    pub(super) fn contain(self, number: f64) -> bool {
        number.is_finite()
            && match self {
                Self::AtLeast0 => number >= 0.0,
                Self::Above0 => number > 0.0,
                Self::Above0UpTo(most) => number > 0.0 && number <= f64::from(most),
                Self::UpTo(most) => (0.0..=f64::from(most)).contains(&number),
                Self::Below1 => (0.0..1.0).contains(&number),
            }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast0 => f.write_str("a number of 0 or more"),
            Self::Above0 => f.write_str("a number above 0"),
            Self::Above0UpTo(most) => write!(f, "a number above 0, up to {most}"),
            Self::UpTo(most) => write!(f, "a number from 0 to {most}"),
            Self::Below1 => f.write_str("a number of 0 or more, and below 1"),
        }
    }
}

/// Whole numbers that a setting may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    least: usize,
    most: Option<usize>,
}

/// Candidates of a regression, whose cost grows with their third power.
pub(super) const CANDIDATES: Whole = Whole { least: 1, most: Some(1000) };
/// Items of the last session.
pub(super) const LAST_ITEMS: Whole = Whole { least: 1, most: Some(1000) };
/// Distances in a session.
pub(super) const WINDOW: Whole = Whole { least: 1, most: Some(1000) };
/// Lengths to which lists are cut.
pub(super) const COUNT: Whole = Whole { least: 1, most: None };
/// Items of a unit: one alone makes no pair.
pub(super) const PAIRS: Whole = Whole { least: 2, most: None };

impl Whole {
    pub(super) fn contains(self, number: usize) -> bool {
        number >= self.least && self.most.is_none_or(|most| number <= most)
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.most {
            Some(most) => write!(f, "a whole number from {} to {most}", self.least),
            None => write!(f, "a whole number of {} or more", self.least),
        }
    }
}
