//! Canonical data → the staged artifact of what each user was shown next.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobs::become_job("job_session_seq")
}
