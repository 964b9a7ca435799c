//! `run` and the chain of jobs, on good input.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;
use std::io::Write;

use recsys_core::artifact::Kind;
use recsys_testkit::reader::read_published;
use recsys_testkit::sandbox::{Sandbox, Snapshot, bytes};
use recsys_testkit::scope::{MANIFEST, SCOPE};
use serde_json::{Value, json};

/// The shop sample with all five kinds.
fn shop(extra: &Value) -> Sandbox {
    let sandbox = Sandbox::shop();
    sandbox.copy("testdata/catalog/shop.csv", "shop.csv");
    let mut config = json!({
        "artifact_kinds": ["popularity", "cooc", "implicit", "content_sim", "session_seq"],
        "catalog": {"path": "shop.csv"},
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    sandbox.configure(&config);
    sandbox
}

/// Processes a day with the separate jobs.
fn chain(sandbox: &Sandbox, artifacts: &str, day: &str) {
    for job in ["job_ingest", "job_validate"] {
        sandbox.run_pinned(job, &format!("{SCOPE} --start {day}"));
    }
    let builders = ["job_popularity", "job_cooc", "job_implicit", "job_session_seq", "job_content_sim"];
    for job in builders.into_iter().chain(["job_publish"]) {
        sandbox.run_pinned(job, &format!("{SCOPE} --start {day} {artifacts}"));
    }
}

#[test]
fn run_and_the_chain_of_jobs_leave_the_same_files() {
    for (artifacts, extra) in [
        ("", json!({})),
        ("--segment new --window-days 3", json!({})),
        ("", json!({"window_days": {"cooc": 3, "implicit": 2}})),
    ] {
        let sandbox = shop(&extra);
        let mut trees: Vec<Snapshot> = Vec::new();
        for jobs in [false, true] {
            for day in ["2026-01-01", "2026-01-02", "2026-01-03"] {
                if jobs {
                    chain(&sandbox, artifacts, day);
                } else {
                    let line = format!("run {SCOPE} --start {day} {artifacts}");
                    sandbox.run_pinned("recsys-pipelines", &line);
                }
            }
            // Only `run` writes a checkpoint.
            let _ = fs::remove_dir_all(sandbox.join("out/checkpoints"));
            trees.push(sandbox.snapshot("out"));
            fs::remove_dir_all(sandbox.join("out")).unwrap();
        }
        assert_eq!(bytes(&trees[0]).keys().collect::<Vec<_>>(), bytes(&trees[1]).keys().collect::<Vec<_>>());
        assert_eq!(bytes(&trees[0]), bytes(&trees[1]), "{artifacts} {extra}");
        assert!(trees[0].len() > 50, "{:#?}", trees[0].keys());
    }
}

#[test]
fn running_again_later_changes_no_byte_and_no_time() {
    let sandbox = shop(&json!({}));
    let days = "--start 2026-01-01 --end 2026-01-03";
    sandbox.run("recsys-pipelines", &format!("run {SCOPE} {days}")).ok();
    let before = sandbox.snapshot("out");
    // Wait for longer than the resolution of file times.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let again = sandbox.run("recsys-pipelines", &format!("run {SCOPE} {days}"));
    assert!(again.ok().stdout.contains("already current"), "{again:#?}");
    assert_eq!(before, sandbox.snapshot("out"));
    for day in ["2026-01-01", "2026-01-02", "2026-01-03"] {
        chain(&sandbox, "", day);
    }
    assert_eq!(before, sandbox.snapshot("out"));
}

#[test]
fn a_range_in_job_mode_swaps_once_and_names_the_newest_day() {
    let sandbox = shop(&json!({}));
    let range = format!("{SCOPE} --start 2026-01-01 --end 2026-01-03");
    for job in ["job_ingest", "job_validate", "job_popularity", "job_cooc", "job_publish"] {
        sandbox.run(job, &range).ok();
    }
    assert_eq!(sandbox.snapshot("out/registry/history").len(), 1);
    assert_eq!(sandbox.snapshot("out/registry/records").len(), 6);
    let popularity = &read_published(&sandbox.join(MANIFEST)).unwrap()[&Kind::Popularity];
    let blob: Value = serde_json::from_slice(&fs::read(&popularity["file://".len()..]).unwrap()).unwrap();
    assert_eq!(blob["window"]["end"], "2026-01-04T00:00:00Z");
}

#[test]
fn an_older_window_never_takes_the_pointer_unless_told_to() {
    let sandbox = shop(&json!({}));
    let run = |day: &str, flags: &str| {
        sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start {day} {flags}"))
    };
    run("2026-01-02", "").ok();
    let newer = fs::read(sandbox.join(MANIFEST)).unwrap();
    let older = run("2026-01-01", "");
    assert!(older.ok().stdout.contains("kept aside: the current one is of a newer window"), "{older:#?}");
    assert_eq!(fs::read(sandbox.join(MANIFEST)).unwrap(), newer);
    assert_eq!(sandbox.snapshot("out/registry/records/demo/home/cooc").len(), 2, "the record is written");
    run("2026-01-01", "--allow-older-window").ok();
    assert_ne!(fs::read(sandbox.join(MANIFEST)).unwrap(), newer);
    read_published(&sandbox.join(MANIFEST)).unwrap();
}

#[test]
fn a_segment_does_not_replace_another_unless_told_to() {
    let sandbox = shop(&json!({}));
    let run =
        |flags: &str| sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01 {flags}"));
    run("").ok();
    let all = sandbox.snapshot("out/registry");
    let blobs = sandbox.snapshot("out/objects");
    run("--segment new").fails(2, &["is of segment _all, this one is of new", "--switch-segment"]);
    assert_eq!(sandbox.snapshot("out/registry"), all);
    assert_eq!(sandbox.snapshot("out/objects"), blobs, "refused before anything is written");
    run("--segment new --switch-segment").ok();
    let current = read_published(&sandbox.join(MANIFEST)).unwrap();
    let blob: Value =
        serde_json::from_slice(&fs::read(&current[&Kind::Cooc]["file://".len()..]).unwrap()).unwrap();
    assert_eq!(blob["segment"], "new");
}

#[test]
fn an_incremental_run_begins_after_the_checkpoint_and_leaves_no_gap() {
    let sandbox = shop(&json!({}));
    let run = |flags: &str| sandbox.run("recsys-pipelines", &format!("run {SCOPE} {flags}"));
    let checkpoint = || fs::read_to_string(sandbox.join("out/checkpoints/demo/home.json")).unwrap();
    run("--incremental").fails(2, &["there is no checkpoint yet", "--start"]);
    run("--incremental --start 2026-01-02 --end 2026-01-01").fails(2, &["--end 2026-01-01 is before"]);
    run("--incremental --start 2026-01-01 --end 2026-01-02").ok();
    assert_eq!(checkpoint(), "{\"day\":\"2026-01-02\"}\n");
    let next = run("--incremental --end 2026-01-03");
    let stdout = &next.ok().stdout;
    assert!(stdout.contains("demo/home 2026-01-03") && !stdout.contains("demo/home 2026-01-02"), "{stdout}");
    assert!(run("--incremental --end 2026-01-03").ok().stdout.contains("nothing to do"));
    // Rerunning an old day does not move the checkpoint back.
    run("--start 2026-01-01").ok();
    assert_eq!(checkpoint(), "{\"day\":\"2026-01-03\"}\n");
    // A failed day does not count as published.
    run("--incremental --end 2026-01-04").fails(3, &["min_events", "2026-01-04"]);
    assert_eq!(checkpoint(), "{\"day\":\"2026-01-03\"}\n");
    let ahead = run("--incremental --end 2026-01-02");
    assert!(ahead.ok().stderr.contains("the checkpoint is later than the last day to run"), "{ahead:#?}");
    sandbox.write("out/checkpoints/demo/home.json", "{}");
    run("--incremental").fails(3, &["out/checkpoints/demo/home.json", "missing field `day`"]);
}

#[test]
fn a_day_beyond_a_gap_leaves_the_checkpoint_where_it_is() {
    let sandbox = shop(&json!({}));
    let run = |day: &str| sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start {day}"));
    run("2026-01-01").ok();
    assert!(run("2026-01-03").ok().stderr.contains("the days between were not published"));
    let checkpoint = fs::read_to_string(sandbox.join("out/checkpoints/demo/home.json")).unwrap();
    assert_eq!(checkpoint, "{\"day\":\"2026-01-01\"}\n");
}

#[test]
fn compressed_and_split_raw_files_give_the_same_files() {
    let sandbox = shop(&json!({}));
    let raw = fs::read(sandbox.join("raw/demo/home/exposure.2026-01-01.jsonl")).unwrap();
    let run = |expected: Option<&Snapshot>| {
        sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01")).ok();
        let canonical = sandbox.snapshot("out/canonical");
        fs::remove_dir_all(sandbox.join("out")).unwrap();
        if let Some(expected) = expected {
            assert_eq!(bytes(&canonical), bytes(expected));
        }
        canonical
    };
    let plain = run(None);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&raw).unwrap();
    fs::remove_dir_all(sandbox.join("raw")).unwrap();
    sandbox.write("raw/exposure.jsonl.gz", gz.finish().unwrap());
    run(Some(&plain));
    fs::remove_dir_all(sandbox.join("raw")).unwrap();
    let half = raw.len() / 2 + raw[raw.len() / 2..].iter().position(|b| *b == b'\n').unwrap() + 1;
    sandbox.write("raw/exposure.jsonl", &raw[half..]);
    sandbox.write("raw/exposure.jsonl.zst", zstd::encode_all(&raw[..half], 1).unwrap());
    run(Some(&plain));
}

#[test]
fn tenants_in_one_flat_file_do_not_meet() {
    let sandbox = Sandbox::new();
    let mut mixed = String::new();
    for tenant in ["demo", "other"] {
        let events = fs::read_to_string(
            recsys_testkit::golden::repository().join("testdata/golden/shop/exposure.jsonl"),
        );
        mixed += &events
            .unwrap()
            .replace("\"demo\"", &format!("\"{tenant}\""))
            .replace("sku", &format!("{tenant}-sku"));
    }
    sandbox.write("raw/exposure.jsonl", &mixed);
    sandbox.configure(&json!({}));
    for tenant in ["demo", "other"] {
        let line =
            format!("run --config config.json --tenant {tenant} --surface home --start 2026-01-01 --json");
        let document: Value =
            serde_json::from_str(&sandbox.run("recsys-pipelines", &line).ok().stdout).unwrap();
        let source = &document["days"][0]["source"];
        assert_eq!((&source["lines"], &source["foreign"]), (&json!(34), &json!(17)));
        let canonical = fs::read_to_string(
            sandbox.join(format!("out/canonical/{tenant}/home/exposures/2026-01-01.jsonl")),
        );
        assert!(canonical.unwrap().lines().all(|line| line.contains(&format!("\"{tenant}-sku"))));
    }
}

#[test]
fn a_window_reaches_back_over_empty_days_and_says_so() {
    let sandbox = shop(&json!({}));
    let line = format!("run {SCOPE} --start 2026-01-02 --window-days 3 --json");
    let finished = sandbox.run("recsys-pipelines", &line);
    let document: Value = serde_json::from_str(&finished.ok().stdout).unwrap();
    assert_eq!(document["days"][0]["artifacts"][0]["empty_days"], json!(["2025-12-31", "2026-01-01"]));
    assert!(finished.stderr.contains("no canonical data"), "{finished:#?}");
}

#[test]
fn oversized_sessions_are_skipped_when_told_to_and_counted() {
    let limits = json!({"limits": {"max_items_per_session": 5, "oversized_sessions": "skip"}});
    let sandbox = shop(&limits);
    let finished = sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01 --json"));
    let document: Value = serde_json::from_str(&finished.ok().stdout).unwrap();
    let artifacts = document["days"][0]["artifacts"].as_array().unwrap();
    let cooc = artifacts.iter().find(|artifact| artifact["kind"] == "cooc").unwrap();
    assert!(cooc["skipped_sessions"].as_u64().unwrap() > 0, "{cooc}");
    assert!(finished.stderr.contains("oversized sessions left out"), "{finished:#?}");
}

#[test]
fn configuration_comes_from_file_then_environment_then_flags() {
    let sandbox = shop(&json!({"window_days": {"cooc": 2}}));
    sandbox.write("config.yaml", "out_dir: yaml\nraw_events_dir: raw\nlimits:\n  min_cooc_support: 1\n");
    sandbox.write("config.toml", "out_dir = 'toml'\nraw_events_dir = 'raw'\n[window_days]\ncooc = 3\n");
    let windows = |config: &str, flags: &str, environment: &[(&str, &str)]| {
        let line =
            format!("run --config {config} --tenant demo --surface home --start 2026-01-03 --json {flags}");
        let mut command = sandbox.command("recsys-pipelines");
        let output =
            command.args(line.split_whitespace()).envs(environment.iter().copied()).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let artifacts = document["days"][0]["artifacts"].as_array().unwrap();
        let cooc = artifacts.iter().find(|artifact| artifact["kind"] == "cooc").unwrap();
        (
            cooc["window"]["start"].as_str().unwrap()[8..10].to_owned(),
            cooc["staged"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(windows("config.json", "", &[]).0, "02");
    assert_eq!(windows("config.json", "", &[("RECSYS_PIPELINES__WINDOW_DAYS__COOC", "3")]).0, "01");
    assert_eq!(
        windows("config.json", "--window-days 1", &[("RECSYS_PIPELINES__WINDOW_DAYS__COOC", "3")]).0,
        "03"
    );
    assert!(windows("config.yaml", "", &[]).1.starts_with("yaml/artifacts/"));
    let (start, staged) = windows("config.toml", "", &[]);
    assert!(start == "01" && staged.starts_with("toml/artifacts/"), "{start} {staged}");
    let elsewhere = windows("config.toml", "", &[("RECSYS_PIPELINES__ARTIFACTS_DIR", "elsewhere")]);
    assert!(elsewhere.1.starts_with("elsewhere/demo/"), "{elsewhere:?}");
    // A path may look like a number.
    let year = windows("config.json", "", &[("RECSYS_PIPELINES__OUT_DIR", "2026")]);
    assert!(year.1.starts_with("2026/artifacts/"), "{year:?}");
}

#[test]
fn publishers_of_different_kinds_never_lose_each_others_update() {
    let sandbox = shop(&json!({}));
    let range = format!("{SCOPE} --start 2026-01-01 --end 2026-01-03");
    sandbox.run("job_ingest", &range).ok();
    let jobs = ["popularity", "cooc", "implicit", "session_seq"];
    // Each publisher stages its kind in its own folder and publishes day by day.
    std::thread::scope(|scope| {
        for kind in jobs {
            let sandbox = &sandbox;
            scope.spawn(move || {
                for day in ["2026-01-01", "2026-01-02", "2026-01-03"] {
                    for job in [&format!("job_{kind}"), "job_publish"] {
                        let mut command = sandbox.command(job);
                        command.env("RECSYS_PIPELINES__ARTIFACTS_DIR", format!("staged-{kind}"));
                        let line = format!("{SCOPE} --start {day}");
                        let output = command.args(line.split_whitespace()).output().unwrap();
                        assert!(output.status.success(), "{job} {output:?}");
                    }
                }
            });
        }
    });
    let current = read_published(&sandbox.join(MANIFEST)).unwrap();
    assert_eq!(current.len(), 4);
    for uri in current.values() {
        let blob: Value = serde_json::from_slice(&fs::read(&uri["file://".len()..]).unwrap()).unwrap();
        assert_eq!(blob["window"]["end"], "2026-01-04T00:00:00Z", "{uri}");
    }
    // The history holds one entry for each of the twelve swaps.
    let entries: Vec<Value> = sandbox
        .snapshot("out/registry/history")
        .values()
        .map(|(_, bytes)| serde_json::from_slice(bytes).unwrap())
        .collect();
    let manifest: Value = serde_json::from_slice(&fs::read(sandbox.join(MANIFEST)).unwrap()).unwrap();
    let mut next = entries.iter().find(|entry| entry["manifest"] == manifest);
    let mut length = 0;
    while let Some(entry) = next {
        length += 1;
        next = entries.iter().find(|before| before["hash"] == entry["previous"]);
    }
    assert_eq!(length, 12);
}

#[test]
fn what_was_published_before_a_failure_is_reported() {
    let sandbox = shop(&json!({}));
    fs::remove_file(sandbox.join("raw/demo/home/exposure.2026-01-02.jsonl")).unwrap();
    let finished = sandbox.run(
        "recsys-pipelines",
        &format!("run {SCOPE} --start 2026-01-01 --end 2026-01-03 --json --log-format json"),
    );
    assert_eq!(finished.code, Some(3));
    let document: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(document["days"].as_array().unwrap().len(), 1);
    assert_eq!(document["days"][0]["published"]["swapped"], true);
    let error: Value = serde_json::from_str(finished.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&error["level"], &error["exit_code"]), (&json!("ERROR"), &json!(3)));
    assert!(error["message"].as_str().unwrap().contains("min_events"), "{error}");
}

#[test]
fn what_is_left_out_is_said() {
    let sandbox = shop(&json!({}));
    sandbox.copy("testdata/golden/tiny/exposure.jsonl", "raw/exposure.jsonl");
    sandbox.write("shop.csv", "item_id,tags\n,x\nA,y\n");
    let finished =
        sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01 --log-format json"));
    let warnings: Vec<Value> =
        finished.ok().stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warned = |message: &str| {
        let found = warnings.iter().find(|line| line["message"].as_str().unwrap().contains(message));
        found.unwrap_or_else(|| panic!("{message:?} is not among {warnings:#?}"))
    };
    assert_eq!(warned("the flat file wins")["flat"], "raw/exposure.jsonl");
    assert_eq!(warned("name no item")["rows_without_id"], 1);
}

#[test]
fn the_same_registry_by_another_path_is_published_to_all_the_same() {
    let sandbox = shop(&json!({}));
    let line = format!("run {SCOPE} --start 2026-01-01");
    sandbox.run("recsys-pipelines", &line).ok();
    std::os::unix::fs::symlink(sandbox.join("out"), sandbox.join("link")).unwrap();
    let mut command = sandbox.command("recsys-pipelines");
    command.env("RECSYS_PIPELINES__OUT_DIR", "link").args(line.split_whitespace());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let current = read_published(&sandbox.join(MANIFEST)).unwrap();
    assert!(current.values().all(|uri| uri.contains("/link/objects/")), "{current:?}");
    // A publisher that uses the first path finds the current blob elsewhere. It must not treat it as missing.
    sandbox.write("shop.csv", "item_id,tags\nA,\n");
    sandbox.run("recsys-pipelines", &line).fails(3, &["the new content_sim is empty"]);
    assert_eq!(read_published(&sandbox.join(MANIFEST)).unwrap(), current);
}

#[test]
fn many_processes_at_once_do_not_disturb_one_another() {
    let sandbox = shop(&json!({}));
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for day in ["2026-01-01", "2026-01-02", "2026-01-03"].repeat(2) {
                let sandbox = &sandbox;
                scope.spawn(move || {
                    sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start {day}")).ok().code
                });
            }
        });
        assert_eq!(read_published(&sandbox.join(MANIFEST)).unwrap().len(), 5);
        fs::remove_dir_all(sandbox.join("out")).unwrap();
    }
}

