//! `implicit`: how often each user was shown each item, or what the events weigh.

use serde::Deserialize;

use super::content::{BuildError, Defect, Inputs, KindPayload, Source};
use super::outline::{Outline, RowsOf};
use super::sink::Sink;
use super::user_lists::{self, UserItems};
use crate::domain::limit::Limits;

/// Users by id.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Payload<'a>(#[serde(borrow)] pub Vec<UserItems<'a>>);

impl<'a> KindPayload<'a> for Payload<'a> {
    type Row = UserItems<'a>;

    const FIELD: &'static str = "users";
    const SOURCE: Source = Source::Events;
    const ROWS: RowsOf = RowsOf::Users;
    const WEIGHS: bool = true;

    fn of(rows: Vec<Self::Row>) -> Self {
        Self(rows)
    }

    /// The score is the sum of the weights of the user's events with the item; events without a user do not
    /// count.
    fn build(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<Self::Row>,
    ) -> Result<u64, BuildError> {
        let table = inputs.events.weighed();
        if table.counts_ones() {
            user_lists::rows(table, inputs.budget, limits, 0, sink)?;
        } else {
            user_lists::weighed_rows(table, inputs.budget, limits, sink)?;
        }
        Ok(0)
    }

    fn check(&self, limits: &Limits) -> Result<(), Defect> {
        user_lists::check(&self.0, limits)
    }

    fn rows(&self) -> &[Self::Row] {
        &self.0
    }

    fn outline(&self) -> Outline<'_> {
        user_lists::outline(&self.0)
    }
}
