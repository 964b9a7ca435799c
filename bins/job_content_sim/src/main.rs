//! Catalogue → staged content-similarity artifacts.

use std::process::ExitCode;

use recsys_job::jobs;

fn main() -> ExitCode {
    let about = "Reads the catalogue's tags and stages the artifact for job_publish";
    recsys_job::main("job_content_sim", about, jobs::content_sim)
}
