//! `cooc`: which items occur together in a session.
//!
//! The pairs are counted row by row: for one item, walk the sessions that hold it and count the other items
//! in them. Nothing but the finished rows is kept, so memory is the two directions of the session–item
//! relation, one array of counts for each thread, and the best rows; it does not grow with the number of
//! pairs. A row depends on nothing but its sessions, so neither the number of threads nor the order in which
//! rows are taken shows in the result.
//!
//! Where the relation does not fit in memory, as many sessions are taken at a time as do. The counts of each
//! such part are written as a sorted run, and the runs are summed before anything is dropped or cut.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Deserialize;

use super::content::{BuildError, Defect, Inputs, KindPayload, Source};
use super::counter::Counter;
use super::encode::Encode;
use super::item_count::{ItemCount, item_count};
use super::outline::{Items, Outline, RowsOf, Weight};
use super::plain::{Cursor, Plain};
use super::ranking::{check_ranked, check_sorted, keep_best};
use super::sink::{self, Sink, push_rows};
use crate::columnar::csr::Groups;
use crate::columnar::dictionary::number;
use crate::columnar::pair::{high, low, pair};
use crate::columnar::spill::{Blocks, Budget, Counted, RunWriter, Tally};
use crate::domain::limit::{Limits, OversizedSessions};
use crate::encoding::json;
use crate::storage::StoreError;
use crate::threads::interrupt::{self, Interrupted};

/// The neighbours of one item.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Neighbors<'a> {
    /// The item.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// The items it occurs with, by count of common sessions descending, then item id.
    pub items: Vec<ItemCount<'a>>,
}

json::object!(Neighbors<'a>);

impl Encode for Neighbors<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"item_id\":");
        json::push_text(out, &self.item_id);
        out.extend_from_slice(b",\"items\":[");
        push_rows(out, &self.items);
        out.extend_from_slice(b"]}");
    }
}

impl<'a> Plain<'a> for Neighbors<'a> {
    fn read(text: &mut Cursor<'a>) -> Option<Self> {
        text.take(b"{\"item_id\":")?;
        let item_id = Cow::read(text)?;
        text.take(b",\"items\":")?;
        let items = text.list()?;
        text.take(b"}")?;
        Some(Self { item_id, items })
    }
}

/// Rows by item id.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Payload<'a>(#[serde(borrow)] pub Vec<Neighbors<'a>>);

impl<'a> KindPayload<'a> for Payload<'a> {
    type Row = Neighbors<'a>;

    const FIELD: &'static str = "neighbors";
    const SOURCE: Source = Source::Events;

    fn of(rows: Vec<Self::Row>) -> Self {
        Self(rows)
    }

    /// Counts each unordered pair of distinct items once per session.
    ///
    /// Pairs in fewer than `min_cooc_support` sessions are dropped, each row keeps its best
    /// `max_neighbors_per_item`, and of the rows the `max_items_per_artifact` with the greatest totals of
    /// kept counts stay.
    fn build(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<Self::Row>,
    ) -> Result<u64, BuildError> {
        let items = &*inputs.events.items;
        let budget = inputs.budget;
        let mut runs = Vec::new();
        let mut last = Sessions::default();
        let skipped_sessions = for_each_chunk(inputs, limits, |sessions| {
            if !last.0.is_empty() {
                runs.push(write_run(&Relation::new(std::mem::take(&mut last), items.len()), budget)?);
            }
            last = sessions;
            Ok(())
        })?;
        let relation = Relation::new(last, items.len());
        let rows = if runs.is_empty() {
            rows(&relation, limits)?
        } else {
            runs.push(write_run(&relation, budget)?);
            drop(relation);
            summed_rows(Counted::merged(budget, budget.session_pairs(), runs)?, limits)?
        };
        let rows = finish(rows, limits.max_items_per_artifact);
        let neighbors = |row: &Row| Neighbors {
            item_id: Cow::Borrowed(items.get(row.item)),
            items: row.kept.iter().map(|(item, count)| item_count(items, *item, u64::from(*count))).collect(),
        };
        sink::map(&rows, neighbors, sink);
        Ok(skipped_sessions)
    }

    fn check(&self, limits: &Limits) -> Result<(), Defect> {
        check_sorted("neighbors", self.0.iter().map(|row| &*row.item_id))?;
        limits.check_cut("max_items_per_artifact", limits.max_items_per_artifact, self.0.len())?;
        for row in &self.0 {
            let list = || format!("neighbors of {:?}", row.item_id);
            check_ranked(list, row.items.iter().map(ItemCount::scored))?;
            limits
                .check_cut("max_neighbors_per_item", limits.max_neighbors_per_item, row.items.len())
                .map_err(|error| error.in_place(list()))?;
        }
        Ok(())
    }

    fn rows(&self) -> &[Self::Row] {
        &self.0
    }

    /// The weight of an item is the sum of the counts of its row. An item that is only a neighbour, because
    /// its own row was cut, has no weight and does not count.
    fn outline(&self) -> Outline<'_> {
        let ids = || self.0.iter().map(|row| &*row.item_id);
        let sums = self.0.iter().map(|row| row.items.iter().map(|item| Weight::from(item.count)).sum());
        Outline { items: Items::weighed(ids().zip(sums)), rows: Some((RowsOf::Items, ids().collect())) }
    }
}

