//! `cooc`: which items occur together in a session, or in what else a model says.

use crate::artifact::content::{Build, BuildCounts, Inputs};
use crate::artifact::neighbors::{self, Neighbors};
use crate::counts::{CountError, Pairs};
use crate::domain::limit::Limits;
use crate::score::{Count, ItemRows, RowCut};
use crate::threads::ordered::Sink;

pub(crate) struct Cooc;

impl Build for Cooc {
    type Row<'a> = Neighbors<'a>;

    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<Neighbors<'a>>,
    ) -> Result<BuildCounts, CountError> {
        if let Some(model) = inputs.model {
            let cut = RowCut {
                most: limits.max_neighbors_per_item,
                min_units: limits.min_cooc_support,
                allowed: model.allowed.as_deref(),
            };
            let rows = ItemRows::new(&model.events, &model.model, cut, inputs.budget)?;
            neighbors::finish_model(&model.events.table.items, &rows, model.model.max_rows, sink);
            return Ok(BuildCounts { trimmed_units: rows.trimmed, ..BuildCounts::default() });
        }
        let pairs = Pairs::new(inputs.events, inputs.budget, limits)?;
        let skipped_sessions = pairs.marginals.skipped;
        neighbors::finish(&inputs.events.items, pairs, &Count, limits, sink)?;
        Ok(BuildCounts { skipped_sessions, ..BuildCounts::default() })
    }
}
