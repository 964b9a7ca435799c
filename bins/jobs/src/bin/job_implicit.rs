//! Builds the `implicit` artifact (items of each user) from canonical data, staged.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_implicit")
}
