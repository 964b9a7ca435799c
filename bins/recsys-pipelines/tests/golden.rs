//! Every golden case through the binaries: `job_ingest`, the job of the kind, `job_publish`.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use recsys_core::artifact::{BuiltFrom, Kind};
use recsys_testkit::golden::{Case, cases};
use recsys_testkit::reader::read_published;
use recsys_testkit::sandbox::{Sandbox, copy};
use serde_json::json;

fn publish_all(case: &Case) {
    let sandbox = Sandbox::new();
    copy(&case.dir.join("exposure.jsonl"), &sandbox.join("raw/exposure.jsonl"));
    // A case may be empty, and there is no earlier artifact to protect.
    let validation = json!({"min_events": 0});
    let limits = &case.limits_json;
    sandbox.configure(&json!({"limits": limits, "validation": validation}));

    let mut common =
        format!("--config config.json --tenant {} --surface {}", case.scope.tenant, case.scope.surface);
    let (first, last) = (case.first_day(), case.last_day());
    sandbox.run("job_ingest", &format!("{common} --start {first} --end {last}")).ok();
    common += &format!(" --start {last} --window-days {}", case.window_days());
    if let Some(segment) = &case.segment {
        common += &format!(" --segment {segment}");
    }
    for kind in case.versions.keys() {
        let mut line = common.clone();
        if kind.built_from() == BuiltFrom::Catalog {
            line += &format!(" --input {}", case.dir.join("catalog.csv").display());
        }
        sandbox.run(&format!("job_{kind}"), &line).ok();
        // Publish the kinds one by one, like separate jobs.
        sandbox.run("job_publish", &common).ok();
    }

    let manifest = format!("out/registry/current/{}/{}/manifest.json", case.scope.tenant, case.scope.surface);
    let current = read_published(&sandbox.join(manifest)).unwrap();
    let versions: Vec<(Kind, &str)> = current
        .iter()
        .map(|(kind, uri)| (*kind, uri.rsplit('/').next().unwrap().trim_end_matches(".json")))
        .collect();
    let expected: Vec<(Kind, &str)> =
        case.versions.iter().map(|(kind, version)| (*kind, version.as_str())).collect();
    assert_eq!(versions, expected, "{}", case.name());
}

#[test]
fn every_case_matches() {
    cases().iter().for_each(publish_all);
}
