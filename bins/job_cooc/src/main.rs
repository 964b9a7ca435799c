//! Canonical data → staged co-occurrence artifacts.

use std::process::ExitCode;

use recsys_core::artifact::Kind;
use recsys_job::jobs;

fn main() -> ExitCode {
    let about = "Counts which items occur together in a session and stages the artifact";
    recsys_job::main("job_cooc", about, |flags| jobs::build_kind(Kind::Cooc, flags))
}
