//! Collects bad lines while files are read.
//!
//! Threads find bad lines in any order, and every line may be bad. So each thread writes those of its chunk of a
//! file to a temporary file, already in the form of the quarantine file; at the end the chunks are read back in
//! file order.

use std::io::{self, Write};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use super::bounds::{Bounds, ExceededBound, Progress, Seen};
use super::{Position, ratio};
use crate::columnar::spill::{BlockWriter, Blocks, Budget};
use crate::encoding::json;
use crate::input::event::LineFault;
use crate::input::stop::Stop;
use crate::storage::StoreError;

/// Buffer size of a chunk.
const BLOCK_BYTES: usize = 1 << 18;

/// Collects bad lines while files are read.
pub struct BadLineWriter {
    budget: Budget,
    /// The names of the files as used in the quarantine file.
    files: Vec<String>,
    bounds: Bounds,
    state: Mutex<WriterState>,
}

#[derive(Default)]
struct WriterState {
    /// `None` until the first block is written.
    blocks: Option<BlockWriter>,
    /// Which piece of which chunk each block holds.
    pieces: Vec<Piece>,
    bytes: u64,
    /// How much of the input has been read.
    progress: Progress,
    lines: u64,
    first: Option<(Position, String)>,
}

/// A part of a chunk, which begins at a line of a file. The derived order is that of the quarantine file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    file: usize,
    line: u64,
    part: u32,
}

impl BadLineWriter {
    /// Collects the bad lines of `files`, given by their names in the quarantine file. Stops reading once they exceed
    /// `bounds`.
    pub fn new(files: Vec<String>, budget: &Budget, bounds: Bounds) -> Self {
        Self { budget: budget.clone(), files, bounds, state: Mutex::default() }
    }

    /// Sets the number of bytes that will be read, if known.
    pub(crate) fn expect(&self, bytes: Option<u64>) {
        self.state.lock().progress.total_bytes = bytes;
    }

    /// Whether all input has been read. `false` if the length of a file is unknown.
    pub(crate) fn has_seen_all(&self) -> bool {
        let Progress { total_bytes, seen } = &self.state.lock().progress;
        *total_bytes == Some(seen.bytes)
    }

    /// Counts a chunk without bad lines.
    pub(crate) fn note(&self, seen: Seen) {
        self.state.lock().progress.add(seen);
    }

    /// Number of lines set aside.
    pub fn lines(&self) -> u64 {
        self.state.lock().lines
    }

    /// Begins a chunk of a file. Each must begin at a different line.
    pub(crate) fn begin_chunk(&self, file: usize, line: u64) -> Chunk<'_> {
        let bytes_before = self.state.lock().bytes;
        let piece = Piece { file, line, part: 0 };
        Chunk { writer: self, piece, bytes: Vec::new(), bytes_before, lines: 0 }
    }

    /// The bad lines in the order of files and lines.
    pub fn finish(self) -> BadLines {
        let WriterState { blocks, pieces, lines, first, .. } = self.state.into_inner();
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_unstable_by_key(|number| pieces[*number]);
        BadLines { blocks: blocks.map(BlockWriter::finish), order, lines, first: first.map(|(_, text)| text) }
    }
}

/// A bad line, an object of the quarantine file; its fields are written in this order.
#[derive(Serialize)]
struct BadLine<'a> {
    file: &'a str,
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    byte_offset: u64,
    reason: &'a str,
    /// The line, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// The line, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<Base64<'a>>,
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// The bad lines of a chunk of a file, written in order by one thread.
pub(crate) struct Chunk<'a> {
    writer: &'a BadLineWriter,
    piece: Piece,
    bytes: Vec<u8>,
    /// Bytes written to blocks by all threads, as of this chunk's start or last block.
    bytes_before: u64,
    lines: u64,
}

