//! Server errors, worded so that an operator can act on them.
//!
//! No error contains a password or a DSN.

use std::fmt;
use std::io::{self, ErrorKind};

use recsys_core::database::DatabaseError;
use recsys_core::domain::class::Class;
use sqlx::postgres::PgDatabaseError;

/// A request to a server failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} {server}: {problem}")]
pub struct PostgresError {
    /// The action and its object: `read exposure_events in`.
    pub action: String,
    /// Database, host and port.
    pub server: String,
    /// The cause.
    pub problem: Problem,
}

/// A problem with a server, a request or rows. Unless noted otherwise, a text is the server's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// User or password is wrong, or this user may not connect.
    Login(String),
    /// The database does not exist.
    NoDatabase,
    /// The table does not exist.
    NoTable(String),
    /// The schema does not exist, or there is none to create tables in.
    NoSchema(String),
    /// A table does not have the expected shape.
    Shape(String),
    /// The user lacks a permission.
    Denied(String),
    /// A row security policy may hide rows from this user.
    RowSecurity(String),
    /// The server rejects the options of the DSN.
    Options(String),
    /// The server or the database is read-only.
    ReadOnly(String),
    /// No secure connection is possible; the text is the cause.
    Tls(String),
    /// The table of tenants lacks this tenant.
    NoTenant {
        /// The tenant as requested.
        tenant: String,
        /// The table of tenants.
        table: String,
        /// Whether a setting would allow to create it.
        can_be_created: bool,
    },
    /// More than one row matches the tenant: one by its name, another by its id.
    AmbiguousTenant {
        /// The tenant as requested.
        tenant: String,
        /// The table of tenants.
        table: String,
    },
    /// The server cannot be reached; the text is the cause.
    Unreachable(String),
    /// The server currently accepts no connections.
    Busy(String),
    /// No answer arrived within this number of seconds.
    NoAnswer(u64),
    /// The process was asked to stop, and no answer arrived soon after.
    Interrupted,
    /// The server cancelled a statement after its timeout.
    TimedOut(String),
    /// Someone cancelled a statement.
    Cancelled(String),
    /// The server's disk is full.
    Full(String),
    /// The connection was cut; the text is the cause.
    Cut(String),
    /// Conflict with another writer.
    Conflict(String),
    /// A row violates a unique constraint.
    Unique(String),
    /// A value does not fit its column, or violates a constraint.
    Value(String),
    /// An item cannot be written.
    Item {
        /// The item id.
        item_id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// After the write, the table does not have the given number of rows.
    Count {
        /// The table.
        table: String,
        /// Number of rows given.
        given: u64,
        /// Number of rows found.
        found: u64,
    },
    /// The rows of a day would be replaced by none.
    Emptied {
        /// The table.
        table: String,
        /// The day.
        day: String,
        /// Number of existing rows.
        rows: u64,
    },
    /// A malformed row of exposures.
    Exposure {
        /// The time of the exposure.
        ts: String,
        /// The request id, or `unknown`.
        request_id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Any other error of the server or the client library.
    Answer(String),
}

impl Problem {
    /// Who can fix it.
    pub fn class(&self) -> Class {
        match self {
            Self::Login(_)
            | Self::NoDatabase
            | Self::NoTable(_)
            | Self::NoSchema(_)
            | Self::Shape(_)
            | Self::Denied(_)
            | Self::RowSecurity(_)
            | Self::Options(_)
            | Self::ReadOnly(_)
            | Self::Tls(_)
            | Self::NoTenant { .. }
            | Self::AmbiguousTenant { .. } => Class::Usage,
            Self::Unreachable(_)
            | Self::Busy(_)
            | Self::NoAnswer(_)
            | Self::Interrupted
            | Self::TimedOut(_)
            | Self::Cancelled(_)
            | Self::Full(_)
            | Self::Cut(_)
            | Self::Conflict(_)
            | Self::Answer(_) => Class::Transient,
            Self::Unique(_)
            | Self::Value(_)
            | Self::Item { .. }
            | Self::Count { .. }
            | Self::Emptied { .. }
            | Self::Exposure { .. } => Class::Refused,
        }
    }

    /// Whether the connection cannot be used any more.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Interrupted | Self::Cut(_) | Self::Unreachable(_))
    }

    /// Whether connecting may succeed a little later.
    pub(crate) fn may_heal(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy(_) | Self::NoAnswer(_) | Self::Cut(_))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(text) => write!(f, "{text}; check user and password of the DSN"),
            Self::NoDatabase => f.write_str("there is no such database; create it or correct the DSN"),
            Self::NoTable(text) => {
                write!(f, "{text}; create it (`recsys-pipelines db init` for a pilot) or correct its name")
            }
            Self::NoSchema(text) => {
                write!(f, "{text}; create the schema, or correct the name or the search_path of the user")
            }
            Self::Shape(text) => write!(f, "the table is not what it must be: {text}"),
            Self::Denied(text) => write!(f, "{text}; grant it to the user of the DSN"),
            Self::RowSecurity(text) => write!(
                f,
                "{text}, which may hide rows from the user of the DSN; let it see all of them (alter role … bypassrls), or set \
                 row_security beside the DSN to apply if what it sees is all that is wanted"
            ),
            Self::Options(text) => write!(f, "{text}; correct the options of the DSN"),
            Self::ReadOnly(text) => write!(f, "{text}; write to the primary, not to a standby of it"),
            Self::Tls(cause) => {
                write!(f, "no secure connection: {cause}; check sslmode and sslrootcert of the DSN")
            }
            Self::NoTenant { tenant, table, can_be_created } => {
                let create = if *can_be_created { ", set db.auto_create_tenant," } else { "" };
                write!(
                    f,
                    "no row of {table} has {tenant:?} as external_id or id; insert it{create} or correct the tenant"
                )
            }
            Self::AmbiguousTenant { tenant, table } => {
                write!(f, "more than one row of {table} has {tenant:?} as external_id or id; make it one")
            }
            Self::Unreachable(cause) => write!(f, "nobody answers ({cause}); is the server running there?"),
            Self::Busy(text) => write!(f, "the server takes no connection now: {text}"),
            Self::NoAnswer(seconds) => write!(f, "no answer within {seconds} s"),
            Self::Interrupted => f.write_str("no answer came before this process had to stop"),
            Self::Cancelled(text) => {
                write!(f, "{text}; somebody, or a tool, stopped the statement on the server")
            }
            Self::Full(text) => write!(f, "{text}; make room on the disk of the server"),
            Self::TimedOut(text) => {
                write!(f, "{text}; if it only needs more time, raise db.statement_timeout_s")
            }
            Self::Cut(cause) => write!(f, "the connection was cut: {cause}"),
            Self::Conflict(text) => write!(f, "another writer was in the way: {text}; try again"),
            Self::Unique(text) => write!(
                f,
                "{text}, and no other writer is to blame; the constraint must have all columns of the primary key and tell \
                 apart item ids that differ in case: correct it, or the rows"
            ),
            Self::Value(text) => write!(f, "a value does not fit: {text}"),
            Self::Item { item_id, reason } => write!(f, "item {item_id:?} {reason}"),
            Self::Count { table, given, found } => write!(
                f,
                "{given} rows were given for {table} and {found} would be there; does a trigger, a rule or row security \
                 change what is written, or has the table a row twice?"
            ),
            Self::Emptied { table, day, rows } => write!(
                f,
                "no row was given for {day}, and {table} has {rows}, which stay; set validation.min_events to 0 if the day is empty indeed"
            ),
            Self::Exposure { ts, request_id, reason } => {
                write!(f, "the row of {ts}, request {request_id}, is malformed: {reason}")
            }
            Self::Answer(text) => f.write_str(text),
        }
    }
}

