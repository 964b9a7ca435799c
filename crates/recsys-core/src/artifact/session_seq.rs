//! `session_seq`: what each user was shown after something else.

use serde::Deserialize;

use super::content::{BuildError, Defect, Inputs, KindPayload, Source};
use super::outline::{Outline, RowsOf};
use super::sink::Sink;
use super::user_lists::{self, UserItems};
use crate::domain::limit::Limits;

/// Users by id. A user with a single event has an empty list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Payload<'a>(#[serde(borrow)] pub Vec<UserItems<'a>>);

impl<'a> KindPayload<'a> for Payload<'a> {
    type Row = UserItems<'a>;

    const FIELD: &'static str = "users";
    const SOURCE: Source = Source::Events;
    const ROWS: RowsOf = RowsOf::Users;

    fn of(rows: Vec<Self::Row>) -> Self {
        Self(rows)
    }

    /// A user's events in canonical order: every event but the first counts one for its item.
    fn build(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<Self::Row>,
    ) -> Result<u64, BuildError> {
        user_lists::rows(inputs.events, inputs.budget, limits, 1, sink)?;
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
