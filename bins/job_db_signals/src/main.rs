//! Artifacts → the signals of a day in Postgres.

use std::process::ExitCode;

use recsys_job::jobs;
use recsys_postgres::Postgres;

fn main() -> ExitCode {
    let about =
        "Makes each day's rows of popularity and co-visitation in Postgres exactly those of its artifacts";
    recsys_job::main("job_db_signals", about, |flags| jobs::db_signals(flags, &Postgres))
}
