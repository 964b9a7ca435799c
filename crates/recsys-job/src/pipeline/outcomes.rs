//! Raw outcomes → canonical outcomes, beside the exposures of the same day.

use std::fmt;

use recsys_core::canonical::{DayRows, PendingDay};
use recsys_core::domain::window::Day;
use recsys_core::storage::Replaced;
use serde::Serialize;

use crate::pipeline::context::Context;
use crate::pipeline::ingest::{Ingest, IngestReport, Read, SourceReport, commit};

/// What was read of a day's outcomes, and what became of them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OutcomeReport {
    source: Option<SourceReport>,
    canonical: IngestReport,
}

impl fmt::Display for OutcomeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, canonical } = self;
        if let Some(source) = source {
            writeln!(f, "  outcomes     {}", source.described())?;
        }
        write!(f, "  outcomes     {}", canonical.became())
    }
}

impl OutcomeReport {
    /// A line of the summary, unless there is nothing to say: most have no outcomes.
    pub(crate) fn line(&self) -> Option<&Self> {
        let nothing_read = self.source.as_ref().is_none_or(SourceReport::has_no_file);
        (!nothing_read || !self.canonical.is_of_nothing()).then_some(self)
    }
}

/// Ingests the outcomes of the days of a range, one after the other. A table of exposures has none.
#[derive(Debug)]
pub(crate) struct Outcomes<'a> {
    ctx: &'a Context,
    ingest: Option<Ingest<'a>>,
}

impl<'a> Outcomes<'a> {
    /// Opens the raw outcomes of `days`.
    pub(crate) fn open(ctx: &'a Context, days: &[Day]) -> anyhow::Result<Self> {
        Ok(Self { ctx, ingest: Ingest::outcomes(ctx, days)? })
    }

    /// Reads one of the days and checks that it may replace what is there.
    pub(crate) fn read(&mut self, day: Day) -> anyhow::Result<DayOutcomes<'a>> {
        let read = self.ingest.as_mut().map(|ingest| ingest.read(day)).transpose()?;
        Ok(DayOutcomes { ctx: self.ctx, read })
    }
}

/// The outcomes of a day, not written yet; none where they do not come from here.
#[derive(Debug)]
pub(crate) struct DayOutcomes<'a> {
    ctx: &'a Context,
    read: Option<Read>,
}

impl<'a> DayOutcomes<'a> {
    pub(crate) fn rows(&self) -> Option<&DayRows> {
        self.read.as_ref().map(|read| &read.rows)
    }

    /// Writes the day's file aside.
    pub(crate) fn write(&self) -> anyhow::Result<Option<PendingDay<'a>>> {
        Ok(self.rows().map(|rows| self.ctx.canonical().write(rows)).transpose()?)
    }

    /// Puts the file that [`write`](Self::write) has written in place.
    pub(crate) fn commit(&self, pending: Option<PendingDay<'_>>) -> anyhow::Result<Option<OutcomeReport>> {
        let (Some(Read { rows, source }), Some(pending)) = (&self.read, pending) else { return Ok(None) };
        let canonical = commit(self.ctx, rows, pending)?;
        Ok(Some(OutcomeReport { source: source.clone(), canonical }))
    }

    /// What became of them where a gate refused the day.
    pub(crate) fn kept_apart(&self) -> Option<OutcomeReport> {
        let Read { rows, source } = self.read.as_ref()?;
        let canonical = IngestReport::kept_apart(self.ctx, rows);
        Some(OutcomeReport { source: source.clone(), canonical })
    }
}

impl IngestReport {
    /// Whether there were no events and no file.
    fn is_of_nothing(&self) -> bool {
        self.replaced == Replaced::Empty
    }
}
