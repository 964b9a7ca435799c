//! The operator's commands: status, history, verification, rollback.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use recsys_core::artifact::Kind;
use recsys_testkit::reader::read_published;
use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::MANIFEST;
use recsys_testkit::shop::{SCOPE, Shop};
use serde_json::{Value, json};

fn current(shop: &Shop) -> BTreeMap<Kind, String> {
    read_published(&shop.0.join(MANIFEST)).unwrap()
}

#[test]
fn status_says_what_is_current_and_what_is_stale_or_missing() {
    let shop = Shop::new();
    let status = shop.run(&format!("{} --json", "status")).ok().json();
    let manifest = &status["manifests"][0];
    assert_eq!((&manifest["tenant"], &manifest["surface"]), (&json!("demo"), &json!("home")));
    let kinds = manifest["kinds"].as_array().unwrap();
    assert_eq!(kinds.len(), 2);
    for kind in kinds {
        assert_eq!(kind["window"], json!({"start": "2026-01-03T00:00:00Z", "end": "2026-01-04T00:00:00Z"}));
        assert!(kind["uri"].as_str().unwrap().contains(kind["version"].as_str().unwrap()));
    }
    assert!(shop.run("status --kinds").ok().stdout.contains("2026-01-03_2026-01-04"));
    shop.run("status --max-age 26h").ok();
    shop.run("status --max-age 1d12h --tenant demo").ok();

    // A clock almost a day and a half later: the artifacts are a little older than the manifest.
    let updated: jiff::Timestamp = manifest["updated_at"].as_str().unwrap().parse().unwrap();
    let line = "status --config config.json --max-age 26h";
    let stale = shop.0.run_at(updated.as_second() + 36 * 3600 - 1800, "recsys-pipelines", line);
    assert!(stale.stdout.contains("stale"), "{stale:#?}");
    stale.fails(3, &["demo/home is stale"]);
    for kind in ["popularity", "cooc"] {
        let line = format!("demo/home: {kind} was built 1d 11h ago, at most 1d 2h allowed");
        assert!(stale.stdout.contains(&line), "{stale:?}");
    }

    let mut config =
        json!({"out_dir": "out", "raw_events_dir": "raw", "artifact_kinds": ["cooc", "implicit"]});
    shop.0.write("config.json", config.to_string());
    shop.run("status").ok();
    let missing = shop.run("status --max-age 26h");
    missing.fails(3, &["demo/home is missing"]);
    assert!(missing.stdout.contains("demo/home: implicit is missing"), "{missing:?}");
    shop.run("status --tenant nobody --surface home --max-age 26h").fails(3, &["nobody/home is missing"]);
    for command in ["status --max-age 26h", "status", "verify"] {
        shop.run(&format!("{command} --tenant nobody")).fails(2, &["out/registry", "no manifest"]);
    }
    // An empty folder is what an unmounted volume looks like.
    fs::create_dir(shop.0.join("empty")).unwrap();
    for place in ["empty", "nowhere"] {
        config["registry_dir"] = json!(place);
        shop.0.write("config.json", config.to_string());
        for command in ["status", "status --max-age 26h"] {
            shop.run(command).fails(2, &[&format!("registry {place} does not exist or is empty")]);
        }
    }
    shop.run("status --max-age soon").fails(2, &["--max-age", "26h"]);
}

