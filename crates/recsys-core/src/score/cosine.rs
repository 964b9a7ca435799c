//! The cosine of the angle between two items.

use super::pair::{PairCounts, fraction};

/// c / (√(nᵢ·nⱼ) + `shrink`): the cosine between the columns of two items in the table of units and items, whose
/// cells are 0 or 1.
///
/// Between 0 and 1, symmetric. `shrink`, in units, draws pairs with little support towards zero; with 0 it is the cosine itself.
///
/// Ochiai 1957; for items of a recommender: Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering
/// recommendation algorithms", WWW 2001.
pub(crate) fn cosine(counts: &PairCounts, shrink: f64) -> f64 {
    fraction(counts.both, (counts.of * counts.other).sqrt() + shrink)
}
