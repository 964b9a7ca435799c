//! Outcomes through the binaries: ingested next to the exposures, counted if weights ask for it.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fmt::Write;
use std::fs;

use recsys_testkit::remote::Remote;
use recsys_testkit::sandbox::{Sandbox, Snapshot, bytes};
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

const DAYS: [&str; 3] = ["2026-01-01", "2026-01-02", "2026-01-03"];
const CANONICAL: &str = "out/canonical/demo/home/outcomes";

/// The shop sample, with a click or a conversion for some of its exposures.
fn shop(extra: &Value) -> Sandbox {
    let sandbox = Sandbox::shop();
    for day in DAYS {
        let text = fs::read_to_string(sandbox.join(format!("raw/demo/home/exposure.{day}.jsonl"))).unwrap();
        let mut outcomes = String::new();
        for (number, line) in text.lines().enumerate().filter(|(number, _)| number % 3 == 0) {
            let mut event: Value = serde_json::from_str(line).unwrap();
            event["event_type"] = if number % 4 == 0 { "conversion" } else { "click" }.into();
            event["value"] = json!(f64::from(u32::try_from(number).unwrap()) / 8.0);
            writeln!(outcomes, "{event}").unwrap();
        }
        sandbox.write(&format!("raw/demo/home/outcome.{day}.jsonl"), outcomes);
    }
    configure(&sandbox, extra);
    sandbox
}

fn configure(sandbox: &Sandbox, extra: &Value) {
    let mut config = json!({"artifact_kinds": ["popularity", "cooc", "implicit", "session_seq"]});
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    sandbox.configure(&config);
}

fn weights(exposure: u64, click: u64, conversion: u64) -> Value {
    json!({"weights": {"exposure": exposure, "click": click, "conversion": conversion}})
}

fn run(sandbox: &Sandbox, flags: &str) {
    sandbox.run_pinned("recsys-pipelines", &format!("run {SCOPE} {flags}"));
}

/// Versions and source hashes of the staged artifacts of a kind.
fn built(sandbox: &Sandbox, kind: &str) -> Vec<(String, String)> {
    let staged = sandbox.snapshot("out/artifacts");
    let of_kind = staged.iter().filter(|(name, _)| name.contains(kind) && name.ends_with(".json"));
    let build = of_kind.map(|(_, (_, bytes))| {
        let build = serde_json::from_slice::<Value>(bytes).unwrap()["build"].take();
        let text = |field: &str| build[field].as_str().unwrap().to_owned();
        (text("version"), text("source_hash"))
    });
    build.collect()
}

#[test]
fn run_and_the_chain_of_jobs_leave_the_same_files() {
    for (artifacts, extra) in [
        ("", json!({})),
        ("", weights(1, 5, 20)),
        ("--segment new --window-days 3", weights(0, 1, 3)),
        ("", {
            let mut extra = weights(1, 0, 10);
            extra["window_days"] = json!({"implicit": 2});
            extra["resources"] = json!({"memory_bytes": 64 << 20});
            extra
        }),
    ] {
        let sandbox = shop(&extra);
        let mut trees: Vec<Snapshot> = Vec::new();
        for jobs in [false, true] {
            for day in DAYS {
                if !jobs {
                    run(&sandbox, &format!("--start {day} {artifacts}"));
                    continue;
                }
                for job in ["job_ingest", "job_validate"] {
                    sandbox.run_pinned(job, &format!("{SCOPE} --start {day}"));
                }
                let builders = ["job_popularity", "job_cooc", "job_implicit", "job_session_seq"];
                for job in builders.into_iter().chain(["job_publish"]) {
                    sandbox.run_pinned(job, &format!("{SCOPE} --start {day} {artifacts}"));
                }
            }
            // Only `run` writes a checkpoint.
            let _ = fs::remove_dir_all(sandbox.join("out/checkpoints"));
            trees.push(sandbox.snapshot("out"));
            fs::remove_dir_all(sandbox.join("out")).unwrap();
        }
        let (run, jobs) = (bytes(&trees[0]), bytes(&trees[1]));
        assert_eq!(run.keys().collect::<Vec<_>>(), jobs.keys().collect::<Vec<_>>(), "{artifacts} {extra}");
        for (name, bytes) in run {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(text(bytes), text(jobs[name]), "{name} {artifacts} {extra}");
        }
        let outcomes = trees[0].keys().filter(|name| name.starts_with("canonical/demo/home/outcomes/"));
        assert_eq!(outcomes.count(), 3);
    }
}

