//! Days refused by a gate: their data, and the windows that contain them.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;

use recsys_testkit::sandbox::{Finished, Sandbox, bytes};
use serde_json::{Value, json};

/// Days of four users with ten items each, and a gate that refuses more than twice as much.
struct Days(Sandbox);

impl Days {
    /// Ingests good days up to the 4th.
    fn new(validation: &Value) -> Self {
        let days = Self(Sandbox::new());
        days.configure(validation);
        for day in 1..=4 {
            days.write(day, 4, "item");
            days.job("job_ingest", day, "").ok();
            days.job("job_validate", day, "").ok();
        }
        days
    }

    fn configure(&self, validation: &Value) {
        let mut all = json!({"max_volume_spike": 1, "lookback_days": 4});
        all.as_object_mut().unwrap().extend(validation.as_object().unwrap().clone());
        self.0.configure(&json!({
            "artifact_kinds": ["popularity"],
            "window_days": {"popularity": 4}, "validation": all,
        }));
    }

    /// Writes a day on which each user was shown ten items whose names begin with `item`, and an outcome.
    fn write(&self, day: u32, users: usize, item: &str) {
        let event = |user: usize, shown: usize| {
            json!({
                "v": 1, "ts": format!("2026-01-0{day}T08:00:00Z"), "tenant": "demo", "surface": "home",
                "session_id": format!("s{user}"), "user_id": format!("u{user}"), "item_id": format!("{item}{shown}"),
                "request_id": format!("{user}-{shown}"),
            })
        };
        let lines: Vec<String> =
            (0..users).flat_map(|user| (0..10).map(move |shown| event(user, shown).to_string())).collect();
        self.0.write(&format!("raw/demo/home/exposure.2026-01-0{day}.jsonl"), lines.join("\n"));
        let mut click = event(0, 0);
        click["event_type"] = json!("click");
        self.0.write(&format!("raw/demo/home/outcome.2026-01-0{day}.jsonl"), click.to_string());
    }

    fn job(&self, job: &str, day: u32, flags: &str) -> Finished {
        let line =
            format!("--config config.json --tenant demo --surface home --start 2026-01-0{day} {flags}");
        self.0.run(job, &line)
    }

    fn run(&self, day: u32) -> Finished {
        let line = format!("run --config config.json --tenant demo --surface home --start 2026-01-0{day}");
        self.0.run("recsys-pipelines", &line)
    }

    /// Names of a day's canonical files, with their stream folders.
    fn files(&self, day: u32) -> Vec<String> {
        let files = self.0.snapshot("out/canonical/demo/home");
        let of_day = format!("2026-01-0{day}.");
        files.into_keys().filter(|name| name.contains(&of_day) && !name.starts_with("reports/")).collect()
    }

