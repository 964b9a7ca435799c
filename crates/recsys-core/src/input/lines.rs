//! Reads the lines of any number of files on all threads.
//!
//! Workers take turns reading (and so decompressing): a worker reads a block cut at a line end, hands the reader on, and
//! processes its block while it is still in cache. Memory holds one block per worker, whatever the file size. Each worker
//! has its own state, and the caller merges them. The scheduler decides which worker gets which block, so the merge must
//! not depend on that.
//!
//! The error is always the first bad line in file order, whichever thread finds one first. Alternatively, all bad lines
//! are set aside and reading goes on.

use std::io::{self, Read};
use std::iter::Enumerate;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec;

use parking_lot::Mutex;

use crate::columnar::spill::BudgetExceeded;
use crate::domain::class::Class;
use crate::input::event::LineFault;
use crate::input::magic::not_text;
use crate::input::quarantine::{BadLineWriter, Chunk, ExceededBound, Position, Seen};
use crate::input::stop::Stop;
use crate::storage::StoreError;
use crate::threads::interrupt;
use crate::threads::parallel::on_threads;

/// Maximum length of a line, in bytes. An exposure takes a few hundred; a longer line means a missing line end.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Maximum length of a line that can be set aside, in bytes. Such a line is held in memory as a whole.
pub const MAX_KEPT_LINE_BYTES: usize = 1 << 24;

/// Small enough for a block to stay in the cache of the core that read it.
const BLOCK_BYTES: usize = 1 << 18;

/// A byte order mark at the beginning of a file; it does not belong to the first line.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// A file of lines.
pub struct LineFile {
    /// The name used in messages.
    pub name: String,
    /// The decompressed content.
    pub reader: Box<dyn Read + Send>,
    /// Length of the content in bytes, if known before reading.
    pub bytes: Option<u64>,
}

impl LineFile {
    /// A file of unknown length.
    pub fn new(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Self { name: name.into(), reader: Box::new(reader), bytes: None }
    }
}

/// Why reading or processing the lines failed.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// A line breaks a rule.
    #[error("{0}{advice}", advice = if .0.fault.is_of_file { "" } else { "; correct the line or take it out" })]
    Line(LineError),
    /// The file could not be read to its end, or a temporary file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// So many lines break a rule that reading on is pointless.
    #[error("reading was stopped at {name}:{line}, because {why}")]
    ExceededBound {
        /// The file that was read.
        name: String,
        /// The next line to be read.
        line: u64,
        /// The limit that was exceeded.
        why: ExceededBound,
    },
    /// The data does not fit in memory and cannot be spilled to disk.
    #[error(transparent)]
    Memory(#[from] BudgetExceeded),
}

impl LinesError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Store(_) => None,
            Self::Line(_) | Self::ExceededBound { .. } => Some(Class::Refused),
            Self::Memory(_) => Some(Class::Limit),
        }
    }
}

/// A line that breaks a rule.
#[derive(Debug, thiserror::Error)]
#[error("{name}:{line}{}: {}", .fault.column.map(|column| format!(":{column}")).unwrap_or_default(), .fault.reason)]
pub struct LineError {
    /// The name of the file.
    pub name: String,
    /// The line, counted from 1.
    pub line: u64,
    /// The broken rule, and its column if known.
    pub fault: LineFault,
}

/// What ends the work: the earliest bad line so far, or an error that is not a line's fault.
#[derive(Default)]
struct Earliest {
    failed: AtomicBool,
    fault: Mutex<Option<(usize, u64, LineFault)>>,
    temporary: Mutex<Option<StoreError>>,
    exceeded_bound: Mutex<Option<ExceededBound>>,
}

impl Earliest {
    fn report(&self, file: usize, line: u64, stop: Stop) {
        match stop {
            Stop::Fault(fault) => {
                let mut slot = self.fault.lock();
                if slot.as_ref().is_none_or(|(f, l, _)| (file, line) < (*f, *l)) {
                    *slot = Some((file, line, fault));
                }
            }
            Stop::Temporary(error) => *self.temporary.lock() = Some(error),
            Stop::ExceededBound(why) => *self.exceeded_bound.lock() = Some(why),
        }
        self.failed.store(true, Ordering::Relaxed);
    }
}

