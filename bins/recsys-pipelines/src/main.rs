//! The whole pipeline in one process, and the operator's commands.

use std::process::ExitCode;

use recsys_job::jobs;

fn main() -> ExitCode {
    let about = "Runs the pipeline: raw events in, a published manifest out";
    recsys_job::main("recsys-pipelines", about, jobs::pipelines)
}
