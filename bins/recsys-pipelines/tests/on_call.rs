//! What commands report to an operator on call: old data, lost manifests, failures, holds, and current artifacts.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::BTreeMap;
use std::fs;

use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::MANIFEST;
use recsys_testkit::shop::{SCOPE, Shop};
use serde_json::{Value, json};

const CHECKPOINT: &str = "out/checkpoints/demo/home.json";

fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn data_that_is_old_is_stale_however_young_the_artifact_is() {
    let shop = Shop::new();
    let status = shop.run("status --max-age 1h");
    assert!(status.ok().stdout.contains("DATA UNTIL"), "{status:?}");
    let stale = shop.run("status --max-window-age 50h");
    stale.fails(3, &["demo/home is stale"]);
    assert!(stale.stdout.contains("the data of popularity goes until 2026-01-03"), "{stale:?}");
    let kind = &shop.json("status --max-window-age 50h")["manifests"][0]["kinds"][0];
    assert_eq!((&kind["data_until"], &kind["stale"]), (&json!("2026-01-03"), &json!(true)));
    assert!(kind["lag_seconds"].as_i64().unwrap() > 50 * 3600, "{kind}");
    shop.run("status --max-window-age 1000000h").ok();
    shop.run("status --max-window-age soon").fails(2, &["--max-window-age", "26h"]);
}

/// A window in the future does not count as the freshest.
#[test]
fn a_window_of_the_future_is_no_fresh_one() {
    let shop = Shop::new();
    let day = "2100-01-01";
    let line = |session: &str, item: &str| {
        let event = json!({"v": 1, "ts": format!("{day}T00:00:00Z"), "tenant": "demo", "surface": "home",
            "session_id": session, "item_id": item});
        format!("{event}\n")
    };
    let line = [line("s", "a"), line("s", "b"), line("t", "a"), line("t", "b")].concat();
    shop.0.write(&format!("raw/demo/home/exposure.{day}.jsonl"), line);
    // Built by a machine whose clock is ahead.
    let line = format!("run --config config.json {SCOPE} --start {day}");
    shop.0.run_at(4_102_617_600, "recsys-pipelines", &line).ok();
    shop.run(&format!("rollback {SCOPE} --correct-time")).ok();
    for flags in ["", "--max-age 26h", "--max-window-age 26h"] {
        let status = shop.run(&format!("status {flags}"));
        status.fails(3, &["demo/home is from the future"]);
        assert!(status.stdout.contains("was built at 2100-01-0"), "{status:?}");
    }
    // Built by a correct clock, so that only the window is wrong.
    let records = "out/registry/records/demo/home";
    for (name, (_, text)) in shop.0.snapshot(records) {
        let mut record: Value = serde_json::from_slice(&text).unwrap();
        if record["window"]["start"] == "2100-01-01T00:00:00Z" {
            record["built_at"] = json!("2026-01-04T00:00:00Z");
            shop.0.write(&format!("{records}/{name}"), record.to_string());
        }
    }
    let status = shop.run("status");
    status.fails(3, &["demo/home is from the future"]);
    let told = "popularity has the window 2100-01-01_2100-01-02, which lies in the future";
    assert!(status.stdout.contains(told), "{status:?}");
}

