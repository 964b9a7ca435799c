//! Staged artifacts → blobs, records, history, manifest.

use std::cmp::Reverse;
use std::fmt;

use rayon::prelude::*;
use recsys_core::artifact::{ArtifactKey, Descriptor, Kind};
use recsys_core::domain::window::Window;
use recsys_core::publish::{
    Change, Checked, Held, Holds, Manifest, Options, PublishOutcome, Published, Publisher, Registry, Stored,
    TopChange, Unfit,
};
use recsys_core::staging::Staged;
use recsys_core::storage::layout::version_in;
use recsys_core::threads::interrupt;
use serde::Serialize;

use crate::pipeline::context::{Context, by};
use crate::shell::cli::PublishFlags;
use crate::shell::error::JobError;
use crate::shell::run_id;
use crate::watch::metrics::ScopeMetrics;
use crate::watch::step::{Meter, Report, Step, StepCounts};

/// What became of an artifact.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OutcomeOfKind {
    kind: Kind,
    window: Window,
    version: String,
    rows: u64,
    #[serde(skip)]
    bytes: u64,
    fate: PublishOutcome,
}

impl fmt::Display for OutcomeOfKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = match self.fate {
            PublishOutcome::Published => "published",
            PublishOutcome::AlreadyCurrent => "already current",
            PublishOutcome::OlderWindow => "kept aside: the current one is of a newer window",
            PublishOutcome::Superseded => "kept aside: a newer window is published with it",
            PublishOutcome::Held => "kept aside: an operator holds what is current",
        };
        let Self { kind, window, version, rows, .. } = self;
        write!(f, "  {kind:<12} {window}, {rows} rows, {version:.12}: {fate}")
    }
}

/// What a publish did.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PublishReport {
    pub(crate) artifacts: Vec<OutcomeOfKind>,
    manifest: String,
    swapped: bool,
    /// Kinds that are kept where they are.
    #[serde(skip)]
    held: Holds,
}

impl PublishReport {
    /// The artifacts that are current now.
    fn current(&self) -> impl Iterator<Item = &OutcomeOfKind> {
        let is_current = |fate| matches!(fate, PublishOutcome::Published | PublishOutcome::AlreadyCurrent);
        self.artifacts.iter().filter(move |artifact| is_current(artifact.fate))
    }

    /// Refuses where an operator holds what would have become current.
    pub(crate) fn held(&self, ctx: &Context) -> anyhow::Result<()> {
        check_held(ctx, self.held.clone())
    }
}

impl Report for PublishReport {
    fn counts(&self) -> StepCounts {
        StepCounts {
            artifacts: Some(self.current().count() as u64),
            rows: Some(self.current().map(|artifact| artifact.rows).sum()),
            bytes: Some(self.current().map(|artifact| artifact.bytes).sum()),
            ..StepCounts::default()
        }
    }

    fn measure(&self, metrics: &mut ScopeMetrics) {
        for &OutcomeOfKind { kind, window, rows: items, bytes, .. } in self.current() {
            metrics.set_artifact(kind, items, bytes, None);
            metrics.windows.insert(kind, window);
        }
    }
}

/// Refuses where anything is held.
pub(crate) fn check_held(ctx: &Context, holds: Holds) -> anyhow::Result<()> {
    if holds.is_empty() { Ok(()) } else { Err(Held { scope: ctx.scope.clone(), holds }.into()) }
}

impl fmt::Display for PublishReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let swapped = if self.swapped { "swapped" } else { "unchanged" };
        write!(f, "  manifest     {}: {swapped}", self.manifest)
    }
}

/// Checks documents before they are published.
pub(crate) fn check(
    ctx: &Context,
    documents: impl IntoIterator<Item = Staged>,
) -> anyhow::Result<Vec<Checked>> {
    let check = |Staged { key, name, version, bytes }| {
        Checked::new(&key, &version, bytes, &ctx.config.limits).map_err(|source| match source {
            Unfit::Limit(exceeded) => exceeded.in_place(name).into(),
            problem => JobError::Unfit { name, problem }.into(),
        })
    };
    let mut documents: Vec<_> = documents.into_iter().enumerate().collect();
    let bytes: usize = documents.iter().map(|(_, staged)| staged.bytes.len()).sum();
    if bytes > ctx.budget.documents() {
        // What is parsed of a document takes about as much memory again.
        return documents.into_iter().map(|(_, document)| check(document)).collect();
    }
    // The largest first, so that no thread is left with one while the others have nothing to do.
    documents.sort_by_key(|(_, staged)| Reverse(staged.bytes.len()));
    let check = |(number, document)| (number, check(document));
    let mut checked: Vec<_> = documents.into_iter().par_bridge().map(check).collect();
    // The first failure in the order of documents, whichever thread fails first.
    checked.sort_by_key(|(number, _)| *number);
    checked.into_iter().map(|(_, checked)| checked).collect()
}

