//! Staged artifacts → published ones, and the manifest swapped.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_publish")
}
