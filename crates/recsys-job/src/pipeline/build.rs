//! Canonical data → staged artifacts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use rayon::prelude::*;
use recsys_core::artifact::{
    ArtifactKey, BuildCounts, BuiltFrom, Draft, Encoded, Fitting, Inputs, Kind, ModelInputs,
};
use recsys_core::canonical::DayRows;
use recsys_core::domain::id::Segment;
use recsys_core::domain::models::Side;
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::{Day, Window, ranges};
use recsys_core::input::catalog::Catalog;
use recsys_core::table::events::{EventTable, TableError};
use recsys_core::table::{BasisTable, WindowCache, WindowDays};
use serde::Serialize;

use crate::config::Config;
use crate::pipeline::context::Context;
use crate::pipeline::refused;
use crate::shell::cli::ArtifactArgs;
use crate::shell::error::JobError;
use crate::watch::progress::{Progress, building};
use crate::watch::step::{Step, StepCounts};

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
    /// Units of the model that have more than `basis.max_items` items, of which the newest count.
    #[serde(skip_serializing_if = "is_zero")]
    trimmed_units: u64,
    /// Lists that popular items fill.
    #[serde(skip_serializing_if = "is_zero")]
    filled_lists: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl ArtifactReport {
    /// What is unusual about the artifact, as a line of the summary.
    pub(crate) fn notes(&self) -> Option<String> {
        let mut notes = Vec::new();
        if self.skipped_sessions > 0 {
            notes.push(format!("{} oversized sessions skipped", self.skipped_sessions));
        }
        if self.trimmed_units > 0 {
            notes.push(format!("{} oversized units trimmed to their newest items", self.trimmed_units));
        }
        if self.filled_lists > 0 {
            notes.push(format!("{} short lists filled with popular items", self.filled_lists));
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

impl fmt::Display for ArtifactReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, rows, staged, .. } = self;
        write!(f, "  {kind:<12} {rows} rows, {staged}")
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
    /// Whether any of the kinds counts outcomes.
    pub(crate) fn counts_outcomes(&self, ctx: &Context) -> bool {
        self.kinds.iter().any(|kind| ctx.streams(*kind).contains(&Stream::Outcomes))
    }

    /// The first day that the windows of `day` reach back to.
    pub(crate) fn first_day(&self, ctx: &Context, day: Day) -> anyhow::Result<Day> {
        let mut first = day;
        for kind in self.kinds {
            first = first.min(artifact_key(ctx, self.args, *kind, day)?.window.start());
        }
        Ok(first)
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

/// Builds the artifacts of a day. Kinds with the same window share one table.
pub(crate) fn build(
    ctx: &Context,
    plan: &Plan<'_>,
    cache: &mut WindowCache,
    day: Day,
) -> anyhow::Result<Vec<(Draft, ArtifactReport)>> {
    let mut by_window: BTreeMap<Window, Vec<ArtifactKey>> = BTreeMap::new();
    for kind in plan.kinds {
        let key = artifact_key(ctx, plan.args, *kind, day)?;
        by_window.entry(key.window).or_default().push(key);
    }
    // All end with the same day, so the first is the widest.
    let step = by_window.keys().next().map(|widest| Step::begin(&ctx.meter, "build", widest)).transpose()?;
    let mut artifacts = Vec::new();
    for (window, keys) in by_window {
        artifacts.extend(build_window(ctx, plan, cache, window, &keys)?);
    }
    if let Some(step) = step {
        let rows = artifacts.iter().map(|(_, report)| report.rows).sum();
        let artifacts = Some(artifacts.len() as u64);
        step.end(&StepCounts { artifacts, rows: Some(rows), ..StepCounts::default() });
    }
    artifacts.sort_by_key(|(_, report)| plan.kinds.iter().position(|kind| *kind == report.kind));
    Ok(artifacts)
}

/// The events of a window, and what it is built without.
#[derive(Default)]
struct Events<'c> {
    table: EventTable,
    exposures: Vec<&'c DayRows>,
    outcomes: Vec<&'c DayRows>,
    fit_in_memory: bool,
    empty_days: Vec<Day>,
    refused_days: Vec<Day>,
}

impl<'c> Events<'c> {
    /// Reads what is not in memory of the window of `keys`.
    fn load(
        ctx: &Context,
        plan: &Plan<'_>,
        cache: &'c mut WindowCache,
        window: Window,
        keys: &[ArtifactKey],
    ) -> anyhow::Result<Self> {
        let refused_days = refused::excluded(ctx, window, |day| cache.is_new(day))?;
        if !refused_days.is_empty() {
            let days = ranges(&refused_days);
            tracing::warn!(%window, days, "refused by a gate; built without what was refused");
        }
        let streams = keys.iter().map(|key| ctx.streams(key.kind)).max().unwrap_or_default();
        for stream in streams {
            cache.load(*stream, window, &ctx.budget, |day| {
                let progress = Progress::begin();
                let watched = progress.watch_lines(&*ctx.canonical);
                let read = ctx.canonical_in(&watched).of(*stream).load(day, &ctx.budget)?;
                if *stream == Stream::Exposures {
                    let hash = read.as_ref().map(|(_, hash)| hash.as_str());
                    refused::check_in_place(ctx, window, day, hash)?;
                }
                Ok::<_, anyhow::Error>(read)
            })?;
        }
        let cache = &*cache;
        let rows = |stream| {
            let days = streams.contains(&stream).then(|| cache.rows(stream, window));
            days.into_iter().flatten().filter_map(|(_, rows)| rows).collect()
        };
        let (exposures, outcomes): (Vec<&DayRows>, Vec<_>) =
            (rows(Stream::Exposures), rows(Stream::Outcomes));
        let segment = plan.args.segment.as_ref();
        if let Some(segment) = segment
            && !exposures.iter().any(|day| day.has_segment(segment))
        {
            tracing::warn!(%segment, %window, "no event of the segment; only those without one are taken");
        }
        let Config { limits, weights, .. } = &ctx.config;
        let failed = |error| no_table(window, error);
        let mut table = EventTable::new(&exposures, segment, limits).map_err(failed)?;
        if keys.iter().any(|key| key.kind.weighs()) {
            table.weigh(*weights, &exposures, &outcomes, segment, limits).map_err(failed)?;
        }
        if let Some(half_life_days) = ctx.config.models.popularity.half_life_days
            && keys.iter().any(|key| key.kind == Kind::Popularity)
        {
            let days = WindowDays { window, exposures: &exposures, outcomes: &outcomes, segment };
            table.fade(half_life_days, *weights, &days, limits).map_err(failed)?;
        }
        let days = cache.rows(Stream::Exposures, window);
        let empty_days = days.filter(|(day, rows)| rows.is_none() && !refused_days.contains(day));
        let empty_days: Vec<Day> = empty_days.map(|(day, _)| day).collect();
        if !empty_days.is_empty() {
            let days = ranges(&empty_days);
            tracing::warn!(%window, days, "no canonical data for some days; they count as empty");
        }
        let fit_in_memory = exposures.iter().chain(&outcomes).all(|rows| rows.bytes_in_memory() > 0);
        Ok(Self { table, exposures, outcomes, fit_in_memory, empty_days, refused_days })
    }

    /// What the model of an artifact is made from; none for a baseline.
    fn model(
        &self,
        ctx: &Context,
        plan: &Plan<'_>,
        key: &ArtifactKey,
    ) -> anyhow::Result<Option<ModelInputs>> {
        let Some(kind) = key.kind.of_model() else { return Ok(None) };
        let Some(model) = ctx.config.model(key.kind)? else { return Ok(None) };
        let Config { limits, weights, .. } = &ctx.config;
        let days = WindowDays {
            window: key.window,
            exposures: &self.exposures,
            outcomes: &self.outcomes,
            segment: key.segment.as_ref(),
        };
        let events = BasisTable::new(&model, kind, *weights, &days, limits);
        let events = events.map_err(|error| no_table(key.window, error))?;
        let inputs = ModelInputs::new(model, events, plan.catalog);
        if let Some(items) = inputs.all_filtered() {
            return Err(JobError::Refused(format!(
                "models.{kind}.filters leave none of the {items} items of window {}; compare the ids and tags of the \
                 catalogue with those of the events, or take the filters out",
                key.window
            ))
            .into());
        }
        Ok(Some(inputs))
    }
}

fn build_window(
    ctx: &Context,
    plan: &Plan<'_>,
    cache: &mut WindowCache,
    window: Window,
    keys: &[ArtifactKey],
) -> anyhow::Result<Vec<(Draft, ArtifactReport)>> {
    let events = if keys.iter().any(|key| key.kind.built_from() == BuiltFrom::Events) {
        Events::load(ctx, plan, cache, window, keys)?
    } else {
        Events { fit_in_memory: true, ..Events::default() }
    };
    let kinds: Vec<Kind> = keys.iter().map(|key| key.kind).collect();
    let _building = building(&kinds);
    let one = |key: &ArtifactKey| {
        let kind = key.kind;
        let model = events.model(ctx, plan, key)?;
        let inputs = Inputs {
            events: &events.table,
            catalog: plan.catalog,
            budget: &ctx.budget,
            model: model.as_ref(),
        };
        let (draft, counts) = Draft::build(key, &inputs, &ctx.config.limits)?;
        let BuildCounts { skipped_sessions, trimmed_units, filled_lists } = counts;
        if skipped_sessions > 0 {
            tracing::warn!(%kind, skipped_sessions, "oversized sessions left out");
        }
        if trimmed_units > 0 {
            tracing::warn!(%kind, trimmed_units, "oversized units trimmed to their newest items");
        }
        let days =
            |days: &Vec<Day>| if kind.built_from() == BuiltFrom::Events { days.clone() } else { Vec::new() };
        let report = ArtifactReport {
            kind,
            segment: key.segment.clone(),
            window,
            version: draft.version.clone(),
            rows: draft.rows,
            bytes: 0,
            staged: String::new(),
            empty_days: days(&events.empty_days),
            refused_days: days(&events.refused_days),
            skipped_sessions,
            trimmed_units,
            filled_lists,
        };
        Ok((draft, report))
    };
    if !events.fit_in_memory {
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
    cache: &WindowCache,
    built: Vec<(Draft, ArtifactReport)>,
) -> anyhow::Result<Vec<(Encoded, ArtifactReport)>> {
    let mut hashes = ctx.source_hashes();
    let one = |(draft, mut report): (Draft, ArtifactReport)| {
        let kind = report.kind;
        let source_hash = match kind.built_from() {
            BuiltFrom::Catalog => plan.catalog.source_hash.clone(),
            BuiltFrom::Events => cache.source_hash(&mut hashes, ctx.streams(kind), report.window)?,
        };
        let encoded = draft.finish(&ctx.clock.now().to_string(), &source_hash);
        let limits = &ctx.config.limits;
        limits.check_artifact_bytes(encoded.bytes.len()).map_err(|mut exceeded| {
            exceeded.alternative = cut_that_fits(ctx, kind, &encoded.bytes, exceeded.max);
            exceeded.in_place(kind)
        })?;
        report.bytes = encoded.descriptor.bytes;
        // The other kinds skip none.
        let skipped = (kind == Kind::Cooc).then_some(report.skipped_sessions);
        ctx.meter.update(|metrics| metrics.set_artifact(kind, report.rows, report.bytes, skipped));
        Ok((encoded, report))
    };
    built.into_iter().map(one).collect()
}

/// What makes a document fit that is too large, as `, or …`; empty if nothing does.
fn cut_that_fits(ctx: &Context, kind: Kind, document: &[u8], most_bytes: u64) -> Cow<'static, str> {
    let model = ctx.config.model(kind).ok().flatten();
    // Cut by column, a row may have any length.
    if kind == Kind::Cooc && model.is_some_and(|model| model.neighbors_of == Side::Column) {
        return ", or set models.cooc.max_rows".into();
    }
    let artifact = kind.parse(document).ok();
    let most_bytes = usize::try_from(most_bytes).unwrap_or(usize::MAX);
    let fitting = artifact.and_then(|artifact| Fitting::new(&artifact.payload, document.len(), most_bytes));
    fitting.map_or(Cow::Borrowed(""), |fitting| {
        format!(", or lower limits.{} to {}, with which it fits", fitting.setting(), fitting.most).into()
    })
}

/// Builds the artifacts of a day from canonical data that is in place.
pub(crate) fn build_complete(
    ctx: &Context,
    plan: &Plan<'_>,
    cache: &mut WindowCache,
    day: Day,
) -> anyhow::Result<Vec<(Encoded, ArtifactReport)>> {
    let built = build(ctx, plan, cache, day)?;
    complete(ctx, plan, cache, built)
}

/// Stages an artifact. Its report says where.
pub(crate) fn stage(
    ctx: &Context,
    (artifact, report): &(Encoded, ArtifactReport),
) -> anyhow::Result<ArtifactReport> {
    let staged = ctx.staging().put(artifact)?;
    tracing::info!(kind = %report.kind, window = %report.window, version = %report.version, "staged");
    Ok(ArtifactReport { staged, ..report.clone() })
}

/// Why there is no table of a window.
pub(crate) fn no_table(window: Window, error: TableError) -> anyhow::Error {
    match error {
        TableError::Limit(exceeded) => exceeded.in_place(format_args!("window {window}")).into(),
        TableError::Heavy(source) => JobError::Heavy { window, source }.into(),
        error => error.into(),
    }
}