#[test]
fn by_default_outcomes_change_no_artifact_and_are_not_even_read() {
    let kinds = ["popularity", "cooc", "implicit", "session_seq"];
    let sandbox = shop(&json!({}));
    run(&sandbox, "--start 2026-01-01 --end 2026-01-03");
    let with: Vec<_> = kinds.map(|kind| built(&sandbox, kind)).to_vec();
    // A builder that read this file would fail.
    sandbox.write(&format!("{CANONICAL}/2026-01-02.jsonl"), "broken\n");
    for job in ["job_popularity", "job_implicit"] {
        sandbox.run_pinned(job, &format!("{SCOPE} --start 2026-01-02"));
    }
    assert_eq!(kinds.map(|kind| built(&sandbox, kind)).to_vec(), with);

    configure(&sandbox, &weights(1, 1, 0));
    sandbox
        .run("job_popularity", &format!("{SCOPE} --start 2026-01-02"))
        .fails(3, &["outcomes/2026-01-02.jsonl:1:1: "]);
    for job in ["job_cooc", "job_session_seq"] {
        sandbox.run_pinned(job, &format!("{SCOPE} --start 2026-01-02"));
    }

    let without = shop(&json!({}));
    for day in DAYS {
        fs::remove_file(without.join(format!("raw/demo/home/outcome.{day}.jsonl"))).unwrap();
    }
    run(&without, "--start 2026-01-01 --end 2026-01-03");
    assert_eq!(kinds.map(|kind| built(&without, kind)).to_vec(), with);
    assert!(!without.join(CANONICAL).exists());
}

#[test]
fn the_source_of_weighted_artifacts_is_exposures_then_outcomes() {
    let sandbox = shop(&weights(1, 5, 20));
    run(&sandbox, "--start 2026-01-01 --end 2026-01-02 --window-days 2");
    let mut source = Vec::new();
    for stream in ["exposures", "outcomes"] {
        for day in &DAYS[..2] {
            let path = format!("out/canonical/demo/home/{stream}/{day}.jsonl");
            source.extend(fs::read(sandbox.join(path)).unwrap());
        }
    }
    let both = recsys_core::encoding::hash::sha256(&source);
    let has = |kind: &str, hash: &str| built(&sandbox, kind).iter().any(|(_, source)| source == hash);
    assert!(has("popularity", &both) && has("implicit", &both));
    assert!(!has("cooc", &both) && !has("session_seq", &both));

    // Exposure-only weights change the counts, but not their source.
    let scaled = shop(&weights(2, 0, 0));
    let plain = shop(&json!({}));
    for sandbox in [&scaled, &plain] {
        run(sandbox, "--start 2026-01-01");
    }
    let ((scaled, its_source), (plain, source)) =
        (built(&scaled, "popularity").remove(0), built(&plain, "popularity").remove(0));
    assert_ne!(scaled, plain);
    assert_eq!(its_source, source);
}

#[test]
fn what_was_read_is_said() {
    let sandbox = shop(&json!({}));
    let ingested = sandbox.run_pinned("job_ingest", &format!("{SCOPE} --start 2026-01-01"));
    let lines: Vec<&str> = ingested.stdout.lines().filter(|line| line.starts_with("  outcomes")).collect();
    assert_eq!(lines.len(), 2, "{}", ingested.stdout);
    assert!(lines[0].contains("outcome.2026-01-01.jsonl: 34 lines, "), "{}", lines[0]);
    assert!(
        lines[1].contains("outcomes/2026-01-01.jsonl: ") && lines[1].ends_with("written"),
        "{}",
        lines[1]
    );

    for line in
        [format!("run {SCOPE} --start 2026-01-01 --json"), format!("{SCOPE} --start 2026-01-01 --json")]
    {
        let binary = if line.starts_with("run") { "recsys-pipelines" } else { "job_ingest" };
        let document: Value = serde_json::from_str(&sandbox.run_pinned(binary, &line).stdout).unwrap();
        let outcomes = &document["days"][0]["outcomes"];
        assert_eq!(outcomes["source"]["lines"], 34);
        assert_eq!(outcomes["canonical"]["replaced"], "unchanged");
        let text = fs::read_to_string(sandbox.join(format!("{CANONICAL}/2026-01-01.jsonl"))).unwrap();
        assert_eq!(outcomes["canonical"]["events"], text.lines().count());
    }

    // A day that never had outcomes is empty, and nothing is reported about it.
    fs::remove_file(sandbox.join("raw/demo/home/outcome.2026-01-02.jsonl")).unwrap();
    let ingested = sandbox.run_pinned("job_ingest", &format!("{SCOPE} --start 2026-01-02"));
    assert!(!ingested.stdout.contains("outcome"), "{}", ingested.stdout);
    assert!(!sandbox.join(format!("{CANONICAL}/2026-01-02.jsonl")).exists());
}

