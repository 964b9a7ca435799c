//! Canonical data → the staged artifact of what each user was shown.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_implicit")
}
