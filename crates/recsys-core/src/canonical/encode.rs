//! Rows as canonical lines.
//!
//! Every string is turned into JSON once for the day, not once for each event; a line is then a dozen
//! copies. Events are in the order of time, so neighbours mostly share their second, too.
//!
//! One thread makes the lines, one hashes them and one writes them. They are threads of their own, and not
//! of the pool, so that builders that keep the pool busy do not hold them up.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::rows::{Batch, DayRows, Row};
use crate::dictionary::Strings;
use crate::event::{Stream, value_of};
use crate::hash::HashWriter;
use crate::id::Scope;
use crate::interrupt;
use crate::json;
use crate::storage::StoreError;
use crate::timestamp;

/// Rows that are turned into text at a time.
const CHUNK_ROWS: usize = 1 << 12;

/// Texts on their way from one thread to the next.
const TEXTS: usize = 4;

const NS_PER_SECOND: i64 = 1_000_000_000;

/// The strings of one field as JSON.
struct Field<'a> {
    /// Without quotes, where none of them needs an escape.
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

    /// Whether a string is the empty one.
    fn is_empty(&self, id: u32) -> bool {
        self.strings.get(id).len() == if self.quote { 0 } else { 2 }
    }

    fn write(&self, name: &[u8], id: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(name);
        let text = self.strings.get(id).as_bytes();
        if self.quote {
            out.push(b'"');
            out.extend_from_slice(text);
            out.push(b'"');
        } else {
            out.extend_from_slice(text);
        }
    }
}

/// What the lines of a day are made of.
struct Fields<'a> {
    stream: Stream,
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
            scope: fields,
            sessions: Field::new(names.sessions.strings()),
            items: Field::new(names.items.strings()),
            users: Field::new(names.users.strings()),
            segments: Field::new(names.segments.strings()),
        }
    }
}

/// The text of the second that was written last.
#[derive(Default)]
struct Second {
    ns: Option<i64>,
    text: Vec<u8>,
}

/// Why no more lines are made.
enum Ended {
    Failed(StoreError),
    /// Whoever takes them has failed, and says why.
    Unwanted,
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Hands the lines of a day to `hash` and to `out`, in order, many at a time.
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
        let making = threads.spawn(move || make_lines(scope, day, &made, &spare));
        threads.spawn(move || {
            for text in to_hash {
                let _ = hash.write_all(&text);
                if hashed.send(text).is_err() {
                    return;
                }
            }
        });
        let result = to_write.iter().try_for_each(|mut text| {
            out(&text)?;
            text.clear();
            // The last ones are not wanted any more.
            let _ = written.try_send(text);
            Ok(())
        });
        drop(to_write);
        let made = making.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match made {
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
    let mut second = Second::default();
    day.for_each_batch(|Batch { rows, requests }| {
        let requests = Field::new(requests);
        rows.chunks(CHUNK_ROWS).try_for_each(|rows| {
            interrupt::check().map_err(StoreError::from)?;
            let mut text = spare.try_recv().unwrap_or_default();
            let written = rows.iter().try_for_each(|row| {
                write_start(&fields, row, &mut second, &mut text)?;
                match fields.stream {
                    Stream::Exposures => write_exposure(&fields, &requests, row, &mut text),
                    Stream::Outcomes => write_outcome(&fields, &requests, row, &mut text),
                }
            });
            written.map_err(|source| {
                let target = format!("an event of {}", day.day);
                StoreError { action: "write", target, source }
            })?;
            made.send(text).map_err(|_| Ended::Unwanted)
        })
    })
}

/// What every line begins with.
fn write_start(fields: &Fields<'_>, row: &Row, second: &mut Second, out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(b"{\"v\":1,\"ts\":\"");
    if row.ts % NS_PER_SECOND != 0 {
        timestamp::write(row.ts, out)?;
    } else {
        if second.ns != Some(row.ts) {
            second.ns = Some(row.ts);
            second.text.clear();
            timestamp::write(row.ts, &mut second.text)?;
        }
        out.extend_from_slice(&second.text);
    }
    out.extend_from_slice(&fields.scope);
    Ok(())
}

fn write_exposure(fields: &Fields<'_>, requests: &Field<'_>, row: &Row, out: &mut Vec<u8>) -> io::Result<()> {
    if row.segment > 0 {
        fields.segments.write(b",\"segment\":", row.segment - 1, out);
    }
    if row.user > 0 {
        fields.users.write(b",\"user_id\":", row.user - 1, out);
    }
    fields.sessions.write(b",\"session_id\":", row.session, out);
    if row.request > 0 {
        requests.write(b",\"request_id\":", row.request - 1, out);
    }
    fields.items.write(b",\"item_id\":", row.item, out);
    if row.rank >= 0 {
        out.extend_from_slice(b",\"rank\":");
        json::write(&row.rank, &mut *out)?;
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

fn write_outcome(fields: &Fields<'_>, requests: &Field<'_>, row: &Row, out: &mut Vec<u8>) -> io::Result<()> {
    if row.user > 0 {
        fields.users.write(b",\"user_id\":", row.user - 1, out);
    }
    if !fields.sessions.is_empty(row.session) {
        fields.sessions.write(b",\"session_id\":", row.session, out);
    }
    if row.request > 0 {
        requests.write(b",\"request_id\":", row.request - 1, out);
    }
    fields.items.write(b",\"item_id\":", row.item, out);
    fields.segments.write(b",\"event_type\":", row.segment - 1, out);
    if let Some(value) = value_of(row.rank) {
        out.extend_from_slice(b",\"value\":");
        json::write(&value, &mut *out)?;
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}
