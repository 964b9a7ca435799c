//! Canonical data → staged session-sequence artifacts.

use std::process::ExitCode;

use recsys_core::artifact::Kind;
use recsys_job::jobs;

fn main() -> ExitCode {
    let about = "Counts what each user was shown after something else (from job_ingest's data) and stages the artifact for job_publish";
    recsys_job::main("job_session_seq", about, |flags| jobs::build_kind(Kind::SessionSeq, flags))
}
