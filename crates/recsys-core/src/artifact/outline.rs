//! A summary of an artifact for comparisons: its items and their weights, independent of the kind.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::iter::Sum;

use serde::Serialize;

/// The importance of an item within an artifact.
///
/// An integer number of millionths, because sums of floats depend on their order. Counts are exact; scores are
/// rounded to the nearest millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Weight(pub(super) u128);

impl Weight {
    const ONE: u128 = 1_000_000;

    /// The weight of a score; 0 for negative scores.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast stops at 0 and at the greatest number"
    )]
    pub fn of_score(score: f64) -> Self {
        // Split first, because a large count times a million is not exact.
        let (whole, fraction) = (score.trunc() as u128, (score.fract() * 1e6).round() as u128);
        Self(whole.saturating_mul(Self::ONE).saturating_add(fraction))
    }

    /// The weight as a score, to the millionth.
    #[allow(clippy::cast_precision_loss, reason = "a number for people")]
    pub fn as_score(self) -> f64 {
        self.0 as f64 / Self::ONE as f64
    }
}

impl From<u64> for Weight {
    fn from(count: u64) -> Self {
        Self(u128::from(count) * Self::ONE)
    }
}

impl Sum for Weight {
    fn sum<I: Iterator<Item = Self>>(weights: I) -> Self {
        Self(weights.fold(0, |sum, weight| sum.saturating_add(weight.0)))
    }
}

/// The items of an artifact with their weights or tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Items<'a> {
    /// Items ranked by weight.
    Weighed(HashMap<&'a str, Weight>),
    /// Items with tags, not ranked.
    Tagged(HashMap<&'a str, &'a [Cow<'a, str>]>),
}

impl<'a> Items<'a> {
    /// Ranked items; adds up the weights of an item that occurs more than once.
    pub fn weighed(weights: impl IntoIterator<Item = (&'a str, Weight)>) -> Self {
        let mut sums: HashMap<&str, Weight> = HashMap::new();
        for (item, weight) in weights {
            let sum = sums.entry(item).or_default();
            *sum = [*sum, weight].into_iter().sum();
        }
        Self::Weighed(sums)
    }

    /// Ranked items by weight descending, ties by item id; tagged items by item id.
    pub(super) fn in_order(&self) -> Vec<&'a str> {
        let mut items: Vec<(Reverse<Weight>, &str)> = match self {
            Self::Weighed(weights) => {
                weights.iter().map(|(item, weight)| (Reverse(*weight), *item)).collect()
            }
            Self::Tagged(tags) => tags.keys().map(|item| (Reverse(Weight::default()), *item)).collect(),
        };
        items.sort_unstable();
        items.into_iter().map(|(_, item)| item).collect()
    }
}

impl<'a> Outline<'a> {
    /// The first `count` items in the order of the artifact.
    pub fn top(&self, count: usize) -> Vec<&'a str> {
        let mut items = self.items.in_order();
        items.truncate(count);
        items
    }
}

/// Whether the rows of an artifact belong to items or users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowsOf {
    /// A row for each item.
    Items,
    /// A row for each user.
    Users,
}

impl RowsOf {
    /// The plural noun for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Items => "items",
            Self::Users => "users",
        }
    }
}

/// A summary of an artifact for comparisons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline<'a> {
    /// The items, ranked or tagged.
    pub items: Items<'a>,
    /// The ids of the rows, for kinds whose rows hold lists.
    pub rows: Option<(RowsOf, Vec<&'a str>)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_and_fractions_are_millionths() {
        let sum = |scores: &[f64]| scores.iter().map(|score| Weight::of_score(*score)).sum::<Weight>();
        // As floats, the first sum would be 0.9999999999999999, and the second would depend on its order.
        assert_eq!(sum(&[0.1; 10]), Weight::from(1));
        assert_eq!(sum(&[0.1, 0.2, 0.3]), sum(&[0.3, 0.2, 0.1]));
        assert_eq!(sum(&[2.5, 0.000_000_4, 0.000_000_6]), Weight(2_500_001));
        // The largest integers that a score can distinguish, and the largest count.
        assert_eq!(sum(&[9_007_199_254_740_991.0, 1.0]), Weight::from(1 << 53));
        assert!(Weight::from(u64::MAX) > Weight::from(u64::MAX - 1));
        // No published artifact has such scores, but they must not break a comparison.
        assert_eq!(sum(&[f64::NAN, -1.5, f64::NEG_INFINITY]), Weight(0));
        assert_eq!(sum(&[f64::MAX, f64::INFINITY]), Weight(u128::MAX));
    }
}
