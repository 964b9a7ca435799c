//! Canonical data: one file per day, with the same bytes for the same events.
//!
//! [`EventReader`] reads, filters, sorts and drops repeated deliveries; this module writes the result and reads it back
//! for jobs that start from canonical data. A day's file is replaced as a whole: after a crash it is either the old
//! or the new one. This module neither judges days nor counts anything.

mod changes;
mod encode;
mod field;
mod gather;
mod owner;
mod row;
mod row_file;
mod rows;
mod runs;
mod sort;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Write};
use std::sync::Arc;

pub use changes::Changes;
pub use gather::{EventReader, Gathered, ReadCounts};
pub(crate) use row::EventColumns;
pub use rows::DayRows;
pub(crate) use rows::Names;

use changes::LineDiff;
use parking_lot::Mutex;

use crate::columnar::spill::Budget;
use crate::domain::class::Class;
use crate::domain::id::Scope;
use crate::domain::limit::Limits;
use crate::domain::stream::Stream;
use crate::domain::window::{Day, Window};
use crate::encoding::hash::{HashWriter, TeeReader};
use crate::encoding::json::error_in_words;
use crate::input::event::Rules;
use crate::input::lines::{LineError, LineFile, LinesError};
use crate::storage::{Condition, PendingWrite, Replaced, Store, StoreError, layout};

/// Why canonical data could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read.
    #[error(transparent)]
    Lines(LinesError),
    /// The file holds something that ingest never writes.
    #[error("{0}; ingest the day again")]
    Line(LineError),
    /// The file holds events of another tenant, surface or day.
    #[error("{0} holds {1} events of another tenant, surface or day; ingest the day again")]
    Strangers(String, u64),
    /// The folder belongs to another tenant or surface.
    #[error(
        "{name} says that its folder holds the data of {actual}, and it would be used for {expected}: the file system \
         takes both names for one, or there is a link; give one of them another canonical_dir"
    )]
    Owner {
        /// The `scope.json` of the folder.
        name: String,
        /// The tenant and surface of this job.
        expected: Box<Scope>,
        /// The tenant and surface that own the folder.
        actual: Box<Scope>,
    },
    /// The `scope.json` of a folder cannot be parsed.
    #[error(
        "{0} does not say whose data its folder holds: {problem}; move it away, the next ingest writes it anew",
        problem = error_in_words(.1)
    )]
    NoOwner(String, serde_json::Error),
}

impl CanonicalError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Store(_) => None,
            Self::Lines(error) => error.class(),
            Self::Line(_) | Self::Strangers(..) | Self::NoOwner(..) => Some(Class::Refused),
            Self::Owner { .. } => Some(Class::Usage),
        }
    }
}

impl From<LinesError> for CanonicalError {
    fn from(error: LinesError) -> Self {
        match error {
            LinesError::Line(line) => Self::Line(line),
            error => Self::Lines(error),
        }
    }
}

/// The canonical data of one tenant and surface; reads use one stream of it.
#[derive(Debug, Clone, Copy)]
pub struct Canonical<'a> {
    store: &'a dyn Store,
    scope: &'a Scope,
    stream: Stream,
    max_id_bytes: usize,
    is_refused: bool,
}

impl<'a> Canonical<'a> {
    /// The exposures of `scope` in `store`.
    pub fn new(store: &'a dyn Store, scope: &'a Scope) -> Self {
        let max_id_bytes = Limits::MAX_ID_BYTES;
        Self { store, scope, stream: Stream::Exposures, max_id_bytes, is_refused: false }
    }

    /// Sets the maximum length of ids: `limits.max_id_bytes`.
    #[must_use]
    pub fn with_max_id_bytes(self, max_id_bytes: usize) -> Self {
        Self { max_id_bytes, ..self }
    }

    /// The data of `stream` in the same place.
    #[must_use]
    pub fn of(self, stream: Stream) -> Self {
        Self { stream, ..self }
    }

    /// Selects the refused days. They are kept apart from the last good version of a day, which stays in use.
    #[must_use]
    pub fn refused(self) -> Self {
        Self { is_refused: true, ..self }
    }

    fn key(&self, day: Day) -> String {
        let key = if self.is_refused { layout::refused_day } else { layout::day };
        key(self.scope, self.stream, day)
    }

    /// The refused days that are kept apart, optionally only those from `first` on.
    pub fn refused_days(&self, first: Option<Day>) -> Result<BTreeSet<Day>, StoreError> {
        let Self { scope, stream, .. } = *self;
        let after = first.map(|first| layout::before_day(scope, stream, first)).unwrap_or_default();
        let listed = self.store.list_after(&layout::days(scope, stream), &after)?;
        Ok(listed.iter().filter_map(|listed| layout::day_of_refused(scope, stream, &listed.key)).collect())
    }

    /// Creates an empty file for a day, unless the day has a file.
    pub fn mark(&self, day: Day) -> Result<(), StoreError> {
        if self.store.stat(&self.key(day))?.is_none() {
            self.store.put(&self.key(day), b"", Condition::Always)?;
        }
        Ok(())
    }

