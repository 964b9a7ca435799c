//! Fractions as integers, so that their sums are exact in whatever order they are added.

/// 1 in fixed point.
pub(crate) const FULL: u64 = 1 << 32;

/// The multiple of 2^-32 nearest to a number from 0 to 2^31, as an integer.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a power of two; rounded, and not below zero"
)]
pub(crate) fn fixed_point(number: f64) -> u64 {
    (number * FULL as f64).round() as u64
}
