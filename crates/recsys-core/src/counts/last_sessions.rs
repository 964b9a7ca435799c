//! The last session of each user.

use super::CountError;
use crate::columnar::spill::Budget;
use crate::storage::StoreError;
use crate::table::{BasisTable, UnitEvent};

/// For each user the items of the user's events in the last session, the newest first, at most `most`.
#[derive(Debug)]
pub(crate) struct LastSessions {
    starts: Vec<usize>,
    items: Vec<u32>,
}

impl LastSessions {
    /// The last session of a user is that of the user's last event that has one.
    pub(crate) fn new(events: &BasisTable, most: usize, budget: &Budget) -> Result<Self, CountError> {
        let mut reserved = budget.model("last sessions of users");
        let users = events.table.users.len();
        reserved.add(users * (size_of::<(i64, u32)>() + size_of::<usize>()))?;
        let mut last = vec![(i64::MIN, 0); users];
        events.for_each_of_units(|UnitEvent { user, session, time, .. }| {
            if let (Some(user), Some(session)) = (user.checked_sub(1), session)
                && time >= last[user as usize].0
            {
                last[user as usize] = (time, session);
            }
            Ok::<_, StoreError>(())
        })?;
        let mut found: Vec<(u32, i64, u32)> = Vec::new();
        events.for_each_of_units(|UnitEvent { user, session, time, item, .. }| {
            if let (Some(user), Some(session)) = (user.checked_sub(1), session)
                && session == last[user as usize].1
            {
                reserved.add(size_of::<(u32, i64, u32)>() + size_of::<u32>())?;
                found.push((user, time, item));
            }
            Ok::<_, CountError>(())
        })?;
        // Stable: events of the same time stay in canonical order.
        found.sort_by_key(|(user, time, _)| (*user, *time));
        let (mut starts, mut items) = (vec![0], Vec::with_capacity(found.len()));
        let mut events = found.as_slice();
        for user in 0..users {
            let count = events.iter().take_while(|(of, ..)| *of as usize == user).count();
            let (of_user, rest) = events.split_at(count);
            items.extend(of_user.iter().rev().take(most).map(|(.., item)| item));
            starts.push(items.len());
            events = rest;
        }
        Ok(Self { starts, items })
    }

    /// The items of a user, the newest first.
    pub(crate) fn of(&self, user: u32) -> &[u32] {
        let user = user as usize;
        &self.items[self.starts[user]..self.starts[user + 1]]
    }
}