#[test]
fn lost_outcomes_do_not_erase_those_of_before() {
    let sandbox = shop(&json!({}));
    let line = format!("{SCOPE} --start 2026-01-01");
    sandbox.run_pinned("job_ingest", &line);
    let before = sandbox.snapshot("out");
    let raw = "raw/demo/home/outcome.2026-01-01.jsonl";
    for text in [None, Some("\n")] {
        fs::remove_file(sandbox.join(raw)).unwrap();
        if let Some(text) = text {
            sandbox.write(raw, text);
        } else {
            sandbox
                .run("job_ingest", &line)
                .fails(3, &["min_events", "outcomes/2026-01-01.jsonl would be erased"]);
            sandbox.write(raw, "");
        }
        sandbox
            .run("recsys-pipelines", &format!("run {line}"))
            .fails(3, &["min_events", "outcomes/2026-01-01.jsonl would be erased"]);
        assert_eq!(sandbox.snapshot("out"), before);
    }
    configure(&sandbox, &json!({"validation": {"min_events": 0}}));
    let ingested = sandbox.run_pinned("job_ingest", &line);
    assert!(ingested.stdout.contains("outcomes/2026-01-01.jsonl: 0 events, 0 duplicates dropped, removed"));
    assert!(!sandbox.join(format!("{CANONICAL}/2026-01-01.jsonl")).exists());
}

#[test]
fn a_bad_outcome_stops_the_day_before_anything_is_written() {
    let sandbox = shop(&json!({}));
    let raw = "raw/demo/home/outcome.2026-01-01.jsonl";
    let good = fs::read_to_string(sandbox.join(raw)).unwrap();
    let first = good.lines().next().unwrap();
    let bad = first.replace("\"conversion\"", "\"purchase\"").replace("\"click\"", "\"purchase\"");
    sandbox.write(raw, format!("{good}{bad}\n{good}"));
    let position = format!("{raw}:{}: field `event_type` is \"purchase\"", good.lines().count() + 1);
    sandbox.run("job_ingest", &format!("{SCOPE} --start 2026-01-01")).fails(3, &[&position]);
    sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01")).fails(3, &[&position]);
    // The day is marked as refused; nothing else is written.
    let written = sandbox.snapshot("out");
    let files = ["exposures/2026-01-01.refused.jsonl", "scope.json"];
    let files = files.map(|file| format!("canonical/demo/home/{file}"));
    assert_eq!(written.keys().collect::<Vec<_>>(), files.iter().collect::<Vec<_>>());
}

#[test]
fn flat_outcomes_stand_beside_exposures_by_day() {
    let by_day = shop(&weights(1, 1, 1));
    let flat = shop(&weights(1, 1, 1));
    let mut text = Vec::new();
    for day in DAYS {
        let path = flat.join(format!("raw/demo/home/outcome.{day}.jsonl"));
        text.extend(fs::read(&path).unwrap());
        fs::remove_file(path).unwrap();
    }
    flat.write("raw/outcome.jsonl.zst", zstd::encode_all(text.as_slice(), 1).unwrap());
    let mut trees = Vec::new();
    for sandbox in [&by_day, &flat] {
        run(sandbox, "--start 2026-01-01 --end 2026-01-03");
        trees.push((sandbox.snapshot("out/canonical"), built(sandbox, "popularity")));
    }
    assert_eq!(bytes(&trees[0].0), bytes(&trees[1].0));
    assert_eq!(trees[0].1, trees[1].1);
}

#[test]
fn outcomes_are_bounded_as_exposures_are() {
    let sandbox = shop(&json!({"limits": {"max_events_per_run": 98}}));
    sandbox.run_pinned("job_ingest", &format!("{SCOPE} --start 2026-01-01"));
    let raw = "raw/demo/home/outcome.2026-01-01.jsonl";
    let line = r#"{"ts":"2026-01-01T08:00:00Z","tenant":"demo","surface":"home","item_id":"i","event_type":"click"}"#;
    sandbox.write(raw, format!("{line}\n").repeat(99));
    sandbox
        .run("job_ingest", &format!("{SCOPE} --start 2026-01-01"))
        .fails(4, &["max_events_per_run", "99 of at most 98", "the outcomes of 2026-01-01"]);
    // If they are counted, outcomes add to the events of the window.
    sandbox.write(raw, format!("{line}\n").repeat(1));
    let config = |weights: Value, most: u64| {
        let mut extra = weights;
        extra["limits"] = json!({"max_events_per_run": most});
        configure(&sandbox, &extra);
    };
    config(weights(1, 1, 0), 98);
    sandbox
        .run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01"))
        .fails(4, &["max_events_per_run", "99 of at most 98", "window 2026-01-01"]);
    config(weights(1, 1, 0), 99);
    run(&sandbox, "--start 2026-01-01");
    config(weights(1 << 50, 1, 0), 99);
    sandbox
        .run("job_implicit", &format!("{SCOPE} --start 2026-01-01"))
        .fails(4, &["window 2026-01-01", "more than 9007199254740992", "lower weights.exposure"]);
}

