//! Streams exposures from the database.
//!
//! A single statement reads all of them, hence from one snapshot: concurrent inserts are not seen, not even in part.
//! A thread turns rows into events and sends them through a bounded queue; if it is full, the server has to wait.
//! Memory holds a few batches, whatever the number of rows.

use std::borrow::Cow;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use futures_util::TryStreamExt;
use recsys_core::database::{DatabaseError, TableName, TenantId};
use recsys_core::domain::id::Scope;
use recsys_core::domain::window::Window;
use recsys_core::encoding::timestamp;
use recsys_core::input::event::UncheckedExposure;
use recsys_core::input::lines::MAX_LINE_BYTES;
use recsys_core::input::source::{EventBatch, EventSource, ExposureCounts};
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, Row};

use crate::connection::{Connection, query, within};
use crate::error::{PostgresError, Problem};

/// A batch of this size is sent.
const BATCH_BYTES: usize = 1 << 17;

/// Capacity of the queue.
const BATCHES_WAITING: usize = 8;

/// Which exposures to read.
#[derive(Debug, Clone, Copy)]
pub struct ExposureQuery<'a> {
    /// The table of exposures.
    pub table: &'a TableName,
    /// The id of the tenant.
    pub tenant: &'a TenantId,
    /// Tenant and surface. The events carry the tenant's name.
    pub scope: &'a Scope,
    /// The days to read.
    pub window: Window,
}

impl Connection {
    /// Begins to read exposures, in the order of time and request id. Fails at once if the table cannot be read; a malformed row is only reported when it
    /// is reached.
    pub fn exposures(mut self, query: ExposureQuery<'_>) -> Result<Box<dyn EventSource>, PostgresError> {
        let sql = format!(
            "select (extract(epoch from occurred_at) * 1000000)::bigint, request_id::text, segment::text,
                 encode(user_key, 'hex'), session_id::text, response::text
             from {} where tenant_id = $1::uuid and surface = $2
             and occurred_at >= $3::timestamptz and occurred_at < $4::timestamptz
             order by occurred_at, request_id",
            query.table.quoted()
        );
        let midnight = |day| format!("{day}T00:00:00Z");
        let [start, end] = [query.window.start(), query.window.end()].map(midnight);
        let surface = query.scope.surface.to_string();
        let parameters = [query.tenant.0.clone(), surface, start, end];
        let action = format!("read {} in", query.table);
        self.begin("isolation level repeatable read, read only")
            .and_then(|()| {
                self.execute(&format!("{sql} limit 0"), &parameters.each_ref().map(String::as_str))
            })
            .map_err(|problem| self.error(action.clone(), problem))?;
        let (sender, receiver) = sync_channel(BATCHES_WAITING);
        let scope = query.scope.clone();
        let (asked, server) = (action.clone(), self.server().to_owned());
        let pump = move || pump(self, &sql, &parameters, &scope, &action, &sender);
        if let Err(error) = thread::Builder::new().spawn(pump) {
            let problem = Problem::Answer(format!("no thread can be started: {error}"));
            return Err(PostgresError { action: asked, server, problem });
        }
        Ok(Box::new(ExposureSource { name: query.table.to_string(), pieces: receiver, counts: None }))
    }
}

/// An element of the queue.
enum Piece {
    Events(EventBatch),
    End(Result<ExposureCounts, PostgresError>),
}

/// The receiver is gone.
struct Abandoned;

enum Stop {
    Abandoned,
    Problem(Problem),
}

impl From<Abandoned> for Stop {
    fn from(_: Abandoned) -> Self {
        Self::Abandoned
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

fn pump(
    connection: Connection,
    sql: &str,
    parameters: &[String; 4],
    scope: &Scope,
    action: &str,
    queue: &SyncSender<Piece>,
) {
    let limit = connection.limit();
    let server = connection.server().to_owned();
    let (mut session, runtime) = connection.into_parts();
    let mut pumped = || -> Result<ExposureCounts, Stop> {
        let mut events = Events { scope, counts: ExposureCounts::default(), batch: EventBatch::default() };
        let mut rows = query(sql, &parameters.each_ref().map(String::as_str)).fetch(&mut session);
        while let Some(row) = runtime.block_on(within(limit, rows.try_next()))? {
            events.add(&row)?;
            if events.batch.bytes() >= BATCH_BYTES {
                let batch = std::mem::take(&mut events.batch);
                queue.send(Piece::Events(batch)).map_err(|_| Abandoned)?;
            }
        }
        queue.send(Piece::Events(events.batch)).map_err(|_| Abandoned)?;
        Ok(events.counts)
    };
    let end = match pumped() {
        Ok(counts) => Ok(counts),
        Err(Stop::Problem(problem)) => Err(PostgresError { action: action.to_owned(), server, problem }),
        Err(Stop::Abandoned) => return,
    };
    // After a failure, skip the polite ending: the server may be gone.
    if end.is_ok() {
        let _ = runtime.block_on(within(limit, sqlx::raw_sql("commit").execute(&mut session)));
        let _ = runtime.block_on(within(limit, session.close()));
    }
    let _ = queue.send(Piece::End(end));
}

/// An element of `response.items[]`.
struct ShownItem<'a> {
    item_id: Cow<'a, str>,
    rank: Option<i64>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    items: Option<&'a RawValue>,
}

/// Text that borrows from its source unless it contains escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    item_id: Option<&'a RawValue>,
    #[serde(borrow)]
    rank: Option<&'a RawValue>,
}