    fn report(&self, day: u32) -> Value {
        let path = self.0.join(format!("out/canonical/demo/home/reports/2026-01-0{day}.json"));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    fn manifest(&self) -> Vec<u8> {
        fs::read(self.0.join("out/registry/current/demo/home/manifest.json")).unwrap_or_default()
    }
}

const IN_PLACE: [&str; 2] = ["exposures/2026-01-05.jsonl", "outcomes/2026-01-05.jsonl"];
const APART: [&str; 2] = ["exposures/2026-01-05.refused.jsonl", "outcomes/2026-01-05.refused.jsonl"];

#[test]
fn nothing_is_built_from_a_day_that_was_refused_the_day_before() {
    let days = Days::new(&json!({}));
    days.write(5, 40, "bot");
    let ingested = days.job("job_ingest", 5, "");
    assert!(ingested.ok().stdout.contains("2026-01-05.refused.jsonl"), "{ingested:?}");
    days.job("job_validate", 5, "").fails(3, &["events 400 against a median of 40", "--accept REASON"]);
    assert_eq!(days.files(5), APART);

    days.write(6, 4, "item");
    days.job("job_ingest", 6, "").ok();
    days.job("job_validate", 6, "").ok();
    let parts = ["window 2026-01-03_2026-01-07 holds 2026-01-05", "validation.on_refused_day"];
    days.job("job_popularity", 6, "").fails(3, &parts);
    days.run(6).fails(3, &parts);
    assert_eq!(days.manifest(), b"");
    // A window that does not include the refused day is built.
    days.job("job_popularity", 6, "--window-days 1").ok();

    // The data is corrected.
    days.write(5, 4, "item");
    days.job("job_ingest", 5, "").ok();
    assert_eq!(days.files(5), IN_PLACE);
    days.job("job_validate", 5, "").ok();
    days.run(6).ok();
    assert_ne!(days.manifest(), b"");
}

#[test]
fn run_keeps_a_refused_day_apart_too() {
    let days = Days::new(&json!({}));
    days.write(5, 40, "bot");
    days.run(5).fails(3, &["events 400 against a median of 40"]);
    assert_eq!(days.files(5), APART);
    assert_eq!(days.report(5)["verdict"]["passed"], false);
    days.job("job_popularity", 5, "").fails(3, &["2026-01-05, which a gate has refused"]);
    days.write(6, 4, "item");
    days.run(6).fails(3, &["2026-01-05, which a gate has refused"]);
    days.write(5, 5, "item");
    days.run(5).ok();
    assert_eq!(days.files(5), IN_PLACE);
    days.run(6).ok();
}

#[test]
fn a_window_is_built_without_a_refused_day_where_that_is_set() {
    let days = Days::new(&json!({"on_refused_day": "exclude"}));
    days.write(5, 40, "bot");
    days.run(5).fails(3, &["events 400 against a median of 40"]);
    // The artifact of the refused day itself is not built.
    days.job("job_popularity", 5, "").fails(3, &["2026-01-05, which a gate has refused"]);
    days.write(6, 4, "item");
    let run = days.run(6);
    assert!(
        run.ok().stdout.contains("popularity   built without what a gate refused of 2026-01-05"),
        "{run:?}"
    );
    let blobs = days.0.snapshot("out/objects");
    let blob: Value = serde_json::from_slice(bytes(&blobs).values().next().unwrap()).unwrap();
    // Three good days of four users.
    assert_eq!(blob["items"][0], json!({"item_id": "item0", "count": 12}));
    assert_eq!(blob["items"].as_array().unwrap().len(), 10);
}

#[test]
fn what_was_good_before_stays() {
    for by_run in [false, true] {
        let days = Days::new(&json!({"on_refused_day": "exclude"}));
        days.write(5, 5, "item");
        days.run(5).ok();
        let file = days.0.join("out/canonical/demo/home/exposures/2026-01-05.jsonl");
        let (good, manifest) = (fs::read(&file).unwrap(), days.manifest());

        days.write(5, 40, "bot");
        if by_run {
            days.run(5).fails(3, &["events 400 against a median of 40"]);
        } else {
            days.job("job_ingest", 5, "").ok();
            days.job("job_validate", 5, "").fails(3, &["events 400 against a median of 40"]);
        }
        assert_eq!(days.files(5), [IN_PLACE[0], APART[0], IN_PLACE[1], APART[1]]);
        assert_eq!((fs::read(&file).unwrap(), days.manifest()), (good, manifest));
        let status = days.0.run("recsys-pipelines", "status --config config.json --json");
        let status: Value = serde_json::from_str(&status.ok().stdout).unwrap();
        assert_eq!(status["manifests"][0]["refused_days"], json!(["2026-01-05"]));
        // The next day's window includes it.
        days.write(6, 4, "item");
        days.run(6).ok();
        let current = fs::read(days.0.join("out/registry/current/demo/home/manifest.json")).unwrap();
        let current: Value = serde_json::from_slice(&current).unwrap();
        let blob = current["current"]["popularity"].as_str().unwrap().strip_prefix("file://").unwrap();
        let blob: Value = serde_json::from_slice(&fs::read(blob).unwrap()).unwrap();
        assert_eq!(blob["items"][0], json!({"item_id": "item0", "count": 17}));
    }
}

#[test]
fn somebody_can_accept_a_day_and_says_why() {
    let days = Days::new(&json!({}));
    days.write(5, 40, "sale");
    days.job("job_ingest", 5, "").ok();
    days.job("job_validate", 5, "--accept").fails(2, &["--accept"]);
    days.job("job_validate", 5, "").fails(3, &["events 400"]);
    let accepted = days.job("job_validate", 5, "--accept sale");
    assert!(accepted.ok().stdout.contains(": sale"), "{accepted:?}");
    assert_eq!(days.files(5), IN_PLACE);
    let verdict = &days.report(5)["verdict"];
    assert_eq!((&verdict["passed"], &verdict["accepted"]["reason"]), (&json!(false), &json!("sale")));
    assert!(verdict["accepted"]["by"].is_string() && verdict["accepted"]["at"].is_string(), "{verdict}");

    // The day stays accepted for every command, but only for the accepted data.
    days.job("job_validate", 5, "").ok();
    days.run(5).ok();
    days.job("job_ingest", 5, "").ok();
    assert_eq!(days.files(5), IN_PLACE);
    days.write(5, 41, "sale");
    days.run(5).fails(3, &["events 410"]);
    assert_eq!(days.files(5).len(), 4);
}

/// Data accepted without outcomes has none, even if the day had some before.
#[test]
fn an_accepted_day_has_its_own_outcomes_alone() {
    let days = Days::new(&json!({}));
    days.write(5, 5, "item");
    days.job("job_ingest", 5, "").ok();
    assert_eq!(days.files(5), IN_PLACE);
    days.write(5, 40, "sale");
    fs::remove_file(days.0.join("raw/demo/home/outcome.2026-01-05.jsonl")).unwrap();
    days.configure(&json!({"min_events": 0}));
    days.job("job_ingest", 5, "").ok();
    assert_eq!(days.files(5), [IN_PLACE[0], APART[0], IN_PLACE[1]]);
    days.job("job_validate", 5, "--accept sale").ok();
    assert_eq!(days.files(5), [IN_PLACE[0]]);
}

/// A later refused delivery does not undo the acceptance of an earlier one.
#[test]
fn what_was_accepted_may_be_delivered_again() {
    let days = Days::new(&json!({}));
    days.write(5, 40, "sale");
    days.run(5).fails(3, &["events 400"]);
    days.job("job_validate", 5, "--accept sale").ok();
    days.run(5).ok();
    let manifest = days.manifest();
    let hash = days.report(5)["canonical_hash"].as_str().unwrap().to_owned();
    for job_mode in [false, true] {
        days.write(5, 90, "bot");
        days.run(5).fails(3, &["events 900"]);
        assert_eq!(days.files(5).len(), 4);
        assert_eq!(days.report(5)["accepted_before"][&hash]["reason"], "sale");
        days.write(5, 40, "sale");
        if job_mode {
            days.job("job_ingest", 5, "").ok();
            days.job("job_validate", 5, "").ok();
            // Ingesting once more revokes nothing.
            let report = days.report(5);
            days.job("job_ingest", 5, "").ok();
            assert_eq!(days.report(5), report);
        } else {
            days.run(5).ok();
        }
        assert_eq!(days.files(5), IN_PLACE);
        assert_eq!(days.report(5)["verdict"]["accepted"]["reason"], "sale");
        assert_eq!(days.manifest(), manifest);
    }
}

/// Later windows are not built without such a day, it cannot be accepted, and its own artifacts are not built.
#[test]
fn a_day_whose_raw_data_cannot_be_taken_is_a_refused_day() {
    let days = Days::new(&json!({}));
    days.write(5, 4, "item");
    let raw = days.0.join("raw/demo/home/exposure.2026-01-05.jsonl");
    let good = fs::read_to_string(&raw).unwrap();
    days.write(6, 4, "item");
    let marked = "exposures/2026-01-05.refused.jsonl";
    for (spoilt, told) in [
        (format!("{good}\n{{}}"), "field `v` is missing"),
        (good.replace("item0", &"x".repeat(600)), "limits.max_id_bytes"),
    ] {
        fs::write(&raw, spoilt).unwrap();
        days.job("job_ingest", 5, "").fails(3, &["2026-01-05", told]);
        assert_eq!(days.files(5), [marked]);
        days.job("job_validate", 5, "").fails(3, &["2026-01-05 is marked as refused"]);
        days.job("job_validate", 5, "--accept half").fails(3, &["nothing to judge or to accept"]);
        days.job("job_popularity", 5, "").fails(3, &["2026-01-05, which a gate has refused"]);
        days.run(6).fails(3, &["2026-01-05, which a gate has refused"]);
        let status = days.0.run("recsys-pipelines", "status --config config.json --json");
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        assert_eq!(status["manifests"][0]["refused_days"], json!(["2026-01-05"]));

        fs::write(&raw, &good).unwrap();
        days.job("job_ingest", 5, "").ok();
        assert_eq!(days.files(5), IN_PLACE);
        days.run(6).ok();
        for file in IN_PLACE {
            fs::remove_file(days.0.join("out/canonical/demo/home").join(file)).unwrap();
        }
    }
    // Good data from before stays; exceeding a limit also marks the day as refused.
    days.run(5).ok();
    let mut limited = days.0.command("job_ingest");
    limited.args([
        "--config",
        "config.json",
        "--tenant",
        "demo",
        "--surface",
        "home",
        "--start",
        "2026-01-05",
    ]);
    limited.env("RECSYS_PIPELINES__LIMITS__MAX_EVENTS_PER_RUN", "5");
    Finished::from(limited.output().unwrap()).fails(4, &["max_events_per_run"]);
    assert_eq!(days.files(5), [IN_PLACE[0], marked, IN_PLACE[1]]);
    days.configure(&json!({"on_refused_day": "exclude"}));
    assert!(days.run(6).ok().stdout.contains("built without what a gate refused of 2026-01-05"));
    days.job("job_popularity", 5, "").fails(3, &["name later days with --start"]);
}

/// A day that was read completely can be accepted, even if it is empty.
#[test]
fn a_marked_day_that_turns_out_to_be_empty_can_be_accepted() {
    let days = Days::new(&json!({}));
    let raw = "raw/demo/home/exposure.2026-01-05.jsonl";
    for by_run in [false, true] {
        days.0.write(raw, "{}\n");
        days.job("job_ingest", 5, "").fails(3, &["field `v` is missing"]);
        assert_eq!(days.files(5), [APART[0]]);
        days.0.write(raw, "");
        if by_run {
            days.run(5).fails(3, &["0 events, at least 1 expected"]);
        } else {
            days.job("job_ingest", 5, "").ok();
        }
        assert_eq!(days.files(5), [""; 0]);
    }
    days.job("job_ingest", 5, "").ok();
    days.job("job_validate", 5, "--accept closed").ok();
}

/// The artifact contains refused data, even if later windows exclude the day.
#[test]
fn what_was_built_with_a_day_that_was_refused_since_is_not_published() {
    let days = Days::new(&json!({"max_volume_spike": 10}));
    days.write(4, 40, "bot");
    days.job("job_ingest", 4, "").ok();
    days.job("job_validate", 4, "").ok();
    days.write(5, 4, "item");
    for job in ["job_ingest", "job_validate", "job_popularity"] {
        days.job(job, 5, "").ok();
    }
    days.configure(&json!({"on_refused_day": "exclude"}));
    days.job("job_validate", 4, "").fails(3, &["events 400"]);
    let parts = ["popularity of the window 2026-01-02_2026-01-06 was built before a gate refused 2026-01-04"];
    days.job("job_publish", 5, "").fails(3, &parts);
    assert_eq!(days.manifest(), b"");
    days.job("job_popularity", 5, "").ok();
    days.job("job_publish", 5, "").ok();
    assert_ne!(days.manifest(), b"");
}

/// A gate on outcomes judges exposures and outcomes together.
#[test]
fn other_outcomes_make_it_other_data() {
    let days = Days::new(&json!({}));
    let config = |share: f64| {
        json!({
            "out_dir": "out", "raw_events_dir": "raw", "artifact_kinds": ["popularity"],
            "validation": {"max_share_of_one": share, "top_items": 1}, "weights": {"exposure": 1, "click": 50},
        })
    };
    let clicks = |users: &[usize]| {
        let click = |user: &usize| {
            json!({
                "v": 1, "ts": "2026-01-05T09:00:00Z", "tenant": "demo", "surface": "home", "session_id": format!("s{user}"),
                "user_id": format!("u{user}"), "item_id": "item0", "request_id": format!("{user}-0"), "event_type": "click",
            })
            .to_string()
        };
        let lines: Vec<String> = users.iter().map(click).collect();
        days.0.write("raw/demo/home/outcome.2026-01-05.jsonl", lines.join("\n"));
    };
    days.0.write("config.json", config(0.6).to_string());
    days.write(5, 4, "item");
    clicks(&[0]);
    let told = ["share of one user in the events of \"item0\" 0.94"];
    days.run(5).fails(3, &told);
    days.job("job_validate", 5, "--accept known").ok();
    days.run(5).ok();
    // The acceptance covered one click, not any outcomes for the same exposures.
    clicks(&[0, 1]);
    days.run(5).ok();
    let good = days
        .files(5)
        .into_iter()
        .map(|file| fs::read(days.0.join("out/canonical/demo/home").join(file)).unwrap());
    let good: Vec<Vec<u8>> = good.collect();
    let manifest = days.manifest();
    clicks(&[1]);
    days.run(5).fails(3, &told);
    // The good data stays, although its exposures are the same.
    assert_eq!(days.files(5), [IN_PLACE[0], APART[0], IN_PLACE[1], APART[1]]);
    for (file, bytes) in IN_PLACE.iter().zip(&good) {
        assert_eq!(&fs::read(days.0.join("out/canonical/demo/home").join(file)).unwrap(), bytes, "{file}");
    }
    assert_eq!(days.manifest(), manifest);
    days.write(6, 4, "item");
    days.job("job_ingest", 6, "").ok();
    // The first acceptance still covers the first data.
    clicks(&[0]);
    days.run(5).ok();
    assert_eq!(days.files(5), IN_PLACE);
}

/// Changes are counted against the data in place, not against refused data.
#[test]
fn what_came_and_went_is_told_of_the_data_in_place() {
    let days = Days::new(&json!({}));
    days.write(5, 5, "item");
    days.run(5).ok();
    days.write(5, 40, "bot");
    days.run(5).fails(3, &["events 400"]);
    days.configure(&json!({"max_volume_spike": 10}));
    let run = days.run(5);
    assert!(
        run.ok().stdout.contains("400 events, 0 duplicates dropped, written (400 in, 50 out)"),
        "{run:?}"
    );
}

#[test]
fn a_refused_day_is_not_what_others_are_judged_by() {
    let days = Days::new(&json!({}));
    for day in 5..=8 {
        days.write(day, 40, "bot");
        days.run(day).fails(3, &["events 400 against a median of 40"]);
    }
    days.write(9, 4, "item");
    days.job("job_ingest", 9, "").ok();
    days.job("job_validate", 9, "").ok();
    let past = &days.report(9)["verdict"]["past"];
    assert_eq!(past["days"], json!(["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]));
}

#[test]
fn a_gate_that_is_stricter_later_takes_the_day_out() {
    let days = Days::new(&json!({}));
    days.write(5, 5, "item");
    days.job("job_ingest", 5, "").ok();
    days.configure(&json!({"max_volume_spike": 0.1}));
    days.job("job_validate", 5, "").fails(3, &["events 50 against a median of 40"]);
    assert_eq!(days.files(5), APART);
    days.configure(&json!({}));
    days.job("job_validate", 5, "").ok();
    assert_eq!(days.files(5), IN_PLACE);
}

#[test]
fn the_very_data_that_was_refused_is_not_what_was_good_before() {
    let days = Days::new(&json!({}));
    days.write(5, 40, "bot");
    days.configure(&json!({"max_volume_spike": 10}));
    days.job("job_ingest", 5, "").ok();
    days.job("job_popularity", 5, "").ok();
    assert_eq!(days.files(5), IN_PLACE);
    // With the gate set, ingesting again moves the data aside, before the day is judged.
    days.configure(&json!({"on_refused_day": "exclude"}));
    days.job("job_ingest", 5, "").ok();
    assert_eq!(days.files(5), APART);
    days.job("job_validate", 5, "").fails(3, &["events 400"]);
    assert_eq!(days.files(5), APART);
    // Artifacts built in the meantime are no longer published.
    days.job("job_publish", 5, "").fails(3, &["2026-01-05, which a gate has refused"]);
}

#[test]
fn what_an_earlier_version_left_in_place_is_found_by_its_report() {
    let days = Days::new(&json!({}));
    days.write(5, 40, "bot");
    days.job("job_ingest", 5, "").ok();
    days.job("job_validate", 5, "").fails(3, &["events 400"]);
    for (apart, in_place) in APART.iter().zip(IN_PLACE) {
        let folder = days.0.join("out/canonical/demo/home");
        fs::rename(folder.join(apart), folder.join(in_place)).unwrap();
    }
    days.job("job_popularity", 6, "").fails(3, &["2026-01-05, which a gate has refused"]);
    days.job("job_validate", 5, "").fails(3, &["events 400"]);
    assert_eq!(days.files(5), APART);
}

#[test]
fn a_raw_file_that_is_gone_makes_no_refused_day_good() {
    let days = Days::new(&json!({}));
    days.write(5, 40, "bot");
    days.job("job_ingest", 5, "").ok();
    fs::remove_file(days.0.join("raw/demo/home/exposure.2026-01-05.jsonl")).unwrap();
    days.job("job_ingest", 5, "").ok();
    assert_eq!(days.files(5)[0], APART[0]);
    days.job("job_popularity", 6, "").fails(3, &["2026-01-05, which a gate has refused"]);
}

#[test]
fn what_was_never_ingested_cannot_be_accepted() {
    let days = Days::new(&json!({}));
    for _ in 0..2 {
        days.job("job_validate", 6, "--accept typo").fails(2, &["2026-01-06", "was not ingested"]);
        // This writes a report for a day that does not exist.
        days.job("job_validate", 6, "").fails(3, &["0 events"]);
    }
    let mut blank = days.0.command("job_validate");
    blank.args(["--config", "config.json", "--tenant", "demo", "--surface", "home", "--start", "2026-01-06"]);
    Finished::from(blank.args(["--accept", "a\nb"]).output().unwrap()).fails(2, &["one line"]);
}
