//! `session_seq`: which items each user was shown after another one, and how often.

use crate::artifact::content::{Build, Inputs};
use crate::artifact::user_lists::{self, UserItems};
use crate::counts::{self, CountError};
use crate::domain::limit::Limits;
use crate::score::Count;
use crate::threads::ordered::Sink;

pub(crate) struct SessionSeq;

impl Build for SessionSeq {
    type Row<'a> = UserItems<'a>;

    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<UserItems<'a>>,
    ) -> Result<u64, CountError> {
        let events = inputs.events;
        let row = |user, counts: Vec<_>| user_lists::finish(events, &Count, limits, user, &counts);
        counts::next_items(events, inputs.budget, row, sink)?;
        Ok(0)
    }
}
