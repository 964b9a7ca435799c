//! Outcomes and signals.

use serde_json::{Value, json};

use crate::signals::ingested;
use crate::{DAY, Pilot};

fn outcome(event_type: &str, item: &str) -> String {
    let event = json!({
        "ts": "2026-01-01T09:00:00Z", "tenant": "demo", "surface": "home", "event_type": event_type,
        "item_id": item,
    });
    format!("{event}\n")
}

fn popularity(pilot: &Pilot) -> Vec<String> {
    pilot.database.lines("select item_id, score from item_popularity_daily order by score desc, item_id")
}

#[test]
fn signals_are_what_weighted_artifacts_say() {
    let pilot = ingested();
    pilot.run("job_db_signals", DAY).ok();
    let pairs = || {
        pilot
            .database
            .lines("select item_id, neighbor_id, score, ctid, xmin from item_covisit_daily order by 1, 2")
    };
    let before = pairs();
    pilot.sandbox.write("raw/outcome.jsonl", outcome("click", "D") + &outcome("conversion", "E"));
    let weigh = |config: &mut Value| config["weights"] = json!({"exposure": 2, "click": 3, "conversion": 10});
    pilot.configure(weigh);
    for job in ["job_ingest", "job_popularity"] {
        pilot.run(job, DAY).ok();
    }
    let source = |pilot: &Pilot| pilot.document("job_db_signals", DAY)["days"][0]["source"].clone();
    assert_eq!(source(&pilot), "staged");
    // Computed by hand: each of A to D was shown twice.
    let weighted = ["E 10.000000", "D 7.000000", "A 4.000000", "B 4.000000", "C 4.000000"];
    assert_eq!(popularity(&pilot), weighted);

    // Other outcomes make another source, which the staged artifact does not match.
    pilot.sandbox.write("raw/outcome.jsonl", outcome("click", "A"));
    pilot.run("job_ingest", DAY).ok();
    assert_eq!(source(&pilot), "built");
    assert_eq!(popularity(&pilot), ["A 7.000000", "B 4.000000", "C 4.000000", "D 4.000000"]);
    assert_eq!(pairs(), before);
}

#[test]
fn a_table_of_exposures_has_no_outcomes_and_leaves_those_of_before() {
    let pilot = ingested();
    pilot.sandbox.write("raw/outcome.jsonl", outcome("click", "D"));
    pilot.run("job_ingest", DAY).ok();
    let before = pilot.sandbox.snapshot("out/canonical/demo/home/outcomes");
    assert_eq!(before.len(), 1);
    pilot.sandbox.write("raw/outcome.jsonl", "broken");
    pilot.configure(|config| {
        config["raw_source"] = json!({"type": "postgres"});
        config["validation"] = json!({"min_events": 0});
    });
    let document = pilot.document("job_ingest", DAY);
    assert_eq!(document["days"][0]["outcomes"], Value::Null);
    assert_eq!(pilot.sandbox.snapshot("out/canonical/demo/home/outcomes"), before);
}
