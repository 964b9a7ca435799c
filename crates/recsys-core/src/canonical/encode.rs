//! Writes rows as canonical lines.
//!
//! Every string is encoded as JSON once per day rather than once per event, so that a line takes about a dozen copies.
//! Events are sorted by time, so neighbours mostly share their second, too.
//!
//! One thread makes the lines, one hashes them and one writes them. They do not belong to the pool, so that builders
//! which keep the pool busy do not hold them up.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::field::{Field, StringRef};
use super::row::EventRow;
use super::rows::{Batch, DayRows};
use crate::domain::id::Scope;
use crate::domain::stream::Stream;
use crate::encoding::hash::HashWriter;
use crate::encoding::json;
use crate::encoding::timestamp;
use crate::input::event::value_of;
use crate::storage::StoreError;
use crate::threads::interrupt;
use crate::threads::parallel;

/// A buffer goes to the next thread once it is this long.
const TEXT_BYTES: usize = 3 << 16;

/// Buffers queued between two threads. There are many because a thread gets its turn only every few milliseconds while
/// builders keep all cores busy.
const TEXTS: usize = 32;

/// Rows whose strings are prefetched together. Neighbours in time have nothing else in common, so most strings are cache
/// misses; the processor overlaps many misses if they are requested together.
const ROWS_AHEAD: usize = 64;

/// The encoded strings that the lines of a day consist of.
struct Fields<'a> {
    stream: Stream,
    day_start: i64,
    /// The constant text behind the time: tenant and surface.
    scope: Vec<u8>,
    sessions: Field<'a>,
    items: Field<'a>,
    users: Field<'a>,
    segments: Field<'a>,
}

impl<'a> Fields<'a> {
    fn new(scope: &Scope, day: &'a DayRows) -> Self {
        let mut fields = b"\",\"tenant\":".to_vec();
        fields.extend(json::to_vec(&scope.tenant));
        fields.extend_from_slice(b",\"surface\":");
        fields.extend(json::to_vec(&scope.surface));
        let names = &day.names;
        Self {
            stream: day.stream,
            day_start: day.day.start_ns(),
            scope: fields,
            sessions: Field::new(&names.sessions),
            items: Field::new(&names.items),
            users: Field::new(&names.users),
            segments: Field::new(&names.segments),
        }
    }
}

/// Where the strings of a row are.
struct RowStrings {
    session: StringRef,
    request: StringRef,
    item: StringRef,
    user: StringRef,
}

impl RowStrings {
    fn new(fields: &Fields<'_>, requests: &Field<'_>, row: &EventRow) -> Self {
        let optional =
            |field: &Field<'_>, id: u32| id.checked_sub(1).map_or(StringRef::NONE, |id| field.get(id));
        Self {
            session: fields.sessions.get(row.session),
            request: optional(requests, row.request),
            item: fields.items.get(row.item),
            user: optional(&fields.users, row.user),
        }
    }

    fn fetch(&self, fields: &Fields<'_>, requests: &Field<'_>) {
        fields.sessions.fetch(&self.session);
        requests.fetch(&self.request);
        fields.items.fetch(&self.item);
        fields.users.fetch(&self.user);
    }
}

/// The beginning of the last line; lines with the same time share it.
#[derive(Default)]
struct Start {
    time: Option<i64>,
    text: Vec<u8>,
}

