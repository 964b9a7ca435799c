//! Events as rows of integers, in canonical order.

use std::sync::Arc;

use rayon::prelude::*;

use crate::dictionary::{Dictionary, Interner, Strings, union};
use crate::event::{Exposure, Fault, RawExposure};
use crate::id::{Scope, Segment};
use crate::lines::{LineFile, LinesError, for_each_line};
use crate::window::Day;

/// One event. Ids point into [`Names`]; in an optional field 0 (for `rank`: -1) is absent and `id + 1`
/// stands for `id`.
///
/// The fields stand in the order that canonical data is sorted by, and ids compare as their strings do, so
/// the derived order is the canonical order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub(crate) ts: i64,
    pub(crate) session: u32,
    pub(crate) request: u32,
    pub(crate) rank: i64,
    pub(crate) item: u32,
    pub(crate) user: u32,
    pub(crate) segment: u32,
}

/// What the ids of rows stand for.
#[derive(Debug, Default)]
pub struct Names {
    pub(crate) sessions: Dictionary,
    pub(crate) requests: Dictionary,
    pub(crate) items: Dictionary,
    pub(crate) users: Dictionary,
    pub(crate) segments: Dictionary,
}

/// The events of one day, sorted and without repeated deliveries.
#[derive(Debug, Clone)]
pub struct DayRows {
    /// The UTC day.
    pub day: Day,
    /// The events in canonical order.
    pub rows: Vec<Row>,
    /// How many repeated deliveries were dropped.
    pub duplicates: u64,
    pub(crate) names: Arc<Names>,
}

impl DayRows {
    /// Whether any event of the day is of `segment`.
    pub fn has_segment(&self, segment: &Segment) -> bool {
        self.names.segments.find(segment.as_str()).is_some()
    }
}

/// What was found in a set of files besides the events that were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that are not blank.
    pub lines: u64,
    /// Events of another tenant or surface.
    pub foreign: u64,
    /// Events outside the days asked for.
    pub outside: u64,
}

/// What one thread has read.
#[derive(Default)]
struct Shard {
    rows: Vec<Row>,
    counts: Counts,
    sessions: Interner,
    requests: Interner,
    items: Interner,
    users: Interner,
    segments: Interner,
}

impl Shard {
    fn push(&mut self, event: &Exposure<'_>) {
        fn id(interner: &mut Interner, text: Option<&str>) -> u32 {
            text.map_or(0, |text| interner.intern(text) + 1)
        }
        self.rows.push(Row {
            ts: event.ts,
            session: self.sessions.intern(event.session_id),
            request: id(&mut self.requests, event.request_id),
            rank: event.rank.unwrap_or(-1),
            item: self.items.intern(event.item_id),
            user: id(&mut self.users, event.user_id),
            segment: id(&mut self.segments, event.segment),
        });
    }

    fn line(&mut self, line: &str, scope: &Scope, start_ns: i64, end_ns: i64) -> Result<(), Fault> {
        self.counts.lines += 1;
        let raw = RawExposure::parse(line)?;
        match raw.check(scope)? {
            None => self.counts.foreign += 1,
            Some(event) if event.ts < start_ns || event.ts >= end_ns => self.counts.outside += 1,
            Some(event) => self.push(&event),
        }
        Ok(())
    }
}

