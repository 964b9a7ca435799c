//! User × next item: how often each item came to a user after something else.

use super::by_user::{self, MakeRow};
use crate::columnar::pair::pair;
use crate::columnar::spill::{Budget, Tally};
use crate::storage::StoreError;
use crate::table::events::EventTable;
use crate::threads::ordered::Sink;

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
