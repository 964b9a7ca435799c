//! Canonical data → staged artifacts.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;

use rayon::prelude::*;
use recsys_core::artifact::{ArtifactKey, Draft, Encoded, Inputs, Kind, Source};
use recsys_core::canonical::DayRows;
use recsys_core::domain::id::Segment;
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::{Day, Window, ranges};
use recsys_core::input::catalog::Catalog;
use recsys_core::table::events::{EventTable, TableError};
use serde::Serialize;

use crate::pipeline::context::Context;
use crate::pipeline::refused;
use crate::pipeline::window_hashes::{WindowHash, WindowHashes, streams};
use crate::shell::cli::ArtifactArgs;
use crate::shell::error::JobError;
use crate::watch::metrics::{Artifact, Record};
use crate::watch::progress::{Building, Progress};
use crate::watch::step::{Counts, Report, Step};

/// What became of an artifact until it was staged. It accompanies the artifact, and each step adds what it knows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ArtifactReport {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<Segment>,
    window: Window,
    version: String,
    /// Rows of the outermost list.
    rows: u64,
    /// Size of the document; 0 while it is a draft.
    bytes: u64,
    /// The file; empty until it is staged.
    staged: String,
    /// Days of the window without canonical data.
    empty_days: Vec<Day>,
    /// Days of the window that a gate has refused; the artifact is built without what was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused_days: Vec<Day>,
    /// Sessions left out because they hold more than `max_items_per_session` items.
    skipped_sessions: u64,
}

impl ArtifactReport {
    /// What is unusual about the artifact, as a line of the summary.
    pub(crate) fn notes(&self) -> Option<String> {
        let mut notes = Vec::new();
        if self.skipped_sessions > 0 {
            notes.push(format!("{} oversized sessions skipped", self.skipped_sessions));
        }
        if !self.empty_days.is_empty() {
            notes.push(format!("no canonical data for {}", ranges(&self.empty_days)));
        }
        if !self.refused_days.is_empty() {
            notes.push(format!("built without what a gate refused of {}", ranges(&self.refused_days)));
        }
        (!notes.is_empty()).then(|| format!("  {:<12} {}", self.kind, notes.join(", ")))
    }
}

impl Report for ArtifactReport {
    fn measure(&self, record: &mut Record) {
        let Self { kind, rows: items, bytes, skipped_sessions, .. } = *self;
        // The other kinds skip none.
        let skipped_sessions = (kind == Kind::Cooc).then_some(skipped_sessions);
        record.set_artifact(kind, Artifact { items, bytes, skipped_sessions });
    }
}

impl fmt::Display for ArtifactReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, rows, staged, .. } = self;
        write!(f, "  {kind:<12} {rows} rows, {staged}")
    }
}

/// Canonical days in memory: those that were just ingested, and those that a window reaches back to.
#[derive(Debug, Default)]
pub(crate) struct Days {
    exposures: BTreeMap<Day, Loaded>,
    /// Empty unless outcomes count.
    outcomes: BTreeMap<Day, Loaded>,
    /// Those that have passed their gates in this process.
    passed: BTreeSet<Day>,
}

#[derive(Debug)]
struct Loaded {
    /// The events; none when the day has no canonical file.
    rows: Option<DayRows>,
    /// The hash of the day's file, once it is known.
    hash: Option<String>,
}

impl Days {
    fn of(&self, stream: Stream) -> &BTreeMap<Day, Loaded> {
        match stream {
            Stream::Exposures => &self.exposures,
            Stream::Outcomes => &self.outcomes,
        }
    }

    fn of_mut(&mut self, stream: Stream) -> &mut BTreeMap<Day, Loaded> {
        match stream {
            Stream::Exposures => &mut self.exposures,
            Stream::Outcomes => &mut self.outcomes,
        }
    }

    /// Keeps a day that was just ingested, and whose file may still be on its way to the disk.
    pub(crate) fn insert(&mut self, rows: &DayRows) {
        self.passed.insert(rows.day);
        let loaded = (!rows.is_empty()).then(|| rows.clone());
        self.of_mut(rows.stream).insert(rows.day, Loaded { rows: loaded, hash: None });
    }

