//! Sorts the rows of a day.

use std::cmp::Ordering;

use rayon::prelude::*;
use rdst::{RadixKey, RadixSort};

use super::row::EventRow;
use crate::domain::stream::Stream;
use crate::domain::window::Day;

// A time within a day fits in 6 bytes, so the radix sort may skip the other two.
const _: () = assert!(Day::NS <= 1 << 48);

/// Sorts by time and session, least significant byte first: few rows agree in both.
impl RadixKey for EventRow {
    const LEVELS: usize = 10;

    fn get_level(&self, level: usize) -> u8 {
        match level {
            0..4 => self.session.to_le_bytes()[level],
            _ => self.time.to_le_bytes()[level - 4],
        }
    }
}

/// Sorts rows in place in the canonical order of `stream`.
pub(super) fn sort(rows: &mut [EventRow], stream: Stream) {
    rows.radix_sort_builder().with_low_mem_tuner().sort();
    rows.par_chunk_by_mut(|a, b| (a.time, a.session) == (b.time, b.session))
        .filter(|rows| rows.len() > 1)
        .for_each(|rows| rows.par_sort_unstable_by(|a, b| a.in_order(b, stream)));
    debug_assert!(rows.is_sorted_by(|a, b| a.in_order(b, stream) != Ordering::Greater));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use recsys_testkit::seed::cases;

    fn rows(time: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<EventRow>> {
        let row =
            (time, any::<u32>(), 0..3u32, 0..3u32, -1..2i64).prop_map(|(time, session, few, item, rank)| {
                EventRow {
                    time,
                    session: if few == 0 { session } else { few },
                    request: few,
                    rank,
                    item,
                    user: few,
                    segment: item,
                }
            });
        proptest::collection::vec(row, 0..6000)
    }

    proptest! {
        #![proptest_config(cases(24))]

        #[test]
        fn rows_are_in_order_however_they_are_spread(
            rows in prop_oneof![rows(0..Day::NS), rows(0..3i64), rows(Day::NS - 9..Day::NS), rows(Just(7))],
            stream in proptest::sample::select(&[Stream::Exposures, Stream::Outcomes][..]),
        ) {
            let (mut sorted, mut expected) = (rows.clone(), rows);
            sort(&mut sorted, stream);
            expected.sort_by(|a, b| a.in_order(b, stream));
            prop_assert_eq!(sorted, expected);
        }
    }
}
