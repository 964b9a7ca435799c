//! The jobs, one function for each binary or command.

use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

use recsys_core::artifact::{Kind, Source};
use recsys_core::canonical::DayRows;
use recsys_core::catalog::Catalog;
use recsys_core::window::Day;
use serde::Serialize;

use crate::checkpoint;
use crate::cli::{
    BuildJob, CatalogJob, DayJob, Pipelines, PipelinesCommand, PublishFlags, PublishJob, RunJob,
};
use crate::context::Context;
use crate::error::JobError;
use crate::output::Output;
use crate::steps::build::{ArtifactReport, Days, Plan, artifact_key, build, stage};
use crate::steps::ingest::{Ingest, IngestReport, Read, SourceReport, commit};
use crate::steps::publish::{PublishReport, Publishing};
use crate::steps::validate::validate;

/// The document that a job prints with `--json`.
#[derive(Debug, Serialize)]
struct Document<'a, D> {
    tenant: &'a str,
    surface: &'a str,
    days: Vec<D>,
}

impl<'a, D: Serialize> Document<'a, D> {
    fn new(ctx: &'a Context) -> Self {
        let (tenant, surface) = (ctx.scope.tenant.as_str(), ctx.scope.surface.as_str());
        Self { tenant, surface, days: Vec::new() }
    }
}

/// `job_ingest`: raw events → canonical data.
pub fn ingest(flags: &DayJob) -> Result<(), JobError> {
    #[derive(Serialize)]
    struct Ingested {
        source: Option<SourceReport>,
        canonical: IngestReport,
    }
    let ctx = Context::new(&flags.common, &flags.scope)?;
    let days = ctx.days(flags.days.start, flags.days.end)?;
    let output = Output::new(flags.common.json);
    let mut document = Document::new(&ctx);
    let mut ingest = Ingest::open(&ctx, &days)?;
    for day in days {
        let Read { rows, source } = ingest.read(day)?;
        let canonical = commit(&ctx, &rows, ctx.canonical().write(&rows)?)?;
        output.line(format_args!("{} {day}", ctx.scope));
        if let Some(source) = &source {
            output.line(source);
        }
        output.line(&canonical);
        document.days.push(Ingested { source, canonical });
    }
    output.document(&document);
    Ok(())
}

/// `job_validate`: quality gates over canonical data.
pub fn validate_days(flags: &DayJob) -> Result<(), JobError> {
    let ctx = Context::new(&flags.common, &flags.scope)?;
    let output = Output::new(flags.common.json);
    let mut document = Document::new(&ctx);
    for day in ctx.days(flags.days.start, flags.days.end)? {
        let events = ctx.canonical().load(day)?.map_or(0, |(rows, _)| rows.rows.len());
        let report = validate(&ctx, day, events)?;
        output.line(format_args!("{} {day}", ctx.scope));
        output.line(&report);
        document.days.push(report);
    }
    output.document(&document);
    Ok(())
}

/// `job_popularity`, `job_cooc`, `job_implicit`, `job_session_seq`: canonical data → staged artifacts.
pub fn build_kind(kind: Kind, flags: &BuildJob) -> Result<(), JobError> {
    let ctx = Context::new(&flags.common, &flags.scope)?;
    let days = ctx.days(flags.days.start, flags.days.end)?;
    let catalog = Catalog::default();
    let plan = Plan { kinds: &[kind], args: &flags.artifacts, catalog: &catalog };
    build_and_stage(&ctx, &plan, days, Output::new(flags.common.json))
}

/// `job_content_sim`: catalogue → staged artifacts.
pub fn content_sim(flags: &CatalogJob) -> Result<(), JobError> {
    let ctx = Context::new(&flags.common, &flags.scope)?;
    let days = ctx.days(flags.days.start, flags.days.end)?;
    let catalog = ctx.catalog(flags.input.as_deref(), flags.format)?;
    let plan = Plan { kinds: &[Kind::ContentSim], args: &flags.artifacts, catalog: &catalog };
    build_and_stage(&ctx, &plan, days, Output::new(flags.common.json))
}

fn build_and_stage(ctx: &Context, plan: &Plan<'_>, days: Vec<Day>, output: Output) -> Result<(), JobError> {
    let mut document = Document::new(ctx);
    let mut loaded = Days::default();
    for day in days {
        loaded.forget_before(plan.first_day(ctx, day)?);
        let built = build(ctx, plan, &mut loaded, day)?;
        for artifact in stage(ctx, plan, &loaded, built)? {
            output.line(format_args!("{} {day}", ctx.scope));
            output.line(&artifact.report);
            document.days.push(artifact.report);
        }
    }
    output.document(&document);
    Ok(())
}

/// `job_publish`: staged artifacts → blobs, records and, with one swap at the end, the manifest.
///
/// Every kind that is staged is published. A kind that the configuration lists and nobody has staged keeps
/// what the manifest names, with a warning.
pub fn publish_staged(flags: &PublishJob) -> Result<(), JobError> {
    let ctx = Context::new(&flags.common, &flags.scope)?;
    let days = ctx.days(flags.days.start, flags.days.end)?;
    let mut publishing = Publishing::begin(&ctx, &flags.publish);
    let (mut any, mut missing) = (false, Vec::new());
    for day in &days {
        let mut staged = Vec::new();
        for kind in Kind::ALL {
            let key = artifact_key(&ctx, &flags.artifacts, *kind, *day)?;
            match ctx.staging().current(&key)? {
                Some(artifact) => staged.push((key, artifact)),
                None if ctx.config.artifact_kinds.contains(kind) => missing.push(key),
                None => {}
            }
        }
        any |= !staged.is_empty();
        publishing.store(staged)?;
    }
    if !any {
        let key = artifact_key(&ctx, &flags.artifacts, ctx.config.artifact_kinds[0], days[days.len() - 1])?;
        return Err(JobError::NothingStaged(ctx.staging().name(&key)));
    }
    for key in missing {
        tracing::warn!(kind = %key.kind, window = %key.window, "nothing is staged; what is current stays");
    }
    let output = Output::new(flags.common.json);
    let mut document = Document::new(&ctx);
    let report = publishing.finish()?;
    output.line(&ctx.scope);
    report.artifacts.iter().for_each(|artifact| output.line(artifact));
    output.line(&report);
    document.days.push(report);
    output.document(&document);
    Ok(())
}

