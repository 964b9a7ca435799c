//! The catalogue.

use recsys_core::database::{CatalogTarget, CatalogWriteError, ItemRow, Mode, Obsolete, TenantId, Written};
use recsys_core::domain::class::Class;
use recsys_core::input::catalog::{CatalogError, Columns};
use recsys_postgres::PostgresError;
use recsys_testkit::postgres::Database;

use crate::{DEMO, OTHER, assert_fails, open, prepared};

fn row(line: u64, item_id: &str, tags: &[&str], price: Option<&str>, created_at: Option<&str>) -> ItemRow {
    ItemRow {
        line,
        item_id: item_id.to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        price: price.map(str::to_owned),
        created_at: created_at.map(|at| at.parse().unwrap()),
        columns: Columns::ALL,
    }
}

fn target(tenant: &TenantId, obsolete: Obsolete) -> CatalogTarget<'_> {
    CatalogTarget { tenant, namespace: "home", obsolete, mode: Mode::Write, file: "catalog.csv" }
}

fn write(
    database: &Database,
    tenant: &TenantId,
    obsolete: Obsolete,
    rows: &[ItemRow],
) -> Result<Written, CatalogWriteError> {
    let to = target(tenant, obsolete);
    open(database).write_catalog(to, rows.iter().cloned().map(Ok))
}

fn server_error(error: CatalogWriteError) -> PostgresError {
    match error {
        CatalogWriteError::Database(error) => *error.cause.downcast().unwrap(),
        CatalogWriteError::Catalog(other) => panic!("{other}"),
    }
}

fn written(inserted: u64, updated: u64, deleted: u64, unchanged: u64) -> Written {
    Written { inserted, updated, deleted, unchanged }
}

fn table(database: &Database) -> Vec<String> {
    database.lines("select item_id, tags, price, created_at from item_tags order by 1, tenant_id, namespace")
}

fn traces(database: &Database) -> Vec<String> {
    database.lines("select item_id, ctid, xmin, xmax, updated_at from item_tags order by 1, 2")
}

#[test]
fn rows_are_inserted_updated_and_otherwise_left_alone() {
    let (database, demo) = prepared();
    let first = [
        row(2, "A", &["x", "y"], Some("9.90"), Some("2025-06-01T12:00:00+02:00")),
        row(3, "B", &[], None, Some("2025-06-02T00:00:00.1234564Z")),
        row(4, "C", &["it's", "a\"b", "c\\d", "e,f", "{g}", "", "NULL", "new\nline"], Some("1e3"), None),
    ];
    assert_eq!(write(&database, &demo, Obsolete::Keep, &first).unwrap(), written(3, 0, 0, 0));
    let rows = table(&database);
    assert_eq!(rows[0], "A {x,y} 9.90 2025-06-01 10:00:00+00");
    assert_eq!(rows[1], "B {} - 2025-06-02 00:00:00.123456+00");
    let tags = "{it's,\"a\\\"b\",\"c\\\\d\",\"e,f\",\"{g}\",\"\",\"NULL\",\"new\nline\"}";
    assert!(rows[2].starts_with(&format!("C {tags} 1000 20")), "{}", rows[2]);

    let before = traces(&database);
    assert_eq!(write(&database, &demo, Obsolete::Remove, &first).unwrap(), written(0, 0, 0, 3));
    // The same price in other digits, and the same time.
    let same =
        [row(2, "A", &["x", "y"], Some("9.9"), Some("2025-06-01T10:00:00Z")), row(3, "B", &[], None, None)];
    assert_eq!(write(&database, &demo, Obsolete::Keep, &same).unwrap(), written(0, 0, 0, 2));
    assert_eq!(traces(&database), before);

    let changed = [
        row(2, "A", &["y", "x"], Some("9.9"), None),
        row(3, "B", &[], Some("0"), None),
        row(4, "D", &[], None, Some("2025-01-01T00:00:00Z")),
    ];
    assert_eq!(write(&database, &demo, Obsolete::Remove, &changed).unwrap(), written(1, 2, 1, 0));
    assert_eq!(
        table(&database),
        [
            "A {y,x} 9.9 2025-06-01 10:00:00+00",
            "B {} 0 2025-06-02 00:00:00.123456+00",
            "D {} - 2025-01-01 00:00:00+00",
        ]
    );
}

