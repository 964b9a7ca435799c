//! Ingesting exposures from a table.

use std::collections::BTreeMap;
use std::fs;

use recsys_core::artifact::Kind;
use recsys_testkit::golden::{Case, cases};
use recsys_testkit::reader::read_published;
use recsys_testkit::sandbox::bytes;
use serde_json::{Value, json};

use crate::{DAY, DEMO, Pilot, SCOPE};

fn shop() -> Case {
    cases().into_iter().find(|case| case.name() == "shop").unwrap()
}

/// The events of a case.
fn events(case: &Case) -> Vec<Value> {
    let text = fs::read_to_string(case.dir.join("exposure.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events as a table holds them: request ids are UUIDs, and user keys are bytes.
fn as_in_a_table(mut events: Vec<Value>) -> Vec<Value> {
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for (place, event) in events.iter_mut().enumerate() {
        let request = event["request_id"].as_str().map_or_else(|| format!("alone {place}"), str::to_owned);
        let next = numbers.len();
        let number = *numbers.entry(request).or_insert(next);
        event["request_id"] = json!(format!("00000000-0000-4000-8000-{number:012}"));
        if let Some(user) = event["user_id"].as_str() {
            let hex = user.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            event["user_id"] = json!(hex);
        }
    }
    events
}

/// Inserts events, one row per delivery.
fn insert(pilot: &Pilot, table: &str, events: &[Value]) {
    let text = |value: &Value| {
        value.as_str().map_or("null".to_owned(), |text| format!("'{}'", text.replace('\'', "''")))
    };
    let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for event in events {
        let user = event["user_id"].as_str().map_or("null".to_owned(), |hex| format!("'\\x{hex}'"));
        let row = format!(
            "'{DEMO}', {}, {}, {}, {}, {user}, {}",
            text(&event["ts"]),
            text(&event["request_id"]),
            text(&event["surface"]),
            text(&event["segment"]),
            text(&event["session_id"]),
        );
        let mut item = json!({"item_id": event["item_id"], "score": 0.5});
        if !event["rank"].is_null() {
            item["rank"] = event["rank"].clone();
        }
        rows.entry(row).or_default().push(item);
    }
    for (row, items) in rows {
        let response = json!({"items": items}).to_string().replace('\'', "''");
        pilot.database.execute(&format!("insert into {table} values ({row}, '{response}')"));
    }
}

/// A pilot whose raw events are in a table: those of the golden case `shop`.
fn prepared() -> Pilot {
    let mut pilot = Pilot::new();
    pilot.config["raw_source"] = json!({"type": "postgres"});
    pilot.config["limits"] = shop().limits_json;
    pilot.config["artifact_kinds"] = json!(["popularity", "cooc", "implicit", "session_seq"]);
    pilot.configure(|_| ());
    insert(&pilot, "exposure_events", &as_in_a_table(events(&shop())));
    pilot
}

fn published(pilot: &Pilot, out: &str) -> BTreeMap<Kind, String> {
    let manifest = pilot.sandbox.join(format!("{out}/registry/current/demo/home/manifest.json"));
    let current = read_published(&manifest).unwrap();
    let version = |uri: String| uri.rsplit('/').next().unwrap().trim_end_matches(".json").to_owned();
    current.into_iter().map(|(kind, uri)| (kind, version(uri))).collect()
}

#[test]
fn the_golden_shop_has_the_same_versions_from_a_table() {
    let pilot = prepared();
    let case = shop();
    let segment = case.segment.as_ref().map(|segment| format!(" --segment {segment}")).unwrap_or_default();
    let finished = pilot.run("recsys-pipelines", &format!("run {DAY}{segment}"));
    assert!(
        finished.ok().stdout.contains("rows, 0 without a session, 0 without items; 17 events"),
        "{finished:?}"
    );
    let from_table = published(&pilot, "out");
    // The table changes request and user ids, which do not affect these kinds.
    for kind in [Kind::Popularity, Kind::Cooc] {
        assert_eq!(from_table[&kind], case.versions[&kind], "{kind}");
    }
    // A file with the same ids as the table gives identical output.
    let lines: Vec<String> = as_in_a_table(events(&case)).iter().map(|event| format!("{event}\n")).collect();
    pilot.sandbox.write("raw/exposure.jsonl", lines.concat());
    pilot.configure(|config| {
        config["out_dir"] = json!("from-file");
        config["raw_source"] = json!({"type": "fs"});
    });
    pilot.run("recsys-pipelines", &format!("run {DAY}{segment}")).ok();
    assert_eq!(published(&pilot, "from-file"), from_table);
    assert_eq!(from_table.len(), 4);
    let canonical = |out: &str| pilot.sandbox.snapshot(&format!("{out}/canonical"));
    assert_eq!(bytes(&canonical("out")), bytes(&canonical("from-file")));
    // Events and report of the day, and `scope.json`.
    assert_eq!(canonical("out").len(), 3);
}

#[test]
fn a_job_reads_each_day_of_a_range_and_twice_is_the_same() {
    let pilot = prepared();
    pilot.database.execute(&format!(
        "insert into exposure_events values
             ('{DEMO}', '2026-01-03T00:00:00Z', gen_random_uuid(), 'home', null, null, 's', '{{\"items\": [{{\"item_id\": \"A\"}}]}}'),
             ('{DEMO}', '2026-01-03T01:00:00Z', gen_random_uuid(), 'home', null, null, null, '{{\"items\": [{{\"item_id\": \"B\"}}]}}'),
             ('{DEMO}', '2026-01-03T02:00:00Z', gen_random_uuid(), 'home', null, null, 's', '{{}}')"
    ));
    let range = format!("{SCOPE} --start 2026-01-01 --end 2026-01-03");
    let document = pilot.document("job_ingest", &range);
    let day = |number: usize| &document["days"][number];
    assert_eq!(day(0)["canonical"]["events"], 17);
    assert_eq!(
        day(1)["source"]["table"],
        json!({"rows": 0, "events": 0, "without_session": 0, "without_items": 0})
    );
    assert_eq!(
        day(2)["source"]["table"],
        json!({"rows": 3, "events": 1, "without_session": 1, "without_items": 1})
    );
    assert_eq!(day(2)["source"]["files"], json!(["exposure_events"]));
    let before = pilot.sandbox.snapshot("out");
    pilot.run("job_ingest", &range).ok();
    assert_eq!(pilot.sandbox.snapshot("out"), before);
}

#[test]
fn tables_of_other_names_are_read_and_a_tenant_by_its_id() {
    let pilot = prepared();
    pilot.run("job_ingest", DAY).ok();
    let before = pilot.sandbox.snapshot("out/canonical");
    pilot.database.execute(
        "create schema logs; alter table exposure_events set schema logs;
         alter table logs.exposure_events rename to \"Shown\"; alter table tenants rename to customers",
    );
    pilot.configure(|config| {
        config["raw_source"]["postgres"] =
            json!({"dsn": pilot.database.url(), "tenant_table": "customers", "exposure_table": "logs.Shown"});
    });
    pilot.run("job_ingest", DAY).ok();
    assert_eq!(pilot.sandbox.snapshot("out/canonical"), before);
    let by_id = format!("--config config.json --tenant {DEMO} --surface home --start 2026-01-01");
    let document = pilot.document("job_ingest", &by_id);
    assert_eq!(document["days"][0]["canonical"]["events"], 17);

    for name in ["logs.Shown; drop table x", "logs.public.Shown", "", "\\\"Shown\\\"", "9shown"] {
        pilot.configure(|config| config["raw_source"]["postgres"] = json!({"exposure_table": name}));
        pilot
            .run("job_ingest", DAY)
            .fails(2, &["raw_source.postgres.exposure_table", "is not the name of a table"]);
    }
}

#[test]
fn what_cannot_be_read_is_one_line_with_its_exit_code_and_changes_no_data() {
    let pilot = prepared();
    pilot.run("recsys-pipelines", &format!("run {DAY}")).ok();
    let before = pilot.sandbox.snapshot("out");
    let request = "00000000-0000-0000-0000-000000000007";
    for (response, told) in [
        ("[1]", "response is not an object"),
        (r#"{"items": [{"item_id": 5}]}"#, "response.items[0].item_id is not text"),
        (r#"{"items": [{"item_id": "A"}, {"rank": 1}]}"#, "response.items[1] has no item_id"),
        (r#"{"items": [{"item_id": "A", "rank": -1}]}"#, "response.items[0].rank is -1"),
    ] {
        pilot.database.execute(&format!(
            "insert into exposure_events values
                 ('{DEMO}', '2026-01-01T23:59:59.5Z', '{request}', 'home', null, null, 's', '{response}')"
        ));
        let parts = ["the row of 2026-01-01T23:59:59.5Z, request 00000000-0000-0000-0000-000000000007", told];
        pilot.run("job_ingest", DAY).fails(3, &parts);
        pilot.run("recsys-pipelines", &format!("run {DAY}")).fails(3, &parts);
        // Bad lines may be set aside, but not bad rows.
        let mut command = pilot.command("job_ingest", DAY);
        command.env("RECSYS_PIPELINES__VALIDATION__MAX_INVALID_RATIO", "1");
        pilot.finish(&mut command).fails(3, &parts);
        pilot.database.execute(&format!("delete from exposure_events where request_id = '{request}'"));
    }
    let other = "--config config.json --tenant nobody --surface home --start 2026-01-01";
    pilot.run("job_ingest", other).fails(2, &["no row of tenants has \"nobody\" as external_id or id"]);
    pilot.database.execute("delete from exposure_events");
    pilot.run("job_ingest", DAY).fails(3, &["2026-01-01"]);
    pilot.database.execute("drop table exposure_events");
    pilot.run("job_ingest", DAY).fails(2, &["relation \"exposure_events\" does not exist"]);
    let mut after = pilot.sandbox.snapshot("out");
    // The day is marked as refused at its first unreadable row.
    let (_, mark) = after.remove("canonical/demo/home/exposures/2026-01-01.refused.jsonl").unwrap();
    assert!(mark.is_empty());
    assert_eq!(after, before);
    let mut command = pilot.sandbox.command("job_ingest");
    pilot.finish(command.args(DAY.split_whitespace())).fails(2, &["raw_source.postgres.dsn is missing"]);
}
