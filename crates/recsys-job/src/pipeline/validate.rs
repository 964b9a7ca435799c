//! Canonical data → a verdict, and the report of the day.

use std::fmt;

use recsys_core::canonical::DayRows;
use recsys_core::domain::window::{Day, Window};
use recsys_core::gate::day_report::{Accepted, DayReport, Verdict};
use recsys_core::gate::{Check, DayCounts, Dropped, Figures, Past, Validation};
use recsys_core::threads::interrupt;
use serde::Serialize;

use crate::config::Config;
use crate::pipeline::build::no_table;
use crate::pipeline::context::{Context, by};
use crate::pipeline::day_hashes::DayHashes;
use crate::pipeline::ingest::SourceReport;
use crate::pipeline::known_scopes;
use crate::shell::error::JobError;
use crate::watch::metrics::ScopeMetrics;
use crate::watch::step::{Report, Step, StepCounts};

/// What was found in a day, and what the gates make of it.
#[derive(Debug, Serialize)]
pub(crate) struct Judged {
    day: Day,
    #[serde(flatten)]
    counts: DayCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
    #[serde(skip)]
    outside: Option<u64>,
    pub(crate) past: Past,
    checks: Vec<Check>,
    /// Who has let the day go on, if it did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<Accepted>,
    /// The file that says the same.
    report: String,
}

impl fmt::Display for Judged {
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
        if let Some(Accepted { reason, by, .. }) = &self.accepted {
            write!(f, "; refused by a gate and accepted by {by}: {reason}")?;
        }
        Ok(())
    }
}

/// Looks at a day as gates do.
pub(crate) fn figures(
    ctx: &Context,
    exposures: &DayRows,
    outcomes: Option<&DayRows>,
    dropped: Dropped,
) -> anyhow::Result<Figures> {
    let Config { weights, limits, validation, .. } = &ctx.config;
    let window = Window::ending_with(exposures.day, 1)?;
    let found = validation.figures((exposures, outcomes), dropped, *weights, limits, &ctx.budget);
    found.map_err(|error| no_table(window, error))
}

/// Judges a day as a step of its own.
pub(crate) fn judge(ctx: &Context, day: Day, found: &Figures) -> anyhow::Result<Judged> {
    let step = Step::begin(&ctx.meter, "validate", Window::ending_with(day, 1)?)?;
    let judged = Judged::new(ctx, day, found)?;
    step.end(&judged);
    Ok(judged)
}

impl Report for Judged {
    fn counts(&self) -> StepCounts {
        StepCounts { events: Some(self.counts.events), duplicates: self.duplicates, ..StepCounts::default() }
    }

    fn measure(&self, metrics: &mut ScopeMetrics) {
        metrics.set_volume(&self.counts, &self.past);
    }
}

impl Judged {
    /// Judges a day.
    pub(crate) fn new(ctx: &Context, day: Day, found: &Figures) -> anyhow::Result<Self> {
        let past = past(ctx, day)?;
        let checks = ctx.config.validation.judge(found, &past);
        let Figures { counts, dropped: Dropped { duplicates, outside }, .. } = found.clone();
        let report = ctx.reports().name(day);
        Ok(Self { day, counts, duplicates, outside, past, checks, accepted: None, report })
    }

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

