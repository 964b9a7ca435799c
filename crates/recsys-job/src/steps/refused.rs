//! Days that a gate has refused: kept apart from what was good before, until they pass or somebody accepts them.

use std::collections::BTreeSet;

use recsys_core::canonical::DayRows;
use recsys_core::event::Stream;
use recsys_core::gate::OnRefusedDay;
use recsys_core::window::{Day, Window};

use crate::context::Context;
use crate::error::JobError;

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

/// Keeps a day apart whose data, with the hash `hash`, was in place before a gate refused it.
pub(crate) fn take_out(ctx: &Context, rows: &DayRows, hash: &str) -> Result<(), JobError> {
    let (day, canonical) = (rows.day, ctx.canonical());
    let outcomes = canonical.of(Stream::Outcomes).load(day, &ctx.budget)?;
    keep_apart(ctx, rows, outcomes.as_ref().map(|(outcomes, _)| outcomes))?;
    // Not by another process in the meantime.
    if canonical.load(day, &ctx.budget)?.is_some_and(|(_, in_place)| in_place == hash) {
        canonical.remove(day)?;
        canonical.of(Stream::Outcomes).remove(day)?;
    }
    Ok(())
}

/// Puts a day in place that was kept apart.
pub(crate) fn put_back(ctx: &Context, rows: &DayRows) -> Result<(), JobError> {
    let (day, canonical) = (rows.day, ctx.canonical());
    if let Some((outcomes, _)) = canonical.refused().of(Stream::Outcomes).load(day, &ctx.budget)? {
        canonical.write(&outcomes)?.commit()?;
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

/// The refused days of a window that is built without them; `in_memory` are days that have just passed. Refuses the window
/// where the configuration says so, and in any case where its newest day is one of them.
pub(crate) fn excluded(
    ctx: &Context,
    window: Window,
    in_memory: &BTreeSet<Day>,
) -> Result<Vec<Day>, JobError> {
    let refused = ctx.canonical().refused_days(window.start())?;
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
        _ => Err(JobError::RefusedDays { window, days }),
    }
}
