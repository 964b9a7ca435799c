//! `recsys-pipelines run`: every step, day by day, each day published before the next one begins.

use std::sync::mpsc::sync_channel;
use std::thread;

use recsys_core::artifact::{Encoded, Kind, Source};
use recsys_core::canonical::DayRows;
use recsys_core::database::Driver;
use recsys_core::domain::limit::Limit;
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::{Day, Window};
use recsys_core::input::catalog::Catalog;
use recsys_core::input::raw::Raw;
use recsys_core::publish::Registry;
use recsys_core::staging::Staged;
use recsys_core::threads::parallel::{self, joined, start};
use serde::Serialize;

use crate::config::{Config, RawType};
use crate::pipeline::build::{ArtifactReport, Days, Plan, build, complete, stage};
use crate::pipeline::checkpoint;
use crate::pipeline::context::Context;
use crate::pipeline::database::Target;
use crate::pipeline::day_hashes::DayHashes;
use crate::pipeline::ingest::{Ingest, IngestReport, Read, SourceReport, commit, dropped};
use crate::pipeline::outcomes::{DayOutcomes, OutcomeReport, Outcomes};
use crate::pipeline::publish::{PublishReport, Publishing, check, check_held};
use crate::pipeline::refused::{keep_apart, remove_apart};
use crate::pipeline::signals::{self, SignalReport, warn_of_segment, write_signals};
use crate::pipeline::summary::Summary;
use crate::pipeline::validate::{ValidateReport, judge, look};
use crate::shell::cli::{DayArgs, PublishFlags, RunJob};
use crate::shell::error::JobError;
use crate::shell::output::Output;
use crate::watch::metrics::Run;
use crate::watch::step::Step;

/// `recsys-pipelines run`.
pub(crate) fn run(flags: &RunJob, run: &Run, driver: &dyn Driver) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Ran {
        day: Day,
        source: Option<SourceReport>,
        canonical: IngestReport,
        validated: ValidateReport,
        /// None where the source has no outcomes.
        outcomes: Option<OutcomeReport>,
        artifacts: Vec<ArtifactReport>,
        published: PublishReport,
        /// Empty unless a database is configured.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        signals: Vec<SignalReport>,
    }
    let ctx = Context::for_publishing(run, &flags.common)?;
    let output = Output::new(flags.common.json);
    let mut document = Summary::new(&ctx);
    // A checkpoint that cannot be read stops the run before it has done anything.
    let last = checkpoint::read(&ctx)?;
    ctx.check_canonical()?;
    check_registry(&ctx, flags, last)?;
    let days = run_days(&ctx, flags, last)?;
    if days.is_empty() {
        output.line(format_args!("{}: nothing to do, the checkpoint is up to date", ctx.scope));
        return output.end(&document, Ok(()));
    }
    let kinds = &ctx.config.artifact_kinds;
    let from_catalog = kinds.iter().any(|kind| kind.source() == Source::Catalog);
    let catalog = if from_catalog { ctx.catalog(None, None)? } else { Catalog::default() };
    let plan = Plan { kinds, args: &flags.artifacts, catalog: &catalog };
    let signal_kinds: Vec<Kind> = signals::KINDS.into_iter().filter(|kind| kinds.contains(kind)).collect();
    let target = Target::configured(&ctx, driver).filter(|_| !signal_kinds.is_empty());
    if let Some(target) = &target {
        // Before any work: a wrong password is found out at once.
        target.check()?;
        warn_of_segment(&flags.artifacts);
    }
    ctx.published.check_disks()?;
    let mut ingest = Ingest::open(&ctx, driver, &days)?;
    let mut outcomes = Outcomes::open(&ctx, &days)?;
    let mut loaded = Days::default();
    let mut held = None;
    let done = days.into_iter().try_for_each(|day| -> anyhow::Result<()> {
        drop(loaded.take_before(plan.first_day(&ctx, day)?));
        let step = Step::begin(&ctx.meter, "ingest", Window::ending_with(day, 1)?)?;
        let (read, of_outcomes) = (ingest.read(day)?, outcomes.read(day)?);
        step.end(&read);
        let Read { rows, source } = read;
        let events = DayEvents { rows, source: source.as_ref(), outcomes: &of_outcomes };
        let RanDay { in_place, artifacts, published } =
            run_day(&ctx, &plan, &flags.publish, &mut loaded, events)?;
        let InPlace { canonical, validated, outcomes } = in_place;
        let signals = match &target {
            Some(target) => write_signals(&ctx, target, &flags.artifacts, &signal_kinds, day)?,
            None => Vec::new(),
        };
        // A day of which something is held is published when the hold is released.
        match published.held(&ctx) {
            Ok(()) if held.is_none() && ctx.clock.is_past(day) => checkpoint::advance(&ctx, day)?,
            Ok(()) => {}
            Err(error) => drop(held.get_or_insert(error)),
        }

        output.line(format_args!("{} {day}", ctx.scope));
        output.lines(&source);
        output.line(&canonical);
        output.lines(Some(&validated).filter(|validated| validated.past.lookback_days > 0));
        output.lines(outcomes.iter().filter_map(OutcomeReport::line));
        output.lines(&published.artifacts);
        output.lines(artifacts.iter().filter_map(ArtifactReport::notes));
        output.line(&published);
        output.lines(&signals);
        let ran = Ran { day, source, canonical, validated, outcomes, artifacts, published, signals };
        document.days.push(ran);
        Ok(())
    });
    // The days before the one that failed are published, whatever became of it.
    output.end(&document, done.and(held.map_or(Ok(()), Err)))
}