/// Calls `work` on up to `threads` threads with every non-blank line, without its line end; returns the workers' states.
/// With `bad_lines`, lines that break a rule are set aside and skipped; only a line longer than [`MAX_KEPT_LINE_BYTES`] is
/// still an error.
pub fn for_each_line<S: Send, E: Into<Stop>>(
    files: Vec<LineFile>,
    threads: usize,
    bad_lines: Option<&BadLineWriter>,
    init: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &str) -> Result<(), E> + Sync,
) -> Result<Vec<S>, LinesError> {
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let earliest = Earliest::default();
    if let Some(bad_lines) = bad_lines {
        bad_lines.expect(files.iter().map(|file| file.bytes).sum());
    }
    let (files, reached) = (files.into_iter().enumerate(), Position { file: 0, line: 1, byte_offset: 0 });
    let blocks = Mutex::new(BlockReader { files, open: None, reached, earliest: &earliest, bad_lines });
    let worker = || -> Result<S, LinesError> {
        let (mut state, mut bytes) = (init(), Vec::with_capacity(2 * BLOCK_BYTES));
        loop {
            let next = blocks.lock().next(&mut bytes)?;
            let Some(start) = next else { return Ok(state) };
            if let Err((line, stop)) = work_through(start, &bytes, &mut state, bad_lines, &work) {
                earliest.report(start.file, line, stop);
            }
        }
    };
    let states = on_threads(threads, worker);
    let BlockReader { reached, .. } = blocks.into_inner();
    let fault = earliest.fault.into_inner();
    if let Some((file, line, fault)) = fault {
        return Err(LinesError::Line(LineError { name: names[file].clone(), line, fault }));
    }
    if let Some(error) = earliest.temporary.into_inner() {
        return Err(error.into());
    }
    let exceeded_bound = earliest.exceeded_bound.into_inner();
    // If all input has been read, all bad lines are set aside, and the gate judges their share.
    let is_final = |why: &ExceededBound| {
        matches!(why, ExceededBound::Bytes { .. }) || !bad_lines.is_some_and(BadLineWriter::has_seen_all)
    };
    if let Some(why) = exceeded_bound.filter(is_final) {
        let Position { file, line, .. } = reached;
        return Err(LinesError::ExceededBound { name: names[file].clone(), line, why });
    }
    states.into_iter().collect()
}

/// The blocks of all files, in file order.
struct BlockReader<'a> {
    files: Enumerate<vec::IntoIter<LineFile>>,
    open: Option<OpenFile>,
    /// Start of the next block.
    reached: Position,
    earliest: &'a Earliest,
    bad_lines: Option<&'a BadLineWriter>,
}

/// The file being read.
struct OpenFile {
    file: LineFile,
    /// Start of the next block.
    start: Position,
    /// Bytes already read beyond the last block.
    rest: Vec<u8>,
}

impl BlockReader<'_> {
    /// Reads the next block into `bytes`, replacing its content; returns where the block starts.
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<Position>, LinesError> {
        while !self.earliest.failed.load(Ordering::Relaxed) {
            if self.open.is_none() {
                let Some((number, file)) = self.files.next() else { return Ok(None) };
                let start = Position { file: number, line: 1, byte_offset: 0 };
                self.open = Some(OpenFile { file, start, rest: Vec::new() });
            }
            let Some(open) = &mut self.open else { continue };
            let read = open.next(bytes, self.earliest, self.bad_lines);
            match read.map_err(|source| StoreError { action: "read", target: open.file.name.clone(), source })
            {
                Ok(Some(start)) => {
                    self.reached = open.start;
                    return Ok(Some(start));
                }
                Ok(None) => self.open = None,
                Err(error) => {
                    self.earliest.failed.store(true, Ordering::Relaxed);
                    return Err(error.into());
                }
            }
        }
        Ok(None)
    }
}

