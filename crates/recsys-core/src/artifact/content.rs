//! How a kind builds its content.

use super::row::Row;
use crate::columnar::spill::Budget;
use crate::counts::CountError;
use crate::domain::limit::Limits;
use crate::domain::models::ResolvedModel;
use crate::input::catalog::Catalog;
use crate::table::BasisTable;
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

/// A model, and what it is made from.
#[derive(Debug)]
pub struct ModelInputs {
    /// The settings.
    pub model: ResolvedModel,
    /// The events of the window and segment.
    pub events: BasisTable,
    /// Whether each item of the events may be recommended; all may if none.
    pub allowed: Option<Vec<bool>>,
}

impl ModelInputs {
    /// A model of these events. The catalogue says which items pass the filters of the model.
    pub fn new(model: ResolvedModel, events: BasisTable, catalog: &Catalog) -> Self {
        let allowed = (!model.filters.is_off()).then(|| catalog.allowed(&model.filters, &events.table.items));
        Self { model, events, allowed }
    }

    /// How many items there are, if the filters leave none of them.
    pub fn all_filtered(&self) -> Option<usize> {
        let allowed = self.allowed.as_ref()?;
        (!allowed.is_empty() && !allowed.contains(&true)).then_some(allowed.len())
    }
}

/// What the report of an artifact says of its building.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildCounts {
    /// Sessions skipped because they have more than `max_items_per_session` items.
    pub skipped_sessions: u64,
    /// Units of a model trimmed to their newest items, because they have more than `max_items`.
    pub trimmed_units: u64,
    /// Lists filled with popular items.
    pub filled_lists: u64,
}

/// The inputs of a builder. A kind reads the events or the catalogue, as its [`BuiltFrom`] says, or its model.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The events of the window and segment.
    pub events: &'a EventTable,
    /// The items of the surface.
    pub catalog: &'a Catalog,
    /// The memory budget, and where to spill.
    pub budget: &'a Budget,
    /// The model of the kind; none for the baseline.
    pub model: Option<&'a ModelInputs>,
}

/// A kind: its input, its counts and scores, and the shape of its rows.
pub(crate) trait Build {
    type Row<'a>: Row<'a>;

    /// The input it is built from.
    const BUILT_FROM: BuiltFrom = BuiltFrom::Events;
    /// Whether it counts weighted events, including outcomes, instead of exposures only.
    const WEIGHS: bool = false;

    /// Passes the rows of the content to `sink` in order.
    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<Self::Row<'a>>,
    ) -> Result<BuildCounts, CountError>;
}
