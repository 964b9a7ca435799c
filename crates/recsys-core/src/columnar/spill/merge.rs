//! The merge of sorted runs.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::storage::StoreError;

/// A sorted run with an entry in front.
pub(crate) trait SortedRun {
    /// The order of the entries in front.
    fn order(&self, other: &Self) -> Ordering;

    /// Moves to the next entry; `false` at the end.
    fn advance(&mut self) -> Result<bool, StoreError>;
}

/// Runs of which the one with the first entry is in front. Of equal entries any may come first.
pub(crate) struct Merge<R: SortedRun>(BinaryHeap<Front<R>>);

/// A run and its number. In a box, because a heap moves its entries.
struct Front<R>(Box<(usize, R)>);

impl<R: SortedRun> Merge<R> {
    /// The merge of `runs` that stand before their first entry.
    pub(crate) fn new(runs: Vec<R>) -> Result<Self, StoreError> {
        let mut heap = BinaryHeap::new();
        for (number, mut run) in runs.into_iter().enumerate() {
            if run.advance()? {
                heap.push(Front(Box::new((number, run))));
            }
        }
        Ok(Self(heap))
    }

    /// The number of the run with the first entry, and the run.
    pub(crate) fn front(&self) -> Option<(usize, &R)> {
        self.0.peek().map(|front| (front.0.0, &front.0.1))
    }

    /// Leaves the first entry behind.
    pub(crate) fn advance(&mut self) -> Result<(), StoreError> {
        let Some(mut front) = self.0.peek_mut() else { return Ok(()) };
        if !front.0.1.advance()? {
            PeekMut::pop(front);
        }
        Ok(())
    }
}

/// The heap has its greatest in front, so the order is turned round.
impl<R: SortedRun> Ord for Front<R> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.1.order(&self.0.1)
    }
}

impl<R: SortedRun> PartialOrd for Front<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R: SortedRun> PartialEq for Front<R> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<R: SortedRun> Eq for Front<R> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use recsys_testkit::seed::cases;

    struct Numbers(std::vec::IntoIter<u8>, u8);

    impl SortedRun for Numbers {
        fn order(&self, other: &Self) -> Ordering {
            self.1.cmp(&other.1)
        }

        fn advance(&mut self) -> Result<bool, StoreError> {
            let next = self.0.next();
            self.1 = next.unwrap_or_default();
            Ok(next.is_some())
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn a_merge_is_a_sort(runs: Vec<Vec<u8>>) {
            let mut expected = runs.concat();
            expected.sort_unstable();
            let runs = runs.into_iter().map(|mut run| {
                run.sort_unstable();
                Numbers(run.into_iter(), 0)
            });
            let mut merge = Merge::new(runs.collect()).unwrap();
            let mut merged = Vec::new();
            while let Some((_, run)) = merge.front() {
                merged.push(run.1);
                merge.advance().unwrap();
            }
            prop_assert_eq!(merged, expected);
        }
    }
}