#[test]
fn a_rollback_returns_the_exact_pointers_of_before_and_can_be_rolled_back() {
    let shop = Shop::new();
    let third = current(&shop);
    let [_, second_hash, first_hash] = shop.hashes().try_into().unwrap();
    let blobs = shop.0.snapshot("out/objects");

    let dry = shop.run(&format!("{} --json", &format!("rollback {SCOPE} --dry-run"))).ok().json();
    assert_eq!((&dry["current"], dry["moves"].as_array().unwrap().len()), (&Value::Null, 2));
    assert_eq!(current(&shop), third);
    assert_eq!(shop.hashes().len(), 3);

    let done = shop.run(&format!("{} --json", &format!("rollback {SCOPE}"))).ok().json();
    assert_eq!(done["to"], json!(second_hash));
    assert_eq!(done["current"], json!(shop.hashes()[0]));
    let second = current(&shop);
    let entry: Value =
        shop.run(&format!("{} --json", &format!("history {SCOPE}"))).ok().json()["entries"][0].clone();
    assert_eq!((&entry["reason"], &entry["changed"]), (&json!("rollback"), &json!(["popularity", "cooc"])));

    // Back again, then to a manifest by its hash.
    shop.run(&format!("rollback {SCOPE}")).ok();
    assert_eq!(current(&shop), third);
    shop.run(&format!("rollback {SCOPE} --to {}", &first_hash[..8])).ok();
    let first = current(&shop);
    assert!(first != second && second != third && first != third);
    // A rollback to the current manifest changes nothing.
    let again = shop.run(&format!("rollback {SCOPE} --to {first_hash}"));
    assert!(again.ok().stdout.contains("are current already"), "{again:#?}");
    assert_eq!(shop.hashes().len(), 6);
    // No blob was built, copied or touched.
    assert_eq!(shop.0.snapshot("out/objects"), blobs);
    // The next run continues from here.
    shop.run(&format!("run {SCOPE} --start 2026-01-03")).ok();
    assert_eq!(current(&shop), third);
}

#[test]
fn one_kind_goes_back_by_its_own_changes() {
    let shop = Shop::new();
    let third = current(&shop);
    shop.run(&format!("rollback {SCOPE} --kind cooc")).ok();
    let now = current(&shop);
    assert_eq!(now[&Kind::Popularity], third[&Kind::Popularity]);
    assert_ne!(now[&Kind::Cooc], third[&Kind::Cooc]);
    // A step of `popularity` skips the entry above, which did not change it.
    shop.run(&format!("rollback {SCOPE} --kind popularity")).ok();
    let after = current(&shop);
    assert_eq!(after[&Kind::Cooc], now[&Kind::Cooc]);
    assert_ne!(after[&Kind::Popularity], third[&Kind::Popularity]);
    shop.run(&format!("rollback {SCOPE} --kind implicit --to {}", shop.hashes()[0]))
        .fails(2, &["names no implicit"]);
}

#[test]
fn a_rollback_to_something_damaged_is_refused() {
    let shop = Shop::new();
    let third = fs::read(shop.0.join(MANIFEST)).unwrap();
    shop.run(&format!("rollback {SCOPE}")).ok();
    let damaged = current(&shop)[&Kind::Cooc].clone();
    shop.run(&format!("rollback {SCOPE}")).ok();
    let path = &damaged["file://".len()..];
    let good = fs::read_to_string(path).unwrap();
    let manifest = fs::read(shop.0.join(MANIFEST)).unwrap();

    fs::write(path, good.replacen("\"count\":", "\"count\":1", 1)).unwrap();
    shop.run(&format!("rollback {SCOPE}"))
        .fails(3, &["cannot roll back", &damaged, "its content has version"]);
    fs::remove_file(path).unwrap();
    let missing = shop.run(&format!("rollback {SCOPE}"));
    missing.fails(3, &["cannot roll back", &damaged, "does not exist"]);
    assert_eq!(missing.stderr.matches(&damaged).count(), 1, "the cause is said once: {}", missing.stderr);
    shop.run(&format!("rollback {SCOPE} --dry-run")).fails(3, &["cannot roll back", &damaged]);
    assert_eq!(fs::read(shop.0.join(MANIFEST)).unwrap(), manifest);
    assert_ne!(manifest, third, "the time has moved on, the pointers have not");

    shop.run(&format!("rollback {SCOPE} --steps 50")).fails(2, &["reaches back 4 steps, not 50"]);
    shop.run(&format!("rollback {SCOPE} --to 00000000")).fails(2, &["0 manifests", "00000000"]);
    shop.run(&format!("rollback {SCOPE} --to 12")).fails(2, &["too short"]);
    shop.run(&format!("rollback {SCOPE} --to abcdef --steps 2")).fails(2, &["--to", "--steps"]);
    shop.run("rollback --tenant demo --surface search").fails(2, &["search/manifest.json does not exist"]);
    shop.run("history --tenant demo --surface search").fails(2, &["search/manifest.json does not exist"]);
}

