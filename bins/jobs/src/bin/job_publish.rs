//! Publishes staged artifacts and swaps the manifest.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_publish")
}