/// Parses the elements of `response.items[]`. Unknown fields are skipped, however large or deep they are.
fn shown(response: &str) -> Result<Vec<ShownItem<'_>>, String> {
    let items = match response.trim_ascii_start().as_bytes().first() {
        Some(b'{') => {
            serde_json::from_str::<Response>(response).map_err(|error| format!("response: {error}"))?.items
        }
        Some(b'n') => None,
        _ => return Err("response is not an object".to_owned()),
    };
    let items: Vec<&RawValue> = match items.map(RawValue::get) {
        None | Some("null") => return Ok(Vec::new()),
        Some(items) if items.starts_with('[') => {
            serde_json::from_str(items).map_err(|error| format!("response.items: {error}"))?
        }
        Some(_) => return Err("response.items is not an array".to_owned()),
    };
    items.into_iter().enumerate().map(|(index, item)| element(index, item.get())).collect()
}

fn element(index: usize, item: &str) -> Result<ShownItem<'_>, String> {
    let wrong = |what: &str| format!("response.items[{index}]{what}");
    if !item.starts_with('{') {
        return Err(wrong(" is not an object"));
    }
    let Element { item_id, rank } =
        serde_json::from_str(item).map_err(|error| wrong(&format!(": {error}")))?;
    let item_id: Cow<'_, str> = match item_id.map(RawValue::get) {
        None | Some("null") => return Err(wrong(" has no item_id")),
        Some(text) if text.starts_with('"') => {
            serde_json::from_str::<Text>(text).map_err(|error| wrong(&format!(".item_id: {error}")))?.0
        }
        Some(_) => return Err(wrong(".item_id is not text")),
    };
    if item_id.trim().is_empty() {
        return Err(wrong(".item_id is empty"));
    }
    let rank = match rank.map(RawValue::get) {
        None | Some("null") => None,
        Some(rank) => match rank.parse() {
            Ok(rank @ 0_i64..) => Some(rank),
            _ => return Err(wrong(&format!(".rank is {rank}; it must be an integer of 0 or more"))),
        },
    };
    Ok(ShownItem { item_id, rank })
}

/// The events of rows, on their way into the queue.
struct Events<'a> {
    scope: &'a Scope,
    counts: ExposureCounts,
    batch: EventBatch,
}

impl Events<'_> {
    fn add(&mut self, row: &PgRow) -> Result<(), Problem> {
        let text = |column| row.try_get::<Option<&str>, usize>(column);
        let microseconds: i64 = row.try_get(0)?;
        // Does not saturate: the window only has days within the nanosecond range.
        let ts = microseconds.saturating_mul(1000);
        let (request_id, segment, user_id, session_id) = (text(1)?, text(2)?, text(3)?, text(4)?);
        self.counts.rows += 1;
        if session_id.is_none_or(|session| session.trim().is_empty()) {
            self.counts.without_session += 1;
            return Ok(());
        }
        let malformed = |reason: String| match written(ts) {
            Ok(ts) => {
                Problem::Exposure { ts, request_id: request_id.unwrap_or("unknown").to_owned(), reason }
            }
            Err(error) => Problem::Answer(error.to_string()),
        };
        let items = shown(text(5)?.unwrap_or("null")).map_err(malformed)?;
        if items.is_empty() {
            self.counts.without_items += 1;
        }
        for (index, ShownItem { item_id, rank }) in items.iter().enumerate() {
            let event = UncheckedExposure {
                ts,
                tenant: Some(self.scope.tenant.as_str()),
                surface: Some(self.scope.surface.as_str()),
                segment,
                user_id,
                session_id,
                request_id,
                item_id: Some(item_id),
                rank: *rank,
            };
            if event.bytes() > MAX_LINE_BYTES {
                let reason =
                    format!("response.items[{index}] makes an event of more than {MAX_LINE_BYTES} bytes");
                return Err(malformed(reason));
            }
            self.batch.push(&event);
            self.counts.events += 1;
        }
        Ok(())
    }
}

fn written(ts: i64) -> io::Result<String> {
    let mut text = Vec::new();
    timestamp::write(ts, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

struct ExposureSource {
    name: String,
    pieces: Receiver<Piece>,
    counts: Option<ExposureCounts>,
}

impl EventSource for ExposureSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn next_batch(&mut self, batch: &mut EventBatch) -> io::Result<bool> {
        match self.pieces.recv() {
            Ok(Piece::Events(events)) => *batch = events,
            Ok(Piece::End(Ok(counts))) => {
                self.counts = Some(counts);
                return Ok(false);
            }
            Ok(Piece::End(Err(error))) => return Err(io::Error::other(DatabaseError::from(error))),
            Err(_) => return Err(io::Error::other("the thread that reads exposures has ended early")),
        }
        Ok(true)
    }

    fn rows(&self) -> Option<ExposureCounts> {
        self.counts
    }
}
