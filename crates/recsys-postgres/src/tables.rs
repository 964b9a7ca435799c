//! Creates the tables for a pilot. In a real installation they exist already, because they belong to the serving side.
//!
//! Missing tables are created in one transaction; existing ones are compared and never altered.

use std::fmt;

use recsys_core::database::{Mode, TableName, TableNames, TableState};

use crate::connection::Connection;
use crate::error::{PostgresError, Problem};

/// A deviation of a table from its expected shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The name of the table.
    pub table: String,
    /// The part that differs.
    pub part: Part,
    /// The required state.
    pub expected: String,
    /// The actual state.
    pub found: String,
}

/// A part of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The table itself, if the relation is of another kind.
    Itself,
    /// The column of this name.
    Column(String),
    /// The primary key.
    Key,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, part, expected, found } = self;
        match part {
            Part::Itself => write!(f, "{table} must be {expected}, and is {found}"),
            Part::Column(column) => write!(f, "{table}.{column} must be {expected}, and is {found}"),
            Part::Key => write!(f, "the primary key of {table} must be {expected}, and is {found}"),
        }
    }
}

/// Why the tables were not created.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Existing tables do not have the expected shape.
    #[error(
        "{}; nothing was created, and nothing is ever altered",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Shape(Vec<Difference>),
    /// The server reported an error.
    #[error(transparent)]
    Postgres(PostgresError),
}

/// Whether a column may be null. Not checked for tables that are only read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Null {
    Allowed,
    Refused,
}

/// Whether this project writes a table, or only reads it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    Read,
    Write,
}

struct Column {
    name: &'static str,
    kind: &'static str,
    null: Null,
    /// Definition behind the type when the column is created.
    more: &'static str,
}

struct Table {
    name: TableName,
    usage: Usage,
    columns: Vec<Column>,
    key: &'static [&'static str],
    /// The columns of an additional index.
    index: &'static [&'static str],
}

const UNIQUE: &str = "unique";
const TIME: &str = "timestamp with time zone";

fn column(name: &'static str, kind: &'static str) -> Column {
    Column { name, kind, null: Null::Refused, more: "" }
}

impl Column {
    fn or_null(self) -> Self {
        Self { null: Null::Allowed, ..self }
    }

    fn with(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    fn definition(&self) -> String {
        let null = if self.null == Null::Refused { " not null" } else { "" };
        format!("{} {}{null} {}", self.name, self.kind, self.more)
    }
}

/// The tables of the serving side, and the exposures if they are in this database.
fn tables(names: &TableNames) -> Vec<Table> {
    let updated_at = || column("updated_at", TIME).with("default now()");
    let score = || column("score", "numeric(18,6)");
    let [tenant, namespace, item] = ["tenant_id", "namespace", "item_id"];
    let mut tables = vec![
        Table {
            name: names.tenants.clone(),
            // Only written if missing tenants are to be created.
            usage: Usage::Read,
            columns: vec![
                column("id", "uuid").with("default gen_random_uuid()"),
                column("external_id", "text").with(UNIQUE),
                column("name", "text"),
                column("status", "text").with("default 'active'"),
            ],
            key: &["id"],
            index: &[],
        },
        Table {
            name: TableName::known("item_tags"),
            usage: Usage::Write,
            columns: vec![
                column(tenant, "uuid"),
                column(namespace, "text"),
                column(item, "text"),
                column("tags", "text[]"),
                column("price", "numeric").or_null(),
                column("created_at", TIME).with("default now()"),
                updated_at(),
            ],
            key: &["tenant_id", "namespace", "item_id"],
            index: &[],
        },
        Table {
            name: TableName::known("item_popularity_daily"),
            usage: Usage::Write,
            columns: vec![
                column(tenant, "uuid"),
                column(namespace, "text"),
                column(item, "text"),
                column("day", "date"),
                score(),
                updated_at(),
            ],
            key: &["tenant_id", "namespace", "item_id", "day"],
            index: &["tenant_id", "namespace", "day"],
        },
        Table {
            name: TableName::known("item_covisit_daily"),
            usage: Usage::Write,
            columns: vec![
                column(tenant, "uuid"),
                column(namespace, "text"),
                column(item, "text"),
                column("neighbor_id", "text"),
                column("day", "date"),
                score(),
                updated_at(),
            ],
            key: &["tenant_id", "namespace", "item_id", "neighbor_id", "day"],
            index: &["tenant_id", "namespace", "day"],
        },
    ];
    tables.extend(names.exposures.clone().map(|name| Table {
        name,
        usage: Usage::Read,
        columns: vec![
            column(tenant, "uuid"),
            column("occurred_at", TIME),
            column("request_id", "uuid"),
            column("surface", "text"),
            column("segment", "text").or_null(),
            column("user_key", "bytea").or_null(),
            column("session_id", "text").or_null(),
            column("response", "jsonb"),
        ],
        key: &[],
        index: &["tenant_id", "surface", "occurred_at"],
    }));
    tables
}

impl Connection {
    /// Creates the missing tables in one transaction. If an existing one has the wrong shape, nothing is created.
    /// Unknown columns are fine, as long as rows can be inserted without them.
    pub fn init_tables(
        &mut self,
        names: &TableNames,
        mode: Mode,
    ) -> Result<Vec<(TableName, TableState)>, InitError> {
        let done = self.transaction(mode, |connection| create_missing(connection, names));
        done.map_err(|failure| match failure {
            InitFailure::Shape(differences) => InitError::Shape(differences),
            InitFailure::Problem(problem) => InitError::Postgres(self.error("create tables in", problem)),
        })
    }
}

enum InitFailure {
    Shape(Vec<Difference>),
    Problem(Problem),
}

impl From<Problem> for InitFailure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

fn create_missing(
    connection: &mut Connection,
    names: &TableNames,
) -> Result<Vec<(TableName, TableState)>, InitFailure> {
    // Otherwise two concurrent runs would both find nothing.
    let lock = "select pg_advisory_xact_lock(hashtextextended('recsys-pipelines/init', 0))::text";
    connection.rows(lock, &[])?;
    let mut states = Vec::new();
    let mut differences = Vec::new();
    for table in tables(names) {
        let found = connection.rows("select to_regclass($1)::oid::text", &[&table.name.quoted()])?;
        let state = if let Some(oid) = found.into_iter().flatten().flatten().next() {
            differences.extend(table.compare(connection, &oid)?);
            TableState::Present
        } else {
            table.create(connection)?;
            TableState::Created
        };
        states.push((table.name, state));
    }
    if differences.is_empty() { Ok(states) } else { Err(InitFailure::Shape(differences)) }
}

impl Table {
    fn create(&self, connection: &mut Connection) -> Result<(), Problem> {
        let mut lines: Vec<String> = self.columns.iter().map(Column::definition).collect();
        if !self.key.is_empty() {
            lines.push(format!("primary key ({})", self.key.join(", ")));
        }
        let name = self.name.quoted();
        connection.execute(&format!("create table {name} ({})", lines.join(", ")), &[])?;
        if !self.index.is_empty() {
            connection.execute(&format!("create index on {name} ({})", self.index.join(", ")), &[])?;
        }
        Ok(())
    }

