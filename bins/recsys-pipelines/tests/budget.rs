//! A day larger than its memory limit: the output stays the same, no temporary files remain, and running out of disk
//! space gives one clear line.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::ToSpan;
use recsys_testkit::process::wait_until;
use recsys_testkit::sandbox::{Finished, Sandbox, binaries, bytes};
use serde_json::json;

const FLAGS: &str = "--config config.json --tenant demo --surface home --start 2026-01-01 --end 2026-01-02";

/// Two days in one file, neither of which fits in the smallest allowed memory.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let mut text = Vec::new();
    for number in 0..240_000u32 {
        // A long, unique request id takes much memory and little time.
        let (day, second) = (1 + number % 2, number.wrapping_mul(7919) % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (session, item, user) = (number / 8, number.wrapping_mul(31) % 977, number / 64);
        writeln!(
            text,
            r#"{{"v":1,"ts":"2026-01-0{day}T{hour:02}:{minute:02}:{second:02}Z","tenant":"demo","surface":"home","user_id":"u{user}","session_id":"s{session}","request_id":"{number:0200}","item_id":"i{item}"}}"#
        )
        .unwrap();
    }
    sandbox.write("raw/exposure.jsonl", text);
    sandbox
}

fn configure(sandbox: &Sandbox, out: &str, memory_bytes: u64) {
    sandbox.configure(&json!({
        "out_dir": out,
        "artifact_kinds": ["popularity", "cooc", "implicit", "session_seq"],
        "resources": {"memory_bytes": memory_bytes, "temp_dir": "temp"},
        "limits": {"max_artifact_bytes": 0},
    }));
}

/// Whether a folder exists and is empty.
fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

#[test]
fn the_budget_never_shows() {
    let sandbox = sandbox();
    let run = |out: &str, memory_bytes: u64| {
        configure(&sandbox, out, memory_bytes);
        sandbox.run_pinned("recsys-pipelines", &format!("run {FLAGS}"));
    };
    run("large", 16 << 30);
    assert!(!sandbox.join("temp").exists(), "what fits in memory needs no temporary file");
    run("small", 64 << 20);
    assert!(is_empty(&sandbox.join("temp")));
    for folder in ["canonical", "artifacts"] {
        let (large, small) =
            (sandbox.snapshot(&format!("large/{folder}")), sandbox.snapshot(&format!("small/{folder}")));
        assert!(!large.is_empty());
        assert!(bytes(&large) == bytes(&small), "{folder} differs");
    }
}

/// All days share one spill file, so the number of open files does not grow with the days.
#[test]
fn a_year_in_one_file_needs_few_handles() {
    let sandbox = Sandbox::new();
    let mut text = Vec::new();
    for number in 0..150_000u32 {
        // Neighbouring lines belong to different days.
        let day = number.wrapping_mul(7919) % 365;
        let ts = jiff::civil::date(2025, 1, 1) + i64::from(day).days();
        writeln!(
            text,
            r#"{{"v":1,"ts":"{ts}T08:00:00Z","tenant":"demo","surface":"home","session_id":"s{}","request_id":"{number:0300}","item_id":"i{}"}}"#,
            number / 8,
            number % 977,
        )
        .unwrap();
    }
    sandbox.write("raw/exposure.jsonl", text);
    let ingest = |out: &str, memory_bytes: u64| {
        configure(&sandbox, out, memory_bytes);
        let binary = binaries().join("job_ingest");
        let flags = "--config config.json --tenant demo --surface home --start 2025-01-01 --end 2025-12-31";
        let mut command = Command::new("sh");
        sandbox.prepare(&mut command);
        let line = format!("ulimit -n 64; exec {} {flags}", binary.display());
        Finished::from(command.args(["-c", &line]).output().unwrap()).ok();
        sandbox.snapshot(&format!("{out}/canonical"))
    };
    let (large, small) = (ingest("large", 16 << 30), ingest("small", 64 << 20));
    assert_eq!(large.keys().filter(|name| name.contains("/exposures/")).count(), 365);
    assert!(bytes(&large) == bytes(&small));
    assert!(sandbox.join("temp").exists(), "it has fit in memory");
    assert!(is_empty(&sandbox.join("temp")));
}

#[test]
fn a_killed_process_leaves_nothing() {
    let sandbox = sandbox();
    configure(&sandbox, "out", 64 << 20);
    let temp = sandbox.join("temp");
    let mut command = sandbox.command("recsys-pipelines");
    command.arg("run").args(FLAGS.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let descriptors = format!("/proc/{}/fd", child.id());
    let has_temporary_file = || {
        fs::read_dir(&descriptors)
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(&temp)))
    };
    wait_until("it has no temporary file", || {
        assert!(child.try_wait().unwrap().is_none(), "it has ended without a temporary file");
        has_temporary_file()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_empty(&temp));
}

#[test]
fn a_full_disk_is_one_clear_line() {
    let sandbox = sandbox();
    configure(&sandbox, "out", 64 << 20);
    let mut command = Command::new("sh");
    sandbox.prepare(&mut command);
    let binary = binaries().join("recsys-pipelines");
    let line = format!("ulimit -f 16; exec {} run {FLAGS}", binary.display());
    let finished: Finished = command.args(["-c", &line]).output().unwrap().into();
    finished.fails(1, &["cannot write a temporary file in temp", "File too large"]);
    assert!(is_empty(&sandbox.join("temp")));
    assert!(!sandbox.join("out/canonical").exists());
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let sandbox = Sandbox::new();
    for (resources, part) in [
        (json!({"memory_bytes": 67_108_863}), "resources.memory_bytes must be at least 67108864"),
        (json!({"temp_dir": " "}), "resources.temp_dir must be a path"),
        (json!({"temp_dir": "s3://bucket/temp"}), "resources.temp_dir must be a path"),
    ] {
        sandbox.configure(&json!({"resources": resources}));
        sandbox.run("recsys-pipelines", &format!("run {FLAGS}")).fails(2, &[part]);
    }
}
