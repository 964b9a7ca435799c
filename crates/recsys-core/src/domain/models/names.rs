//! The settings of models that are one of a list of names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a scorer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScorerName {
    /// The baseline of each kind: the count itself.
    #[default]
    Count,
    /// The count over the geometric mean of the two counts.
    Cosine,
    /// The count over the number of units with either.
    Jaccard,
    /// How much more often than by chance the two occur together.
    Lift,
    /// The share of the units with one that have the other.
    Conditional,
    /// The signed log-likelihood ratio.
    Llr,
    /// The count, with small units weighing more, over powers of the two counts.
    DegreeNormalised,
    /// A ridge regression of each item on the items most similar to it.
    LocalRidge,
    /// How often, and how soon, one follows the other.
    SequentialRules,
    /// A ridge regression of what came after on what came before.
    SessionRidge,
}

impl ScorerName {
    /// Every scorer that has settings of its own: all but the baseline.
    pub(super) const MODELS: &[Self] = &[
        Self::Cosine,
        Self::Jaccard,
        Self::Lift,
        Self::Conditional,
        Self::Llr,
        Self::DegreeNormalised,
        Self::LocalRidge,
        Self::SequentialRules,
        Self::SessionRidge,
    ];

    /// The name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Cosine => "cosine",
            Self::Jaccard => "jaccard",
            Self::Lift => "lift",
            Self::Conditional => "conditional",
            Self::Llr => "llr",
            Self::DegreeNormalised => "degree_normalised",
            Self::LocalRidge => "local_ridge",
            Self::SequentialRules => "sequential_rules",
            Self::SessionRidge => "session_ridge",
        }
    }
}

impl fmt::Display for ScorerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What items must have in common to occur together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A session.
    Session,
    /// A user.
    User,
    /// A request.
    Request,
}

/// A type of events that can make items occur together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// An item was shown.
    Exposure,
    /// An outcome: it was clicked.
    Click,
    /// An outcome: it was bought, or whatever else counts as success.
    Conversion,
}

/// A side of the matrix of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Each item keeps the items that weigh most for it.
    Row,
    /// Each item is kept by the items that it weighs most for.
    Column,
}

/// What becomes of the weights that a row keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowNorm {
    /// They stay as they are.
    #[default]
    None,
    /// They are divided by their sum.
    L1,
}

/// What fills short lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// The items with the greatest counts.
    Popularity,
}
