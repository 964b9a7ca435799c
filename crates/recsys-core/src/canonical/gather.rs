//! Turns lines, or the events of a source, into the events of each day, sorted and without repeated deliveries.
//!
//! Each thread collects the events of each day as rows of integers, with its own dictionaries. A thread that exceeds
//! its share of the budget writes sorted runs to the temporary file. If any thread did, the rest is written, too, and
//! the runs of each day are merged; otherwise the threads' rows are combined and sorted in memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::row::EventRow;
use super::rows::{DayRows, Names, StoredRows};
use super::runs::{DiskRun, merge};
use super::sort::sort;
use crate::columnar::dictionary::{BatchInterner, Dictionary, Strings, union};
use crate::columnar::spill::Budget;
use crate::domain::id::Scope;
use crate::domain::stream::Stream;
use crate::domain::window::Day;
use crate::input::event::{Exposure, LastLine, RawExposure, RawOutcome, Rules, UncheckedExposure};
use crate::input::lines::{LineFile, LinesError, for_each_line};
use crate::input::quarantine::BadLineWriter;
use crate::input::source::{EventSource, for_each_event};
use crate::input::stop::Stop;
use crate::storage::StoreError;

/// What a set of files held besides the events that were taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Number of non-blank lines.
    pub lines: u64,
    /// Number of events of another tenant or surface.
    pub foreign: u64,
    /// Number of events outside the requested days, by day.
    pub outside: BTreeMap<Day, u64>,
}

impl ReadCounts {
    /// Total number of events outside the requested days.
    pub fn outside(&self) -> u64 {
        self.outside.values().sum()
    }
}

/// Counts events outside the requested days. Most have the same day as the one before, which saves a map lookup.
#[derive(Debug, Default)]
struct Outside {
    /// The day of the last event, counted from 1970, and the number of its events not yet in `before`.
    last: (i64, u64),
    before: BTreeMap<i64, u64>,
}

impl Outside {
    fn take(&mut self, time: i64) {
        let day = time.div_euclid(Day::NS);
        if day != self.last.0 {
            self.flush();
            self.last.0 = day;
        }
        self.last.1 += 1;
    }

    fn flush(&mut self) {
        let (day, events) = self.last;
        if events > 0 {
            *self.before.entry(day).or_default() += events;
            self.last.1 = 0;
        }
    }

    fn by_day(mut self) -> impl Iterator<Item = (Day, u64)> {
        self.flush();
        // Never out of range: every possible event time lies in a valid day.
        self.before.into_iter().filter_map(|(day, events)| Some((Day::since_1970(day)?, events)))
    }
}

/// Events of one day in the order in which one thread has read them.
#[derive(Debug, Default)]
struct Shard {
    rows: Vec<EventRow>,
    /// Number of rows with final ids. The rows after it hold positions in the interners' waiting lists.
    flushed: usize,
    /// Of sessions, requests, items, users and segments.
    strings: [BatchInterner; 5],
}

/// Rows whose ids are looked up together.
const ROWS_AT_A_TIME: usize = 1 << 7;

