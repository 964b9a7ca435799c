//! The whole pipeline in one process, and the operator's commands.

use std::process::ExitCode;

use recsys_job::jobs;
use recsys_postgres::Postgres;

fn main() -> ExitCode {
    let about = "Runs the pipeline: raw events in, a published manifest out";
    recsys_job::main("recsys-pipelines", about, |flags| jobs::pipelines(flags, &Postgres))
}