    fn compare(&self, connection: &mut Connection, oid: &str) -> Result<Vec<Difference>, Problem> {
        // A domain counts as its base type, and citext as text.
        let sql = "select attname::text, case when typtype = 'd' then format_type(typbasetype, typtypmod)
                     when typname = 'citext' then 'text' else format_type(atttypid, atttypmod) end,
                 (attnotnull or typnotnull)::text, (atthasdef or attidentity <> '' or typdefault is not null)::text
             from pg_attribute join pg_type on pg_type.oid = atttypid
             where attrelid = $1::oid and attnum > 0 and not attisdropped order by attnum";
        let found: Vec<Found> = connection.rows(sql, &[oid])?.into_iter().map(Found::new).collect();
        let difference = |column: &str, expected: String, found: String| Difference {
            table: self.name.to_string(),
            part: Part::Column(column.to_owned()),
            expected,
            found,
        };
        let mut differences = Vec::new();
        let sql =
            "select case relkind when 'S' then 'a sequence' when 'i' then 'an index' when 'I' then 'an index'
                 when 'c' then 'a type' end
             from pg_class where oid = $1::oid";
        if let Some(other) = connection.rows(sql, &[oid])?.into_iter().flatten().flatten().next() {
            let (table, expected) = (self.name.to_string(), "a table".to_owned());
            return Ok(vec![Difference { table, part: Part::Itself, expected, found: other }]);
        }
        for Column { name, kind, null, .. } in &self.columns {
            let not_null = *null == Null::Refused;
            let expected = described(kind, not_null);
            match found.iter().find(|found| found.name == *name) {
                None => differences.push(difference(name, expected, "missing".to_owned())),
                Some(found) => {
                    let fits = self.usage == Usage::Read || found.not_null == not_null;
                    if found.kind != *kind || !fits {
                        differences.push(difference(name, expected, described(&found.kind, found.not_null)));
                    }
                }
            }
        }
        let unknown =
            found.iter().filter(|found| self.columns.iter().all(|column| column.name != found.name));
        for found in unknown.filter(|_| self.usage == Usage::Write) {
            if found.not_null && !found.has_default {
                let expected = "null or have a default".to_owned();
                differences.push(difference(&found.name, expected, described(&found.kind, true)));
            }
        }
        let sql = "select string_agg(attname::text, ', ' order by place)
             from pg_index, unnest(indkey) with ordinality as key (number, place)
             join pg_attribute on attnum = number
             where indrelid = $1::oid and indisprimary and attrelid = indrelid and place <= indnkeyatts";
        let key = connection.rows(sql, &[oid])?.into_iter().flatten().flatten().next();
        let expected = self.key.join(", ");
        let found = key.unwrap_or_else(|| "missing".to_owned());
        let sql =
            "select 1::text from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0]
             where indrelid = $1::oid and indisunique and indnkeyatts = 1 and attname = $2";
        for Column { name, .. } in self.columns.iter().filter(|column| column.more == UNIQUE) {
            if connection.rows(sql, &[oid, name])?.is_empty() {
                differences.push(difference(name, UNIQUE.to_owned(), "not".to_owned()));
            }
        }
        if !expected.is_empty() && found != expected {
            differences.push(Difference { table: self.name.to_string(), part: Part::Key, expected, found });
        }
        Ok(differences)
    }
}

/// An existing column.
struct Found {
    name: String,
    kind: String,
    not_null: bool,
    has_default: bool,
}

impl Found {
    fn new(row: Vec<Option<String>>) -> Self {
        let mut texts = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || texts.next().unwrap_or_default();
        Self { name: next(), kind: next(), not_null: next() == "true", has_default: next() == "true" }
    }
}

fn described(kind: &str, not_null: bool) -> String {
    format!("{kind} {}", if not_null { "not null" } else { "null" })
}
