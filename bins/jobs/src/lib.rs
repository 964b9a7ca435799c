//! Starts a job by executing `recsys-pipelines` under the job's name.
//!
//! Eleven full programs would be eleven times as large and take eleven times as long to link. The process stays the
//! same: signals, exit codes and open files are those of the job.

use std::env;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// The program that does the work.
const PROGRAM: &str = "recsys-pipelines";

/// Replaces this process with the `recsys-pipelines` in the same folder, with the same arguments. Returns only if that
/// fails, with code 2, since retrying does not help.
pub fn become_job(name: &str) -> ExitCode {
    let problem = match env::current_exe().map(|own| own.with_file_name(PROGRAM)) {
        Ok(program) => {
            let error = Command::new(&program).arg0(name).args(env::args_os().skip(1)).exec();
            let program = program.display();
            if error.kind() == io::ErrorKind::NotFound {
                format!("{name} starts {program}, which is not there; install both into one folder")
            } else {
                format!("cannot start {program}: {error}")
            }
        }
        Err(error) => format!("cannot find out where {name} lies: {error}"),
    };
    // If standard error is closed, there is no way to report the problem.
    let _ = writeln!(io::stderr(), "error: {problem}");
    ExitCode::from(2)
}
