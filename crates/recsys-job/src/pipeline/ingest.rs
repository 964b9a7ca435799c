//! Raw events → canonical data.

use std::collections::BTreeMap;
use std::fmt;

use recsys_core::canonical::{Changes, DayRows, EventReader, Gathered, PendingDay, ReadCounts};
use recsys_core::database::DatabaseError;
use recsys_core::domain::limit::Limit;
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::Day;
use recsys_core::gate::{Dropped, Refused};
use recsys_core::input::event::Rules;
use recsys_core::input::lines::{LineFile, LinesError};
use recsys_core::input::quarantine::{BadLineWriter, BadLines};
use recsys_core::input::raw::Raw;
use recsys_core::input::source::{EventSource as _, ExposureCounts};
use recsys_core::storage::{Replaced, Store, StoreError};
use serde::Serialize;

use crate::config::{Config, Input};
use crate::pipeline::context::Context;
use crate::pipeline::quarantine::{self, QuarantineReport, bad_line_writer, is_strict, quarantine};
use crate::pipeline::refused;
use crate::shell::error::JobError;
use crate::watch::progress::Progress;
use crate::watch::step::{Report, Step, StepCounts};

/// What was found in a set of raw files.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SourceReport {
    /// The files; none when the day has none.
    files: Vec<String>,
    /// Lines that are not blank.
    lines: u64,
    /// Events of another tenant or surface.
    foreign: u64,
    /// Events outside the days asked for.
    pub(crate) outside: u64,
    /// The same by their day.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    outside_days: BTreeMap<Day, u64>,
    /// Whether the files are those of one day.
    #[serde(skip)]
    is_of_a_day: bool,
    /// Lines that break a rule, and what became of them.
    #[serde(flatten)]
    invalid: QuarantineReport,
    /// The rows that the lines were made of, when they come from a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<ExposureCounts>,
}

impl SourceReport {
    fn new(files: Vec<String>, counts: ReadCounts) -> Self {
        let outside = counts.outside();
        let ReadCounts { lines, foreign, outside: outside_days } = counts;
        let (invalid, is_of_a_day) = (QuarantineReport::default(), false);
        Self { files, lines, foreign, outside, outside_days, is_of_a_day, invalid, table: None }
    }

    /// The same of the files of one day, which should hold no other.
    fn for_day(self, day: Day) -> Self {
        if self.outside > 0 {
            let (files, events, of) = (self.files.join(", "), self.outside, self.days_outside());
            tracing::warn!(%day, files, events, of, "events of other days lie in the files of this one; they are left out");
        }
        Self { is_of_a_day: true, ..self }
    }

    /// The days outside, the first few by name.
    fn days_outside(&self) -> String {
        const NAMED: usize = 3;
        let days = self.outside_days.iter().take(NAMED).map(|(day, events)| format!("{day}: {events}"));
        let more = self.outside_days.len().saturating_sub(NAMED);
        let more = (more > 0).then(|| format!("{more} more days"));
        days.chain(more).collect::<Vec<_>>().join(", ")
    }

    /// What the files hold besides the events that are taken.
    fn counts(&self) -> StepCounts {
        let (foreign, invalid) = (Some(self.foreign), Some(self.invalid.invalid));
        StepCounts { invalid, foreign, ..StepCounts::default() }
    }

    /// What was found, in a phrase.
    pub(crate) fn found(&self) -> String {
        let files = if self.files.is_empty() { "no raw file".to_owned() } else { self.files.join(", ") };
        if let Some(ExposureCounts { rows, events, without_session, without_items }) = self.table {
            return format!(
                "{files}: {rows} rows, {without_session} without a session, {without_items} without items; {events} events"
            );
        }
        let Self { lines, foreign, outside, invalid, is_of_a_day, .. } = self;
        let outside = match (outside, is_of_a_day) {
            (0, _) | (_, false) => format!("{outside} outside the days asked for"),
            (outside, true) => format!("{outside} of other days ({})", self.days_outside()),
        };
        let invalid = match invalid.invalid {
            0 => String::new(),
            invalid => format!(", {invalid} invalid"),
        };
        format!("{files}: {lines} lines, {foreign} foreign, {outside}{invalid}")
    }
}

/// What became of a day's canonical file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct IngestReport {
    day: Day,
    /// Events in the canonical file.
    events: u64,
    /// Repeated deliveries that were dropped.
    duplicates: u64,
    /// The canonical file; where a gate refused the day, the one that is kept apart.
    canonical: String,
    replaced: Replaced,
    /// How the events differ from those that were there before; absent for a day that was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Changes>,
}

