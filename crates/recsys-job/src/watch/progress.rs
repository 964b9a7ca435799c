//! Progress of reading and building: a bar on a terminal, otherwise an occasional log line.
//!
//! Bytes are counted as stored, since only that total is known beforehand for compressed files; events are counted as
//! lines. Nothing is shown for work that takes only seconds.

use std::io::{self, IsTerminal, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use recsys_core::artifact::Kind;
use recsys_core::input::lines::LineFile;
use recsys_core::input::source::{EventBatch, EventSource, ExposureCounts};
use recsys_core::storage::{Pending, PendingWrite, Store, StoreError};

/// Delay before the bar appears.
const SHOW_AFTER: Duration = Duration::from_secs(2);
const REDRAW: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Amounts read so far.
#[derive(Debug, Default)]
struct Seen {
    bytes: AtomicU64,
    total_bytes: AtomicU64,
    lines: AtomicU64,
}

/// Background thread that shows progress until it is dropped.
#[derive(Debug)]
pub(crate) struct ProgressThread {
    /// Dropped to end the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressThread {
    /// `draw` runs on a terminal, `log` otherwise.
    fn begin(draw: impl FnMut() + Send + 'static, log: impl FnMut() + Send + 'static) -> Self {
        let (end, ended) = channel::<()>();
        // If no thread can be started, nothing is shown.
        let thread = thread::Builder::new().spawn(move || {
            let (mut show, mut wait, then): (Box<dyn FnMut()>, _, _) = if io::stderr().is_terminal() {
                (Box::new(draw), SHOW_AFTER, REDRAW)
            } else {
                (Box::new(log), LOG_EVERY, LOG_EVERY)
            };
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                show();
                wait = then;
            }
        });
        Self { end: Some(end), thread: thread.ok() }
    }
}

impl Drop for ProgressThread {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // A panic while showing progress must not fail the job.
            let _ = thread.join();
        }
    }
}

/// Progress of reading; shown until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    seen: Arc<Seen>,
    _thread: ProgressThread,
}

impl Progress {
    /// Starts showing the progress of reading.
    pub(crate) fn begin() -> Self {
        let seen = Arc::new(Seen::default());
        let (drawn, logged, begun) = (Arc::clone(&seen), Arc::clone(&seen), Instant::now());
        let mut shown = None;
        let draw = move || draw(shown.get_or_insert_with(bar), &drawn, begun);
        let thread = ProgressThread::begin(draw, move || log(&logged, begun));
        Self { seen, _thread: thread }
    }

    /// Wraps a store of compressed or plain files; counts the bytes read.
    pub(crate) fn watch<'a>(&self, store: &'a dyn Store) -> Watched<'a> {
        Watched { store, seen: Arc::clone(&self.seen), count: count_bytes }
    }

    /// Wraps a store of plain files; counts the bytes and lines read.
    pub(crate) fn watch_lines<'a>(&self, store: &'a dyn Store) -> Watched<'a> {
        let count = |seen: &Seen, bytes: &[u8]| {
            count_bytes(seen, bytes);
            count_lines(seen, bytes);
        };
        Watched { store, seen: Arc::clone(&self.seen), count }
    }

    /// Wraps a file; counts its lines.
    pub(crate) fn count_lines(&self, file: LineFile) -> LineFile {
        let LineFile { name, reader, bytes } = file;
        let reader = Counting { reader, seen: Arc::clone(&self.seen), count: count_lines };
        LineFile { name, reader: Box::new(reader), bytes }
    }

    /// Wraps a source; counts its events.
    pub(crate) fn count_events(&self, source: Box<dyn EventSource>) -> CountingSource {
        CountingSource { source, seen: Arc::clone(&self.seen) }
    }
}

/// A source that counts its events.
pub(crate) struct CountingSource {
    source: Box<dyn EventSource>,
    seen: Arc<Seen>,
}

