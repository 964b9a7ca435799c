//! A manifest written by a wrong clock: every command reports it, nothing is published on top of it, and there is a way
//! out. Also a first manifest that was lost.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;

use recsys_testkit::generate::busy_day;
use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::{MANIFEST, SCOPE};
use serde_json::{Value, json};

/// 1 January 2100.
const FAR_AWAY: i64 = 4_102_444_800;

/// A sandbox with three days of events.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for number in 1..=3 {
        let day = format!("2026-01-0{number}");
        let lines: Vec<String> =
            busy_day(number, &day, 60, 10).iter().map(|exposure| exposure.line() + "\n").collect();
        sandbox.write(&format!("raw/demo/home/exposure.{day}.jsonl"), lines.concat());
    }
    sandbox.configure(&json!({}));
    sandbox
}

fn at(sandbox: &Sandbox, epoch: Option<i64>, line: &str) -> Finished {
    let line = format!("{line} {SCOPE}");
    match epoch {
        Some(epoch) => sandbox.run_at(epoch, "recsys-pipelines", &line),
        None => sandbox.run("recsys-pipelines", &line),
    }
}

fn manifest(sandbox: &Sandbox) -> Value {
    serde_json::from_slice(&fs::read(sandbox.join(MANIFEST)).unwrap()).unwrap()
}

#[test]
fn a_manifest_of_the_future_is_refused_by_every_command_and_followed_by_none() {
    let sandbox = sandbox();
    at(&sandbox, None, "run --start 2026-01-01").ok();
    at(&sandbox, Some(FAR_AWAY), "run --start 2026-01-02").ok();
    let poisoned = manifest(&sandbox);
    assert_eq!(poisoned["updated_at"], "2100-01-01T00:00:00Z");

    for line in [
        "status",
        "history",
        "verify",
        "diff",
        "rollback",
        "rollback --dry-run",
        "gc",
        "gc --delete",
        "run --start 2026-01-03",
    ] {
        let parts =
            ["manifest.json was written at 2100-01-01T00:00:00Z", "in the future", "rollback --correct-time"];
        at(&sandbox, None, line).fails(3, &parts);
    }
    let publish = sandbox.run("job_publish", &format!("{SCOPE} --start 2026-01-01 --allow-older-window"));
    publish.fails(3, &["lies in the future"]);
    assert_eq!(manifest(&sandbox), poisoned);

    let dry = at(&sandbox, None, "rollback --correct-time --dry-run");
    assert!(dry.ok().stdout.contains("unchanged: this was a dry run"), "{dry:?}");
    assert_eq!(manifest(&sandbox), poisoned);
    at(&sandbox, None, "rollback --correct-time --steps 1").fails(2, &["--correct-time", "--steps"]);
    assert!(at(&sandbox, None, "rollback --correct-time").ok().stdout.contains("swapped"));
    let corrected = manifest(&sandbox);
    assert_eq!(corrected["current"], poisoned["current"]);
    assert!(corrected["updated_at"].as_str().unwrap() < "2100");
    let unchanged = at(&sandbox, None, "rollback --correct-time");
    assert!(unchanged.ok().stdout.contains("are current already"), "{unchanged:?}");

    // The artifacts were built by the same clock, so their age is unknown.
    let status = at(&sandbox, None, "status");
    assert_eq!(status.code, Some(3), "{status:?}");
    assert!(status.stdout.contains("from the future"), "{status:?}");
    assert!(
        status.stdout.contains("was built at 2100-01-01T00:00:00Z, which lies in the future"),
        "{status:?}"
    );

    // Publishing works again, and the history has no gap.
    at(&sandbox, None, "run --start 2026-01-03").ok();
    at(&sandbox, None, "status").ok();
    let history = at(&sandbox, None, "history --json");
    let history: Value = serde_json::from_str(&history.ok().stdout).unwrap();
    let times = history["entries"].as_array().unwrap().iter().map(|entry| entry["updated_at"].as_str());
    let of_2100 = |time: Option<&str>| time.unwrap().starts_with("2100");
    assert_eq!(times.map(of_2100).collect::<Vec<_>>(), [false, false, true, false]);
    at(&sandbox, None, "rollback --steps 3").ok();
    at(&sandbox, None, "verify").ok();
}

#[test]
fn clocks_may_differ_by_a_few_minutes() {
    let sandbox = sandbox();
    at(&sandbox, Some(FAR_AWAY), "run --start 2026-01-01").ok();
    at(&sandbox, Some(4_102_444_600), "run --start 2026-01-02").ok();
    assert_eq!(manifest(&sandbox)["updated_at"], "2100-01-01T00:00:00.000001Z", "it is followed");
    at(&sandbox, Some(4_102_444_000), "status").fails(3, &["lies in the future"]);
}

/// A single publish is enough to know that a manifest existed.
#[test]
fn a_first_manifest_that_was_lost_is_not_begun_anew() {
    let sandbox = sandbox();
    at(&sandbox, None, "run --start 2026-01-01").ok();
    let bytes = fs::read(sandbox.join(MANIFEST)).unwrap();
    fs::remove_file(sandbox.join(MANIFEST)).unwrap();
    at(&sandbox, None, "run --start 2026-01-02").fails(3, &["is missing, and its history is not"]);
    fs::write(sandbox.join(MANIFEST), bytes).unwrap();
    at(&sandbox, None, "run --start 2026-01-02").ok();
    let history = at(&sandbox, None, "history --json");
    let history: Value = serde_json::from_str(&history.ok().stdout).unwrap();
    assert_eq!(history["entries"].as_array().unwrap().len(), 2);
}
