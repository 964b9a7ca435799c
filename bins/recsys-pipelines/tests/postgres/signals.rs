//! Writing signals to tables.

use std::process::Stdio;

use recsys_core::artifact::{Kind, Payload};
use recsys_testkit::sandbox::Finished;
use serde_json::{Value, json};

use crate::{DAY, Pilot, SCOPE};

const SESSIONS: [(&str, &[&str]); 4] =
    [("s1", &["A", "B", "C"]), ("s2", &["A", "B"]), ("s3", &["C", "D"]), ("s4", &["D"])];

/// A pilot with a day of ingested sessions.
pub(crate) fn ingested() -> Pilot {
    let pilot = Pilot::new();
    pilot.write_sessions(&SESSIONS);
    pilot.run("job_ingest", DAY).ok();
    pilot
}

/// Row counts of a report entry: inserted, updated, deleted, unchanged.
fn written(report: &Value) -> [u64; 4] {
    ["inserted", "updated", "deleted", "unchanged"].map(|field| report[field].as_u64().unwrap())
}

/// The signals that follow from the day's staged artifacts.
fn expected(pilot: &Pilot) -> Vec<String> {
    pilot.run("job_popularity", DAY).ok();
    pilot.run("job_cooc", DAY).ok();
    let folder = "out/artifacts/demo/home/_all";
    let mut rows = Vec::new();
    for kind in [Kind::Popularity, Kind::Cooc] {
        let files = pilot.sandbox.snapshot(&format!("{folder}/{kind}/2026-01-01_2026-01-02"));
        let (_, pointer) = &files["current.version"];
        let version = String::from_utf8_lossy(pointer).trim().to_owned();
        let (_, bytes) = &files[&format!("{version}.json")];
        match kind.parse(bytes).unwrap().payload {
            Payload::Popularity(items) => {
                rows.extend(items.iter().map(|item| (item.item_id.to_string(), String::new(), item.count)));
            }
            Payload::Cooc(payload) => rows.extend(payload.iter().flat_map(|row| {
                row.items.iter().map(|item| (row.item_id.to_string(), item.item_id.to_string(), item.count))
            })),
            other => panic!("{other:?}"),
        }
    }
    rows.sort();
    rows.into_iter().map(|(item, other, count)| format!("2026-01-01 {item} {other} {count}.000000")).collect()
}

#[test]
fn the_rows_of_a_day_are_exactly_its_artifacts() {
    let pilot = ingested();
    let document = pilot.document("job_db_signals", DAY);
    let days = document["days"].as_array().unwrap();
    assert_eq!(days.len(), 2);
    assert_eq!((&days[0]["kind"], written(&days[0])), (&json!("popularity"), [4, 0, 0, 0]));
    assert_eq!((&days[1]["kind"], written(&days[1])), (&json!("cooc"), [8, 0, 0, 0]));
    assert_eq!((&days[0]["source"], &days[1]["source"]), (&json!("built"), &json!("built")));
    let rows = pilot.signals();
    // Computed by hand: A and B share two sessions, A and C, B and C, and C and D one each.
    assert_eq!(
        rows,
        [
            "2026-01-01 A  2.000000",
            "2026-01-01 A B 2.000000",
            "2026-01-01 A C 1.000000",
            "2026-01-01 B  2.000000",
            "2026-01-01 B A 2.000000",
            "2026-01-01 B C 1.000000",
            "2026-01-01 C  2.000000",
            "2026-01-01 C A 1.000000",
            "2026-01-01 C B 1.000000",
            "2026-01-01 C D 1.000000",
            "2026-01-01 D  2.000000",
            "2026-01-01 D C 1.000000",
        ]
    );
    assert_eq!(expected(&pilot), rows);
    // From here on, the staged artifacts are used.
    let before = pilot.traces();
    let again = pilot.document("job_db_signals", DAY);
    assert_eq!(written(&again["days"][0]), [0, 0, 0, 4]);
    assert_eq!(written(&again["days"][1]), [0, 0, 0, 8]);
    assert_eq!(
        (&again["days"][0]["source"], &again["days"][1]["source"]),
        (&json!("staged"), &json!("staged"))
    );
    assert_eq!(again["days"][0]["version"], days[0]["version"]);
    assert_eq!(pilot.traces(), before);
    let said = pilot.run("job_db_signals", DAY);
    assert!(
        said.ok().stdout.contains("0 rows inserted, 0 updated, 0 deleted, 8 unchanged, from cooc"),
        "{said:?}"
    );
}

