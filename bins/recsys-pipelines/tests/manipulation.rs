//! One user, bot or session that pushes an item: the gates that detect it, and the cap on what one user counts.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

fn configured(config: &Value) -> Sandbox {
    let sandbox = Sandbox::new();
    let mut all = json!({"artifact_kinds": ["popularity", "implicit"]});
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    sandbox.configure(&all);
    sandbox
}

/// Writes a hundred items, each shown to fewer users than the one before, plus `events` events of `bot` for the item
/// `target`.
fn write(sandbox: &Sandbox, day: &str, bot: Option<&str>, events: usize) {
    let mut lines = Vec::new();
    let mut line = |user: Option<&str>, session: &str, item: &str| {
        let mut event = json!({
            "v": 1, "ts": format!("{day}T08:00:00Z"), "tenant": "demo", "surface": "home", "session_id": session,
            "item_id": item,
        });
        if let Some(user) = user {
            event["user_id"] = json!(user);
        }
        lines.push(event.to_string());
    };
    for item in 0..100 {
        for user in 0..(100 - item) {
            line(Some(&format!("u{user}")), &format!("s{user}-{}", item % 7), &format!("i{item:02}"));
        }
    }
    for _ in 0..events {
        line(bot, "bot's session", "i80");
    }
    sandbox.write(&format!("raw/demo/home/exposure.{day}.jsonl"), lines.join("\n"));
}

fn run(sandbox: &Sandbox, day: &str, flags: &str) -> Finished {
    sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start {day} {flags}"))
}

/// Items of the current `popularity` artifact and their counts, best first.
fn popularity(sandbox: &Sandbox) -> Vec<(String, u64)> {
    let manifest = std::fs::read(sandbox.join("out/registry/current/demo/home/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let blob = manifest["current"]["popularity"].as_str().unwrap().strip_prefix("file://").unwrap();
    let blob: Value = serde_json::from_slice(&std::fs::read(blob).unwrap()).unwrap();
    let items = blob["items"].as_array().unwrap().iter();
    items
        .map(|item| (item["item_id"].as_str().unwrap().to_owned(), item["count"].as_u64().unwrap()))
        .collect()
}

#[test]
fn an_item_that_enters_the_top_is_refused_where_that_is_set() {
    let sandbox = configured(&json!({"validation": {"max_artifact_change": 0.05, "max_top_change": 0.01}}));
    write(&sandbox, "2026-01-01", None, 0);
    run(&sandbox, "2026-01-01", "").ok();
    // The number of rows and the order of all other items stay the same.
    write(&sandbox, "2026-01-02", Some("bot"), 77);
    let parts = [
        "gate max_top_change refused popularity",
        "1 of the first 20 items are others",
        "(new: \"i80\")",
        "--allow-large-change",
    ];
    run(&sandbox, "2026-01-02", "").fails(3, &parts);
    sandbox.run("job_publish", &format!("{SCOPE} --start 2026-01-02")).fails(3, &parts);
    assert_eq!(popularity(&sandbox)[4].0, "i04");
    run(&sandbox, "2026-01-02", "--allow-large-change").ok();
    // Its count equals that of the third item, and its id sorts after it.
    assert_eq!(popularity(&sandbox)[4], ("i80".to_owned(), 97));
    // The same order again is no change, whatever the counts.
    write(&sandbox, "2026-01-03", Some("bot"), 77);
    run(&sandbox, "2026-01-03", "").ok();
}

#[test]
fn an_item_that_lives_by_one_user_or_session_is_refused_where_that_is_set() {
    for (bot, one) in [(Some("bot"), "share of one user"), (None, "share of one session")] {
        let sandbox = configured(&json!({"validation": {"max_share_of_one": 0.5, "top_items": 10}}));
        write(&sandbox, "2026-01-01", None, 0);
        run(&sandbox, "2026-01-01", "").ok();
        write(&sandbox, "2026-01-02", bot, 80);
        let part = format!("{one} in the events of \"i80\" 0.8000, max_share_of_one allows 0.5");
        run(&sandbox, "2026-01-02", "").fails(3, &["gates refused 2026-01-02", &part]);
        // The item is not among the first ten.
        write(&sandbox, "2026-01-02", bot, 60);
        run(&sandbox, "2026-01-02", "").ok();
    }
}

/// With weights for outcomes, one user could push an item that nobody was shown.
#[test]
fn an_item_that_lives_by_the_clicks_of_one_user_is_refused_too() {
    let gate = json!({"max_share_of_one": 0.3, "top_items": 5});
    let sandbox = configured(&json!({"validation": gate, "weights": {"exposure": 1, "click": 10}}));
    let click = |user: &str| {
        json!({
            "v": 1, "ts": "2026-01-01T08:00:00Z", "tenant": "demo", "surface": "home", "session_id": user, "user_id": user,
            "request_id": "r", "item_id": "evil", "event_type": "click",
        })
        .to_string()
    };
    write(&sandbox, "2026-01-01", None, 0);
    let outcomes = "raw/demo/home/outcome.2026-01-01.jsonl";
    let of_one: Vec<String> = (0..500).map(|n| click("bot").replace("\"r\"", &format!("\"r{n}\""))).collect();
    sandbox.write(outcomes, of_one.join("\n"));
    let parts = ["gates refused 2026-01-01: share of one user in the events of \"evil\" 1.0000"];
    run(&sandbox, "2026-01-01", "").fails(3, &parts);
    let job = |job: &str| sandbox.run(job, &format!("{SCOPE} --start 2026-01-01"));
    job("job_ingest").ok();
    job("job_validate").fails(3, &parts);
    let of_many: Vec<String> = (0..500).map(|n| click(&format!("u{}", n % 50))).collect();
    sandbox.write(outcomes, of_many.join("\n"));
    run(&sandbox, "2026-01-01", "").ok();
    assert_eq!(popularity(&sandbox)[0].0, "evil");
}

#[test]
fn one_user_counts_at_most_so_often_for_an_item_where_that_is_set() {
    for bot in [Some("bot"), None] {
        let sandbox = configured(&json!({"weights": {"cap_per_user_item": 2}}));
        write(&sandbox, "2026-01-01", bot, 400);
        run(&sandbox, "2026-01-01", "").ok();
        let items = popularity(&sandbox);
        assert_eq!(items[0], ("i00".to_owned(), 100));
        // Twenty users count once each, and the bot twice.
        let lifted: Vec<_> = items.iter().filter(|(item, _)| item == "i80").collect();
        assert_eq!(lifted, [&("i80".to_owned(), 22)]);
    }
}
