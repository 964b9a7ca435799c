//! What does not fit in memory: sorted runs in temporary files, and their merge.
//!
//! A [`Budget`] says how much memory the working set of ingest and of the builders may take. What exceeds a
//! share of it is sorted and written to a temporary file as a run; in the end the runs are merged. As long
//! as nothing exceeds its share, no file is touched. All runs are in one file, which is the only one that is open. Counts are
//! exact integers and merges are by the full order of what is sorted, so the budget never shows in a result. Each block has a
//! checksum: what a disk gives back is what was written, or an error.
//!
//! The file has no name: it is gone when the process is, however it ends, and no other process can mistake it for a
//! leftover.

mod blocks;
mod merge;
mod tally;
mod temp_file;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use blocks::{BlockWriter, Blocks, ByteReader, Damaged, EntryReader, put_varint};
pub(crate) use merge::{Merge, SortedRun};
pub(crate) use tally::{Counted, KeyedCount, RunWriter, Tally, Weighed};

use crate::domain::class::class;
use crate::domain::stream::Stream;
use crate::storage::StoreError;
use parking_lot::Mutex;
use temp_file::TempFile;

/// How much memory a run may take for what it works on, and where the rest goes.
///
/// Clones share the temporary file.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    memory_bytes: usize,
    temp_dir: PathBuf,
    /// None until something is written to it.
    file: Mutex<Option<Arc<TempFile>>>,
}

impl Budget {
    /// `memory_bytes` unless set.
    pub const DEFAULT_BYTES: u64 = 2 << 30;

    /// The least that is worth working with: below it, most of the memory is not the working set's.
    pub const LEAST_BYTES: u64 = 64 << 20;

    /// A budget of `memory_bytes`; what exceeds it goes to the folder `temp_dir`, which is created when it is
    /// needed.
    pub fn new(memory_bytes: u64, temp_dir: impl Into<PathBuf>) -> Self {
        let memory_bytes = usize::try_from(memory_bytes).unwrap_or(usize::MAX);
        Self(Arc::new(Shared { memory_bytes, temp_dir: temp_dir.into(), file: Mutex::default() }))
    }

    /// What the events that are read, and those of the days that are kept, may take.
    pub fn events(&self) -> usize {
        self.0.memory_bytes / 2
    }

    /// What the events of a stream that are read may take. Those of the other one may be in memory already.
    pub(crate) fn events_of(&self, stream: Stream) -> usize {
        match stream {
            Stream::Exposures => self.events(),
            Stream::Outcomes => self.events() / 4,
        }
    }

    /// What documents that are parsed at the same time may take.
    pub fn documents(&self) -> usize {
        self.0.memory_bytes / 4
    }

    /// What a kind that counts pairs within sessions may take.
    pub(crate) fn session_pairs(&self) -> usize {
        self.0.memory_bytes / 4
    }

    /// What a kind that counts the items of users may take.
    pub(crate) fn user_items(&self) -> usize {
        self.0.memory_bytes / 8
    }

    /// The distinct strings of days, which messages call `what`. They are in memory as long as the days are.
    pub fn strings<'a>(&'a self, what: &'a str) -> Reservation<'a> {
        Reservation { budget: self, share: self.whole() / 4, what, bytes: 0 }
    }

    /// The rows of a catalogue that are kept, which messages call `what`.
    pub(crate) fn catalogue<'a>(&'a self, what: &'a str) -> Reservation<'a> {
        Reservation { budget: self, share: self.whole() / 2, what, bytes: 0 }
    }

    /// What a model keeps in memory, which messages call `what`.
    pub(crate) fn model<'a>(&'a self, what: &'a str) -> Reservation<'a> {
        Reservation { budget: self, share: self.whole() / 2, what, bytes: 0 }
    }

    /// The budget that bounds what cannot be put into a temporary file: that is not made smaller than the least one.
    fn whole(&self) -> usize {
        self.0.memory_bytes.max(usize::try_from(Self::LEAST_BYTES).unwrap_or(usize::MAX))
    }

    /// How much of a file that was compressed earlier may be needed to decompress the rest.
    pub fn window(&self) -> usize {
        self.whole() / 4
    }

    /// How many threads may read lines: each has buffers for the longest line.
    pub(crate) fn reading_threads(&self) -> usize {
        const BUFFER_BYTES: usize = 1 << 22;
        rayon::current_num_threads().min(self.events() / BUFFER_BYTES).max(1)
    }

    /// How many runs are merged at a time when `share` bytes may be used and a merge holds `run_bytes` of each.
    pub(crate) fn fan_in(share: usize, run_bytes: usize) -> usize {
        (share / run_bytes).clamp(2, 64)
    }

    /// The temporary file, which is created when it is first asked for.
    fn file(&self) -> Result<Arc<TempFile>, StoreError> {
        let mut file = self.0.file.lock();
        let file = match &mut *file {
            Some(file) => file,
            none => {
                let created = TempFile::create(&self.0.temp_dir);
                none.insert(Arc::new(created.map_err(|source| self.failed("create", source))?))
            }
        };
        Ok(Arc::clone(file))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> StoreError {
        StoreError { action, target: format!("a temporary file in {}", self.0.temp_dir.display()), source }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES, std::env::temp_dir())
    }
}

/// Something that cannot be put into a temporary file takes more memory than the budget leaves for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} take {bytes} bytes of memory, {max} are for them with resources.memory_bytes at {memory_bytes}; raise \
     resources.memory_bytes if this is expected"
)]
pub struct BudgetExceeded {
    /// What it is, in the plural.
    pub what: String,
    /// What it takes, at least.
    pub bytes: u64,
    /// What it may take.
    pub max: u64,
    /// The whole budget.
    pub memory_bytes: u64,
}

class!(BudgetExceeded => Limit);

/// Something that grows, and the share of the budget that it may take.
#[derive(Debug)]
pub struct Reservation<'a> {
    budget: &'a Budget,
    share: usize,
    what: &'a str,
    bytes: usize,
}

impl Reservation<'_> {
    /// Adds what was taken.
    pub fn add(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= self.share {
            return Ok(());
        }
        Err(BudgetExceeded {
            what: self.what.to_owned(),
            bytes: self.bytes as u64,
            max: self.share as u64,
            memory_bytes: self.budget.0.memory_bytes as u64,
        })
    }
}
