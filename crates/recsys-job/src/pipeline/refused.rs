//! Days that a gate has refused: kept apart from what was good before, until they pass or somebody accepts them.

use recsys_core::artifact::Descriptor;
use recsys_core::canonical::DayRows;
use recsys_core::domain::class::Class;
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::{Day, Window, ranges};
use recsys_core::gate::{OnRefusedDay, Refused};
use recsys_core::storage::StoreError;
use recsys_core::table::SourceHashes;

use crate::pipeline::context::Context;
use crate::pipeline::day_hashes::DayHashes;
use crate::shell::error::{JobError, class, one_line};

/// Keeps a day apart that a gate has refused, with the outcomes that came with it. What was good before stays where it is,
/// unless it is the very data that was refused: a gate may be stricter than the one that let it in. A day without events has
/// nothing to keep.
pub(crate) fn keep_refused(
    ctx: &Context,
    rows: &DayRows,
    outcomes: Option<&DayRows>,
    hashes: &DayHashes,
) -> anyhow::Result<()> {
    let (day, refused) = (rows.day, ctx.canonical().refused());
    if rows.is_empty() {
        return Ok(refused.unmark(day)?);
    }
    ctx.claim_canonical()?;
    match outcomes {
        Some(outcomes) if !outcomes.is_empty() => drop(refused.write(outcomes)?.commit()?),
        _ => drop(refused.of(Stream::Outcomes).remove(day)?),
    }
    // Last: it says that the day is refused.
    refused.write(rows)?.commit()?;
    tracing::info!(%day, file = refused.name(day), "refused by a gate and kept apart");
    remove_in_place(ctx, day, hashes)
}

/// Removes what lies in the place of a refused day where it is the very data that was refused.
pub(crate) fn remove_in_place(ctx: &Context, day: Day, hashes: &DayHashes) -> anyhow::Result<()> {
    let canonical = ctx.canonical();
    if DayHashes::of(ctx, canonical, day)?.as_ref() == Some(hashes) {
        // The exposures last: by them this is found out again where it breaks off.
        canonical.of(Stream::Outcomes).remove(day)?;
        canonical.remove(day)?;
    }
    Ok(())
}

/// Marks a day as refused whose raw data cannot be taken, however often that is tried: later windows would else be built
/// without it, or over what it was before. An empty delivery is no such data; it erases nothing.
pub(crate) fn mark_not_taken(ctx: &Context, day: Day, error: &anyhow::Error) {
    let is_empty = matches!(error.downcast_ref(), Some(Refused::Erasure { .. }));
    if !is_empty && matches!(class(error), Class::Refused | Class::Limit) {
        let marked = ctx.claim_canonical().and_then(|()| Ok(ctx.canonical().refused().mark(day)?));
        match marked {
            Ok(()) => tracing::info!(%day, file = ctx.canonical().refused().name(day), "marked as refused"),
            Err(error) => {
                tracing::warn!(%day, error = one_line(error.as_ref()), "cannot mark the day as refused");
            }
        }
    }
}

/// Puts a day in place that was kept apart, with its outcomes: it has none where none were kept apart with it. Where they do
/// not come with the exposures, those that are in place stay.
pub(crate) fn restore(ctx: &Context, rows: &DayRows) -> anyhow::Result<()> {
    let (day, canonical) = (rows.day, ctx.canonical());
    match canonical.refused().of(Stream::Outcomes).load(day, &ctx.budget)? {
        Some((outcomes, _)) => drop(canonical.write(&outcomes)?.commit()?),
        None if !ctx.delivers_outcomes() => {}
        None => drop(canonical.of(Stream::Outcomes).remove(day)?),
    }
    canonical.write(rows)?.commit()?;
    remove_refused(ctx, day)
}

/// Removes what was kept apart of a day, which is in its place now.
pub(crate) fn remove_refused(ctx: &Context, day: Day) -> anyhow::Result<()> {
    let refused = ctx.canonical().refused();
    if refused.exists(day)? {
        // The exposures last: by them this is found out again where it breaks off.
        refused.of(Stream::Outcomes).remove(day)?;
        refused.remove(day)?;
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
) -> anyhow::Result<()> {
    let report = ctx.reports().read(day)?.filter(|report| Some(report.canonical_hash.as_str()) == hash);
    let Some(report) = report.filter(|report| !report.is_good()) else { return Ok(()) };
    // Of a report that knows nothing of outcomes, the exposures say it.
    let outcomes = DayHashes::of(ctx, ctx.canonical(), day)?.and_then(|hashes| hashes.outcomes);
    if report.outcomes_hash.is_none() || report.outcomes_hash == outcomes {
        return Err(refused_days(ctx, window, &[day]));
    }
    Ok(())
}

/// Refuses to publish what was built from a window in which a gate has refused a day since, unless it was built without that.
/// A process that may not read canonical data publishes with a warning.
pub(crate) fn check_staged(
    ctx: &Context,
    artifact: &Descriptor,
    hashes: &mut SourceHashes<'_>,
) -> anyhow::Result<()> {
    let (kind, window) = (artifact.key.kind, artifact.key.window);
    let days = match excluded(ctx, window, |_| false) {
        Err(error) if error.is::<StoreError>() => {
            tracing::warn!(%window, error = one_line(error.as_ref()), "cannot look whether a day was refused");
            return Ok(());
        }
        days => days?,
    };
    if !days.is_empty() && artifact.build.source_hash != hashes.get(ctx.streams(kind), window)?.hash {
        return Err(JobError::Refused(format!(
            "{kind} of the window {window} was built before a gate refused {}; build it again: it is then built without what was \
             refused",
            ranges(&days)
        ))
        .into());
    }
    Ok(())
}

/// The refused days of a window that is built without them, except those that have just passed. Refuses the window where the
/// configuration says so, and in any case where its newest day is one of them.
pub(crate) fn excluded(
    ctx: &Context,
    window: Window,
    has_just_passed: impl Fn(Day) -> bool,
) -> anyhow::Result<Vec<Day>> {
    let refused = ctx.canonical().refused_days(Some(window.start()))?;
    let days: Vec<Day> =
        window.days().filter(|day| refused.contains(day) && !has_just_passed(*day)).collect();
    let newest = window.days().last();
    match (&days[..], ctx.config.validation.on_refused_day) {
        ([], _) => Ok(days),
        ([.., last], OnRefusedDay::Exclude) if Some(*last) != newest => Ok(days),
        _ => Err(refused_days(ctx, window, &days)),
    }
}

fn refused_days(ctx: &Context, window: Window, days: &[Day]) -> anyhow::Error {
    let way_out = match ctx.config.validation.on_refused_day {
        OnRefusedDay::Exclude => "name later days with --start: no window is built without its newest day",
        OnRefusedDay::Refuse => "set validation.on_refused_day to exclude",
    };
    JobError::Refused(format!(
        "window {window} holds {}, which a gate has refused: put the data right and ingest it again, accept it by `job_validate \
         --accept REASON`, or {way_out}",
        ranges(days)
    ))
    .into()
}
