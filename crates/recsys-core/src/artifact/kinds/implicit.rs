//! `implicit`: how often each user was shown each item, or the total weight of these events.

use crate::artifact::content::{Build, Inputs};
use crate::artifact::user_lists::{self, UserItems};
use crate::counts::{self, CountError};
use crate::domain::limit::Limits;
use crate::score::Count;
use crate::threads::ordered::Sink;

pub(crate) struct Implicit;

impl Build for Implicit {
    type Row<'a> = UserItems<'a>;

    const WEIGHS: bool = true;

    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<UserItems<'a>>,
    ) -> Result<u64, CountError> {
        let events = inputs.events.weighed();
        let row = |user, counts: Vec<_>| user_lists::finish(events, &Count, limits, user, &counts);
        counts::user_items(events, inputs.budget, row, sink)?;
        Ok(0)
    }
}