#[test]
fn a_manifest_that_was_lost_is_missed_and_can_be_brought_back() {
    let shop = Shop::new();
    let (before, first) = (shop.manifest(), shop.hashes().remove(2));
    let checkpoint = fs::read(shop.0.join(CHECKPOINT)).unwrap();
    fs::remove_file(shop.0.join(MANIFEST)).unwrap();
    let parts = ["current/demo/home/manifest.json is missing", "it was lost", "rollback", "--to HASH"];
    for line in [
        "status",
        "status --kinds",
        "status --max-age 26h --tenant demo --surface home",
        "verify",
        "verify --tenant demo --surface home",
        "gc",
        "run --tenant demo --surface home --incremental --end 2026-01-03",
        "run --tenant demo --surface home --start 2026-01-03",
        "rollback --tenant demo --surface home",
        "rollback --tenant demo --surface home --kind cooc --to 000000",
        "diff --tenant demo --surface home",
        "show cooc --tenant demo --surface home",
    ] {
        shop.run(line).fails(3, &parts);
    }
    let history = shop.run(&format!("history {SCOPE}"));
    history.fails(3, &parts);
    assert!(history.stdout.contains("lost") && history.stdout.contains(&first[..12]), "{history:?}");
    assert_eq!(shop.json("status")["failures"][0]["lost"], json!(true));
    // None of the commands changed anything.
    assert!(!shop.0.join(MANIFEST).exists());
    assert_eq!(fs::read(shop.0.join(CHECKPOINT)).unwrap(), checkpoint);

    // Another run fails, too; a rollback to the newest entry restores the manifest.
    shop.run(&format!("run {SCOPE} --start 2026-01-01")).fails(3, &parts);
    let newest = {
        let entries = shop.json(&format!("history {SCOPE}"));
        assert_eq!(entries["lost"], json!(true));
        entries["entries"][0]["hash"].as_str().unwrap().to_owned()
    };
    shop.run(&format!("rollback {SCOPE} --to {newest} --dry-run")).ok();
    assert!(!shop.0.join(MANIFEST).exists());
    let back = shop.run(&format!("rollback {SCOPE} --to {newest} --reason restored"));
    assert!(back.ok().stdout.contains("swapped"), "{back:?}");
    assert_eq!(shop.manifest()["current"], before["current"]);
    // The history has no gap, and publishing works again.
    assert_eq!(shop.entries().len(), 4);
    shop.run("verify").ok();
    shop.run(&format!("run {SCOPE} --incremental --end 2026-01-03")).ok();
    shop.run(&format!("rollback {SCOPE} --to {first}")).ok();
    assert_eq!(shop.entries().len(), 5);
}

/// The note of the first publish is enough to detect a lost manifest, even without a history.
#[test]
fn a_registry_of_which_only_the_note_is_left_is_missed() {
    let shop = Shop::new();
    fs::remove_file(shop.0.join(MANIFEST)).unwrap();
    fs::remove_dir_all(shop.0.join("out/registry/history")).unwrap();
    for line in ["status", "verify"] {
        shop.run(line).fails(3, &["manifest.json is missing", "begun/demo/home.json"]);
    }
    fs::remove_dir_all(shop.0.join("out/registry/begun")).unwrap();
    // The day in the checkpoint is not in this registry.
    shop.run(&format!("run {SCOPE} --incremental --end 2026-01-03"))
        .fails(3, &["out/checkpoints/demo/home.json", "2026-01-03", "registry_dir", "--start"]);
}

