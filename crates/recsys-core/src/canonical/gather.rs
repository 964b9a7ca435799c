//! Lines → the events of each day, sorted and without repeated deliveries.
//!
//! Each thread collects the events of each day as rows of numbers, with dictionaries of its own. What a
//! thread holds beyond its share of the budget becomes sorted runs in the temporary file, and so does the rest then. As
//! long as no share is used up, the threads' rows of a day are put together and sorted in memory; else its runs are
//! merged.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::row::Row;
use super::rows::{DayRows, Names, Rows};
use super::runs::{DiskRun, merge};
use super::sort::sort;

use crate::columnar::dictionary::{BatchInterner, Dictionary, Strings, union};
use crate::domain::id::Scope;
use crate::domain::stream::Stream;
use crate::input::event::{Exposure, LastLine, RawExposure, RawOutcome, Rules};
use crate::input::lines::{LineFile, LinesError, for_each_good_line};
use crate::input::quarantine::Aside;
use crate::input::stop::Stop;

use crate::columnar::spill::Budget;
use crate::domain::window::Day;
use crate::storage::StoreError;

/// What was found in a set of files besides the events that were taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that are not blank.
    pub lines: u64,
    /// Events of another tenant or surface.
    pub foreign: u64,
    /// Events outside the days asked for, by their day.
    pub outside: BTreeMap<Day, u64>,
}

impl Counts {
    /// Events outside the days asked for.
    pub fn outside(&self) -> u64 {
        self.outside.values().sum()
    }
}

/// Events outside the days asked for. Most follow others of their day.
#[derive(Debug, Default)]
struct Outside {
    /// The day of the last one, counted from 1970, and how many of it have come in a row.
    last: (i64, u64),
    before: BTreeMap<i64, u64>,
}

impl Outside {
    fn take(&mut self, time: i64) {
        let day = time.div_euclid(Day::NS);
        if day != self.last.0 {
            self.settle();
            self.last.0 = day;
        }
        self.last.1 += 1;
    }

    fn settle(&mut self) {
        let (day, events) = self.last;
        if events > 0 {
            *self.before.entry(day).or_default() += events;
            self.last.1 = 0;
        }
    }

    fn by_day(mut self) -> impl Iterator<Item = (Day, u64)> {
        self.settle();
        // Every time that an event can have lies in a day.
        self.before.into_iter().filter_map(|(day, events)| Some((Day::since_1970(day)?, events)))
    }
}

/// Events of one day, in the order in which one thread has read them.
#[derive(Debug, Default)]
struct Shard {
    rows: Vec<Row>,
    /// How many rows have their numbers. The others have the places of their strings among those that wait.
    settled: usize,
    sessions: BatchInterner,
    requests: BatchInterner,
    items: BatchInterner,
    users: BatchInterner,
    segments: BatchInterner,
}

/// Rows that are given their numbers at a time.
const ROWS_AT_A_TIME: usize = 1 << 7;

