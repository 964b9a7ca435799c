//! What `implicit` and `session_seq` share: a ranked list of items for each user.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::Deserialize;

use super::compare::{Items, Outline, RowsOf, Weight};
use super::pair::{high, low, pair};
use super::ranking::{check_ranked, check_sorted, keep_best};
use super::{Defect, Encode, push_rows};
use crate::events::EventTable;
use crate::interrupt;
use crate::json;
use crate::limit::Limits;
use crate::spill::{Budget, Counted, Entry, Tally, Weighed, sums};
use crate::storage::StoreError;

/// An item and its score.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ItemScore<'a> {
    /// The item.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// Greater is better.
    pub score: f64,
}

json::object!(ItemScore<'a>);

impl Encode for ItemScore<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"item_id\":");
        json::push_text(out, &self.item_id);
        out.extend_from_slice(b",\"score\":");
        json::push(out, &self.score);
        out.push(b'}');
    }
}

/// The items of one user, by score descending, then item id.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct UserItems<'a> {
    /// The user.
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    /// The user's items.
    pub items: Vec<ItemScore<'a>>,
}

json::object!(UserItems<'a>);

impl Encode for UserItems<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"user_id\":");
        json::push_text(out, &self.user_id);
        out.extend_from_slice(b",\"items\":[");
        push_rows(out, &self.items);
        out.extend_from_slice(b"]}");
    }
}

/// Counts the pairs of user and item of the events whose user is known and which `takes` takes.
pub(super) fn pairs(
    table: &EventTable,
    budget: &Budget,
    mut takes: impl FnMut(u32) -> bool,
) -> Result<Counted, StoreError> {
    let mut tally = Tally::new(budget, budget.user_items());
    table.for_each(|events| {
        for (user, item) in events.user.iter().zip(events.item) {
            if let Some(user) = user.checked_sub(1).filter(|user| takes(*user)) {
                tally.push(pair(user, *item))?;
            }
        }
        Ok::<_, StoreError>(())
    })?;
    tally.finish()
}

/// Adds up the weights of the events of each pair of user and item, where the user is known.
pub(super) fn weighed_pairs(table: &EventTable, budget: &Budget) -> Result<Counted<Weighed>, StoreError> {
    let mut tally = Tally::new(budget, budget.user_items());
    table.for_each(|events| {
        for (user, item) in events.user.iter().zip(events.item) {
            if let Some(user) = user.checked_sub(1) {
                tally.push(Weighed { key: pair(user, *item), weight: events.weight })?;
            }
        }
        Ok::<_, StoreError>(())
    })?;
    tally.finish()
}

/// A row for every user of the table: the items paired with the user, by how often the pair was counted.
pub(super) fn rows<'a, E: Entry>(
    table: &'a EventTable,
    counted: Counted<E>,
    limits: &Limits,
) -> Result<Vec<UserItems<'a>>, StoreError> {
    let row = |user_id: &'a str, mut ranked: Vec<(u32, u64)>| {
        keep_best(&mut ranked, limits.max_items_per_user);
        let items = ranked.into_iter().map(|(item, count)| ItemScore {
            item_id: Cow::Borrowed(table.items.get(item)),
            score: exact(count),
        });
        UserItems { user_id: Cow::Borrowed(user_id), items: items.collect() }
    };
    let mut users = (0u32..).zip(table.users.strings().iter());
    if let Counted::Memory(pairs) = counted {
        let users: Vec<(u32, &str)> = users.collect();
        let row = |&(user, user_id): &(u32, &'a str)| {
            let start = pairs.partition_point(|p| p.key() < pair(user, 0));
            let own = &pairs[start..];
            let own = &own[..own.partition_point(|p| p.key() <= pair(user, u32::MAX))];
            row(user_id, sums(own).map(|(pair, count)| (low(pair), count)).collect())
        };
        let rows = users.par_iter().map(|user| interrupt::check().map(|()| row(user)));
        return Ok(rows.collect::<Result<_, _>>()?);
    }
    let mut rows = Vec::with_capacity(table.users.len());
    let mut current = users.next();
    let mut ranked = Vec::new();
    counted.for_each(|pair, count| {
        while let Some((_, user_id)) = current.filter(|(user, _)| *user < high(pair)) {
            rows.push(row(user_id, std::mem::take(&mut ranked)));
            current = users.next();
        }
        ranked.push((low(pair), count));
        Ok::<_, StoreError>(())
    })?;
    for (_, user_id) in current.into_iter().chain(users) {
        rows.push(row(user_id, std::mem::take(&mut ranked)));
    }
    Ok(rows)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "no window holds 2^53 events, and the table has checked what they weigh"
)]
fn exact(count: u64) -> f64 {
    count as f64
}

/// The weight of an item is the sum of its scores over all users.
pub(super) fn outline<'a>(users: &'a [UserItems<'a>]) -> Outline<'a> {
    let scores = users.iter().flat_map(|row| &row.items);
    let weights = scores.map(|item| (&*item.item_id, Weight::of_score(item.score)));
    let ids = users.iter().map(|row| &*row.user_id).collect();
    Outline { items: Items::weighed(weights), rows: Some((RowsOf::Users, ids)) }
}

pub(super) fn check(users: &[UserItems<'_>], limits: &Limits) -> Result<(), Defect> {
    check_sorted("users", users.iter().map(|row| &*row.user_id))?;
    limits.check("max_users_per_run", limits.max_users_per_run, users.len())?;
    for row in users {
        let list = || format!("items of user {:?}", row.user_id);
        check_ranked(list, row.items.iter().map(|item| (&*item.item_id, item.score)))?;
        limits
            .check_cut("max_items_per_user", limits.max_items_per_user, row.items.len())
            .map_err(|error| error.in_place(list()))?;
    }
    Ok(())
}