    /// Takes out the days before `day`. To drop them takes a while, so the caller chooses the thread.
    pub(crate) fn take_before(&mut self, day: Day) -> Self {
        let (exposures, outcomes) = (self.exposures.split_off(&day), self.outcomes.split_off(&day));
        let passed = self.passed.split_off(&day);
        std::mem::replace(self, Self { exposures, outcomes, passed })
    }

    /// Reads the days of a window that are not in memory.
    fn load(&mut self, ctx: &Context, stream: Stream, window: Window) -> anyhow::Result<()> {
        for day in window.days() {
            if let Entry::Vacant(entry) = self.of_mut(stream).entry(day) {
                let progress = Progress::begin();
                let watched = progress.watch_lines(&*ctx.canonical);
                let canonical = ctx.canonical_in(&watched).of(stream);
                let (rows, hash) = canonical.load(day, &ctx.budget)?.unzip();
                if stream == Stream::Exposures {
                    refused::check_in_place(ctx, window, day, hash.as_deref())?;
                }
                entry.insert(Loaded { rows, hash });
                self.keep_to_the_budget(ctx)?;
            }
        }
        Ok(())
    }

    /// The days of a window that is loaded.
    fn rows(&self, stream: Stream, window: Window) -> impl Iterator<Item = (Day, Option<&DayRows>)> {
        window.days().map(move |day| (day, self.of(stream)[&day].rows.as_ref()))
    }

    /// Moves the events of days to the temporary file, the earliest first, until the rest fits in memory. Their distinct
    /// strings stay, and must fit.
    pub(crate) fn keep_to_the_budget(&mut self, ctx: &Context) -> anyhow::Result<()> {
        let days = || self.exposures.values().chain(self.outcomes.values());
        let strings = days().filter_map(|loaded| loaded.rows.as_ref()).map(DayRows::strings_bytes).sum();
        ctx.budget.strings("the distinct strings of the days of a window").add(strings)?;
        let mut bytes: usize =
            days().filter_map(|loaded| loaded.rows.as_ref()).map(DayRows::bytes_in_memory).sum();
        let days = self.exposures.values_mut().chain(self.outcomes.values_mut());
        for rows in days.filter_map(|loaded| loaded.rows.as_mut()) {
            if bytes <= ctx.budget.events() {
                break;
            }
            let own = rows.bytes_in_memory();
            if own > 0 {
                *rows = rows.spilled(&ctx.budget)?;
                bytes -= own;
            }
        }
        Ok(())
    }

    /// The hash of the canonical bytes that a kind is built from. That of one day's exposures may be known;
    /// others are read again, and must still be what was built from.
    fn source_hash(
        &self,
        ctx: &Context,
        hashes: &mut WindowHashes,
        kind: Kind,
        window: Window,
    ) -> anyhow::Result<String> {
        let mut days = window.days();
        if let ([Stream::Exposures], Some(Loaded { hash: Some(hash), .. }), None) =
            (streams(ctx, kind), days.next().and_then(|day| self.exposures.get(&day)), days.next())
        {
            return Ok(hash.clone());
        }
        let WindowHash { hash, files } = hashes.get(ctx, kind, window)?;
        for stream in streams(ctx, kind) {
            let changed = |day: &Day| match &self.of(*stream)[day] {
                Loaded { rows: Some(_), hash } => hash.as_ref() != files.get(&(*stream, *day)),
                Loaded { rows: None, .. } => files.contains_key(&(*stream, *day)),
            };
            if let Some(day) = window.days().find(changed) {
                return Err(JobError::Changed(day).into());
            }
        }
        Ok(hash.clone())
    }

    /// Notes the hash of a day's file.
    pub(crate) fn set_hash(&mut self, stream: Stream, day: Day, hash: &str) {
        if let Some(loaded) = self.of_mut(stream).get_mut(&day) {
            loaded.hash = Some(hash.to_owned());
        }
    }
}

/// What to build.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) kinds: &'a [Kind],
    pub(crate) args: &'a ArtifactArgs,
    /// Empty unless a kind is built from the catalogue.
    pub(crate) catalog: &'a Catalog,
}

