//! The whole pipeline in one process, plus the operator's commands. Called by the name of a job, it runs that job.

#[cfg(not(feature = "postgres"))]
mod without_postgres;

use std::path::Path;
use std::process::ExitCode;

use recsys_core::artifact::Kind;
use recsys_core::database::Driver;
use recsys_job::config::Linked;
use recsys_job::{commands, jobs, main as start};
#[cfg(feature = "postgres")]
use recsys_postgres::{ExposureTable, PostgresDriver};
#[cfg(not(feature = "postgres"))]
use without_postgres::ExposureTable;

#[cfg(feature = "postgres")]
const DATABASE: Option<&dyn Driver> = Some(&PostgresDriver);
#[cfg(not(feature = "postgres"))]
const DATABASE: Option<&dyn Driver> = None;

/// What the program is linked with. Another input is an entry in the list.
const LINKED: Linked = Linked { database: DATABASE, inputs: &[&ExposureTable] };

/// Starts a job that counts events.
macro_rules! counts {
    ($name:literal, $kind:ident, $what:literal) => {
        start(
            $name,
            concat!("Counts ", $what, " (from job_ingest's data) and stages the artifact for job_publish"),
            LINKED,
            |flags, run| jobs::build_kind(Kind::$kind, flags, run),
        )
    };
}

fn main() -> ExitCode {
    let called = std::env::args_os().next();
    let name = called.as_deref().and_then(|called| Path::new(called).file_name()?.to_str());
    match name.unwrap_or_default() {
        "job_ingest" => start(
            "job_ingest",
            "Reads raw exposures and writes each day's canonical file, which every builder job reads",
            LINKED,
            jobs::ingest,
        ),
        "job_validate" => start(
            "job_validate",
            "Judges each day's canonical data (job_ingest writes it); exit code 3 when a gate refuses",
            LINKED,
            jobs::validate_days,
        ),
        "job_popularity" => counts!("job_popularity", Popularity, "how often each item was shown"),
        "job_cooc" => counts!("job_cooc", Cooc, "which items occur together in a session"),
        "job_implicit" => counts!("job_implicit", Implicit, "how often each user was shown each item"),
        "job_session_seq" => {
            counts!("job_session_seq", SessionSeq, "what each user was shown after something else")
        }
        "job_content_sim" => start(
            "job_content_sim",
            "Reads the catalogue's tags and stages the artifact for job_publish",
            LINKED,
            jobs::content_sim,
        ),
        "job_publish" => start(
            "job_publish",
            "Publishes what the builder jobs have staged and swaps the manifest once, at the end",
            LINKED,
            jobs::publish_staged,
        ),
        "job_db_signals" => start(
            "job_db_signals",
            "Makes each day's rows of popularity and co-visitation in Postgres exactly those of its artifacts",
            LINKED,
            jobs::db_signals,
        ),
        "job_catalog" => start(
            "job_catalog",
            "Writes a catalogue's tags, prices and dates into the table item_tags of Postgres, in one transaction",
            LINKED,
            jobs::catalog,
        ),
        _ => start(
            "recsys-pipelines",
            "Runs the pipeline: raw events in, a published manifest out",
            LINKED,
            commands::pipelines,
        ),
    }
}
