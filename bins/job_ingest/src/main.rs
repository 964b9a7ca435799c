//! Raw events → canonical data.

use std::process::ExitCode;

use recsys_job::jobs;
use recsys_postgres::Postgres;

fn main() -> ExitCode {
    let about = "Reads raw exposures and writes each day's canonical file, which every builder job reads";
    recsys_job::main("job_ingest", about, |flags| jobs::ingest(flags, &Postgres))
}
