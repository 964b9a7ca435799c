//! Sorting by the most significant bits first, in place, on all threads.
//!
//! Entries are swapped straight into one of a few hundred buckets by the leading bits of a number that says
//! roughly where they belong, then those of each bucket by the bits that follow, until a bucket is small
//! enough to compare what is in it. So few buckets at a time stay in the caches of a processor.

use std::cmp::Ordering;

use rayon::prelude::*;

/// Buckets of a pass, as a power of two.
const BUCKET_BITS: u32 = 8;

/// Fewer entries than this are compared with each other.
const FEW: usize = 256;

/// Buckets of fewer entries than this are not worth the attention of another thread.
const ALONE: usize = 1 << 13;

/// Sorts `entries` by `compare`. Entries whose `leading` numbers differ must compare as these do.
pub(crate) fn sort<T: Copy + Send>(
    entries: &mut [T],
    leading: impl Fn(&T) -> u64 + Copy + Send + Sync,
    compare: impl Fn(&T, &T) -> Ordering + Copy + Send + Sync,
) {
    let numbers = || entries.iter().map(leading);
    let (Some(least), Some(greatest)) = (numbers().min(), numbers().max()) else { return };
    if entries.len() < FEW || least == greatest {
        entries.par_sort_unstable_by(compare);
        return;
    }
    let significant = u64::BITS - (greatest - least).leading_zeros();
    let shift = significant.saturating_sub(BUCKET_BITS);
        #[allow(clippy::cast_possible_truncation, reason = "eight bits")]
    let bucket = |entry: &T| ((leading(entry) - least) >> shift) as usize;

    let mut ends = [0; 1 << BUCKET_BITS];
    for entry in &*entries {
        ends[bucket(entry)] += 1;
    }
    let mut next = [0; 1 << BUCKET_BITS];
    let mut begun = 0;
    for (next, end) in next.iter_mut().zip(&mut ends) {
        *next = begun;
        begun += *end;
        *end = begun;
    }
    for number in 0..next.len() {
        while next[number] < ends[number] {
            let place = next[number];
            let own = bucket(&entries[place]);
            entries.swap(place, next[own]);
            next[own] += 1;
        }
    }
    let is_large = entries.len() >= ALONE;
    let mut buckets = Vec::new();
    let mut rest = entries;
    let mut begun = 0;
    for end in ends {
        let (one, others) = std::mem::take(&mut rest).split_at_mut(end - begun);
        (rest, begun) = (others, end);
        match one.len() {
            0 | 1 => {}
            _ if is_large => buckets.push(one),
            _ => sort(one, leading, compare),
        }
    }
    buckets.into_par_iter().for_each(|one| sort(one, leading, compare));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Pair = (u64, u8);

    fn pairs(leading: impl Strategy<Value = u64>) -> impl Strategy<Value = Vec<Pair>> {
        proptest::collection::vec((leading, any::<u8>()), 0..ALONE + 4000)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn entries_are_in_order_however_they_are_spread(
            pairs in prop_oneof![
                pairs(any::<u64>()),
                pairs(0..3u64),
                pairs(Just(7)),
                pairs(1 << 40..1u64 << 41),
                pairs(prop_oneof![0..1000u64, Just(u64::MAX)]),
                pairs((0..64u32).prop_map(|bit| 1u64 << bit)),
            ]
        ) {
            let (mut sorted, mut expected) = (pairs.clone(), pairs);
            sort(&mut sorted, |pair| pair.0, Pair::cmp);
            expected.sort_unstable();
            prop_assert_eq!(sorted, expected);
        }
    }
}