impl Plan<'_> {
    /// The key of a kind's artifact for a day.
    pub(crate) fn key(&self, ctx: &Context, kind: Kind, day: Day) -> anyhow::Result<ArtifactKey> {
        artifact_key(ctx, self.args, kind, day)
    }

    /// Whether any of the kinds counts outcomes.
    pub(crate) fn counts_outcomes(&self, ctx: &Context) -> bool {
        self.kinds.iter().any(|kind| streams(ctx, *kind).contains(&Stream::Outcomes))
    }

    /// The first day that the windows of `day` reach back to.
    pub(crate) fn first_day(&self, ctx: &Context, day: Day) -> anyhow::Result<Day> {
        self.kinds
            .iter()
            .try_fold(day, |first, kind| Ok(first.min(self.key(ctx, *kind, day)?.window.start())))
    }
}

/// The key of a kind's artifact for a day.
pub(crate) fn artifact_key(
    ctx: &Context,
    args: &ArtifactArgs,
    kind: Kind,
    day: Day,
) -> anyhow::Result<ArtifactKey> {
    let days = args.window_days.or_else(|| ctx.config.window_days.get(&kind).copied());
    let window = Window::ending_with(day, days.map_or(1, NonZeroU32::get))?;
    Ok(ArtifactKey { kind, scope: ctx.scope.clone(), segment: args.segment.clone(), window })
}

impl Report for [(Draft, ArtifactReport)] {
    fn counts(&self) -> Counts {
        let rows = self.iter().map(|(_, report)| report.rows).sum();
        Counts { artifacts: Some(self.len() as u64), rows: Some(rows), ..Counts::default() }
    }
}

/// Builds the artifacts of a day. Kinds with the same window share one table.
pub(crate) fn build(
    ctx: &Context,
    plan: &Plan<'_>,
    days: &mut Days,
    day: Day,
) -> anyhow::Result<Vec<(Draft, ArtifactReport)>> {
    let mut by_window: BTreeMap<Window, Vec<ArtifactKey>> = BTreeMap::new();
    for kind in plan.kinds {
        let key = plan.key(ctx, *kind, day)?;
        by_window.entry(key.window).or_default().push(key);
    }
    // All end with the same day, so the first is the widest.
    let step = by_window.keys().next().map(|widest| Step::begin(&ctx.meter, "build", widest)).transpose()?;
    let mut artifacts = Vec::new();
    for (window, keys) in by_window {
        artifacts.extend(build_window(ctx, plan, days, window, &keys)?);
    }
    if let Some(step) = step {
        step.end(&artifacts[..]);
    }
    artifacts.sort_by_key(|(_, report)| plan.kinds.iter().position(|kind| *kind == report.kind));
    Ok(artifacts)
}

