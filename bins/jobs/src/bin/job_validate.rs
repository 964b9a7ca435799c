//! Runs the quality gates on canonical data.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_validate")
}