impl Shard {
    fn push(&mut self, time: i64, event: &Exposure<'_>) {
        fn place(interner: &mut BatchInterner, text: Option<&str>) -> u32 {
            text.map_or(0, |text| interner.push(text) + 1)
        }
        let [sessions, requests, items, users, segments] = &mut self.strings;
        self.rows.push(EventRow {
            time,
            session: sessions.push(event.session_id),
            request: place(requests, event.request_id),
            rank: event.rank.unwrap_or(-1),
            item: items.push(event.item_id),
            user: place(users, event.user_id),
            segment: place(segments, event.segment),
        });
        if self.rows.len() - self.flushed == ROWS_AT_A_TIME {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let ids = self.strings.each_mut().map(BatchInterner::flush);
        for row in &mut self.rows[self.flushed..] {
            *row = row.renumbered(&ids);
        }
        self.flushed = self.rows.len();
    }

    /// Approximate memory use in bytes.
    fn bytes(&self) -> usize {
        size_of_val(&self.rows[..]) + self.strings.iter().map(BatchInterner::bytes).sum::<usize>()
    }
}

/// Merges the dictionaries of the shards and sorts their rows in the order of `stream`.
fn sorted(stream: Stream, shards: Vec<Shard>) -> (Names, Vec<EventRow>, Strings) {
    let mut shard_rows = Vec::new();
    let mut strings: [Vec<Strings>; 5] = Default::default();
    for mut shard in shards {
        shard.flush();
        shard_rows.push(shard.rows);
        strings.iter_mut().zip(shard.strings).for_each(|(all, own)| all.push(own.into_strings()));
    }
    let [sessions, requests, items, users, segments] = strings;
    let ((sessions, session_ids), (requests, request_ids)) =
        rayon::join(|| merged_dictionary(sessions), || merged_dictionary(requests));
    let ((items, item_ids), (users, user_ids)) =
        rayon::join(|| merged_dictionary(items), || merged_dictionary(users));
    let (segments, segment_ids) = merged_dictionary(segments);

    let mut rows = Vec::new();
    for (shard, mut shard_rows) in shard_rows.into_iter().enumerate() {
        let ids = [&session_ids, &request_ids, &item_ids, &user_ids, &segment_ids].map(|ids| &ids[shard][..]);
        let renumbered = |row: &EventRow| row.renumbered(&ids);
        if rows.is_empty() {
            shard_rows.par_iter_mut().for_each(|row| *row = renumbered(row));
            rows = shard_rows;
        } else {
            rows.par_extend(shard_rows.par_iter().map(renumbered));
        }
    }
    sort(&mut rows, stream);

    let names = Names { sessions, items, users, segments };
    (names, rows, Arc::unwrap_or_clone(requests).into_strings())
}

fn merged_dictionary(parts: Vec<Strings>) -> (Arc<Dictionary>, Vec<Vec<u32>>) {
    let (dictionary, ids) = union(&parts.iter().collect::<Vec<_>>());
    drop(parts);
    (Arc::new(dictionary), ids)
}

/// How to read events.
#[derive(Clone, Copy)]
pub struct EventReader<'a> {
    /// The kind of events in the lines.
    pub stream: Stream,
    /// The rules that events are checked against.
    pub rules: Rules<'a>,
    /// The memory budget for events.
    pub budget: &'a Budget,
    /// Collects lines that break a rule; without it, the first one is an error.
    pub bad_lines: Option<&'a BadLineWriter>,
}

/// The state of one reading thread.
struct Worker<'a> {
    reader: &'a EventReader<'a>,
    share: usize,
    last: LastLine,
    /// Indexed by day, counted from the first.
    days: Vec<Shard>,
    runs: Vec<(usize, DiskRun)>,
    counts: ReadCounts,
    outside: Outside,
    /// Bytes that events may still take before memory use is measured again.
    unlooked: usize,
}

/// An upper bound for an event without its strings: a row, and for each string an end, a table slot and spare capacity.
const EVENT_BYTES: usize = 1 << 8;

/// An upper bound for the memory an event takes, even if all its strings are new.
fn bytes_of(event: &Exposure<'_>) -> usize {
    let Exposure { session_id, item_id, user_id, request_id, segment, .. } = event;
    let optional = [user_id, request_id, segment].map(|text| text.map_or(0, str::len));
    // A new string is held twice while it waits for its id.
    EVENT_BYTES + 2 * (session_id.len() + item_id.len() + optional.iter().sum::<usize>())
}

