//! The events of a day as rows of integers in canonical order, in memory or in temporary files.

use std::cmp::Ordering;
use std::sync::Arc;

use super::field::StringRef;
use super::row::{Event, EventColumns, EventRow};
use super::row_file::RowFile;
use crate::columnar::dictionary::{Dictionary, Strings};
use crate::columnar::spill::Budget;
use crate::domain::id::Segment;
use crate::domain::stream::Stream;
use crate::domain::window::Day;
use crate::storage::StoreError;
use crate::threads::interrupt;

/// The strings of the row ids, except for requests: there may be as many of those as events.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) sessions: Arc<Dictionary>,
    pub(crate) items: Arc<Dictionary>,
    pub(crate) users: Arc<Dictionary>,
    pub(crate) segments: Arc<Dictionary>,
}

/// The events of one day, sorted and without repeated deliveries.
#[derive(Debug, Clone)]
pub struct DayRows {
    /// The kind of events.
    pub stream: Stream,
    /// The UTC day.
    pub day: Day,
    /// Number of repeated deliveries that were dropped.
    pub duplicates: u64,
    pub(crate) names: Arc<Names>,
    rows: Arc<StoredRows>,
}

#[derive(Debug)]
pub(super) enum StoredRows {
    Memory { rows: Vec<EventRow>, requests: Strings },
    File(RowFile),
}

/// Some rows of a day; their request ids index `requests`.
pub(super) struct Batch<'a> {
    pub(super) rows: &'a [EventRow],
    pub(super) requests: &'a Strings,
}

/// Rows that are converted to columns together.
const COLUMN_ROWS: usize = 1 << 12;

impl DayRows {
    pub(super) fn new(stream: Stream, day: Day, duplicates: u64, names: Names, rows: StoredRows) -> Self {
        Self { stream, day, duplicates, names: Arc::new(names), rows: Arc::new(rows) }
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        match &*self.rows {
            StoredRows::Memory { rows, .. } => rows.len(),
            StoredRows::File(file) => file.len(),
        }
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the day has an event of `segment`.
    pub fn has_segment(&self, segment: &Segment) -> bool {
        self.names.segments.find(segment.as_str()).is_some()
    }

    /// Memory use of the events in bytes; 0 if they are in temporary files.
    pub fn bytes_in_memory(&self) -> usize {
        match &*self.rows {
            // Writing the day also takes a `StringRef` for each request.
            StoredRows::Memory { rows, requests } => {
                size_of_val(&rows[..]) + requests.bytes() + requests.len() * size_of::<StringRef>()
            }
            StoredRows::File(_) => 0,
        }
    }

    /// Memory use of the day's distinct strings in bytes, wherever its events are.
    pub fn strings_bytes(&self) -> usize {
        let Names { sessions, items, users, segments } = &*self.names;
        [sessions, items, users, segments].into_iter().map(|names| names.bytes()).sum()
    }

    /// The same day, with its events in a temporary file.
    pub fn spilled(&self, budget: &Budget) -> Result<Self, StoreError> {
        let mut file = RowFile::create(budget);
        self.for_each_batch(|Batch { rows, requests }| {
            rows.iter().try_for_each(|row| file.push(*row, row.request_in(requests)))
        })?;
        let rows = Arc::new(StoredRows::File(file.finish()?));
        Ok(Self { rows, ..self.clone() })
    }

    /// Calls `take` with all rows in order.
    pub(super) fn for_each_batch<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(Batch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match &*self.rows {
            StoredRows::Memory { rows, requests } => take(Batch { rows, requests }),
            StoredRows::File(file) => {
                let mut block = file.block();
                for number in 0..file.blocks() {
                    block.read(file, number)?;
                    take(Batch { rows: &block.rows, requests: &block.requests })?;
                }
                Ok(())
            }
        }
    }

    /// Calls `take` with all events in order.
    pub(crate) fn for_each_event<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.for_each_batch(|Batch { rows, requests }| {
            rows.chunks(COLUMN_ROWS).try_for_each(|rows| {
                interrupt::check().map_err(StoreError::from)?;
                rows.iter().try_for_each(|row| {
                    let EventRow { time, session, item, user, segment, .. } = *row;
                    take(Event { time, session, item, user, segment, request: row.request_in(requests) })
                })
            })
        })
    }

    /// Calls `take` with the columns of all rows in order.
    pub(crate) fn for_each<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(EventColumns<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match &*self.rows {
            StoredRows::Memory { rows, .. } => {
                let (mut session, mut item, mut user, mut segment) =
                    (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                rows.chunks(COLUMN_ROWS).try_for_each(|rows| {
                    interrupt::check().map_err(StoreError::from)?;
                    let fill = |column: &mut Vec<u32>, field: fn(&EventRow) -> u32| {
                        column.clear();
                        column.extend(rows.iter().map(field));
                    };
                    fill(&mut session, |row| row.session);
                    fill(&mut item, |row| row.item);
                    fill(&mut user, |row| row.user);
                    fill(&mut segment, |row| row.segment);
                    take(EventColumns { session: &session, item: &item, user: &user, segment: &segment })
                })
            }
            StoredRows::File(file) => {
                let (mut bytes, mut ids) = (Vec::new(), Vec::new());
                (0..file.blocks()).try_for_each(|number| take(file.columns(number, &mut bytes, &mut ids)?))
            }
        }
    }
}

impl EventRow {
    /// Replaces each id by the entry of its table: of sessions, requests, items, users and segments.
    pub(super) fn renumbered(&self, [sessions, requests, items, users, segments]: &[&[u32]; 5]) -> Self {
        let optional = |ids: &[u32], id: u32| if id == 0 { 0 } else { ids[id as usize - 1] + 1 };
        Self {
            session: sessions[self.session as usize],
            request: optional(requests, self.request),
            item: items[self.item as usize],
            user: optional(users, self.user),
            segment: optional(segments, self.segment),
            ..*self
        }
    }

    /// The request of the row; request ids index `requests`.
    pub(super) fn request_in(self, requests: &Strings) -> Option<&str> {
        self.request.checked_sub(1).map(|id| requests.get(id))
    }

    /// Compares two events in the canonical order of `stream`.
    pub(super) fn in_order(&self, other: &Self, stream: Stream) -> Ordering {
        let first = |row: &Self| (row.time, row.session, row.request);
        first(self).cmp(&first(other)).then_with(|| self.in_order_after_request(other, stream))
    }

    /// Like [`EventRow::in_order`], for events with the same time, session and request.
    pub(super) fn in_order_after_request(&self, other: &Self, stream: Stream) -> Ordering {
        let rest = |row: &Self| (row.item, row.user, row.segment);
        stream.order({ self.rank }.cmp(&{ other.rank }), rest(self).cmp(&rest(other)))
    }
}
