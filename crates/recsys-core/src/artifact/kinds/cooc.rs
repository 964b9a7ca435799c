//! `cooc`: which items occur together in a session.

use crate::artifact::content::{Build, Inputs};
use crate::artifact::neighbors::{self, Neighbors};
use crate::counts::{CountError, Pairs};
use crate::domain::limit::Limits;
use crate::score::Count;
use crate::threads::ordered::Sink;

pub(crate) struct Cooc;

impl Build for Cooc {
    type Row<'a> = Neighbors<'a>;

    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<Neighbors<'a>>,
    ) -> Result<u64, CountError> {
        let pairs = Pairs::new(inputs.events, inputs.budget, limits)?;
        let skipped_sessions = pairs.marginals.skipped;
        neighbors::finish(&inputs.events.items, pairs, &Count, limits, sink)?;
        Ok(skipped_sessions)
    }
}