/// The commands of `recsys-pipelines`.
pub fn pipelines(flags: &Pipelines) -> Result<(), JobError> {
    match &flags.command {
        PipelinesCommand::Run(flags) => run(flags),
    }
}

/// `recsys-pipelines run`: every step, day by day.
fn run(flags: &RunJob) -> Result<(), JobError> {
    #[derive(Serialize)]
    struct Ran {
        day: Day,
        source: Option<SourceReport>,
        canonical: IngestReport,
        artifacts: Vec<ArtifactReport>,
        published: PublishReport,
    }
    let ctx = Context::new(&flags.common, &flags.scope)?;
    let output = Output::new(flags.common.json);
    let mut document = Document::new(&ctx);
    let days = run_days(&ctx, flags)?;
    if days.is_empty() {
        output.line(format_args!("{}: nothing to do, the checkpoint is up to date", ctx.scope));
    }
    let kinds = &ctx.config.artifact_kinds;
    let from_catalog = kinds.iter().any(|kind| kind.source() == Source::Catalog);
    let catalog = if from_catalog { ctx.catalog(None, None)? } else { Catalog::default() };
    let plan = Plan { kinds, args: &flags.artifacts, catalog: &catalog };
    let mut ingest = Ingest::open(&ctx, &days)?;
    let mut loaded = Days::default();
    for day in days {
        loaded.forget_before(plan.first_day(&ctx, day)?);
        let Read { rows, source } = ingest.read(day)?;
        let (canonical, artifacts, published) = run_day(&ctx, &plan, &flags.publish, &mut loaded, &rows)?;
        checkpoint::advance(&ctx, day)?;

        output.line(format_args!("{} {day}", ctx.scope));
        if let Some(source) = &source {
            output.line(source);
        }
        output.line(&canonical);
        published.artifacts.iter().for_each(|artifact| output.line(artifact));
        output.line(&published);
        document.days.push(Ran { day, source, canonical, artifacts, published });
    }
    output.document(&document);
    Ok(())
}

/// Writes a day's canonical file, and builds, stages and publishes its artifacts.
///
/// The canonical file is written while the artifacts are built from memory, and flushed while they are
/// staged and stored. Nothing becomes current before it is in place.
fn run_day(
    ctx: &Context,
    plan: &Plan<'_>,
    flags: &PublishFlags,
    loaded: &mut Days,
    rows: &Arc<DayRows>,
) -> Result<(IngestReport, Vec<ArtifactReport>, PublishReport), JobError> {
    let day = rows.day;
    loaded.insert(rows);
    // A window of several days is hashed from their files, so this day's must be there first.
    let file_needed = plan.first_day(ctx, day)? < day;
    thread::scope(|scope| {
        let writing = scope.spawn(|| ctx.canonical().write(rows));
        let built = validate(ctx, day, rows.rows.len()).and_then(|_| build(ctx, plan, loaded, day));
        let pending = joined(writing)?;
        loaded.set_hash(day, pending.hash().to_owned());
        let commit = move || commit(ctx, rows, pending);
        let in_place: Box<dyn FnOnce() -> Result<IngestReport, JobError>> = if file_needed {
            let report = commit()?;
            Box::new(|| Ok(report))
        } else {
            let committing = scope.spawn(commit);
            Box::new(|| joined(committing))
        };
        let stored = built.and_then(|built| {
            let (staged, artifacts): (Vec<_>, Vec<_>) = stage(ctx, plan, loaded, built)?
                .into_iter()
                .map(|artifact| ((artifact.key, artifact.staged), artifact.report))
                .unzip();
            let mut publishing = Publishing::begin(ctx, flags);
            publishing.store(staged)?;
            Ok((artifacts, publishing))
        });
        let canonical = in_place()?;
        let (artifacts, publishing) = stored?;
        Ok((canonical, artifacts, publishing.finish()?))
    })
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The days to run: as asked for, or from the checkpoint on.
fn run_days(ctx: &Context, flags: &RunJob) -> Result<Vec<Day>, JobError> {
    if !flags.incremental {
        let start = flags.start.ok_or_else(|| JobError::Usage("--start is missing".to_owned()))?;
        return ctx.days(start, flags.end);
    }
    let start = match (checkpoint::read(ctx)?, flags.start) {
        (Some(last), _) => last.next()?,
        (None, Some(start)) => start,
        (None, None) => {
            let line = "there is no checkpoint yet; say with --start where to begin".to_owned();
            return Err(JobError::Usage(line));
        }
    };
    let end = match flags.end {
        Some(end) => end,
        None => Day::of(ctx.clock.now())?.plus(-1)?,
    };
    if end < start { Ok(Vec::new()) } else { ctx.days(start, Some(end)) }
}