/// Refuses before anything is done where nothing could become current, and an incremental run where what was published
/// is gone.
fn check_registry(ctx: &Context, flags: &RunJob, last: Option<Day>) -> anyhow::Result<()> {
    let registry = Registry::new(&*ctx.published.registry).at(ctx.clock.horizon());
    let current = registry.current(&ctx.scope)?;
    if let (true, Some(day), None) = (flags.incremental, last, current) {
        let (checkpoint, manifest) = (checkpoint::name(ctx), registry.name(&ctx.scope));
        return Err(JobError::NotPublished { checkpoint, day, manifest }.into());
    }
    let mut holds = registry.holds(&ctx.scope)?;
    let kinds = &ctx.config.artifact_kinds;
    if kinds.iter().all(|kind| holds.contains_key(kind)) {
        holds.retain(|kind, _| kinds.contains(kind));
        return check_held(ctx, holds);
    }
    Ok(())
}

/// What was read of a day.
struct DayEvents<'a> {
    rows: DayRows,
    source: Option<&'a SourceReport>,
    outcomes: &'a DayOutcomes<'a>,
}

/// What became of the files of a day.
struct InPlace {
    canonical: IngestReport,
    validated: ValidateReport,
    outcomes: Option<OutcomeReport>,
}

/// What became of a day.
struct RanDay {
    in_place: InPlace,
    artifacts: Vec<ArtifactReport>,
    published: PublishReport,
}

/// Writes a day's canonical files, and builds, stages and publishes its artifacts.
///
/// The canonical files are written while the artifacts are built from memory, and flushed while they are
/// staged and stored. Nothing becomes current before it is in place.
fn run_day(
    ctx: &Context,
    plan: &Plan<'_>,
    flags: &PublishFlags,
    loaded: &mut Days,
    DayEvents { rows, source, outcomes }: DayEvents<'_>,
) -> anyhow::Result<RanDay> {
    let day = rows.day;
    loaded.insert(&rows);
    if plan.counts_outcomes(ctx) {
        outcomes.rows().into_iter().for_each(|outcomes| loaded.insert(outcomes));
    }
    loaded.keep_to_the_budget(ctx)?;
    // A window of several days, and one with outcomes, is hashed from its files, so this day's must be there
    // first.
    let file_needed = plan.first_day(ctx, day)? < day || plan.counts_outcomes(ctx);
    thread::scope(|scope| {
        let written = rows.clone();
        let write = move || Ok::<_, anyhow::Error>((ctx.canonical().write(&written)?, outcomes.write()?));
        let writing = start(scope, write)?;
        let found = look(ctx, &rows, outcomes.rows(), dropped(&rows, source))?;
        let judged = judge(ctx, day, found)?;
        let built = judged.passed().then(|| build(ctx, plan, loaded, day));
        let (pending, pending_outcomes) = joined(writing)?;
        let hashes = DayHashes::pending(&pending, pending_outcomes.as_ref());
        let judged = judged.of(ctx, &hashes)?;
        if let Err(refused) = judged.verdict(ctx, source) {
            keep_apart(ctx, &rows, outcomes.rows(), &hashes)?;
            judged.write(ctx, hashes)?;
            return Err(refused);
        }
        let built = built.unwrap_or_else(|| build(ctx, plan, loaded, day));
        loaded.set_hash(Stream::Exposures, day, &hashes.exposures);
        if let Some(pending) = &pending_outcomes {
            loaded.set_hash(Stream::Outcomes, day, pending.hash());
        }
        let commit = move || -> anyhow::Result<InPlace> {
            let canonical = commit(ctx, &rows, pending)?;
            let outcomes = outcomes.commit(pending_outcomes)?;
            remove_apart(ctx, day)?;
            Ok(InPlace { canonical, validated: judged.write(ctx, hashes)?, outcomes })
        };
        let in_place: Box<dyn FnOnce() -> anyhow::Result<InPlace>> = if file_needed {
            let report = commit()?;
            Box::new(|| Ok(report))
        } else {
            let committing = start(scope, commit)?;
            Box::new(|| joined(committing))
        };
        let stored = built.and_then(|built| {
            let artifacts = complete(ctx, plan, loaded, built)?;
            // There are processors to spare while the disk works.
            if let Some(first) = day.next().ok().and_then(|next| plan.first_day(ctx, next).ok()) {
                let unneeded = loaded.take_before(first);
                // Without a thread they are dropped here.
                let _ = start(scope, || drop(unneeded));
            }
            stage_and_store(ctx, flags, artifacts)
        });
        let in_place = in_place()?;
        let (artifacts, publishing) = stored?;
        Ok(RanDay { in_place, artifacts, published: publishing.finish()? })
    })
}