#[test]
fn status_puts_the_worst_first_and_can_leave_the_rest_out() {
    let shop = Shop::new();
    for surface in ["cart", "search"] {
        let day = shop.0.join("raw/demo/home/exposure.2026-01-03.jsonl");
        let text = fs::read_to_string(day).unwrap().replace("\"home\"", &format!("\"{surface}\""));
        shop.0.write(&format!("raw/demo/{surface}/exposure.2026-01-03.jsonl"), text);
        shop.run(&format!("run --tenant demo --surface {surface} --start 2026-01-03")).ok();
    }
    let status = shop.run("status");
    // A header, a line per surface, a summary.
    assert_eq!(lines(&status.ok().stdout), 5, "{status:?}");
    assert!(status.stdout.ends_with("3 surfaces: 3 good\n"), "{status:?}");
    assert_eq!(shop.run("status --kinds").ok().stdout.matches("popularity").count(), 3);
    assert!(shop.run("status --problems").ok().stdout.contains("no problems"));

    // A day refused by a gate, and a failed run.
    fs::remove_file(shop.0.join("out/registry/current/demo/search/manifest.json")).unwrap();
    shop.0.write("out/canonical/demo/cart/exposures/2026-01-04.refused.jsonl", "");
    shop.run(&format!("run {SCOPE} --start 2026-01-09")).fails(3, &["min_events"]);
    let status = shop.run("status");
    assert_eq!(status.code, Some(3), "{status:?}");
    let rows: Vec<&str> = status.stdout.lines().collect();
    let place = |word: &str| rows.iter().position(|row| row.contains(word)).unwrap();
    assert!(place(" search ") < place(" home ") && place(" home ") < place(" cart "), "{status:?}");
    assert!(rows[place(" home ")].contains("failed") && rows[place(" home ")].contains("2026-01-03"));
    assert!(rows[place(" cart ")].contains("2026-01-04"), "{status:?}");
    assert!(status.stdout.contains("demo/home: recsys-pipelines failed"), "{status:?}");
    assert!(status.stdout.contains("with code 3: gate min_events refused 2026-01-09"), "{status:?}");
    assert!(status.stdout.ends_with("3 surfaces: 1 lost, 1 failed, 1 refused days\n"), "{status:?}");
    let document = shop.json("status --problems");
    assert_eq!(document["manifests"][0]["last_failure"]["exit_code"], json!(3));
    assert_eq!(document["manifests"][1]["refused_days"], json!(["2026-01-04"]));
    assert_eq!(document["manifests"][0]["checkpoint"], json!("2026-01-03"));

    // The registry does not know a surface whose first run failed.
    shop.run("run --tenant new --surface home --start 2026-01-01").fails(3, &["min_events"]);
    let first = shop.json("status --tenant new");
    assert_eq!(first["manifests"][0]["states"], json!(["missing", "failed"]));
    fs::remove_dir_all(shop.0.join("out/checkpoints/failures/new")).unwrap();

    // The next successful run of the same binary clears the failure.
    shop.run(&format!("run {SCOPE} --start 2026-01-03")).ok();
    assert_eq!(shop.json("status")["manifests"][0]["last_failure"], Value::Null);
    // The last line is short; the list has the details.
    shop.0.write(
        "out/registry/current/demo/search/manifest.json",
        fs::read_to_string(shop.0.join(MANIFEST)).unwrap().replace("home", "search"),
    );
    fs::remove_dir_all(shop.0.join("out/registry/current/demo/search")).unwrap();
    fs::remove_dir_all(shop.0.join("out/registry/history/demo/search")).unwrap();
    fs::remove_file(shop.0.join("out/registry/begun/demo/search.json")).unwrap();
    let stale = shop.run("status --max-window-age 26h");
    stale.fails(3, &["2 of 2 surfaces: ", "demo/cart is stale"]);
    assert!(!stale.stderr.contains("2026-01-03"), "{stale:?}");
    assert_eq!(stale.stdout.matches("goes until 2026-01-03").count(), 4, "{stale:?}");
}

/// A failure is also cleared by another binary that has done the same work.
#[test]
fn a_failure_is_over_once_its_work_was_done_by_another_binary() {
    let shop = Shop::new();
    let failed = || shop.json("status")["manifests"][0]["last_failure"]["binary"].clone();
    let job = |job: &str, day: &str| shop.0.run(job, &format!("{SCOPE} --config config.json --start {day}"));
    job("job_publish", "2026-01-09").fails(1, &["nothing is staged"]);
    job("job_validate", "2026-01-09").fails(3, &["min_events"]);
    assert_eq!(failed(), json!("job_validate"));
    job("job_publish", "2026-01-03").ok();
    assert_eq!(failed(), json!("job_validate"));
    shop.run(&format!("run {SCOPE} --start 2026-01-03")).ok();
    assert_eq!(failed(), Value::Null);

    shop.run(&format!("run {SCOPE} --start 2026-01-09")).fails(3, &["min_events"]);
    job("job_popularity", "2026-01-03").ok();
    assert_eq!(failed(), json!("recsys-pipelines"));
    job("job_publish", "2026-01-03").ok();
    assert_eq!(failed(), Value::Null);
}

