//! The whole pipeline in one process, plus the operator's commands. Called by the name of a job, it runs that job.

#[cfg(not(feature = "postgres"))]
mod without_postgres;

use std::path::Path;
use std::process::ExitCode;

use recsys_core::artifact::Kind;
use recsys_job::{commands, jobs, main as start};
#[cfg(feature = "postgres")]
use recsys_postgres::Postgres;
#[cfg(not(feature = "postgres"))]
use without_postgres::Postgres;

fn main() -> ExitCode {
    let called = std::env::args_os().next();
    let name = called.as_deref().and_then(|called| Path::new(called).file_name()?.to_str());
    match name.unwrap_or_default() {
        "job_ingest" => start(
            "job_ingest",
            "Reads raw exposures and writes each day's canonical file, which every builder job reads",
            |flags, run| jobs::ingest(flags, run, &Postgres),
        ),
        "job_validate" => start(
            "job_validate",
            "Judges each day's canonical data (job_ingest writes it); exit code 3 when a gate refuses",
            jobs::validate_days,
        ),
        "job_popularity" => start(
            "job_popularity",
            "Counts how often each item was shown (from job_ingest's data) and stages the artifact for job_publish",
            |flags, run| jobs::build_kind(Kind::Popularity, flags, run),
        ),
        "job_cooc" => start(
            "job_cooc",
            "Counts which items occur together in a session (from job_ingest's data) and stages the artifact for job_publish",
            |flags, run| jobs::build_kind(Kind::Cooc, flags, run),
        ),
        "job_implicit" => start(
            "job_implicit",
            "Counts how often each user was shown each item (from job_ingest's data) and stages the artifact for job_publish",
            |flags, run| jobs::build_kind(Kind::Implicit, flags, run),
        ),
        "job_session_seq" => start(
            "job_session_seq",
            "Counts what each user was shown after something else (from job_ingest's data) and stages the artifact for job_publish",
            |flags, run| jobs::build_kind(Kind::SessionSeq, flags, run),
        ),
        "job_content_sim" => start(
            "job_content_sim",
            "Reads the catalogue's tags and stages the artifact for job_publish",
            jobs::content_sim,
        ),
        "job_publish" => start(
            "job_publish",
            "Publishes what the builder jobs have staged and swaps the manifest once, at the end",
            jobs::publish_staged,
        ),
        "job_db_signals" => start(
            "job_db_signals",
            "Makes each day's rows of popularity and co-visitation in Postgres exactly those of its artifacts",
            |flags, run| jobs::db_signals(flags, run, &Postgres),
        ),
        "job_catalog" => start(
            "job_catalog",
            "Writes a catalogue's tags, prices and dates into the table item_tags of Postgres, in one transaction",
            |flags, run| jobs::catalog(flags, run, &Postgres),
        ),
        _ => start(
            "recsys-pipelines",
            "Runs the pipeline: raw events in, a published manifest out",
            |flags, run| commands::pipelines(flags, run, &Postgres),
        ),
    }
}
