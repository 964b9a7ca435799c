//! What a server says when it does not do what it was asked, in words that an operator can act on.
//!
//! Nothing here holds a password or a DSN.

use std::fmt;
use std::io::{self, ErrorKind};

use recsys_core::database::{Class, DatabaseError};
use sqlx::postgres::PgDatabaseError;

/// Something that was asked of a server and not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} {server}: {problem}")]
pub struct PostgresError {
    /// The verb and what it is about: `read exposure_events in`.
    pub action: String,
    /// Database, host and port.
    pub server: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a server, with what it was asked, or with the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// User and password do not go together, or this user may not connect; the server's words.
    Login(String),
    /// There is no such database.
    NoDatabase,
    /// There is no such table; the server's words.
    NoTable(String),
    /// There is no such schema, or none to create in; the server's words.
    NoSchema(String),
    /// A table is not what it must be; the server's words.
    Shape(String),
    /// The user may not do this; the server's words.
    Denied(String),
    /// A policy may hide rows from this user; the server's words.
    RowSecurity(String),
    /// The server does not take the options of the DSN; its words.
    Options(String),
    /// The server, or this database of it, is only read; its words.
    ReadOnly(String),
    /// No secure connection can be made; why.
    Tls(String),
    /// The table of tenants does not have this one.
    NoTenant {
        /// The tenant, as it was asked for.
        tenant: String,
        /// The table.
        table: String,
        /// Whether a setting would have it created.
        can_be_created: bool,
    },
    /// One row of the table of tenants has this as its name, another one as its id.
    AmbiguousTenant {
        /// The tenant, as it was asked for.
        tenant: String,
        /// The table.
        table: String,
    },
    /// Nobody answers; why.
    Unreachable(String),
    /// The server takes no connections now; its words.
    Busy(String),
    /// No answer came in this many seconds.
    NoAnswer(u64),
    /// The process was asked to stop, and no answer came soon after.
    Interrupted,
    /// The server stopped a statement after its time; its words.
    TimedOut(String),
    /// Somebody stopped a statement; the server's words.
    Cancelled(String),
    /// The server has no room left; its words.
    Full(String),
    /// The connection was cut; why.
    Cut(String),
    /// Another writer was in the way; the server's words.
    Conflict(String),
    /// A row that was given has the key of another one; the server's words.
    Unique(String),
    /// A value does not fit its column, or breaks a rule of the table; the server's words.
    Value(String),
    /// An item that cannot be written.
    Item {
        /// The item.
        item_id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// After the write there are not as many rows as were given.
    Count {
        /// The table.
        table: String,
        /// The rows that were given.
        given: u64,
        /// The rows that are there.
        found: u64,
    },
    /// The rows of a day would be replaced by none.
    Emptied {
        /// The table.
        table: String,
        /// The day.
        day: String,
        /// The rows that are there.
        rows: u64,
    },
    /// A row of exposures that cannot be understood.
    Exposure {
        /// When it happened.
        ts: String,
        /// Its request, if it has one.
        request_id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Anything else that the server, or the library that speaks to it, says.
    Answer(String),
}

impl Problem {
    /// Who can help.
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
            | Self::AmbiguousTenant { .. } => Class::Refusal,
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
            | Self::Exposure { .. } => Class::Data,
        }
    }

    /// Whether nothing more can be asked on the connection.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Interrupted | Self::Cut(_) | Self::Unreachable(_))
    }

    /// Whether a connection that could not be made may be made a little later.
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
    /// Who can help.
    pub fn class(&self) -> Class {
        self.problem.class()
    }

    /// Whether it will be the same the next time: somebody must change a setting, a permission or a table.
    pub fn is_refusal(&self) -> bool {
        self.class() == Class::Refusal
    }

    /// The error of a server, if that is what made a reader fail.
    pub fn of(error: &io::Error) -> Option<&Self> {
        DatabaseError::of(error)?.cause.downcast_ref()
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
            // A handshake that fails is reported so.
            sqlx::Error::Io(cause) if cause.kind() == ErrorKind::InvalidData => Self::Tls(one_line(cause)),
            sqlx::Error::Io(cause) => Self::Cut(one_line(cause)),
            sqlx::Error::Tls(cause) => Self::Tls(one_line(cause)),
            _ => Self::Answer(one_line(&error)),
        }
    }
}

/// Tells what kept a connection from being made.
pub(crate) fn unconnected(error: sqlx::Error) -> Problem {
    match Problem::from(error) {
        Problem::Cut(cause) => Problem::Unreachable(cause),
        // No table was asked for yet.
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
        // The words may be of any language, the place in the server's source is not.
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

/// The words of a server with what they are about, which is not in the message itself.
fn with_detail(text: &str, answer: &PgDatabaseError) -> String {
    let more = [answer.detail(), answer.r#where()].into_iter().flatten();
    let more: Vec<&str> = more.map(|text| text.lines().next().unwrap_or_default()).collect();
    if more.is_empty() { text.to_owned() } else { format!("{text} ({})", more.join("; ")) }
}

/// Text without line ends.
fn one_line(text: &(impl ToString + ?Sized)) -> String {
    text.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
