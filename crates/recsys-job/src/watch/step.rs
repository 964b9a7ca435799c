//! Steps of a job: a log line at the beginning of each, and one at its end with the duration and what the step reports.
//! The metrics come from the same reports.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use recsys_core::domain::id::Scope;
use recsys_core::threads::interrupt::{self, Interrupted};

use crate::watch::metrics::{MetricsByScope, Run, ScopeMetrics};

/// Names of steps in logs and metrics.
pub(crate) const STEPS: [&str; 7] =
    ["ingest", "validate", "build", "publish", "signals", "notify", "catalog"];

/// Amounts that a step processed, as far as known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StepCounts {
    pub(crate) events: Option<u64>,
    pub(crate) duplicates: Option<u64>,
    pub(crate) invalid: Option<u64>,
    pub(crate) foreign: Option<u64>,
    pub(crate) artifacts: Option<u64>,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

/// What a step did. People see its `Display`, and `--json` its `Serialize`.
pub(crate) trait Report {
    /// Amounts for the log line at the end of the step.
    fn counts(&self) -> StepCounts {
        StepCounts::default()
    }

    /// Puts what it says into the metrics of its scope.
    fn measure(&self, _metrics: &mut ScopeMetrics) {}
}

/// Of a step that is no more than its amounts.
impl Report for StepCounts {
    fn counts(&self) -> StepCounts {
        *self
    }
}

/// The metrics of one scope in the run.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    pub(crate) scope: Scope,
    metrics: Arc<Mutex<MetricsByScope>>,
}

impl Meter {
    pub(crate) fn new(run: &Run, scope: Scope) -> Self {
        Self { scope, metrics: Arc::clone(&run.metrics) }
    }

    pub(crate) fn update<T>(&self, note: impl FnOnce(&mut ScopeMetrics) -> T) {
        note(self.metrics.lock().entry(self.scope.clone()).or_default());
    }
}

/// A running step. Dropping it without [`Step::end`] marks it as failed.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    meter: Meter,
    window: String,
    begun: Instant,
    done: Option<StepCounts>,
}

impl Step {
    /// Begins a step, unless the process was asked to stop.
    pub(crate) fn begin(
        meter: &Meter,
        name: &'static str,
        window: impl Display,
    ) -> Result<Self, Interrupted> {
        interrupt::check()?;
        Ok(Self::go_on(meter, name, window))
    }

    /// Begins a step that follows up on finished work, even if the process was asked to stop.
    pub(crate) fn go_on(meter: &Meter, name: &'static str, window: impl Display) -> Self {
        debug_assert!(STEPS.contains(&name), "{name}");
        let window = window.to_string();
        let Scope { tenant, surface } = &meter.scope;
        tracing::info!(step = name, %tenant, %surface, window, "step begins");
        Self { name, meter: meter.clone(), window, begun: Instant::now(), done: None }
    }

    /// Ends the step successfully.
    pub(crate) fn end(mut self, report: &(impl Report + ?Sized)) {
        self.done = Some(report.counts());
        self.meter.update(|metrics| report.measure(metrics));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let Self { name, meter, window, begun, done } = self;
        let Scope { tenant, surface } = &meter.scope;
        let took = begun.elapsed();
        let outcome = if done.is_some() { "done" } else { "failed" };
        let StepCounts { events, duplicates, invalid, foreign, artifacts, rows, bytes } =
            done.unwrap_or_default();
        tracing::info!(
            step = *name, %tenant, %surface, window, outcome, seconds = took.as_secs_f64(),
            events, duplicates, invalid, foreign, artifacts, rows, bytes, "step ends"
        );
        meter.update(|metrics| metrics.add_step(name, took));
    }
}
