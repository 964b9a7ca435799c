//! Starts a job, which `recsys-pipelines` does under the name that it is called by.
//!
//! Eleven programs of the same code would be eleven times as large and eleven times as long to link. The process is the
//! same one afterwards: signals, exit codes and open files are those of the job.

use std::env;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// The program that does the work.
const PROGRAM: &str = "recsys-pipelines";

/// Becomes `recsys-pipelines`, which lies in the same folder, with the same arguments. Returns only where it cannot be
/// started: with code 2, since trying again does not help.
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
    // When standard error is gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "error: {problem}");
    ExitCode::from(2)
}
