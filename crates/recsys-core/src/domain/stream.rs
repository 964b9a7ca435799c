//! The two streams of events, which go the same way from raw files to canonical ones.

use std::cmp::Ordering;

/// What was shown, or what came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// What was shown to whom.
    #[default]
    Exposures,
    /// What was clicked, bought or whatever else was hoped for.
    Outcomes,
}

impl Stream {
    /// The folder of its canonical files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exposures => "exposures",
            Self::Outcomes => "outcomes",
        }
    }

    /// What the names of its raw files begin with.
    pub(crate) fn raw_stem(self) -> &'static str {
        match self {
            Self::Exposures => "exposure",
            Self::Outcomes => "outcome",
        }
    }

    /// The order of two events of it that agree in time, session and request, when `rank` is the order of
    /// their ranks or values and `rest` that of all else.
    pub(crate) fn order(self, rank: Ordering, rest: Ordering) -> Ordering {
        match self {
            Self::Exposures => rank.then(rest),
            Self::Outcomes => rest.then(rank),
        }
    }
}
