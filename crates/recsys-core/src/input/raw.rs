//! Finds the files of raw events.
//!
//! A flat `exposure.jsonl` if there is one, else `<tenant>/<surface>/exposure.<day>.jsonl` for each day; likewise
//! `outcome`. `.jsonl.gz` and `.jsonl.zst` are read next to it or instead of it, because producers may split a day
//! over several files. A missing day is an empty day; a file that cannot be read is an error.

mod compressed;
mod copies;
mod gzip;
mod zstd_window;

use std::io;

use crate::columnar::spill::Budget;
use crate::domain::class::Class;
use crate::domain::id::Scope;
use crate::domain::stream::Stream;
use crate::domain::window::Day;
use crate::input::lines::LineFile;
use crate::storage::{Store, StoreError, cause, layout};

pub use compressed::{CorruptFile, open_decompressed};
pub use zstd_window::{MaxWindow, WindowTooLarge};

/// Why raw events could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// The root is missing or empty, so a missing day cannot be told from an empty one.
    #[error("raw events folder {0} does not exist or is empty; mount or fill it, or set raw_events_dir")]
    MissingRoot(String),
    /// One of two files that would be read together is a copy of the other.
    #[error(
        "{one} and {other} hold the same events, which would count twice: {same} of {lines} lines at the beginning of one \
         are in the other; remove the one that is a copy"
    )]
    Copies {
        /// The first file.
        one: String,
        /// The second file.
        other: String,
        /// Number of lines found in both.
        same: usize,
        /// Number of lines compared: those at the beginning of the shorter file.
        lines: usize,
    },
    /// A file exists but cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RawError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::MissingRoot(_) => Some(Class::Usage),
            Self::Copies { .. } => Some(Class::Refused),
            Self::Store(_) => None,
        }
    }
}

/// The class of a failed read of a compressed file; `None` may heal.
pub fn class_of(error: &io::Error) -> Option<Class> {
    let of_window = |window: &WindowTooLarge| if window.is_final() { Class::Refused } else { Class::Limit };
    CorruptFile::is_cause(error).then_some(Class::Refused).or_else(|| cause(error).map(of_window))
}

/// The raw events of one stream of a tenant and surface.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    store: &'a dyn Store,
    scope: &'a Scope,
    stream: Stream,
    window: MaxWindow,
    is_measured: bool,
}

impl<'a> Raw<'a> {
    /// The exposures of `scope` in `store`; the root of the store must exist.
    pub fn new(store: &'a dyn Store, scope: &'a Scope) -> Result<Self, RawError> {
        if !store.root_exists()? {
            return Err(RawError::MissingRoot(store.name("").trim_end_matches('/').to_owned()));
        }
        let (stream, window) = (Stream::Exposures, MaxWindow::default());
        Ok(Self { store, scope, stream, window, is_measured: false })
    }

    /// The events of `stream` in the same place.
    #[must_use]
    pub fn of(self, stream: Stream) -> Self {
        Self { stream, ..self }
    }

    /// Limits the zstd window of compressed files to what `budget` allows.
    #[must_use]
    pub fn within(self, budget: &Budget) -> Self {
        Self { window: MaxWindow::of(budget), ..self }
    }

    /// Also looks up the length of uncompressed files, at the cost of one more store request per file.
    #[must_use]
    pub fn measured(self) -> Self {
        Self { is_measured: true, ..self }
    }

    /// The flat files, which hold every day, tenant and surface. Empty when the layout is per day.
    pub fn flat(&self) -> Result<Vec<LineFile>, RawError> {
        self.open(layout::raw_flat(self.stream))
    }

    /// The files of one day. Empty when the day has none.
    pub fn day(&self, day: Day) -> Result<Vec<LineFile>, RawError> {
        self.open(layout::raw_day(self.scope, self.stream, day))
    }

    /// Whether a day has a file of its own.
    pub fn has_day(&self, day: Day) -> Result<bool, RawError> {
        Ok(!self.day(day)?.is_empty())
    }

    /// The file name without the root, so that it is the same wherever the root is.
    pub fn below_root<'n>(&self, name: &'n str) -> &'n str {
        let root = self.store.name("");
        name.strip_prefix(root.trim_end_matches('/')).map_or(name, |rest| rest.trim_start_matches('/'))
    }

    fn open(&self, keys: [String; 3]) -> Result<Vec<LineFile>, RawError> {
        let mut files = Vec::new();
        for key in keys {
            if let Some(reader) = open_decompressed(self.store, &key, self.window)? {
                let is_measured = self.is_measured && key.ends_with(".jsonl");
                let listed = if is_measured { self.store.stat(&key)? } else { None };
                let bytes = listed.map(|listed| listed.bytes);
                files.push(LineFile { name: self.store.name(&key), reader, bytes });
            }
        }
        copies::refuse(files)
    }
}
