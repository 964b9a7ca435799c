//! Canonical data: one file for each day, the same bytes for the same events.
//!
//! Reading, filtering, ordering and dropping repeated deliveries happen in [`read_days`]; this module writes
//! the result, and reads it back for jobs that start from canonical data. A day's file is replaced as a
//! whole: a crash leaves the old file or the new one.

mod rows;

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

pub use rows::{Counts, DayRows, Names, Row, read_days};

use crate::event::CanonicalLine;
use crate::hash::HashWriter;
use crate::id::Scope;
use crate::json;
use crate::lines::{LineFile, LinesError};
use crate::storage::{Commit, Condition, PendingWrite, Store, StoreError};
use crate::timestamp;
use crate::window::{Day, Window};

/// Why canonical data could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file holds something that ingest never writes.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// The file holds events that do not belong there.
    #[error("{name} holds {count} events of another tenant, surface or day; ingest the day again")]
    Strangers {
        /// The file.
        name: String,
        /// How many.
        count: u64,
    },
}

/// What became of a day's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replaced {
    /// The new bytes are in place.
    Written,
    /// The file held the same bytes already and was not touched.
    Unchanged,
    /// The day has no events any more; its file is gone.
    Removed,
    /// The day has no events and had no file.
    Empty,
}

/// The canonical data of one tenant and surface.
#[derive(Debug, Clone, Copy)]
pub struct Canonical<'a> {
    store: &'a dyn Store,
    scope: &'a Scope,
}

impl<'a> Canonical<'a> {
    /// The data of `scope` below `store`.
    pub fn new(store: &'a dyn Store, scope: &'a Scope) -> Self {
        Self { store, scope }
    }

    fn key(&self, day: Day) -> String {
        format!("{}/exposures/{day}.jsonl", self.scope.prefix())
    }

    /// What messages call the file of a day.
    pub fn name(&self, day: Day) -> String {
        self.store.name(&self.key(day))
    }

    /// Whether a day has a file.
    pub fn exists(&self, day: Day) -> Result<bool, StoreError> {
        Ok(self.store.open(&self.key(day))?.is_some())
    }

    /// Writes a day's file aside; [`PendingDay::commit`] puts it in place.
    pub fn write(&self, day: &DayRows) -> Result<PendingDay<'a>, StoreError> {
        let key = self.key(day.day);
        let mut hash = HashWriter::default();
        let mut pending = None;
        if !day.rows.is_empty() {
            let file = pending.insert(self.store.begin(&key)?);
            write_lines(self.scope, day, |bytes| {
                hash.write_all(bytes)?;
                file.write_all(bytes)
            })
            .map_err(|source| StoreError {
                action: "write",
                target: self.store.name(&key),
                source,
            })?;
        }
        Ok(PendingDay { store: self.store, key, pending, hash: hash.finish() })
    }

    /// Reads a day's file. Returns its events and the SHA-256 of its bytes.
    pub fn load(&self, day: Day) -> Result<Option<(DayRows, String)>, CanonicalError> {
        let Some(reader) = self.store.open(&self.key(day))? else { return Ok(None) };
        let name = self.name(day);
        let hash = Arc::new(Mutex::new(HashWriter::default()));
        let reader = Box::new(HashingReader { reader, hash: Arc::clone(&hash) });
        let file = LineFile { name: name.clone(), reader };
        let (mut days, counts) = read_days(vec![file], self.scope, day, day)?;
        let count = counts.foreign + counts.outside;
        if count > 0 {
            return Err(CanonicalError::Strangers { name, count });
        }
        let hash = hash.lock().unwrap_or_else(PoisonError::into_inner).clone().finish();
        Ok(days.pop().map(|rows| (rows, hash)))
    }

    /// The SHA-256 of the bytes of all days of a window, one after the other.
    pub fn window_hash(&self, window: Window) -> Result<String, StoreError> {
        let mut hash = HashWriter::default();
        for day in window.days() {
            let key = self.key(day);
            if let Some(mut reader) = self.store.open(&key)? {
                io::copy(&mut reader, &mut hash).map_err(|source| StoreError {
                    action: "read",
                    target: self.store.name(&key),
                    source,
                })?;
            }
        }
        Ok(hash.finish())
    }
}

/// A day's file that is written and not in place yet.
pub struct PendingDay<'a> {
    store: &'a dyn Store,
    key: String,
    /// None for a day without events, which has no file.
    pending: Option<Box<dyn PendingWrite + 'a>>,
    hash: String,
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
        Ok(match pending.commit(Condition::Always)? {
            Commit::Unchanged => Replaced::Unchanged,
            Commit::Written | Commit::Refused => Replaced::Written,
        })
    }
}

struct HashingReader {
    reader: Box<dyn Read + Send>,
    hash: Arc<Mutex<HashWriter>>,
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hash.lock().unwrap_or_else(PoisonError::into_inner).write_all(&buffer[..read])?;
        Ok(read)
    }
}

/// Rows that one thread turns into text at a time.
const CHUNK_ROWS: usize = 1 << 14;

fn write_lines(scope: &Scope, day: &DayRows, mut out: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let threads = rayon::current_num_threads();
    let mut texts: Vec<Vec<u8>> = vec![Vec::new(); threads];
    for batch in day.rows.chunks(CHUNK_ROWS * threads) {
        texts.par_iter_mut().zip(batch.par_chunks(CHUNK_ROWS)).try_for_each(|(text, rows)| {
            rows.iter().try_for_each(|row| write_line(scope, &day.names, row, text))
        })?;
        for text in &mut texts {
            out(text)?;
            text.clear();
        }
    }
    Ok(())
}

fn write_line(scope: &Scope, names: &Names, row: &Row, out: &mut Vec<u8>) -> io::Result<()> {
    let mut ts = [0; 35];
    let mut rest = ts.as_mut_slice();
    timestamp::write(row.ts, &mut rest)?;
    let length = 35 - rest.len();
    let ts = std::str::from_utf8(&ts[..length]).map_err(io::Error::other)?;
    let optional = |id: u32| id.checked_sub(1);
    let line = CanonicalLine {
        v: 1,
        ts,
        tenant: scope.tenant.as_str(),
        surface: scope.surface.as_str(),
        segment: optional(row.segment).map(|id| names.segments.get(id)),
        user_id: optional(row.user).map(|id| names.users.get(id)),
        session_id: names.sessions.get(row.session),
        request_id: optional(row.request).map(|id| names.requests.get(id)),
        item_id: names.items.get(row.item),
        rank: (row.rank >= 0).then_some(row.rank),
    };
    json::write(&line, &mut *out)?;
    out.push(b'\n');
    Ok(())
}