#[test]
fn the_history_says_of_which_window_and_run_an_entry_is_and_who_made_it_why() {
    let shop = Shop::new();
    let line = format!("rollback {SCOPE} --config config.json --reason");
    let mut command = shop.0.command("recsys-pipelines");
    command.args(line.split_whitespace()).arg("bad prices on 3 January");
    command.env("RECSYS_RUN_ID", "incident-7").env_remove("USER").env_remove("LOGNAME");
    Finished::from(command.output().unwrap()).ok();
    let entry = &shop.entries()[0];
    assert_eq!(entry["run_id"], json!("incident-7"));
    assert_eq!(entry["note"], json!("bad prices on 3 January"));
    assert_eq!(entry["windows"]["cooc"]["end"], json!("2026-01-03T00:00:00Z"));
    let by = entry["by"].as_str().unwrap();
    assert!(by.starts_with("uid") && by.contains('@') && !by.contains("unknown"), "{by}");
    let history = shop.run(&format!("history {SCOPE}"));
    for part in ["incident-7", "bad prices on 3 January", "2026-01-02_2026-01-03"] {
        assert!(history.ok().stdout.contains(part), "{history:?}");
    }
    // No pointer changes, and the entry shows the current windows.
    shop.run(&format!("rollback {SCOPE} --steps 0 --hold")).ok();
    assert_eq!(shop.entries()[0]["changed"], json!([]));
    assert_eq!(shop.entries()[0]["windows"]["cooc"]["end"], json!("2026-01-03T00:00:00Z"));
    shop.run(&format!("release {SCOPE}")).ok();
    let publish = format!("{SCOPE} --config config.json --start 2026-01-03 --reason fixed");
    shop.0.run("job_publish", &publish).ok();
    assert_eq!(shop.entries()[0]["note"], json!("fixed"));
    let blank = shop.with(&[], &["rollback", "--tenant", "demo", "--surface", "home", "--reason", " "]);
    blank.fails(2, &["--reason", "one line"]);
}

#[test]
fn a_hold_keeps_what_is_current_until_it_is_released() {
    let shop = Shop::new();
    let newest = shop.manifest()["current"].clone();
    let plain = shop.run(&format!("rollback {SCOPE}"));
    assert!(plain.ok().stdout.contains("goes forward again; --hold prevents that"), "{plain:?}");
    shop.run(&format!("run {SCOPE} --start 2026-01-03")).ok();
    assert_eq!(shop.manifest()["current"], newest);

    shop.run(&format!("rollback {SCOPE} --hold --dry-run")).ok();
    // An unreadable hold stops the rollback before anything moves.
    shop.0.write("out/registry/holds/demo/home.json", "garbage");
    let broken = shop.run(&format!("rollback {SCOPE}"));
    broken.fails(3, &["holds/demo/home.json"]);
    assert_eq!((broken.stdout.as_str(), &shop.manifest()["current"]), ("", &newest));
    fs::remove_dir_all(shop.0.join("out/registry/holds")).unwrap();
    assert!(!shop.0.join("out/registry/holds").exists());
    let held = shop.run(&format!("rollback {SCOPE} --to {} --hold --reason prices", shop.hashes()[3]));
    assert!(held.ok().stdout.contains("`release` ends it"), "{held:?}");
    let kept = shop.manifest();
    let parts = ["demo/home: ", "held by ", "since 2", "(prices)", "release --tenant demo --surface home"];
    shop.run(&format!("run {SCOPE} --start 2026-01-03")).fails(3, &parts);
    shop.run(&format!("run {SCOPE} --incremental --end 2026-01-04")).fails(3, &parts);
    let publish = format!("{SCOPE} --config config.json --start 2026-01-03");
    let refused = shop.0.run("job_publish", &publish);
    assert!(refused.stdout.contains("kept aside: an operator holds what is current"), "{refused:?}");
    assert_eq!((refused.code, shop.manifest()), (Some(3), kept), "{refused:?}");
    assert!(shop.run("status").ok().stdout.contains("held"));
    assert_eq!(shop.json("status")["manifests"][0]["holds"]["cooc"]["note"], json!("prices"));

    let released = shop.run(&format!("release {SCOPE}"));
    assert!(released.ok().stdout.contains("released: popularity, cooc"), "{released:?}");
    assert!(shop.run(&format!("release {SCOPE}")).ok().stdout.contains("nothing is held"));
    shop.run("release --tenant dmeo --surface home").fails(2, &["nothing was published", "demo/home"]);
    shop.0.run("job_publish", &publish).ok();
    assert_eq!(shop.manifest()["current"], newest);
}

