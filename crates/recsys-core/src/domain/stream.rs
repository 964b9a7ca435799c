//! The two streams of events. Both take the same path from raw to canonical files.

use std::cmp::Ordering;

/// A stream of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Which items were shown to which user.
    #[default]
    Exposures,
    /// Clicks and conversions of shown items.
    Outcomes,
}

impl Stream {
    /// The name of the folder with its canonical files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exposures => "exposures",
            Self::Outcomes => "outcomes",
        }
    }

    /// Combines the order of two events with the same time, session and request: `rank` compares their ranks or
    /// values, `rest` all other fields.
    pub(crate) fn order(self, rank: Ordering, rest: Ordering) -> Ordering {
        match self {
            Self::Exposures => rank.then(rest),
            Self::Outcomes => rest.then(rank),
        }
    }
}
