//! Gates: what must not become current without somebody's word.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use recsys_testkit::reader::read_published;
use recsys_testkit::sandbox::{Finished, Sandbox, bytes};
use serde_json::json;

const SCOPE: &str = "--config config.json --tenant demo --surface home";

/// A folder in which a day has as many items as one likes.
struct Days(Sandbox);

impl Days {
    fn new(validation: &serde_json::Value) -> Self {
        let days = Self(Sandbox::new());
        days.configure(validation);
        days
    }

    fn configure(&self, validation: &serde_json::Value) {
        let config = json!({
            "out_dir": "out", "raw_events_dir": "raw", "artifact_kinds": ["popularity", "implicit"],
            "validation": validation,
        });
        self.0.write("config.json", config.to_string());
    }

    /// Writes a day on which each of so many users was shown each of so many items.
    fn write(&self, day: &str, users: usize, items: usize) {
        let mut lines = String::new();
        for user in 0..users {
            for item in 0..items {
                let event = json!({
                    "v": 1, "ts": format!("{day}T08:00:00Z"), "tenant": "demo", "surface": "home",
                    "session_id": format!("s{user}"), "user_id": format!("u{user:03}"), "item_id": format!("i{item:03}"),
                });
                lines += &format!("{event}\n");
            }
        }
        self.0.write(&format!("raw/demo/home/exposure.{day}.jsonl"), lines);
    }

    fn run(&self, day: &str, flags: &str) -> Finished {
        self.0.run("recsys-pipelines", &format!("run {SCOPE} --start {day} {flags}"))
    }

    fn current(&self) -> Vec<String> {
        let current = read_published(&self.0.join("out/registry/current/demo/home/manifest.json")).unwrap();
        current.into_values().collect()
    }
}

#[test]
fn an_artifact_that_shrinks_or_grows_too_much_is_stored_and_does_not_become_current() {
    let days = Days::new(&json!({"max_artifact_change": 0.5}));
    days.write("2026-01-01", 4, 100);
    // There is nothing yet to compare the first ones with.
    days.run("2026-01-01", "").ok();
    let current = days.current();

    days.write("2026-01-02", 4, 12);
    let before = days.0.snapshot("out/registry");
    let parts = [
        "gate max_artifact_change refused popularity",
        "items from 100 to 12 (-88.0 %)",
        "bytes from ",
        "more than 0.5",
    ];
    days.run("2026-01-02", "").fails(3, &parts);
    assert_eq!(days.current(), current);
    let after = days.0.snapshot("out/registry");
    let new: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    // The records of both kinds are there, and so are the blobs that they name.
    assert_eq!(new.len(), 2, "{new:?}");
    for name in new {
        let record: serde_json::Value = serde_json::from_slice(&after[name].1).unwrap();
        let path = record["uri"].as_str().unwrap().strip_prefix("file://").unwrap().to_owned();
        assert!(std::path::Path::new(&path).exists(), "{name}: {path}");
    }
    assert_eq!(
        bytes(&days.0.snapshot("out/checkpoints")).values().copied().collect::<Vec<_>>(),
        [b"{\"day\":\"2026-01-01\"}\n"]
    );

    // The same through the job, for one kind alone.
    let day = format!("{SCOPE} --start 2026-01-02");
    days.0.run("job_publish", &day).fails(3, &["refused popularity", "items from 100 to 12"]);
    assert_eq!(days.current(), current);
    days.run("2026-01-02", "--allow-large-change").ok();
    assert_ne!(days.current(), current);
    let current = days.current();

    // And in the other direction; fewer users with the same items.
    days.write("2026-01-03", 9, 13);
    days.run("2026-01-03", "").fails(3, &["refused implicit", "users from 4 to 9 (+125.0 %)"]);
    assert_eq!(days.current(), current);
    days.0.run("job_publish", &format!("{SCOPE} --start 2026-01-03 --allow-large-change")).ok();
    assert_ne!(days.current(), current);
}

#[test]
fn a_change_within_bounds_or_without_bounds_passes() {
    let days = Days::new(&json!({"max_artifact_change": 0.5}));
    days.write("2026-01-01", 4, 100);
    days.run("2026-01-01", "").ok();
    days.write("2026-01-02", 5, 70);
    days.run("2026-01-02", "").ok();
    // The same again is no change.
    days.run("2026-01-02", "").ok();
    days.configure(&json!({}));
    days.write("2026-01-03", 1, 1);
    days.run("2026-01-03", "").ok();

    days.configure(&json!({"max_artifact_change": -1}));
    days.run("2026-01-03", "").fails(2, &["validation.max_artifact_change", "-1 is not a share"]);
    days.configure(&json!({"max_artifact_change": 0}));
    days.run("2026-01-03", "").ok();
    days.write("2026-01-04", 1, 2);
    days.run("2026-01-04", "").fails(3, &["items from 1 to 2 (+100.0 %)"]);
}

#[test]
fn a_current_artifact_that_cannot_be_looked_at_is_not_replaced_blindly() {
    let days = Days::new(&json!({"max_artifact_change": 0.5}));
    days.write("2026-01-01", 4, 100);
    days.run("2026-01-01", "").ok();
    std::fs::rename(days.0.join("out/objects"), days.0.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(days.0.join("elsewhere"), days.0.join("link")).unwrap();
    days.write("2026-01-02", 4, 90);
    let run = format!("run {SCOPE} --start 2026-01-02");
    let moved = |line: &str| -> Finished {
        let mut command = days.0.command("recsys-pipelines");
        command.env("RECSYS_PIPELINES__OBJECT_STORE_DIR", "link").args(line.split_whitespace());
        command.output().unwrap().into()
    };
    moved(&run).fails(2, &["cannot compare the new", "is not in the object store", "--allow-large-change"]);
    moved(&format!("{run} --allow-large-change")).ok();
}