impl IngestReport {
    /// What became of the day, in a phrase.
    fn became(&self) -> String {
        let replaced = match self.replaced {
            Replaced::Written => "written",
            Replaced::Unchanged => "unchanged",
            Replaced::Removed => "removed",
            Replaced::Empty => "no file for an empty day",
            Replaced::Refused => "refused by a gate and kept apart (job_validate says why)",
        };
        let Self { events, duplicates, canonical, .. } = self;
        let changes = match self.changes {
            Some(Changes { entered, left }) if entered + left > 0 => format!(" ({entered} in, {left} out)"),
            _ => String::new(),
        };
        format!("{canonical}: {events} events, {duplicates} duplicates dropped, {replaced}{changes}")
    }
}

/// What was read of a day's events of one stream, and what became of them.
#[derive(Debug, Serialize)]
pub(crate) struct StreamReport {
    #[serde(skip)]
    stream: Stream,
    source: Option<SourceReport>,
    canonical: IngestReport,
}

impl StreamReport {
    /// Lines of the summary, unless there is nothing to say: most days have no outcomes.
    pub(crate) fn unless_empty(&self) -> Option<&Self> {
        let nothing_read = self.source.as_ref().is_none_or(|source| source.files.is_empty());
        (!nothing_read || self.canonical.replaced != Replaced::Empty).then_some(self)
    }
}

impl fmt::Display for StreamReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (read, canonical) = match self.stream {
            Stream::Exposures => ("read", "canonical"),
            Stream::Outcomes => ("outcomes", "outcomes"),
        };
        if let Some(source) = &self.source {
            writeln!(f, "  {read:<12} {}{}", source.found(), source.invalid)?;
        }
        write!(f, "  {canonical:<12} {}", self.canonical.became())
    }
}

/// The events of a day and stream, not written yet.
#[derive(Debug, Clone)]
pub(crate) struct ReadDay {
    pub(crate) rows: DayRows,
    pub(crate) source: Option<SourceReport>,
}

impl ReadDay {
    /// What was delivered and is not in the canonical data.
    pub(crate) fn dropped(&self) -> Dropped {
        // A flat file holds other days by right.
        let outside = self.source.as_ref().filter(|source| source.is_of_a_day && source.outside > 0);
        Dropped { duplicates: Some(self.rows.duplicates), outside: outside.map(|source| source.outside) }
    }

    /// Puts the canonical file in place.
    pub(crate) fn commit(&self, ctx: &Context, pending: PendingDay<'_>) -> anyhow::Result<StreamReport> {
        let Self { rows, source } = self;
        let (day, events, duplicates) = (rows.day, rows.len() as u64, rows.duplicates);
        let canonical = ctx.canonical().of(rows.stream);
        // The report says without a look at the data whether it is the same; there is one of exposures alone.
        let reported = match rows.stream {
            Stream::Exposures => ctx.reports().read(day)?,
            Stream::Outcomes => None,
        };
        let is_same =
            reported.is_some_and(|report| report.is_good() && report.canonical_hash == pending.hash());

        let changes = if is_same && canonical.exists(day)? {
            Some(Changes::default())
        } else {
            canonical.changes(rows)?
        };
        if !rows.is_empty() {
            ctx.claim_canonical()?;
        }
        let replaced = pending.commit()?;
        // A file that was changed by other means is not the one that the report is of: how it differed is not known.
        let changes = changes.filter(|_| !(is_same && replaced == Replaced::Written));

        let Changes { entered, left } = changes.unwrap_or(Changes { entered: events, left: 0 });
        tracing::info!(%day, stream = rows.stream.as_str(), events, duplicates, entered, left, "ingested");
        let report =
            IngestReport { day, events, duplicates, canonical: canonical.name(day), replaced, changes };
        ctx.measure(rows.stream, |metrics| {
            metrics.add_events("kept", events);
            metrics.add_events("duplicate", duplicates);
        });
        Ok(StreamReport { stream: rows.stream, source: source.clone(), canonical: report })
    }

    /// What became of the events where a gate has refused the day.
    pub(crate) fn refused(&self, ctx: &Context) -> StreamReport {
        let Self { rows, source } = self;
        let (day, events, duplicates) = (rows.day, rows.len() as u64, rows.duplicates);
        let canonical = ctx.canonical().of(rows.stream);
        let (canonical, replaced) = if rows.is_empty() {
            (canonical.name(day), Replaced::Empty)
        } else {
            (canonical.refused().name(day), Replaced::Refused)
        };
        let canonical = IngestReport { day, events, duplicates, canonical, replaced, changes: None };
        StreamReport { stream: rows.stream, source: source.clone(), canonical }
    }
}

