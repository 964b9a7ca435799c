//! The stages of a day, and their order, which is written here and nowhere else.
//!
//! | stage | takes | gives |
//! |---|---|---|
//! | read | raw files, or a table | [`Delivered`]: the events of the day |
//! | write | [`Delivered`] | [`Aside`]: its canonical files, not in place yet |
//! | judge | [`Delivered`] | [`Judged`]: what the gates make of it |
//! | settle | [`Aside`], [`Judged`] | [`Settled`]: the files are in place or kept apart, the report of the day is written |
//! | build | canonical days of a window | [`Encoded`] artifacts |
//! | stage | an [`Encoded`] artifact | its file among the staged ones |
//! | store | an [`Encoded`] artifact | its blob, in place when it has passed its checks; nothing is current yet |
//! | publish | all that was stored | records, history, and the swap of the manifest |
//!
//! [`run`] does all of it. [`ingest`] is read to settle, where a refusal is left to [`validate`]: judge and settle of a day
//! whose files lie there already. A builder's job is build and stage, `job_publish` is store and publish of what is staged.

use std::thread;

use recsys_core::artifact::Encoded;
use recsys_core::canonical::{DayRows, PendingDay};
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::{Day, Window};
use recsys_core::encoding::hash::sha256;
use recsys_core::gate::Figures;
use recsys_core::gate::day_report::DayReport;
use recsys_core::publish::Stored;
use recsys_core::staging::Staged;
use recsys_core::table::WindowCache;
use recsys_core::threads::parallel::{joined, start, try_map};
use serde::Serialize;

use crate::pipeline::build::{ArtifactReport, Plan, build, complete, stage};
use crate::pipeline::context::Context;
use crate::pipeline::day_hashes::DayHashes;
use crate::pipeline::ingest::{Delivered, ReadDay, Sources, StreamReport};
use crate::pipeline::publish::{PublishReport, Publishing, check};
use crate::pipeline::refused::{keep_refused, remove_in_place, remove_refused, restore};
use crate::pipeline::signals::SignalReport;
use crate::pipeline::validate::{Given, Judged, figures, judge};
use crate::shell::cli::PublishFlags;
use crate::shell::error::{JobError, one_line};
use crate::watch::step::Step;

/// The canonical files of a day, written and not in place yet.
struct Aside<'a> {
    exposures: PendingDay<'a>,
    outcomes: Option<PendingDay<'a>>,
    hashes: DayHashes,
}

impl Delivered {
    fn write<'a>(&self, ctx: &'a Context) -> anyhow::Result<Aside<'a>> {
        let exposures = ctx.canonical().write(&self.exposures.rows)?;
        let outcomes = self.outcome_rows().map(|outcomes| ctx.canonical().write(outcomes)).transpose()?;
        let hashes = DayHashes::pending(&exposures, outcomes.as_ref());
        Ok(Aside { exposures, outcomes, hashes })
    }

    fn figures(&self, ctx: &Context) -> anyhow::Result<Figures> {
        figures(ctx, &self.exposures.rows, self.outcome_rows(), self.exposures.dropped())
    }

    fn outcome_rows(&self) -> Option<&DayRows> {
        self.outcomes.as_ref().map(|ReadDay { rows, .. }| rows)
    }
}

/// What became of the files of a day.
#[derive(Debug, Serialize)]
pub(crate) struct Settled {
    #[serde(flatten)]
    pub(crate) exposures: StreamReport,
    /// None where the source has no outcomes.
    pub(crate) outcomes: Option<StreamReport>,
}

/// Puts a day in place that may go on, and keeps one apart that a gate has refused. The report comes last: it says nothing
/// of files that are not there yet.
///
/// Of a day without events there is nothing to keep apart: a job that leaves the verdict to another one takes it as it is.
fn settle(
    ctx: &Context,
    delivered: &Delivered,
    aside: Aside<'_>,
    judged: Judged,
    verdict: Given,
) -> anyhow::Result<(Settled, Judged)> {
    let (Delivered { exposures, outcomes }, day) = (delivered, delivered.exposures.rows.day);
    if !judged.goes_on() && (verdict == Given::Now || !exposures.rows.is_empty()) {
        keep_refused(ctx, &exposures.rows, delivered.outcome_rows(), &aside.hashes)?;
        let outcomes = outcomes.as_ref().map(|outcomes| outcomes.refused(ctx));
        let settled = Settled { exposures: exposures.refused(ctx), outcomes };
        judged.write(ctx, aside.hashes, Given::Now)?;
        return Ok((settled, judged));
    }
    let exposures = exposures.commit(ctx, aside.exposures)?;
    let outcomes = outcomes.as_ref().zip(aside.outcomes);
    let outcomes = outcomes.map(|(outcomes, pending)| outcomes.commit(ctx, pending)).transpose()?;
    if judged.goes_on() {
        remove_refused(ctx, day)?;
    } else {
        ctx.canonical().refused().unmark(day)?;
    }
    judged.write(ctx, aside.hashes, verdict)?;
    Ok((Settled { exposures, outcomes }, judged))
}

