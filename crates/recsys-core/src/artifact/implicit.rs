//! `implicit`: how often each user was shown each item.

use serde::{Deserialize, Serialize};

use super::compare::{Outline, RowsOf};
use super::user_lists::{self, UserItems, pairs};
use super::{BuildError, Built, Defect, Inputs, KindPayload, Source};
use crate::limit::Limits;

/// Users by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload<'a>(#[serde(borrow)] pub Vec<UserItems<'a>>);

impl<'a> KindPayload<'a> for Payload<'a> {
    const FIELD: &'static str = "users";
    const SOURCE: Source = Source::Events;
    const ROWS: RowsOf = RowsOf::Users;

    /// The score is the number of events of the user with the item; events without a user do not count.
    fn build(inputs: &Inputs<'a>, limits: &Limits) -> Result<Built<Self>, BuildError> {
        let counted = pairs(inputs, |_| true)?;
        Ok(Built::from(Self(user_lists::rows(inputs.events, counted, limits)?)))
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
