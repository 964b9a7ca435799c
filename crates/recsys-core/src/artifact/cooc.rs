//! `cooc`: which items occur together in a session.
//!
//! The pairs are counted row by row: for one item, walk the sessions that hold it and count the other items
//! in them into an array with one slot for each item of the window. Nothing but the finished rows is kept,
//! so memory is the two directions of the session–item relation, one counting array for each thread, and
//! the best rows; it does not grow with the number of pairs. A row depends on nothing but its sessions,
//! so neither the number of threads nor the order in which rows are taken shows in the result.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::compare::{Items, Outline, RowsOf, Weight};
use super::ranking::{check_ranked, check_sorted, keep_best};
use super::{Built, Defect, Inputs, ItemCount, KindPayload, Source, item_count};
use crate::events::EventTable;
use crate::json;
use crate::limit::{LimitExceeded, Limits, OversizedSessions};

/// The neighbours of one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Neighbors<'a> {
    /// The item.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// The items it occurs with, by count of common sessions descending, then item id.
    pub items: Vec<ItemCount<'a>>,
}

json::object!(Neighbors<'a> and Serialize);

/// Rows by item id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload<'a>(#[serde(borrow)] pub Vec<Neighbors<'a>>);

impl<'a> KindPayload<'a> for Payload<'a> {
    const FIELD: &'static str = "neighbors";
    const SOURCE: Source = Source::Events;

    /// Counts each unordered pair of distinct items once per session.
    ///
    /// Pairs in fewer than `min_cooc_support` sessions are dropped, each row keeps its best
    /// `max_neighbors_per_item`, and of the rows the `max_items_per_artifact` with the greatest totals of
    /// kept counts stay.
    fn build(inputs: &Inputs<'a>, limits: &Limits) -> Result<Built<Self>, LimitExceeded> {
        let items = &inputs.events.items;
        let (sessions, skipped_sessions) = sessions(inputs.events, limits)?;
        let rows = finish(count(&sessions, items.len(), limits), limits.max_items_per_artifact);
        let neighbors = rows.into_iter().map(|row| Neighbors {
            item_id: Cow::Borrowed(items.get(row.item)),
            items: row.kept.iter().map(|(item, count)| item_count(items, *item, u64::from(*count))).collect(),
        });
        Ok(Built { payload: Self(neighbors.collect()), skipped_sessions })
    }

    fn check(&self, limits: &Limits) -> Result<(), Defect> {
        check_sorted("neighbors", self.0.iter().map(|row| &*row.item_id))?;
        limits.check_cut("max_items_per_artifact", limits.max_items_per_artifact, self.0.len())?;
        for row in &self.0 {
            let list = || format!("neighbors of {:?}", row.item_id);
            check_ranked(&list(), row.items.iter().map(ItemCount::scored))?;
            limits
                .check_cut("max_neighbors_per_item", limits.max_neighbors_per_item, row.items.len())
                .map_err(|error| error.in_place(list()))?;
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// The weight of an item is the sum of the counts of its row. An item that is only a neighbour, because
    /// its own row was cut, has no weight and does not count.
    fn outline(&self) -> Outline<'_> {
        let ids = || self.0.iter().map(|row| &*row.item_id);
        let sums = self.0.iter().map(|row| row.items.iter().map(|item| Weight::from(item.count)).sum());
        Outline { items: Items::weighed(ids().zip(sums)), rows: Some((RowsOf::Items, ids().collect())) }
    }
}

/// Lists of ids, end to end.
#[derive(Debug, Default, PartialEq)]
struct Lists {
    starts: Vec<usize>,
    ids: Vec<u32>,
}

impl Lists {
    fn get(&self, list: u32) -> &[u32] {
        let list = list as usize;
        &self.ids[self.starts[list]..self.starts[list + 1]]
    }
}

/// The distinct items of each session that has at least two, and how many sessions were skipped for their
/// size.
fn sessions(table: &EventTable, limits: &Limits) -> Result<(Lists, u64), LimitExceeded> {
    let pack = |(session, item): (&u32, &u32)| u64::from(*session) << 32 | u64::from(*item);
    let mut pairs: Vec<u64> = table.session.par_iter().zip(&table.item).map(pack).collect();
    pairs.par_sort_unstable();
    pairs.dedup();
    let mut lists = Lists { starts: vec![0], ids: Vec::with_capacity(pairs.len()) };
    let mut skipped = 0;
    for session in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
        if session.len() < 2 {
            continue;
        }
        if let Err(exceeded) =
            limits.check("max_items_per_session", limits.max_items_per_session, session.len())
        {
            if limits.oversized_sessions == OversizedSessions::Skip {
                skipped += 1;
                continue;
            }
            let id = table.sessions.get(high(session[0]));
            let mut exceeded = exceeded.in_place(format_args!("session {id:?}"));
            exceeded.alternative = ", or set limits.oversized_sessions to skip";
            return Err(exceeded);
        }
        lists.ids.extend(session.iter().map(|pair| low(*pair)));
        lists.starts.push(lists.ids.len());
    }
    Ok((lists, skipped))
}

