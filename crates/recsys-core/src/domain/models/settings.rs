//! The settings under `models`, as they are written.

use serde::{Deserialize, Serialize};

use super::kind::ModelKind;
use super::names::{EventType, Fill, RowNorm, ScorerName, Side, Unit};
use crate::domain::filters::Filters;

/// The settings under `models`. By default each kind is its baseline.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// How old events fade in `popularity`.
    pub popularity: PopularityModel,
    /// The model that `cooc` is the rows of.
    pub cooc: Model,
    /// The model that `implicit` adds up.
    pub implicit: Model,
    /// The model that `session_seq` adds up.
    pub session_seq: Model,
}

impl Models {
    /// The settings of a kind.
    pub fn of(&self, kind: ModelKind) -> &Model {
        match kind {
            ModelKind::Cooc => &self.cooc,
            ModelKind::Implicit => &self.implicit,
            ModelKind::SessionSeq => &self.session_seq,
        }
    }
}

/// How old events fade in `popularity`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PopularityModel {
    /// Days after which an event weighs half; all weigh the same unless set.
    pub half_life_days: Option<f64>,
}

/// The settings of a model. What is not set has the default that [`resolve`](Model::resolve) gives it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// How weights come from counts. No other setting goes with `count`.
    pub scorer: ScorerName,
    /// Added below the fraction: what is seen rarely counts for less.
    pub shrink: Option<f64>,
    /// Power of the count of the row's item.
    pub a: Option<f64>,
    /// Power of the count of the other item.
    pub b: Option<f64>,
    /// Power of the size of a session or user.
    pub c: Option<f64>,
    /// What becomes of the weights that a row keeps.
    pub row_norm: Option<RowNorm>,
    /// Items that a regression chooses from.
    pub candidates: Option<usize>,
    /// What is added to the diagonal: weights without much evidence shrink.
    pub ridge: Option<f64>,
    /// Share of each item's own evidence that a regression is to do without.
    pub dropout: Option<f64>,
    /// Greatest distance of two items that follow each other.
    pub window: Option<usize>,
    /// What the other direction counts.
    pub backward: Option<f64>,
    /// How fast distance counts for less: exp(-(d-1)/delta) in rules, exp(-d/delta) in a regression.
    pub delta: Option<f64>,
    /// Power of a row's sum that the row is divided by.
    pub row_power: Option<f64>,
    /// What occurs together.
    pub basis: BasisSettings,
    /// The side on which neighbours are cut.
    pub neighbors_of: Option<Side>,
    /// Neighbours that are kept of each item, in `implicit` and `session_seq`.
    pub max_neighbors: Option<usize>,
    /// Rows that `cooc` keeps.
    pub max_rows: Option<usize>,
    /// Whether `implicit` leaves out the user's own items.
    pub exclude_seen: Option<bool>,
    /// Events of the last session whose items count in `session_seq`.
    pub last_items: Option<usize>,
    /// How fast older items of the last session count for less in `session_seq`.
    pub decay: Option<f64>,
    /// What an item of the last session weighs for itself in `session_seq`; 0 leaves out all the user's own items.
    pub own_weight: Option<f64>,
    /// Which items may be recommended.
    pub filters: Filters,
    /// What fills short lists, in `implicit` and `session_seq`.
    pub fill: Option<Fill>,
}

impl Model {
    /// Whether clicks or conversions make items occur together.
    pub fn counts_outcomes(&self) -> bool {
        let events = self.basis.events.as_deref().unwrap_or_default();
        self.scorer != ScorerName::Count && events.iter().any(|event| *event != EventType::Exposure)
    }

    /// Whether some items may not be recommended.
    pub fn filters_items(&self) -> bool {
        self.filters != Filters::default()
    }
}

/// What occurs together, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasisSettings {
    /// What the items have in common.
    pub unit: Option<Unit>,
    /// The events that count.
    pub events: Option<Vec<EventType>>,
    /// Days after which an event weighs half.
    pub half_life_days: Option<f64>,
    /// Distinct items of a unit that count.
    pub max_items: Option<usize>,
}
