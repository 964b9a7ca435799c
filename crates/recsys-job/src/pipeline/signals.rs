//! Artifacts → the rows of a day in a database.

use std::fmt;

use bytes::Bytes;
use recsys_core::artifact::{Artifact, ArtifactKey, Encoded, Kind, Payload};
use recsys_core::database::{Emptying, ItemSignal, Mode, PairSignal, SignalTarget, Signals, Written};
use recsys_core::domain::window::{Day, Window};
use recsys_core::publish::Checked;
use recsys_core::staging::{Staged, StagingError};
use recsys_core::table::{SourceHashes, WindowCache};
use recsys_core::threads::interrupt;
use serde::Serialize;

use crate::pipeline::build::{Plan, artifact_key, build_complete};
use crate::pipeline::context::Context;
use crate::pipeline::database::DatabaseTarget;
use crate::shell::cli::ArtifactArgs;
use crate::shell::error::JobError;
use crate::watch::step::{Step, StepCounts};

/// The kinds that become rows.
pub(crate) const KINDS: [Kind; 2] = [Kind::Popularity, Kind::Cooc];

/// What became of the rows of a day in one table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SignalReport {
    day: Day,
    kind: Kind,
    /// The version of the artifact that the rows were taken from.
    version: String,
    source: ArtifactSource,
    #[serde(flatten)]
    written: Written,
}

impl fmt::Display for SignalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, version, source, written, .. } = self;
        let source = match source {
            ArtifactSource::Staged => "staged",
            ArtifactSource::Built => "just built",
        };
        write!(f, "  {:<12} {written}, from {kind} {version:.12} ({source})", "database")
    }
}

/// Says, before signals are written, what their tables cannot.
pub(crate) fn warn_of_segment(args: &ArtifactArgs) {
    if let Some(segment) = &args.segment {
        tracing::warn!(%segment, "the signal tables have no segment: these rows replace those of any other one");
    }
}

/// Where an artifact was found.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum ArtifactSource {
    /// It was staged, and built from the canonical data as it is.
    Staged,
    /// It was built from the canonical data for this purpose, and not staged.
    Built,
}

struct Found {
    key: ArtifactKey,
    bytes: Bytes,
    source: ArtifactSource,
}

/// Makes the rows of a day exactly those of the day's artifacts of `kinds`, in one transaction.
pub(crate) fn write_signals(
    ctx: &Context,
    target: &DatabaseTarget<'_>,
    args: &ArtifactArgs,
    kinds: &[Kind],
    day: Day,
) -> anyhow::Result<Vec<SignalReport>> {
    let step = Step::begin(&ctx.meter, "signals", Window::ending_with(day, 1)?)?;
    let found = artifacts(ctx, args, kinds, day)?;
    let artifacts = found.iter().map(|Found { key, bytes, .. }| {
        let name = || format!("{} of {}", key.kind, key.window);
        key.kind.parse(bytes).map_err(|problem| JobError::Unfit { name: name(), problem: problem.into() })
    });
    let artifacts: Vec<Artifact<'_>> = artifacts.collect::<Result<_, _>>()?;
    let mut signals = Signals { popularity: None, covisit: None };
    for artifact in &artifacts {
        match &artifact.payload {
            Payload::Popularity(items) => {
                let rows =
                    items.iter().map(|item| ItemSignal { item_id: &item.item_id, score: score(item.count) });
                signals.popularity = Some(Box::new(rows));
            }
            Payload::Cooc(rows) => {
                let pairs = rows.iter().flat_map(|row| {
                    row.items.iter().map(|item| PairSignal {
                        item_id: &row.item_id,
                        neighbor_id: &item.item_id,
                        score: score(item.count),
                    })
                });
                signals.covisit = Some(Box::new(pairs));
            }
            Payload::Implicit(_) | Payload::ContentSim(_) | Payload::SessionSeq(_) => {}
        }
    }
    // Late, because a connection that waits for a build may be cut off.
    let is_empty = artifacts.iter().all(|artifact| artifact.payload.is_empty());
    // No tenant is created for nothing: it may be a slip of the pen.
    let mode = if is_empty { Mode::DryRun } else { Mode::Write };
    let (mut database, tenant) = target.connect(mode)?;
    let emptying = if ctx.config.validation.min_events == 0 { Emptying::Allowed } else { Emptying::Refused };
    let namespace = ctx.scope.surface.as_str();
    let rows = SignalTarget { tenant: &tenant, namespace, day, emptying };
    interrupt::check()?;
    let written = database.replace_signals(rows, signals)?;
    let reports = found.iter().zip(&artifacts).filter_map(|(found, artifact)| {
        let kind = found.key.kind;
        let written = if kind == Kind::Popularity { written.popularity } else { written.covisit };
        let (version, source) = (artifact.build.version.clone(), found.source);
        Some(SignalReport { day, kind, version, source, written: written? })
    });
    let reports: Vec<SignalReport> = reports.collect();
    for SignalReport { kind, version, written, .. } in &reports {
        tracing::info!(%day, %kind, version, %written, "signals written");
    }
    step.end(&StepCounts { artifacts: Some(reports.len() as u64), ..StepCounts::default() });
    Ok(reports)
}

/// The artifacts of the day: those that are staged and still say what the canonical data does, the others
/// built.
fn artifacts(ctx: &Context, args: &ArtifactArgs, kinds: &[Kind], day: Day) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let mut hashes = ctx.source_hashes();
    for kind in kinds {
        let key = artifact_key(ctx, args, *kind, day)?;
        match staged(ctx, &key, &mut hashes)? {
            Some(bytes) => found.push(Found { key, bytes, source: ArtifactSource::Staged }),
            None => missing.push(*kind),
        }
    }
    let catalog = ctx.catalog_of(&missing)?;
    let plan = Plan { kinds: &missing, args, catalog: &catalog };
    for (Encoded { descriptor, bytes }, _) in build_complete(ctx, &plan, &mut WindowCache::default(), day)? {
        found.push(Found { key: descriptor.key, bytes, source: ArtifactSource::Built });
    }
    Ok(found)
}

/// The document that is staged, if it can be used.
fn staged(ctx: &Context, key: &ArtifactKey, hashes: &mut SourceHashes<'_>) -> anyhow::Result<Option<Bytes>> {
    let Staged { name, version, bytes, .. } = match ctx.staging().current(key, &ctx.config.limits) {
        Ok(Some(staged)) => staged,
        Ok(None) => return Ok(None),
        Err(StagingError::Store(error)) => return Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "what is staged cannot be used; building it");
            return Ok(None);
        }
    };
    // Also what is whole may not be of use: lists cut longer than the limits are now.
    let checked = match Checked::new(key, &version, bytes, &ctx.config.limits) {
        Ok(checked) => checked,
        Err(error) => {
            tracing::warn!(name, %error, "what is staged cannot be used; building it");
            return Ok(None);
        }
    };
    if checked.descriptor.build.source_hash != hashes.get(ctx.streams(key.kind), key.window)?.hash {
        tracing::info!(name, "the canonical data is not what this was built from any more; building it");
        return Ok(None);
    }
    Ok(Some(checked.bytes))
}

#[allow(clippy::cast_precision_loss, reason = "no count that fits the column reaches 2^53")]
fn score(count: u64) -> f64 {
    count as f64
}
