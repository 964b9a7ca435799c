//! Counting keys of which there may be more than fit in memory.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::{BlockWriter, Blocks, Budget, EntryReader, Merge, SortedRun, put_varint};
use crate::storage::StoreError;

const BLOCK_BYTES: usize = 1 << 16;

/// More than a merge holds of each of its runs: a block, as it is and compressed.
const RUN_BYTES: usize = 1 << 20;

/// What is counted: a key, and how much it counts.
pub(crate) trait KeyedCount: Copy + Ord + Send + Sync {
    fn key(&self) -> u64;

    /// A key by itself counts one.
    fn count(&self) -> u64 {
        1
    }
}

impl KeyedCount for u64 {
    fn key(&self) -> u64 {
        *self
    }
}

/// A key that counts more than one. The caller has checked that no sum overflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Weighed {
    pub(crate) key: u64,
    pub(crate) weight: u64,
}

impl KeyedCount for Weighed {
    fn key(&self) -> u64 {
        self.key
    }

    fn count(&self) -> u64 {
        self.weight
    }
}

/// Each key of sorted entries with the sum of its counts.
fn sums<E: KeyedCount>(entries: &[E]) -> impl Iterator<Item = (u64, u64)> {
    entries
        .chunk_by(|a, b| a.key() == b.key())
        .map(|same| (same[0].key(), same.iter().map(KeyedCount::count).sum()))
}

/// Entries that are counted by their keys.
#[derive(Debug)]
pub(crate) struct Tally<'a, E = u64> {
    budget: &'a Budget,
    share: usize,
    entries: Vec<E>,
    runs: Vec<Blocks>,
}

impl<'a, E: KeyedCount> Tally<'a, E> {
    /// A tally that takes `share` bytes of memory.
    pub(crate) fn new(budget: &'a Budget, share: usize) -> Self {
        Self { budget, share, entries: Vec::new(), runs: Vec::new() }
    }

    /// Counts `entry`.
    #[inline]
    pub(crate) fn push(&mut self, entry: E) -> Result<(), StoreError> {
        if self.entries.len() >= (self.share / size_of::<E>()).max(16) {
            self.spill()?;
        }
        self.entries.push(entry);
        Ok(())
    }

    fn spill(&mut self) -> Result<(), StoreError> {
        self.entries.par_sort_unstable();
        let mut run = RunWriter::new(self.budget);
        sums(&self.entries).try_for_each(|(key, count)| run.push(key, count))?;
        self.runs.push(run.finish()?);
        self.entries.clear();
        Ok(())
    }

    /// The keys in order with their counts.
    pub(crate) fn finish(mut self) -> Result<Counted<E>, StoreError> {
        if self.runs.is_empty() {
            self.entries.par_sort_unstable();
            return Ok(Counted::Memory(self.entries));
        }
        self.spill()?;
        drop(self.entries);
        Counted::merged(self.budget, self.share, self.runs)
    }
}

/// Keys in order with their counts.
#[derive(Debug)]
pub(crate) enum Counted<E = u64> {
    /// Each entry as often as it was counted.
    Memory(Vec<E>),
    /// Runs, in each of which a key stands once.
    Runs(Vec<Blocks>),
}

impl<E: KeyedCount> Counted<E> {
    /// The sum of runs, of which at most so many are left as can be merged at a time.
    pub(crate) fn merged(budget: &Budget, share: usize, mut runs: Vec<Blocks>) -> Result<Self, StoreError> {
        let fan_in = Budget::fan_in(share, RUN_BYTES);
        while runs.len() > fan_in {
            let rest = runs.split_off(fan_in);
            let mut sum = RunWriter::new(budget);
            Counted::<E>::Runs(runs).for_each(|key, count| sum.push(key, count))?;
            runs = rest;
            runs.push(sum.finish()?);
        }
        Ok(Self::Runs(runs))
    }

    /// Calls `take` with each key and its count, in the order of the keys.
    pub(crate) fn for_each<F: From<StoreError>>(
        self,
        mut take: impl FnMut(u64, u64) -> Result<(), F>,
    ) -> Result<(), F> {
        let runs = match self {
            Self::Memory(entries) => return sums(&entries).try_for_each(|(key, count)| take(key, count)),
            Self::Runs(runs) => runs,
        };
        let run = |blocks| KeyRun { entries: EntryReader::new(blocks), key: 0, count: 0 };
        let mut merge = Merge::new(runs.into_iter().map(run).collect())?;
        let Some((_, run)) = merge.front() else { return Ok(()) };
        let (mut key, mut count) = (run.key, 0);
        while let Some((_, run)) = merge.front() {
            if run.key != key {
                take(key, count)?;
                (key, count) = (run.key, 0);
            }
            count += run.count;
            merge.advance()?;
        }
        take(key, count)
    }
}

/// Writes a run: keys in order, each once, with their counts.
pub(crate) struct RunWriter {
    blocks: BlockWriter,
    bytes: Vec<u8>,
    last: u64,
}

impl RunWriter {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self { blocks: BlockWriter::new(budget), bytes: Vec::new(), last: 0 }
    }

    pub(crate) fn push(&mut self, key: u64, count: u64) -> Result<(), StoreError> {
        put_varint(&mut self.bytes, key - self.last);
        put_varint(&mut self.bytes, count);
        self.last = key;
        if self.bytes.len() >= BLOCK_BYTES {
            self.blocks.write(&self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Blocks, StoreError> {
        if !self.bytes.is_empty() {
            self.blocks.write(&self.bytes)?;
        }
        Ok(self.blocks.finish())
    }
}

struct KeyRun {
    entries: EntryReader,
    key: u64,
    count: u64,
}

impl SortedRun for KeyRun {
    fn order(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }

    fn advance(&mut self) -> Result<bool, StoreError> {
        self.entries.next(|entry| {
            self.key += entry.varint()?;
            self.count = entry.varint()?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use recsys_testkit::seed::cases;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(cases(60))]

        #[test]
        fn the_share_never_shows(
            keys in proptest::collection::vec(prop_oneof![0..40u64, any::<u64>()], 0..600),
            share in 0..3000usize,
        ) {
            let mut expected = BTreeMap::new();
            for key in &keys {
                *expected.entry(*key).or_insert(0u64) += 1;
            }
            let budget = Budget::default();
            let mut tally = Tally::new(&budget, share);
            for key in &keys {
                tally.push(*key).unwrap();
            }
            let mut counted = Vec::new();
            tally.finish().unwrap().for_each(|key, count| { counted.push((key, count)); Ok::<_, StoreError>(()) }).unwrap();
            prop_assert_eq!(counted, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
