//! Steps of a job: a log line at the beginning of each, and one at its end with the duration.

use std::fmt::Display;
use std::time::Instant;

use recsys_core::domain::id::Scope;
use recsys_core::threads::interrupt::{self, Interrupted};

use crate::watch::report::{Counts, Meter, Report};

/// Names of steps in logs and metrics.
pub(crate) const STEPS: [&str; 7] =
    ["ingest", "validate", "build", "publish", "signals", "notify", "catalog"];

/// A running step. Dropping it without [`Step::end`] marks it as failed.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    meter: Meter,
    window: String,
    begun: Instant,
    done: Option<Counts>,
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
        self.meter.add(report);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let Self { name, meter, window, begun, done } = self;
        let Scope { tenant, surface } = &meter.scope;
        let took = begun.elapsed();
        let outcome = if done.is_some() { "done" } else { "failed" };
        let Counts { events, duplicates, invalid, foreign, artifacts, rows, bytes } =
            done.unwrap_or_default();
        tracing::info!(
            step = *name, %tenant, %surface, window, outcome, seconds = took.as_secs_f64(),
            events, duplicates, invalid, foreign, artifacts, rows, bytes, "step ends"
        );
        meter.update(|record| record.add_step(name, took));
    }
}
