//! Kills a real process at a chosen system call, or fails the call.
//!
//! `strace` stops the process at the call and injects the signal or the error. The binary is the one that ships,
//! unaware of the test.

use std::path::Path;
use std::process::{Command, Output};

use crate::sandbox::{Finished, Sandbox, binaries};

/// Calls that give a file its name.
pub const NAMING: &str = "rename,renameat,renameat2,link,linkat";
/// Calls that wait for the disk.
pub const FLUSHING: &str = "fsync,fdatasync";
/// Calls that change a file system or make a change durable.
pub const CHANGING: &str =
    "rename,renameat,renameat2,link,linkat,fsync,fdatasync,mkdir,mkdirat,unlink,unlinkat,write";

/// Fault to inject at a call.
#[derive(Debug, Clone, Copy)]
pub enum SyscallFault {
    /// The process dies before the call is carried out, as by `kill -9`.
    Kill,
    /// The call is not carried out and returns this error.
    Error(&'static str),
}

impl SyscallFault {
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
    fault: SyscallFault,
    calls: &str,
    path: &Path,
) -> Finished {
    let rule = format!("inject={calls}:{}", fault.rule());
    trace(sandbox, binary, line, &["-P", path.to_str().unwrap(), "-e", &rule])
}

/// Runs a binary with a fault at the `number`th of `calls`, from 1. Each thread counts separately.
pub fn run_with_fault_at(
    sandbox: &Sandbox,
    binary: &str,
    line: &str,
    fault: SyscallFault,
    calls: &str,
    number: u32,
) -> Finished {
    let rule = format!("inject={calls}:{}:when={number}", fault.rule());
    trace(sandbox, binary, line, &["-e", &rule])
}

/// Runs a binary with a fault at every one of `calls`.
pub fn run_with_fault(
    sandbox: &Sandbox,
    binary: &str,
    line: &str,
    fault: SyscallFault,
    calls: &str,
) -> Finished {
    trace(sandbox, binary, line, &["-e", &format!("inject={calls}:{}", fault.rule())])
}

fn trace(sandbox: &Sandbox, binary: &str, line: &str, rule: &[&str]) -> Finished {
    let mut command = Command::new("strace");
    sandbox.prepare(&mut command);
    command.args(["-f", "-qq", "-o", "/dev/null"]).args(rule).arg(binaries().join(binary));
    // The pinned clock makes every run write files of the same names.
    command.env("SOURCE_DATE_EPOCH", "1767400000").args(line.split_whitespace());
    let output: Output = command.output().unwrap_or_else(|error| panic!("strace: {error}; install it"));
    output.into()
}
