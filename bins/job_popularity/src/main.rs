//! Canonical data → staged popularity artifacts.

use std::process::ExitCode;

use recsys_core::artifact::Kind;
use recsys_job::jobs;

fn main() -> ExitCode {
    let about = "Counts how often each item was shown (from job_ingest's data) and stages the artifact for job_publish";
    recsys_job::main("job_popularity", about, |flags| jobs::build_kind(Kind::Popularity, flags))
}