impl Worker<'_> {
    fn line(&mut self, line: &str, times: &Range<i64>) -> Result<(), Stop> {
        let EventReader { stream, rules, .. } = self.reader;
        match stream {
            Stream::Exposures => {
                if let Some(event) = self.last.read(line, rules) {
                    return self.take(Some(event), times);
                }
                let raw = RawExposure::parse(line)?;
                let event = raw.check(rules)?;
                self.last.remember(line, &raw, event.as_ref());
                self.take(event, times)
            }
            Stream::Outcomes => self.take(RawOutcome::parse(line)?.check(rules)?, times),
        }
    }

    /// Takes the event of a good line; bad lines are counted where they are set aside.
    fn take(&mut self, event: Option<Exposure<'_>>, times: &Range<i64>) -> Result<(), Stop> {
        self.counts.lines += 1;
        match event {
            None => self.counts.foreign += 1,
            Some(event) if !times.contains(&event.ts) => self.outside.take(event.ts),
            Some(event) => {
                let time = event.ts - times.start;
                let day = usize::try_from(time / Day::NS).unwrap_or_default();
                if day >= self.days.len() {
                    self.days.resize_with(day + 1, Shard::default);
                }
                self.days[day].push(time % Day::NS, &event);
                match self.unlooked.checked_sub(bytes_of(&event)) {
                    Some(unlooked) => self.unlooked = unlooked,
                    None => self.enforce_budget()?,
                }
            }
        }
        Ok(())
    }

    /// Once the share is used up, writes the largest days to the temporary file until half of the share is free. So
    /// runs are few and large, however many days there are.
    fn enforce_budget(&mut self) -> Result<(), StoreError> {
        let mut used: usize = self.days.iter().map(Shard::bytes).sum();
        if used >= self.share {
            let mut largest: Vec<usize> = (0..self.days.len()).collect();
            largest.sort_unstable_by_key(|day| Reverse(self.days[*day].bytes()));
            for day in largest {
                if used <= self.share / 2 {
                    break;
                }
                used -= self.days[day].bytes();
                self.spill(day)?;
            }
        }
        self.unlooked = self.share.saturating_sub(used);
        Ok(())
    }

    fn spill(&mut self, day: usize) -> Result<(), StoreError> {
        let shard = std::mem::take(&mut self.days[day]);
        if !shard.rows.is_empty() {
            let (names, rows, requests) = sorted(self.reader.stream, vec![shard]);
            self.runs.push((day, DiskRun::write(self.reader.budget, &names, &rows, &requests)?));
        }
        Ok(())
    }
}

/// The events of a range of days. Each day is sorted when it is taken.
#[derive(Debug)]
pub struct Gathered {
    stream: Stream,
    budget: Budget,
    first: Day,
    days: Vec<Option<Parts>>,
}

#[derive(Debug, Default)]
struct Parts {
    shards: Vec<Shard>,
    runs: Vec<DiskRun>,
}

impl<'a> EventReader<'a> {
    /// Reads the exposures of `scope` with default rules; the first bad line is an error.
    pub fn new(scope: &'a Scope, budget: &'a Budget) -> Self {
        Self { stream: Stream::Exposures, rules: Rules::new(scope), budget, bad_lines: None }
    }

    /// Reads the events of the days `first` to `last` from `files`, which may hold them in any order.
    ///
    /// A day without events is an empty day. The result depends neither on the order of lines or files nor on the
    /// budget. The line count includes lines that were set aside.
    pub fn gather(
        &self,
        files: Vec<LineFile>,
        first: Day,
        last: Day,
    ) -> Result<(Gathered, ReadCounts), LinesError> {
        let times = first.start_ns()..last.end_ns();
        let threads = self.budget.reading_threads();
        let work = |worker: &mut Worker<'_>, line: &str| worker.line(line, &times);
        let workers = for_each_line(files, threads, self.bad_lines, || self.worker(threads), work)?;
        self.gathered(workers, first, last)
    }

    /// Like [`gather`](Self::gather), of the exposures of a source. The first one that breaks a rule is an error in any
    /// case.
    pub fn gather_from(
        &self,
        source: &mut dyn EventSource,
        first: Day,
        last: Day,
    ) -> Result<(Gathered, ReadCounts), LinesError> {
        let reader = Self { stream: Stream::Exposures, bad_lines: None, ..*self };
        let times = first.start_ns()..last.end_ns();
        let threads = reader.budget.reading_threads();
        let work = |worker: &mut Worker<'_>, event: &UncheckedExposure<'_>| {
            worker.take(reader.rules.check(event)?, &times)
        };
        let workers = for_each_event(source, threads, || reader.worker(threads), work)?;
        reader.gathered(workers, first, last)
    }

