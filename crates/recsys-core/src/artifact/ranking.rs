//! Ranked lists: best first, ties by id.

use std::cmp::Reverse;

use super::row::Defect;
use crate::score::Scorer;

/// Keeps the `most` entries with the greatest scores, best first, ties by id.
pub(super) fn keep_best<S: Ord + Copy>(entries: &mut Vec<(u32, S)>, most: usize) {
    let key = |entry: &(u32, S)| (Reverse(entry.1), entry.0);
    if entries.len() > most {
        if most > 0 {
            entries.select_nth_unstable_by_key(most - 1, key);
        }
        entries.truncate(most);
    }
    entries.sort_unstable_by_key(key);
}

/// Scores the items counted together with `of` and keeps the best `most`, best first, ties by id.
pub(super) fn best<C: Copy, S: Scorer<C>>(
    scorer: &S,
    of: u32,
    counts: &[(u32, C)],
    most: usize,
) -> Vec<(u32, S::Score)> {
    let mut ranked: Vec<_> =
        counts.iter().map(|(other, count)| (*other, scorer.score(of, *other, *count))).collect();
    keep_best(&mut ranked, most);
    // Otherwise the cut entries would keep their memory.
    ranked.shrink_to_fit();
    ranked
}

/// Checks that a list is ranked: positive scores, best first, ties by id.
pub(super) fn check_ranked<'a>(
    list: impl Fn() -> String,
    entries: impl Iterator<Item = (&'a str, f64)>,
) -> Result<(), Defect> {
    let mut previous: Option<(&str, f64)> = None;
    for (id, score) in entries {
        if id.is_empty() || score <= 0.0 || !score.is_finite() {
            return Err(Defect::Content(format!("{}: item {id:?} has score {score}", list())));
        }
        if previous.is_some_and(|(before, better)| score.total_cmp(&better).then(before.cmp(id)).is_ge()) {
            return Err(Defect::Content(format!("{}: item {id:?} is out of order", list())));
        }
        previous = Some((id, score));
    }
    Ok(())
}

/// Checks that ids are not empty, unique and in order.
pub(super) fn check_sorted<'a>(list: &str, ids: impl Iterator<Item = &'a str>) -> Result<(), Defect> {
    let mut previous = "";
    for id in ids {
        if id <= previous {
            return Err(Defect::Content(format!("{list}: {id:?} is empty or out of order")));
        }
        previous = id;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_smaller_id_even_at_the_cut() {
        let all = vec![(4, 1), (2, 7), (0, 1), (3, 7), (1, 1)];
        for most in 0..7 {
            let mut entries = all.clone();
            keep_best(&mut entries, most);
            let expected = [(2, 7), (3, 7), (0, 1), (1, 1), (4, 1)];
            assert_eq!(entries, expected[..most.min(5)]);
        }
    }

    #[test]
    fn a_list_out_of_order_is_a_defect() {
        let ranked = |entries: &[(&'static str, f64)]| {
            check_ranked(|| "x".to_owned(), entries.iter().copied()).is_ok()
        };
        assert!(ranked(&[("b", 2.0), ("a", 1.0), ("c", 1.0)]));
        for bad in [
            vec![("a", 1.0), ("b", 2.0)],
            vec![("b", 1.0), ("a", 1.0)],
            vec![("a", 1.0), ("a", 1.0)],
            vec![("a", 0.0)],
            vec![("", 1.0)],
            vec![("a", f64::NAN)],
        ] {
            assert!(!ranked(&bad), "{bad:?}");
        }
        assert!(check_sorted("x", ["a", "b"].into_iter()).is_ok());
        assert!(check_sorted("x", ["a", "a"].into_iter()).is_err());
        assert!(check_sorted("x", [""].into_iter()).is_err());
    }
}
