//! How a kind builds its content.

use super::row::Row;
use crate::columnar::spill::Budget;
use crate::counts::CountError;
use crate::domain::limit::Limits;
use crate::input::catalog::Catalog;
use crate::table::events::EventTable;
use crate::threads::ordered::Sink;

/// The input that a kind is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltFrom {
    /// The canonical events of the window.
    Events,
    /// The catalogue.
    Catalog,
}

/// The inputs of a builder. A kind reads only the events or only the catalogue, as its [`BuiltFrom`] says.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The events of the window and segment.
    pub events: &'a EventTable,
    /// The items of the surface.
    pub catalog: &'a Catalog,
    /// The memory budget, and where to spill.
    pub budget: &'a Budget,
}

/// A kind: its input, its counts and scores, and the shape of its rows.
pub(crate) trait Build {
    type Row<'a>: Row<'a>;

    /// The input it is built from.
    const BUILT_FROM: BuiltFrom = BuiltFrom::Events;
    /// Whether it counts weighted events, including outcomes, instead of exposures only.
    const WEIGHS: bool = false;

    /// Passes the rows of the content to `sink` in order; returns the number of sessions skipped because they have
    /// more than `max_items_per_session` items.
    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<Self::Row<'a>>,
    ) -> Result<u64, CountError>;
}
