//! Documents written by the binaries match the schemas of the repository, and the schemas reject others.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;

use boon::{Compiler, SchemaIndex, Schemas};
use recsys_testkit::golden::repository;
use recsys_testkit::sandbox::Sandbox;
use serde_json::{Value, json};

struct Validator {
    schemas: Schemas,
    compiler: Compiler,
}

impl Validator {
    fn new() -> Self {
        Self { schemas: Schemas::new(), compiler: Compiler::new() }
    }

    fn schema(&mut self, name: &str) -> SchemaIndex {
        let path = repository().join(format!("schemas/{name}.schema.json"));
        let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let id = schema["$id"].as_str().unwrap().to_owned();
        self.compiler.add_resource(&id, schema).unwrap();
        self.compiler.compile(&id, &mut self.schemas).unwrap()
    }

    fn is_valid(&mut self, name: &str, document: &Value) -> Result<(), String> {
        let schema = self.schema(name);
        self.schemas.validate(document, schema).map_err(|error| format!("{name}: {error:#}"))
    }
}

/// The schema of a file written by a run, by its path below `out`.
fn schema_of(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    Some(match parts[..] {
        ["canonical", _, _, "scope.json"] => "canonical-scope".to_owned(),
        ["canonical", _, _, "quarantine", _] => "quarantine-line".to_owned(),
        ["canonical", _, _, "reports", _] => "day-report".to_owned(),
        ["canonical", _, _, "exposures", _] => "canonical-exposure".to_owned(),
        ["canonical", _, _, "outcomes", _] => "canonical-outcome".to_owned(),
        ["artifacts", _, _, _, kind, _, file] if file != "current.version" => format!("artifact-{kind}"),
        ["objects", _, _, kind, _] => format!("artifact-{kind}"),
        ["registry", "records", ..] => "record".to_owned(),
        ["registry", "history", ..] => "history".to_owned(),
        ["registry", "current", ..] => "manifest".to_owned(),
        ["registry", "holds", ..] => "holds".to_owned(),
        _ => return None,
    })
}

const OUTCOMES: [&str; 4] = [
    r#"{"ts":"2026-01-02T08:00:00.50+01:00","tenant":"demo","surface":"home","item_id":" tent ","event_type":"click"}"#,
    r#"{"v":1,"ts":"2026-01-02T08:00:00Z","tenant":"demo","surface":"home","item_id":"tent","event_type":" conversion ","value":-1.5e-9,"user_id":"u01","session_id":"s","request_id":"r","campaign":{}}"#,
    r#"{"v":null,"ts":"2026-01-02T08:00:00Z","tenant":"demo","surface":"home","item_id":"tent","event_type":"click","value":1e3,"user_id":" ","session_id":null}"#,
    r#"{"ts":"2026-01-02T08:00:00Z","tenant":"demo","surface":"home","item_id":"<&>","event_type":"click","value":19.90}"#,
];

#[test]
fn every_file_that_a_run_writes_is_valid() {
    let sandbox = Sandbox::new();
    sandbox.copy("testdata", "testdata");
    sandbox.copy("configs", "configs");
    sandbox.write("testdata/events/shop/demo/home/outcome.2026-01-02.jsonl", OUTCOMES.join("\n"));
    for flags in ["", "--segment new --switch-segment", "--window-days 2 --switch-segment"] {
        let line = format!(
            "run --config configs/env/shop.json --tenant demo --surface home --start 2026-01-02 {flags}"
        );
        sandbox.run("recsys-pipelines", &line).ok();
    }
    let hold = "rollback --config configs/env/shop.json --tenant demo --surface home --hold --reason prices";
    sandbox.run("recsys-pipelines", hold).ok();
    let mut validator = Validator::new();
    let mut seen: Vec<String> = Vec::new();
    for (path, (_, bytes)) in sandbox.snapshot(".out/shop") {
        let Some(name) = schema_of(&path) else { continue };
        let text = String::from_utf8(bytes).unwrap();
        let documents: Vec<&str> =
            if path.ends_with(".jsonl") { text.lines().collect() } else { vec![&text] };
        for document in documents {
            let document: Value = serde_json::from_str(document).unwrap();
            validator.is_valid(&name, &document).unwrap_or_else(|error| panic!("{path}: {error}"));
            // Unknown fields are rejected everywhere.
            let mut more = document.clone();
            more["unheard_of"] = json!(1);
            assert!(validator.is_valid(&name, &more).is_err(), "{path}");
        }
        seen.push(name);
    }
    seen.sort();
    seen.dedup();
    let kinds = ["content_sim", "cooc", "implicit", "popularity", "session_seq"];
    let mut expected: Vec<String> = kinds.iter().map(|kind| format!("artifact-{kind}")).collect();
    expected.extend(
        [
            "canonical-exposure",
            "canonical-outcome",
            "canonical-scope",
            "day-report",
            "history",
            "holds",
            "manifest",
            "record",
        ]
        .map(str::to_owned),
    );
    assert_eq!(seen, expected);
}

