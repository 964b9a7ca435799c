//! Errors of the settings of models.

use std::fmt;

use super::kind::ModelKind;
use super::names::ScorerName;
use crate::domain::class::class;

/// A setting of a model cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {problem}")]
pub struct ModelError {
    /// Full path of the setting.
    pub setting: String,
    /// What is wrong with it, and what to do.
    pub problem: ModelProblem,
}

class!(ModelError => Usage);

/// What is wrong with a setting of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelProblem {
    /// The setting belongs to other kinds.
    #[error("is a setting of {}; take it out of models.{kind}{instead}", listed(of))]
    OtherKind {
        /// The kind that it is set for.
        kind: ModelKind,
        /// Another setting that does the same for this kind, as `, and …`, or empty.
        instead: &'static str,
        /// The kinds that have it.
        of: &'static [ModelKind],
    },
    /// The setting belongs to other scorers.
    #[error(
        "is a setting of {}; the scorer is {scorer}: take the setting out, or set models.{kind}.scorer to what it is for",
        listed(of)
    )]
    OtherScorer {
        /// The kind that it is set for.
        kind: ModelKind,
        /// The scorer of that kind.
        scorer: ScorerName,
        /// The scorers that have it.
        of: &'static [ScorerName],
    },
    /// The baseline has no settings.
    #[error(
        "has no effect with the scorer count, which has no settings; set models.{kind}.scorer to another one, or take \
         the setting out"
    )]
    Baseline {
        /// The kind that it is set for.
        kind: ModelKind,
    },
    /// The number is out of range.
    #[error("is {value}; it must be {range}")]
    Range {
        /// The number.
        value: String,
        /// The numbers that are allowed.
        range: String,
    },
    /// No event counts.
    #[error("is empty; name at least one of exposure, click and conversion, or leave it out")]
    NoEvents,
}

/// Names as a text lists them.
fn listed(names: &[impl fmt::Display]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => names.concat(),
    }
}
