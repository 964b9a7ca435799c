//! System calls that kill or fail a real process, at a place of the test's choosing.
//!
//! `strace` stops the process at the call and delivers the signal or the error in its place. The binary is
//! the one that ships; nothing in it knows of the test.

use std::path::Path;
use std::process::{Command, Output};

use crate::sandbox::{Finished, Sandbox, binaries};

/// The calls by which a file gets its name.
pub const NAMING: &str = "rename,renameat,renameat2,link,linkat";
/// The calls that wait for the disk.
pub const FLUSHING: &str = "fsync,fdatasync";
/// Every call that changes a file system, or makes a change last.
pub const CHANGING: &str =
    "rename,renameat,renameat2,link,linkat,fsync,fdatasync,mkdir,mkdirat,unlink,unlinkat,write";

/// What happens at the call.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The process dies before the call is carried out, as by `kill -9`.
    Kill,
    /// The call is not carried out and fails with this error.
    Error(&'static str),
}

impl Fault {
    fn rule(self) -> String {
        match self {
            Self::Kill => "signal=KILL".to_owned(),
            Self::Error(errno) => format!("error={errno}"),
        }
    }
}

/// Runs a binary with a fault at every one of `calls` on `path`.
pub fn run_with_fault_on(
    sandbox: &Sandbox,
    binary: &str,
    line: &str,
    fault: Fault,
    calls: &str,
    path: &Path,
) -> Finished {
    let rule = format!("inject={calls}:{}", fault.rule());
    trace(sandbox, binary, line, &["-P", path.to_str().unwrap(), "-e", &rule])
}

/// Runs a binary with a fault at the `number`th of `calls` that one of its threads makes, from 1: each thread
/// has a count of its own.
pub fn run_with_fault_at(
    sandbox: &Sandbox,
    binary: &str,
    line: &str,
    fault: Fault,
    calls: &str,
    number: u32,
) -> Finished {
    let rule = format!("inject={calls}:{}:when={number}", fault.rule());
    trace(sandbox, binary, line, &["-e", &rule])
}

/// Runs a binary with a fault at every one of `calls`.
pub fn run_with_fault(sandbox: &Sandbox, binary: &str, line: &str, fault: Fault, calls: &str) -> Finished {
    trace(sandbox, binary, line, &["-e", &format!("inject={calls}:{}", fault.rule())])
}

fn trace(sandbox: &Sandbox, binary: &str, line: &str, rule: &[&str]) -> Finished {
    let mut command = Command::new("strace");
    sandbox.prepare(&mut command);
    command.args(["-f", "-qq", "-o", "/dev/null"]).args(rule).arg(binaries().join(binary));
    // The clock stands still, so that every run writes files of the same names.
    command.env("SOURCE_DATE_EPOCH", "1767400000").args(line.split_whitespace());
    let output: Output = command.output().unwrap_or_else(|error| panic!("strace: {error}; install it"));
    output.into()
}
