//! The outcome of writing a day's file.

use super::Commit;

/// The outcome of writing a day's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replaced {
    /// The new bytes are in place.
    Written,
    /// The file held the same bytes already and was not touched.
    Unchanged,
    /// The day has no events any more; its file was removed.
    Removed,
    /// The day has no events and had no file.
    Empty,
    /// A gate refused the new bytes. They are kept apart; the file is unchanged.
    Refused,
}

impl From<Commit> for Replaced {
    fn from(commit: Commit) -> Self {
        match commit {
            Commit::Unchanged => Self::Unchanged,
            Commit::Written | Commit::Refused => Self::Written,
        }
    }
}
