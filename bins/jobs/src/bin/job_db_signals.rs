//! Artifacts → the signals of a day in Postgres.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_db_signals")
}
