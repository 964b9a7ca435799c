//! Ingests raw events into canonical data.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_ingest")
}
