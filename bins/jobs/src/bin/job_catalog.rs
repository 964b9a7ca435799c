//! Writes the catalogue to Postgres.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_catalog")
}