/// The other kinds go on, and the held kind catches up after its release.
#[test]
fn a_hold_of_one_kind_is_a_hold_of_that_kind() {
    let shop = Shop::new();
    for day in ["2026-01-04", "2026-01-05"] {
        let text = fs::read_to_string(shop.0.join("raw/demo/home/exposure.2026-01-03.jsonl")).unwrap();
        shop.0.write(
            &format!("raw/demo/home/exposure.{day}.jsonl"),
            text.replace("2026-01-03T", &format!("{day}T")),
        );
    }
    shop.run(&format!("rollback {SCOPE} --kind cooc --hold")).ok();
    let held = shop.manifest()["current"]["cooc"].clone();
    let incremental = format!("run {SCOPE} --incremental --end 2026-01-05");
    for _ in 0..2 {
        let finished = shop.run(&incremental);
        assert_eq!(finished.code, Some(3), "{finished:?}");
        assert!(finished.stderr.contains("error: demo/home: cooc held by"), "{finished:?}");
        assert!(finished.stdout.contains("demo/home 2026-01-05"), "{finished:?}");
        assert_eq!(shop.manifest()["current"]["cooc"], held);
        let status = shop.json("status")["manifests"][0].clone();
        assert_eq!(status["kinds"][0]["data_until"], json!("2026-01-05"));
        // The day of the window that ends first.
        assert_eq!(status["data_until"], json!("2026-01-02"));
        assert_eq!(status["lag_seconds"], status["kinds"][1]["lag_seconds"]);
        assert!(fs::read_to_string(shop.0.join(CHECKPOINT)).unwrap().contains("2026-01-03"));
    }
    shop.run(&format!("release {SCOPE} --kind popularity")).ok();
    assert_eq!(shop.run(&incremental).code, Some(3));
    shop.run(&format!("release {SCOPE} --kind cooc")).ok();
    shop.run(&incremental).ok();
    assert!(fs::read_to_string(shop.0.join(CHECKPOINT)).unwrap().contains("2026-01-05"));
    assert_ne!(shop.manifest()["current"]["cooc"], held);
}

#[test]
fn show_says_what_is_live() {
    let shop = Shop::new();
    shop.0.copy("testdata/catalog", "catalog");
    let kinds = ["popularity", "cooc", "implicit", "content_sim", "session_seq"];
    shop.0.write("catalog.csv", "item_id,tags\ntrail-shoe,run;shoe\n");
    shop.0.configure(&json!({"artifact_kinds": kinds, "catalog": {"path": "catalog.csv"}}));
    shop.run(&format!("run {SCOPE} --start 2026-01-03")).ok();
    for kind in kinds {
        let shown = shop.run(&format!("show {kind} {SCOPE} --top 2"));
        assert!(
            shown.ok().stdout.contains(&format!("{kind} of demo/home (2026-01-03_2026-01-04)")),
            "{shown:?}"
        );
        let document = shop.json(&format!("show {kind} {SCOPE} --top 2"));
        let uri = &shop.manifest()["current"][kind];
        assert_eq!(&document["uri"], uri);
        // The values shown are those in the blob.
        let blob: Value =
            serde_json::from_slice(&fs::read(&uri.as_str().unwrap()["file://".len()..]).unwrap()).unwrap();
        let first = &document["list"][0];
        match kind {
            "popularity" => {
                assert_eq!(
                    (&first["item_id"], &first["count"]),
                    (&blob["items"][0]["item_id"], &blob["items"][0]["count"])
                );
            }
            "cooc" => {
                let row = &blob["neighbors"][0];
                assert_eq!(first["item_id"], row["item_id"]);
                let item = row["item_id"].as_str().unwrap();
                let of_item = shop.json(&format!("show cooc {SCOPE} --item {item}"));
                let ids = |list: &Value| -> Vec<Value> {
                    list.as_array().unwrap().iter().map(|item| item["item_id"].clone()).collect()
                };
                assert_eq!(ids(&of_item["list"]), ids(&row["items"]));
            }
            "content_sim" => assert_eq!(first["tags"], json!(["run", "shoe"])),
            _ => {
                let users = blob["users"].as_array().unwrap();
                let user = users[0]["user_id"].as_str().unwrap();
                let of_user = shop.json(&format!("show {kind} {SCOPE} --user {user} --top 500"));
                let pairs = |list: &Value| -> Vec<(Value, Option<f64>)> {
                    let list = list.as_array().unwrap().iter();
                    list.map(|line| (line["item_id"].clone(), line["score"].as_f64())).collect()
                };
                assert_eq!(pairs(&of_user["list"]), pairs(&users[0]["items"]));
                // The first item has the highest sum of scores over all users.
                let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
                for item in users.iter().flat_map(|row| row["items"].as_array().unwrap()) {
                    let sum = sums.entry(item["item_id"].as_str().unwrap()).or_default();
                    *sum += item["score"].as_f64().unwrap();
                }
                let most = sums.values().copied().fold(0.0, f64::max);
                let shown = (first["score"].as_f64(), sums.get(first["item_id"].as_str().unwrap()).copied());
                assert_eq!(shown, (Some(most), Some(most)));
                let all = shop.run(&format!("show {kind} {SCOPE}"));
                assert!(
                    all.ok().stdout.contains("SCORE OF ALL USERS") && !all.stdout.contains(user),
                    "{all:?}"
                );
            }
        }
    }
    // The output mentions omitted entries; with `--item` the list has that entry only.
    let one = shop.run(&format!("show popularity {SCOPE} --top 1"));
    assert!(one.ok().stdout.contains("... and ") && one.stdout.contains(" more; --top N"), "{one:?}");
    let item = shop.json(&format!("show popularity {SCOPE} --top 2"))["list"][1].clone();
    let shown = shop.json(&format!("show popularity {SCOPE} --item {}", item["item_id"].as_str().unwrap()));
    assert_eq!((&shown["length"], &shown["list"]), (&json!(1), &json!([item])));
    shop.run(&format!("show popularity {SCOPE} --item nothing")).fails(2, &["has no item \"nothing\""]);
    shop.run(&format!("show implicit {SCOPE} --user nobody")).fails(2, &["has no user \"nobody\""]);
    shop.run(&format!("show implicit {SCOPE} --item tent")).fails(2, &["--user"]);
    shop.run(&format!("show popularity {SCOPE} --user u")).fails(2, &["--item"]);
    shop.run("show cooc --tenant dmeo --surface home").fails(2, &["dmeo/home", "there is demo/home"]);
}

