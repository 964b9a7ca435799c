//! How many times as often as by chance two items meet.

use super::pair::{PairCounts, fraction};

/// c·N / (nᵢ·nⱼ + `shrink`): 1 if the items meet as often as items that are independent of each other, 2 if twice as often.
///
/// Symmetric, without an upper bound. `shrink` is added to a product of units, so it is in squared units.
///
/// Brin, Motwani, Ullman and Tsur, "Dynamic itemset counting and implication rules for market basket data", SIGMOD 1997
/// (there "interest").
pub(crate) fn lift(counts: &PairCounts, shrink: f64) -> f64 {
    fraction(counts.both * counts.all, counts.of * counts.other + shrink)
}