#[test]
fn every_quarantined_line_is_valid() {
    let sandbox = Sandbox::new();
    let raw = b"{\n\"\\ud800\"\n\xff\n\n\0\n{\"v\":2}\r\n";
    sandbox.write("raw/demo/home/exposure.2026-01-02.jsonl", raw);
    let config = json!({"out_dir": ".out", "raw_events_dir": "raw", "validation": {"max_invalid_ratio": 1}});
    sandbox.write("config.json", config.to_string());
    sandbox.run("job_ingest", "--config config.json --tenant demo --surface home --start 2026-01-02").ok();
    let mut files = sandbox.snapshot(".out");
    files.retain(|path, _| path.contains("/quarantine/"));
    assert_eq!(files.len(), 1);
    let mut validator = Validator::new();
    for (path, (_, bytes)) in files {
        let name = schema_of(&path).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!((name.as_str(), text.lines().count()), ("quarantine-line", 5));
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            validator.is_valid(&name, &line).unwrap();
            // Both forms of the bytes, or neither.
            let mut both = line.clone();
            both["text"] = json!("x");
            both["base64"] = json!("eA==");
            let mut neither = line.clone();
            neither.as_object_mut().unwrap().retain(|key, _| key != "text" && key != "base64");
            let mut more = line.clone();
            more["unheard_of"] = json!(1);
            for wrong in [both, neither, more] {
                assert!(validator.is_valid(&name, &wrong).is_err(), "{wrong}");
            }
        }
    }
}

#[test]
fn every_sample_event_is_valid_and_what_ingest_refuses_is_not() {
    let mut validator = Validator::new();
    for file in ["tiny/exposure.jsonl", "shop/demo/home/exposure.2026-01-01.jsonl"] {
        let text = fs::read_to_string(repository().join("testdata/events").join(file)).unwrap();
        for line in text.lines() {
            validator.is_valid("exposure", &serde_json::from_str(line).unwrap()).unwrap();
        }
    }
    let good = json!({"v": 1, "ts": "2026-01-01T00:00:00Z", "tenant": "t", "surface": "s", "session_id": "x",
        "item_id": "i", "unknown": [1]});
    validator.is_valid("exposure", &good).unwrap();
    for (field, value) in [
        ("v", json!(2)),
        ("ts", json!("noon")),
        ("tenant", json!("")),
        ("session_id", json!(null)),
        ("item_id", json!(7)),
        ("rank", json!(-1)),
        ("rank", json!(1.5)),
        ("user_id", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(validator.is_valid("exposure", &bad).is_err(), "{field}");
    }
}

#[test]
fn the_schema_of_outcomes_takes_what_ingest_takes() {
    let mut validator = Validator::new();
    for line in OUTCOMES {
        validator.is_valid("outcome", &serde_json::from_str(line).unwrap()).unwrap();
    }
    let good: Value = serde_json::from_str(OUTCOMES[1]).unwrap();
    for (field, value) in [
        ("v", json!(2)),
        ("ts", json!("noon")),
        ("tenant", json!(" ")),
        ("surface", json!(null)),
        ("item_id", json!("")),
        ("event_type", json!("view")),
        ("event_type", json!(null)),
        ("value", json!("1")),
        ("session_id", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(validator.is_valid("outcome", &bad).is_err(), "{field}");
        let sandbox = Sandbox::new();
        sandbox.write("raw/outcome.jsonl", bad.to_string());
        sandbox.write("config.json", r#"{"out_dir":"out","raw_events_dir":"raw"}"#);
        let line = "--config config.json --tenant demo --surface home --start 2026-01-02";
        sandbox.run("job_ingest", line).fails(3, &["raw/outcome.jsonl:1:"]);
    }
}