#[test]
fn a_try_elsewhere_is_compared_without_publishing_it() {
    let shop = Shop::new();
    let config = json!({"out_dir": "try", "raw_events_dir": "raw"});
    shop.0.write("try.json", config.to_string());
    let same = format!("run {SCOPE} --start 2026-01-03 --config try.json");
    shop.0.run("recsys-pipelines", &same).ok();
    let diff = format!("diff {SCOPE} --against try.json");
    assert!(shop.run(&diff).ok().stdout.contains("nothing changed"));
    // With the two days before.
    shop.0
        .run("recsys-pipelines", &same.replace("2026-01-03", "2026-01-02 --end 2026-01-03 --window-days 2"))
        .ok();
    let before = shop.0.snapshot("out");
    let changed = shop.run(&diff);
    assert!(changed.ok().stdout.contains("overlap  @10 "), "{changed:?}");
    let document = shop.json(&diff);
    let popularity = &document["kinds"][0];
    assert_eq!(popularity["before"]["window"]["start"], json!("2026-01-03T00:00:00Z"));
    assert_eq!(popularity["after"]["window"]["start"], json!("2026-01-02T00:00:00Z"));
    // Computed from the two blobs.
    let top = |side: &str| -> Vec<String> {
        let uri = popularity[side]["uri"].as_str().unwrap();
        let blob: Value = serde_json::from_slice(&fs::read(&uri["file://".len()..]).unwrap()).unwrap();
        let items = blob["items"].as_array().unwrap().iter().take(10);
        items.map(|item| item["item_id"].as_str().unwrap().to_owned()).collect()
    };
    let (old, new) = (top("before"), top("after"));
    let both = u32::try_from(new.iter().filter(|item| old.contains(item)).count()).unwrap();
    assert!(both < 10 && both > 0);
    assert_eq!(popularity["overlap"][0], json!({"k": 10, "share": f64::from(both) / 10.0}));
    assert_eq!(shop.0.snapshot("out"), before);
    shop.run(&format!("{diff} --to abcdef")).fails(2, &["--against"]);
    let same = shop.with(&[("RECSYS_PIPELINES__OUT_DIR", "out")], &diff.split(' ').collect::<Vec<_>>());
    same.fails(2, &["both configurations have the registry out/registry", "RECSYS_PIPELINES__OUT_DIR"]);
    shop.run(&format!("diff {SCOPE} --against nothing.json")).fails(2, &["nothing.json"]);
}

