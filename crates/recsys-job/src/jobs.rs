//! The jobs, one function for each binary or command.

use recsys_core::artifact::{Kind, Source};
use recsys_core::database::{Driver, Mode, Obsolete};
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::{Day, Window};
use recsys_core::encoding::hash::sha256;
use recsys_core::gate::Found;
use recsys_core::gate::day_report::DayReport;
use recsys_core::input::catalog::Catalog;
use recsys_core::publish::Checked;
use recsys_core::threads::parallel;
use serde::Serialize;

use crate::pipeline::build::{Days, Plan, artifact_key, build, complete, stage};
use crate::pipeline::catalog::write_catalog;
use crate::pipeline::context::Context;
use crate::pipeline::database::Target;
use crate::pipeline::day_hashes::DayHashes;
use crate::pipeline::ingest::{Ingest, IngestReport, Read, SourceReport, commit, dropped};
use crate::pipeline::outcomes::{OutcomeReport, Outcomes};
use crate::pipeline::publish::{Publishing, check};
use crate::pipeline::refused::{check_staged, keep_apart, put_back, remove_apart, remove_in_place, take_out};
use crate::pipeline::signals::{self, warn_of_segment, write_signals};
use crate::pipeline::summary::Summary;
use crate::pipeline::validate::{Judged, judge, look, report_counts};
use crate::pipeline::window_hashes::WindowHashes;
use crate::shell::cli::{
    ArtifactArgs, BuildJob, CatalogJob, CatalogTableJob, DayJob, PublishJob, ValidateJob,
};
use crate::shell::error::{JobError, one_line};
use crate::shell::output::Output;
use crate::watch::metrics::Run;
use crate::watch::step::Step;

/// `job_ingest`: raw events → canonical data.
pub fn ingest(flags: &DayJob, run: &Run, driver: &dyn Driver) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Ingested {
        source: Option<SourceReport>,
        canonical: IngestReport,
        /// None where the source has no outcomes.
        outcomes: Option<OutcomeReport>,
    }
    let ctx = Context::new(run, &flags.common)?;
    ctx.check_canonical()?;
    let days = ctx.days(&flags.days)?;
    let output = Output::new(flags.common.json);
    let mut document = Summary::new(&ctx);
    let mut ingest = Ingest::open(&ctx, driver, &days)?;
    let mut outcomes = Outcomes::open(&ctx, &days)?;
    let done = days.into_iter().try_for_each(|day| {
        let step = Step::begin(&ctx.meter, "ingest", Window::ending_with(day, 1)?)?;
        let read = ingest.read(day)?;
        let Read { rows, source } = &read;
        let outcomes = outcomes.read(day)?;
        let (pending, pending_outcomes) = (ctx.canonical().write(rows)?, outcomes.write()?);
        let hashes = DayHashes::pending(&pending, pending_outcomes.as_ref());
        let dropped = dropped(rows, source.as_ref());
        let found = look(&ctx, rows, outcomes.rows(), dropped)?;
        let judged = Judged::new(&ctx, day, found.clone())?.of(&ctx, &hashes)?;
        let verdict = judged.verdict(&ctx, source.as_ref());
        let passed = verdict.is_ok();
        if let Err(refused) = verdict {
            if rows.is_empty() && ctx.canonical().exists(day)? {
                // What is there would be removed.
                return Err(refused);
            }
            // To fail is up to job_validate.
            tracing::warn!("{}", one_line(refused.as_ref()));
        }
        let (canonical, outcomes) = if passed || rows.is_empty() {
            let canonical = commit(&ctx, rows, pending)?;
            report_counts(&ctx, day, &found, hashes)?;
            let outcomes = outcomes.commit(pending_outcomes)?;
            if passed {
                remove_apart(&ctx, day)?;
            } else {
                ctx.canonical().refused().unmark(day)?;
            }
            (canonical, outcomes)
        } else {
            keep_apart(&ctx, rows, outcomes.rows(), &hashes)?;
            judged.write(&ctx, hashes)?;
            (IngestReport::kept_apart(&ctx, rows), outcomes.kept_apart())
        };
        step.end(&read);
        output.line(format_args!("{} {day}", ctx.scope));
        output.lines(source);
        output.line(&canonical);
        output.lines(outcomes.iter().filter_map(OutcomeReport::line));
        document.days.push(Ingested { source: read.source, canonical, outcomes });
        Ok(())
    });
    output.end(&document, done)
}

