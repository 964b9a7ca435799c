//! The settings of models: what an item-to-item model is made of, and how a kind of artifact is made from it.
//!
//! [`Models`] is what a configuration says, with gaps where it says nothing. [`Model::resolve`] fills the gaps with defaults
//! and refuses what has no meaning, so a [`ResolvedModel`] is valid. Nothing here computes a score.

mod error;
mod kind;
mod names;
mod range;
mod resolve;
mod resolved;
mod settings;
mod shown;
mod table;

pub use error::{ModelError, ModelProblem};
pub use kind::ModelKind;
pub use names::{EventType, Fill, RowNorm, ScorerName, Side, Unit};
pub use resolved::{Basis, ResolvedModel, Scorer};
pub use settings::{BasisSettings, Model, Models, PopularityModel};
