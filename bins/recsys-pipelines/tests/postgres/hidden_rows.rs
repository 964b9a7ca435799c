//! Row-level security: hidden rows are not treated as missing.

use serde_json::json;

use crate::{DAY, DEMO, Pilot, SCOPE};

/// A pilot with two rows of exposures, and a user who may read and write every table.
struct Guarded {
    pilot: Pilot,
    user: String,
}

impl Guarded {
    fn new() -> Self {
        let mut pilot = Pilot::new();
        pilot.config["raw_source"] = json!({"type": "postgres"});
        pilot.configure(|_| ());
        for session in ["s1", "s2"] {
            pilot.database.execute(&format!(
                "insert into exposure_events values ('{DEMO}', '2026-01-01 08:00Z', gen_random_uuid(), 'home', null, null,
                     '{session}', '{{\"items\": [{{\"item_id\": \"A\"}}, {{\"item_id\": \"B\"}}]}}')"
            ));
        }
        let user = format!("guarded_{}", pilot.database.name());
        pilot.database.execute(&format!(
            "create role {user} login password 'hunter2';
             grant all on tenants, exposure_events, item_popularity_daily, item_covisit_daily, item_tags to {user};
             grant usage on schema public to {user};
             grant temporary on database {} to {user}",
            pilot.database.name()
        ));
        Self { pilot, user }
    }

    /// Runs a binary as that user.
    fn run(&self, binary: &str, line: &str) -> recsys_testkit::sandbox::Finished {
        let url = self.pilot.database.url();
        let (_, place) = url.split_once('@').unwrap();
        let mut command = self.pilot.command(binary, line);
        command.env("RECSYS_PIPELINES__DB__DSN", format!("postgres://{}:hunter2@{place}", self.user));
        self.pilot.finish(&mut command)
    }

    fn guard(&self, table: &str) {
        self.pilot.database.execute(&format!("alter table {table} enable row level security"));
    }

    /// Shows the user the rows of a table for which `shown` holds, and lets them write these rows.
    fn show(&self, table: &str, shown: &str) {
        self.pilot
            .database
            .execute(&format!("create policy shown on {table} using ({shown}) with check (true)"));
    }

    fn allow(&self, key: &str) {
        self.pilot.configure(|config| {
            let (first, second) = key.split_once('.').unwrap();
            config[first][second]["row_security"] = json!("apply");
        });
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.pilot.database.execute(&format!("drop owned by {0}; drop role {0}", self.user));
        }
    }
}

#[test]
fn hidden_exposures_are_no_empty_and_no_half_day() {
    let guarded = Guarded::new();
    let Guarded { pilot, .. } = &guarded;
    guarded.run("job_ingest", DAY).ok();
    let before = pilot.sandbox.snapshot("out");
    guarded.guard("exposure_events");
    let parts = ["exposure_events", "row-level security", "bypassrls", "row_security"];
    guarded.run("job_ingest", DAY).fails(2, &parts);
    guarded.run("recsys-pipelines", &format!("run {DAY}")).fails(2, &parts);
    guarded.show("exposure_events", "session_id = 's1'");
    guarded.run("job_ingest", DAY).fails(2, &parts);
    assert_eq!(pilot.sandbox.snapshot("out"), before);
    // A setting allows hidden rows; users exempt from policies do not need it.
    guarded.allow("raw_source.postgres");
    let half = guarded.run("job_ingest", DAY);
    assert!(half.ok().stdout.contains("1 rows, 0 without a session, 0 without items; 2 events"), "{half:?}");
    pilot.configure(|_| ());
    pilot.database.execute(&format!("alter role {} bypassrls", guarded.user));
    let all = guarded.run("job_ingest", DAY);
    assert!(all.ok().stdout.contains("2 rows, 0 without a session, 0 without items; 4 events"), "{all:?}");
}

#[test]
fn a_hidden_tenant_is_not_one_that_is_missing() {
    let guarded = Guarded::new();
    guarded.guard("tenants");
    let line = format!("{SCOPE} --start 2026-01-01");
    guarded.run("job_ingest", &line).fails(2, &["look up a tenant in tenants", "row-level security"]);
}

#[test]
fn what_writes_a_table_sees_all_of_its_rows() {
    let guarded = Guarded::new();
    let Guarded { pilot, .. } = &guarded;
    pilot.sandbox.write("catalog.csv", "item_id,tags\nA,x\nB,y\n");
    let catalog = format!("{SCOPE} --input catalog.csv --prune");
    guarded.run("job_ingest", DAY).ok();
    guarded.run("job_db_signals", DAY).ok();
    guarded.run("job_catalog", &catalog).ok();
    let (signals, items) = (pilot.traces(), pilot.database.lines("select item_id, xmin from item_tags"));
    for table in ["item_popularity_daily", "item_tags"] {
        guarded.guard(table);
        guarded.show(table, "item_id = 'A'");
    }
    guarded
        .run("job_db_signals", DAY)
        .fails(2, &["item_popularity_daily", "row-level security", "row_security"]);
    guarded.run("job_catalog", &catalog).fails(2, &["item_tags", "row-level security", "row_security"]);
    assert_eq!(
        (pilot.traces(), pilot.database.lines("select item_id, xmin from item_tags")),
        (signals, items)
    );
    // A policy that shows a tenant all of its own rows.
    pilot.database.execute("drop policy shown on item_popularity_daily; drop policy shown on item_tags");
    for table in ["item_popularity_daily", "item_tags"] {
        guarded.show(table, &format!("tenant_id = '{DEMO}'"));
    }
    pilot.configure(|config| config["db"]["row_security"] = json!("apply"));
    guarded.run("job_db_signals", DAY).ok();
    guarded.run("job_catalog", &catalog).ok();
}
