//! Builds the `content_sim` artifact from the catalogue, staged.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_content_sim")
}
