//! Canonical data → a verdict, and the report of the day.

use std::fmt;

use recsys_core::canonical::DayRows;
use recsys_core::gate::{Check, DayCounts, Past};
use recsys_core::interrupt;
use recsys_core::report::{DayReport, Verdict};
use recsys_core::window::{Day, Window};
use serde::Serialize;

use crate::config::Config;
use crate::context::Context;
use crate::error::{JobError, Known};
use crate::metrics;
use crate::step::{Counts, Step};
use crate::steps::ingest::SourceReport;
use crate::steps::met;

/// A day that passed its gates.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ValidateReport {
    day: Day,
    #[serde(flatten)]
    counts: DayCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
    pub(crate) past: Past,
    checks: Vec<Check>,
    /// The file that says the same.
    report: String,
}

impl fmt::Display for ValidateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DayCounts { events, sessions, items, users, .. } = self.counts;
        write!(
            f,
            "  validated    {}: {events} events, {sessions} sessions, {items} items, {users} users",
            self.day
        )?;
        if let Some(note) = self.unjudged() {
            write!(f, "; {note}")?;
        }
        Ok(())
    }
}

impl ValidateReport {
    /// What is said of a day whose past is too little known.
    fn unjudged(&self) -> Option<String> {
        let Past { lookback_days, sufficient, days, .. } = &self.past;
        (*lookback_days > 0 && !sufficient).then(|| {
            format!(
                "its volume is not judged: {} of the {lookback_days} days before it are known",
                days.len()
            )
        })
    }
}

/// What was found in a day, and what the gates make of it.
#[derive(Debug)]
pub(crate) struct Judged {
    day: Day,
    counts: DayCounts,
    duplicates: Option<u64>,
    past: Past,
    checks: Vec<Check>,
}

/// Judges a day. `duplicates` are the repeated deliveries that were dropped, where that is known.
pub(crate) fn judge(
    ctx: &Context,
    day: Day,
    counts: DayCounts,
    duplicates: Option<u64>,
) -> Result<Judged, JobError> {
    let step = Step::begin(&ctx.scope, "validate", Window::ending_with(day, 1)?)?;
    let past = past(ctx, day)?;
    metrics::record(|record| record.set_volume(&counts, &past));
    let checks = ctx.config.validation.judge(&counts, duplicates, &past);
    step.end(Counts { events: Some(counts.events), duplicates, ..Counts::default() });
    Ok(Judged { day, counts, duplicates, past, checks })
}

impl Judged {
    /// Whether the day may go on. `source` is what was read, where that is known.
    pub(crate) fn verdict(&self, ctx: &Context, source: Option<&SourceReport>) -> Result<(), JobError> {
        let verdict = ctx.config.validation.verdict(self.day, &self.checks, source.map(SourceReport::found));
        verdict.map_err(|refused| {
            let others = if self.counts.events == 0 { met::others(ctx) } else { Known::default() };
            if others.is_empty() { JobError::Gate(refused) } else { JobError::NotMet { refused, others } }
        })
    }

    /// Writes the report of the day, whatever the verdict. `canonical_hash` is that of its canonical file.
    pub(crate) fn write(self, ctx: &Context, canonical_hash: String) -> Result<ValidateReport, JobError> {
        let Self { day, counts, duplicates, past, checks } = self;
        let passed = checks.iter().all(|check| check.passed);
        let verdict = Verdict { passed, past: past.clone(), checks: checks.clone() };
        ctx.reports().write(&report(ctx, day, canonical_hash, counts, duplicates, Some(verdict)))?;
        let report =
            ValidateReport { day, counts, duplicates, past, checks, report: ctx.reports().name(day) };
        if let Some(note) = report.unjudged() {
            tracing::warn!(%day, passed, "judged; {note}");
        } else {
            tracing::info!(%day, passed, "judged");
        }
        Ok(report)
    }
}

/// Writes the report of a day that nobody has judged yet. One of the same data that was judged stays.
pub(crate) fn report_counts(ctx: &Context, rows: &DayRows, canonical_hash: &str) -> Result<(), JobError> {
    let new =
        report(ctx, rows.day, canonical_hash.to_owned(), DayCounts::of(rows)?, Some(rows.duplicates), None);
    let old = ctx.reports().read(rows.day)?;
    if old.is_none_or(|old| DayReport { verdict: None, ..old } != new) {
        ctx.reports().write(&new)?;
    }
    Ok(())
}

fn report(
    ctx: &Context,
    day: Day,
    canonical_hash: String,
    counts: DayCounts,
    duplicates: Option<u64>,
    verdict: Option<Verdict>,
) -> DayReport {
    let (tenant, surface) = (ctx.scope.tenant.clone(), ctx.scope.surface.clone());
    DayReport { v: 1, tenant, surface, day, canonical_hash, counts, duplicates, verdict }
}

/// The days before a day: by their reports, or else by their canonical data.
fn past(ctx: &Context, day: Day) -> Result<Past, JobError> {
    let Config { validation, .. } = &ctx.config;
    let lookback_days = validation.lookback();
    let mut known = Vec::new();
    for before in (1..=i64::from(lookback_days)).rev() {
        interrupt::check()?;
        // There is no day before the first of the calendar.

        let Ok(before) = day.plus(-before) else { continue };
        let counts = match ctx.reports().read(before)? {
            Some(report) => Some(report.counts),
            None => match ctx.canonical().load(before, &ctx.budget)? {
                Some((rows, _)) => Some(DayCounts::of(&rows)?),
                None => None,
            },
        };
        known.extend(counts.filter(|counts| counts.events > 0).map(|counts| (before, counts)));
    }
    Ok(Past::new(&known, lookback_days))
}
