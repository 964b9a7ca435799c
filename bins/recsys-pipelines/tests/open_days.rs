//! Days that have not ended, days counted from today, and events in the file of another day.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

fn sandbox(validation: &Value) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.configure(&json!({"validation": validation}));
    sandbox
}

fn event(ts: &str, item: &str) -> String {
    json!({"v": 1, "ts": ts, "tenant": "demo", "surface": "home", "session_id": "s", "item_id": item})
        .to_string()
}

fn write(sandbox: &Sandbox, day: &str, events: &[String]) {
    sandbox.write(&format!("raw/demo/home/exposure.{day}.jsonl"), events.join("\n"));
}

fn run(sandbox: &Sandbox, flags: &str) -> Finished {
    sandbox.run("recsys-pipelines", &format!("run {SCOPE} {flags}"))
}

/// The checkpoint, if there is one.
fn checkpoint(sandbox: &Sandbox) -> Option<String> {
    std::fs::read_to_string(sandbox.join("out/checkpoints/demo/home.json")).ok()
}

/// The date `days` days from today, in UTC.
#[allow(clippy::disallowed_methods, reason = "the binaries ask the same clock")]
fn around(days: i64) -> String {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    today.checked_add(days.days()).unwrap().to_string()
}

#[test]
fn a_day_that_has_not_ended_is_refused_and_never_moves_the_checkpoint() {
    let sandbox = sandbox(&json!({}));
    // Two days ahead, so that the day has not begun even if midnight passes during the test.
    let (before, open) = (around(-2), around(2));
    write(&sandbox, &before, &[event(&format!("{before}T10:00:00Z"), "A")]);
    write(&sandbox, &open, &[event(&format!("{open}T10:00:00Z"), "B")]);
    let refused = [format!("{open} has not ended"), "--allow-open-day".to_owned()];
    let parts: Vec<&str> = refused.iter().map(String::as_str).collect();
    let days = format!("{SCOPE} --start {open}");
    for job in ["job_ingest", "job_validate", "job_popularity", "job_publish"] {
        sandbox.run(job, &days).fails(3, &parts);
    }
    run(&sandbox, &format!("--start {open}")).fails(3, &parts);
    // No earlier day is run either: the caller asked for all days and would believe them done.
    for range in
        [format!("--start {before} --end {open}"), format!("--incremental --start {before} --end {open}")]
    {
        run(&sandbox, &range).fails(3, &["has not ended", "--allow-open-day"]);
    }
    assert!(!sandbox.join("out/canonical").exists() && !sandbox.join("out/registry").exists());

    run(&sandbox, &format!("--start {open} --allow-open-day")).fails(3, &["has not begun"]);

    run(&sandbox, &format!("--start {before}")).ok();
    let moved = checkpoint(&sandbox);
    assert_eq!(moved, Some(format!("{{\"day\":\"{before}\"}}\n")));
}

#[test]
fn an_open_day_can_be_tried_and_the_checkpoint_stays() {
    let sandbox = sandbox(&json!({}));
    // A clock pinned to a year in the future.
    let at_noon =
        |line: &str| sandbox.run_at(2_209_032_000, "recsys-pipelines", &format!("run {SCOPE} {line}"));
    for day in ["2039-12-31", "2040-01-01"] {
        write(&sandbox, day, &[event(&format!("{day}T10:00:00Z"), "A")]);
    }
    at_noon("--start 2039-12-31").ok();
    let moved = checkpoint(&sandbox);
    assert_eq!(moved.as_deref(), Some("{\"day\":\"2039-12-31\"}\n"));
    at_noon("--start 2040-01-01").fails(3, &["2040-01-01 has not ended"]);
    at_noon("--start 2040-01-01 --allow-open-day").ok();
    assert_eq!(checkpoint(&sandbox), moved);
}

#[test]
fn the_clock_of_reproducible_builds_does_not_open_the_past() {
    let sandbox = sandbox(&json!({}));
    write(&sandbox, "2026-01-01", &[event("2026-01-01T10:00:00Z", "A")]);
    // The first second of the day.
    sandbox.run_at(1_767_225_600, "recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01")).ok();
}

