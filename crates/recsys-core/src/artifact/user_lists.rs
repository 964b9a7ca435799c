//! What `implicit` and `session_seq` share: a ranked list of items for each user.

use std::borrow::Cow;
use std::num::NonZeroU64;

use serde::Deserialize;

use super::content::Defect;
use super::counter::Counter;
use super::encode::Encode;
use super::outline::{Items, Outline, RowsOf, Weight};
use super::plain::{Cursor, Plain};
use super::ranking::{check_ranked, check_sorted, keep_best};
use super::sink::{self, Sink, push_rows};
use crate::columnar::dictionary::number;
use crate::columnar::pair::{high, low, pair};
use crate::columnar::spill::{Budget, Counted, Entry, Tally, Weighed};
use crate::domain::limit::Limits;
use crate::encoding::json;
use crate::storage::StoreError;
use crate::table::events::EventTable;
use crate::threads::interrupt;

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

/// Makes a row for every user of the table: the user's items by how often they are among the events, but for the first
/// `skip` events of each.
pub(super) fn rows<'a>(
    table: &'a EventTable,
    budget: &Budget,
    limits: &Limits,
    skip: u32,
    sink: &mut impl Sink<UserItems<'a>>,
) -> Result<(), StoreError> {
    let share = budget.user_items();
    if let Some(items_of_users) = table.items_of_users(share)? {
        let users: Vec<(u32, &str)> = (0..).zip(table.users.strings().iter()).collect();
        let row = |counter: &mut Counter, (user, user_id): &(u32, &'a str)| {
            interrupt::check()?;
            counter.add(items_of_users.get(*user + 1).get(skip as usize..).unwrap_or_default());
            let mut ranked = counter.take();
            keep_best(&mut ranked, limits.max_items_per_user);
            Ok(row(table, user_id, &ranked))
        };
        return sink::try_map_with(&users, || Counter::new(table.items.len()), row, sink);
    }
    let mut seen = vec![0; table.users.len()];
    let mut tally = Tally::new(budget, share);
    table.for_each(|events| {
        for (user, item) in events.user.iter().zip(events.item) {
            let Some(user) = user.checked_sub(1) else { continue };
            let seen = &mut seen[user as usize];
            if *seen < skip {
                *seen += 1;
            } else {
                tally.push(pair(user, *item))?;
            }
        }
        Ok::<_, StoreError>(())
    })?;
    counted_rows(table, tally.finish()?, limits, sink)
}

/// Makes a row for every user of the table: the user's items by the sum of the weights of the events, up to the table's cap.
pub(super) fn weighed_rows<'a>(
    table: &'a EventTable,
    budget: &Budget,
    limits: &Limits,
    sink: &mut impl Sink<UserItems<'a>>,
) -> Result<(), StoreError> {
    let mut tally = Tally::new(budget, budget.user_items());
    table.for_each(|events| {
        for (user, item) in events.user.iter().zip(events.item) {
            if let Some(user) = user.checked_sub(1) {
                tally.push(Weighed { key: pair(user, *item), weight: events.weight })?;
            }
        }
        Ok::<_, StoreError>(())
    })?;
    counted_rows(table, tally.finish()?, limits, sink)
}

/// The row of a user with these items.
fn row<'a, C: Copy + Into<u64>>(
    table: &'a EventTable,
    user_id: &'a str,
    ranked: &[(u32, C)],
) -> UserItems<'a> {
    let items = ranked.iter().map(|(item, count)| ItemScore {
        item_id: Cow::Borrowed(table.items.get(*item)),
        score: exact((*count).into()),
    });
    UserItems { user_id: Cow::Borrowed(user_id), items: items.collect() }
}

/// Users whose items are together in memory before rows are made of them.
const USERS_AT_A_TIME: usize = 1 << 12;

/// Makes a row for every user of the table, of pairs of user and item in their order.
fn counted_rows<'a, E: Entry>(
    table: &'a EventTable,
    counted: Counted<E>,
    limits: &Limits,
    sink: &mut impl Sink<UserItems<'a>>,
) -> Result<(), StoreError> {
    type Lists<'a> = Vec<(&'a str, Vec<(u32, u64)>)>;
    let mut users = table.users.strings().iter();
    let mut lists: Lists<'a> = Vec::with_capacity(USERS_AT_A_TIME);
    let mut hand_over = |lists: &mut Lists<'a>| {
        sink::map(lists, |(user_id, ranked)| row(table, user_id, ranked), sink);
        lists.clear();
    };
    let mut end_user = |lists: &mut Lists<'a>, ranked: &mut Vec<_>| {
        keep_best(ranked, limits.max_items_per_user);
        // Of its own size: what was cut off would be in memory, too.
        lists.extend(users.next().map(|user_id| (user_id, ranked.clone())));
        ranked.clear();
        if lists.len() == USERS_AT_A_TIME {
            hand_over(lists);
        }
    };
    let mut ranked = Vec::new();
    let mut user = 0;
    let most = table.cap.map_or(u64::MAX, NonZeroU64::get);
    counted.for_each(|pair, count| {
        while user < high(pair) {
            end_user(&mut lists, &mut ranked);
            user += 1;
        }
        ranked.push((low(pair), count.min(most)));
        Ok::<_, StoreError>(())
    })?;
    (user..number(table.users.len())).for_each(|_| end_user(&mut lists, &mut ranked));
    hand_over(&mut lists);
    Ok(())
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
