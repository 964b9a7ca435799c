//! Why a catalogue is refused.

use std::io;

use super::AbsentColumn;
use crate::columnar::spill::BudgetExceeded;
use crate::domain::limit::LimitExceeded;
use crate::storage::StoreError;

/// Why a catalogue was refused.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is no such file.
    #[error("catalogue {0} does not exist")]
    Missing(String),
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its extension says nothing.
    #[error("cannot tell the format of catalogue {0} from its name; give it as csv or jsonl")]
    Format(String),
    /// The header lacks the one column that matters.
    #[error("{name}:1: the header has no column item_id (or itemid, or id): {instead}")]
    NoItemColumn {
        /// The file.
        name: String,
        /// What the header is.
        instead: String,
    },
    /// There is nothing to build `content_sim` from.
    #[error(
        "{name} has no {absent}, of which content_sim is made; name the column so, or take content_sim out"
    )]
    NoTags {
        /// The file.
        name: String,
        /// The column of tags.
        absent: AbsentColumn,
    },
    /// A row cannot be read, or a field of it cannot be understood.
    #[error("{name}:{line}: {reason}")]
    Row {
        /// The file.
        name: String,
        /// Where the row begins, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Two rows of the surface name the same item.
    #[error("{name}:{line}: item {item_id:?} was already given on line {first_line}; keep one of them")]
    Duplicate {
        /// The file.
        name: String,
        /// The item.
        item_id: String,
        /// Its first row.
        first_line: u64,
        /// Its second row.
        line: u64,
    },
    /// What is there would be pruned down to nothing.
    #[error("{name} names no item of namespace {namespace}; nothing is pruned")]
    NothingLeft {
        /// The file.
        name: String,
        /// The namespace.
        namespace: String,
    },
    /// There are more rows, or more tags of an item, than allowed.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The items do not fit in memory.
    #[error(transparent)]
    Memory(#[from] BudgetExceeded),
}

impl CatalogError {
    pub(super) fn read(name: &str, source: io::Error) -> Self {
        Self::Store(StoreError { action: "read", target: name.to_owned(), source })
    }

    pub(super) fn row(name: &str, line: u64, reason: impl Into<String>) -> Self {
        Self::Row { name: name.to_owned(), line, reason: reason.into() }
    }
}
