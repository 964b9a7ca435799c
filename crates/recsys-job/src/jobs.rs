//! The jobs, one function for each binary or command.

use recsys_core::artifact::{BuiltFrom, Kind};
use recsys_core::database::{Mode, Obsolete};
use recsys_core::domain::window::{Day, Window};
use recsys_core::publish::Checked;
use recsys_core::table::WindowCache;
use recsys_core::threads::parallel::try_map;

use crate::pipeline::build::{Plan, artifact_key, build_complete, stage};
use crate::pipeline::catalog::write_catalog;
use crate::pipeline::context::Context;
use crate::pipeline::database::DatabaseTarget;
use crate::pipeline::day;
use crate::pipeline::ingest::{Sources, StreamReport};
use crate::pipeline::publish::{Publishing, check};
use crate::pipeline::refused::check_staged;
use crate::pipeline::signals::{self, warn_of_segment, write_signals};
use crate::pipeline::summary::Summary;
use crate::shell::cli::{
    ArtifactArgs, BuildJob, CatalogJob, CatalogTableJob, CommonArgs, DayArgs, DayJob, PublishJob, ValidateJob,
};
use crate::shell::error::JobError;
use crate::shell::output::Output;
use crate::watch::metrics::Run;
use crate::watch::step::{Step, StepCounts};

/// What a job works with that reads canonical data, and the days it was asked for.
fn begin(run: &Run, common: &CommonArgs, days: &DayArgs) -> anyhow::Result<(Context, Vec<Day>)> {
    let ctx = Context::new(run, common)?;
    ctx.check_canonical()?;
    let days = ctx.days(days)?;
    Ok((ctx, days))
}

/// `job_ingest`: raw events → canonical data.
pub fn ingest(flags: &DayJob, run: &Run) -> anyhow::Result<()> {
    let (ctx, days) = begin(run, &flags.common, &flags.days)?;
    let mut sources = Sources::open(&ctx, &days)?;
    Summary::new(&ctx, flags.common.json).each_day(days, |day, summary| {
        let ingested = day::ingest(&ctx, &mut sources, day)?;
        let output = summary.about(day);
        output.line(&ingested.exposures);
        output.lines(ingested.outcomes.iter().filter_map(StreamReport::unless_empty));
        summary.add(ingested);
        Ok(())
    })
}

/// `job_validate`: quality gates over canonical data.
pub fn validate_days(flags: &ValidateJob, run: &Run) -> anyhow::Result<()> {
    let (ctx, days) = begin(run, &flags.common, &flags.days)?;
    Summary::new(&ctx, flags.common.json).each_day(days, |day, summary| {
        let report = day::validate(&ctx, day, flags.accept.as_deref())?;
        summary.about(day).line(&report);
        summary.add(report);
        Ok(())
    })
}

/// `job_popularity`, `job_cooc`, `job_implicit`, `job_session_seq`: canonical data → staged artifacts.
pub fn build_kind(kind: Kind, flags: &BuildJob, run: &Run) -> anyhow::Result<()> {
    let (ctx, days) = begin(run, &flags.common, &flags.days)?;
    let catalog = ctx.catalog_of(&[kind])?;
    let plan = Plan { kinds: &[kind], args: &flags.artifacts, catalog: &catalog };
    build_and_stage(&ctx, &plan, days, flags.common.json)
}

/// `job_content_sim`: catalogue → staged artifacts.
pub fn content_sim(flags: &CatalogJob, run: &Run) -> anyhow::Result<()> {
    let (ctx, days) = begin(run, &flags.common, &flags.days)?;
    let catalog = ctx.catalog(flags.input.as_deref(), flags.format)?;
    let plan = Plan { kinds: &[Kind::ContentSim], args: &flags.artifacts, catalog: &catalog };
    build_and_stage(&ctx, &plan, days, flags.common.json)
}

fn build_and_stage(ctx: &Context, plan: &Plan<'_>, days: Vec<Day>, json: bool) -> anyhow::Result<()> {
    let mut cache = WindowCache::default();
    Summary::new(ctx, json).each_day(days, |day, summary| {
        drop(cache.take_before(plan.first_day(ctx, day)?));
        for document in build_complete(ctx, plan, &mut cache, day)? {
            let report = stage(ctx, &document)?;
            let output = summary.about(day);
            output.line(&report);
            output.lines(report.notes());
            summary.add(report);
        }
        Ok(())
    })
}

