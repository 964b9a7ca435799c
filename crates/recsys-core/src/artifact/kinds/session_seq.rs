//! `session_seq`: which items each user was shown after another one, and how often; or what follows those of the user's last
//! session, as a model says.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::artifact::content::{Build, BuildCounts, Inputs, ModelInputs};
use crate::artifact::user_lists::{self, UserItems};
use crate::columnar::spill::Budget;
use crate::counts::{self, CountError, LastSessions};
use crate::domain::limit::Limits;
use crate::score::{Count, ItemRows, Own, UserScores, by_age};
use crate::threads::ordered::Sink;

pub(crate) struct SessionSeq;

impl Build for SessionSeq {
    type Row<'a> = UserItems<'a>;

    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<UserItems<'a>>,
    ) -> Result<BuildCounts, CountError> {
        if let Some(model) = inputs.model {
            return build_model(model, inputs.budget, limits, sink);
        }
        let events = inputs.events;
        let row = |user, counts: Vec<_>| user_lists::finish(events, &Count, limits, user, &counts);
        counts::next_items(events, inputs.budget, row, sink)?;
        Ok(BuildCounts::default())
    }
}

/// Lists what goes with the items of the last session of each user.
fn build_model<'a>(
    inputs: &'a ModelInputs,
    budget: &Budget,
    limits: &Limits,
    sink: &mut impl Sink<UserItems<'a>>,
) -> Result<BuildCounts, CountError> {
    let ModelInputs { model, events, allowed } = inputs;
    let rows = ItemRows::new(events, model, user_lists::cut(inputs, limits), budget)?;
    let scores = UserScores::new(&rows, model.fill.is_some(), allowed.as_deref());
    let sessions = LastSessions::new(events, model.last_items, budget)?;
    let weights = by_age(model.last_items, model.decay);
    let filled = AtomicU64::new(0);
    let table = &events.table;
    let row = |user, counts: Vec<(u32, u64)>| {
        let from: Vec<(u32, f64)> = sessions.of(user).iter().copied().zip(weights.iter().copied()).collect();
        // The user's own items are listed for what they weigh for themselves, or not at all.
        let left_out: &[_] = if model.own_weight > 0.0 { &[] } else { &counts };
        let own = Own { from: &from, for_itself: model.own_weight, left_out };
        let list = scores.list(own, limits.max_items_per_user);
        filled.fetch_add(list.is_filled.into(), Ordering::Relaxed);
        user_lists::listed(&table.items, &table.users, user, &list.items)
    };
    counts::user_items(table, budget, row, sink)?;
    let filled_lists = filled.into_inner();
    Ok(BuildCounts { trimmed_units: rows.trimmed, filled_lists, ..BuildCounts::default() })
}
