//! Bad lines that are put aside while files are read.
//!
//! Threads meet bad lines in any order, and there may be as many of them as there are lines. So each thread
//! writes those of a stretch of a file, as the quarantine file will have them, to a temporary file; in the
//! end the stretches are read in the order in which they stand in the files.

use std::io::{self, Write};

use parking_lot::{Mutex, MutexGuard};

use super::hopeless::{Bounds, Hopeless, Progress, Seen};
use super::line::BadLine;
use super::{Place, ratio};
use crate::columnar::spill::{BlockWriter, Blocks, Budget};
use crate::encoding::json;
use crate::input::event::Fault;
use crate::input::stop::Stop;
use crate::storage::StoreError;

/// Bytes that a stretch holds in memory.
const BLOCK_BYTES: usize = 1 << 18;

/// Where bad lines go while files are read.
#[derive(Debug)]
pub struct Aside {
    budget: Budget,
    /// What the quarantine file calls the files.
    files: Vec<String>,
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// None as long as there is nothing to write.
    blocks: Option<BlockWriter>,
    /// What each block is.
    pieces: Vec<Piece>,
    bytes: u64,
    /// What was read.
    progress: Progress,
    lines: u64,
    first: Option<(Place, String)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// A part of a stretch that begins at a line of a file. The derived order is that of the quarantine file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    file: usize,
    line: u64,
    part: u32,
}

impl Aside {
    /// For the bad lines of files that the quarantine file calls `files`.
    pub fn new(files: Vec<String>, budget: &Budget) -> Self {
        Self { budget: budget.clone(), files, bounds: Bounds::default(), state: Mutex::default() }
    }

    /// The same, and reading stops when there are more bad lines than `bounds` allow.
    #[must_use]
    pub fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Notes how many bytes will be read, where that is known.
    pub(crate) fn expect(&self, bytes: Option<u64>) {
        self.state().progress.total_bytes = bytes;
    }

    /// Whether there is nothing that was not read. Unknown, and so `false`, where the length of a file is.
    pub(crate) fn has_seen_all(&self) -> bool {
        let Progress { total_bytes, seen } = &self.state().progress;
        *total_bytes == Some(seen.bytes)
    }

    /// Notes a stretch without a bad line.
    pub(crate) fn note(&self, seen: Seen) {
        self.state().progress.add(seen);
    }

    /// How many lines were put aside.
    pub fn lines(&self) -> u64 {
        self.state().lines
    }

    /// Begins a stretch of a file. No two begin at the same line.
    pub(crate) fn stretch(&self, file: usize, line: u64) -> Stretch<'_> {
        let bytes_before = self.state().bytes;
        let piece = Piece { file, line, part: 0 };
        Stretch { aside: self, piece, bytes: Vec::new(), bytes_before, lines: 0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What was put aside, in the order of files and lines.
    pub fn finish(self) -> SetAside {
        let State { blocks, pieces, lines, first, .. } = self.state.into_inner();
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_unstable_by_key(|number| pieces[*number]);
        SetAside { blocks: blocks.map(BlockWriter::finish), order, lines, first: first.map(|(_, text)| text) }
    }
}

/// The bad lines of a stretch of a file, which one thread puts aside in order.
pub(crate) struct Stretch<'a> {
    aside: &'a Aside,
    piece: Piece,
    bytes: Vec<u8>,
    /// All that was written before, by any thread.
    bytes_before: u64,
    lines: u64,
}

impl Stretch<'_> {
    /// Puts a line aside: its bytes but for the line feed.
    ///
    /// # Errors
    /// [`Stop::Hopeless`] when as many bytes were put aside as may be.
    pub(crate) fn keep(&mut self, place: Place, bytes: &[u8], fault: &Fault) -> Result<(), Stop> {
        let aside = self.aside;
        let file = aside.files.get(place.file).map_or("", String::as_str);
        if self.lines == 0 {
            let mut state = aside.state();
            if state.first.as_ref().is_none_or(|(first, _)| place < *first) {
                let column = fault.column.map(|column| format!(":{column}")).unwrap_or_default();
                state.first = Some((place, format!("{file}:{}{column}: {}", place.line, fault.reason)));
            }
        }
        self.lines += 1;
        let written = json::write(&BadLine::new(file, place, bytes, fault), &mut *self);
        written.and_then(|()| self.write_all(b"\n")).map_err(|error| {
            let failed = |source| StoreError { action: "write", target: "a temporary file".into(), source };
            Stop::Temporary(error.downcast::<StoreError>().unwrap_or_else(failed))
        })?;
        self.check()
    }

    /// Fails when there is too much in the blocks and the one at hand.
    fn check(&mut self) -> Result<(), Stop> {
        let Aside { bounds: Bounds { max_bytes, .. }, .. } = *self.aside;
        if self.bytes_before + self.bytes.len() as u64 <= max_bytes {
            return Ok(());
        }
        self.write_block()?;
        let mut state = self.aside.state();
        state.lines += std::mem::take(&mut self.lines);
        Err(Stop::Hopeless(Hopeless::Bytes { max_bytes }))
    }

    fn write_block(&mut self) -> Result<(), StoreError> {
        let mut state = self.aside.state();
        let blocks = match &mut state.blocks {
            Some(blocks) => blocks,
            none => none.insert(BlockWriter::new(&self.aside.budget)),
        };
        blocks.write(&self.bytes)?;
        state.bytes += self.bytes.len() as u64;
        self.bytes_before = state.bytes;
        state.pieces.push(self.piece);
        self.bytes.clear();
        self.piece.part += 1;
        Ok(())
    }

    /// Ends the stretch, in which `seen` was read.
    ///
    /// # Errors
    /// [`Stop::Hopeless`] when too many lines are bad, whatever follows.
    pub(crate) fn finish(mut self, seen: Seen) -> Result<(), Stop> {
        if !self.bytes.is_empty() {
            self.write_block()?;
        }
        let mut state = self.aside.state();
        state.lines += self.lines;
        state.progress.add(seen);
        // What other threads have written since this stretch began counts, too.
        let max_bytes = self.aside.bounds.max_bytes;
        if state.bytes > max_bytes {
            return Err(Stop::Hopeless(Hopeless::Bytes { max_bytes }));
        }
        let (max, invalid) = (self.aside.bounds.max_ratio, state.lines);
        match state.progress.most_good_lines() {
            Some(most) if ratio(invalid, invalid.saturating_add(most)) > max.into() => {
                let lines = invalid + state.progress.seen.good;
                Err(Stop::Hopeless(Hopeless::Ratio { invalid, lines, max }))
            }
            _ => Ok(()),
        }
    }
}

/// Lets a line of any length be written in blocks.
impl Write for Stretch<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK_BYTES - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        if self.bytes.len() == BLOCK_BYTES {
            self.write_block().map_err(io::Error::other)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bad lines that were put aside, as the quarantine file has them.
pub struct SetAside {
    blocks: Option<Blocks>,
    order: Vec<usize>,
    lines: u64,
    first: Option<String>,
}

impl std::fmt::Debug for SetAside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetAside").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl SetAside {
    /// How many there are.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Where the first of them is, and what is wrong with it.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// Calls `take` with the bytes of the quarantine file, from its beginning to its end.
    pub(super) fn for_each_block(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        self.blocks.iter().try_for_each(|blocks| {
            self.order.iter().try_for_each(|number| {
                blocks.read(*number, &mut bytes)?;
                take(&bytes)
            })
        })
    }
}