impl PostgresError {
    /// Who can fix it.
    pub fn class(&self) -> Class {
        self.problem.class()
    }

    /// Whether a retry would fail, too, until someone changes a setting, a permission or a table.
    pub fn is_refusal(&self) -> bool {
        self.class() == Class::Usage
    }

    /// The server error that made a reader fail, if any.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref::<DatabaseError>()?.cause.downcast_ref()
    }
}

impl From<PostgresError> for DatabaseError {
    fn from(error: PostgresError) -> Self {
        Self::new(error.class(), error)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(answer) => match answer.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) => answered(answer),
                None => Self::Answer(one_line(answer.message())),
            },
            // The library reports a failed handshake this way.
            sqlx::Error::Io(cause) if cause.kind() == ErrorKind::InvalidData => Self::Tls(one_line(cause)),
            sqlx::Error::Io(cause) => Self::Cut(one_line(cause)),
            sqlx::Error::Tls(cause) => Self::Tls(one_line(cause)),
            _ => Self::Answer(one_line(&error)),
        }
    }
}

/// Converts an error from connecting.
pub(crate) fn unconnected(error: sqlx::Error) -> Problem {
    match Problem::from(error) {
        Problem::Cut(cause) => Problem::Unreachable(cause),
        // No statement ran yet, so these are about the options of the connection.
        Problem::Shape(text) | Problem::Value(text) => Problem::Options(text),
        problem => problem,
    }
}

fn answered(answer: &PgDatabaseError) -> Problem {
    let text = one_line(answer.message());
    let code = answer.code();
    let class = code.get(..2).unwrap_or_default();
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    match (class, code) {
        ("28", _) => Problem::Login(text),
        (_, "3D000") => Problem::NoDatabase,
        // The message may be translated; the name of the server routine never is.
        (_, "42501") if answer.routine() == Some("check_enable_rls") => Problem::RowSecurity(text),
        (_, "42501") => Problem::Denied(text),
        (_, "25006") => Problem::ReadOnly(text),
        (_, "3F000") => Problem::NoSchema(text),
        (_, "42P01") => Problem::NoTable(text),
        ("42", _) => Problem::Shape(text),
        (_, "23505") => Problem::Unique(with_detail(&text, answer)),
        (_, "54000") => Problem::Value(format!("{text}; an item id is too long for the key")),
        (_, "53100") => Problem::Full(text),
        ("22" | "23", _) => Problem::Value(with_detail(&text, answer)),
        (_, "53300" | "57P03") => Problem::Busy(text),
        (_, "57014") if text.contains("statement timeout") => Problem::TimedOut(text),
        (_, "57014") => Problem::Cancelled(text),
        ("08", _) | (_, "57P01" | "57P02" | "57P05" | "25P03") => Problem::Cut(text),
        ("40", _) | (_, "55P03") => Problem::Conflict(text),
        _ => Problem::Answer(format!("{text} ({code})")),
    }
}

/// Adds the error's detail and context to the message.
fn with_detail(text: &str, answer: &PgDatabaseError) -> String {
    let more = [answer.detail(), answer.r#where()].into_iter().flatten();
    let more: Vec<&str> = more.map(|text| text.lines().next().unwrap_or_default()).collect();
    if more.is_empty() { text.to_owned() } else { format!("{text} ({})", more.join("; ")) }
}

/// Joins all lines of a text.
fn one_line(text: &(impl ToString + ?Sized)) -> String {
    text.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
