//! User × item: how often each user was shown each item, or what the user's events weigh. User × next item: how often each
//! item came to a user after something else.
//!
//! There is a row for every user of a table, in their order, also where nothing was counted.

use crate::columnar::counter::Counter;
use crate::columnar::csr::Csr;
use crate::columnar::dictionary::number;
use crate::columnar::pair::{high, low, pair};
use crate::columnar::spill::{Budget, Counted, KeyedCount, Tally, Weighed};
use crate::storage::StoreError;
use crate::table::events::EventTable;
use crate::threads::interrupt;
use crate::threads::ordered::{self, Sink};

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
        return tallied(events, tally.finish()?, make, sink);
    }
    if let Some(groups) = events.items_of_users(share)? {
        return grouped(events, &groups, |items| items, make, sink);
    }
    let mut tally = Tally::new(budget, share);
    events.for_each(|events| {
        let mut pairs = events.user.iter().zip(events.item);
        pairs.try_for_each(|(user, item)| match user.checked_sub(1) {
            Some(user) => tally.push(pair(user, *item)),
            None => Ok(()),
        })
    })?;
    tallied(events, tally.finish()?, make, sink)
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
        return grouped(events, &groups, |items| items.get(1..).unwrap_or_default(), make, sink);
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
    tallied(events, tally.finish()?, make, sink)
}

/// What is made of a user and the user's items with their counts, the items in any order.
pub(crate) trait MakeRow<R>: Fn(u32, Vec<(u32, u64)>) -> R + Sync {}

impl<R, F: Fn(u32, Vec<(u32, u64)>) -> R + Sync> MakeRow<R> for F {}

/// Makes the rows of events that are grouped by user; `counted` says which of a user's events count.
fn grouped<R>(
    events: &EventTable,
    items_of_users: &Csr,
    counted: fn(&[u32]) -> &[u32],
    make: impl MakeRow<R>,
    sink: &mut impl Sink<R>,
) -> Result<(), StoreError> {
    let users: Vec<u32> = (0..number(events.users.len())).collect();
    let row = |counter: &mut Counter, user: &u32| {
        interrupt::check()?;
        counter.add(counted(items_of_users.get(*user + 1)));
        Ok(make(*user, counter.take()))
    };
    ordered::try_map_with(&users, || Counter::new(events.items.len()), row, sink)
}

/// Counts of users that are in memory before rows are made of them.
const COUNTS_AT_A_TIME: usize = 1 << 16;

/// Makes the rows of counted pairs of user and item.
fn tallied<R, E: KeyedCount>(
    events: &EventTable,
    counted: Counted<E>,
    make: impl MakeRow<R>,
    sink: &mut impl Sink<R>,
) -> Result<(), StoreError> {
    let most = events.cap.map_or(u64::MAX, std::num::NonZeroU64::get);
    let take = |rows: &[(u32, &[(u32, u64)])]| {
        ordered::map(rows, |(user, counts)| make(*user, counts.to_vec()), sink);
    };
    let mut rows = PendingRows { take, first: 0, counts: Vec::new(), ends: Vec::new() };
    counted.for_each(|pair, count| {
        rows.end_before(high(pair));
        rows.counts.push((low(pair), count.min(most)));
        Ok::<_, StoreError>(())
    })?;
    rows.end_before(number(events.users.len()));
    rows.hand_over();
    Ok(())
}

/// Users whose rows are still to be made.
struct PendingRows<T> {
    /// Makes the rows of users with these counts.
    take: T,
    /// The first of them.
    first: u32,
    /// Their counts, one user after the other; at the end those of a user who may have more.
    counts: Vec<(u32, u64)>,
    /// Where the counts of each end.
    ends: Vec<usize>,
}

impl<T: FnMut(&[(u32, &[(u32, u64)])])> PendingRows<T> {
    /// Ends the rows of all users before `user`.
    fn end_before(&mut self, user: u32) {
        while self.first + number(self.ends.len()) < user {
            self.ends.push(self.counts.len());
            if self.counts.len().max(self.ends.len()) >= COUNTS_AT_A_TIME {
                self.hand_over();
            }
        }
    }

    fn hand_over(&mut self) {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let rows = (self.first..).zip(starts.zip(&self.ends));
        let rows: Vec<(u32, &[(u32, u64)])> =
            rows.map(|(user, (start, end))| (user, &self.counts[start..*end])).collect();
        (self.take)(&rows);
        self.first += number(self.ends.len());
        self.counts.clear();
        self.ends.clear();
    }
}