/// The items of sessions, end to end: of each session how many there are, then their ids.
#[derive(Default)]
struct Sessions(Vec<u32>);

impl Sessions {
    /// So few sessions that where each begins is a number of 32 bits.
    const MOST_BYTES: usize = u32::MAX as usize;

    fn push(&mut self, items: &[u32]) {
        self.0.push(number(items.len()));
        self.0.extend_from_slice(items);
    }

    /// The items of the session that begins at `start`.
    fn get(&self, start: u32) -> &[u32] {
        let start = start as usize;
        &self.0[start + 1..][..self.0[start] as usize]
    }

    /// Each session: where it begins, and its items.
    fn iter(&self) -> impl Iterator<Item = (u32, &[u32])> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let items = (start < self.0.len()).then(|| self.get(number(start)))?;
            let session = number(start);
            start += 1 + items.len();
            Some((session, items))
        })
    }

    /// What they and the sessions of their items take in memory.
    fn bytes(&self) -> usize {
        2 * size_of_val(&self.0[..])
    }
}

/// Calls `take` with each session and its distinct items, in the order of both.
fn for_each_session(
    inputs: &Inputs<'_>,
    mut take: impl FnMut(u32, &[u32]) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let Inputs { events, budget, .. } = inputs;
    // What is made of the sessions is in memory together with what they are made from.
    let share = budget.session_pairs() / 2;
    let mut items = Vec::new();
    if Groups::bytes(events.sessions.len(), events.len()) <= share {
        let groups = Groups::new(events.sessions.len(), |take| {
            events.for_each(|events| {
                take(events.session, events.item);
                Ok::<_, StoreError>(())
            })
        })?;
        return (0..).zip(groups.iter()).try_for_each(|(session, group)| {
            items.clear();
            items.extend_from_slice(group);
            items.sort_unstable();
            items.dedup();
            take(session, &items)
        });
    }
    let mut tally = Tally::new(budget, share);
    events.for_each(|events| {
        let mut pairs = events.session.iter().zip(events.item);
        pairs.try_for_each(|(session, item)| tally.push(pair(*session, *item)))
    })?;
    let mut session = 0;
    tally.finish()?.for_each(|pair, _| {
        if high(pair) != session {
            take(session, &items)?;
            items.clear();
            session = high(pair);
        }
        items.push(low(pair));
        Ok::<_, BuildError>(())
    })?;
    take(session, &items)
}

/// The distinct items of each session that has at least two, as many sessions at a time as fit in memory;
/// returns how many sessions were skipped for their size.
fn for_each_chunk(
    inputs: &Inputs<'_>,
    limits: &Limits,
    mut take: impl FnMut(Sessions) -> Result<(), StoreError>,
) -> Result<u64, BuildError> {
    let share = (inputs.budget.session_pairs() / 2).min(Sessions::MOST_BYTES);
    let mut skipped = 0;
    let mut chunk = Sessions::default();
    for_each_session(inputs, |session, items| {
        if items.len() < 2 {
            return Ok(());
        }
        match limits.check("max_items_per_session", limits.max_items_per_session, items.len()) {
            Ok(()) => chunk.push(items),
            Err(_) if limits.oversized_sessions == OversizedSessions::Skip => skipped += 1,
            Err(exceeded) => {
                let id = inputs.events.sessions.get(session);
                let mut exceeded = exceeded.in_place(format_args!("session {id:?}"));
                exceeded.alternative = ", or set limits.oversized_sessions to skip";
                return Err(exceeded.into());
            }
        }
        if chunk.bytes() >= share {
            take(std::mem::take(&mut chunk))?;
        }
        Ok(())
    })?;
    take(chunk)?;
    Ok(skipped)
}

/// Both directions of the relation between sessions and items.
struct Relation {
    sessions: Sessions,
    /// Where the sessions of each item begin.
    sessions_of: Groups,
    items: usize,
}

