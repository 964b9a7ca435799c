//! The weights of events in weighted counts.

use crate::domain::class::class;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// How much an event of each type adds to the count of its item. Each field is the setting of the same name under
/// `weights`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Weight of an exposure.
    pub exposure: u64,
    /// Weight of a click.
    pub click: u64,
    /// Weight of a conversion.
    pub conversion: u64,
    /// Maximum that the events of one user count for one item. A session without a user is treated as one user.
    pub cap_per_user_item: Option<NonZeroU64>,
}

impl Default for Weights {
    /// Only exposures count, 1 each.
    fn default() -> Self {
        Self { exposure: 1, click: 0, conversion: 0, cap_per_user_item: None }
    }
}

impl Weights {
    /// The largest weighted count. Up to 2^53, all integers are exact when read as a double.
    pub const GREATEST_COUNT: u64 = 1 << 53;

    /// Whether these are the default weights: exposures count 1 each, without a cap, and outcomes do not count.
    pub fn are_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether any outcome counts.
    pub fn count_outcomes(&self) -> bool {
        self.click > 0 || self.conversion > 0
    }
}

/// The total weight of the events is too large for exact counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the weighted events of the window add up to {sum}, more than {most}, up to which counts are exact; \
     lower weights.exposure, weights.click or weights.conversion",
    most = Weights::GREATEST_COUNT
)]
pub struct TooHeavy {
    /// The total weight.
    pub sum: u128,
}

class!(TooHeavy => Limit);

/// Checks the total of pairs of event count and weight.
pub(crate) fn check_sum(events: impl Iterator<Item = (usize, u64)>) -> Result<(), TooHeavy> {
    // Cannot overflow: fewer than 2^64 events, with weights below 2^64.
    let sum = events.map(|(events, weight)| events as u128 * u128::from(weight)).sum();
    if sum > u128::from(Weights::GREATEST_COUNT) { Err(TooHeavy { sum }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_sum_is_exact_and_one_more_is_refused() {
        let half = Weights::GREATEST_COUNT / 2;
        assert_eq!(check_sum([(1, half), (1, half)].into_iter()), Ok(()));
        let error = check_sum([(1, half), (1, half), (1, 1)].into_iter()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the weighted events of the window add up to 9007199254740993, more than 9007199254740992, up to \
             which counts are exact; lower weights.exposure, weights.click or weights.conversion"
        );
        let all = [(usize::MAX, u64::MAX); 3];
        assert!(check_sum(all.into_iter().take(1)).is_err());
    }
}
