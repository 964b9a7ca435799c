//! Days that a gate has refused: kept apart from what was good before, until they pass or somebody accepts them.

use std::collections::BTreeSet;

use recsys_core::canonical::DayRows;
use recsys_core::event::Stream;
use recsys_core::gate::{OnRefusedDay, Refused};
use recsys_core::window::{Day, Window};

use crate::config::RawType;
use crate::context::Context;
use crate::error::{Exit, JobError, one_line};

/// Keeps a day apart that a gate has refused, with the outcomes that came with it. What was good before stays where it is.
/// A day without events has nothing to keep.
pub(crate) fn keep_apart(ctx: &Context, rows: &DayRows, outcomes: Option<&DayRows>) -> Result<(), JobError> {
    let day = rows.day;
    if rows.is_empty() {
        return Ok(());
    }
    ctx.claim_canonical()?;
    let refused = ctx.canonical().refused();
    match outcomes {
        Some(outcomes) if !outcomes.is_empty() => drop(refused.write(outcomes)?.commit()?),
        _ => drop(refused.of(Stream::Outcomes).remove(day)?),
    }
    // Last: it says that the day is refused.
    refused.write(rows)?.commit()?;
    tracing::info!(%day, file = refused.name(day), "refused by a gate and kept apart");
    Ok(())
}

/// Marks a day as refused whose raw data cannot be taken, however often that is tried: later windows would else be built
/// without it, or over what it was before. An empty delivery is no such data; it erases nothing.
pub(crate) fn mark_not_taken(ctx: &Context, day: Day, error: &JobError) {
    let is_empty = matches!(error, JobError::Gate(Refused::Erasure { .. }));
    if !is_empty && matches!(error.exit(), Exit::Refused | Exit::Limit) {
        let marked = ctx.claim_canonical().and_then(|()| Ok(ctx.canonical().refused().mark(day)?));
        match marked {
            Ok(()) => tracing::info!(%day, file = ctx.canonical().refused().name(day), "marked as refused"),
            Err(error) => tracing::warn!(%day, error = one_line(&error), "cannot mark the day as refused"),
        }
    }
}

/// Keeps a day apart whose data was in place before a gate refused it.
pub(crate) fn take_out(ctx: &Context, rows: &DayRows, hash: &str) -> Result<(), JobError> {
    let outcomes = ctx.canonical().of(Stream::Outcomes).load(rows.day, &ctx.budget)?;
    keep_apart(ctx, rows, outcomes.as_ref().map(|(outcomes, _)| outcomes))?;
    remove_in_place(ctx, rows.day, hash)
}

/// Removes what lies in the place of a refused day where it is the very data that was refused, with the hash `hash`: a gate
/// may be stricter than the one that let it in.
pub(crate) fn remove_in_place(ctx: &Context, day: Day, hash: &str) -> Result<(), JobError> {
    let canonical = ctx.canonical();
    if canonical.load(day, &ctx.budget)?.is_some_and(|(_, in_place)| in_place == hash) {
        // The exposures last: by them this is found out again where it breaks off.
        canonical.of(Stream::Outcomes).remove(day)?;
        canonical.remove(day)?;
    }
    Ok(())
}

/// Puts a day in place that was kept apart, with its outcomes: it has none where none were kept apart with it. A table says
/// nothing of outcomes, so those that are in place stay.
pub(crate) fn put_back(ctx: &Context, rows: &DayRows) -> Result<(), JobError> {
    let (day, canonical) = (rows.day, ctx.canonical());
    match canonical.refused().of(Stream::Outcomes).load(day, &ctx.budget)? {
        Some((outcomes, _)) => drop(canonical.write(&outcomes)?.commit()?),
        None if ctx.config.raw_source.r#type == RawType::Postgres => {}
        None => drop(canonical.of(Stream::Outcomes).remove(day)?),
    }
    canonical.write(rows)?.commit()?;
    remove_apart(ctx, day)
}

/// Removes what was kept apart of a day, which is in its place now.
pub(crate) fn remove_apart(ctx: &Context, day: Day) -> Result<(), JobError> {
    let refused = ctx.canonical().refused();
    if refused.remove(day)? {
        refused.of(Stream::Outcomes).remove(day)?;
    }
    Ok(())
}

/// Refuses a window in whose day lies the very data, with the hash `hash`, that its report says a gate has refused: an earlier
/// version left it there, or a process that was killed. `job_validate` keeps it apart.
pub(crate) fn check_in_place(
    ctx: &Context,
    window: Window,
    day: Day,
    hash: Option<&str>,
) -> Result<(), JobError> {
    let report = ctx.reports().read(day)?.filter(|report| Some(report.canonical_hash.as_str()) == hash);
    if report.is_some_and(|report| !report.is_good()) {
        return Err(refused_days(ctx, window, vec![day]));
    }
    Ok(())
}

/// Refuses to publish what was built from a window in which a gate has refused a day since. Whoever may not look at canonical
/// data publishes with a warning.
pub(crate) fn check_window(ctx: &Context, window: Window) -> Result<(), JobError> {
    match excluded(ctx, window, &BTreeSet::new()) {
        Err(JobError::Store(error)) => {
            tracing::warn!(%window, error = one_line(&error), "cannot look whether a day was refused");
            Ok(())
        }
        looked => looked.map(drop),
    }
}

/// The refused days of a window that is built without them; `in_memory` are days that have just passed. Refuses the window
/// where the configuration says so, and in any case where its newest day is one of them.
pub(crate) fn excluded(
    ctx: &Context,
    window: Window,
    in_memory: &BTreeSet<Day>,
) -> Result<Vec<Day>, JobError> {
    let refused = ctx.canonical().refused_days(Some(window.start()))?;
    let days: Vec<Day> =
        window.days().filter(|day| refused.contains(day) && !in_memory.contains(day)).collect();
    let newest = window.days().last();
    match (&days[..], ctx.config.validation.on_refused_day) {
        ([], _) => Ok(days),
        ([.., last], OnRefusedDay::Exclude) if Some(*last) != newest => {
            for day in &days {
                tracing::warn!(%day, %window, "refused by a gate; built without what was refused");
            }
            Ok(days)
        }
        _ => Err(refused_days(ctx, window, days)),
    }
}

fn refused_days(ctx: &Context, window: Window, days: Vec<Day>) -> JobError {
    let excluding = ctx.config.validation.on_refused_day == OnRefusedDay::Exclude;
    JobError::RefusedDays { window, days, excluding }
}