/// Reads the events of the days `first` to `last` from `files`, in whatever order they stand there.
///
/// A day without events is an empty day. The result does not depend on the order of lines or files.
pub fn read_days(
    files: Vec<LineFile>,
    scope: &Scope,
    first: Day,
    last: Day,
) -> Result<(Vec<DayRows>, Counts), LinesError> {
    let (start_ns, end_ns) = (first.start_ns(), last.end_ns());
    let shards =
        for_each_line(files, Shard::default, |shard, line| shard.line(line, scope, start_ns, end_ns))?;

    let mut counts = Counts::default();
    let mut shard_rows = Vec::new();
    let (mut sessions, mut requests, mut items, mut users, mut segments) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for shard in shards {
        counts.lines += shard.counts.lines;
        counts.foreign += shard.counts.foreign;
        counts.outside += shard.counts.outside;
        shard_rows.push(shard.rows);
        sessions.push(shard.sessions.into_strings());
        requests.push(shard.requests.into_strings());
        items.push(shard.items.into_strings());
        users.push(shard.users.into_strings());
        segments.push(shard.segments.into_strings());
    }
    let (sessions, session_ids) = sorted(&sessions);
    let (requests, request_ids) = sorted(&requests);
    let (items, item_ids) = sorted(&items);
    let (users, user_ids) = sorted(&users);
    let (segments, segment_ids) = sorted(&segments);

    let optional = |ids: &[u32], id: u32| if id == 0 { 0 } else { ids[id as usize - 1] + 1 };
    let mut rows = Vec::new();
    for (shard, mut shard_rows) in shard_rows.into_iter().enumerate() {
        shard_rows.par_iter_mut().for_each(|row| {
            row.session = session_ids[shard][row.session as usize];
            row.request = optional(&request_ids[shard], row.request);
            row.item = item_ids[shard][row.item as usize];
            row.user = optional(&user_ids[shard], row.user);
            row.segment = optional(&segment_ids[shard], row.segment);
        });
        if rows.is_empty() {
            rows = shard_rows;
        } else {
            rows.append(&mut shard_rows);
        }
    }
    rows.par_sort_unstable();
    let names = Names { sessions, requests, items, users, segments };
    Ok((split_by_day(rows, names, first, last), counts))
}

fn sorted(parts: &[Strings]) -> (Dictionary, Vec<Vec<u32>>) {
    union(&parts.iter().collect::<Vec<_>>())
}

fn split_by_day(mut rows: Vec<Row>, names: Names, first: Day, last: Day) -> Vec<DayRows> {
    if first == last {
        return vec![day_rows(first, rows, Arc::new(names))];
    }
    let mut days = Vec::new();
    let mut numbers = Vec::new();
    // From the last day backwards, so that each day's rows are split off the end.
    let mut day = last;
    loop {
        let start = if day == first { 0 } else { rows.partition_point(|row| row.ts < day.start_ns()) };
        let mut own = rows.split_off(start);
        let own_names = Names {
            sessions: own_strings(&mut own, &names.sessions, &mut numbers, 0, |row| &mut row.session),
            requests: own_strings(&mut own, &names.requests, &mut numbers, 1, |row| &mut row.request),
            items: own_strings(&mut own, &names.items, &mut numbers, 0, |row| &mut row.item),
            users: own_strings(&mut own, &names.users, &mut numbers, 1, |row| &mut row.user),
            segments: own_strings(&mut own, &names.segments, &mut numbers, 1, |row| &mut row.segment),
        };
        days.push(day_rows(day, own, Arc::new(own_names)));
        match day.plus(-1) {
            Ok(earlier) if day > first => day = earlier,
            _ => break,
        }
    }
    days.reverse();
    days
}

fn day_rows(day: Day, mut rows: Vec<Row>, names: Arc<Names>) -> DayRows {
    let before = rows.len();
    rows.dedup_by(|row, kept| row.request != 0 && row == kept);
    let duplicates = (before - rows.len()) as u64;
    DayRows { day, rows, duplicates, names }
}

/// The strings that `rows` use in one field, which is renumbered. The work is that of the rows, however many
/// strings there are in all. `base` is 0 where every row has the field, 1 where 0 stands for absent;
/// `numbers` is a buffer to use again.
fn own_strings(
    rows: &mut [Row],
    all: &Dictionary,
    numbers: &mut Vec<u32>,
    base: u32,
    field: fn(&mut Row) -> &mut u32,
) -> Dictionary {
    let mut used: Vec<u32> = rows.iter_mut().filter_map(|row| field(row).checked_sub(base)).collect();
    used.sort_unstable();
    used.dedup();
    if numbers.len() < all.len() {
        numbers.resize(all.len(), 0);
    }
    for (new, old) in (base..).zip(&used) {
        numbers[*old as usize] = new;
    }
    for row in rows {
        let id = field(row);
        if let Some(old) = id.checked_sub(base) {
            *id = numbers[old as usize];
        }
    }
    all.select(&used)
}
