//! Sorting rows that are spread over a day.

use rayon::prelude::*;

use super::rows::Row;

/// Stretches of time that rows are first sorted into: less than two seconds of a day.
const STRETCHES: usize = 1 << 16;

/// Fewer rows than this are sorted at once.
const FEW_ROWS: usize = 1 << 12;

/// Puts rows in canonical order, in place.
///
/// Each row is swapped straight to its stretch of time, which leaves a few neighbours to be compared. Rows
/// that all happened at the same time fall into one stretch, and are sorted as any other rows.
pub(super) fn sort(rows: &mut [Row]) {
    if rows.len() < FEW_ROWS {
        rows.sort_unstable();
        return;
    }
    let times = || rows.iter().map(|row| row.ts);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return };
    // One more than fits, so that the last one has a stretch, too.
    let width = last.abs_diff(first) / STRETCHES as u64 + 1;
    let stretch = |row: &Row| usize::try_from(row.ts.abs_diff(first) / width).unwrap_or(STRETCHES - 1);

    let mut ends = vec![0; STRETCHES];
    for row in &*rows {
        ends[stretch(row)] += 1;
    }
    let mut next = vec![0; STRETCHES];
    let mut begun = 0;
    for (next, end) in next.iter_mut().zip(&mut ends) {
        *next = begun;
        begun += *end;
        *end = begun;
    }
    for number in 0..STRETCHES {
        while next[number] < ends[number] {
            let place = next[number];
            let own = stretch(&rows[place]);
            rows.swap(place, next[own]);
            next[own] += 1;
        }
    }
    let mut rest = rows;
    let mut begun = 0;
    let mut stretches = Vec::new();
    for end in ends {
        let (one, others) = std::mem::take(&mut rest).split_at_mut(end - begun);
        (rest, begun) = (others, end);
        if one.len() > 1 {
            stretches.push(one);
        }
    }
    stretches.into_par_iter().for_each(<[Row]>::par_sort_unstable);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(ts: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Row>> {
        let row = (ts, 0..3u32, 0..3u32).prop_map(|(ts, session, item)| Row {
            ts,
            session,
            request: 0,
            rank: -1,
            item,
            user: 0,
            segment: 0,
        });
        proptest::collection::vec(row, FEW_ROWS - 100..FEW_ROWS + 2000)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_are_in_order_however_they_are_spread(
            rows in prop_oneof![rows(any::<i64>()), rows(0..3i64), rows(-86_400_000_000_000..0i64), rows(Just(7))]
        ) {
            let (mut sorted, mut expected) = (rows.clone(), rows);
            sort(&mut sorted);
            expected.sort_unstable();
            prop_assert_eq!(sorted, expected);
        }
    }
}
