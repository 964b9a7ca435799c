//! Items: how often each was shown, or what its events weigh.

use crate::columnar::dictionary::number;
use crate::columnar::pair::{high, pair};
use crate::columnar::spill::{Budget, Counted, Tally, Weighed};
use crate::storage::StoreError;
use crate::table::events::EventTable;

/// The sum of the weights of each item's events, by item. Where there is a cap, what one user has of an item counts at most
/// that.
pub(crate) fn items(events: &EventTable, budget: &Budget) -> Result<Vec<u64>, StoreError> {
    let mut counts = vec![0; events.items.len()];
    // The table has checked that no sum overflows.
    if let Some(cap) = events.cap {
        by_user(events, budget)?.for_each(|key, sum| {
            counts[high(key) as usize] += sum.min(cap.get());
            Ok::<_, StoreError>(())
        })?;
    } else {
        events.for_each(|events| {
            for item in events.item {
                counts[*item as usize] += events.weight;
            }
            Ok::<_, StoreError>(())
        })?;
    }
    Ok(counts)
}

/// What the events of each user weigh for each item: pairs of item and user. Events without a user are those of a user of
/// their session.
fn by_user(events: &EventTable, budget: &Budget) -> Result<Counted<Weighed>, StoreError> {
    let mut tally = Tally::new(budget, budget.user_items());
    let first_session = number(events.users.len());
    events.for_each(|events| {
        let weight = events.weight;
        for ((item, user), session) in events.item.iter().zip(events.user).zip(events.session) {
            let user = user.checked_sub(1).unwrap_or_else(|| first_session + session);
            tally.push(Weighed { key: pair(*item, user), weight })?;
        }
        Ok::<_, StoreError>(())
    })?;
    tally.finish()
}