impl Shard {
    fn push(&mut self, time: i64, event: &Exposure<'_>) {
        fn place(interner: &mut BatchInterner, text: Option<&str>) -> u32 {
            text.map_or(0, |text| interner.wait(text) + 1)
        }
        self.rows.push(Row {
            time,
            session: self.sessions.wait(event.session_id),
            request: place(&mut self.requests, event.request_id),
            rank: event.rank.unwrap_or(-1),
            item: self.items.wait(event.item_id),
            user: place(&mut self.users, event.user_id),
            segment: place(&mut self.segments, event.segment),
        });
        if self.rows.len() - self.settled == ROWS_AT_A_TIME {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let (sessions, requests, items) =
            (self.sessions.settle(), self.requests.settle(), self.items.settle());
        let (users, segments) = (self.users.settle(), self.segments.settle());
        for row in &mut self.rows[self.settled..] {
            *row = row.renumbered(sessions, requests, items, users, segments);
        }
        self.settled = self.rows.len();
    }

    /// What it takes in memory.
    fn bytes(&self) -> usize {
        let Self { rows, settled: _, sessions, requests, items, users, segments } = self;
        let strings = [sessions, requests, items, users, segments];
        size_of_val(&rows[..]) + strings.iter().map(|interner| interner.bytes()).sum::<usize>()
    }
}

/// Puts the rows of shards in the order of `stream`.
fn sorted(stream: Stream, shards: Vec<Shard>) -> (Names, Vec<Row>, Strings) {
    let mut shard_rows = Vec::new();
    let (mut sessions, mut requests, mut items, mut users, mut segments) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for mut shard in shards {
        shard.settle();
        shard_rows.push(shard.rows);
        sessions.push(shard.sessions.into_strings());
        requests.push(shard.requests.into_strings());
        items.push(shard.items.into_strings());
        users.push(shard.users.into_strings());
        segments.push(shard.segments.into_strings());
    }
    let ((sessions, session_ids), (requests, request_ids)) =
        rayon::join(|| one_dictionary(sessions), || one_dictionary(requests));
    let ((items, item_ids), (users, user_ids)) =
        rayon::join(|| one_dictionary(items), || one_dictionary(users));
    let (segments, segment_ids) = one_dictionary(segments);

    let mut rows = Vec::new();
    for (shard, mut shard_rows) in shard_rows.into_iter().enumerate() {
        let renumbered = |row: &Row| {
            row.renumbered(
                &session_ids[shard],
                &request_ids[shard],
                &item_ids[shard],
                &user_ids[shard],
                &segment_ids[shard],
            )
        };
        if rows.is_empty() {
            shard_rows.par_iter_mut().for_each(|row| *row = renumbered(row));
            rows = shard_rows;
        } else {
            rows.par_extend(shard_rows.par_iter().map(renumbered));
        }
    }
    sort(&mut rows, stream);

    let names = Names {
        sessions: Arc::new(sessions),
        items: Arc::new(items),
        users: Arc::new(users),
        segments: Arc::new(segments),
    };
    (names, rows, requests.into_strings())
}

fn one_dictionary(parts: Vec<Strings>) -> (Dictionary, Vec<Vec<u32>>) {
    let united = union(&parts.iter().collect::<Vec<_>>());
    drop(parts);
    united
}

/// How events are read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// What the lines are.
    pub stream: Stream,
    /// Which of them are taken.
    pub rules: Rules<'a>,
    /// The memory that they may take.
    pub budget: &'a Budget,
    /// Where lines go that break a rule; without it, the first one is an error.
    pub aside: Option<&'a Aside>,
}

/// What one thread has read.
struct Worker<'a> {
    reader: &'a Reader<'a>,
    share: usize,
    last: LastLine,
    /// By the number of the day.
    days: Vec<Shard>,
    runs: Vec<(usize, DiskRun)>,
    counts: Counts,
    outside: Outside,
    /// Bytes that events may take until the memory is looked at again.
    unlooked: usize,
}

/// More than an event takes besides its strings: a row, and for each string an end, a slot and their spare.
const EVENT_BYTES: usize = 1 << 8;

/// More than an event takes until memory is looked at again, be its strings new or not.
fn bytes_of(event: &Exposure<'_>) -> usize {
    let Exposure { session_id, item_id, user_id, request_id, segment, .. } = event;
    let optional = [user_id, request_id, segment].map(|text| text.map_or(0, str::len));
    // A string that is new is copied twice: once while it waits.
    EVENT_BYTES + 2 * (session_id.len() + item_id.len() + optional.iter().sum::<usize>())
}

