//! `implicit`: how often each user was shown each item, or the total weight of these events; or what goes with them, as a model
//! says.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::artifact::content::{Build, BuildCounts, Inputs, ModelInputs};
use crate::artifact::user_lists::{self, UserItems};
use crate::columnar::spill::Budget;
use crate::counts::{self, CountError};
use crate::domain::limit::Limits;
use crate::score::{Count, ItemRows, Own, UserScores};
use crate::threads::ordered::Sink;

pub(crate) struct Implicit;

impl Build for Implicit {
    type Row<'a> = UserItems<'a>;

    const WEIGHS: bool = true;

    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<UserItems<'a>>,
    ) -> Result<BuildCounts, CountError> {
        if let Some(model) = inputs.model {
            return build_model(model, inputs.budget, limits, sink);
        }
        let events = inputs.events.weighed();
        let row = |user, counts: Vec<_>| user_lists::finish(events, &Count, limits, user, &counts);
        counts::user_items(events, inputs.budget, row, sink)?;
        Ok(BuildCounts::default())
    }
}

/// Lists what goes with the items of each user.
fn build_model<'a>(
    inputs: &'a ModelInputs,
    budget: &Budget,
    limits: &Limits,
    sink: &mut impl Sink<UserItems<'a>>,
) -> Result<BuildCounts, CountError> {
    let ModelInputs { model, events, allowed } = inputs;
    let rows = ItemRows::new(events, model, user_lists::cut(inputs, limits), budget)?;
    let scores = UserScores::new(&rows, model.fill.is_some(), allowed.as_deref());
    let filled = AtomicU64::new(0);
    let table = &events.table;
    let row = |user, mut counts: Vec<(u32, u64)>| {
        counts.sort_unstable();
        // What is only there for what occurs together weighs nothing, and the user has had it nevertheless.
        let weighed = counts.iter().filter(|(_, weight)| *weight > 0);
        #[allow(clippy::cast_precision_loss, reason = "the table has checked that sums are exact")]
        let from: Vec<(u32, f64)> = weighed.map(|(item, weight)| (*item, *weight as f64)).collect();
        let left_out: &[_] = if model.exclude_seen { &counts } else { &[] };
        let own = Own { from: &from, for_itself: 0.0, left_out };
        let list = scores.list(own, limits.max_items_per_user);
        filled.fetch_add(list.is_filled.into(), Ordering::Relaxed);
        user_lists::listed(&table.items, &table.users, user, &list.items)
    };
    counts::user_items(table, budget, row, sink)?;
    let filled_lists = filled.into_inner();
    Ok(BuildCounts { trimmed_units: rows.trimmed, filled_lists, ..BuildCounts::default() })
}
