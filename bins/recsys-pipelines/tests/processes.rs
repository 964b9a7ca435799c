//! A process limit that keeps threads from starting: one line names it, and nothing is left half done.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;
use std::process::Command;

use recsys_testkit::sandbox::{Finished, Sandbox, binaries};
use serde_json::json;

const FLAGS: &str = "--config config.json --tenant demo --surface home --start 2026-01-01";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let event = json!({
        "v": 1, "ts": "2026-01-01T08:00:00Z", "tenant": "demo", "surface": "home", "session_id": "s", "item_id": "i",
    });
    sandbox.write("raw/exposure.jsonl", format!("{event}\n"));
    sandbox.write("items.csv", "id,tags\ni,t\n");
    sandbox.configure(&json!({}));
    sandbox
}

/// Runs a binary as a user limited to `processes` processes and threads; root has no limit.
fn run(sandbox: &Sandbox, processes: u32, binary: &str, line: &str) -> Finished {
    // The build folder may be closed to other users, so copy the binaries; a job starts the program next to it.
    for name in [binary, "recsys-pipelines"] {
        if !sandbox.join(name).exists() {
            fs::copy(binaries().join(name), sandbox.join(name)).unwrap();
        }
    }
    let copy = sandbox.join(binary);
    // A dedicated user, since other tests' users may run processes at the same time.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=64123", "--regid=64123", "--clear-groups", "prlimit"]);
    command.arg(format!("--nproc={processes}")).arg(copy).args(line.split_whitespace());
    sandbox.prepare(&mut command);
    command.output().unwrap().into()
}

#[test]
fn every_binary_says_that_the_limit_is_too_low() {
    let sandbox = sandbox();
    for (binary, line) in [
        ("recsys-pipelines", format!("run {FLAGS}")),
        ("job_ingest", FLAGS.to_owned()),
        ("job_validate", FLAGS.to_owned()),
        ("job_popularity", FLAGS.to_owned()),
        ("job_cooc", FLAGS.to_owned()),
        ("job_implicit", FLAGS.to_owned()),
        ("job_session_seq", FLAGS.to_owned()),
        ("job_content_sim", format!("{FLAGS} --input items.csv")),
        ("job_publish", FLAGS.to_owned()),
        ("job_db_signals", FLAGS.to_owned()),
        ("job_catalog", "--config config.json --tenant demo --surface home --input items.csv".to_owned()),
    ] {
        run(&sandbox, 1, binary, &line).fails(1, &["cannot start a thread", "ulimit -u"]);
    }
    assert!(!sandbox.join("out").exists());
}

#[test]
fn a_run_works_with_few_threads_or_says_why_not() {
    let sandbox = sandbox();
    let mut worked = false;
    for processes in 2..24 {
        let finished = run(&sandbox, processes, "recsys-pipelines", &format!("run {FLAGS}"));
        worked = finished.code == Some(0);
        if !worked {
            assert_eq!(finished.code, Some(1), "{processes}: {finished:#?}");
            let last = finished.stderr.lines().last().unwrap();
            assert!(last.starts_with("error: ") && last.contains("ulimit -u"), "{processes}: {finished:#?}");
        }
    }
    assert!(worked);
    sandbox.run("recsys-pipelines", &format!("verify {}", FLAGS.replace(" --start 2026-01-01", ""))).ok();
}

/// Requests to a bucket need threads of a library that panics without them.
#[test]
fn a_bucket_is_asked_or_the_limit_is_named() {
    let sandbox = sandbox();
    let config = json!({"out_dir": "out", "registry_dir": "memory://registry"});
    sandbox.write("config.json", config.to_string());
    let mut was_asked = false;
    for processes in 2..24 {
        let finished = run(&sandbox, processes, "recsys-pipelines", "status --config config.json");
        let last = finished.stderr.lines().last().unwrap();
        was_asked = last.contains("registry memory://registry does not exist");
        let is_limited = finished.code == Some(1) && last.contains("ulimit -u");
        assert!(was_asked || is_limited, "{processes}: {finished:#?}");
    }
    assert!(was_asked);
}
