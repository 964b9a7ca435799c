//! Staged artifacts → blobs, records, history, manifest.

use std::fmt;

use rayon::prelude::*;
use recsys_core::artifact::{ArtifactKey, Kind};
use recsys_core::publish::{Candidate, Fate, Options, Published, Publisher};
use recsys_core::staging::Staged;
use recsys_core::window::Window;
use serde::Serialize;

use crate::cli::PublishFlags;
use crate::context::{Context, by};
use crate::error::JobError;

/// What became of an artifact.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FateReport {
    kind: Kind,
    window: Window,
    version: String,
    rows: u64,
    fate: Fate,
}

impl fmt::Display for FateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = match self.fate {
            Fate::Published => "published",
            Fate::AlreadyCurrent => "already current",
            Fate::OlderWindow => "kept aside: the current one is of a newer window",
        };
        let Self { kind, window, version, rows, .. } = self;
        write!(f, "  {kind:<12} {window}, {rows} rows, {version:.12}: {fate}")
    }
}

/// What a publish did.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PublishReport {
    pub(crate) artifacts: Vec<FateReport>,
    manifest: String,
    swapped: bool,
}

impl fmt::Display for PublishReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let swapped = if self.swapped { "swapped" } else { "unchanged" };
        write!(f, "  manifest     {}: {swapped}", self.manifest)
    }
}

/// Checks staged artifacts and publishes them with one swap.
pub(crate) fn publish(
    ctx: &Context,
    flags: &PublishFlags,
    staged: Vec<(ArtifactKey, Staged)>,
) -> Result<PublishReport, JobError> {
    let limits = &ctx.config.limits;
    let check = |(key, staged): (ArtifactKey, Staged)| {
        let Staged { name, version, bytes } = staged;
        Candidate::check(&key, &version, bytes, limits).map_err(|source| JobError::Unfit { name, source })
    };
    let checked: Vec<Result<Candidate, JobError>> = staged.into_par_iter().map(check).collect();
    let candidates = checked.into_iter().collect::<Result<Vec<_>, _>>()?;
    let publisher = Publisher {
        objects: &ctx.objects,
        registry: &ctx.registry,
        limits,
        by: &by(),
        now: ctx.clock.now(),
        options: Options {
            allow_older_window: flags.allow_older_window,
            switch_segment: flags.switch_segment,
        },
    };
    let Published { fates, manifest, swapped } = publisher.publish(&ctx.scope, &candidates)?;
    let artifacts = candidates.iter().zip(fates).map(|(candidate, fate)| {
        let ArtifactKey { kind, window, .. } = candidate.key;
        if fate == Fate::OlderWindow {
            tracing::warn!(%kind, %window, "the current artifact is of a newer window and stays");
        }
        let rows = candidate.rows as u64;
        FateReport { kind, window, version: candidate.build.version.clone(), rows, fate }
    });
    let report = PublishReport { artifacts: artifacts.collect(), manifest, swapped };
    tracing::info!(manifest = %report.manifest, swapped, "published");
    Ok(report)
}