/// Stages the artifacts of a day and writes their blobs aside where that can be done, and checks them meanwhile: to write
/// is to wait for the disk. A blob is put in place when its artifact has passed.
fn stage_and_store<'a>(
    ctx: &'a Context,
    flags: &PublishFlags,
    artifacts: Vec<(Encoded, ArtifactReport)>,
) -> anyhow::Result<(Vec<ArtifactReport>, Publishing<'a>)> {
    // The bytes are shared.
    let to_store: Vec<Encoded> = artifacts.iter().map(|(artifact, _)| artifact.clone()).collect();
    // All end with the same day, so the first is the widest.
    let widest = to_store.iter().map(|artifact| artifact.descriptor.key.window).min();
    let mut publishing = Publishing::begin(ctx, flags, widest);
    let (artifacts, stored) = thread::scope(|scope| {
        let stage_all = || parallel::try_map(artifacts, |(artifact, report)| stage(ctx, &artifact, report));
        let staging = start(scope, stage_all)?;
        let publishing = &publishing;
        let stored = publishing.plan(to_store.iter().map(|artifact| &artifact.descriptor)).and_then(|()| {
            let begin = |Encoded { descriptor, bytes }: Encoded| {
                let (pass, passed) = sync_channel(1);
                let (key, version) = (descriptor.key.clone(), descriptor.build.version.clone());
                let staged = Staged { name: ctx.staging().name(&key), key, version, bytes: bytes.clone() };
                let store = move || publishing.store(&descriptor, &bytes, || passed.recv().ok());
                Ok((start(scope, store)?, (staged, pass)))
            };
            let writers = to_store.into_iter().map(begin).collect::<anyhow::Result<Vec<_>>>()?;
            let (storing, to_check): (Vec<_>, Vec<_>) = writers.into_iter().unzip();
            // Whoever does not take what has passed says why when it is joined.
            check(ctx, to_check, |pass, checked| drop(pass.send(checked)))?;
            let stored = storing.into_iter().map(joined).collect::<Result<Vec<_>, _>>()?;
            Ok(stored.into_iter().flatten().collect::<Vec<_>>())
        });
        Ok::<_, anyhow::Error>((joined(staging)?, stored?))
    })?;
    publishing.add(stored);
    Ok((artifacts, publishing))
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
/// canonical data, and those whose file has come since. Of a table nobody knows whether rows have come, so a day
/// without any is done again where it may stay empty.
fn late_days(ctx: &Context, count: u32, last: Day, end: Day) -> anyhow::Result<Vec<Day>> {
    let Config { limits, validation, raw_source, .. } = &ctx.config;
    limits.check(Limit::DaysBackfill, count as usize)?;
    let is_table = raw_source.r#type == RawType::Postgres;
    let store = if is_table { None } else { Some(ctx.raw_store()?) };
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
