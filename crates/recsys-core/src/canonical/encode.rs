//! Writes rows as canonical lines.
//!
//! Every string is encoded as JSON once per day rather than once per event, so that a line takes about a dozen copies.
//! Events are sorted by time, so neighbours mostly share their second, too.
//!
//! One thread makes the lines, one hashes them and one writes them. They do not belong to the pool, so that builders
//! which keep the pool busy do not hold them up.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::row::EventRow;
use super::rows::{Batch, DayRows};
use crate::columnar::dictionary::Strings;
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

/// The strings of one field, encoded as JSON.
struct Field<'a> {
    /// Unquoted if no string needs an escape, otherwise quoted and escaped.
    strings: Cow<'a, Strings>,
    quote: bool,
}

impl<'a> Field<'a> {
    fn new(strings: &'a Strings) -> Self {
        if strings.are_plain() {
            Self { strings: Cow::Borrowed(strings), quote: true }
        } else {
            Self { strings: Cow::Owned(strings.quoted()), quote: false }
        }
    }

    fn text(&self, id: u32) -> &[u8] {
        &self.strings.text().as_bytes()[self.strings.range(id)]
    }

    /// Whether the string with the number `id` is empty.
    fn is_empty(&self, id: u32) -> bool {
        self.text(id).len() == if self.quote { 0 } else { 2 }
    }

    /// Writes `name` and the string with the number `id`. `name` ends with an opening quote, which is left out if the
    /// string has its own.
    fn write<const N: usize>(&self, name: &[u8; N], id: u32, out: &mut Vec<u8>) {
        let text = self.text(id);
        if self.quote {
            out.extend_from_slice(name);
            out.extend_from_slice(text);
            out.push(b'"');
        } else {
            out.extend_from_slice(&name[..N - 1]);
            out.extend_from_slice(text);
        }
    }
}

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
            sessions: Field::new(names.sessions.strings()),
            items: Field::new(names.items.strings()),
            users: Field::new(names.users.strings()),
            segments: Field::new(names.segments.strings()),
        }
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
        rows.iter().try_for_each(|row| {
            let written = write_start(&fields, row, &mut start, &mut out);
            written.and_then(|()| write_rest(&fields, &requests, row, &mut out)).map_err(|source| {
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
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let is_exposure = fields.stream == Stream::Exposures;
    if is_exposure && row.segment > 0 {
        fields.segments.write(b",\"segment\":\"", row.segment - 1, out);
    }
    if row.user > 0 {
        fields.users.write(b",\"user_id\":\"", row.user - 1, out);
    }
    if is_exposure || !fields.sessions.is_empty(row.session) {
        fields.sessions.write(b",\"session_id\":\"", row.session, out);
    }
    if row.request > 0 {
        requests.write(b",\"request_id\":\"", row.request - 1, out);
    }
    fields.items.write(b",\"item_id\":\"", row.item, out);
    if !is_exposure {
        fields.segments.write(b",\"event_type\":\"", row.segment - 1, out);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Strings {
        let mut strings = Strings::default();
        for value in values {
            strings.push(value);
        }
        strings
    }

    #[test]
    fn a_string_is_found_whatever_its_length() {
        let values: Vec<String> =
            (0..40).flat_map(|length| ["a".repeat(length), "é".repeat(length)]).collect();
        for more in [&[][..], &["\"", "<é>", "\u{1}"]] {
            let values: Vec<&str> = values.iter().map(String::as_str).chain(more.iter().copied()).collect();
            let strings = strings(&values);
            let field = Field::new(&strings);
            for (id, value) in (0..).zip(&values) {
                let mut line = Vec::new();
                field.write(b",\"x\":\"", id, &mut line);
                assert_eq!(line, [b",\"x\":", &json::to_vec(value)[..]].concat());
                assert_eq!(field.is_empty(id), value.is_empty());
            }
        }
    }
}
