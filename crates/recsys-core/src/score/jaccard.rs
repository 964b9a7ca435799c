//! The share of units with either item that have both.

use super::pair::{PairCounts, fraction};

/// c / (nᵢ + nⱼ − c + `shrink`): units with both items as a share of those with either.
///
/// Between 0 and 1, symmetric. `shrink`, in units, draws pairs with little support towards zero.
///
/// Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 11, 1912.
pub(crate) fn jaccard(counts: &PairCounts, shrink: f64) -> f64 {
    fraction(counts.both, counts.of + counts.other - counts.both + shrink)
}
