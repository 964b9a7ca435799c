//! The crate on a real server. Each test has a database of its own.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod catalog;
mod connection;
mod exposures;
mod signals;
mod tables;
mod tenant;
mod tls;

use std::time::Duration;

use recsys_core::database::{DatabaseTimeouts, MissingTenant, Mode, RowSecurity, TableNames, TenantId};
use recsys_core::domain::class::Class;
use recsys_core::domain::window::Day;
use recsys_core::storage::Secret;
use recsys_postgres::{Connection, Dsn, PostgresError};
use recsys_testkit::postgres::Database;
use recsys_testkit::scope::scope;

/// Of the tenant `demo`.
const DEMO: &str = "00000000-0000-0000-0000-00000000000a";
/// Of another one.
const OTHER: &str = "00000000-0000-0000-0000-00000000000b";

const TIMEOUTS: DatabaseTimeouts = DatabaseTimeouts { connect: Duration::from_secs(5), statement: None };

fn try_open(url: &str, timeouts: DatabaseTimeouts) -> Result<Connection, PostgresError> {
    let dsn = Dsn::parse(&Secret::from(url.to_owned())).unwrap();
    Connection::open(&dsn, "recsys-test", timeouts, RowSecurity::Refuse)
}

fn open(database: &Database) -> Connection {
    try_open(&database.url(), TIMEOUTS).unwrap()
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// A database with the tables, the tenants `demo` and `other`, and the id of the first.
fn prepared() -> (Database, TenantId) {
    let database = Database::new();
    let mut connection = open(&database);
    connection.init_tables(&TableNames::default(), Mode::Write).unwrap();
    database.execute(&format!(
        "insert into tenants (id, external_id, name) values ('{DEMO}', 'demo', 'Demo'), ('{OTHER}', 'other', 'Other')"
    ));
    let demo = connection.tenant(&TableNames::default().tenants, &scope().tenant, MissingTenant::Refuse);
    (database, demo.unwrap())
}

/// Ends the sessions of the crate.
fn cut_off(database: &Database) {
    database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'recsys-test'
         and datname = current_database()",
    );
}

/// Asserts that an error is one line of this class, with all of `parts`, and without the password.
#[track_caller]
fn assert_fails(database: &Database, error: &PostgresError, class: Class, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.class(), class, "{text}");
    assert_eq!(error.is_refusal(), class == Class::Usage);
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let mut told = format!("{text} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        told.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    let url = database.url();
    let (_, password) = url.split_once('@').unwrap().0.rsplit_once(':').unwrap();
    for secret in [password, "hunter2"] {
        assert!(!told.contains(secret), "{told}");
    }
}
