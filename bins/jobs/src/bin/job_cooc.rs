//! Builds the `cooc` artifact (co-occurrence) from canonical data, staged.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_cooc")
}
