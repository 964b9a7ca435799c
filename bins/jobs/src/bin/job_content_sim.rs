//! Catalogue → the staged artifact of its tags.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_content_sim")
}
