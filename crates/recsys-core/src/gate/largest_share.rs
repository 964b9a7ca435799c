//! The share of a single user or session in an item's events.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Subject;
use crate::columnar::dictionary::Dictionary;
use crate::columnar::pair::{high, pair};
use crate::columnar::spill::{Budget, Tally, Weighed};
use crate::storage::StoreError;
use crate::table::events::EventTable;

/// The item in whose events a single user or session has the largest share.
#[derive(Debug, Clone, PartialEq)]
pub struct LargestShare {
    /// Whether the share is that of a user or of a session.
    pub of: Subject,
    /// Id of the item.
    pub item: String,
    /// The share of the item's weighted count.
    pub share: f64,
}

impl LargestShare {
    /// Looks at the `top` items with the largest counts; ties go by item id. Events without a user count for no user.
    pub(crate) fn in_top_items(
        table: &EventTable,
        top: u32,
        budget: &Budget,
    ) -> Result<Vec<Self>, StoreError> {
        let mut events_of = vec![0u64; table.items.len()];
        table.for_each(|events| {
            for item in events.item {
                events_of[*item as usize] += events.weight;
            }
            Ok::<(), StoreError>(())
        })?;
        let mut ranked: Vec<(Reverse<u64>, u32)> =
            events_of.iter().map(|events| Reverse(*events)).zip(0..).collect();
        let first = (top as usize).min(ranked.len());
        if first < ranked.len() {
            ranked.select_nth_unstable(first);
        }
        let looked_at: BTreeMap<u32, u64> =
            ranked[..first].iter().map(|(events, item)| (*item, events.0)).collect();

        let share = budget.user_items();
        let (mut users, mut sessions) = (Tally::new(budget, share), Tally::new(budget, share));
        table.for_each(|events| {
            let weight = events.weight;
            for ((item, user), session) in events.item.iter().zip(events.user).zip(events.session) {
                if looked_at.contains_key(item) {
                    sessions.push(Weighed { key: pair(*item, *session), weight })?;
                    if *user > 0 {
                        users.push(Weighed { key: pair(*item, *user), weight })?;
                    }
                }
            }
            Ok::<(), StoreError>(())
        })?;
        let of_users = Self::greatest(Subject::ShareOfOneUser, &table.items, &looked_at, users)?;
        let of_sessions = Self::greatest(Subject::ShareOfOneSession, &table.items, &looked_at, sessions)?;
        Ok(of_users.into_iter().chain(of_sessions).collect())
    }

    /// The largest share; among equal ones, the first in the order of item ids.
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    fn greatest(
        of: Subject,
        items: &Dictionary,
        events_of: &BTreeMap<u32, u64>,
        counted: Tally<'_, Weighed>,
    ) -> Result<Option<Self>, StoreError> {
        let mut greatest: Option<(u32, f64)> = None;
        counted.finish()?.for_each(|key, count| {
            let item = high(key);
            let share = count as f64 / events_of[&item] as f64;
            if greatest.is_none_or(|(_, most)| share > most) {
                greatest = Some((item, share));
            }
            Ok::<(), StoreError>(())
        })?;
        Ok(greatest.map(|(item, share)| Self { of, item: items.get(item).to_owned(), share }))
    }
}