    /// Removes a day's file if it is empty.
    pub fn unmark(&self, day: Day) -> Result<(), StoreError> {
        if self.store.stat(&self.key(day))?.is_some_and(|file| file.bytes == 0) {
            self.store.remove(&self.key(day))?;
        }
        Ok(())
    }

    /// Removes a day's file; returns whether there was one.
    pub fn remove(&self, day: Day) -> Result<bool, StoreError> {
        self.store.remove(&self.key(day))
    }

    /// The name of a day's file in messages.
    pub fn name(&self, day: Day) -> String {
        self.store.name(&self.key(day))
    }

    /// Whether a day has a file.
    pub fn exists(&self, day: Day) -> Result<bool, StoreError> {
        Ok(self.store.open(&self.key(day))?.is_some())
    }

    /// Prepares the file of a day, in the stream of `day`; [`PendingDay::commit`] puts it in place.
    pub fn write(&self, day: &DayRows) -> Result<PendingDay<'a>, StoreError> {
        let key = self.of(day.stream).key(day.day);
        let mut hash = HashWriter::default();
        let mut pending = None;
        if !day.is_empty() {
            let file = pending.insert(self.store.begin(&key)?);
            let failed = |source| StoreError { action: "write", target: self.store.name(&key), source };
            encode::write_lines(self.scope, day, &mut hash, |bytes| file.write_all(bytes).map_err(failed))?;
        }
        Ok(PendingDay { store: self.store, key, pending, hash: hash.finish(), is_refused: self.is_refused })
    }

    /// Compares the events of a day with those of its file; `None` if it has no file.
    pub fn changes(&self, day: &DayRows) -> Result<Option<Changes>, StoreError> {
        let key = self.key(day.day);
        let Some(reader) = self.store.open(&key)? else { return Ok(None) };
        let failed = |source| StoreError { action: "read", target: self.store.name(&key), source };
        let mut diff = LineDiff::new(BufReader::new(reader)).map_err(failed)?;
        let mut hash = HashWriter::default();
        encode::write_lines(self.scope, day, &mut hash, |lines| diff.push(lines).map_err(failed))?;
        diff.finish().map(Some).map_err(failed)
    }

    /// Reads a day's file. Returns its events and the SHA-256 of the file; `None` if there is no file.
    pub fn load(&self, day: Day, budget: &Budget) -> Result<Option<(DayRows, String)>, CanonicalError> {
        let Some(reader) = self.store.open(&self.key(day))? else { return Ok(None) };
        let name = self.name(day);
        // The file is read on other threads.
        let hash = Arc::new(Mutex::new(HashWriter::default()));
        let of_reader = Arc::clone(&hash);
        let copy = move |bytes: &[u8]| of_reader.lock().update(bytes);
        let file = LineFile::new(&name, TeeReader { reader, copy });
        let rules = Rules { scope: self.scope, max_id_bytes: self.max_id_bytes };
        let lines = EventReader { stream: self.stream, rules, budget, bad_lines: None };
        let (mut days, counts) = lines.days(vec![file], day, day)?;
        let count = counts.foreign + counts.outside();
        if count > 0 {
            return Err(CanonicalError::Strangers(name, count));
        }
        let hash = hash.lock().clone().finish();
        Ok(days.pop().map(|rows| (rows, hash)))
    }

    /// The SHA-256 of a day's file; `None` if there is no file.
    pub fn hash(&self, day: Day) -> Result<Option<String>, StoreError> {
        self.hash_into(day, &mut io::sink())
    }

    /// Hands a day's file on to `all`, and returns its SHA-256; `None` if there is no file.
    fn hash_into(&self, day: Day, all: &mut impl Write) -> Result<Option<String>, StoreError> {
        let key = self.key(day);
        let Some(reader) = self.store.open(&key)? else { return Ok(None) };
        let mut own = HashWriter::default();
        let copied = io::copy(&mut TeeReader { reader, copy: |bytes: &[u8]| own.update(bytes) }, all);
        copied.map_err(|source| StoreError { action: "read", target: self.store.name(&key), source })?;
        Ok(Some(own.finish()))
    }

    /// Adds the files of all days in a window to `hash`, in order; returns the SHA-256 of each day's file, if it has one.
    pub fn hash_window(
        &self,
        window: Window,
        hash: &mut HashWriter,
    ) -> Result<BTreeMap<Day, String>, StoreError> {
        let mut days = BTreeMap::new();
        for day in window.days() {
            days.extend(self.hash_into(day, hash)?.map(|own| (day, own)));
        }
        Ok(days)
    }
}

/// A day's file that was written but is not in place yet.
pub struct PendingDay<'a> {
    store: &'a dyn Store,
    key: String,
    /// `None` for a day without events, which gets no file.
    pending: Option<Box<dyn PendingWrite + 'a>>,
    hash: String,
    is_refused: bool,
}

impl PendingDay<'_> {
    /// The SHA-256 of the file.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Replaces the old file, or removes it if the day has no events.
    pub fn commit(self) -> Result<Replaced, StoreError> {
        let Some(pending) = self.pending else {
            return Ok(if self.store.remove(&self.key)? { Replaced::Removed } else { Replaced::Empty });
        };
        let replaced = pending.commit(Condition::Always)?.into();
        Ok(if self.is_refused { Replaced::Refused } else { replaced })
    }
}