impl EventSource for CountingSource {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn next_batch(&mut self, batch: &mut EventBatch) -> io::Result<bool> {
        let is_read = self.source.next_batch(batch)?;
        if is_read {
            self.seen.lines.fetch_add(batch.events().len() as u64, Ordering::Relaxed);
        }
        Ok(is_read)
    }

    fn rows(&self) -> Option<ExposureCounts> {
        self.source.rows()
    }
}

/// Shows that `kinds` are being built, without a total, until it is dropped.
pub(crate) fn building(kinds: &[Kind]) -> ProgressThread {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let (kinds, begun) = (names.join(", "), Instant::now());
    let mut spinner = None;
    let message = format!("building {kinds}");
    let draw = move || {
        let spinner = spinner.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
            let spinner =
                ProgressBar::new_spinner().with_elapsed(begun.elapsed()).with_message(message.clone());
            style.map_or(spinner.clone(), |style| spinner.with_style(style))
        });
        spinner.tick();
    };
    let log = move || tracing::info!(%kinds, seconds = begun.elapsed().as_secs(), "building");
    ProgressThread::begin(draw, log)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn draw(bar: &ProgressBar, seen: &Seen, begun: Instant) {
    bar.set_length(seen.total_bytes.load(Ordering::Relaxed));
    bar.set_message(format!("{} events/s", per_second(seen.lines.load(Ordering::Relaxed), begun)));
    bar.set_position(seen.bytes.load(Ordering::Relaxed));
}

fn log(seen: &Seen, begun: Instant) {
    let (bytes, total_bytes) = (seen.bytes.load(Ordering::Relaxed), seen.total_bytes.load(Ordering::Relaxed));
    let events = seen.lines.load(Ordering::Relaxed);
    let seconds_left = total_bytes.saturating_sub(bytes) / per_second(bytes, begun).max(1);
    let events_per_second = per_second(events, begun);
    tracing::info!(bytes, total_bytes, events, events_per_second, seconds_left, "reading");
}

fn per_second(count: u64, begun: Instant) -> u64 {
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    count.saturating_mul(1000) / milliseconds.max(1)
}

struct Counting {
    reader: Box<dyn Read + Send>,
    seen: Arc<Seen>,
    count: fn(&Seen, &[u8]),
}

fn count_bytes(seen: &Seen, bytes: &[u8]) {
    seen.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
}

fn count_lines(seen: &Seen, bytes: &[u8]) {
    seen.lines.fetch_add(memchr::memchr_iter(b'\n', bytes).count() as u64, Ordering::Relaxed);
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        (self.count)(&self.seen, &buffer[..read]);
        Ok(read)
    }
}

/// A store that counts the bytes read from it.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    store: &'a dyn Store,
    seen: Arc<Seen>,
    count: fn(&Seen, &[u8]),
}

impl Watched<'_> {
    /// Wraps a reader so that its bytes are counted, and adds the size of the document to the total.
    fn counting(&self, key: &str, reader: Option<Box<dyn Read + Send>>) -> Option<Box<dyn Read + Send>> {
        let reader = reader?;
        // A document whose size is unknown is still read.
        let bytes = self.store.stat(key).ok().flatten().map_or(0, |listed| listed.bytes);
        self.seen.total_bytes.fetch_add(bytes, Ordering::Relaxed);
        Some(Box::new(Counting { reader, seen: Arc::clone(&self.seen), count: self.count }))
    }
}

impl Store for Watched<'_> {
    recsys_core::pass_on!(store: uri name root_exists read_tagged remove stat list conditions);

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        Ok(self.counting(key, self.store.open(key)?))
    }

    fn open_input(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        Ok(self.counting(key, self.store.open_input(key)?))
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.store.get_range(key, offset, length)?;
        Ok(bytes.inspect(|bytes| (self.count)(&self.seen, bytes)))
    }

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        self.store.begin(key)
    }

    fn prepare<'a>(&'a self, key: &str, bytes: &'a [u8]) -> Result<Box<dyn Pending + 'a>, StoreError> {
        self.store.prepare(key, bytes)
    }
}