/// Reads, writes, judges and settles a day. To fail where a gate refuses it is up to [`validate`].
pub(crate) fn ingest(ctx: &Context, sources: &mut Sources<'_>, day: Day) -> anyhow::Result<Settled> {
    let step = Step::begin(&ctx.meter, "ingest", Window::ending_with(day, 1)?)?;
    let delivered = sources.read(day)?;
    let ReadDay { rows, source } = &delivered.exposures;
    let aside = delivered.write(ctx)?;
    let judged = Judged::new(ctx, day, &delivered.figures(ctx)?)?.of(ctx, &aside.hashes)?;
    if let Err(refused) = judged.verdict(ctx, source.as_ref()) {
        if rows.is_empty() && ctx.canonical().exists(day)? {
            // What is there would be removed.
            return Err(refused);
        }
        tracing::warn!("{}", one_line(refused.as_ref()));
    }
    let (settled, _) = settle(ctx, &delivered, aside, judged, Given::Later)?;
    step.end(&delivered.exposures);
    Ok(settled)
}

/// Judges and settles a day whose files are in place or kept apart. What passes, or is accepted for the reason
/// `accept`, is in its place afterwards, and what does not is kept apart.
pub(crate) fn validate(ctx: &Context, day: Day, accept: Option<&str>) -> anyhow::Result<Judged> {
    let apart = ctx.canonical().refused().load(day, &ctx.budget)?;
    let is_apart = apart.is_some();
    if apart.as_ref().is_some_and(|(rows, _)| rows.is_empty()) {
        return Err(JobError::Refused(format!(
            "{day} is marked as refused: its raw data could not be taken (`job_ingest` says why), so there is nothing to judge or \
             to accept; put the data right, or raise the setting that refused it, and ingest the day again"
        ))
        .into());
    }
    let canonical = if is_apart { ctx.canonical().refused() } else { ctx.canonical() };
    let loaded = if is_apart { apart } else { canonical.load(day, &ctx.budget)? };
    let exposures = loaded.as_ref().map_or_else(|| sha256(b""), |(_, hash)| hash.clone());
    let hashes = DayHashes::with(ctx, canonical, day, exposures)?;
    // The report of the ingest says what was dropped.
    let ingested = ctx.reports().read(day)?.filter(|report| report.canonical_hash == hashes.exposures);
    let dropped = ingested.as_ref().map(DayReport::dropped).unwrap_or_default();
    let found = match &loaded {
        Some((rows, _)) => {
            let outcomes = match ctx.config.validation.max_share_of_one {
                Some(_) => canonical.of(Stream::Outcomes).load(day, &ctx.budget)?,
                None => None,
            };
            figures(ctx, rows, outcomes.as_ref().map(|(outcomes, _)| outcomes), dropped)?
        }
        None => Figures { dropped, ..Figures::default() },
    };
    let mut judged = judge(ctx, day, &found)?.of(ctx, &hashes)?;
    if let Some(reason) = accept.filter(|_| !judged.passed()) {
        // Judging a day without data writes a report, too.
        let was_ingested =
            ingested.as_ref().is_some_and(|report| loaded.is_some() || report.duplicates.is_some());
        if !was_ingested {
            return Err(JobError::Usage(format!(
                "there is nothing of {day} to accept: it was not ingested; ingest it first, or correct --start and --end"
            ))
            .into());
        }
        judged = judged.accept(ctx, &hashes, reason.to_owned());
    }
    let verdict = judged.verdict(ctx, None);
    // Before the data: what is in place is then never without the word that let it in.
    judged.write(ctx, hashes.clone(), Given::Now)?;
    match (&loaded, is_apart, verdict.is_ok()) {
        (Some((rows, _)), true, true) => restore(ctx, rows)?,
        (Some((rows, _)), false, false) => {
            let outcomes = canonical.of(Stream::Outcomes).load(day, &ctx.budget)?;
            keep_refused(ctx, rows, outcomes.as_ref().map(|(outcomes, _)| outcomes), &hashes)?;
        }
        (Some(_), true, false) => remove_in_place(ctx, day, &hashes)?,
        _ => {}
    }
    verdict.map(|()| judged)
}

/// What became of a day.
#[derive(Serialize)]
pub(crate) struct Ran {
    day: Day,
    #[serde(flatten)]
    pub(crate) exposures: StreamReport,
    pub(crate) validated: Judged,
    /// None where the source has no outcomes.
    pub(crate) outcomes: Option<StreamReport>,
    pub(crate) artifacts: Vec<ArtifactReport>,
    pub(crate) published: PublishReport,
    /// Empty unless a database is configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) signals: Vec<SignalReport>,
}