/// Its parts are measured as they come.
impl Report for ReadDay {
    fn counts(&self) -> StepCounts {
        let read = self.source.as_ref().map(SourceReport::counts).unwrap_or_default();
        let (events, duplicates) = (Some(self.rows.len() as u64), Some(self.rows.duplicates));
        StepCounts { events, duplicates, ..read }
    }
}

/// What was delivered for a day, not written yet.
#[derive(Debug, Clone)]
pub(crate) struct Delivered {
    pub(crate) exposures: ReadDay,
    /// None where they do not come from here.
    pub(crate) outcomes: Option<ReadDay>,
}

/// The raw events of the days of a range.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    exposures: Ingest<'a>,
    /// None where they do not come with the exposures.
    outcomes: Option<Ingest<'a>>,
}

impl<'a> Sources<'a> {
    /// Opens the raw events of `days`.
    pub(crate) fn open(ctx: &'a Context, days: &[Day]) -> anyhow::Result<Self> {
        if let Some(input) = ctx.input {
            let exposures = Ingest { ctx, stream: Stream::Exposures, source: IngestSource::Linked(input) };
            return Ok(Self { exposures, outcomes: None });
        }
        let exposures = Ingest::open(ctx, Stream::Exposures, days)?;
        Ok(Self { exposures, outcomes: Some(Ingest::open(ctx, Stream::Outcomes, days)?) })
    }

    /// Reads one of the days, and checks that it may replace what is there.
    pub(crate) fn read(&mut self, day: Day) -> anyhow::Result<Delivered> {
        let exposures = self.exposures.read(day)?;
        let outcomes = self.outcomes.as_mut().map(|outcomes| outcomes.read(day)).transpose()?;
        Ok(Delivered { exposures, outcomes })
    }
}

/// Reads a stream of events, one day after the other.
#[derive(Debug)]
struct Ingest<'a> {
    ctx: &'a Context,
    stream: Stream,
    source: IngestSource,
}

#[derive(Debug)]
enum IngestSource {
    /// A flat file holds all days, so it is read once, when it is opened.
    Flat(Box<Flat>),
    /// Files by day are read as their day comes.
    Days(Box<dyn Store>),
    /// So is an input that the binary is linked with.
    Linked(&'static dyn Input),
}

#[derive(Debug)]
struct Flat {
    days: Gathered,
    /// Reported with the first day.
    source: Option<SourceReport>,
    /// So are bad lines, whose day is unknown.
    bad: Option<BadLines>,
}

impl<'a> Ingest<'a> {
    fn open(ctx: &'a Context, stream: Stream, days: &[Day]) -> anyhow::Result<Self> {
        let store = ctx.raw_store()?;
        let raw = Raw::new(&*store, &ctx.scope)?.of(stream);
        let progress = Progress::begin();
        let watched = progress.watch(&*store);
        let files = raw_files(ctx, &watched, stream)?.flat()?;
        let (false, &[first, ..], &[.., last]) = (files.is_empty(), days, days) else {
            return Ok(Self { ctx, stream, source: IngestSource::Days(store) });
        };
        for day in days {
            // Only worth a warning, so a file that cannot be opened is no failure.
            if raw.has_day(*day).unwrap_or(false) {
                tracing::warn!(%day, flat = %files[0].name, "the day's own raw file is not read: the flat file wins");
            }
        }
        let bad_lines = bad_line_writer(ctx, &raw, &files);
        let step = Step::begin(&ctx.meter, "ingest", format_args!("{first}_{}", last.next()?))?;
        let (days, source, bad) = read(ctx, stream, &progress, files, (first, last), bad_lines)?;
        step.end(&source.counts());
        let flat = Flat { days, source: Some(source), bad };
        Ok(Self { ctx, stream, source: IngestSource::Flat(Box::new(flat)) })
    }

    /// Reads one of the days, puts its bad lines into quarantine and checks that it may replace what is there. A day that
    /// cannot be taken is marked as refused.
    fn read(&mut self, day: Day) -> anyhow::Result<ReadDay> {
        self.read_day(day).inspect_err(|error| {
            // The day of a bad line in a flat file is unknown.
            if !matches!(self.source, IngestSource::Flat(_)) {
                refused::mark_not_taken(self.ctx, day, error);
            }
        })
    }

