//! Builds the `popularity` artifact from canonical data, staged.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_popularity")
}
