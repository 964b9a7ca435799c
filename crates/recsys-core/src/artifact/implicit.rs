//! `implicit`: how often each user was shown each item.

use serde::{Deserialize, Serialize};

use super::compare::{Outline, RowsOf};
use super::user_lists::{self, UserItems, pair};
use super::{Built, Defect, Inputs, KindPayload, Source};
use crate::limit::{LimitExceeded, Limits};

/// Users by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload<'a>(#[serde(borrow)] pub Vec<UserItems<'a>>);

impl<'a> KindPayload<'a> for Payload<'a> {
    const FIELD: &'static str = "users";
    const SOURCE: Source = Source::Events;
    const ROWS: RowsOf = RowsOf::Users;

    /// The score is the number of events of the user with the item; events without a user do not count.
    fn build(inputs: &Inputs<'a>, limits: &Limits) -> Result<Built<Self>, LimitExceeded> {
        let table = inputs.events;
        let known = table.user.iter().zip(&table.item).filter(|(user, _)| **user > 0);
        let pairs = known.map(|(user, item)| pair(user - 1, *item)).collect();
        Ok(Built::from(Self(user_lists::count(table, pairs, limits))))
    }

    fn check(&self, limits: &Limits) -> Result<(), Defect> {
        user_lists::check(&self.0, limits)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn outline(&self) -> Outline<'_> {
        user_lists::outline(&self.0)
    }
}
