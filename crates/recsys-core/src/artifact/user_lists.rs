//! What `implicit` and `session_seq` share: a ranked list of items for each user.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Defect;
use super::compare::{Items, Outline, RowsOf, Weight};
use super::ranking::{check_ranked, check_sorted, keep_best};
use crate::events::EventTable;
use crate::json;
use crate::limit::Limits;

/// An item and its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ItemScore<'a> {
    /// The item.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// Greater is better.
    pub score: f64,
}

json::object!(ItemScore<'a> and Serialize);

/// The items of one user, by score descending, then item id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct UserItems<'a> {
    /// The user.
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    /// The user's items.
    pub items: Vec<ItemScore<'a>>,
}

json::object!(UserItems<'a> and Serialize);

/// A pair of user and item as one sortable number.
pub(super) fn pair(user: u32, item: u32) -> u64 {
    u64::from(user) << 32 | u64::from(item)
}

/// A row for every user of the table: the items paired with the user, by how often the pair occurs.
pub(super) fn count<'a>(table: &'a EventTable, mut pairs: Vec<u64>, limits: &Limits) -> Vec<UserItems<'a>> {
    pairs.par_sort_unstable();
    let users: Vec<(u32, &str)> = (0..).zip(table.users.strings().iter()).collect();
    let row = |&(user, user_id): &(u32, &'a str)| {
        let start = pairs.partition_point(|&p| p < pair(user, 0));
        let own = &pairs[start..];
        let own = &own[..own.partition_point(|&p| p <= pair(user, u32::MAX))];
        let counted = own.chunk_by(|a, b| a == b);
        let mut ranked: Vec<(u32, usize)> = counted.map(|same| (item(same[0]), same.len())).collect();
        keep_best(&mut ranked, limits.max_items_per_user);
        let items = ranked.into_iter().map(|(item, count)| ItemScore {
            item_id: Cow::Borrowed(table.items.get(item)),
            score: exact(count),
        });
        UserItems { user_id: Cow::Borrowed(user_id), items: items.collect() }
    };
    users.par_iter().map(row).collect()
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half of 64 bits")]
fn item(pair: u64) -> u32 {
    pair as u32
}

#[allow(clippy::cast_precision_loss, reason = "no window holds 2^53 events")]
fn exact(count: usize) -> f64 {
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
        check_ranked(&list(), row.items.iter().map(|item| (&*item.item_id, item.score)))?;
        limits
            .check_cut("max_items_per_user", limits.max_items_per_user, row.items.len())
            .map_err(|error| error.in_place(list()))?;
    }
    Ok(())
}
