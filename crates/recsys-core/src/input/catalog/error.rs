//! Why a catalogue is refused.

use std::{fmt, io};

use super::AbsentColumn;
use crate::columnar::spill::BudgetExceeded;
use crate::domain::class::Class;
use crate::domain::limit::LimitExceeded;
use crate::storage::StoreError;

/// Why a catalogue was refused.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file does not exist.
    #[error("catalogue {0} does not exist")]
    Missing(String),
    /// The file could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file extension is no catalogue format.
    #[error("cannot tell the format of catalogue {0} from its name; give it as csv or jsonl")]
    Format(String),
    /// The catalogue has no tags to build `content_sim` from.
    #[error(
        "{name} has no {absent}, of which content_sim is made; name the column so, or take content_sim out"
    )]
    NoTags {
        /// The name of the file.
        name: String,
        /// The missing column, with a similar name if there is one.
        absent: AbsentColumn,
    },
    /// The catalogue does not say what is available, and a filter asks for it.
    #[error(
        "{name} has no {absent}, which filters.available_only asks for; name the column so, or take the filter out"
    )]
    NoAvailable {
        /// The name of the file.
        name: String,
        /// The missing column, with a similar name if there is one.
        absent: AbsentColumn,
    },
    /// A filter asks for tags, and the catalogue has none.
    #[error(
        "{name} has no {absent}, which filters.tags_any and tags_none ask for; name the column so, or take the filter out"
    )]
    NoFilterTags {
        /// The name of the file.
        name: String,
        /// The missing column, with a similar name if there is one.
        absent: AbsentColumn,
    },
    /// A row cannot be parsed, or one of its fields cannot.
    #[error("{name}:{line}: {reason}")]
    Row {
        /// The name of the file.
        name: String,
        /// The line on which the row begins, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Two rows of the surface have the same item id.
    #[error("{name}:{line}: item {item_id:?} was already given on line {first_line}; keep one of them")]
    Duplicate {
        /// The name of the file.
        name: String,
        /// The item id.
        item_id: String,
        /// The line of its first row.
        first_line: u64,
        /// The line of its second row.
        line: u64,
    },
    /// No row is for the namespace, so pruning would remove every item.
    #[error("{name} names no item of namespace {namespace}; nothing is pruned")]
    NothingLeft {
        /// The name of the file.
        name: String,
        /// The namespace to be pruned.
        namespace: String,
    },
    /// There are more rows, or more tags of one item, than the limits allow.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The items do not fit in memory.
    #[error(transparent)]
    Memory(#[from] BudgetExceeded),
}

impl CatalogError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Store(_) => None,
            Self::Missing(_) | Self::Format(_) => Some(Class::Usage),
            Self::NoTags { .. }
            | Self::NoAvailable { .. }
            | Self::NoFilterTags { .. }
            | Self::Row { .. }
            | Self::Duplicate { .. }
            | Self::NothingLeft { .. } => Some(Class::Refused),
            Self::Limit(_) | Self::Memory(_) => Some(Class::Limit),
        }
    }

    pub(super) fn read(name: &str, source: io::Error) -> Self {
        Self::Store(StoreError { action: "read", target: name.to_owned(), source })
    }

    pub(super) fn row(name: &str, line: u64, reason: impl Into<String>) -> Self {
        Self::Row { name: name.to_owned(), line, reason: reason.into() }
    }
}

/// Displays a field in quotes, cut after 40 characters.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LENGTH: usize = 40;
        match self.0.char_indices().nth(LENGTH) {
            Some((at, _)) => write!(f, "{:?}…", &self.0[..at]),
            None => write!(f, "{:?}", self.0),
        }
    }
}
