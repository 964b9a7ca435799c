//! `recsys-pipelines db init`.

use recsys_testkit::postgres::Database;
use recsys_testkit::sandbox::Sandbox;
use serde_json::json;

use crate::Pilot;

const TABLES: [&str; 5] =
    ["exposure_events", "item_covisit_daily", "item_popularity_daily", "item_tags", "tenants"];

#[test]
fn tables_are_created_once_and_a_dry_run_creates_none() {
    let pilot = Pilot { sandbox: Sandbox::new(), database: Database::new(), config: json!({}) };
    pilot.configure(|_| ());
    let tables = "select tablename from pg_tables where schemaname = 'public' order by 1";
    let init = "db init --config config.json";
    let dry = pilot.run("recsys-pipelines", &format!("{init} --dry-run"));
    assert_eq!(dry.ok().stdout.matches("missing").count(), 5, "{dry:?}");
    assert_eq!(pilot.database.lines(tables), [""; 0]);
    let states = |document: &serde_json::Value| -> Vec<String> {
        let tables = document["tables"].as_array().unwrap();
        tables.iter().map(|table| table["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(&pilot.document("recsys-pipelines", init)), ["created"; 5]);
    assert_eq!(pilot.database.lines(tables), TABLES);
    assert_eq!(states(&pilot.document("recsys-pipelines", init)), ["present"; 5]);
}

#[test]
fn exposures_of_another_database_are_not_created_in_this_one() {
    let pilot = Pilot { sandbox: Sandbox::new(), database: Database::new(), config: json!({}) };
    pilot.configure(|config| {
        config["raw_source"] =
            json!({"postgres": {"dsn": "postgres://elsewhere/logs", "exposure_table": "logs.shown"}});
    });
    pilot.run("recsys-pipelines", "db init --config config.json").ok();
    let tables =
        pilot.database.lines("select tablename from pg_tables where schemaname = 'public' order by 1");
    assert_eq!(tables, TABLES[1..]);
}

#[test]
fn a_table_of_another_shape_is_told_column_by_column() {
    let pilot = Pilot { sandbox: Sandbox::new(), database: Database::new(), config: json!({}) };
    pilot.configure(|_| ());
    pilot.database.execute(
        "create table item_tags (tenant_id uuid not null, namespace text not null, item_id bigint not null,
             tags text not null, price numeric, created_at timestamptz not null default now(),
             primary key (tenant_id, namespace, item_id))",
    );
    pilot.run("recsys-pipelines", "db init --config config.json").fails(
        2,
        &[
            "item_tags.item_id must be text not null, and is bigint not null",
            "item_tags.tags must be text[] not null, and is text not null",
            "item_tags.updated_at must be timestamp with time zone not null, and is missing",
            "nothing was created",
        ],
    );
    assert_eq!(
        pilot.database.lines("select tablename from pg_tables where schemaname = 'public'"),
        ["item_tags"]
    );
}
