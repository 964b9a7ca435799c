//! Pairs of items: in how many sessions two items are together.
//!
//! The pairs are counted row by row: for one item, walk the sessions that hold it and count the other items
//! in them. Nothing but what is made of the rows is kept, so memory is the two directions of the session–item
//! relation, one array of counts for each thread, and that; it does not grow with the number of
//! pairs. A row depends on nothing but its sessions, so neither the number of threads nor the order in which
//! rows are taken shows in the result.
//!
//! Where the relation does not fit in memory, as many sessions are taken at a time as do. The counts of each
//! such part are written as a sorted run, and the runs are summed before anything is dropped.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::CountError;
use super::sessions::{Marginals, Sessions, for_each_chunk};
use crate::columnar::counter::Counter;
use crate::columnar::csr::Csr;
use crate::columnar::pair::{high, low, pair};
use crate::columnar::spill::{Blocks, Budget, Counted, RunWriter};
use crate::domain::limit::Limits;
use crate::storage::StoreError;
use crate::table::events::EventTable;
use crate::threads::interrupt::{self, Interrupted};

/// The pairs of a window, ready to be counted row by row. Each unordered pair of distinct items counts once per session.
#[derive(Debug)]
pub(crate) struct Pairs {
    /// The sessions of each item, and of all.
    pub(crate) marginals: Marginals,
    rows: PairRows,
    min_support: u32,
}

#[derive(Debug)]
enum PairRows {
    Relation(Relation),
    Counted(Counted),
}

impl Pairs {
    /// Groups the events by session, and counts what cannot be counted later for want of memory. Pairs in fewer than
    /// `min_cooc_support` sessions are not counted.
    pub(crate) fn new(events: &EventTable, budget: &Budget, limits: &Limits) -> Result<Self, CountError> {
        let items = events.items.len();
        let mut runs = Vec::new();
        let mut last = Sessions::default();
        let marginals = for_each_chunk(events, budget, limits, |sessions| {
            if !last.is_empty() {
                runs.push(write_run(&Relation::new(std::mem::take(&mut last), items), budget)?);
            }
            last = sessions;
            Ok(())
        })?;
        let relation = Relation::new(last, items);
        let rows = if runs.is_empty() {
            PairRows::Relation(relation)
        } else {
            runs.push(write_run(&relation, budget)?);
            drop(relation);
            PairRows::Counted(Counted::merged(budget, budget.session_pairs(), runs)?)
        };
        Ok(Self { marginals, rows, min_support: limits.min_cooc_support })
    }

    /// Hands each item that occurs with others to an accumulator, with the others and the number of common sessions of each,
    /// in no particular order. There is an accumulator for each thread.
    pub(crate) fn fold<A: Send>(
        self,
        new: impl Fn() -> A + Sync,
        add: impl Fn(&mut A, u32, Vec<(u32, u32)>) + Sync,
    ) -> Result<Vec<A>, StoreError> {
        let min_support = self.min_support;
        let add = |all: &mut A, item: u32, mut others: Vec<(u32, u32)>| {
            others.retain(|(other, count)| *other != item && *count >= min_support);
            add(all, item, others);
        };
        match self.rows {
            PairRows::Relation(relation) => Ok(relation.fold(new, add)?),
            PairRows::Counted(counted) => {
                let mut all = new();
                for_each_row(counted, |item, others| add(&mut all, item, others))?;
                Ok(vec![all])
            }
        }
    }
}

/// Both directions of the relation between sessions and items.
#[derive(Debug)]
struct Relation {
    sessions: Sessions,
    /// Where the sessions of each item begin.
    sessions_of: Csr,
    items: usize,
}

/// Sessions whose lengths are looked up before the first of them is counted: a processor fetches many of them in the
/// time of one.
const SESSIONS_AHEAD: usize = 16;

/// Items that one thread takes at a time: small, because a popular item's row is a thousand times the work
/// of a rare one's.
const BATCH_ROWS: usize = 16;

impl Relation {
    fn new(sessions: Sessions, items: usize) -> Self {
        let Ok(sessions_of) = Csr::new(items, |take| {
            let mut same = Vec::new();
            for (session, items) in sessions.iter() {
                same.clear();
                same.resize(items.len(), session);
                take(items, &same);
            }
            Ok::<_, Infallible>(())
        });
        Self { sessions, sessions_of, items }
    }