#[allow(clippy::cast_possible_truncation, reason = "the upper half of 64 bits")]
fn high(pair: u64) -> u32 {
    (pair >> 32) as u32
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half of 64 bits")]
fn low(pair: u64) -> u32 {
    pair as u32
}

/// The sessions of each item: the transpose of `sessions`.
fn transpose(sessions: &Lists, items: usize) -> Lists {
    let mut starts = vec![0; items + 1];
    for item in &sessions.ids {
        starts[*item as usize + 1] += 1;
    }
    for item in 0..items {
        starts[item + 1] += starts[item];
    }
    let mut next = starts.clone();
    let mut ids = vec![0; sessions.ids.len()];
    for (session, list) in (0u32..).zip(sessions.starts.windows(2)) {
        for item in &sessions.ids[list[0]..list[1]] {
            ids[next[*item as usize]] = session;
            next[*item as usize] += 1;
        }
    }
    Lists { starts, ids }
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
    /// Better rows first; ties by item id.
    fn rank(&self) -> (Reverse<u64>, u32) {
        (Reverse(self.total), self.item)
    }
}

/// Items that one thread takes at a time: small, because a popular item's row is a thousand times the work
/// of a rare one's.
const BATCH_ROWS: usize = 16;

/// Counts the row of every item that occurs with another; each thread returns the best it has seen, at
/// least `max_items_per_artifact` if there are as many.
fn count(sessions: &Lists, items: usize, limits: &Limits) -> Vec<Row> {
    let sessions_of = transpose(sessions, items);
    let next = AtomicUsize::new(0);
    let per_thread: Vec<Vec<Row>> = rayon::broadcast(|_| {
        let mut counts = vec![0u32; items];
        let mut met: Vec<u32> = Vec::new();
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let first = next.fetch_add(BATCH_ROWS, Ordering::Relaxed);
            if first >= items {
                return rows;
            }
            let batch = (0..=u32::MAX).take(items).skip(first).take(BATCH_ROWS);
            for item in batch.filter(|item| !sessions_of.get(*item).is_empty()) {
                for session in sessions_of.get(item) {
                    for other in sessions.get(*session) {
                        let count = &mut counts[*other as usize];
                        if *count == 0 {
                            met.push(*other);
                        }
                        *count += 1;
                    }
                }
                let mut kept: Vec<(u32, u32)> = Vec::new();
                for other in met.drain(..) {
                    let count = std::mem::take(&mut counts[other as usize]);
                    if other != item && count >= limits.min_cooc_support {
                        kept.push((other, count));
                    }
                }
                keep_best(&mut kept, limits.max_neighbors_per_item);
                kept.shrink_to_fit();
                let total = kept.iter().map(|(_, count)| u64::from(*count)).sum();
                rows.push(Row { item, total, kept });
            }
            if rows.len() > 2 * limits.max_items_per_artifact.max(1024) {
                keep_best_rows(&mut rows, limits.max_items_per_artifact);
            }
        }
    });
    per_thread.into_iter().flatten().collect()
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
    fn a_transpose_turns_sessions_into_items() {
        let sessions = Lists { starts: vec![0, 2, 5], ids: vec![1, 3, 0, 1, 2] };
        let items = transpose(&sessions, 5);
        let of = |item| items.get(item).to_vec();
        assert_eq!([of(0), of(1), of(2), of(3), of(4)], [vec![1], vec![0, 1], vec![1], vec![0], vec![]]);
    }
}