#[test]
fn a_day_can_be_counted_from_today() {
    let sandbox = sandbox(&json!({}));
    std::fs::create_dir_all(sandbox.join("raw/demo/home")).unwrap();
    let days = |start: &str, end: Option<&str>| -> Finished {
        let end = end.map(|end| format!("--end {end}")).unwrap_or_default();
        // Noon of 2026-02-01.
        sandbox.run_at(1_769_947_200, "job_ingest", &format!("{SCOPE} --json --start {start} {end}"))
    };
    let named = |done: &Finished| -> Vec<String> {
        let document = done.ok().json();
        let days = document["days"].as_array().unwrap();
        days.iter().map(|day| day["canonical"]["day"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(named(&days("yesterday", None)), ["2026-01-31"]);
    assert_eq!(named(&days("today-3", Some("today-2"))), ["2026-01-29", "2026-01-30"]);
    for wrong in ["tomorrow", "today+1", "today-", "today--1", "Yesterday", "today-x", "2026-1-1"] {
        days(wrong, None).fails(2, &["--start", wrong, "YYYY-MM-DD", "today-7"]);
    }
}

/// Two files split by a local time that is 90 minutes behind.
fn by_local_time(sandbox: &Sandbox) {
    let of_the_first =
        ["2026-01-01T08:00:00Z", "2026-01-01T09:00:00Z", "2026-01-02T00:30:00Z", "2026-01-02T01:00:00Z"];
    write(sandbox, "2026-01-01", &of_the_first.map(|ts| event(ts, "A")));
    let of_the_second = ["2026-01-02T08:00:00Z", "2026-01-02T09:00:00Z", "2026-01-03T00:30:00Z"];
    write(sandbox, "2026-01-02", &of_the_second.map(|ts| event(ts, "A")));
}

#[test]
fn events_of_other_days_are_counted_by_day_and_warned_of() {
    let sandbox = sandbox(&json!({}));
    by_local_time(&sandbox);
    let ran = run(&sandbox, "--start 2026-01-01 --end 2026-01-02 --log-format text");
    ran.ok();
    assert!(ran.stdout.contains("4 lines, 0 foreign, 2 of other days (2026-01-02: 2)"), "{ran:?}");
    assert!(ran.stdout.contains("3 lines, 0 foreign, 1 of other days (2026-01-03: 1)"), "{ran:?}");
    assert!(ran.stderr.contains("events of other days lie in the files of this one"), "{ran:?}");
    let ran = run(&sandbox, "--start 2026-01-01 --json");
    let document: Value = serde_json::from_str(&ran.ok().stdout).unwrap();
    assert_eq!(document["days"][0]["source"]["outside_days"], json!({"2026-01-02": 2}));
}

#[test]
fn a_feed_in_local_time_can_be_refused_on_its_first_day() {
    let sandbox = sandbox(&json!({"max_outside_share": 0.4}));
    by_local_time(&sandbox);
    let parts = ["gates refused 2026-01-01", "share of other days 0.5000, max_outside_share allows 0.4"];
    let quiet = |command: &str| {
        let line = format!("{command} {SCOPE} --start 2026-01-01");
        let mut command = sandbox.command("recsys-pipelines");
        // Without the warning.
        Finished::from(command.env("RUST_LOG", "error").args(line.split(' ')).output().unwrap())
    };
    quiet("run").fails(3, &parts);
    // The separate jobs find it in the report.
    let day = format!("{SCOPE} --start 2026-01-01");
    sandbox.run("job_ingest", &day).ok();
    sandbox.run("job_validate", &day).fails(3, &parts);
    // A third is allowed.
    run(&sandbox, "--start 2026-01-02").ok();

    // A flat file may hold other days.
    let files = ["2026-01-01", "2026-01-02"].map(|day| {
        std::fs::read_to_string(sandbox.join(format!("raw/demo/home/exposure.{day}.jsonl"))).unwrap()
    });
    sandbox.write("raw/exposure.jsonl", files.join("\n"));
    let ran = run(&sandbox, "--start 2026-01-01");
    assert!(ran.ok().stdout.contains("5 outside the days asked for"), "{ran:?}");
}