/// Sessions whose lengths are looked up before the first of them is counted: a processor fetches many of them in the
/// time of one.
const SESSIONS_AHEAD: usize = 16;

impl Relation {
    fn new(sessions: Sessions, items: usize) -> Self {
        let sessions_of = Groups::new(items, |take| {
            let mut same = Vec::new();
            for (session, items) in sessions.iter() {
                same.clear();
                same.resize(items.len(), session);
                take(items, &same);
            }
            Ok::<_, Infallible>(())
        });
        let Ok(sessions_of) = sessions_of;
        Self { sessions, sessions_of, items }
    }

    /// Items that occur with others, from `first` on.
    fn items(&self, first: usize, count: usize) -> impl Iterator<Item = u32> {
        let items = (0..=u32::MAX).take(self.items).skip(first).take(count);
        items.filter(|item| !self.sessions_of.get(*item).is_empty())
    }

    /// Counts the sessions that `item` shares with each other one.
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
        let mut counts = counter.take();
        counts.retain(|(other, _)| *other != item);
        counts
    }
}

#[derive(Debug)]
struct Row {
    item: u32,
    /// The sum of the kept counts.
    total: u64,
    /// Neighbour and count, best first.
    kept: Vec<(u32, u32)>,
}

impl Row {
    fn new(item: u32, mut kept: Vec<(u32, u32)>, limits: &Limits) -> Self {
        kept.retain(|(_, count)| *count >= limits.min_cooc_support);
        keep_best(&mut kept, limits.max_neighbors_per_item);
        kept.shrink_to_fit();
        Self { item, total: kept.iter().map(|(_, count)| u64::from(*count)).sum(), kept }
    }

    /// Better rows first; ties by item id.
    fn rank(&self) -> (Reverse<u64>, u32) {
        (Reverse(self.total), self.item)
    }
}

/// The best rows seen so far, and a few more.
struct BestRows {
    rows: Vec<Row>,
    most: usize,
}

impl BestRows {
    fn new(limits: &Limits) -> Self {
        Self { rows: Vec::new(), most: limits.max_items_per_artifact }
    }

    fn push(&mut self, row: Row) {
        self.rows.push(row);
        if self.rows.len() > 2 * self.most.max(1024) {
            keep_best_rows(&mut self.rows, self.most);
        }
    }
}

/// Items that one thread takes at a time: small, because a popular item's row is a thousand times the work
/// of a rare one's.
const BATCH_ROWS: usize = 16;

/// The row of every item that occurs with another; each thread returns the best it has seen, at least
/// `max_items_per_artifact` if there are as many.
fn rows(relation: &Relation, limits: &Limits) -> Result<Vec<Row>, StoreError> {
    let next = AtomicUsize::new(0);
    let per_thread: Vec<Result<Vec<Row>, Interrupted>> = rayon::broadcast(|_| {
        let mut counter = Counter::new(relation.items);
        let mut best = BestRows::new(limits);
        loop {
            interrupt::check()?;
            let first = next.fetch_add(BATCH_ROWS, Ordering::Relaxed);
            if first >= relation.items {
                return Ok(best.rows);
            }
            for item in relation.items(first, BATCH_ROWS) {
                best.push(Row::new(item, relation.count(item, &mut counter), limits));
            }
        }
    });
    let per_thread: Vec<Vec<Row>> = per_thread.into_iter().collect::<Result<_, _>>()?;
    Ok(per_thread.into_iter().flatten().collect())
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

/// The rows of counted pairs.
fn summed_rows(counted: Counted, limits: &Limits) -> Result<Vec<Row>, StoreError> {
    let mut best = BestRows::new(limits);
    let mut item = 0;
    let mut row: Vec<(u32, u32)> = Vec::new();
    counted.for_each(|pair, count| {
        if high(pair) != item && !row.is_empty() {
            best.push(Row::new(item, std::mem::take(&mut row), limits));
        }
        item = high(pair);
        row.push((low(pair), u32::try_from(count).unwrap_or(u32::MAX)));
        Ok::<_, StoreError>(())
    })?;
    if !row.is_empty() {
        best.push(Row::new(item, row, limits));
    }
    Ok(best.rows)
}

fn keep_best_rows(rows: &mut Vec<Row>, most: usize) {
    if rows.len() > most {
        rows.select_nth_unstable_by_key(most, Row::rank);
        rows.truncate(most);
    }
}

/// The best rows, in the order of their items.
fn finish(mut rows: Vec<Row>, most: usize) -> Vec<Row> {
    keep_best_rows(&mut rows, most);
    rows.sort_unstable_by_key(|row| row.item);
    rows
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
        assert_eq!(counts, [(0, 1), (2, 1), (3, 1)]);
    }
}
