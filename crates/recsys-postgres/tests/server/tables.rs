//! The tables of a pilot.

use recsys_core::database::{Mode, TableName, TableNames, TableState};
use recsys_postgres::InitError;
use recsys_testkit::postgres::Database;

use crate::open;

const NAMES: [&str; 5] =
    ["tenants", "item_tags", "item_popularity_daily", "item_covisit_daily", "exposure_events"];

fn init(database: &Database, names: &TableNames) -> Result<Vec<(String, TableState)>, InitError> {
    let states = open(database).init_tables(names, Mode::Write)?;
    Ok(states.into_iter().map(|(name, state)| (name.to_string(), state)).collect())
}

/// All that is there, with the number of each table and index.
fn schema(database: &Database) -> Vec<String> {
    database.lines(
        "select c.oid, relname, relkind, attname, format_type(atttypid, atttypmod), attnotnull,
             pg_get_expr(adbin, adrelid)
         from pg_class c join pg_attribute a on attrelid = c.oid and attnum > 0
         left join pg_attrdef on adrelid = c.oid and adnum = attnum
         where relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace,
             'pg_toast'::regnamespace) order by c.oid, attnum",
    )
}

#[test]
fn what_is_missing_is_created_and_then_it_is_there() {
    let database = Database::new();
    let names = TableNames::default();
    let all = |state| NAMES.map(|name| (name.to_owned(), state));
    assert_eq!(init(&database, &names).unwrap(), all(TableState::Created));
    let before = schema(&database);
    let indexes = database.lines("select indexdef from pg_indexes where schemaname = 'public' order by 1");
    let indexes: Vec<&str> = indexes.iter().map(|line| line.split_once(" ON public.").unwrap().1).collect();
    assert_eq!(
        indexes,
        [
            "exposure_events USING btree (tenant_id, surface, occurred_at)",
            "item_covisit_daily USING btree (tenant_id, namespace, day)",
            "item_popularity_daily USING btree (tenant_id, namespace, day)",
            "item_covisit_daily USING btree (tenant_id, namespace, item_id, neighbor_id, day)",
            "item_popularity_daily USING btree (tenant_id, namespace, item_id, day)",
            "item_tags USING btree (tenant_id, namespace, item_id)",
            "tenants USING btree (external_id)",
            "tenants USING btree (id)",
        ]
    );
    assert_eq!(init(&database, &names).unwrap(), all(TableState::Present));
    assert_eq!(schema(&database), before);
    // One that was dropped comes back, the others stay.
    database.execute("drop table item_tags");
    let states = init(&database, &names).unwrap();
    assert_eq!(states[1], ("item_tags".to_owned(), TableState::Created));
    assert_eq!(states.iter().filter(|(_, state)| *state == TableState::Present).count(), 4);
}

#[test]
fn several_at_once_get_along() {
    let database = Database::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| init(&database, &TableNames::default()).unwrap())).collect();
        let states: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(states.iter().filter(|(_, state)| *state == TableState::Created).count(), NAMES.len());
    });
}

#[test]
fn an_existing_table_of_another_shape_is_told_column_by_column_and_left_alone() {
    let database = Database::new();
    database.execute(
        "create table item_popularity_daily (tenant_id uuid not null, namespace varchar(20), item_id text not null,
             day date, score double precision, region text not null, note text, n int not null default 1,
             primary key (tenant_id, item_id));
         create table tenants (id uuid primary key, external_id text not null unique, name text not null,
             status text not null, created_at timestamptz not null)",
    );
    let before = schema(&database);
    let Err(InitError::Shape(differences)) = init(&database, &TableNames::default()) else { panic!() };
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let table = "item_popularity_daily";
    assert_eq!(
        told,
        [
            format!("{table}.namespace must be text not null, and is character varying(20) null"),
            format!("{table}.day must be date not null, and is date null"),
            format!("{table}.score must be numeric(18,6) not null, and is double precision null"),
            format!("{table}.updated_at must be timestamp with time zone not null, and is missing"),
            format!("{table}.region must be null or have a default, and is text not null"),
            format!(
                "the primary key of {table} must be tenant_id, namespace, item_id, day, and is tenant_id, item_id"
            ),
        ]
    );
    let error = InitError::Shape(differences).to_string();
    assert!(error.ends_with("; nothing was created, and nothing is ever altered"), "{error}");
    assert_eq!(error.lines().count(), 1);
    assert_eq!(schema(&database), before);
}

#[test]
fn tables_of_other_names_and_schemas_are_taken() {
    let database = Database::new();
    database.execute(
        "create schema logs; create table logs.\"Events\" (tenant_id uuid, occurred_at timestamptz, request_id uuid,
             surface text, segment text not null, user_key bytea, session_id text, response jsonb, v int not null)",
    );
    let name = |name: &str| name.parse::<TableName>().unwrap();
    let names = TableNames { tenants: name("logs.customers"), exposures: Some(name("logs.Events")) };
    let states = init(&database, &names).unwrap();
    assert_eq!(states[0], ("logs.customers".to_owned(), TableState::Created));
    assert_eq!(states[4], ("logs.Events".to_owned(), TableState::Present));
    let names = TableNames { tenants: name("nowhere.customers"), ..names };
    let Err(InitError::Postgres(error)) = init(&database, &names) else { panic!() };
    crate::assert_fails(
        &database,
        &error,
        recsys_core::domain::class::Class::Usage,
        &["cannot create tables in database", "schema \"nowhere\" does not exist"],
    );
}

#[test]
fn a_dry_run_says_what_is_missing_and_creates_nothing() {
    let database = Database::new();
    let states = open(&database).init_tables(&TableNames::default(), Mode::DryRun).unwrap();
    assert!(states.iter().all(|(_, state)| *state == TableState::Created));
    assert_eq!(schema(&database), [""; 0]);
}

#[test]
fn exposures_that_are_elsewhere_are_not_created() {
    let database = Database::new();
    let names = TableNames { exposures: None, ..TableNames::default() };
    let states = init(&database, &names).unwrap();
    assert_eq!(states.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), NAMES[..4]);
}

#[test]
fn columns_beside_the_key_do_not_matter_and_a_missing_unique_name_does() {
    let database = Database::new();
    init(&database, &TableNames::default()).unwrap();
    database.execute(
        "alter table item_tags drop constraint item_tags_pkey;
         alter table item_tags add primary key (tenant_id, namespace, item_id) include (price)",
    );
    init(&database, &TableNames::default()).unwrap();
    database.execute("alter table tenants drop constraint tenants_external_id_key; drop table item_tags; create sequence item_tags");
    let Err(InitError::Shape(differences)) = init(&database, &TableNames::default()) else { panic!() };
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["tenants.external_id must be unique, and is not", "item_tags must be a table, and is a sequence"]
    );
}