#[test]
fn weights_that_make_no_sense_are_refused() {
    let sandbox = shop(&weights(0, 0, 0));
    let line = format!("{SCOPE} --start 2026-01-01");
    sandbox.run("job_popularity", &line).fails(2, &["setting weights are all 0; then nothing counts"]);
    for (field, value) in
        [("click", json!(-1)), ("click", json!(1.5)), ("conversion", json!("2")), ("view", json!(1))]
    {
        configure(&sandbox, &json!({"weights": {field: value}}));
        sandbox.run("job_popularity", &line).fails(2, &["weights", field]);
    }
    configure(&sandbox, &json!({}));
    let mut command = sandbox.command("recsys-pipelines");
    command.env("RECSYS_PIPELINES__WEIGHTS__CLICK", "7").args([
        "config",
        "show",
        "--json",
        "--config",
        "config.json",
    ]);
    let shown: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(shown["weights.click"]["value"], 7);
    assert_eq!(shown["weights.exposure"]["value"], 1);
}

#[test]
fn outcomes_in_a_bucket_are_those_on_a_disk() {
    let disk = shop(&weights(1, 5, 20));
    run(&disk, "--start 2026-01-01 --end 2026-01-03");
    let mut remote = Remote::new();
    for day in DAYS {
        let name = format!("raw/demo/home/outcome.{day}.jsonl");
        remote.s3.put(&remote.key(&name), fs::read(disk.join(&name)).unwrap());
    }
    remote.config["weights"] = weights(1, 5, 20)["weights"].clone();
    remote.config["artifact_kinds"] = json!(["popularity", "cooc", "implicit", "session_seq"]);
    remote.write_config();
    remote.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01 --end 2026-01-03")).ok();
    let objects = remote.objects("out");
    for (name, bytes) in bytes(&disk.snapshot("out")) {
        // Staged and stored artifacts contain their build time.
        let of_content = name.starts_with("canonical/") || name.ends_with("current.version");
        if of_content {
            assert_eq!(objects[&format!("out/{name}")], bytes, "{name}");
        }
    }
}

#[test]
fn bad_outcomes_are_set_aside_beside_bad_exposures() {
    let sandbox = shop(&json!({"validation": {"max_invalid_ratio": 0.1}}));
    let line = format!("{SCOPE} --start 2026-01-01");
    let (exposures, outcomes) =
        ("raw/demo/home/exposure.2026-01-01.jsonl", "raw/demo/home/outcome.2026-01-01.jsonl");
    let folder = "out/canonical/demo/home/quarantine";
    let good = fs::read_to_string(sandbox.join(outcomes)).unwrap();
    let good_exposures = fs::read(sandbox.join(exposures)).unwrap();
    sandbox.run_pinned("job_ingest", &line);
    let before = sandbox.snapshot(CANONICAL);
    for path in [exposures, outcomes] {
        let text = fs::read_to_string(sandbox.join(path)).unwrap();
        sandbox.write(path, format!("broken\n{text}"));
    }
    let ingested = sandbox.run_pinned("job_ingest", &line);
    assert!(ingested.stdout.contains("quarantine/outcomes/2026-01-01.jsonl: 1 lines"), "{}", ingested.stdout);
    for (name, file) in [("2026-01-01.jsonl", "exposure"), ("outcomes/2026-01-01.jsonl", "outcome")] {
        let text = fs::read_to_string(sandbox.join(format!("{folder}/{name}"))).unwrap();
        let set_aside: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(set_aside["text"], "broken");
        assert!(set_aside["file"].as_str().unwrap().ends_with(&format!("{file}.2026-01-01.jsonl")));
    }
    assert_eq!(sandbox.snapshot(CANONICAL), before);

    // Too many bad lines of one type are not offset by good lines of the other.
    sandbox.write(exposures, good_exposures);
    sandbox.write(outcomes, format!("{}{good}", "broken\n".repeat(5)));
    sandbox
        .run("job_ingest", &line)
        .fails(3, &["max_invalid_ratio", "5 of 39", "quarantine/outcomes/2026-01-01.jsonl"]);
    assert_eq!(sandbox.snapshot(CANONICAL), before);
    // One event more and one less are counted separately.
    let others: Vec<&str> = good.lines().skip(1).collect();
    let more = others[0].replace("\"value\":", "\"value\":1");
    sandbox.write(outcomes, format!("{}\n{more}\n", others.join("\n")));
    let ingested = sandbox.run_pinned("job_ingest", &line);
    assert!(ingested.stdout.contains("written (1 in, 1 out)"), "{}", ingested.stdout);
    assert!(!sandbox.join(format!("{folder}/outcomes/2026-01-01.jsonl")).exists());
}
