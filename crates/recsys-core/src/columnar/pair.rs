//! Two ids as one number that sorts by the first, then the second.

/// The pair of `high` and `low`.
pub(crate) fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[allow(clippy::cast_possible_truncation, reason = "the upper half of 64 bits")]
pub(crate) fn high(pair: u64) -> u32 {
    (pair >> 32) as u32
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half of 64 bits")]
pub(crate) fn low(pair: u64) -> u32 {
    pair as u32
}