impl Chunk<'_> {
    /// Sets a line aside, without its line feed.
    ///
    /// # Errors
    /// [`Stop::ExceededBound`] when this exceeds the byte limit.
    pub(crate) fn keep(&mut self, position: Position, bytes: &[u8], fault: &LineFault) -> Result<(), Stop> {
        let writer = self.writer;
        let file = writer.files.get(position.file).map_or("", String::as_str);
        if self.lines == 0 {
            let mut state = writer.state.lock();
            if state.first.as_ref().is_none_or(|(first, _)| position < *first) {
                let column = fault.column.map(|column| format!(":{column}")).unwrap_or_default();
                state.first = Some((position, format!("{file}:{}{column}: {}", position.line, fault.reason)));
            }
        }
        self.lines += 1;
        let text = std::str::from_utf8(bytes).ok();
        let base64 = text.is_none().then_some(Base64(bytes));
        let (Position { line, byte_offset, .. }, LineFault { column, reason, .. }) = (position, fault);
        let bad = BadLine { file, line, column: *column, byte_offset, reason, text, base64 };
        let written = json::write(&bad, &mut *self);
        written.and_then(|()| self.write_all(b"\n")).map_err(|error| {
            let failed = |source| StoreError { action: "write", target: "a temporary file".into(), source };
            Stop::Temporary(error.downcast::<StoreError>().unwrap_or_else(failed))
        })?;
        self.check()
    }

    /// Fails when the blocks and the current buffer exceed the byte limit.
    fn check(&mut self) -> Result<(), Stop> {
        let BadLineWriter { bounds: Bounds { max_bytes, .. }, .. } = *self.writer;
        if self.bytes_before + self.bytes.len() as u64 <= max_bytes {
            return Ok(());
        }
        self.write_block()?;
        let mut state = self.writer.state.lock();
        state.lines += std::mem::take(&mut self.lines);
        Err(Stop::ExceededBound(ExceededBound::Bytes { max_bytes }))
    }

    fn write_block(&mut self) -> Result<(), StoreError> {
        let mut state = self.writer.state.lock();
        let blocks = match &mut state.blocks {
            Some(blocks) => blocks,
            none => none.insert(BlockWriter::new(&self.writer.budget)),
        };
        blocks.write(&self.bytes)?;
        state.bytes += self.bytes.len() as u64;
        self.bytes_before = state.bytes;
        state.pieces.push(self.piece);
        self.bytes.clear();
        self.piece.part += 1;
        Ok(())
    }

    /// Ends the chunk; `seen` counts what it held.
    ///
    /// # Errors
    /// [`Stop::ExceededBound`] when too many lines are bad, whatever follows, or when all threads together exceed the byte limit.
    pub(crate) fn finish(mut self, seen: Seen) -> Result<(), Stop> {
        if !self.bytes.is_empty() {
            self.write_block()?;
        }
        let mut state = self.writer.state.lock();
        state.lines += self.lines;
        state.progress.add(seen);
        // Other threads may have written blocks since this chunk began.
        let max_bytes = self.writer.bounds.max_bytes;
        if state.bytes > max_bytes {
            return Err(Stop::ExceededBound(ExceededBound::Bytes { max_bytes }));
        }
        let (max, invalid) = (self.writer.bounds.max_ratio, state.lines);
        match state.progress.most_good_lines() {
            Some(most) if ratio(invalid, invalid.saturating_add(most)) > max.into() => {
                let lines = invalid + state.progress.seen.good;
                Err(Stop::ExceededBound(ExceededBound::Ratio { invalid, lines, max }))
            }
            _ => Ok(()),
        }
    }
}

/// Splits lines of any length into blocks.
impl Write for Chunk<'_> {
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

/// The bad lines of the files, in the form of the quarantine file.
#[derive(Debug)]
pub struct BadLines {
    blocks: Option<Blocks>,
    order: Vec<usize>,
    lines: u64,
    first: Option<String>,
}

impl BadLines {
    /// Number of bad lines.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Place and fault of the first bad line.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// Calls `take` with the content of the quarantine file, block by block in order.
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