/// The next swap adopts the edit; until then it is shown as if it were adopted.
#[test]
fn a_manifest_that_was_edited_is_part_of_the_history() {
    let shop = Shop::new();
    let before = current(&shop);
    let text = fs::read_to_string(shop.0.join(MANIFEST)).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    // As an editor would save it; a time far in the future would be refused.
    let updated: Timestamp = manifest["updated_at"].as_str().unwrap().parse().unwrap();
    manifest["updated_at"] = json!((updated + SignedDuration::from_mins(1)).to_string());
    manifest["current"].as_object_mut().unwrap().remove("cooc");
    shop.0.write(MANIFEST, manifest.to_string());
    let entries = |shop: &Shop| -> Vec<(String, String)> {
        let history = shop.run(&format!("history {SCOPE} --json"));
        let history: Value = serde_json::from_str(&history.ok().stdout).unwrap();
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
        let entries = history["entries"].as_array().unwrap().iter();
        entries.map(|entry| (text(entry, "reason"), text(entry, "hash"))).collect()
    };
    let edited = entries(&shop);
    assert_eq!(
        edited.iter().map(|(reason, _)| reason.as_str()).collect::<Vec<_>>(),
        ["adopt", "publish", "publish", "publish"]
    );
    shop.run(&format!("rollback {SCOPE}")).ok();
    assert_eq!(current(&shop), before);
    let rolled_back = entries(&shop);
    assert_eq!(rolled_back[0].0, "rollback");
    assert_eq!(rolled_back[1..], edited);
    shop.run(&format!("history {SCOPE} --limit 0")).fails(2, &["--limit"]);
}

#[test]
fn verify_finds_every_damaged_or_missing_blob() {
    let shop = Shop::new();
    assert_eq!(shop.run("verify").ok().stdout.matches("intact").count(), 2);
    let current = current(&shop);
    let path = |kind| &current[&kind]["file://".len()..];
    fs::remove_file(path(Kind::Cooc)).unwrap();
    let text = fs::read_to_string(path(Kind::Popularity)).unwrap();
    fs::write(path(Kind::Popularity), text.replace("\"demo\"", "\"demi\"")).unwrap();
    let finished = shop.run("verify --tenant demo");
    finished
        .fails(3, &[&current[&Kind::Cooc], "does not exist", &current[&Kind::Popularity], "its content has"]);
    let document = shop.run("verify --json");
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    assert!(document["blobs"].as_array().unwrap().iter().all(|blob| blob["problem"].is_string()));
}

#[test]
fn config_show_says_where_each_value_came_from() {
    let shop = Shop::new();
    let mut command = shop.0.command("recsys-pipelines");
    command.env("RECSYS_PIPELINES__LIMITS__MIN_COOC_SUPPORT", "7");
    let output = command.args(["config", "show", "--config", "config.json", "--json"]).output().unwrap();
    let settings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let setting =
        |key: &str| (settings[key]["value"].clone(), settings[key]["origin"].as_str().unwrap().to_owned());
    assert_eq!(setting("out_dir"), (json!("out"), "config file config.json".into()));
    assert_eq!(setting("registry_dir"), (json!("out/registry"), "default".into()));
    let support = (json!(7), "environment variable RECSYS_PIPELINES__LIMITS__MIN_COOC_SUPPORT".to_owned());
    assert_eq!(setting("limits.min_cooc_support"), support);
    assert_eq!(setting("limits.max_users_per_run"), (json!(100_000), "default".into()));
    assert!(shop.run("config check").ok().stdout.contains("valid"));
    shop.0.write("config.json", "{\"outdir\": 1}");
    shop.run("config check").fails(2, &["`outdir`", "did you mean `out_dir`?"]);
}

