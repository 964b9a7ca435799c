//! Staged artifacts → published artifacts.

use std::process::ExitCode;

use recsys_job::jobs;

fn main() -> ExitCode {
    let about = "Publishes what the builder jobs have staged and swaps the manifest once, at the end";
    recsys_job::main("job_publish", about, jobs::publish_staged)
}
