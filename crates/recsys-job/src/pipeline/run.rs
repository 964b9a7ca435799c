//! `recsys-pipelines run`: every stage, day by day, each day published before the next one begins.

use recsys_core::artifact::Kind;
use recsys_core::domain::limit::Limit;
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::{Day, Window};
use recsys_core::input::raw::Raw;
use recsys_core::publish::Registry;
use recsys_core::table::WindowCache;

use crate::config::Config;
use crate::pipeline::build::{ArtifactReport, Plan};
use crate::pipeline::checkpoint;
use crate::pipeline::context::Context;
use crate::pipeline::database::DatabaseTarget;
use crate::pipeline::day;
use crate::pipeline::ingest::{Sources, StreamReport};
use crate::pipeline::publish::check_held;
use crate::pipeline::signals::{self, warn_of_segment, write_signals};
use crate::pipeline::summary::Summary;
use crate::shell::cli::{DayArgs, RunJob};
use crate::shell::error::JobError;
use crate::watch::metrics::Run;
use crate::watch::step::Step;

/// `recsys-pipelines run`.
pub(crate) fn run(flags: &RunJob, run: &Run) -> anyhow::Result<()> {
    let ctx = Context::for_publishing(run, &flags.common)?;
    let summary = Summary::new(&ctx, flags.common.json);
    // A checkpoint that cannot be read stops the run before it has done anything.
    let last = checkpoint::read(&ctx)?;
    ctx.check_canonical()?;
    check_registry(&ctx, flags, last)?;
    let days = run_days(&ctx, flags, last)?;
    if days.is_empty() {
        summary.output.line(format_args!("{}: nothing to do, the checkpoint is up to date", ctx.scope));
        return summary.end(Ok(()));
    }
    let kinds = &ctx.config.artifact_kinds;
    let catalog = ctx.catalog_of(kinds)?;
    let plan = Plan { kinds, args: &flags.artifacts, catalog: &catalog };
    let signal_kinds: Vec<Kind> = signals::KINDS.into_iter().filter(|kind| kinds.contains(kind)).collect();
    let target = DatabaseTarget::configured(&ctx).filter(|_| !signal_kinds.is_empty());
    if let Some(target) = &target {
        // Before any work: a wrong password is found out at once.
        target.check()?;
        warn_of_segment(&flags.artifacts);
    }
    ctx.published.check_disks()?;
    let mut sources = Sources::open(&ctx, &days)?;
    let mut cache = WindowCache::default();
    // The days before one that fails are published, whatever becomes of it.
    summary.each_day(days, |day, summary| {
        drop(cache.take_before(plan.first_day(&ctx, day)?));
        let step = Step::begin(&ctx.meter, "ingest", Window::ending_with(day, 1)?)?;
        let delivered = sources.read(day)?;
        step.end(&delivered.exposures);
        let mut ran = day::run(&ctx, &plan, &flags.publish, &mut cache, delivered)?;
        if let Some(target) = &target {
            ran.signals = write_signals(&ctx, target, &flags.artifacts, &signal_kinds, day)?;
        }
        // A day of which something is held is published when the hold is released.
        match ran.published.held(&ctx) {
            Ok(()) if summary.held.is_none() && ctx.clock.is_past(day) => checkpoint::advance(&ctx, day)?,
            Ok(()) => {}
            Err(error) => drop(summary.held.get_or_insert(error)),
        }

        let output = summary.about(day);
        output.line(&ran.exposures);
        output.lines(Some(&ran.validated).filter(|validated| validated.past.lookback_days > 0));
        output.lines(ran.outcomes.iter().filter_map(StreamReport::unless_empty));
        output.lines(&ran.published.artifacts);
        output.lines(ran.artifacts.iter().filter_map(ArtifactReport::notes));
        output.line(&ran.published);
        output.lines(&ran.signals);
        summary.add(ran);
        Ok(())
    })
}

/// Refuses before anything is done where nothing could become current, and an incremental run where what was published
/// is gone.
fn check_registry(ctx: &Context, flags: &RunJob, last: Option<Day>) -> anyhow::Result<()> {
    let registry = Registry::new(&*ctx.published.registry).at(ctx.clock.horizon());
    let current = registry.current(&ctx.scope)?;
    if let (true, Some(day), None) = (flags.incremental, last, current) {
        let (checkpoint, manifest) = (checkpoint::name(ctx), registry.name(&ctx.scope));
        return Err(JobError::Refused(format!(
            "{checkpoint} says that {day} was published, and {manifest} does not exist: is registry_dir the one it was \
             published to? If so, name the days with --start; else correct registry_dir, or remove the checkpoint"
        ))
        .into());
    }
    let mut holds = registry.holds(&ctx.scope)?;
    let kinds = &ctx.config.artifact_kinds;
    if kinds.iter().all(|kind| holds.contains_key(kind)) {
        holds.retain(|kind, _| kinds.contains(kind));
        return check_held(ctx, holds);
    }
    Ok(())
}

/// The days to run: as asked for, or from the checkpoint on.
fn run_days(ctx: &Context, flags: &RunJob, checkpoint: Option<Day>) -> anyhow::Result<Vec<Day>> {
    let range = |start: Day, end: Option<Day>| {
        ctx.days(&DayArgs { start, end, allow_open_day: flags.allow_open_day })
    };
    if !flags.incremental {
        let start = flags.start.ok_or_else(|| JobError::Usage("--start is missing".to_owned()))?;
        return range(start, flags.end);
    }
    let yesterday = || Ok::<_, anyhow::Error>(Day::of(ctx.clock.now())?.plus(-1)?);
    match (checkpoint, flags.start) {
        (Some(last), _) => {
            let end = flags.end.map_or_else(yesterday, Ok)?;
            if last > end {
                tracing::warn!(checkpoint = %last, %end, "the checkpoint is later than the last day to run");
            }
            let mut days = late_days(ctx, flags.reprocess_days, last, end)?;
            if last < end {
                days.extend(range(last.next()?, Some(end))?);
            }
            Ok(days)
        }
        (None, Some(start)) => range(start, Some(flags.end.map_or_else(yesterday, Ok)?)),
        (None, None) => {
            let line = "there is no checkpoint yet; say with --start where to begin".to_owned();
            Err(JobError::Usage(line).into())
        }
    }
}

/// The days up to the checkpoint that are done again, because events may have arrived since: those that have
/// canonical data, and those whose file has come since. What is no raw file cannot be looked at, so a day without any
/// is done again where it may stay empty.
fn late_days(ctx: &Context, count: u32, last: Day, end: Day) -> anyhow::Result<Vec<Day>> {
    let Config { limits, validation, .. } = &ctx.config;
    limits.check(Limit::DaysBackfill, count as usize)?;
    let store = if ctx.input.is_some() { None } else { Some(ctx.raw_store()?) };
    let has_raw = |day: Day| -> anyhow::Result<bool> {
        let Some(store) = &store else {
            return Ok(validation.min_events == 0 && ctx.reports().read(day)?.is_some());
        };
        let raw = Raw::new(&**store, &ctx.scope)?;
        Ok(raw.has_day(day)? || raw.of(Stream::Outcomes).has_day(day)?)
    };
    let mut days = Vec::new();
    for before in (0..i64::from(count)).rev() {
        let day = last.plus(-before)?;
        if day > end {
            continue;
        }
        let canonical = ctx.canonical();
        if canonical.exists(day)? || canonical.refused().exists(day)? || has_raw(day)? {
            days.push(day);
        } else {
            tracing::warn!(%day, "not done again: it has neither canonical data nor a raw file of its own");
        }
    }
    Ok(days)
}
