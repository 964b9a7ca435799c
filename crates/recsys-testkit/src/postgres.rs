//! A database for a single test, and an independent client to inspect it.
//!
//! Every call opens its own connection, so that tests can call from several threads and cut off the connections under
//! test.

use std::hash::{BuildHasher, RandomState};

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use tokio::runtime::{Builder, Runtime};

/// A new database on the server in `DATABASE_URL`; dropped with this value.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn on<T>(url: &str, work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>) -> sqlx::Result<T> {
    runtime().block_on(async {
        let options: PgConnectOptions = url.parse()?;
        let mut connection = options.connect().await?;
        let result = work(&mut connection).await;
        // The connection may have been cut off by now.
        let _ = connection.close().await;
        result
    })
}

fn execute(url: &str, sql: &str) {
    let done =
        on(url, async |connection| sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop));
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn texts(row: &PgRow) -> Vec<Option<String>> {
    // A plain query returns text for every type.
    let text = |column| row.try_get_raw(column).unwrap().as_str().map(str::to_owned).ok();
    (0..row.len()).map(text).collect()
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Database {
    /// Creates an empty database. Panics if there is no server; tests are never skipped.
    pub fn new() -> Self {
        let server = std::env::var("DATABASE_URL")
            .unwrap_or_else(|error| panic!("DATABASE_URL: {error}; run it through scripts/with-services"));
        let name = format!("test_{}_{:016x}", std::process::id(), RandomState::new().hash_one(0));
        execute(&server, &format!("create database {name} template template0"));
        Self { server, name }
    }

    /// Name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// URL of the database, with user and password.
    pub fn url(&self) -> String {
        let (start, query) = self.server.split_once('?').map_or((&*self.server, None), |(s, q)| (s, Some(q)));
        let (_, authority) = start.split_once("://").expect("DATABASE_URL is a URL");
        let authority = authority.split('/').next().unwrap_or_default();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("postgres://{authority}/{}{query}", self.name)
    }

    /// Runs one or more statements.
    pub fn execute(&self, sql: &str) {
        execute(&self.url(), sql);
    }

    /// Rows of a query, with values in Postgres text format.
    pub fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let rows =
            on(&self.url(), async |connection| sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await);
        rows.unwrap_or_else(|error| panic!("{sql}: {error}")).iter().map(texts).collect()
    }

    /// Rows of a query, values separated by blanks, `-` for null.
    pub fn lines(&self, sql: &str) -> Vec<String> {
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let line = |row: Vec<Option<String>>| row.into_iter().map(text).collect::<Vec<_>>().join(" ");
        self.rows(sql).into_iter().map(line).collect()
    }
}

/// A session in the middle of a transaction, which is rolled back when this is dropped.
#[derive(Debug)]
pub struct Held {
    runtime: Runtime,
    connection: Option<PgConnection>,
}

impl Database {
    /// Runs statements in a transaction that stays open.
    pub fn hold(&self, sql: &str) -> Held {
        let runtime = runtime();
        let connection = runtime.block_on(async {
            let options: PgConnectOptions = self.url().parse()?;
            let mut connection = options.connect().await?;
            sqlx::raw_sql(AssertSqlSafe(format!("begin; {sql}"))).execute(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        });
        Held { connection: Some(connection.unwrap_or_else(|error| panic!("{sql}: {error}"))), runtime }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let rollback = "rollback";
        if let Some(mut connection) = self.connection.take() {
            // It may have been cut off by now.
            let _ = self.runtime.block_on(async { sqlx::raw_sql(rollback).execute(&mut connection).await });
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("drop database {} with (force)", self.name);
        let dropped = on(&self.server, async |connection| {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
        });
        // Do not hide the panic of a failed test.
        if !std::thread::panicking() {
            dropped.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_empty_its_own_and_gone_at_the_end() {
        let (one, other) = (Database::new(), Database::new());
        one.execute("create table t (a int, b text); insert into t values (1, 'x'), (2, null)");
        let rows = one.rows("select a, b, array[a], null from t order by a");
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            rows,
            [vec![text("1"), text("x"), text("{1}"), None], vec![text("2"), None, text("{2}"), None]]
        );
        assert_eq!(other.rows("select 1 from pg_tables where tablename = 't'"), [[None; 0]; 0]);
        let name = one.name().to_owned();
        drop(one);
        assert!(
            other.rows(&format!("select 1 from pg_database where datname = '{name}'")).is_empty(),
            "{name}"
        );
    }
}
