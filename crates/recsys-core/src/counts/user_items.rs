//! User × item: how often each user was shown each item, or what the user's events weigh. User × next item: how often each
//! item came to a user after something else.

use super::by_user::{self, MakeRow};
use crate::columnar::pair::pair;
use crate::columnar::spill::{Budget, Tally, Weighed};
use crate::storage::StoreError;
use crate::table::events::EventTable;
use crate::threads::ordered::Sink;

/// Makes a row for every user: the sum of the weights of the user's events with each item, at most the table's cap. Events
/// without a user do not count.
pub(crate) fn user_items<R>(
    events: &EventTable,
    budget: &Budget,
    make: impl MakeRow<R>,
    sink: &mut impl Sink<R>,
) -> Result<(), StoreError> {
    let share = budget.user_items();
    if !events.counts_ones() {
        let mut tally = Tally::new(budget, share);
        events.for_each(|events| {
            let weight = events.weight;
            for (user, item) in events.user.iter().zip(events.item) {
                if let Some(user) = user.checked_sub(1) {
                    tally.push(Weighed { key: pair(user, *item), weight })?;
                }
            }
            Ok::<_, StoreError>(())
        })?;
        return by_user::tallied(events, tally.finish()?, make, sink);
    }
    if let Some(groups) = events.items_of_users(share)? {
        return by_user::grouped(events, &groups, |items| items, make, sink);
    }
    let mut tally = Tally::new(budget, share);
    events.for_each(|events| {
        let mut pairs = events.user.iter().zip(events.item);
        pairs.try_for_each(|(user, item)| match user.checked_sub(1) {
            Some(user) => tally.push(pair(user, *item)),
            None => Ok(()),
        })
    })?;
    by_user::tallied(events, tally.finish()?, make, sink)
}

/// Makes a row for every user: of the user's events in canonical order, each but the first counts one for its item.
pub(crate) fn next_items<R>(
    events: &EventTable,
    budget: &Budget,
    make: impl MakeRow<R>,
    sink: &mut impl Sink<R>,
) -> Result<(), StoreError> {
    let share = budget.user_items();
    if let Some(groups) = events.items_of_users(share)? {
        return by_user::grouped(events, &groups, |items| items.get(1..).unwrap_or_default(), make, sink);
    }
    let mut has_begun = vec![false; events.users.len()];
    let mut tally = Tally::new(budget, share);
    events.for_each(|events| {
        for (user, item) in events.user.iter().zip(events.item) {
            let Some(user) = user.checked_sub(1) else { continue };
            if std::mem::replace(&mut has_begun[user as usize], true) {
                tally.push(pair(user, *item))?;
            }
        }
        Ok::<_, StoreError>(())
    })?;
    by_user::tallied(events, tally.finish()?, make, sink)
}