    fn worker(&self, threads: usize) -> Worker<'_> {
        Worker {
            reader: self,
            share: self.budget.events_of(self.stream) / threads,
            last: LastLine::default(),
            days: Vec::new(),
            runs: Vec::new(),
            counts: ReadCounts::default(),
            outside: Outside::default(),
            unlooked: 0,
        }
    }

    /// Puts together what the workers have read of the days `first` to `last`.
    fn gathered(
        &self,
        mut workers: Vec<Worker<'_>>,
        first: Day,
        last: Day,
    ) -> Result<(Gathered, ReadCounts), LinesError> {
        let EventReader { stream, budget, bad_lines, .. } = *self;
        // From here on, the budget is for the days as they are taken. Workers spill one after the other, so that at
        // most one shard at a time is sorted in memory.
        if workers.iter().any(|worker| !worker.runs.is_empty()) {
            for worker in &mut workers {
                (0..worker.days.len()).try_for_each(|day| worker.spill(day))?;
            }
        }

        let count = usize::try_from((last.end_ns() - first.start_ns()) / Day::NS).unwrap_or_default();
        let mut days: Vec<_> = (0..count).map(|_| Some(Parts::default())).collect();
        let mut counts =
            ReadCounts { lines: bad_lines.map_or(0, BadLineWriter::lines), ..ReadCounts::default() };
        for worker in workers {
            counts.lines += worker.counts.lines;
            counts.foreign += worker.counts.foreign;
            for (day, events) in worker.outside.by_day() {
                *counts.outside.entry(day).or_default() += events;
            }
            for (day, shard) in worker.days.into_iter().enumerate() {
                days[day].get_or_insert_default().shards.push(shard);
            }
            for (day, run) in worker.runs {
                days[day].get_or_insert_default().runs.push(run);
            }
        }
        Ok((Gathered { stream, budget: budget.clone(), first, days }, counts))
    }

    /// Like [`gather`](Self::gather), and sorts all days at once.
    pub fn days(
        &self,
        files: Vec<LineFile>,
        first: Day,
        last: Day,
    ) -> Result<(Vec<DayRows>, ReadCounts), LinesError> {
        let (mut gathered, counts) = self.gather(files, first, last)?;
        let days = std::iter::successors(Some(first), |day| day.next().ok()).take_while(|day| *day <= last);
        let days: Result<Vec<_>, _> = days.map(|day| gathered.take(day)).collect();
        Ok((days?.into_iter().flatten().collect(), counts))
    }
}

impl Gathered {
    /// The sorted events of a day; `None` if it was taken before or was not requested.
    ///
    /// # Errors
    /// A temporary file fails, or the distinct strings of the day do not fit in memory.
    pub fn take(&mut self, day: Day) -> Result<Option<DayRows>, LinesError> {
        let number = usize::try_from((day.start_ns() - self.first.start_ns()) / Day::NS).ok();
        let parts = number.and_then(|number| self.days.get_mut(number)).and_then(Option::take);
        let Some(Parts { shards, runs }) = parts else { return Ok(None) };
        if runs.is_empty() {
            let (names, mut rows, requests) = sorted(self.stream, shards);
            let before = rows.len();
            // Usually there are no repeats, and all threads check that in parallel.
            let is_repeated = |row: &EventRow, kept: &EventRow| row.request != 0 && row == kept;
            if rows.par_windows(2).any(|rows| is_repeated(&rows[1], &rows[0])) {
                rows.dedup_by(|row, kept| is_repeated(row, kept));
            }
            let duplicates = (before - rows.len()) as u64;
            let rows = StoredRows::Memory { rows, requests };
            return Ok(Some(DayRows::new(self.stream, day, duplicates, names, rows)));
        }
        let (rows, names, duplicates) =
            merge(self.stream, &self.budget, &format!("the distinct strings of {day}"), runs)?;
        Ok(Some(DayRows::new(self.stream, day, duplicates, names, StoredRows::File(rows))))
    }
}