    /// Items that occur with others, from `first` on.
    fn items(&self, first: usize, count: usize) -> impl Iterator<Item = u32> {
        let items = (0..=u32::MAX).take(self.items).skip(first).take(count);
        items.filter(|item| !self.sessions_of.get(*item).is_empty())
    }

    /// Counts the sessions that `item` shares with each other one, and with itself.
    fn count(&self, item: u32, counter: &mut Counter) -> Vec<(u32, u32)> {
        for sessions in self.sessions_of.get(item).chunks(SESSIONS_AHEAD) {
            let mut ahead: [&[u32]; SESSIONS_AHEAD] = [&[]; SESSIONS_AHEAD];
            for (items, session) in ahead.iter_mut().zip(sessions) {
                *items = self.sessions.get(*session);
            }
            for items in ahead {
                counter.add(items);
            }
        }
        counter.take()
    }

    fn fold<A: Send>(
        &self,
        new: impl Fn() -> A + Sync,
        add: impl Fn(&mut A, u32, Vec<(u32, u32)>) + Sync,
    ) -> Result<Vec<A>, Interrupted> {
        let next = AtomicUsize::new(0);
        let of_threads = rayon::broadcast(|_| {
            let mut counter = Counter::new(self.items);
            let mut all = new();
            loop {
                interrupt::check()?;
                let first = next.fetch_add(BATCH_ROWS, Ordering::Relaxed);
                if first >= self.items {
                    return Ok(all);
                }
                for item in self.items(first, BATCH_ROWS) {
                    add(&mut all, item, self.count(item, &mut counter));
                }
            }
        });
        of_threads.into_iter().collect()
    }
}

/// Batches whose rows are in memory together before they are written.
const BATCHES: usize = 16;

/// Writes the counts of all pairs of a relation.
fn write_run(relation: &Relation, budget: &Budget) -> Result<Blocks, StoreError> {
    let mut run = RunWriter::new(budget);
    for first in (0..relation.items).step_by(BATCH_ROWS * BATCHES) {
        let batches: Vec<Vec<(u64, u32)>> = (0..BATCHES)
            .into_par_iter()
            .map_init(
                || Counter::new(relation.items),
                |counter, batch| {
                    let mut counts = Vec::new();
                    for item in relation.items(first + batch * BATCH_ROWS, BATCH_ROWS) {
                        let mut row = relation.count(item, counter);
                        row.sort_unstable();
                        counts.extend(row.into_iter().map(|(other, count)| (pair(item, other), count)));
                    }
                    counts
                },
            )
            .collect();
        batches.iter().flatten().try_for_each(|(pair, count)| run.push(*pair, u64::from(*count)))?;
    }
    run.finish()
}

/// Calls `take` with each item and what it was counted with.
fn for_each_row(counted: Counted, mut take: impl FnMut(u32, Vec<(u32, u32)>)) -> Result<(), StoreError> {
    let mut item = 0;
    let mut row: Vec<(u32, u32)> = Vec::new();
    counted.for_each(|pair, count| {
        if high(pair) != item && !row.is_empty() {
            take(item, std::mem::take(&mut row));
        }
        item = high(pair);
        row.push((low(pair), u32::try_from(count).unwrap_or(u32::MAX)));
        Ok::<_, StoreError>(())
    })?;
    if !row.is_empty() {
        take(item, row);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_of_an_item_are_where_they_begin() {
        let mut sessions = Sessions::default();
        sessions.push(&[1, 3]);
        sessions.push(&[0, 1, 2]);
        assert_eq!(sessions.iter().collect::<Vec<_>>(), [(0, &[1, 3][..]), (3, &[0, 1, 2])]);
        let relation = Relation::new(sessions, 5);
        assert_eq!(relation.sessions_of.iter().collect::<Vec<_>>(), [&[3][..], &[0, 3], &[3], &[0], &[]]);
        assert_eq!(relation.items(1, 9).collect::<Vec<_>>(), [1, 2, 3]);
        let mut counts = relation.count(1, &mut Counter::new(5));
        counts.sort_unstable();
        assert_eq!(counts, [(0, 1), (1, 2), (2, 1), (3, 1)]);
    }
}
