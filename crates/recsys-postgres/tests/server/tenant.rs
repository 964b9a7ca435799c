//! From the name of a tenant to its id.

use recsys_core::database::{MissingTenant, TableName, TableNames};
use recsys_core::domain::class::Class;
use recsys_core::domain::id::Tenant;

use crate::{DEMO, OTHER, assert_fails, open, prepared};

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

#[test]
fn a_tenant_is_found_by_either_name() {
    let (database, demo) = prepared();
    let (mut connection, table) = (open(&database), TableNames::default().tenants);
    assert_eq!(demo.0, DEMO);
    let by_id = connection.tenant(&table, &tenant(DEMO), MissingTenant::Refuse).unwrap();
    assert_eq!(by_id, demo);
}

#[test]
fn a_tenant_that_is_not_there_is_refused_or_created_once() {
    let (database, _) = prepared();
    let (mut connection, table) = (open(&database), TableNames::default().tenants);
    let error = connection.tenant(&table, &tenant("it's"), MissingTenant::Refuse).unwrap_err();
    assert_fails(&database, &error, Class::Usage, &["no row of tenants has \"it's\" as external_id or id"]);
    // All at the same time.
    let ids = std::thread::scope(|scope| {
        let create = || {
            let mut connection = open(&database);
            connection.tenant(&TableNames::default().tenants, &tenant("it's"), MissingTenant::Create).unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    let rows = database.lines("select id, external_id, name, status from tenants where name = 'it''s'");
    assert_eq!(rows, [format!("{} it's it's active", ids[0].0)]);
    // What is there is never made twice.
    connection.tenant(&table, &tenant(DEMO), MissingTenant::Create).unwrap();
    assert_eq!(database.lines("select count(*) from tenants"), ["3"]);
}

#[test]
fn an_id_is_found_in_capitals_too_and_never_taken_for_a_new_name() {
    let (database, demo) = prepared();
    let (mut connection, table) = (open(&database), TableNames::default().tenants);
    let capitals = tenant(&DEMO.to_uppercase());
    assert_eq!(connection.tenant(&table, &capitals, MissingTenant::Create).unwrap(), demo);
    let unknown = tenant("00000000-0000-0000-0000-0000000000FF");
    let error = connection.tenant(&table, &unknown, MissingTenant::Create).unwrap_err();
    assert_fails(
        &database,
        &error,
        Class::Usage,
        &["no row of tenants has", "insert it or correct the tenant"],
    );
    // The contract promises no default for the id.
    database.execute("alter table tenants alter column id drop default");
    connection.tenant(&table, &tenant("new"), MissingTenant::Create).unwrap();
    assert_eq!(database.lines("select count(*) from tenants"), ["3"]);
}

#[test]
fn one_name_for_two_tenants_is_refused() {
    let (database, _) = prepared();
    database.execute(&format!("update tenants set external_id = '{DEMO}' where id = '{OTHER}'"));
    let error = open(&database)
        .tenant(&TableNames::default().tenants, &tenant(DEMO), MissingTenant::Create)
        .unwrap_err();
    assert_fails(&database, &error, Class::Usage, &["more than one row of tenants has"]);
}

#[test]
fn the_table_is_the_one_that_is_named() {
    let (database, _) = prepared();
    database.execute(
        "create schema \"Crm\"; create table \"Crm\".\"Customers\" (id uuid, external_id text);
         insert into \"Crm\".\"Customers\" values ('00000000-0000-0000-0000-0000000000cc', 'demo')",
    );
    let table: TableName = "Crm.Customers".parse().unwrap();
    let mut connection = open(&database);
    let id = connection.tenant(&table, &tenant("demo"), MissingTenant::Refuse).unwrap();
    assert_eq!(id.0, "00000000-0000-0000-0000-0000000000cc");
    for missing in ["crm.Customers", "Crm.customers", "nowhere"] {
        let error = connection.tenant(&missing.parse().unwrap(), &tenant("demo"), MissingTenant::Refuse);
        assert_fails(&database, &error.unwrap_err(), Class::Usage, &[missing, "does not exist", "db init"]);
    }
    // A column that is missing.
    let error = connection.tenant(&table, &tenant("new"), MissingTenant::Create).unwrap_err();
    assert_fails(&database, &error, Class::Usage, &["not what it must be", "column \"name\""]);
}

#[test]
fn what_the_user_may_not_do_is_refused() {
    let (database, _) = prepared();
    database.execute(&format!("create role {0} login password 'hunter2'", database.name()));
    let url = database.url();
    let (_, server) = url.split_once('@').unwrap();
    let url = format!("postgres://{}:hunter2@{server}", database.name());
    let mut connection = crate::try_open(&url, crate::TIMEOUTS).unwrap();
    let table = TableNames::default().tenants;
    let error = connection.tenant(&table, &tenant("demo"), MissingTenant::Refuse).unwrap_err();
    drop(connection);
    database.execute(&format!("drop owned by {0}; drop role {0}", database.name()));
    assert_fails(&database, &error, Class::Usage, &["permission denied for table tenants", "grant it"]);
}
