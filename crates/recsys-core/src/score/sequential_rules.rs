//! What follows an item in a session, and how soon.
//!
//! An item followed by another at distance d (1 is the very next) adds f(d) to the pair; a row is divided by its sum^`row_power`.
//!
//! Kamehkhosh, Jannach and Ludewig, "A comparison of frequent pattern techniques and a deep learning method for session-based
//! recommendation", workshop on temporal reasoning in recommender systems, 2017; Ludewig and Jannach, "Evaluation of
//! session-based recommendation algorithms", User Modeling and User-Adapted Interaction 28, 2018 (both with f(d) = 1/d).

use super::pair::fraction;
use crate::counts::fixed_point;

/// f(d) for the distances d = 1..=`window` in fixed point (2^32 is 1.0): 1/d, or exp(−(d−1)/`delta`).
///
/// With a small `delta`, what is far away rounds to zero, and adds nothing.
pub(crate) fn step_weights(window: usize, delta: Option<f64>) -> Vec<u64> {
    #[allow(clippy::cast_precision_loss, reason = "no window is 2^53 items wide")]
    let weight = |before: usize| match delta {
        None => 1.0 / (before + 1) as f64,
        Some(delta) => libm::exp(-(before as f64) / delta),
    };
    (0..window).map(|before| fixed_point(weight(before))).collect()
}

/// What the weights of a row are divided by: `sum`^`row_power`. `sum` is that of the whole row before any cut, in units (1.0,
/// not 2^32): the sum of exact integers, divided by their scale.
pub(crate) fn row_divisor(sum: f64, row_power: f64) -> f64 {
    libm::pow(sum, row_power)
}

/// The weight of a rule: `weight`, in units, by the [`row_divisor`] of its row. With `row_power` 1 a row adds up to 1.
pub(crate) fn sequential_rule(weight: f64, row_divisor: f64) -> f64 {
    fraction(weight, row_divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_item_counts_most() {
        // 1, 1/2, 1/3 and 1/4 of 2^32; a third of it is 1431655765.33.
        assert_eq!(step_weights(4, None), [4_294_967_296, 2_147_483_648, 1_431_655_765, 1_073_741_824]);
        assert_eq!(step_weights(0, None), [0u64; 0]);
    }

    #[test]
    fn with_a_delta_each_step_counts_by_the_same_factor_less() {
        // 2^32 times 1, e^-0.5 = 0.60653065971263342 and e^-1 = 0.36787944117144232.
        assert_eq!(step_weights(3, Some(2.0)), [4_294_967_296, 2_605_029_347, 1_580_030_169]);
        // e^-100 is less than half of 2^-32.
        assert_eq!(step_weights(2, Some(0.01)), [4_294_967_296, 0]);
    }

    #[test]
    fn a_row_is_divided_by_a_power_of_its_sum() {
        let row = |power| [3.0, 1.0].map(|weight| sequential_rule(weight, row_divisor(4.0, power)).to_bits());
        assert_eq!(row(1.0), [0.75f64, 0.25].map(f64::to_bits));
        assert_eq!(row(0.5), [1.5f64, 0.5].map(f64::to_bits));
        assert_eq!(row(0.0), [3.0f64, 1.0].map(f64::to_bits));
        // An item that nothing follows.
        assert_eq!(sequential_rule(0.0, row_divisor(0.0, 1.0)).to_bits(), 0);
    }
}
