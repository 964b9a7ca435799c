//! Canonical data → staged co-occurrence artifacts.

use std::process::ExitCode;

use recsys_core::artifact::Kind;
use recsys_job::jobs;

fn main() -> ExitCode {
    let about = "Counts which items occur together in a session (from job_ingest's data) and stages the artifact for job_publish";
    recsys_job::main("job_cooc", about, |flags| jobs::build_kind(Kind::Cooc, flags))
}