impl OpenFile {
    /// Reads the next block of the file, cut at a line end; `None` at the end of the file.
    fn next(
        &mut self,
        bytes: &mut Vec<u8>,
        earliest: &Earliest,
        bad_lines: Option<&BadLineWriter>,
    ) -> io::Result<Option<Position>> {
        /// With this many bytes and no line end, the line is too long even without a byte order mark and a `\r`.
        const TOO_LONG: usize = MAX_LINE_BYTES + MARK.len() + 1;
        let Self { file: LineFile { reader, .. }, start, rest } = self;
        bytes.clear();
        bytes.append(rest);
        while !earliest.failed.load(Ordering::Relaxed) {
            interrupt::check()?;
            let read = reader.by_ref().take(BLOCK_BYTES as u64).read_to_end(bytes)?;
            let end =
                if read == 0 { bytes.len() } else { memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1) };
            if end > 0 {
                rest.extend_from_slice(&bytes[end..]);
                bytes.truncate(end);
                let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
                let next = Position {
                    line: start.line + lines,
                    byte_offset: start.byte_offset + end as u64,
                    ..*start
                };
                return Ok(Some(std::mem::replace(start, next)));
            }
            if read == 0 {
                return Ok(None);
            }
            if bytes.len() > TOO_LONG {
                let Some(bad_lines) = bad_lines else {
                    earliest.report(start.file, start.line, too_long_at(start, bytes).into());
                    continue;
                };
                // Read here, under the lock, so that at most one such line is in memory.
                let Some(end) = read_long_line(reader, bytes)? else {
                    let fault = LineFault::new(format!(
                        "the line is longer than {MAX_KEPT_LINE_BYTES} bytes, too long even to be set aside; is a line end \
                         missing?"
                    ));
                    earliest.report(start.file, start.line, fault.into());
                    continue;
                };
                if let Err(stop) = keep_long_line(bad_lines, *start, &bytes[..end]) {
                    earliest.report(start.file, start.line, stop);
                }
                *start =
                    Position { line: start.line + 1, byte_offset: start.byte_offset + end as u64, ..*start };
                *bytes = bytes.split_off(end);
            }
        }
        Ok(None)
    }
}

/// Reads on to the end of the line that `bytes` begins, and perhaps a little further. Returns the end of the line,
/// including its line end; `None` if the line is too long to be kept.
fn read_long_line(reader: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<Option<usize>> {
    while bytes.len() <= MAX_KEPT_LINE_BYTES {
        let before = bytes.len();
        let read = reader.take(BLOCK_BYTES as u64).read_to_end(bytes)?;
        let line_end = memchr::memchr(b'\n', &bytes[before..]).map(|at| before + at);
        if line_end.is_some() || read == 0 {
            let length = line_end.unwrap_or(bytes.len());
            return Ok((length <= MAX_KEPT_LINE_BYTES).then(|| line_end.map_or(length, |at| at + 1)));
        }
    }
    Ok(None)
}

fn keep_long_line(bad_lines: &BadLineWriter, mut position: Position, bytes: &[u8]) -> Result<(), Stop> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = without_bom(&mut position, line);
    let mut chunk = bad_lines.begin_chunk(position.file, position.line);
    chunk.keep(position, line, &too_long_at(&position, line))?;
    chunk.finish(Seen { bytes: bytes.len() as u64, good: 0 })
}

/// Strips the byte order mark from the first line of a file.
fn without_bom<'a>(position: &mut Position, bytes: &'a [u8]) -> &'a [u8] {
    match bytes.strip_prefix(MARK) {
        Some(rest) if position.line == 1 => {
            position.byte_offset += MARK.len() as u64;
            rest
        }
        _ => bytes,
    }
}

pub(crate) fn too_long() -> LineFault {
    LineFault::new(format!("the line is longer than {MAX_LINE_BYTES} bytes; is a line end missing?"))
}

fn too_long_at(position: &Position, line: &[u8]) -> LineFault {
    if position.byte_offset == 0 { of_file(line, too_long()) } else { too_long() }
}

