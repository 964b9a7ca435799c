//! The shape of `implicit` and `session_seq`: a ranked list of items for each user.

use std::borrow::Cow;

use serde::Deserialize;

use super::content::ModelInputs;
use super::outline::{Items, Outline, RowsOf, Weight};
use super::ranking::{best, check_ranked, check_sorted};
use super::row::{Defect, Row, object_of_two};
use crate::columnar::dictionary::Dictionary;
use crate::domain::limit::{Cut, Limit, Limits};
use crate::score::{RowCut, Score, Scorer};
use crate::table::events::EventTable;

/// An item and its score.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ItemScore<'a> {
    /// The item id.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// The score; greater is better.
    pub score: f64,
}

object_of_two!(ItemScore, item_id, score);

/// The items of one user; none if nothing of theirs counts. Rows stand in the order of their ids.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct UserItems<'a> {
    /// The user id.
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    /// The user's items, by score descending, ties by item id.
    pub items: Vec<ItemScore<'a>>,
}

object_of_two!(UserItems, user_id, items);

/// Builds the row of `user` with the best `max_items_per_user` of the counted items.
pub(super) fn finish<'a>(
    events: &'a EventTable,
    scorer: &impl Scorer<u64>,
    limits: &Limits,
    user: u32,
    counts: &[(u32, u64)],
) -> UserItems<'a> {
    let ranked = best(scorer, user, counts, limits.max_items_per_user);
    let items = ranked.iter().map(|(item, score)| ItemScore {
        item_id: Cow::Borrowed(events.items.get(*item)),
        score: score.value(),
    });
    UserItems { user_id: Cow::Borrowed(events.users.get(user)), items: items.collect() }
}

/// What cuts the rows of a model that lists are made from.
pub(super) fn cut<'a>(inputs: &'a ModelInputs, limits: &Limits) -> RowCut<'a> {
    RowCut {
        most: inputs.model.max_neighbors.unwrap_or(limits.max_neighbors_per_item),
        min_units: 1,
        allowed: inputs.allowed.as_deref(),
    }
}

/// The row of `user` with a list that a model made.
pub(super) fn listed<'a>(
    items: &'a Dictionary,
    users: &'a Dictionary,
    user: u32,
    list: &[(u32, f64)],
) -> UserItems<'a> {
    let items = list
        .iter()
        .map(|(item, score)| ItemScore { item_id: Cow::Borrowed(items.get(*item)), score: *score });
    UserItems { user_id: Cow::Borrowed(users.get(user)), items: items.collect() }
}

impl<'a> Row<'a> for UserItems<'a> {
    const FIELD: &'static str = "users";
    const ROWS: RowsOf = RowsOf::Users;

    fn check(rows: &[Self], limits: &Limits) -> Result<(), Defect> {
        check_sorted("users", rows.iter().map(|row| &*row.user_id))?;
        limits.check(Limit::UsersPerRun, rows.len())?;
        for row in rows {
            let list = || format!("items of user {:?}", row.user_id);
            check_ranked(list, row.items.iter().map(|item| (&*item.item_id, item.score)))?;
            limits.check_cut(Cut::ItemsPerUser, row.items.len()).map_err(|error| error.in_place(list()))?;
        }
        Ok(())
    }

    fn lists(rows: &[Self]) -> Vec<(&str, Vec<&str>)> {
        let lists =
            rows.iter().map(|row| (&*row.user_id, row.items.iter().map(|item| &*item.item_id).collect()));
        lists.collect()
    }

    /// The weight of an item is the sum of its scores over all users.
    fn outline(rows: &[Self]) -> Outline<'_> {
        let scores = rows.iter().flat_map(|row| &row.items);
        let weights = scores.map(|item| (&*item.item_id, Weight::of_score(item.score)));
        let ids = rows.iter().map(|row| &*row.user_id).collect();
        Outline { items: Items::weighed(weights), rows: Some((RowsOf::Users, ids)) }
    }
}
