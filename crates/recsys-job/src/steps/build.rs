//! Canonical data → staged artifacts.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use rayon::prelude::*;
use recsys_core::artifact::{ArtifactKey, Inputs, Kind, Source, encode};
use recsys_core::canonical::DayRows;
use recsys_core::catalog::Catalog;
use recsys_core::events::EventTable;
use recsys_core::id::Segment;
use recsys_core::staging::Staged;
use recsys_core::window::{Day, Window};
use serde::Serialize;

use crate::cli::ArtifactArgs;
use crate::context::Context;
use crate::error::JobError;

/// A staged artifact.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ArtifactReport {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<Segment>,
    window: Window,
    version: String,
    /// Rows of the outermost list.
    rows: u64,
    bytes: u64,
    /// The file.
    staged: String,
    /// Days of the window without canonical data.
    empty_days: Vec<Day>,
    /// Sessions left out because they hold more than `max_items_per_session` items.
    skipped_sessions: u64,
}

impl fmt::Display for ArtifactReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, rows, staged, .. } = self;
        write!(f, "  {kind:<12} {rows} rows, {staged}")?;
        if self.skipped_sessions > 0 {
            write!(f, ", {} oversized sessions skipped", self.skipped_sessions)?;
        }
        if !self.empty_days.is_empty() {
            let days: Vec<String> = self.empty_days.iter().map(Day::to_string).collect();
            write!(f, ", no data for {}", days.join(" "))?;
        }
        Ok(())
    }
}

/// An artifact that was built and staged.
#[derive(Debug)]
pub(crate) struct BuiltArtifact {
    pub(crate) key: ArtifactKey,
    pub(crate) staged: Staged,
    pub(crate) report: ArtifactReport,
}

/// Canonical days in memory: those that were just ingested, and those that a window reaches back to.
#[derive(Debug, Default)]
pub(crate) struct Days(BTreeMap<Day, Option<(DayRows, String)>>);

impl Days {
    /// Keeps a day that was just ingested.
    pub(crate) fn insert(&mut self, rows: DayRows, hash: String) {
        let day = (!rows.rows.is_empty()).then_some((rows.day, (rows, hash)));
        if let Some((day, rows)) = day {
            self.0.insert(day, Some(rows));
        }
    }

    /// Forgets the days that no window from `day` on reaches back to.
    pub(crate) fn forget_before(&mut self, day: Day) {
        self.0 = self.0.split_off(&day);
    }

    /// The days of a window, from memory where they are there.
    pub(crate) fn load(&mut self, ctx: &Context, window: Window) -> Result<Vec<Option<&DayRows>>, JobError> {
        for day in window.days() {
            if let std::collections::btree_map::Entry::Vacant(e) = self.0.entry(day) {
                e.insert(ctx.canonical().load(day)?);
            }
        }
        Ok(window.days().map(|day| self.0[&day].as_ref().map(|(rows, _)| rows)).collect())
    }

    /// The hash of the window's canonical bytes. One day's is known; those of several days are read again.
    fn source_hash(&self, ctx: &Context, window: Window) -> Result<String, JobError> {
        let mut days = window.days();
        match (days.next().and_then(|day| self.0.get(&day)), days.next()) {
            (Some(Some((_, hash))), None) => Ok(hash.clone()),
            _ => Ok(ctx.canonical().window_hash(window)?),
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
    pub(crate) fn key(&self, ctx: &Context, kind: Kind, day: Day) -> Result<ArtifactKey, JobError> {
        artifact_key(ctx, self.args, kind, day)
    }

    /// The first day that the windows of `day` reach back to.
    pub(crate) fn first_day(&self, ctx: &Context, day: Day) -> Result<Day, JobError> {
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
) -> Result<ArtifactKey, JobError> {
    let days = args.window_days.or_else(|| ctx.config.window_days.get(&kind).copied());
    let window = Window::ending_with(day, days.map_or(1, NonZeroU32::get))?;
    Ok(ArtifactKey { kind, scope: ctx.scope.clone(), segment: args.segment.clone(), window })
}

/// Builds and stages the artifacts of a day. Kinds with the same window share one table.
pub(crate) fn build(
    ctx: &Context,
    plan: &Plan<'_>,
    days: &mut Days,
    day: Day,
) -> Result<Vec<BuiltArtifact>, JobError> {
    let mut by_window: BTreeMap<Window, Vec<ArtifactKey>> = BTreeMap::new();
    for kind in plan.kinds {
        let key = plan.key(ctx, *kind, day)?;
        by_window.entry(key.window).or_default().push(key);
    }
    let mut artifacts = Vec::new();
    for (window, keys) in by_window {
        artifacts.extend(build_window(ctx, plan, days, window, &keys)?);
    }
    artifacts.sort_by_key(|artifact| plan.kinds.iter().position(|kind| *kind == artifact.key.kind));
    Ok(artifacts)
}

fn build_window(
    ctx: &Context,
    plan: &Plan<'_>,
    days: &mut Days,
    window: Window,
    keys: &[ArtifactKey],
) -> Result<Vec<BuiltArtifact>, JobError> {
    let limits = &ctx.config.limits;
    let mut events = EventTable::default();
    let mut source_hash = String::new();
    let mut empty_days = Vec::new();
    if keys.iter().any(|key| key.kind.source() == Source::Events) {
        let loaded = days.load(ctx, window)?;
        empty_days =
            window.days().zip(&loaded).filter(|(_, rows)| rows.is_none()).map(|(day, _)| day).collect();
        let rows: Vec<&DayRows> = loaded.into_iter().flatten().collect();
        events = EventTable::new(&rows, plan.args.segment.as_ref(), limits)
            .map_err(|exceeded| exceeded.in_place(format_args!("window {window}")))?;
        source_hash = days.source_hash(ctx, window)?;
        for day in &empty_days {
            tracing::warn!(%day, %window, "no canonical data; the day counts as empty");
        }
    }
    let one = |key: &ArtifactKey| {
        let kind = key.kind;
        let (source_hash, empty_days) = match kind.source() {
            Source::Events => (&source_hash, empty_days.clone()),
            Source::Catalog => (&plan.catalog.source_hash, Vec::new()),
        };
        let built = kind.build(&Inputs { events: &events, catalog: plan.catalog }, limits)?;
        if built.skipped_sessions > 0 {
            tracing::warn!(%kind, skipped_sessions = built.skipped_sessions, "oversized sessions left out");
        }
        let rows = built.payload.len() as u64;
        let encoded = encode(key, &built.payload, &ctx.clock.now().to_string(), source_hash);
        limits.check_artifact_bytes(encoded.bytes.len()).map_err(|exceeded| exceeded.in_place(kind))?;
        let staged = ctx.staging().put(key, encoded)?;
        tracing::info!(%kind, %window, rows, version = %staged.version, "staged");
        let report = ArtifactReport {
            kind,
            segment: key.segment.clone(),
            window,
            version: staged.version.clone(),
            rows,
            bytes: staged.bytes.len() as u64,
            staged: staged.name.clone(),
            empty_days,
            skipped_sessions: built.skipped_sessions,
        };
        Ok(BuiltArtifact { key: key.clone(), staged, report })
    };
    // The first failure in the order of kinds, whichever thread fails first.
    keys.par_iter().map(one).collect::<Vec<_>>().into_iter().collect()
}
