//! Canonical data → staged implicit-feedback artifacts.

use std::process::ExitCode;

use recsys_core::artifact::Kind;
use recsys_job::jobs;

fn main() -> ExitCode {
    let about = "Counts how often each user was shown each item and stages the artifact";
    recsys_job::main("job_implicit", about, |flags| jobs::build_kind(Kind::Implicit, flags))
}
