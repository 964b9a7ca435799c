//! Steps of a job: a log line at the beginning of each, and one at its end with the duration.

use std::fmt::Display;
use std::time::Instant;

use recsys_core::domain::id::Scope;
use recsys_core::threads::interrupt::{self, Interrupted};

use crate::watch::metrics;

/// Names of steps in logs and metrics.
pub(crate) const STEPS: [&str; 7] =
    ["ingest", "validate", "build", "publish", "signals", "notify", "catalog"];

/// Amounts that a step processed, as far as known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) events: Option<u64>,
    pub(crate) duplicates: Option<u64>,
    pub(crate) invalid: Option<u64>,
    pub(crate) foreign: Option<u64>,
    pub(crate) artifacts: Option<u64>,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

/// A running step. Dropping it without [`Step::end`] marks it as failed.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    scope: Scope,
    window: String,
    begun: Instant,
    done: Option<Counts>,
}

impl Step {
    /// Begins a step, unless the process was asked to stop.
    pub(crate) fn begin(
        scope: &Scope,
        name: &'static str,
        window: impl Display,
    ) -> Result<Self, Interrupted> {
        interrupt::check()?;
        Ok(Self::go_on(scope, name, window))
    }

    /// Begins a step that follows up on finished work, even if the process was asked to stop.
    pub(crate) fn go_on(scope: &Scope, name: &'static str, window: impl Display) -> Self {
        debug_assert!(STEPS.contains(&name), "{name}");
        let step = Self {
            name,
            scope: scope.clone(),
            window: window.to_string(),
            begun: Instant::now(),
            done: None,
        };
        let Self { name, scope: Scope { tenant, surface }, window, .. } = &step;
        tracing::info!(step = *name, %tenant, %surface, window, "step begins");
        step
    }

    /// Ends the step successfully.
    pub(crate) fn end(mut self, counts: Counts) {
        self.done = Some(counts);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let Self { name, scope: Scope { tenant, surface }, window, begun, done } = self;
        let took = begun.elapsed();
        let outcome = if done.is_some() { "done" } else { "failed" };
        let Counts { events, duplicates, invalid, foreign, artifacts, rows, bytes } =
            done.unwrap_or_default();
        tracing::info!(
            step = *name, %tenant, %surface, window, outcome, seconds = took.as_secs_f64(),
            events, duplicates, invalid, foreign, artifacts, rows, bytes, "step ends"
        );
        metrics::record(|record| record.add_step(name, took));
    }
}
