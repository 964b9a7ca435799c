//! Two tenants whose names are equal to the file system do not share data.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;
use std::os::unix::fs::symlink;

use recsys_testkit::sandbox::{Sandbox, bytes};
use serde_json::{Value, json};

const DEMO: &str = "--config config.json --tenant demo --surface home --start 2026-01-01";
const OTHER: &str = "--config config.json --tenant Demo --surface home --start 2026-01-01";
const OWNER: &str = "out/canonical/demo/home/scope.json";

/// Raw events of `demo` and of `Demo`; a link below `out` makes `Demo` use the folder of `demo`.
fn folding() -> Sandbox {
    let sandbox = Sandbox::new();
    let day = "home/exposure.2026-01-01.jsonl";
    sandbox.copy(format!("testdata/events/shop/demo/{day}"), &format!("raw/demo/{day}"));
    let text = fs::read_to_string(sandbox.join(format!("raw/demo/{day}"))).unwrap();
    sandbox.write(&format!("raw/Demo/{day}"), text.replace("\"demo\"", "\"Demo\"").replace("s0", "S0"));
    for folder in ["canonical", "artifacts", "checkpoints"] {
        fs::create_dir_all(sandbox.join(format!("out/{folder}/demo"))).unwrap();
        symlink("demo", sandbox.join(format!("out/{folder}/Demo"))).unwrap();
    }
    sandbox.configure(&json!({}));
    sandbox
}

#[test]
fn a_folder_of_another_tenant_is_neither_read_nor_written() {
    let sandbox = folding();
    sandbox.run("recsys-pipelines", &format!("run {DEMO}")).ok();
    let owner: Value = serde_json::from_slice(&fs::read(sandbox.join(OWNER)).unwrap()).unwrap();
    assert_eq!(owner, json!({"v": 1, "tenant": "demo", "surface": "home"}));
    let before = sandbox.snapshot("out");
    for job in ["recsys-pipelines run", "job_ingest", "job_validate", "job_popularity", "job_cooc"] {
        let (binary, command) = job.split_once(' ').unwrap_or((job, ""));
        let finished = sandbox.run(binary, &format!("{command} {OTHER}"));
        let file = "out/canonical/Demo/home/scope.json";
        finished.fails(2, &[file, "holds the data of demo/home", "be used for Demo/home", "canonical_dir"]);
        assert_eq!(bytes(&sandbox.snapshot("out")), bytes(&before), "{job}");
    }
    sandbox.run("recsys-pipelines", &format!("run {DEMO}")).ok();
    assert_eq!(sandbox.snapshot("out"), before);
}

/// Data written before owner files existed, and an empty owner file.
#[test]
fn a_folder_without_an_owner_gets_one_with_the_next_day() {
    let sandbox = folding();
    sandbox.run("job_ingest", DEMO).ok();
    let owner = fs::read(sandbox.join(OWNER)).unwrap();
    fs::remove_file(sandbox.join(OWNER)).unwrap();
    sandbox.run("job_popularity", DEMO).ok();
    assert!(!sandbox.join(OWNER).exists());
    sandbox.run("job_ingest", DEMO).ok();
    assert_eq!(fs::read(sandbox.join(OWNER)).unwrap(), owner);
    sandbox.run("job_ingest", OTHER).fails(2, &["holds the data of demo/home"]);
    sandbox.write(OWNER, "{}");
    sandbox.run("job_popularity", DEMO).fails(3, &[OWNER, "does not say whose data", "move it away"]);
}

/// Nothing is written for a tenant without events.
#[test]
fn a_day_without_events_claims_no_folder() {
    let sandbox = folding();
    sandbox.configure(&json!({"validation": {"min_events": 0}}));
    sandbox.run("job_ingest", &OTHER.replace("2026-01-01", "2026-01-05")).ok();
    assert!(!sandbox.join(OWNER).exists());
}
