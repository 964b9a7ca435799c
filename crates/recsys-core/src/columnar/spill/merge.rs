//! The merge of sorted runs: a heap of runs by their first entry.

use crate::storage::StoreError;

/// A sorted run with an entry in front.
pub(crate) trait Run {
    /// Whether the entry in front comes before that of `other`. Of equal entries either may come first.
    fn is_before(&self, other: &Self) -> bool;

    /// Moves to the next entry; `false` at the end.
    fn advance(&mut self) -> Result<bool, StoreError>;
}

/// Runs of which the one with the first entry is in front.
#[derive(Debug)]
pub(crate) struct Merge<R> {
    runs: Vec<R>,
    /// Numbers of runs: a heap.
    heap: Vec<usize>,
}

impl<R: Run> Merge<R> {
    /// The merge of `runs` that stand before their first entry.
    pub(crate) fn new(mut runs: Vec<R>) -> Result<Self, StoreError> {
        let mut heap = Vec::new();
        for (number, run) in runs.iter_mut().enumerate() {
            if run.advance()? {
                heap.push(number);
            }
        }
        let mut merge = Self { runs, heap };
        for place in (0..merge.heap.len() / 2).rev() {
            merge.sink(place);
        }
        Ok(merge)
    }

    /// The number of the run with the first entry, and the run.
    pub(crate) fn front(&self) -> Option<(usize, &R)> {
        self.heap.first().map(|number| (*number, &self.runs[*number]))
    }

    /// Leaves the first entry behind.
    pub(crate) fn advance(&mut self) -> Result<(), StoreError> {
        let Some(first) = self.heap.first() else { return Ok(()) };
        if !self.runs[*first].advance()? {
            self.heap.swap_remove(0);
        }
        self.sink(0);
        Ok(())
    }

    fn sink(&mut self, mut place: usize) {
        let before = |heap: &[usize], a: usize, b: usize| self.runs[heap[a]].is_before(&self.runs[heap[b]]);
        loop {
            let mut least = 2 * place + 1;
            if least >= self.heap.len() {
                return;
            }
            if least + 1 < self.heap.len() && before(&self.heap, least + 1, least) {
                least += 1;
            }
            if !before(&self.heap, least, place) {
                return;
            }
            self.heap.swap(place, least);
            place = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Numbers(std::vec::IntoIter<u8>, u8);

    impl Run for Numbers {
        fn is_before(&self, other: &Self) -> bool {
            self.1 < other.1
        }

        fn advance(&mut self) -> Result<bool, StoreError> {
            let next = self.0.next();
            self.1 = next.unwrap_or_default();
            Ok(next.is_some())
        }
    }

    proptest! {
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