impl Worker<'_> {
    fn line(&mut self, line: &str, times: &Range<i64>) -> Result<(), Stop> {
        let Reader { stream, rules, .. } = self.reader;
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

    /// Takes a good line; the bad ones are counted where they are set aside.
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
                    None => self.keep_to_the_budget()?,
                }
            }
        }
        Ok(())
    }

    /// Writes the events of the largest days to the temporary file when the share is used: of so many days that half of
    /// it is free, so that runs are few and large however many days there are.
    fn keep_to_the_budget(&mut self) -> Result<(), StoreError> {
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

    /// Writes the events of all days to the temporary file.
    fn spill_all(&mut self) -> Result<(), StoreError> {
        (0..self.days.len()).try_for_each(|day| self.spill(day))
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

/// The events of a range of days, each of which is put in order when it is taken.
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

impl<'a> Reader<'a> {
    /// Reads the exposures of `scope`, by the usual rules.
    pub fn new(scope: &'a Scope, budget: &'a Budget) -> Self {
        Self { stream: Stream::Exposures, rules: Rules::new(scope), budget, aside: None }
    }

    /// Reads the events of the days `first` to `last` from `files`, in whatever order they stand there.
    ///
    /// A day without events is an empty day. The result does not depend on the order of lines or files, nor on
    /// the budget. Lines that are put aside are counted, too.
    pub fn gather(
        &self,
        files: Vec<LineFile>,
        first: Day,
        last: Day,
    ) -> Result<(Gathered, Counts), LinesError> {
        let Reader { stream, budget, aside, .. } = *self;
        let times = first.start_ns()..last.end_ns();
        let threads = budget.reading_threads();
        let worker = || Worker {
            reader: self,
            share: budget.events_of(stream) / threads,
            last: LastLine::default(),
            days: Vec::new(),
            runs: Vec::new(),
            counts: Counts::default(),
            outside: Outside::default(),
            unlooked: 0,
        };
        let work = |worker: &mut Worker<'_>, line: &str| worker.line(line, &times);
        let mut workers = for_each_good_line(files, threads, aside, worker, work)?;
        // The memory is then for the days as they are taken. One after the other, so that one shard at most is sorted in
        // memory beside the rest.
        if workers.iter().any(|worker| !worker.runs.is_empty()) {
            workers.iter_mut().try_for_each(Worker::spill_all)?;
        }

        let count = usize::try_from((times.end - times.start) / Day::NS).unwrap_or_default();
        let mut days: Vec<_> = (0..count).map(|_| Some(Parts::default())).collect();
        let mut counts = Counts { lines: aside.map_or(0, Aside::lines), ..Counts::default() };
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

    /// Reads the events of the days `first` to `last` in the same way, and puts all of them in order.
    pub fn days(
        &self,
        files: Vec<LineFile>,
        first: Day,
        last: Day,
    ) -> Result<(Vec<DayRows>, Counts), LinesError> {
        let (mut gathered, counts) = self.gather(files, first, last)?;
        let days = std::iter::successors(Some(first), |day| day.next().ok()).take_while(|day| *day <= last);
        let days: Result<Vec<_>, _> = days.map(|day| gathered.take(day)).collect();
        Ok((days?.into_iter().flatten().collect(), counts))
    }
}

impl Gathered {
    /// The events of a day, in order; `None` when they are taken already, or were not asked for.
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
            // Mostly there are none, which all threads find out together.
            let is_repeated = |row: &Row, kept: &Row| row.request != 0 && row == kept;
            if rows.par_windows(2).any(|rows| is_repeated(&rows[1], &rows[0])) {
                rows.dedup_by(|row, kept| is_repeated(row, kept));
            }
            let duplicates = (before - rows.len()) as u64;
            let rows = Rows::Memory { rows, requests };
            return Ok(Some(DayRows::new(self.stream, day, duplicates, names, rows)));
        }
        let (rows, names, duplicates) =
            merge(self.stream, &self.budget, &format!("the distinct strings of {day}"), runs)?;
        Ok(Some(DayRows::new(self.stream, day, duplicates, names, Rows::File(rows))))
    }
}

/// Reads the exposures of the days `first` to `last` as a [`Reader`] does by the usual rules.
pub fn read_days(
    files: Vec<LineFile>,
    scope: &Scope,
    first: Day,
    last: Day,
    budget: &Budget,
) -> Result<(Vec<DayRows>, Counts), LinesError> {
    Reader::new(scope, budget).days(files, first, last)
}
