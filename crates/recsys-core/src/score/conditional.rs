//! The share of an item's units that have the other item, too.

use super::pair::{PairCounts, fraction};

/// c / (nᵢ + `shrink`): the probability of the other item in a unit with this one.
///
/// Between 0 and 1. Not symmetric: the row of an item is divided by one number, so it has the order of the counts.
///
/// Agrawal, Imieliński and Swami, "Mining association rules between sets of items in large databases", SIGMOD 1993 (there
/// "confidence"); for items of a recommender: Deshpande and Karypis, "Item-based top-N recommendation algorithms", ACM TOIS
/// 22(1), 2004.
pub(crate) fn conditional(counts: &PairCounts, shrink: f64) -> f64 {
    fraction(counts.both, counts.of + shrink)
}
