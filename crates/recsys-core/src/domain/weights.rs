//! What an event counts where events are weighed.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// What one event of each type adds to the count of its item. Each field is the setting of the same name
/// under `weights`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// An exposure.
    pub exposure: u64,
    /// A click.
    pub click: u64,
    /// A conversion.
    pub conversion: u64,
    /// The most that the events of one user count for one item. A session without a user is one user.
    pub cap_per_user_item: Option<NonZeroU64>,
}

impl Default for Weights {
    /// Exposures count, and nothing else does.
    fn default() -> Self {
        Self { exposure: 1, click: 0, conversion: 0, cap_per_user_item: None }
    }
}

impl Weights {
    /// The greatest weighted count: up to it, every whole number is exact wherever it is read as a double.
    pub const GREATEST_COUNT: u64 = 1 << 53;

    /// Whether each exposure counts one, however many there are, and nothing else counts.
    pub fn are_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an outcome counts.
    pub fn count_outcomes(&self) -> bool {
        self.click > 0 || self.conversion > 0
    }
}

/// Events whose weights add up to more than can be counted exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the weighted events of the window add up to {sum}, more than {most}, up to which counts are exact; \
     lower weights.exposure, weights.click or weights.conversion",
    most = Weights::GREATEST_COUNT
)]
pub struct TooHeavy {
    /// What they add up to.
    pub sum: u128,
}

/// Adds up so many events of such a weight, each.
pub(crate) fn check_sum(events: impl Iterator<Item = (usize, u64)>) -> Result<(), TooHeavy> {
    // Fewer than 2^64 events of weights below 2^64: no sum of 128 bits overflows.
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