/// Publishes staged artifacts: first the blobs, in as many batches as fit memory, then all else at once.
#[derive(Debug)]
pub(crate) struct Publishing<'a> {
    ctx: &'a Context,
    pub(crate) publisher: Publisher<'a>,
    step: Step,
}

impl<'a> Publishing<'a> {
    /// Begins to publish artifacts of `window`.
    pub(crate) fn begin(ctx: &'a Context, flags: &PublishFlags, window: Option<Window>) -> Self {
        let window = window.map(|window| window.to_string()).unwrap_or_default();
        let step = Step::go_on(&ctx.meter, "publish", window);
        let validation = &ctx.config.validation;
        let top_change = |most| TopChange { most, of: validation.top_items.get() as usize };
        let options = Options {
            allow_older_window: flags.allow_older_window,
            switch_segment: flags.switch_segment,
            allow_empty: ctx.config.validation.min_events == 0,
            max_change: validation.max_artifact_change.filter(|_| !flags.allow_large_change),
            max_top_change: validation.max_top_change.filter(|_| !flags.allow_large_change).map(top_change),
        };
        let publisher = Publisher {
            objects: &*ctx.published.objects,
            registry: &*ctx.published.registry,
            limits: &ctx.config.limits,
            change: Change {
                by: by(),
                run_id: run_id::current(),
                note: flags.reason.clone(),
                now: ctx.clock.now(),
                horizon: ctx.clock.horizon(),
                timeouts: ctx.config.registry.timeouts(),
            },
            options,
        };
        Self { ctx, publisher, step }
    }

    /// Makes what was stored current.
    pub(crate) fn finish(mut self, stored: &[Stored]) -> anyhow::Result<PublishReport> {
        self.ctx.published.warn_of_collisions();
        self.publisher.change.now = self.ctx.clock.now();
        self.publisher.change.horizon = self.ctx.clock.horizon();
        let ctx = self.ctx;
        interrupt::check()?;
        let Published { outcomes, manifest, swapped, current, held } =
            self.publisher.finish(&ctx.scope, stored)?;
        let artifacts = stored.iter().zip(outcomes).map(|(stored, fate)| {
            let Descriptor { key: ArtifactKey { kind, window, .. }, build, rows, bytes } =
                stored.descriptor();
            let (kind, window, version) = (*kind, *window, build.version.clone());
            OutcomeOfKind { kind, window, version, rows: *rows, bytes: *bytes, fate }
        });
        let report = PublishReport { artifacts: artifacts.collect(), manifest, swapped, held };
        self.step.end(&report);
        if let Some(current) = &current {
            let registry = Registry::new(&*ctx.published.registry);
            let known: Vec<Kind> = report.current().map(|artifact| artifact.kind).collect();
            measure_current(&registry, &ctx.meter, current, &known);
            if let Some(notifier) = &ctx.notifier {
                notifier.tell(&*ctx.published.registry, current);
            }
        }
        let older = report.artifacts.iter().filter(|artifact| artifact.fate == PublishOutcome::OlderWindow);
        for OutcomeOfKind { kind, window, .. } in older {
            tracing::warn!(%kind, %window, "kept aside: the current artifact is of a newer window");
        }
        tracing::info!(manifest = %report.manifest, swapped, "published");
        Ok(report)
    }
}

/// Measures a manifest and the windows of all that it names, except those of kinds that are known already. What cannot be read is left out.
pub(crate) fn measure_current(registry: &Registry<'_>, meter: &Meter, manifest: &Manifest, known: &[Kind]) {
    meter.update(|metrics| metrics.manifest_updated = Some(manifest.updated_at));
    for (kind, uri) in manifest.current.iter().filter(|(kind, _)| !known.contains(kind)) {
        if let Ok(Some(found)) = registry.record(&meter.scope, *kind, version_in(uri)) {
            meter.update(|metrics| metrics.windows.insert(*kind, found.window));
        }
    }
}