/// `job_validate`: quality gates over canonical data. What passes or is accepted is in its place afterwards, and what does
/// not is kept apart.
pub fn validate_days(flags: &ValidateJob, run: &Run) -> anyhow::Result<()> {
    let ctx = Context::new(run, &flags.common)?;
    ctx.check_canonical()?;
    let output = Output::new(flags.common.json);
    let mut document = Summary::new(&ctx);
    let done = ctx.days(&flags.days)?.into_iter().try_for_each(|day| {
        let apart = ctx.canonical().refused().load(day, &ctx.budget)?;
        let is_apart = apart.is_some();
        if apart.as_ref().is_some_and(|(rows, _)| rows.is_empty()) {
            return Err(JobError::NotTaken(day).into());
        }
        let canonical = if is_apart { ctx.canonical().refused() } else { ctx.canonical() };
        let loaded = if is_apart { apart } else { canonical.load(day, &ctx.budget)? };
        let exposures = loaded.as_ref().map_or_else(|| sha256(b""), |(_, hash)| hash.clone());
        let hashes = DayHashes::with(&ctx, canonical, day, exposures)?;
        // What was dropped is known to whoever has ingested the day.
        let ingested = ctx.reports().read(day)?.filter(|report| report.canonical_hash == hashes.exposures);
        let dropped = ingested.as_ref().map(DayReport::dropped).unwrap_or_default();
        let found = match &loaded {
            Some((rows, _)) => {
                let outcomes = match ctx.config.validation.max_share_of_one {
                    Some(_) => canonical.of(Stream::Outcomes).load(day, &ctx.budget)?,
                    None => None,
                };
                look(&ctx, rows, outcomes.as_ref().map(|(outcomes, _)| outcomes), dropped)?
            }
            None => Found { dropped, ..Found::default() },
        };
        let judged = judge(&ctx, day, found)?;
        let mut judged = judged.of(&ctx, &hashes)?;
        if let Some(reason) = flags.accept.as_ref().filter(|_| !judged.passed()) {
            // A day without data has a report from whoever has judged it, too.
            let was_ingested =
                ingested.as_ref().is_some_and(|report| loaded.is_some() || report.duplicates.is_some());
            if !was_ingested {
                return Err(JobError::NotIngested(day).into());
            }
            judged = judged.accept(&ctx, &hashes, reason.clone());
        }
        let verdict = judged.verdict(&ctx, None);
        // Before the data: what is in place is then never without the word that let it in.
        let report = judged.write(&ctx, hashes.clone())?;
        match (&loaded, is_apart, verdict.is_ok()) {
            (Some((rows, _)), true, true) => put_back(&ctx, rows)?,
            (Some((rows, _)), false, false) => take_out(&ctx, rows, &hashes)?,
            (Some(_), true, false) => remove_in_place(&ctx, day, &hashes)?,
            _ => {}
        }
        verdict?;
        output.line(format_args!("{} {day}", ctx.scope));
        output.line(&report);
        document.days.push(report);
        Ok(())
    });
    output.end(&document, done)
}

/// `job_popularity`, `job_cooc`, `job_implicit`, `job_session_seq`: canonical data → staged artifacts.
pub fn build_kind(kind: Kind, flags: &BuildJob, run: &Run) -> anyhow::Result<()> {
    let ctx = Context::new(run, &flags.common)?;
    ctx.check_canonical()?;
    let days = ctx.days(&flags.days)?;
    let catalog = Catalog::default();
    let plan = Plan { kinds: &[kind], args: &flags.artifacts, catalog: &catalog };
    build_and_stage(&ctx, &plan, days, Output::new(flags.common.json))
}

/// `job_content_sim`: catalogue → staged artifacts.
pub fn content_sim(flags: &CatalogJob, run: &Run) -> anyhow::Result<()> {
    let ctx = Context::new(run, &flags.common)?;
    ctx.check_canonical()?;
    let days = ctx.days(&flags.days)?;
    let catalog = ctx.catalog(flags.input.as_deref(), flags.format)?;
    let plan = Plan { kinds: &[Kind::ContentSim], args: &flags.artifacts, catalog: &catalog };
    build_and_stage(&ctx, &plan, days, Output::new(flags.common.json))
}

