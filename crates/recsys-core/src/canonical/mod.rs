//! Canonical data: one file for each day, the same bytes for the same events.
//!
//! Reading, filtering, ordering and dropping repeated deliveries happen in a [`Reader`]; this module writes
//! the result, and reads it back for jobs that start from canonical data. A day's file is replaced as a
//! whole: a crash leaves the old file or the new one. Nothing here judges a day or counts.

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
pub use gather::{Counts, Gathered, Reader, read_days};
pub(crate) use row::Columns;
pub use rows::DayRows;
pub(crate) use rows::Names;

use changes::Comparison;
use parking_lot::Mutex;

use crate::columnar::spill::Budget;
use crate::domain::id::Scope;
use crate::domain::limit::Limits;
use crate::domain::stream::Stream;
use crate::domain::window::{Day, Window};
use crate::encoding::hash::{HashWriter, TeeReader};
use crate::encoding::json::error_in_words;
use crate::input::event::Rules;
use crate::input::lines::{LineFile, LinesError};
use crate::storage::{Condition, PendingWrite, Replaced, Store, StoreError};

/// Why canonical data could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read, or holds something that ingest never writes.
    #[error("{0}{advice}", advice = advice(.0))]
    Lines(#[from] LinesError),
    /// The file holds events that do not belong there.
    #[error("{name} holds {count} events of another tenant, surface or day; ingest the day again")]
    Strangers {
        /// The file.
        name: String,
        /// How many.
        count: u64,
    },
    /// The folder is that of another tenant or surface.
    #[error(
        "{name} says that its folder holds the data of {actual}, and it would be used for {expected}: the file system \
         takes both names for one, or there is a link; give one of them another canonical_dir"
    )]
    Owner {
        /// The file that says so.
        name: String,
        /// Whose data it would be used for.
        expected: Box<Scope>,
        /// Whose data it holds.
        actual: Box<Scope>,
    },
    /// What should say whose data a folder holds cannot be understood.
    #[error(
        "{name} does not say whose data its folder holds: {}; move it away, the next ingest writes it anew",
        error_in_words(source)
    )]
    NoOwner {
        /// The file.
        name: String,
        /// Where it departs from its schema.
        source: serde_json::Error,
    },
}

fn advice(error: &LinesError) -> &'static str {
    if matches!(error, LinesError::Line { .. }) { "; ingest the day again" } else { "" }
}

/// The canonical data of one tenant and surface: of one stream, where it is read.
#[derive(Debug, Clone, Copy)]
pub struct Canonical<'a> {
    store: &'a dyn Store,
    scope: &'a Scope,
    stream: Stream,
    max_id_bytes: usize,
    is_refused: bool,
}

/// What the name of a file ends with that holds a day which a gate has refused.
const REFUSED: &str = ".refused.jsonl";

impl<'a> Canonical<'a> {
    /// The exposures of `scope` below `store`.
    pub fn new(store: &'a dyn Store, scope: &'a Scope) -> Self {
        let max_id_bytes = Limits::MAX_ID_BYTES;
        Self { store, scope, stream: Stream::Exposures, max_id_bytes, is_refused: false }
    }

    /// The same with another length of ids: `limits.max_id_bytes`.
    #[must_use]
    pub fn with_max_id_bytes(self, max_id_bytes: usize) -> Self {
        Self { max_id_bytes, ..self }
    }

    /// The data of `stream` in the same place.
    #[must_use]
    pub fn of(self, stream: Stream) -> Self {
        Self { stream, ..self }
    }

    /// The days that a gate has refused, each kept apart from what was good before and is still read.
    #[must_use]
    pub fn refused(self) -> Self {
        Self { is_refused: true, ..self }
    }

    fn folder(&self) -> String {
        format!("{}/{}", self.scope.prefix(), self.stream.as_str())
    }

    fn key(&self, day: Day) -> String {
        let ending = if self.is_refused { REFUSED } else { ".jsonl" };
        format!("{}/{day}{ending}", self.folder())
    }

    /// The days that are kept apart because a gate has refused them: from `first` on, or all.
    pub fn refused_days(&self, first: Option<Day>) -> Result<BTreeSet<Day>, StoreError> {
        let folder = self.folder();
        let after = first.map(|first| format!("{folder}/{first}")).unwrap_or_default();
        let listed = self.store.list_after(&folder, &after)?;
        let day = |key: &str| key[folder.len()..].strip_prefix('/')?.strip_suffix(REFUSED)?.parse().ok();
        Ok(listed.iter().filter_map(|listed| day(&listed.key)).collect())
    }

    /// Makes an empty file of a day, unless it has one.
    pub fn mark(&self, day: Day) -> Result<(), StoreError> {
        if self.store.look(&self.key(day))?.is_none() {
            self.store.put(&self.key(day), b"", Condition::Always)?;
        }
        Ok(())
    }