    /// Whether every gate let the day pass.
    pub(crate) fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }

    /// Whether the day may go on: it has passed, or somebody has accepted it.
    pub(crate) fn goes_on(&self) -> bool {
        self.passed() || self.accepted.is_some()
    }

    /// The same of certain data of the day: what somebody has accepted may go on.
    pub(crate) fn of(self, ctx: &Context, hashes: &DayHashes) -> anyhow::Result<Self> {
        if self.passed() {
            return Ok(self);
        }
        let report = ctx.reports().read(self.day)?;
        let accepted = report.and_then(|report| report.accepted().remove(&hashes.exposures));
        Ok(Self { accepted: accepted.filter(|accepted| accepted.outcomes_hash == hashes.outcomes), ..self })
    }

    /// Lets the day go on that a gate has refused, for the reason that somebody gives.
    pub(crate) fn accept(self, ctx: &Context, hashes: &DayHashes, reason: String) -> Self {
        let (by, at, outcomes_hash) = (by(), ctx.clock.now(), hashes.outcomes.clone());
        Self { accepted: Some(Accepted { outcomes_hash, reason, by, at }), ..self }
    }

    /// Whether the day may go on. `source` is what was read, where that is known.
    pub(crate) fn verdict(&self, ctx: &Context, source: Option<&SourceReport>) -> anyhow::Result<()> {
        if let Some(Accepted { reason, by, .. }) = &self.accepted {
            tracing::warn!(day = %self.day, by, reason, "refused by a gate, and accepted");
            return Ok(());
        }
        // Events of other days are of that tenant and surface, too.
        let is_met = source.is_some_and(|source| source.outside > 0);
        let source = source.map(SourceReport::found);
        let has_events = self.counts.events > 0;
        let refused_file = || format!("kept apart as {}", ctx.canonical().refused().name(self.day));
        let found: Vec<String> = source.into_iter().chain(has_events.then(refused_file)).collect();
        let found = (!found.is_empty()).then(|| found.join("; "));
        ctx.config.validation.verdict(self.day, &self.checks, found).map_err(|refused| {
            let others = if has_events || is_met { String::new() } else { known_scopes::others(ctx) };
            if others.is_empty() { refused.into() } else { JobError::NotMet { refused, others }.into() }
        })
    }

    /// Writes the report of the day. A job that leaves the `verdict` to another one writes the counts alone, and lets a
    /// report of the same data stay that has one.
    pub(crate) fn write(&self, ctx: &Context, hashes: DayHashes, verdict: Given) -> anyhow::Result<()> {
        let (day, passed) = (self.day, self.passed());
        let verdict = (verdict == Given::Now).then(|| Verdict {
            passed,
            past: self.past.clone(),
            checks: self.checks.clone(),
            accepted: self.accepted.clone(),
        });
        let old = ctx.reports().read(day)?;
        let mut accepted_before = old.as_ref().map(DayReport::accepted).unwrap_or_default();
        if verdict.as_ref().is_some_and(|verdict| verdict.accepted.is_some()) {
            accepted_before.remove(&hashes.exposures);
        }
        let new = DayReport {
            v: 1,
            tenant: ctx.scope.tenant.clone(),
            surface: ctx.scope.surface.clone(),
            day,
            canonical_hash: hashes.exposures,
            outcomes_hash: hashes.outcomes,
            counts: self.counts,
            duplicates: self.duplicates,
            outside: self.outside,
            verdict,
            accepted_before,
        };
        let says_the_same = |old: DayReport| {
            let accepted_before = new.accepted_before.clone();
            old.is_good() && DayReport { verdict: None, accepted_before, ..old } == new
        };
        // With a verdict it never does: that is written in any case.
        if !old.is_some_and(says_the_same) {
            ctx.reports().write(&new)?;
        }
        match self.unjudged() {
            _ if new.verdict.is_none() => {}
            Some(note) => tracing::warn!(%day, passed, "judged; {note}"),
            None => tracing::info!(%day, passed, "judged"),
        }
        Ok(())
    }
}

/// When the verdict on a day is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// With the report.
    Now,
    /// By `job_validate`.
    Later,
}

/// The days before a day: by their reports, or else by their canonical data. One that was refused says nothing of what is
/// usual; the next before it takes its place.
fn past(ctx: &Context, day: Day) -> anyhow::Result<Past> {
    let lookback_days = ctx.config.validation.lookback();
    let mut known = Vec::new();
    let mut looked_at = 0;
    for before in 1..=i64::from(Validation::MAX_LOOKBACK_DAYS) {
        interrupt::check()?;
        // There is no day before the first of the calendar.
        let Some(before) = day.plus(-before).ok().filter(|_| looked_at < lookback_days) else { break };
        let report = ctx.reports().read(before)?;
        let is_refused = report.as_ref().is_some_and(|report| !report.is_good());
        let counts = match report.filter(DayReport::is_good) {
            Some(report) => Some(report.counts),
            None => match ctx.canonical().load(before, &ctx.budget)? {
                Some((rows, _)) => Some(DayCounts::of(&rows)?),
                None => None,
            },
        };
        looked_at += u32::from(counts.is_some() || !is_refused);
        known.extend(counts.filter(|counts| counts.events > 0).map(|counts| (before, counts)));
    }
    known.reverse();
    Ok(Past::new(&known, lookback_days))
}