fn build_window(
    ctx: &Context,
    plan: &Plan<'_>,
    days: &mut Days,
    window: Window,
    keys: &[ArtifactKey],
) -> anyhow::Result<Vec<(Draft, ArtifactReport)>> {
    let limits = &ctx.config.limits;
    let mut events = EventTable::default();
    let (mut empty_days, mut refused_days) = (Vec::new(), Vec::new());
    let mut fit_in_memory = true;
    if keys.iter().any(|key| key.kind.source() == Source::Events) {
        refused_days = refused::excluded(ctx, window, &days.passed)?;
        if !refused_days.is_empty() {
            let days = ranges(&refused_days);
            tracing::warn!(%window, days, "refused by a gate; built without what was refused");
        }
        let counts_outcomes = keys.iter().any(|key| streams(ctx, key.kind).contains(&Stream::Outcomes));
        days.load(ctx, Stream::Exposures, window)?;
        if counts_outcomes {
            days.load(ctx, Stream::Outcomes, window)?;
        }
        let loaded: Vec<_> = days.rows(Stream::Exposures, window).collect();
        let is_empty = |(day, rows): &&(Day, Option<&DayRows>)| rows.is_none() && !refused_days.contains(day);
        empty_days = loaded.iter().filter(is_empty).map(|(day, _)| *day).collect();
        let rows: Vec<&DayRows> = loaded.into_iter().filter_map(|(_, rows)| rows).collect();
        let outcomes: Vec<&DayRows> = if counts_outcomes {
            days.rows(Stream::Outcomes, window).filter_map(|(_, rows)| rows).collect()
        } else {
            Vec::new()
        };
        fit_in_memory = rows.iter().chain(&outcomes).all(|rows| rows.bytes_in_memory() > 0);
        if let Some(segment) = &plan.args.segment
            && !rows.iter().any(|day| day.has_segment(segment))
        {
            tracing::warn!(%segment, %window, "no event of the segment; only those without one are taken");
        }
        let failed = |error| no_table(window, error);
        let segment = plan.args.segment.as_ref();
        events = EventTable::new(&rows, segment, limits).map_err(failed)?;
        if keys.iter().any(|key| key.kind.weighs()) {
            events.weigh(ctx.config.weights, &rows, &outcomes, segment, limits).map_err(failed)?;
        }
        if !empty_days.is_empty() {
            let days = ranges(&empty_days);
            tracing::warn!(%window, days, "no canonical data for some days; they count as empty");
        }
    }
    let kinds: Vec<Kind> = keys.iter().map(|key| key.kind).collect();
    let _building = Building::begin(&kinds);
    let one = |key: &ArtifactKey| {
        let kind = key.kind;
        let inputs = Inputs { events: &events, catalog: plan.catalog, budget: &ctx.budget };
        let (draft, skipped_sessions) = Draft::build(key, &inputs, limits)?;
        if skipped_sessions > 0 {
            tracing::warn!(%kind, skipped_sessions, "oversized sessions left out");
        }

        let (empty_days, refused_days) = match kind.source() {
            Source::Events => (empty_days.clone(), refused_days.clone()),
            Source::Catalog => (Vec::new(), Vec::new()),
        };
        let report = ArtifactReport {
            kind,
            segment: key.segment.clone(),
            window,
            version: draft.version.clone(),
            rows: draft.rows,
            bytes: 0,
            staged: String::new(),
            empty_days,
            refused_days,
            skipped_sessions,
        };
        Ok((draft, report))
    };
    if !fit_in_memory {
        // The content of each kind is then large, too: one at a time.
        return keys.iter().map(one).collect();
    }
    // The first failure in the order of kinds, whichever thread fails first.
    keys.par_iter().map(one).collect::<Vec<_>>().into_iter().collect()
}

/// Completes the artifacts of a day. The canonical data of a window of several days must be in place by now.
pub(crate) fn complete(
    ctx: &Context,
    plan: &Plan<'_>,
    days: &Days,
    built: Vec<(Draft, ArtifactReport)>,
) -> anyhow::Result<Vec<(Encoded, ArtifactReport)>> {
    let mut hashes = WindowHashes::default();
    let one = |(draft, mut report): (Draft, ArtifactReport)| {
        let kind = report.kind;
        let source_hash = match kind.source() {
            Source::Catalog => plan.catalog.source_hash.clone(),
            Source::Events => days.source_hash(ctx, &mut hashes, kind, report.window)?,
        };
        let encoded = draft.finish(&ctx.clock.now().to_string(), &source_hash);
        let limits = &ctx.config.limits;
        limits.check_artifact_bytes(encoded.bytes.len()).map_err(|exceeded| exceeded.in_place(kind))?;
        report.bytes = encoded.descriptor.bytes;
        ctx.meter.add(&report);
        Ok((encoded, report))
    };
    built.into_iter().map(one).collect()
}

/// Stages an artifact, and notes where in its report.
pub(crate) fn stage(
    ctx: &Context,
    artifact: &Encoded,
    mut report: ArtifactReport,
) -> anyhow::Result<ArtifactReport> {
    report.staged = ctx.staging().put(artifact)?;
    tracing::info!(kind = %report.kind, window = %report.window, version = %report.version, "staged");
    Ok(report)
}

/// Why there is no table of a window.
pub(crate) fn no_table(window: Window, error: TableError) -> anyhow::Error {
    match error {
        TableError::Limit(exceeded) => exceeded.in_place(format_args!("window {window}")).into(),
        TableError::Heavy(source) => JobError::Heavy { window, source }.into(),
        TableError::Temporary(error) => error.into(),
    }
}
