//! How the weight of an event fades with its age, in integers, so that sums are exact.

/// The weight of an event that has not faded.
pub(crate) const ONE: u32 = 1 << 20;

/// What is left of [`ONE`] after `age_days` days: half of it after each half-life, rounded to the nearest integer.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a power of two with a negative exponent, times 2^20, is from 0 to 2^20"
)]
pub(crate) fn faded(half_life_days: f64, age_days: u32) -> u32 {
    (f64::from(ONE) * libm::exp2(-f64::from(age_days) / half_life_days)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_an_event_is_left_after_each_half_life() {
        assert_eq!([0, 7, 14, 21].map(|age| faded(7.0, age)), [ONE, ONE / 2, ONE / 4, ONE / 8]);
        assert_eq!(faded(1.0, 20), 1);
        assert_eq!(faded(1.0, 22), 0);
        assert_eq!(faded(0.5, 4000), 0);
    }
}