/// All that comes after read, where what waits for the disk has a thread of its own:
///
/// | here | beside it | why |
/// |---|---|---|
/// | judge, build | write | the artifacts are built from memory |
/// | complete the artifacts, stage and store | settle | a file takes a while until it is safe on the disk |
/// | stage and store | drop the days that no later window needs | that takes a while, too |
/// | check the artifacts | stage them, and write their blobs aside | see [`stage_and_store`] |
///
/// A day that was accepted is built after its verdict: no artifact is built from what a gate refuses. What is hashed from its
/// files (a window of several days, or with outcomes) is completed after settle. Publish waits for all of it: nothing becomes
/// current before the canonical files are in place.
///
/// When several fail, the error is that of the first stage in the order of the module: judge before write, settle before
/// build. A day that is in place stays so, whatever fails after that.
pub(crate) fn run(
    ctx: &Context,
    plan: &Plan<'_>,
    flags: &PublishFlags,
    cache: &mut WindowCache,
    delivered: Delivered,
) -> anyhow::Result<Ran> {
    let day = delivered.exposures.rows.day;
    let counts_outcomes = plan.counts_outcomes(ctx);
    cache.insert_new(&delivered.exposures.rows);
    delivered.outcome_rows().filter(|_| counts_outcomes).into_iter().for_each(|rows| cache.insert_new(rows));
    cache.keep_to(&ctx.budget)?;
    let hashes_files = counts_outcomes || plan.first_day(ctx, day)? < day;
    thread::scope(|scope| {
        let to_write = delivered.clone();
        let writing = start(scope, move || to_write.write(ctx))?;
        let judged = judge(ctx, day, &delivered.figures(ctx)?)?;
        let built = judged.passed().then(|| build(ctx, plan, cache, day));
        let aside = joined(writing)?;
        let judged = judged.of(ctx, &aside.hashes)?;
        if let Err(refused) = judged.verdict(ctx, delivered.exposures.source.as_ref()) {
            settle(ctx, &delivered, aside, judged, Given::Now)?;
            return Err(refused);
        }
        let built = built.unwrap_or_else(|| build(ctx, plan, cache, day));
        cache.set_hash(Stream::Exposures, day, &aside.hashes.exposures);
        if let Some(hash) = &aside.hashes.outcomes {
            cache.set_hash(Stream::Outcomes, day, hash);
        }
        let settle = move || settle(ctx, &delivered, aside, judged, Given::Now);
        let store = || {
            let artifacts = complete(ctx, plan, cache, built?)?;
            if let Some(first) = day.next().ok().and_then(|next| plan.first_day(ctx, next).ok()) {
                let unneeded = cache.take_before(first);
                // Without a thread they are dropped here.
                let _ = start(scope, || drop(unneeded));
            }
            stage_and_store(ctx, flags, &artifacts)
        };
        let (settled, stored) = if hashes_files {
            (settle()?, store())
        } else {
            let settling = start(scope, settle)?;
            let stored = store();
            (joined(settling)?, stored)
        };
        let (Settled { exposures, outcomes }, validated) = settled;
        let (artifacts, publishing, stored) = stored?;
        let published = publishing.finish(&stored)?;
        Ok(Ran { day, exposures, validated, outcomes, artifacts, published, signals: Vec::new() })
    })
}

/// Stages the artifacts of a day, and writes their blobs aside where that can be done, while they are checked: to write is to
/// wait for the disk. The blobs are put in place when all artifacts have passed.
fn stage_and_store<'a>(
    ctx: &'a Context,
    flags: &PublishFlags,
    artifacts: &[(Encoded, ArtifactReport)],
) -> anyhow::Result<(Vec<ArtifactReport>, Publishing<'a>, Vec<Stored>)> {
    let descriptors = || artifacts.iter().map(|(artifact, _)| &artifact.descriptor);
    // All end with the same day, so the first is the widest.
    let widest = descriptors().map(|artifact| artifact.key.window).min();
    let publishing = Publishing::begin(ctx, flags, widest);
    let publisher = &publishing.publisher;
    let staged = |Encoded { descriptor, bytes }: &Encoded| {
        let (key, version) = (descriptor.key.clone(), descriptor.build.version.clone());
        Staged { name: ctx.staging().name(&key), key, version, bytes: bytes.clone() }
    };
    let (reports, stored) = thread::scope(|scope| {
        let staging = start(scope, || try_map(artifacts, |artifact| stage(ctx, artifact)))?;
        let store = || -> anyhow::Result<Vec<Stored>> {
            publisher.plan(&ctx.scope, descriptors())?;
            let preparing = start(scope, || {
                try_map(artifacts, |(artifact, _)| publisher.prepare(&artifact.descriptor, &artifact.bytes))
            })?;
            let checked = check(ctx, artifacts.iter().map(|(artifact, _)| staged(artifact)))?;
            let prepared = joined(preparing)?.into_iter().zip(&checked);
            Ok(try_map(prepared, |(prepared, checked)| publisher.store(prepared, checked))?)
        };
        let stored = store();
        Ok::<_, anyhow::Error>((joined(staging)?, stored?))
    })?;
    Ok((reports, publishing, stored))
}