#[test]
fn messages_name_what_is_meant_and_what_to_do() {
    let shop = Shop::new();
    // A lost blob, and a rollback that does not touch it.
    let cooc = shop.manifest()["current"]["cooc"].as_str().unwrap().to_owned();
    fs::remove_file(&cooc["file://".len()..]).unwrap();
    shop.run("verify")
        .fails(3, &["cooc of demo/home: ", &cooc, "does not exist", "run its day again", "rollback"]);
    shop.run(&format!("rollback {SCOPE} --kind popularity")).ok();
    shop.run(&format!("rollback {SCOPE} --to {} ", shop.hashes()[1])).ok();
    shop.run(&format!("run {SCOPE} --start 2026-01-03")).ok();

    // More steps than the history has.
    let young = Sandbox::shop();
    let run = format!("run {SCOPE} --config config.json --start 2026-01-01 --end 2026-01-02");
    young.run("recsys-pipelines", &run).ok();
    young
        .run("recsys-pipelines", &format!("rollback {SCOPE} --config config.json --steps 5"))
        .fails(2, &["reaches back 1 step, not 5"]);

    // A typo in the tenant.
    for line in ["status --tenant dmeo", "verify --tenant dmeo", "history --tenant dmeo --surface home"] {
        shop.run(line).fails(2, &["demo/home"]);
    }
    shop.run("run --tenant dmeo --surface home --start 2026-01-02")
        .fails(3, &["min_events", "there is demo/home"]);
    shop.0.copy("testdata/events/tiny/exposure.jsonl", "flat/exposure.jsonl");
    let flat = json!({"out_dir": "flat-out", "raw_events_dir": "flat"});
    shop.0.write("flat.json", flat.to_string());
    let line = "run --tenant dmeo --surface home --start 2026-01-01 --config flat.json";
    shop.0.run("recsys-pipelines", line).fails(3, &["min_events", "there is demo/home"]);
    shop.run("rollback --tenant demo --surface hme").fails(2, &["there is demo/home"]);
    shop.run(&format!("history {SCOPE} --limit 0")).fails(2, &["a whole number of 1 or more"]);
    shop.run(&format!("rollback {SCOPE} --steps 7")).fails(2, &["reaches back 4 steps, not 7"]);
    let status = shop.run("status --tenant dmeo --surface home");
    assert!(status.ok().stdout.contains("nothing was published for dmeo/home; there is demo/home"));

    // The separate jobs publish nothing for an unknown name either.
    for job in ["job_ingest", "job_popularity"] {
        let line = "--tenant dmeo --surface home --start 2026-01-01 --config config.json";
        let finished = shop.0.run(job, line);
        assert!(job != "job_ingest" || finished.stderr.contains("there is demo/home"), "{finished:?}");
        finished.ok();
    }
    let line = "--tenant dmeo --surface home --start 2026-01-01 --config config.json";
    shop.0.run("job_publish", line).fails(3, &["nothing is current for dmeo/home yet", "min_events to 0"]);

    // A long window.
    let long = shop.run(&format!("run {SCOPE} --start 2026-01-03 --window-days 30"));
    assert!(long.ok().stdout.contains("no canonical data for 2025-12-05..2025-12-31\n"), "{long:?}");

    // Checkpoints.
    shop.0.write(CHECKPOINT, "{\"day\":\"2222-01-01\"}\n");
    let incremental = format!("run {SCOPE} --incremental");
    shop.run(&incremental).fails(3, &[CHECKPOINT, "2222-01-01", "lies in the future", "\"day\""]);
    assert!(shop.run("status").ok().stdout.contains("lies in the future"));
    shop.0.write(CHECKPOINT, "{\"day\":");
    shop.run(&incremental).fails(3, &[CHECKPOINT, "is not a checkpoint", "write the last day", "--start"]);
    shop.0.write(CHECKPOINT, "{\"day\":[5]}");
    shop.run(&incremental).fails(3, &[CHECKPOINT, "it is a list; it must be"]);
    assert!(shop.run("status").ok().stdout.contains("is not a checkpoint"));
}

/// A gap in the history stops a collection only if there is something to collect.
#[test]
fn a_collection_with_nothing_to_delete_has_nothing_to_refuse() {
    let shop = Shop::new();
    let folder = shop.0.join("out/registry/history/demo/home");
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    fs::remove_file(&entries[0]).unwrap();
    let collected = shop.run("gc");
    assert!(collected.ok().stdout.contains("nothing to delete"), "{collected:?}");
}