/// Blames the whole file for a bad first line if its magic bytes show that it is not text.
fn of_file(line: &[u8], fault: LineFault) -> LineFault {
    not_text(line).map_or(fault, LineFault::of_file)
}

/// Processes a block; without `bad_lines` only up to its first bad line. An error comes with its line number.
fn work_through<S, E: Into<Stop>>(
    start: Position,
    bytes: &[u8],
    state: &mut S,
    bad_lines: Option<&BadLineWriter>,
    work: &impl Fn(&mut S, &str) -> Result<(), E>,
) -> Result<(), (u64, Stop)> {
    let mut position = start;
    let mut rest = without_bom(&mut position, bytes);
    let mut bad = BlockBadLines { bad_lines, start, chunk: None };
    let mut good = 0;
    while !rest.is_empty() {
        // Validate the whole block at once; the code behind the last valid byte only runs for a bad line.
        let (text, broken) = match std::str::from_utf8(rest) {
            Ok(text) => (text, None),
            Err(error) => {
                let (good, other) = rest.split_at(error.valid_up_to());
                let start = memchr::memrchr(b'\n', good).map_or(0, |at| at + 1);
                let end = memchr::memchr(b'\n', other).map_or(rest.len(), |at| good.len() + at + 1);
                let column = Some(good.len() - start + 1);
                let fault = LineFault { column, ..LineFault::new("the line is not UTF-8") };
                let text = std::str::from_utf8(&good[..start]).unwrap_or_default();
                (text, Some((&rest[start..end], fault)))
            }
        };
        let mut lines = text;
        while !lines.is_empty() {
            let end = memchr::memchr(b'\n', lines.as_bytes()).map_or(lines.len(), |at| at + 1);
            let line;
            (line, lines) = lines.split_at(end);
            match work_on_line(line, state, work) {
                Ok(is_blank) => good += u64::from(!is_blank),
                Err(stop) => {
                    bad.take(position, line.as_bytes(), stop).map_err(|stop| (position.line, stop))?;
                }
            }
            position.line += 1;
            position.byte_offset += line.len() as u64;
        }
        rest = &rest[text.len()..];
        if let Some((line, fault)) = broken {
            bad.take(position, line, fault.into()).map_err(|stop| (position.line, stop))?;
            position.line += 1;
            position.byte_offset += line.len() as u64;
            rest = &rest[line.len()..];
        }
    }
    bad.finish(Seen { bytes: bytes.len() as u64, good }).map_err(|stop| (start.line, stop))
}

/// Processes a line; returns whether it is blank.
fn work_on_line<S, E: Into<Stop>>(
    line: &str,
    state: &mut S,
    work: &impl Fn(&mut S, &str) -> Result<(), E>,
) -> Result<bool, Stop> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.len() > MAX_LINE_BYTES {
        return Err(too_long().into());
    }
    let is_blank = line.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    if !is_blank {
        work(state, line).map_err(Into::into)?;
    }
    Ok(is_blank)
}

/// Handles the bad lines of a block.
struct BlockBadLines<'a> {
    /// `None` if the first bad line stops the work.
    bad_lines: Option<&'a BadLineWriter>,
    start: Position,
    chunk: Option<Chunk<'a>>,
}

