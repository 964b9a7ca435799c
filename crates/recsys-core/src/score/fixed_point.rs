//! Weights as integers, so that their sums are exact in whatever order they are added.

/// 1.0 in fixed point: 2^32.
pub(crate) const ONE: f64 = 4_294_967_296.0;

/// The multiple of 2^-32 nearest to a number from 0 to 2^31, as an integer.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and not below zero")]
pub(super) fn fixed_point(number: f64) -> u64 {
    (number * ONE).round() as u64
}
