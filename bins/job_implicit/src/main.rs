//! Canonical data → staged implicit-feedback artifacts.

use std::process::ExitCode;

use recsys_core::artifact::Kind;
use recsys_job::jobs;

fn main() -> ExitCode {
    let about = "Counts how often each user was shown each item (from job_ingest's data) and stages the artifact for job_publish";
    recsys_job::main("job_implicit", about, |flags| jobs::build_kind(Kind::Implicit, flags))
}