#[test]
fn the_environment_sets_what_has_no_default() {
    let shop = Shop::new();
    for (key, text, value) in [
        ("validation.max_volume_drop", "0.5", json!(0.5)),
        ("validation.max_volume_spike", "2", json!(2.0)),
        ("validation.max_artifact_change", "0.5", json!(0.5)),
        ("validation.max_duplicate_share", "0", json!(0.0)),
        ("validation.max_guest_share", "1", json!(1.0)),
        ("validation.max_session_events", "2000", json!(2000)),
        // Text that looks like a number.
        ("catalog.path", "2026", json!("2026")),
        ("metrics.file", "2026", json!("2026")),
    ] {
        let variable = format!("RECSYS_PIPELINES__{}", key.replace('.', "__").to_uppercase());
        let mut command = shop.0.command("recsys-pipelines");
        let arguments = ["config", "show", "--config", "config.json", "--json"];
        let output = command.env(&variable, text).args(arguments).output().unwrap();
        let settings: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(settings[key]["value"], value, "{key}");
        assert_eq!(settings[key]["origin"], format!("environment variable {variable}"));
    }
    let mut command = shop.0.command("recsys-pipelines");
    command.env("RECSYS_PIPELINES__VALIDATION__MAX_SESSION_EVENTS", "many");
    let finished =
        Finished::from(command.args(["config", "check", "--config", "config.json"]).output().unwrap());
    finished
        .fails(2, &["RECSYS_PIPELINES__VALIDATION__MAX_SESSION_EVENTS", "max_session_events", "\"many\""]);
}

/// They are a map: their names are not settings, and may hold what else separates keys.
#[test]
fn headers_have_an_origin_of_their_own() {
    let shop = Shop::new();
    let headers = json!({"X.Shop": "a", "x-day": "b"});
    let config = json!({"window_days": {}, "notify": {"url": "http://cache", "headers": headers}});
    shop.0.write("config.json", config.to_string());
    let mut command = shop.0.command("recsys-pipelines");
    // Text that looks like a number.
    command.env("RECSYS_PIPELINES__NOTIFY__HEADERS__X-DAY", "2026");
    let output = command.args(["config", "show", "--config", "config.json", "--json"]).output().unwrap();
    let settings: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, origin) in [
        ("window_days", "config file config.json"),
        ("notify.headers.X.Shop", "config file config.json"),
        ("notify.headers.x-day", "environment variable RECSYS_PIPELINES__NOTIFY__HEADERS__X-DAY"),
        ("notify.body", "default"),
    ] {
        assert_eq!(settings[key]["origin"], origin, "{key}");
    }
}

#[test]
fn a_tenant_that_is_broken_does_not_hide_the_others() {
    let shop = Shop::new();
    shop.0.write("out/registry/current/acme/home/manifest.json", "{");
    shop.0.write("out/registry/current/acme/search/manifest.json", "[]");
    for command in ["status", "verify", "gc"] {
        let finished = shop.run(command);
        assert_eq!(finished.code, Some(3), "{finished:?}");
        assert!(finished.stdout.contains("acme/home: ") && finished.stdout.contains("acme/search: "));
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
        assert!(finished.stderr.contains("acme/home/manifest.json is not a manifest"), "{finished:?}");
        assert!(finished.stderr.contains("bring an earlier one back"), "{finished:?}");
        let document: Value = serde_json::from_str(&shop.run(&format!("{command} --json")).stdout).unwrap();
        let failures = document["failures"].as_array().unwrap();
        assert_eq!((failures.len(), &failures[1]["surface"]), (2, &json!("search")), "{document}");
    }
    assert!(shop.run("status --kinds").stdout.contains("popularity"));
    assert_eq!(shop.run("verify").stdout.matches("intact").count(), 2);
    assert!(shop.run("gc").stdout.contains("nothing to delete"));
}

/// The other process may have been stopped while it holds the lock.
#[test]
fn a_lock_that_another_process_holds_is_told() {
    let sandbox = Sandbox::shop();
    let run = |day: &str| {
        let mut command = sandbox.command("recsys-pipelines");
        let line =
            format!("run --config config.json --tenant demo --surface home --start {day} --log-format text");
        command.args(line.split_whitespace());
        command
    };
    Finished::from(run("2026-01-01").output().unwrap()).ok();
    let path = sandbox.join("out/registry/current/demo/home/.manifest.json.lock");
    let lock = fs::File::options().write(true).open(path).unwrap();
    lock.lock().unwrap();
    let mut other = run("2026-01-02").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // The last line, in case the lock is never mentioned.
    let mut lines = BufReader::new(other.stderr.take().unwrap()).lines().map(Result::unwrap);
    let (told, was_told) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let _ = was_told.recv_timeout(Duration::from_mins(1));
            lock.unlock().unwrap();
        });
        let line = lines.find(|line| line.contains("waiting for another process that holds the lock"));
        let _ = told.send(());
        assert!(line.unwrap().contains("manifest.json.lock"));
    });
    assert!(other.wait().unwrap().success());
}
