//! The kinds of artifacts that are built from an item-to-item model.

use std::fmt;

/// A kind of artifact that is a view of an item-to-item model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModelKind {
    /// The rows of the model.
    Cooc,
    /// For each user, what goes with the items of the user.
    Implicit,
    /// For each user, what goes with the items of the last session.
    SessionSeq,
}

impl ModelKind {
    /// All of them, in the order of the kinds of artifacts.
    pub const ALL: &[Self] = &[Self::Cooc, Self::Implicit, Self::SessionSeq];

    /// The name of the kind, and of its section under `models`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cooc => "cooc",
            Self::Implicit => "implicit",
            Self::SessionSeq => "session_seq",
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
