//! Canonical data → a verdict.

use std::fmt;

use recsys_core::window::Day;
use serde::Serialize;

use crate::context::Context;
use crate::error::JobError;
use crate::steps::ingest::SourceReport;

/// A day that passed its gates.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ValidateReport {
    day: Day,
    events: u64,
}

impl fmt::Display for ValidateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  validated    {}: {} events", self.day, self.events)
    }
}

/// Judges a day by the number of its canonical events.
pub(crate) fn validate(
    ctx: &Context,
    day: Day,
    events: usize,
    source: Option<&SourceReport>,
) -> Result<ValidateReport, JobError> {
    ctx.config.validation.check(day, events, source.map(SourceReport::found))?;
    tracing::info!(%day, events, "validated");
    Ok(ValidateReport { day, events: events as u64 })
}
