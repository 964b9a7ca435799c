//! The shape of `implicit` and `session_seq`: a ranked list of items for each user.

use std::borrow::Cow;

use serde::Deserialize;

use super::content::{Content, Defect};
use super::document_reader::{Cursor, Plain};
use super::encode::{Encode, push_rows};
use super::outline::{Items, Outline, RowsOf, Weight};
use super::ranking::{best, check_ranked, check_sorted};
use crate::domain::limit::{Cut, Limit, Limits};
use crate::encoding::json;
use crate::score::{Score, Scorer};
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

impl<'a> Plain<'a> for ItemScore<'a> {
    fn read(text: &mut Cursor<'a>) -> Option<Self> {
        text.take(b"{\"item_id\":")?;
        let item_id = Cow::read(text)?;
        text.take(b",\"score\":")?;
        let score = text.integer()?.into();
        text.take(b"}")?;
        Some(Self { item_id, score })
    }
}

/// The items of one user.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct UserItems<'a> {
    /// The user id.
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    /// The user's items, by score descending, ties by item id.
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

impl<'a> Plain<'a> for UserItems<'a> {
    fn read(text: &mut Cursor<'a>) -> Option<Self> {
        text.take(b"{\"user_id\":")?;
        let user_id = Cow::read(text)?;
        text.take(b",\"items\":")?;
        let items = text.list()?;
        text.take(b"}")?;
        Some(Self { user_id, items })
    }
}

/// Users in order of their ids. A user without counted items has an empty list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct UserLists<'a>(#[serde(borrow)] pub Vec<UserItems<'a>>);

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

impl<'a> Content<'a> for UserLists<'a> {
    type Row = UserItems<'a>;

    const FIELD: &'static str = "users";
    const ROWS: RowsOf = RowsOf::Users;

    fn of(rows: Vec<Self::Row>) -> Self {
        Self(rows)
    }

    fn rows(&self) -> &[Self::Row] {
        &self.0
    }

    fn check(&self, limits: &Limits) -> Result<(), Defect> {
        check_sorted("users", self.0.iter().map(|row| &*row.user_id))?;
        limits.check(Limit::UsersPerRun, self.0.len())?;
        for row in &self.0 {
            let list = || format!("items of user {:?}", row.user_id);
            check_ranked(list, row.items.iter().map(|item| (&*item.item_id, item.score)))?;
            limits.check_cut(Cut::ItemsPerUser, row.items.len()).map_err(|error| error.in_place(list()))?;
        }
        Ok(())
    }

    fn lists(&self) -> Vec<(&str, Vec<&str>)> {
        let lists =
            self.0.iter().map(|row| (&*row.user_id, row.items.iter().map(|item| &*item.item_id).collect()));
        lists.collect()
    }

    /// The weight of an item is the sum of its scores over all users.
    fn outline(&self) -> Outline<'_> {
        let scores = self.0.iter().flat_map(|row| &row.items);
        let weights = scores.map(|item| (&*item.item_id, Weight::of_score(item.score)));
        let ids = self.0.iter().map(|row| &*row.user_id).collect();
        Outline { items: Items::weighed(weights), rows: Some((RowsOf::Users, ids)) }
    }
}
