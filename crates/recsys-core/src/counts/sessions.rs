//! The distinct items of sessions, and in how many sessions each item is.

use std::borrow::Cow;

use super::CountError;
use crate::columnar::csr::Csr;
use crate::columnar::dictionary::number;
use crate::columnar::pair::{high, low, pair};
use crate::columnar::spill::{Budget, Tally};
use crate::domain::limit::{Limit, Limits, OversizedSessions};
use crate::storage::StoreError;
use crate::table::events::EventTable;

/// How many sessions there are, those with a single item among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marginals {
    /// All that count.
    pub sessions: u64,
    /// Of each item, how many of them hold it.
    pub sessions_of: Vec<u32>,
    /// Sessions that do not count, because they hold more than `max_items_per_session` items.
    pub skipped: u64,
}

/// The items of sessions, end to end: of each session how many there are, then their ids.
#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<u32>);

impl Sessions {
    /// So few sessions that where each begins is a number of 32 bits.
    const MOST_BYTES: usize = u32::MAX as usize;

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, items: &[u32]) {
        self.0.push(number(items.len()));
        self.0.extend_from_slice(items);
    }

    /// The items of the session that begins at `start`.
    pub(super) fn get(&self, start: u32) -> &[u32] {
        let start = start as usize;
        &self.0[start + 1..][..self.0[start] as usize]
    }

    /// Each session: where it begins, and its items.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[u32])> {
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

/// Hands the sessions with at least two items to `take`, as many at a time as fit in memory.
pub(super) fn for_each_chunk(
    events: &EventTable,
    budget: &Budget,
    limits: &Limits,
    mut take: impl FnMut(Sessions) -> Result<(), StoreError>,
) -> Result<Marginals, CountError> {
    let share = (budget.session_pairs() / 2).min(Sessions::MOST_BYTES);
    let mut marginals = Marginals { sessions_of: vec![0; events.items.len()], ..Marginals::default() };
    let mut chunk = Sessions::default();
    for_each_session(events, budget, |session, items| {
        // A session of one item makes no pair, so no limit on pairs speaks of it.
        let checked =
            if items.len() > 1 { limits.check(Limit::ItemsPerSession, items.len()) } else { Ok(()) };
        match checked {
            Ok(()) => {}
            Err(_) if limits.oversized_sessions == OversizedSessions::Skip => {
                marginals.skipped += 1;
                return Ok(());
            }
            Err(exceeded) => {
                let id = events.sessions.get(session);
                let mut exceeded = exceeded.in_place(format_args!("session {id:?}"));
                exceeded.alternative = Cow::Borrowed(", or set limits.oversized_sessions to skip");
                return Err(exceeded.into());
            }
        }
        marginals.sessions += 1;
        for item in items {
            marginals.sessions_of[*item as usize] += 1;
        }
        if items.len() > 1 {
            chunk.push(items);
        }
        if chunk.bytes() >= share {
            take(std::mem::take(&mut chunk))?;
        }
        Ok(())
    })?;
    take(chunk)?;
    Ok(marginals)
}

/// Calls `take` with each session and its distinct items, in the order of both.
fn for_each_session(
    events: &EventTable,
    budget: &Budget,
    mut take: impl FnMut(u32, &[u32]) -> Result<(), CountError>,
) -> Result<(), CountError> {
    // What is made of the sessions is in memory together with what they are made from.
    let share = budget.session_pairs() / 2;
    let mut items = Vec::new();
    if Csr::bytes(events.sessions.len(), events.len()) <= share {
        let groups = Csr::new(events.sessions.len(), |take| {
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
        Ok::<_, CountError>(())
    })?;
    if items.is_empty() { Ok(()) } else { take(session, &items) }
}