#[test]
fn a_column_that_no_row_has_is_left_alone() {
    let (database, demo) = prepared();
    let time = Some("2025-06-01T00:00:00Z");
    let first = [row(2, "A", &["x"], Some("1.5"), time), row(3, "B", &["y"], Some("2"), time)];
    write(&database, &demo, Obsolete::Keep, &first).unwrap();
    let with = |columns: Columns, rows: &[ItemRow]| {
        let rows: Vec<ItemRow> = rows.iter().map(|row| ItemRow { columns, ..row.clone() }).collect();
        write(&database, &demo, Obsolete::Remove, &rows).unwrap()
    };
    let bare = [row(2, "A", &[], None, None), row(3, "C", &[], None, time)];
    assert_eq!(with(Columns { created_at: true, ..Columns::default() }, &bare), written(1, 0, 1, 1));
    let time = "2025-06-01 00:00:00+00";
    assert_eq!(table(&database), [format!("A {{x}} 1.5 {time}"), format!("C {{}} - {time}")]);
    let priced = [row(2, "A", &[], Some("3"), None), row(3, "C", &[], Some("4"), None)];
    assert_eq!(with(Columns { price: true, ..Columns::default() }, &priced), written(0, 2, 0, 0));
    let tagged = [row(2, "A", &["z"], None, None), row(3, "C", &[], None, None)];
    assert_eq!(with(Columns { tags: true, ..Columns::default() }, &tagged), written(0, 1, 0, 1));
    assert_eq!(table(&database), [format!("A {{z}} 3 {time}"), format!("C {{}} 4 {time}")]);
    // One row that has it is enough: the others have none.
    let mut rows = [row(2, "A", &[], Some("5"), None), row(3, "C", &[], None, None)];
    rows[1].columns = Columns::default();
    assert_eq!(write(&database, &demo, Obsolete::Keep, &rows).unwrap(), written(0, 2, 0, 0));
    assert_eq!(table(&database), [format!("A {{}} 5 {time}"), format!("C {{}} - {time}")]);
}

#[test]
fn only_the_namespace_is_pruned() {
    let (database, demo) = prepared();
    database.execute(&format!(
        "insert into item_tags (tenant_id, namespace, item_id, tags) values
             ('{DEMO}', 'home', 'A', '{{}}'), ('{DEMO}', 'cart', 'A', '{{}}'), ('{OTHER}', 'home', 'A', '{{}}')"
    ));
    assert_eq!(write(&database, &demo, Obsolete::Remove, &[]).unwrap(), written(0, 0, 1, 0));
    assert_eq!(database.lines("select namespace from item_tags order by 1"), ["cart", "home"]);
}

#[test]
fn an_item_given_twice_is_told_with_both_lines() {
    let (database, demo) = prepared();
    let rows = [
        row(2, "A", &[], None, None),
        row(5, "B", &[], None, None),
        row(7, "B", &["x"], None, None),
        row(9, "A", &[], None, None),
    ];
    let error = write(&database, &demo, Obsolete::Keep, &rows).unwrap_err();
    assert_eq!(error.to_string(), "catalog.csv:7: item \"B\" was already given on line 5; keep one of them");
    assert_eq!(table(&database), [""; 0]);
}

#[test]
fn a_row_that_fails_ends_it_all() {
    let (database, demo) = prepared();
    let bad = CatalogError::Row { name: "catalog.csv".into(), line: 20_001, reason: "bad price".into() };
    let good = (0..20_000).map(|n| Ok(row(n, &format!("item-{n}"), &["x"], None, None)));
    let rows = good.chain([Err(bad), Ok(row(1, "never", &[], None, None))]);
    let mut connection = open(&database);
    let to = target(&demo, Obsolete::Keep);
    let error = connection.write_catalog(to, rows).unwrap_err();
    assert_eq!(error.to_string(), "catalog.csv:20001: bad price");
    assert_eq!(table(&database), [""; 0]);
    // The connection is as good as new.
    let rows = [Ok(row(1, "A", &[], None, None))].into_iter();
    assert_eq!(connection.write_catalog(to, rows).unwrap(), written(1, 0, 0, 0));
}

