//! Bad lines → the quarantine file of their day, and the gate on how many there may be.

use std::fmt;

use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::Day;
use recsys_core::input::lines::LineFile;
use recsys_core::input::quarantine::{
    BadLineWriter, BadLines, Bounds, ExceededBound, Quarantine, Stopped, TooManyInvalid, ratio,
};
use recsys_core::input::raw::Raw;
use recsys_core::storage::Replaced;
use recsys_core::threads::interrupt;
use serde::Serialize;

use crate::pipeline::context::Context;
use crate::shell::error::one_line;

/// The bad lines among those that were read.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct QuarantineReport {
    /// How many there are.
    pub(crate) invalid: u64,
    /// What part of all lines that is.
    invalid_ratio: f64,
    /// The file they are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<String>,
}

/// A line of its own after what was read, or nothing.
impl fmt::Display for QuarantineReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invalid, invalid_ratio, quarantine } = self;
        let Some(file) = quarantine else { return Ok(()) };
        write!(f, "\n  quarantine   {file}: {invalid} lines, {:.2} % of those read", invalid_ratio * 100.0)
    }
}

/// Where the bad lines of `files` go while they are read; none when the first of them is to stop the job.
pub(crate) fn bad_line_writer(ctx: &Context, raw: &Raw<'_>, files: &[LineFile]) -> Option<BadLineWriter> {
    if is_strict(ctx) {
        return None;
    }
    let validation = &ctx.config.validation;
    let bounds =
        Bounds { max_bytes: validation.max_quarantine_bytes, max_ratio: validation.max_invalid_ratio.into() };
    let names = files.iter().map(|file| raw.below_root(&file.name).to_owned()).collect();
    Some(BadLineWriter::new(names, &ctx.budget, bounds))
}

/// Whether the first bad line stops the job.
pub(crate) fn is_strict(ctx: &Context) -> bool {
    f64::from(ctx.config.validation.max_invalid_ratio) <= 0.0
}

/// Puts the bad lines that were read until reading was stopped, at a line and for a reason, in place of those that the
/// quarantine file of `day` held before: they are what has to be looked at now.
pub(crate) fn stopped(
    ctx: &Context,
    stream: Stream,
    day: Day,
    (name, line, why): (String, u64, ExceededBound),
    bad: &BadLines,
) -> anyhow::Error {
    let files = Quarantine::new(&*ctx.canonical, &ctx.scope, stream);
    if let Err(error) = files.replace(day, Some(bad)) {
        return error.into();
    }
    let invalid = bad.lines();
    ctx.measure(stream, |metrics| metrics.add_events("invalid", invalid));
    let (quarantine, first) = (files.name(day), bad.first().unwrap_or_default().to_owned());
    Stopped { day, name, line, why, invalid, quarantine, first }.into()
}

/// Removes the quarantine file of a day that has no bad line any more. Nothing is built from it, so that one that stays is
/// no reason to refuse the day.
fn remove(files: &Quarantine<'_>, day: Day) -> anyhow::Result<()> {
    let quarantine = files.name(day);
    match files.replace(day, None) {
        Ok(Replaced::Removed) => {
            tracing::info!(%day, quarantine, "no line is invalid any more; the quarantine file is gone");
        }
        Ok(_) => {}
        Err(error) if error.action == "remove" && interrupt::check().is_ok() => {
            let error = one_line(&error);
            tracing::warn!(%day, quarantine, error, "no line is invalid any more; remove the quarantine file, which stays");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Puts the bad lines of a day in place of those that its quarantine file held before, and checks that there are
/// not too many among the `lines` that were read.
///
/// The file is written in either case, so that one can look at them.
pub(crate) fn quarantine(
    ctx: &Context,
    stream: Stream,
    day: Day,
    lines: u64,
    bad: Option<BadLines>,
) -> anyhow::Result<QuarantineReport> {
    let files = Quarantine::new(&*ctx.canonical, &ctx.scope, stream);
    let Some(bad) = bad.filter(|bad| bad.lines() > 0) else {
        return remove(&files, day).map(|()| QuarantineReport::default());
    };
    files.replace(day, Some(&bad))?;
    let (invalid, invalid_ratio, quarantine) = (bad.lines(), ratio(bad.lines(), lines), files.name(day));
    let report = QuarantineReport { invalid, invalid_ratio, quarantine: Some(quarantine.clone()) };
    ctx.measure(stream, |metrics| metrics.add_events("invalid", invalid));
    let max = ctx.config.validation.max_invalid_ratio;
    if invalid_ratio > max.into() {
        let first = bad.first().unwrap_or_default().to_owned();
        return Err(TooManyInvalid { day, invalid, lines, max: max.into(), quarantine, first }.into());
    }
    tracing::warn!(%day, invalid, lines, invalid_ratio, quarantine, "invalid lines are set aside");
    Ok(report)
}
