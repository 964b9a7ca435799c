//! Quality gates over canonical data.

use std::process::ExitCode;

use recsys_job::jobs;

fn main() -> ExitCode {
    let about = "Judges each day's canonical data (job_ingest writes it); exit code 3 when a gate refuses";
    recsys_job::main("job_validate", about, jobs::validate_days)
}