#[test]
fn what_does_not_fit_is_told_and_nothing_is_written() {
    let (database, demo) = prepared();
    for (bad, told) in [
        (row(2, "a\0", &[], None, None), r#"catalog.csv:2: item "a\0" contains U+0000"#),
        (row(7, "A", &["x\0"], None, None), r#"catalog.csv:7: item "A" has a tag that contains U+0000"#),
        (row(2, "", &[], None, None), "catalog.csv:2: item \"\" is empty"),
    ] {
        let rows = [row(1, "good", &[], None, None), bad];
        let error = write(&database, &demo, Obsolete::Keep, &rows).unwrap_err();
        assert!(matches!(error, CatalogWriteError::Catalog(CatalogError::Row { .. })), "{error:?}");
        assert!(error.to_string().starts_with(told), "{error}");
    }
    let told = "invalid input syntax for type numeric: \"cheap\"";
    let rows = [row(1, "good", &[], None, None), row(2, "A", &[], Some("cheap"), None)];
    let error = server_error(write(&database, &demo, Obsolete::Keep, &rows).unwrap_err());
    assert_fails(&database, &error, Class::Refused, &["cannot write item_tags in database", told]);

    assert_eq!(table(&database), [""; 0]);
    database.execute("drop table item_tags");
    let error = server_error(write(&database, &demo, Obsolete::Keep, &[]).unwrap_err());
    assert_fails(&database, &error, Class::Usage, &["\"item_tags\" does not exist"]);
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let (database, demo) = prepared();
    let first = [row(2, "A", &["x"], None, None), row(3, "B", &[], None, None)];
    write(&database, &demo, Obsolete::Keep, &first).unwrap();
    let rows_with_time = "select item_id, tags, updated_at from item_tags order by 1";
    let before = database.lines(rows_with_time);
    let dry = CatalogTarget { mode: Mode::DryRun, ..target(&demo, Obsolete::Remove) };
    let rows = [row(2, "A", &["y"], None, None), row(3, "C", &[], None, None)];
    let mut connection = open(&database);
    assert_eq!(connection.write_catalog(dry, rows.iter().cloned().map(Ok)).unwrap(), written(1, 1, 1, 0));
    assert_eq!(database.lines(rows_with_time), before);
    // The connection is not in a transaction any more.
    let wet = CatalogTarget { mode: Mode::Write, ..dry };
    assert_eq!(connection.write_catalog(wet, rows.into_iter().map(Ok)).unwrap(), written(1, 1, 1, 0));
    assert_eq!(database.lines("select item_id, tags from item_tags order by 1"), ["A {y}", "C {}"]);
}

#[test]
fn rows_that_something_else_changes_on_their_way_are_no_success() {
    let (database, demo) = prepared();
    let rows = [row(2, "A", &["x"], Some("1"), None)];
    database.execute(
        "create function noop() returns trigger language plpgsql as 'begin return null; end';
         create trigger noop before insert or update on item_tags for each row execute function noop()",
    );
    let error = server_error(write(&database, &demo, Obsolete::Keep, &rows).unwrap_err());
    assert_fails(
        &database,
        &error,
        Class::Refused,
        &["1 rows were given for item_tags and 0 would be there", "trigger"],
    );
    // A table without its key, in which a row stands twice.
    database.execute("drop trigger noop on item_tags; alter table item_tags drop constraint item_tags_pkey");
    write(&database, &demo, Obsolete::Keep, &rows).unwrap();
    database.execute("insert into item_tags select * from item_tags; update item_tags set price = 0");
    let error = server_error(write(&database, &demo, Obsolete::Keep, &rows).unwrap_err());
    assert_fails(
        &database,
        &error,
        Class::Refused,
        &["1 rows were given for item_tags and 2 would be there"],
    );
    assert_eq!(database.lines("select price from item_tags"), ["0", "0"]);
}