fn build_and_stage(ctx: &Context, plan: &Plan<'_>, days: Vec<Day>, output: Output) -> anyhow::Result<()> {
    let mut document = Summary::new(ctx);
    let mut loaded = Days::default();
    let done = days.into_iter().try_for_each(|day| {
        drop(loaded.take_before(plan.first_day(ctx, day)?));
        let built = build(ctx, plan, &mut loaded, day)?;
        for (artifact, report) in complete(ctx, plan, &loaded, built)? {
            let report = stage(ctx, &artifact, report)?;
            output.line(format_args!("{} {day}", ctx.scope));
            output.line(&report);
            output.lines(report.notes());
            document.days.push(report);
        }
        Ok(())
    });
    output.end(&document, done)
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
/// Every kind that is staged is published. A kind that the configuration lists and nobody has staged keeps
/// what the manifest names, with a warning.
pub fn publish_staged(flags: &PublishJob, run: &Run) -> anyhow::Result<()> {
    let ctx = Context::for_publishing(run, &flags.common)?;
    let days = ctx.days(&flags.days)?;
    ctx.published.check_disks()?;
    let mut publishing = Publishing::begin(&ctx, &flags.publish, range(&ctx, &flags.artifacts, &days)?);
    let (mut any, mut missing) = (false, Vec::new());
    for day in &days {
        let mut staged = Vec::new();
        for kind in Kind::ALL {
            let key = artifact_key(&ctx, &flags.artifacts, *kind, *day)?;
            match ctx.staging().current(&key, &ctx.config.limits)? {
                Some(artifact) => staged.push((artifact, ())),
                None if ctx.config.artifact_kinds.contains(kind) => missing.push(key),
                None => {}
            }
        }
        any |= !staged.is_empty();
        let checked = check(&ctx, staged, |(), checked| checked)?;
        let mut hashes = WindowHashes::default();
        for Checked { descriptor, .. } in &checked {
            if descriptor.key.kind.source() == Source::Events {
                check_staged(&ctx, descriptor, &mut hashes)?;
            }
        }
        publishing.plan(checked.iter().map(|of| &of.descriptor))?;
        let store = |of: &Checked| publishing.store(&of.descriptor, &of.bytes, || Some(of.clone()));
        publishing.add(parallel::try_map(&checked, store)?.into_iter().flatten());
    }
    if !any {
        let key = artifact_key(&ctx, &flags.artifacts, ctx.config.artifact_kinds[0], days[days.len() - 1])?;
        return Err(JobError::NothingStaged(ctx.staging().name(&key)).into());
    }
    for key in missing {
        tracing::warn!(kind = %key.kind, window = %key.window, "nothing is staged; what is current stays");
    }
    let output = Output::new(flags.common.json);
    let mut document = Summary::new(&ctx);
    let report = publishing.finish()?;
    output.line(&ctx.scope);
    output.lines(&report.artifacts);
    output.line(&report);
    let outcome = report.held(&ctx);
    document.days.push(report);
    output.end(&document, outcome)
}

/// `job_db_signals`: artifacts → the rows of each day in the database.
pub fn db_signals(flags: &BuildJob, run: &Run, driver: &dyn Driver) -> anyhow::Result<()> {
    let ctx = Context::new(run, &flags.common)?;
    ctx.check_canonical()?;
    let days = ctx.days(&flags.days)?;
    let target = Target::required(&ctx, driver)?;
    // Before anything is built: a wrong password is found out at once.
    target.check()?;
    warn_of_segment(&flags.artifacts);
    let output = Output::new(flags.common.json);
    let mut document = Summary::new(&ctx);
    let done = days.into_iter().try_for_each(|day| {
        let reports = write_signals(&ctx, &target, &flags.artifacts, &signals::KINDS, day)?;
        output.line(format_args!("{} {day}", ctx.scope));
        output.lines(&reports);
        document.days.extend(reports);
        Ok(())
    });
    output.end(&document, done)
}

/// `job_catalog`: a catalogue → its rows in the database.
pub fn catalog(flags: &CatalogTableJob, run: &Run, driver: &dyn Driver) -> anyhow::Result<()> {
    let ctx = Context::new(run, &flags.common)?;
    let target = Target::required(&ctx, driver)?;
    let file = ctx.open_catalog(flags.input.as_deref(), flags.format)?;
    let obsolete = if flags.prune { Obsolete::Remove } else { Obsolete::Keep };
    let mode = if flags.dry_run { Mode::DryRun } else { Mode::Write };
    let step = Step::begin(&ctx.meter, "catalog", "")?;
    let report = write_catalog(&ctx, &target, file, obsolete, mode)?;
    step.end(&report);
    let output = Output::new(flags.common.json);
    output.line(&report);
    output.end(&report, Ok(()))
}