#[test]
fn with_an_item_gone_exactly_its_rows_go() {
    let pilot = ingested();
    pilot.run("job_popularity", DAY).ok();
    pilot.run("job_cooc", DAY).ok();
    pilot.run("job_db_signals", DAY).ok();
    let before = pilot.traces();
    // Another day, namespace and tenant have such rows, too.
    pilot.database.execute(
        "insert into item_popularity_daily select tenant_id, namespace, item_id, day + 1, score from item_popularity_daily;
         insert into item_covisit_daily select tenant_id, 'cart', item_id, neighbor_id, day, score from item_covisit_daily;
         insert into item_covisit_daily select (select id from tenants where name = 'Other'), namespace, item_id,
             neighbor_id, day, score from item_covisit_daily where namespace = 'home'",
    );
    let all =
        "select (select count(*) from item_popularity_daily), (select count(*) from item_covisit_daily)";
    assert_eq!(pilot.database.lines(all), ["8 24"]);
    pilot.write_sessions(&[("s1", &["A", "B"][..]), ("s2", &["A", "B"]), ("s3", &["D"]), ("s4", &["D"])]);
    pilot.run("job_ingest", DAY).ok();
    let document = pilot.document("job_db_signals", DAY);
    // The staged artifacts are of older data.
    assert_eq!(document["days"][0]["source"], "built");
    assert_eq!(written(&document["days"][0]), [0, 0, 1, 3]);
    assert_eq!(written(&document["days"][1]), [0, 0, 6, 2]);
    assert_eq!(pilot.database.lines(all), ["7 18"]);
    pilot.database.execute(
        "delete from item_popularity_daily where day <> '2026-01-01';
         delete from item_covisit_daily where namespace <> 'home' or tenant_id <> (select id from tenants where name = 'Demo')",
    );
    let is_of_c = |line: &&String| line.split_whitespace().skip(1).take(2).any(|id| id == "C");
    let kept: Vec<String> = before.iter().filter(|line| !is_of_c(line)).cloned().collect();
    assert_eq!(before.len() - kept.len(), 7);
    assert_eq!(pilot.traces(), kept);
}

#[test]
fn a_staged_artifact_that_is_damaged_or_of_something_else_is_not_used() {
    let pilot = ingested();
    let rows = expected(&pilot);
    let folder = "out/artifacts/demo/home/_all/popularity/2026-01-01_2026-01-02";
    let files = pilot.sandbox.snapshot(folder);
    let (name, (_, bytes)) = files.iter().find(|(name, _)| name.ends_with(".json")).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    for damaged in
        [text.replace("\"count\":2", "\"count\":3"), text[..40].to_owned(), text.replace("home", "cart")]
    {
        assert_ne!(damaged, text);
        pilot.sandbox.write(&format!("{folder}/{name}"), damaged);
        let document = pilot.document("job_db_signals", DAY);
        assert_eq!(document["days"][0]["kind"], "cooc");
        assert_eq!(
            (&document["days"][0]["source"], &document["days"][1]["source"]),
            (&json!("staged"), &json!("built"))
        );
        assert_eq!(pilot.signals(), rows);
    }
    pilot.sandbox.write(&format!("{folder}/current.version"), "nonsense\n");
    pilot.run("job_db_signals", DAY).ok();
    assert_eq!(pilot.signals(), rows);
}

