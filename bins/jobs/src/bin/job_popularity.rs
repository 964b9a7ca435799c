//! Canonical data → the staged artifact of popularity.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_popularity")
}