    /// Removes a day's file if it is empty.
    pub fn unmark(&self, day: Day) -> Result<(), StoreError> {
        if self.store.look(&self.key(day))?.is_some_and(|file| file.bytes == 0) {
            self.store.remove(&self.key(day))?;
        }
        Ok(())
    }

    /// Removes a day's file; says whether there was one.
    pub fn remove(&self, day: Day) -> Result<bool, StoreError> {
        self.store.remove(&self.key(day))
    }

    /// What messages call the file of a day.
    pub fn name(&self, day: Day) -> String {
        self.store.name(&self.key(day))
    }

    /// Whether a day has a file.
    pub fn exists(&self, day: Day) -> Result<bool, StoreError> {
        Ok(self.store.open(&self.key(day))?.is_some())
    }

    /// Writes a day's file of its own stream aside; [`PendingDay::commit`] puts it in place.
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

    /// How the events of a day differ from those of its file; none when it has no file.
    pub fn changes(&self, day: &DayRows) -> Result<Option<Changes>, StoreError> {
        let key = self.key(day.day);
        let Some(reader) = self.store.open(&key)? else { return Ok(None) };
        let failed = |source| StoreError { action: "read", target: self.store.name(&key), source };
        let mut comparison = Comparison::new(BufReader::new(reader)).map_err(failed)?;
        let mut hash = HashWriter::default();
        encode::write_lines(self.scope, day, &mut hash, |lines| comparison.push(lines).map_err(failed))?;
        comparison.finish().map(Some).map_err(failed)
    }

    /// Reads a day's file. Returns its events and the SHA-256 of its bytes.
    pub fn load(&self, day: Day, budget: &Budget) -> Result<Option<(DayRows, String)>, CanonicalError> {
        let Some(reader) = self.store.open(&self.key(day))? else { return Ok(None) };
        let name = self.name(day);
        let hash = SharedHash::default();
        let file = LineFile::new(&name, TeeReader { reader, copy: hash.clone() });
        let rules = Rules { scope: self.scope, max_id_bytes: self.max_id_bytes };
        let lines = Reader { stream: self.stream, rules, budget, aside: None };
        let (mut days, counts) = lines.days(vec![file], day, day)?;
        let count = counts.foreign + counts.outside();
        if count > 0 {
            return Err(CanonicalError::Strangers { name, count });
        }
        let hash = hash.0.lock().clone().finish();
        Ok(days.pop().map(|rows| (rows, hash)))
    }

    /// The SHA-256 of a day's file; none when it has none.
    pub fn hash(&self, day: Day) -> Result<Option<String>, StoreError> {
        let key = self.key(day);
        let Some(mut reader) = self.store.open(&key)? else { return Ok(None) };
        let mut hash = HashWriter::default();
        let failed = |source| StoreError { action: "read", target: self.store.name(&key), source };
        io::copy(&mut reader, &mut hash).map_err(failed)?;
        Ok(Some(hash.finish()))
    }

    /// Adds the bytes of all days of a window to `hash`, one after the other; returns the SHA-256 of each day that has a file.
    pub fn hash_window(
        &self,
        window: Window,
        hash: &mut HashWriter,
    ) -> Result<BTreeMap<Day, String>, StoreError> {
        let mut days = BTreeMap::new();
        for day in window.days() {
            let key = self.key(day);
            if let Some(reader) = self.store.open(&key)? {
                let mut own = HashWriter::default();
                io::copy(&mut TeeReader { reader, copy: &mut own }, hash).map_err(|source| StoreError {
                    action: "read",
                    target: self.store.name(&key),
                    source,
                })?;
                days.insert(day, own.finish());
            }
        }
        Ok(days)
    }
}

/// A day's file that is written and not in place yet.
pub struct PendingDay<'a> {
    store: &'a dyn Store,
    key: String,
    /// None for a day without events, which has no file.
    pending: Option<Box<dyn PendingWrite + 'a>>,
    hash: String,
    is_refused: bool,
}

impl PendingDay<'_> {
    /// The SHA-256 of the file's bytes.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Puts the file in place of the old one, or removes the old one when the day has no events.
    pub fn commit(self) -> Result<Replaced, StoreError> {
        let Some(pending) = self.pending else {
            return Ok(if self.store.remove(&self.key)? { Replaced::Removed } else { Replaced::Empty });
        };
        let replaced = pending.commit(Condition::Always)?.into();
        Ok(if self.is_refused { Replaced::Refused } else { replaced })
    }
}

/// A hash that a reader on another thread writes to.
#[derive(Clone, Default)]
struct SharedHash(Arc<Mutex<HashWriter>>);

impl Write for SharedHash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
