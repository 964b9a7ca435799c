//! Keys as in real installations: other text types, and custom constraints.

use crate::signals::ingested;
use crate::{DAY, Pilot, SCOPE};

#[test]
fn item_ids_may_be_text_without_case_or_a_domain() {
    let pilot = Pilot::new();
    pilot.database.execute(
        "create extension citext; create domain item as text not null;
         alter table item_tags alter item_id type citext;
         alter table item_popularity_daily alter item_id type citext;
         alter table item_covisit_daily alter item_id type item, alter neighbor_id type item, alter namespace type item",
    );
    pilot.run("recsys-pipelines", "db init --config config.json").ok();
    pilot.sandbox.write("catalog.csv", "item_id,tags\nA,x\nB,y\n");
    let catalog = format!("{SCOPE} --input catalog.csv");
    pilot.run("job_catalog", &catalog).ok();
    assert_eq!(pilot.database.lines("select item_id, tags from item_tags order by 1"), ["A {x}", "B {y}"]);
    // For a case-insensitive column these are the same item.
    pilot.sandbox.write("catalog.csv", "item_id,tags\nA,x\na,y\n");
    pilot.run("job_catalog", &catalog).fails(3, &["catalog.csv", "line 2"]);
    pilot.write_sessions(&[("s1", &["A", "B"])]);
    pilot.run("job_ingest", DAY).ok();
    pilot.run("job_db_signals", DAY).ok();
    let before = pilot.traces();
    pilot.run("job_db_signals", DAY).ok();
    assert_eq!(pilot.traces(), before);
    pilot.write_sessions(&[("s1", &["C", "c"])]);
    pilot.run("job_ingest", DAY).ok();
    let parts = ["item_popularity_daily_pkey", "differ in case", "no other writer"];
    pilot.run("job_db_signals", DAY).fails(3, &parts);
    assert_eq!(pilot.traces(), before);
}

/// The conflicting row would still be there on every retry.
#[test]
fn a_constraint_that_lacks_a_column_is_no_other_writer() {
    let pilot = ingested();
    pilot.database.execute(
        "alter table item_popularity_daily drop constraint item_popularity_daily_pkey;
         alter table item_popularity_daily add constraint narrow primary key (tenant_id, item_id, day)",
    );
    pilot.run("job_db_signals", DAY).ok();
    let before = pilot.traces();
    let raw = std::fs::read_to_string(pilot.sandbox.join("raw/exposure.jsonl")).unwrap();
    pilot.sandbox.write("raw/exposure.jsonl", raw.replace("\"home\"", "\"cart\""));
    let cart = DAY.replace("home", "cart");
    pilot.run("job_ingest", &cart).ok();
    let parts = ["\"narrow\"", "Key (tenant_id, item_id, day)=(", "no other writer", "correct it"];
    pilot.run("job_db_signals", &cart).fails(3, &parts);
    assert_eq!(pilot.traces(), before);
    // A custom unique index on the catalogue.
    pilot.database.execute("create unique index one_price on item_tags (price)");
    pilot.sandbox.write("catalog.csv", "item_id,tags,price\nA,x,1\nB,y,1\n");
    pilot
        .run("job_catalog", &format!("{SCOPE} --input catalog.csv"))
        .fails(3, &["one_price", "no other writer"]);
}
