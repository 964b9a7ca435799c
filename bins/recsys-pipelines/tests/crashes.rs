//! `kill -9` and failing disks at every step of a run and a publish: readers of the manifest see either the old state
//! or the new one, and running again completes.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use recsys_core::artifact::Kind;
use recsys_testkit::reader::read_published;
use recsys_testkit::sandbox::{Sandbox, bytes, copy};
use recsys_testkit::scope::{MANIFEST, SCOPE};
use recsys_testkit::syscall::{
    CHANGING, FLUSHING, NAMING, SyscallFault, run_with_fault, run_with_fault_at, run_with_fault_on,
};
use serde_json::json;

/// A pipeline that has published the first day; the second is next.
struct Pipeline {
    sandbox: Sandbox,
    binary: &'static str,
    line: String,
    old: BTreeMap<Kind, String>,
    new: BTreeMap<Kind, String>,
    /// Files that the second day adds or changes.
    changed: Vec<PathBuf>,
}

impl Pipeline {
    /// `run` of the second day, or its `job_publish` after the other jobs.
    fn new(binary: &'static str) -> Self {
        let sandbox = Sandbox::shop();
        // Absolute, so that faults can be tied to a path.
        let out = sandbox.join("out");
        sandbox.configure(&json!({"out_dir": out}));
        sandbox.run_pinned("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01"));
        let second = format!("{SCOPE} --start 2026-01-02");
        let line = if binary == "job_publish" {
            for job in ["job_ingest", "job_popularity", "job_cooc"] {
                sandbox.run_pinned(job, &second);
            }
            second
        } else {
            format!("run {second}")
        };
        let old = read_published(&sandbox.join(MANIFEST)).unwrap();
        copy(&sandbox.join("out"), &sandbox.join("before"));
        sandbox.run_pinned(binary, &line);
        let new = read_published(&sandbox.join(MANIFEST)).unwrap();
        assert_ne!(old, new);
        let (before, after) = (sandbox.snapshot("before"), sandbox.snapshot("out"));
        let (before, after) = (bytes(&before), bytes(&after));
        let changed = after.iter().filter(|(name, bytes)| before.get(*name) != Some(bytes));
        let changed = changed.map(|(name, _)| sandbox.join("out").join(name)).collect();
        Self { sandbox, binary, line, old, new, changed }
    }

    /// Restores the state before the second day.
    fn rewind(&self) {
        fs::remove_dir_all(self.sandbox.join("out")).unwrap();
        copy(&self.sandbox.join("before"), &self.sandbox.join("out"));
    }

    /// Checks the state that readers see, and that running again completes and cleans up.
    fn check(&self, what: &str) {
        let seen = read_published(&self.sandbox.join(MANIFEST)).unwrap();
        assert!(seen == self.old || seen == self.new, "{what}: {seen:?}");
        self.sandbox.run(self.binary, &self.line).ok();
        assert_eq!(read_published(&self.sandbox.join(MANIFEST)).unwrap(), self.new, "{what}");
        for root in ["canonical", "artifacts", "objects", "registry", "checkpoints"] {
            let scratch = self.sandbox.join("out").join(root).join(".scratch");
            let left = fs::read_dir(scratch).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{what}: scratch files are left in {root}");
        }
    }
}

fn kill_at_every_file(binary: &'static str, expected: &[&str]) {
    let pipeline = Pipeline::new(binary);
    for part in expected {
        let found = pipeline.changed.iter().any(|file| file.to_str().unwrap().contains(part));
        assert!(found, "{part} is not among {:?}", pipeline.changed);
    }
    for file in &pipeline.changed {
        let folder = file.parent().unwrap();
        // Before the file gets its name, and before the name reaches the disk.
        for (calls, path) in [(NAMING, file.as_path()), (FLUSHING, folder)] {
            pipeline.rewind();
            let finished =
                run_with_fault_on(&pipeline.sandbox, binary, &pipeline.line, SyscallFault::Kill, calls, path);
            assert_eq!(finished.code, None, "{} was not reached: {finished:#?}", path.display());
            pipeline.check(&format!("killed at {calls} of {}", path.display()));
        }
    }
}

#[test]
fn run_is_killed_at_every_file() {
    let steps =
        ["/canonical/", "/artifacts/", "/objects/", "/records/", "/history/", "/current/", "/checkpoints/"];
    kill_at_every_file("recsys-pipelines", &steps);
}

#[test]
fn job_publish_is_killed_at_every_file() {
    kill_at_every_file("job_publish", &["/objects/", "/records/", "/history/", "/current/"]);
}

/// The same without knowledge of the code: the n-th changing call of any thread, until no thread makes that many.
#[test]
fn job_publish_is_killed_at_every_call() {
    let pipeline = Pipeline::new("job_publish");
    for number in 1.. {
        pipeline.rewind();
        let fault = SyscallFault::Kill;
        let finished =
            run_with_fault_at(&pipeline.sandbox, "job_publish", &pipeline.line, fault, CHANGING, number);
        pipeline.check(&format!("killed at call {number}"));
        if finished.code == Some(0) {
            assert!(number > 5, "only {number} calls were tried");
            return;
        }
        assert_eq!(finished.code, None, "{finished:#?}");
    }
}

/// A full or broken disk at any file: exit code 1, one line with the file's name, the old manifest, and a rerun that
/// completes.
#[test]
fn a_disk_fails_at_every_file() {
    for errno in ["ENOSPC", "EIO"] {
        let pipeline = Pipeline::new("recsys-pipelines");
        for file in &pipeline.changed {
            pipeline.rewind();
            let binary = pipeline.binary;
            let fault = SyscallFault::Error(errno);
            let finished = run_with_fault_on(&pipeline.sandbox, binary, &pipeline.line, fault, NAMING, file);
            let name = file.file_name().unwrap().to_str().unwrap();
            finished.fails(1, &["cannot write", name, "os error"]);
            pipeline.check(&format!("{errno} at {}", file.display()));
        }
        for number in 1..4 {
            pipeline.rewind();
            let fault = SyscallFault::Error(errno);
            let line = &pipeline.line;
            let finished =
                run_with_fault_at(&pipeline.sandbox, pipeline.binary, line, fault, FLUSHING, number);
            finished.fails(1, &["cannot flush", "os error"]);
            pipeline.check(&format!("{errno} at flush {number}"));
        }
    }
}

/// Like many file systems backed by a bucket: detected before there is anything to publish.
#[test]
fn a_file_system_without_hard_links_is_told_by_name() {
    const LINKING: &str = "renameat2,link,linkat";
    let sandbox = Sandbox::shop();
    let day = format!("{SCOPE} --start 2026-01-01");
    let refused = |binary: &str, line: &str| {
        let finished = run_with_fault(&sandbox, binary, line, SyscallFault::Error("EPERM"), LINKING);
        finished.fails(2, &["out/", "hard links", "local disk"]);
    };
    refused("recsys-pipelines", &format!("run {day}"));
    refused("job_ingest", &day);
    for folder in ["out/canonical", "out/objects", "out/registry"] {
        assert!(sandbox.snapshot(folder).is_empty(), "{folder}");
    }
    for job in ["job_ingest", "job_popularity", "job_cooc"] {
        sandbox.run(job, &day).ok();
    }
    refused("job_publish", &day);
    assert!(sandbox.snapshot("out/objects").is_empty() && sandbox.snapshot("out/registry").is_empty());
    sandbox.run("job_publish", &day).ok();
}