#[test]
fn a_full_standard_output_is_a_failure_and_a_closed_one_is_not() {
    let sandbox = shop(&json!({}));
    let mut command = sandbox.command("recsys-pipelines");
    command.args(format!("run {SCOPE} --start 2026-01-01 --json").split_whitespace());
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"),
        "{output:?}"
    );
}

#[test]
fn a_day_that_lost_its_events_loses_its_file_when_that_is_allowed() {
    for window in ["1", "2"] {
        let sandbox = shop(&json!({"validation": {"min_events": 0}}));
        let line = format!("run {SCOPE} --start 2026-01-01 --window-days {window}");
        sandbox.run("recsys-pipelines", &line).ok();
        fs::remove_file(sandbox.join("raw/demo/home/exposure.2026-01-01.jsonl")).unwrap();
        let finished = sandbox.run("recsys-pipelines", &format!("{line} --json"));
        let document: Value = serde_json::from_str(&finished.ok().stdout).unwrap();
        assert_eq!(document["days"][0]["canonical"]["replaced"], "removed");
        assert_eq!(document["days"][0]["artifacts"][0]["rows"], 0);
        assert_eq!(document["days"][0]["canonical"]["changes"]["in"], 0);
        let left: Vec<String> = sandbox.snapshot("out/canonical").into_keys().collect();
        assert_eq!(left, ["demo/home/reports/2026-01-01.json", "demo/home/scope.json"]);
        read_published(&sandbox.join(MANIFEST)).unwrap();
    }
}
