//! Sources of exposures that are no lines of text, such as the rows of a table or of a columnar file.
//!
//! A source hands out events in batches, as it holds them: nothing is printed to be parsed again. The events are checked
//! against the same [`Rules`](crate::input::event::Rules) as those of lines, and the same events give the same canonical
//! bytes. Files of lines do not come through here, but are read in place, by [`lines`](crate::input::lines).

use std::io;
use std::ops::Range;

use parking_lot::Mutex;
use serde::Serialize;

use crate::input::event::{Texts, UncheckedExposure};
use crate::input::lines::{LineError, LinesError};
use crate::input::stop::Stop;
use crate::storage::StoreError;
use crate::threads::interrupt;
use crate::threads::parallel::on_threads;

/// An input of exposures.
pub trait EventSource: Send {
    /// The name used in messages.
    fn name(&self) -> &str;

    /// Replaces the events of `batch` with the next ones; `false` if none are left. Not called again after that or an
    /// error.
    fn next_batch(&mut self, batch: &mut EventBatch) -> io::Result<bool>;

    /// The rows that the events come from, once all are read; none where a row is an event.
    fn rows(&self) -> Option<ExposureCounts> {
        None
    }
}

/// The rows of a table of exposures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ExposureCounts {
    /// All rows of the query.
    pub rows: u64,
    /// Events produced: one for each item of a row.
    pub events: u64,
    /// Rows that were skipped because they have no session.
    pub without_session: u64,
    /// Rows with a session in which no item was shown.
    pub without_items: u64,
}

/// Events and their text, in two allocations.
#[derive(Debug, Default)]
pub struct EventBatch {
    text: String,
    rows: Vec<BatchRow>,
}

/// An event; its texts are places in that of the batch.
#[derive(Debug)]
struct BatchRow {
    ts: i64,
    rank: Option<i64>,
    texts: Texts<Range<usize>>,
}

impl EventBatch {
    /// Adds an event. Text that it shares with the event before takes no room.
    pub fn push(&mut self, event: &UncheckedExposure<'_>) {
        let Self { text, rows } = self;
        let mut texts = Texts::default();
        for (number, (place, new)) in texts.iter_mut().zip(event.texts()).enumerate() {
            let Some(new) = new else { continue };
            let last = rows.last().and_then(|row| row.texts[number].clone());
            *place = last.filter(|last| &text[last.clone()] == new).or_else(|| {
                text.push_str(new);
                Some(text.len() - new.len()..text.len())
            });
        }
        rows.push(BatchRow { ts: event.ts, rank: event.rank, texts });
    }

    /// The events, in their order.
    pub fn events(&self) -> impl ExactSizeIterator<Item = UncheckedExposure<'_>> {
        self.rows.iter().map(|BatchRow { ts, rank, texts }| {
            let texts = texts.each_ref().map(|place| place.clone().map(|place| &self.text[place]));
            UncheckedExposure::new(*ts, *rank, texts)
        })
    }

    /// Approximate memory use in bytes.
    pub fn bytes(&self) -> usize {
        self.text.len() + size_of_val(&self.rows[..])
    }

    /// Removes the events and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
    }
}

/// Calls `work` with every event, on up to `threads` threads; returns the workers' states. Workers take turns reading.
///
/// The error is always the first one in the order of the source, whichever thread finds one first.
pub(crate) fn for_each_event<S: Send>(
    source: &mut dyn EventSource,
    threads: usize,
    init: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &UncheckedExposure<'_>) -> Result<(), Stop> + Sync,
) -> Result<Vec<S>, LinesError> {
    let name = source.name().to_owned();
    // With the number of the next event; `None` if no more are to be read.
    let reading = Mutex::new((source, Some(1)));
    let next = |batch: &mut EventBatch| {
        let (source, number) = &mut *reading.lock();
        let Some(first) = number.take() else { return Ok(None) };
        let read = interrupt::check().map_err(io::Error::from).and_then(|()| source.next_batch(batch));
        let failed = |source| (first, StoreError { action: "read", target: name.clone(), source }.into());
        *number = read.map_err(failed)?.then(|| first + batch.rows.len() as u64);
        Ok(number.map(|_| first))
    };
    let worker = || -> Result<S, (u64, LinesError)> {
        let (mut state, mut batch) = (init(), EventBatch::default());
        while let Some(first) = next(&mut batch)? {
            for (number, event) in (first..).zip(batch.events()) {
                work(&mut state, &event).map_err(|stop| {
                    reading.lock().1 = None;
                    (number, error(&name, number, stop))
                })?;
            }
        }
        Ok(state)
    };
    let (good, bad): (Vec<_>, Vec<_>) = on_threads(threads, worker).into_iter().partition(Result::is_ok);
    match bad.into_iter().filter_map(Result::err).min_by_key(|(number, _)| *number) {
        Some((_, error)) => Err(error),
        None => Ok(good.into_iter().flatten().collect()),
    }
}

fn error(name: &str, line: u64, stop: Stop) -> LinesError {
    let name = name.to_owned();
    match stop {
        Stop::Fault(fault) => LinesError::Line(LineError { name, line, fault }),
        Stop::Temporary(error) => error.into(),
        Stop::ExceededBound(why) => LinesError::ExceededBound { name, line, why },
    }
}