/// Why the line maker stopped early.
enum Ended {
    Failed(StoreError),
    /// The receiver is gone; it reports its own error.
    Unwanted,
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Passes the lines of a day to `hash` and `out` in order, in large buffers.
pub(super) fn write_lines(
    scope: &Scope,
    day: &DayRows,
    hash: &mut HashWriter,
    mut out: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (made, to_hash) = sync_channel::<Vec<u8>>(TEXTS);
    let (hashed, to_write) = sync_channel::<Vec<u8>>(TEXTS);
    let (written, spare) = sync_channel::<Vec<u8>>(3 * TEXTS);
    thread::scope(|threads| {
        parallel::start(threads, move || {
            for text in to_hash {
                let _ = hash.write_all(&text);
                if hashed.send(text).is_err() {
                    return;
                }
            }
        })?;
        let making = parallel::start(threads, move || make_lines(scope, day, &made, &spare))?;
        let result = to_write.iter().try_for_each(|mut text| {
            out(&text)?;
            text.clear();
            // Recycle the buffer, unless the line maker is done.
            let _ = written.try_send(text);
            Ok(())
        });
        drop(to_write);
        match parallel::joined(making) {
            Err(Ended::Failed(error)) => Err(error),
            Ok(()) | Err(Ended::Unwanted) => result,
        }
    })
}

fn make_lines(
    scope: &Scope,
    day: &DayRows,
    made: &SyncSender<Vec<u8>>,
    spare: &Receiver<Vec<u8>>,
) -> Result<(), Ended> {
    let fields = Fields::new(scope, day);
    let mut start = Start::default();
    let mut out = Vec::new();
    day.for_each_batch(|Batch { rows, requests }| {
        let requests = Field::new(requests);
        let mut strings: Vec<RowStrings> = Vec::with_capacity(ROWS_AHEAD);
        rows.chunks(ROWS_AHEAD).try_for_each(|rows| {
            strings.clear();
            strings.extend(rows.iter().map(|row| RowStrings::new(&fields, &requests, row)));
            for strings in &strings {
                strings.fetch(&fields, &requests);
            }
            let written = rows.iter().zip(&strings).try_for_each(|(row, strings)| {
                write_start(&fields, row, &mut start, &mut out)?;
                write_rest(&fields, &requests, row, strings, &mut out)
            });
            written.map_err(|source| {
                let target = format!("an event of {}", day.day);
                StoreError { action: "write", target, source }
            })?;
            if out.len() < TEXT_BYTES {
                return Ok(());
            }
            interrupt::check().map_err(StoreError::from)?;
            let text = std::mem::replace(&mut out, spare.try_recv().unwrap_or_default());
            made.send(text).map_err(|_| Ended::Unwanted)
        })
    })?;
    made.send(out).map_err(|_| Ended::Unwanted)
}

/// Writes the beginning of a line: version, time, tenant and surface.
fn write_start(fields: &Fields<'_>, row: &EventRow, start: &mut Start, out: &mut Vec<u8>) -> io::Result<()> {
    if start.time != Some(row.time) {
        start.time = Some(row.time);
        start.text.clear();
        start.text.extend_from_slice(b"{\"v\":1,\"ts\":\"");
        timestamp::write(fields.day_start + row.time, &mut start.text)?;
        start.text.extend_from_slice(&fields.scope);
    }
    out.extend_from_slice(&start.text);
    Ok(())
}

/// Writes the fields of an event behind its surface.
fn write_rest(
    fields: &Fields<'_>,
    requests: &Field<'_>,
    row: &EventRow,
    strings: &RowStrings,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let is_exposure = fields.stream == Stream::Exposures;
    if is_exposure && row.segment > 0 {
        fields.segments.write(b",\"segment\":\"", &fields.segments.get(row.segment - 1), out);
    }
    if row.user > 0 {
        fields.users.write(b",\"user_id\":\"", &strings.user, out);
    }
    if is_exposure || !fields.sessions.is_empty(fields.sessions.text(&strings.session)) {
        fields.sessions.write(b",\"session_id\":\"", &strings.session, out);
    }
    if row.request > 0 {
        requests.write(b",\"request_id\":\"", &strings.request, out);
    }
    fields.items.write(b",\"item_id\":\"", &strings.item, out);
    if !is_exposure {
        fields.segments.write(b",\"event_type\":\"", &fields.segments.get(row.segment - 1), out);
        if let Some(value) = value_of(row.rank) {
            out.extend_from_slice(b",\"value\":");
            json::write(&value, &mut *out)?;
        }
    } else if row.rank >= 0 {
        out.extend_from_slice(b",\"rank\":");
        json::write(&{ row.rank }, &mut *out)?;
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}