#[test]
fn a_range_and_a_window_are_written_day_by_day() {
    let pilot = Pilot::new();
    for (day, items) in [("2026-01-01", ["A", "B"]), ("2026-01-02", ["B", "C"])] {
        pilot.write_sessions(&[("s", &items)]);
        let path = pilot.sandbox.join("raw/exposure.jsonl");
        let text = std::fs::read_to_string(&path).unwrap().replace("2026-01-01", day);
        std::fs::remove_file(path).unwrap();
        pilot.sandbox.write(&format!("raw/demo/home/exposure.{day}.jsonl"), text);
    }
    let range = format!("{SCOPE} --start 2026-01-01 --end 2026-01-02");
    pilot.run("job_ingest", &range).ok();
    pilot.run("job_db_signals", &format!("{range} --window-days 2")).ok();
    let popularity = "select day, item_id, score from item_popularity_daily order by 1, 2";
    assert_eq!(
        pilot.database.lines(popularity),
        [
            "2026-01-01 A 1.000000",
            "2026-01-01 B 1.000000",
            "2026-01-02 A 1.000000",
            "2026-01-02 B 2.000000",
            "2026-01-02 C 1.000000",
        ]
    );
    pilot.run("job_db_signals", &format!("{SCOPE} --start 2026-01-02")).ok();
    assert_eq!(pilot.database.lines(popularity)[2..], ["2026-01-02 B 1.000000", "2026-01-02 C 1.000000"]);
}

#[test]
fn a_day_without_events_does_not_empty_the_tables() {
    let pilot = ingested();
    pilot.run("job_db_signals", DAY).ok();
    let before = pilot.traces();
    std::fs::remove_dir_all(pilot.sandbox.join("out/canonical")).unwrap();
    let refused = pilot.run("job_db_signals", DAY);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let last = refused.stderr.lines().last().unwrap();
    assert!(last.contains("no row was given for 2026-01-01, and item_popularity_daily has 4"), "{last}");
    assert_eq!(pilot.traces(), before);
    pilot.configure(|config| config["validation"] = json!({"min_events": 0}));
    pilot.run("job_db_signals", DAY).ok();
    assert_eq!(pilot.signals(), [""; 0]);
}

#[test]
fn run_writes_signals_when_a_database_is_configured() {
    let pilot = Pilot::new();
    pilot.write_sessions(&SESSIONS);
    let run = format!("run {DAY}");
    let document = pilot.document("recsys-pipelines", &run);
    let signals = document["days"][0]["signals"].as_array().unwrap();
    assert_eq!(signals.len(), 2);
    for (signal, artifact) in signals.iter().zip(document["days"][0]["artifacts"].as_array().unwrap()) {
        assert_eq!((&signal["kind"], &signal["version"]), (&artifact["kind"], &artifact["version"]));
        assert_eq!(signal["source"], "staged");
    }
    assert_eq!(pilot.signals(), expected(&pilot));
    let before = (pilot.traces(), pilot.sandbox.snapshot("out"));
    let again = pilot.run("recsys-pipelines", &run);
    assert!(again.ok().stdout.contains("8 unchanged, from cooc"), "{again:?}");
    assert_eq!((pilot.traces(), pilot.sandbox.snapshot("out")), before);

    // Without a DSN, the document does not mention signals.
    let mut command = pilot.sandbox.command("recsys-pipelines");
    let finished = pilot.finish(command.args(run.split_whitespace()).arg("--json"));
    let document: Value = serde_json::from_str(&finished.ok().stdout).unwrap();
    assert_eq!(document["days"][0].get("signals"), None);

    // Only the kinds that the run builds are written.
    pilot.configure(|config| config["artifact_kinds"] = json!(["popularity"]));
    pilot.database.execute("delete from item_covisit_daily; delete from item_popularity_daily");
    pilot.run("recsys-pipelines", &run).ok();
    let counts =
        "select (select count(*) from item_popularity_daily), (select count(*) from item_covisit_daily)";
    assert_eq!(pilot.database.lines(counts), ["4 0"]);
}