    fn read_day(&mut self, day: Day) -> anyhow::Result<ReadDay> {
        let (rows, mut source, bad) = match &mut self.source {
            IngestSource::Flat(flat) => (flat.days.take(day)?, flat.source.take(), flat.bad.take()),
            IngestSource::Days(store) => {
                let progress = Progress::begin();
                let watched = progress.watch(&**store);
                let raw = raw_files(self.ctx, &watched, self.stream)?;
                let files = raw.day(day)?;
                let bad_lines = bad_line_writer(self.ctx, &raw, &files);
                let (mut days, source, bad) =
                    read(self.ctx, self.stream, &progress, files, (day, day), bad_lines)?;
                (days.take(day)?, Some(source.for_day(day)), bad)
            }
            IngestSource::Linked(input) => {
                // A row is not a line that a producer wrote: one that is malformed is an error in any case.
                let (mut days, source) = read_input(self.ctx, *input, day)?;
                (days.take(day)?, Some(source), None)
            }
        };
        let lines = source.as_ref().map_or(0, |source| source.lines);
        let report = quarantine(self.ctx, self.stream, day, lines, bad)?;
        if let Some(source) = &mut source {
            source.invalid = report;
        }
        let rows = rows.ok_or_else(|| JobError::Usage(format!("day {day} is not one of those opened")))?;
        if let Some(source) = &source {
            self.ctx.measure(self.stream, |metrics| metrics.add_events("foreign", source.foreign));
        }
        let Config { limits, validation, .. } = &self.ctx.config;
        limits.check(Limit::EventsPerRun, rows.len()).map_err(|exceeded| match self.stream {
            Stream::Exposures => exceeded.in_place(format_args!("day {day}")),
            Stream::Outcomes => exceeded.in_place(format_args!("the outcomes of {day}")),
        })?;
        let canonical = self.ctx.canonical().of(self.stream);
        if rows.is_empty() && validation.min_events > 0 && canonical.exists(day)? {
            return Err(Refused::Erasure { day, canonical: canonical.name(day) }.into());
        }
        Ok(ReadDay { rows, source })
    }
}

/// The raw files of a stream. How long they are is only asked where bad lines are set aside.
fn raw_files<'a>(ctx: &'a Context, store: &'a dyn Store, stream: Stream) -> anyhow::Result<Raw<'a>> {
    let raw = Raw::new(store, &ctx.scope)?.of(stream).within(&ctx.budget);
    Ok(if is_strict(ctx) { raw } else { raw.measured() })
}

fn read(
    ctx: &Context,
    stream: Stream,
    progress: &Progress,
    files: Vec<LineFile>,
    (first, last): (Day, Day),
    bad_lines: Option<BadLineWriter>,
) -> anyhow::Result<(Gathered, SourceReport, Option<BadLines>)> {
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    if names.len() > 1 {
        let files = names.join(", ");
        tracing::warn!(
            files,
            "these are read together, as parts of the same data: none must be a copy of another"
        );
    }
    let files = files.into_iter().map(|file| progress.count_lines(file)).collect();
    let reader =
        EventReader { stream, rules: rules(ctx), budget: &ctx.budget, bad_lines: bad_lines.as_ref() };
    match (reader.gather(files, first, last), bad_lines) {
        (Ok((days, counts)), bad_lines) => {
            Ok((days, SourceReport::new(names, counts), bad_lines.map(BadLineWriter::finish)))
        }
        (Err(LinesError::ExceededBound { name, line, why }), Some(bad_lines)) => {
            Err(quarantine::stopped(ctx, stream, first, (name, line, why), &bad_lines.finish()))
        }
        (Err(error), _) => Err(error.into()),
    }
}

fn rules(ctx: &Context) -> Rules<'_> {
    Rules { scope: &ctx.scope, max_id_bytes: ctx.config.limits.max_id_bytes }
}

fn read_input(ctx: &Context, input: &dyn Input, day: Day) -> anyhow::Result<(Gathered, SourceReport)> {
    let source = input.open(&ctx.config, &ctx.scope, day)?;
    let progress = Progress::begin();
    let mut source = progress.count_events(source);
    let reader = EventReader { rules: rules(ctx), ..EventReader::new(&ctx.scope, &ctx.budget) };
    let gathered = reader.gather_from(&mut source, day, day);
    let (days, counts) = gathered.map_err(|error| match error {
        // A database says by itself what it was asked for.
        LinesError::Store(StoreError { action, target, source }) => source
            .downcast::<DatabaseError>()
            .map_or_else(|source| StoreError { action, target, source }.into(), anyhow::Error::from),
        error => error.into(),
    })?;
    let report = SourceReport::new(vec![source.name().to_owned()], counts).for_day(day);
    Ok((days, SourceReport { table: source.rows(), ..report }))
}
