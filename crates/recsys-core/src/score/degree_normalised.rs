//! Weights of common units, divided by powers of how often each item occurs.
//!
//! g / (nᵢ^a · nⱼ^b) with g = Σ over common units of 1 / size^c. A unit with few items says more about a pair than one with
//! many; b above 0 holds popular items back.
//!
//! Deshpande and Karypis, "Item-based top-N recommendation algorithms", ACM Transactions on Information Systems 22(1), 2004
//! (powers of frequencies, weights of users by their length). With a = c = 1 it is the walk of three steps of Paudel,
//! Christoffel, Newell and Bernstein, "Updatable, accurate, diverse, and scalable recommendations for interactive
//! applications", ACM Transactions on Interactive Intelligent Systems 7(1), 2017 (there RP3-beta, with b as beta).

use super::pair::fraction;
use crate::counts::fixed_point;

/// 1 / size^`c` in fixed point (2^32 is 1.0), so that sums over units are exact in any order. `size` is the number of distinct
/// items of a unit.
///
/// At least 1, so that a pair never vanishes: 2^32 / size^2 rounds to zero beyond 92,681 items.
pub(crate) fn unit_weight(size: usize, c: f64) -> u64 {
    #[allow(clippy::cast_precision_loss, reason = "no unit has 2^53 items")]
    let size = size.max(1) as f64;
    fixed_point(1.0 / libm::pow(size, c)).max(1)
}

/// n^`power` for the units n of each item. Once for all items: a power costs as much as dozens of divisions.
///
/// An item without units has 0 (or 1 with power 0), and no pair to divide.
pub(crate) fn powers(units: &[f64], power: f64) -> Vec<f64> {
    units.iter().map(|units| libm::pow(*units, power)).collect()
}

/// g / (nᵢ^a · nⱼ^b): `g` is the sum of [`unit_weight`] over common units, in units (1.0, not 2^32), the others are from
/// [`powers`]. Symmetric if a = b.
pub(crate) fn degree_normalised(g: f64, of_power: f64, other_power: f64) -> f64 {
    fraction(g, of_power * other_power)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "these are exact")]

    use super::*;

    #[test]
    fn large_units_say_less() {
        // 2^32 / 1, / 2, / 4 and / 3.
        assert_eq!(
            [1, 2, 4, 3].map(|size| unit_weight(size, 1.0)),
            [1 << 32, 1 << 31, 1 << 30, 1_431_655_765]
        );
        // 2^32 / √4, and / 16^0.75 = 8.
        assert_eq!([unit_weight(4, 0.5), unit_weight(16, 0.75)], [1 << 31, 1 << 29]);
        assert_eq!([unit_weight(1, 0.0), unit_weight(1000, 0.0)], [1 << 32, 1 << 32]);
        // 2^32 / 10^12 would be 0.
        assert_eq!(unit_weight(1_000_000, 2.0), 1);
    }

    #[test]
    fn powers_of_whole_numbers_are_exact() {
        assert_eq!(powers(&[0.0, 1.0, 2.0, 16.0], 2.0), [0.0, 1.0, 4.0, 256.0]);
        assert_eq!(powers(&[0.0, 1.0, 16.0, 81.0], 0.75), [0.0, 1.0, 8.0, 27.0]);
        assert_eq!(powers(&[0.0, 3.0], 0.0), [1.0, 1.0]);
    }

    #[test]
    fn items_that_never_met_weigh_nothing() {
        assert_eq!(degree_normalised(0.0, 0.0, 4.0).to_bits(), 0);
        assert_eq!(degree_normalised(3.0, 2.0, 6.0).to_bits(), 0.25f64.to_bits());
    }
}