#[test]
fn a_run_whose_signals_fail_is_not_done_and_heals() {
    let pilot = Pilot::new();
    pilot.write_sessions(&SESSIONS);
    let run = format!("run {DAY}");
    let checkpoint = pilot.sandbox.join("out/checkpoints/demo/home.json");
    // Problems that can be found before any work are reported before any work.
    let nobody = run.replace("--tenant demo", "--tenant nobody");
    pilot.run("recsys-pipelines", &nobody).fails(2, &["no row of tenants has \"nobody\""]);
    assert!(pilot.sandbox.snapshot("out").is_empty());

    pilot.database.execute("alter table item_covisit_daily rename to away");
    pilot.run("recsys-pipelines", &run).fails(2, &["\"item_covisit_daily\" does not exist"]);
    assert!(!checkpoint.exists());
    assert_eq!(pilot.database.lines("select count(*) from item_popularity_daily"), ["0"]);
    pilot.database.execute("alter table away rename to item_covisit_daily");
    pilot.run("recsys-pipelines", &run).ok();
    assert!(checkpoint.exists());
    assert_eq!(pilot.signals(), expected(&pilot));
}

#[test]
fn a_missing_tenant_is_created_when_that_is_asked_for() {
    let pilot = Pilot::new();
    pilot.write_sessions(&SESSIONS);
    let text = std::fs::read_to_string(pilot.sandbox.join("raw/exposure.jsonl")).unwrap();
    pilot.sandbox.write("raw/exposure.jsonl", text.replace("\"demo\"", "\"new\""));
    let day = DAY.replace("--tenant demo", "--tenant new");
    pilot.run("job_ingest", &day).ok();
    pilot.run("job_db_signals", &day).fails(2, &["no row of tenants has \"new\"", "db.auto_create_tenant"]);
    pilot.configure(|config| config["db"] = json!({"auto_create_tenant": true}));
    pilot.run("job_db_signals", &day).ok();
    pilot.run("job_db_signals", &day).ok();
    let rows =
        "select name, count(*) from tenants join item_popularity_daily on tenant_id = id group by name";
    assert_eq!(pilot.database.lines(rows), ["new 4"]);
}

#[test]
fn writers_of_one_day_and_of_different_days_all_succeed() {
    let pilot = Pilot::new();
    let sessions: Vec<(String, Vec<String>)> = (0..400)
        .map(|session| {
            (format!("s{session}"), (0..6).map(|n| format!("i{}", (session * 7 + n * 13) % 97)).collect())
        })
        .collect();
    pilot.write_sessions(&sessions);
    let text = std::fs::read_to_string(pilot.sandbox.join("raw/exposure.jsonl")).unwrap();
    pilot.sandbox.write("raw/exposure.jsonl", format!("{text}{}", text.replace("2026-01-01", "2026-01-02")));
    let range = format!("{SCOPE} --start 2026-01-01 --end 2026-01-02");
    pilot.run("job_ingest", &range).ok();
    for _ in 0..5 {
        let days = ["2026-01-01", "2026-01-01", "2026-01-02", "2026-01-02"];
        let spawn = |day: &str| {
            let mut command = pilot.command("job_db_signals", &format!("{SCOPE} --start {day}"));
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let writers: Vec<_> = days.into_iter().map(spawn).collect();
        for writer in writers {
            Finished::from(writer.wait_with_output().unwrap()).ok();
        }
        let mut rows = expected(&pilot);
        let next: Vec<String> = rows.iter().map(|row| row.replace("2026-01-01", "2026-01-02")).collect();
        rows.extend(next);
        assert_eq!(pilot.signals(), rows);
        pilot.database.execute(
            "delete from item_popularity_daily where item_id < 'i5'; delete from item_covisit_daily",
        );
    }
}
