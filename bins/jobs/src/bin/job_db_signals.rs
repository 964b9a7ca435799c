//! Writes the signals of a day to Postgres, from artifacts.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_db_signals")
}