impl BlockBadLines<'_> {
    /// Sets the line aside if there is an [`BadLineWriter`] and the line is at fault; otherwise returns `stop`.
    fn take(&mut self, position: Position, line: &[u8], stop: Stop) -> Result<(), Stop> {
        let stop = match stop {
            Stop::Fault(fault) if position.byte_offset == 0 => Stop::Fault(of_file(line, fault)),
            stop => stop,
        };
        let (Some(bad_lines), Stop::Fault(fault)) = (self.bad_lines, &stop) else { return Err(stop) };
        let Position { file, line: first_line, .. } = self.start;
        let chunk = self.chunk.get_or_insert_with(|| bad_lines.begin_chunk(file, first_line));
        chunk.keep(position, line.strip_suffix(b"\n").unwrap_or(line), fault)
    }

    /// Reports `seen`, the bytes and good lines of the block.
    fn finish(self, seen: Seen) -> Result<(), Stop> {
        if let Some(chunk) = self.chunk {
            return chunk.finish(seen);
        }
        if let Some(bad_lines) = self.bad_lines {
            bad_lines.note(seen);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::interrupt::Interrupted;

    fn file(name: &str, bytes: impl Into<Vec<u8>>) -> LineFile {
        LineFile::new(name, io::Cursor::new(bytes.into()))
    }

    fn lines(files: Vec<LineFile>) -> Result<Vec<String>, String> {
        let work = |seen: &mut Vec<String>, line: &str| {
            if line.starts_with('!') {
                return Err(LineFault::new("bad"));
            }
            seen.push(line.to_owned());
            Ok(())
        };
        let mut all: Vec<_> = for_each_line(files, rayon::current_num_threads(), None, Vec::new, work)
            .map_err(|error| error.to_string())?
            .into_iter()
            .flatten()
            .collect();
        all.sort();
        Ok(all)
    }

    #[test]
    fn line_ends_blank_lines_and_a_leading_bom_do_not_count() {
        let text = "\u{feff}a\r\n\n \t\r\nb\n\r\nc";
        assert_eq!(lines(vec![file("x", text)]).unwrap(), ["a", "b", "c"]);
        assert_eq!(lines(vec![file("x", "")]).unwrap(), [""; 0]);
    }

    #[test]
    fn the_first_bad_line_in_file_order_is_reported() {
        let long = "ok\n".repeat(2_000_000);
        let files =
            || vec![file("a", long.clone()), file("b", format!("x\n{long}!\n{long}!\n")), file("c", "!\n")];
        for _ in 0..5 {
            assert_eq!(lines(files()).unwrap_err(), "b:2000002: bad; correct the line or take it out");
        }
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named_with_its_column() {
        let bytes = b"good\n\nab\xff\n!\n";
        assert_eq!(
            lines(vec![file("x", *bytes)]).unwrap_err(),
            "x:3:3: the line is not UTF-8; correct the line or take it out"
        );
        assert_eq!(
            lines(vec![file("x", *b"!\nab\xff\n")]).unwrap_err(),
            "x:1: bad; correct the line or take it out"
        );
    }

    #[test]
    fn an_endless_line_is_refused_wherever_it_begins() {
        let endless = "x".repeat(MAX_LINE_BYTES + 1);
        let expected = format!(
            "x:3: the line is longer than {MAX_LINE_BYTES} bytes; is a line end missing?; correct the line or take it out"
        );
        assert_eq!(lines(vec![file("x", format!("a\nb\n{endless}"))]).unwrap_err(), expected);
        assert_eq!(lines(vec![file("x", format!("a\nb\n{endless}\nc\n"))]).unwrap_err(), expected);
        assert_eq!(lines(vec![file("x", format!("a\nb\n{}", endless.repeat(20)))]).unwrap_err(), expected);
        let longest = "x".repeat(MAX_LINE_BYTES);
        assert_eq!(lines(vec![file("x", format!("a\nb\n{longest}\n"))]).unwrap().len(), 3);
    }

    #[test]
    fn a_file_that_breaks_off_is_a_read_error() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("gone"));
                }
                buffer[..2].copy_from_slice(b"a\n");
                Ok(2)
            }
        }
        let files = vec![LineFile::new("x", Broken(false))];
        assert_eq!(lines(files).unwrap_err(), "cannot read x");
    }

    #[test]
    fn an_interruption_is_known_below_other_errors() {
        let failed = |source| LinesError::Store(StoreError { action: "read", target: "a".into(), source });
        let read = failed(Interrupted.into());
        let store = LinesError::Store(Interrupted.into());
        let nested = io::Error::other(StoreError::from(Interrupted));
        let is_cause = interrupt::is_cause;
        assert!(is_cause(&Interrupted) && is_cause(&read) && is_cause(&store) && is_cause(&nested));
        let other = failed(io::ErrorKind::Interrupted.into());
        assert!(!is_cause(&other));
    }
}
