//! The baseline: the score is the count.

use super::{Score, Scorer};

/// Scores a count with itself.
pub(crate) struct Count;

impl<C: Score> Scorer<C> for Count {
    type Score = C;

    fn score(&self, _: u32, _: u32, count: C) -> C {
        count
    }
}

impl Score for u32 {
    fn value(self) -> f64 {
        self.into()
    }
}

impl Score for u64 {
    #[allow(
        clippy::cast_precision_loss,
        reason = "no window holds 2^53 events, and the table has checked what they weigh"
    )]
    fn value(self) -> f64 {
        self as f64
    }
}
