//! A model with every gap filled.

use super::names::{EventType, Fill, RowNorm, Side, Unit};
use crate::domain::filters::Filters;

/// A model in which every setting has a valid value. [`Model::resolve`](super::Model::resolve) makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedModel {
    /// How weights come from counts.
    pub scorer: Scorer,
    /// What occurs together.
    pub basis: Basis,
    /// The side on which neighbours are cut.
    pub neighbors_of: Side,
    /// Neighbours that are kept of each item; `limits.max_neighbors_per_item` if none.
    pub max_neighbors: Option<usize>,
    /// Rows that `cooc` keeps, those with the most common units; all if none.
    pub max_rows: Option<usize>,
    /// Whether `implicit` leaves out the user's own items.
    pub exclude_seen: bool,
    /// Events of the last session whose items count in `session_seq`.
    pub last_items: usize,
    /// In `session_seq` an item `age` events before the last weighs exp(-age/decay); 1 if none.
    pub decay: Option<f64>,
    /// What an item of the last session weighs for itself in `session_seq`: so much, times its weight by age, is added to its own
    /// score. 0 leaves out all the user's own items.
    pub own_weight: f64,
    /// Which items may be recommended.
    pub filters: Filters,
    /// What fills short lists.
    pub fill: Option<Fill>,
}

/// A scorer and its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the fields are the settings of the same names, which `Model` describes")]
pub enum Scorer {
    /// The count over the geometric mean of the two counts.
    Cosine { shrink: f64 },
    /// The count over the number of units with either.
    Jaccard { shrink: f64 },
    /// How much more often than by chance the two occur together.
    Lift { shrink: f64 },
    /// The share of the units with one that have the other.
    Conditional { shrink: f64 },
    /// The signed log-likelihood ratio.
    Llr,
    /// The count, with small units weighing more, over powers of the two counts.
    DegreeNormalised { a: f64, b: f64, c: f64, row_norm: RowNorm },
    /// A ridge regression of each item on the items most similar to it.
    LocalRidge { candidates: usize, ridge: f64, dropout: f64 },
    /// How often, and how soon, one follows the other; by 1/distance without `delta`.
    SequentialRules { window: usize, backward: f64, delta: Option<f64>, row_power: f64 },
    /// A ridge regression of what came after on what came before.
    SessionRidge { candidates: usize, ridge: f64, dropout: f64, delta: f64 },
}

/// What occurs together.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// What the items have in common.
    pub unit: Unit,
    /// The events that count: at least one type, in ascending order, none twice.
    pub events: Vec<EventType>,
    /// Days after which an event weighs half; none if all weigh the same.
    pub half_life_days: Option<f64>,
    /// Distinct items of a unit that count, the newest first.
    pub max_items: usize,
}
