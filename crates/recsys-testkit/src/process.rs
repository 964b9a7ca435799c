//! Waiting for processes. The limit is no measure of speed: it ends a test that would hang for ever.

use std::fs;
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything takes on the slowest machine.
pub const LIMIT: Duration = Duration::from_mins(5);

fn holds_in_time(mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > LIMIT {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Waits until `holds`; panics with `otherwise` if that does not come.
#[track_caller]
pub fn wait_until(otherwise: &str, holds: impl FnMut() -> bool) {
    assert!(holds_in_time(holds), "{otherwise}");
}

/// Waits until a process acts on SIGTERM and SIGINT, or has ended.
#[track_caller]
pub fn wait_for_handlers(child: &Child) {
    wait_until("it does not handle signals", || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
        let caught = u64::from_str_radix(caught, 16).unwrap();
        [2, 15].iter().all(|signal| caught >> (signal - 1) & 1 == 1) || status.contains("State:\tZ")
    });
}

/// Sends a signal to a process, such as `-TERM`.
#[track_caller]
pub fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits for the end of a process; kills it and panics if that does not come.
#[track_caller]
pub fn end(mut child: Child) -> Output {
    if !holds_in_time(|| child.try_wait().unwrap().is_some()) {
        child.kill().unwrap();
        panic!("it does not come to an end: {:#?}", child.wait_with_output());
    }
    child.wait_with_output().unwrap()
}
