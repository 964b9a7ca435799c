//! Canonical data → the staged artifact of co-occurrence.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_cooc")
}