/// All that the windows of a range of days reach back to.
fn range(ctx: &Context, args: &ArtifactArgs, days: &[Day]) -> anyhow::Result<Option<Window>> {
    let of_first = |kind: &Kind| Ok(artifact_key(ctx, args, *kind, days[0])?.window);
    let windows = Kind::ALL.iter().map(of_first).collect::<anyhow::Result<Vec<_>>>()?;
    let before = windows.into_iter().map(|window| window.days().count()).max().unwrap_or(1);
    let count = u32::try_from(before + days.len() - 1).unwrap_or(u32::MAX);
    Ok(days.last().map(|last| Window::ending_with(*last, count)).transpose()?)
}

/// `job_publish`: staged artifacts → blobs, records and, with one swap at the end, the manifest.
///
/// Every kind that is staged is published. A kind that the configuration lists and that is not staged keeps
/// what the manifest names, with a warning.
pub fn publish_staged(flags: &PublishJob, run: &Run) -> anyhow::Result<()> {
    let ctx = Context::for_publishing(run, &flags.common)?;
    let days = ctx.days(&flags.days)?;
    ctx.published.check_disks()?;
    let publishing = Publishing::begin(&ctx, &flags.publish, range(&ctx, &flags.artifacts, &days)?);
    let publisher = &publishing.publisher;
    let (mut any, mut missing, mut stored) = (false, Vec::new(), Vec::new());
    for day in &days {
        let mut staged = Vec::new();
        for kind in Kind::ALL {
            let key = artifact_key(&ctx, &flags.artifacts, *kind, *day)?;
            match ctx.staging().current(&key, &ctx.config.limits)? {
                Some(artifact) => staged.push(artifact),
                None if ctx.config.artifact_kinds.contains(kind) => missing.push(key),
                None => {}
            }
        }
        any |= !staged.is_empty();
        let checked = check(&ctx, staged)?;
        let mut hashes = ctx.source_hashes();
        for Checked { descriptor, .. } in &checked {
            if descriptor.key.kind.built_from() == BuiltFrom::Events {
                check_staged(&ctx, descriptor, &mut hashes)?;
            }
        }
        publisher.plan(&ctx.scope, checked.iter().map(|it| &it.descriptor))?;
        stored.extend(try_map(&checked, |checked| {
            publisher.store(publisher.prepare(&checked.descriptor, &checked.bytes)?, checked)
        })?);
    }
    if !any {
        let key = artifact_key(&ctx, &flags.artifacts, ctx.config.artifact_kinds[0], days[days.len() - 1])?;
        return Err(JobError::NothingStaged(ctx.staging().name(&key)).into());
    }
    for key in missing {
        tracing::warn!(kind = %key.kind, window = %key.window, "nothing is staged; what is current stays");
    }
    let mut summary = Summary::new(&ctx, flags.common.json);
    let report = publishing.finish(&stored)?;
    summary.output.line(&ctx.scope);
    summary.output.lines(&report.artifacts);
    summary.output.line(&report);
    summary.held = report.held(&ctx).err();
    summary.add(report);
    summary.end(Ok(()))
}

/// `job_db_signals`: artifacts → the rows of each day in the database.
pub fn db_signals(flags: &BuildJob, run: &Run) -> anyhow::Result<()> {
    let (ctx, days) = begin(run, &flags.common, &flags.days)?;
    let target = DatabaseTarget::required(&ctx)?;
    // Before anything is built: a wrong password is found out at once.
    target.check()?;
    warn_of_segment(&flags.artifacts);
    Summary::new(&ctx, flags.common.json).each_day(days, |day, summary| {
        let reports = write_signals(&ctx, &target, &flags.artifacts, &signals::KINDS, day)?;
        summary.about(day).lines(&reports);
        for report in reports {
            summary.add(report);
        }
        Ok(())
    })
}

/// `job_catalog`: a catalogue → its rows in the database.
pub fn catalog(flags: &CatalogTableJob, run: &Run) -> anyhow::Result<()> {
    let ctx = Context::new(run, &flags.common)?;
    let target = DatabaseTarget::required(&ctx)?;
    let file = ctx.open_catalog(flags.input.as_deref(), flags.format)?;
    let obsolete = if flags.prune { Obsolete::Remove } else { Obsolete::Keep };
    let mode = if flags.dry_run { Mode::DryRun } else { Mode::Write };
    let step = Step::begin(&ctx.meter, "catalog", "")?;
    let report = write_catalog(&ctx, &target, file, obsolete, mode)?;
    step.end(&StepCounts::default());
    let output = Output::new(flags.common.json);
    output.line(&report);
    output.end(&report, Ok(()))
}
