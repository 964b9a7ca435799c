//! Gates: changes that must not become current without an operator's consent.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use recsys_testkit::reader::read_published;
use recsys_testkit::sandbox::{Finished, Sandbox, bytes};
use recsys_testkit::scope::SCOPE;
use serde_json::json;

/// A sandbox for days with any number of items.
struct Days(Sandbox);

impl Days {
    fn new(validation: &serde_json::Value) -> Self {
        let days = Self(Sandbox::new());
        days.configure(validation);
        days
    }

    fn configure(&self, validation: &serde_json::Value) {
        self.0.configure(&json!({"artifact_kinds": ["popularity", "implicit"], "validation": validation}));
    }

    /// Writes a day on which each of `users` users was shown each of `items` items.
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
    // The first artifacts have nothing to be compared with.
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
    // The records of both kinds exist, and so do the blobs they name.
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

    // The same through `job_publish`, for a single kind.
    let day = format!("{SCOPE} --start 2026-01-02");
    days.0.run("job_publish", &day).fails(3, &["refused popularity", "items from 100 to 12"]);
    assert_eq!(days.current(), current);
    days.run("2026-01-02", "--allow-large-change").ok();
    assert_ne!(days.current(), current);
    let current = days.current();

    // The other direction: more users, the same items.
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
    // The same data again is no change.
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

/// The report of a day.
fn report(days: &Days, day: &str) -> serde_json::Value {
    let path = days.0.join(format!("out/canonical/demo/home/reports/{day}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_day_is_judged_by_the_days_before_it() {
    let volume = json!({"max_volume_drop": 0.5, "max_volume_spike": 1.0, "lookback_days": 4});
    let days = Days::new(&volume);
    // The first days have too little history, and say so.
    for (day, known) in [("2026-01-01", 0), ("2026-01-02", 1)] {
        days.write(day, 4, 10);
        let run = days.run(day, "");
        let note = format!("its volume is not judged: {known} of the 4 days before it are known");
        assert!(run.ok().stdout.contains(&note), "{run:?}");
        assert_eq!(report(&days, day)["verdict"]["passed"], true);
        assert_eq!(report(&days, day)["verdict"]["past"]["sufficient"], false);
    }
    // Half of the days are enough history. A day with less than half of the median is refused.
    let before = days.current();
    days.write("2026-01-03", 2, 9);

    let parts = [
        "gates refused 2026-01-03",
        "events 18 against a median of 40, max_volume_drop allows 0.5",
        "raw/demo/home/exposure.2026-01-03.jsonl",
    ];
    days.run("2026-01-03", "").fails(3, &parts);
    let refused = report(&days, "2026-01-03");
    assert_eq!((&refused["verdict"]["passed"], &refused["counts"]["events"]), (&json!(false), &json!(18)));
    let checks = refused["verdict"]["checks"].as_array().unwrap();
    let failed: Vec<_> = checks.iter().filter(|check| check["passed"] == false).collect();
    assert_eq!(failed.len(), 1, "{checks:?}");
    assert_eq!(
        *failed[0],
        json!({"gate": "max_volume_drop", "of": "events", "value": 18, "median": 40.0, "allowed": 0.5, "passed": false})
    );
    // The current artifacts stay, and the day's data is kept for inspection.
    assert_eq!(days.current(), before);
    days.0
        .run("job_validate", &format!("{SCOPE} --start 2026-01-03"))
        .fails(3, &["events 18 against a median of 40"]);
    assert_eq!(report(&days, "2026-01-03"), refused);

    // The other direction: twice as much is allowed, more is not.
    days.write("2026-01-03", 4, 20);
    days.run("2026-01-03", "").ok();
    days.write("2026-01-03", 9, 10);
    days.run("2026-01-03", "").fails(
        3,
        &["events 90 against a median of 40, max_volume_spike allows 1", "users 9 against a median of 4"],
    );
}

#[test]
fn the_chain_of_jobs_writes_the_reports_that_run_writes() {
    let reports = |chain: bool| {
        let days =
            Days::new(&json!({"max_volume_drop": 0.9, "lookback_days": 2, "max_duplicate_share": 0.5}));
        for day in ["2026-01-01", "2026-01-02", "2026-01-03"] {
            days.write(day, 3, 5);
            if chain {
                let line = format!("{SCOPE} --start {day}");
                days.0.run("job_ingest", &line).ok();
                assert_eq!(report(&days, day).get("verdict"), None);
                days.0.run("job_validate", &line).ok();
                // Ingesting the same events again keeps the verdict.
                let before = days.0.snapshot("out/canonical");
                days.0.run("job_ingest", &line).ok();
                assert_eq!(days.0.snapshot("out/canonical"), before);
            } else {
                days.run(day, "").ok();
            }
        }
        let snapshot = days.0.snapshot("out/canonical");
        snapshot.into_iter().map(|(name, (_, bytes))| (name, bytes)).collect::<Vec<_>>()
    };
    let by_run = reports(false);
    // Data and report of three days, and `scope.json`.
    assert_eq!(by_run.len(), 7);
    assert_eq!(reports(true), by_run);
}

#[test]
fn duplicates_guests_and_giant_sessions_can_be_refused() {
    let event = |request: &str, user: &str, session: &str| {
        json!({"v": 1, "ts": "2026-01-01T08:00:00Z", "tenant": "demo", "surface": "home", "session_id": session,
            "item_id": "A", "request_id": request, "user_id": user}).to_string()
    };
    let lines = [
        event("1", "u", "s"),
        event("1", "u", "s"),
        event("2", "", "s"),
        event("3", "u", "s"),
        event("4", "u", "t"),
    ];
    let days =
        Days::new(&json!({"max_duplicate_share": 0.2, "max_guest_share": 0.25, "max_session_events": 3}));
    days.0.write("raw/exposure.jsonl", lines.join("\n"));
    days.run("2026-01-01", "").ok();
    let counts = &report(&days, "2026-01-01");
    assert_eq!(
        counts["counts"],
        json!({"events": 4, "sessions": 2, "items": 1, "users": 1, "guest_events": 1, "largest_session": 3})
    );
    assert_eq!(counts["duplicates"], 1);
    for (setting, value, told) in [
        ("max_duplicate_share", json!(0.19), "share of duplicates 0.2"),
        ("max_guest_share", json!(0.24), "share of guests 0.25"),
        ("max_session_events", json!(2), "events of the largest session 3"),
    ] {
        days.configure(&json!({setting: value}));
        days.run("2026-01-01", "").fails(3, &["gates refused 2026-01-01", told, setting]);
        days.0.run("job_validate", &format!("{SCOPE} --start 2026-01-01")).fails(3, &[told]);
    }
}

#[test]
fn a_day_that_is_ingested_again_says_what_came_and_went() {
    let days = Days::new(&json!({}));
    let ingest = || -> serde_json::Value {
        let finished = days.0.run("job_ingest", &format!("{SCOPE} --start 2026-01-01 --json"));
        let document: serde_json::Value = serde_json::from_str(&finished.ok().stdout).unwrap();
        document["days"][0]["canonical"].clone()
    };
    days.write("2026-01-01", 2, 3);
    let first = ingest();
    assert_eq!((&first["replaced"], first.get("changes")), (&json!("written"), None));
    assert_eq!(ingest()["changes"], json!({"in": 0, "out": 0}));
    days.write("2026-01-01", 3, 2);
    let changed = ingest();
    // Items 0 and 1 of users 0 and 1 stay, their item 2 is gone, and two items of user 2 are new.
    assert_eq!((&changed["replaced"], &changed["changes"]), (&json!("written"), &json!({"in": 2, "out": 2})));
    let said = {
        days.write("2026-01-01", 3, 3);
        days.0.run("job_ingest", &format!("{SCOPE} --start 2026-01-01"))
    };
    assert!(said.ok().stdout.contains("written (3 in, 0 out)"), "{said:?}");
}

#[test]
fn late_events_get_in_when_the_last_days_are_done_again() {
    let days = Days::new(&json!({}));
    for day in ["2026-01-02", "2026-01-03", "2026-01-04"] {
        days.write(day, 2, 2);
    }
    let incremental =
        |flags: &str| days.0.run("recsys-pipelines", &format!("run {SCOPE} --incremental {flags}"));
    incremental("--start 2026-01-02 --end 2026-01-03").ok();
    // A late event for a published day; the next day exists by now.
    days.write("2026-01-02", 2, 3);
    let said = incremental("--end 2026-01-04 --reprocess-days 5 --window-days 3");
    let text = &said.ok().stdout;
    assert!(text.contains("(2 in, 0 out)"), "{text}");
    // Days before the first one have no data and are not run.
    let done: Vec<&str> = text.lines().filter(|line| line.starts_with("demo/home")).collect();
    assert_eq!(done, ["demo/home 2026-01-02", "demo/home 2026-01-03", "demo/home 2026-01-04"]);
    let popularity = days.current().into_iter().find(|uri| uri.contains("/popularity/")).unwrap();
    let blob = std::fs::read(popularity.strip_prefix("file://").unwrap()).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&blob).unwrap();
    assert_eq!(
        document["items"],
        json!([
            {"item_id": "i000", "count": 6}, {"item_id": "i001", "count": 6}, {"item_id": "i002", "count": 2},
        ])
    );
    // A late file with a whole day.
    days.write("2026-01-01", 1, 1);
    let late = incremental("--end 2026-01-04 --reprocess-days 5 --window-days 3");
    assert!(late.ok().stdout.contains("demo/home 2026-01-01"), "{late:?}");
    assert!(late.stderr.contains("2025-12-31") && late.stderr.contains("not done again"), "{late:?}");
    incremental("--end 2026-01-04 --reprocess-days 400").fails(4, &["max_days_backfill"]);
    // With no new data, only the last day is run again.

    let again = incremental("--end 2026-01-04 --reprocess-days 1 --window-days 3");
    assert_eq!(again.ok().stdout.matches("demo/home 2026").count(), 1);
    assert!(incremental("--end 2026-01-04").ok().stdout.contains("nothing to do"));
    days.0
        .run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-02 --reprocess-days 1"))
        .fails(2, &["--incremental"]);
}
