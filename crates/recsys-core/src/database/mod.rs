//! Databases as the jobs see them: signals and the catalogue are written to one. A table of exposures is an input.
//!
//! A [`Driver`] speaks to a server. A binary that needs a database passes its driver in; other binaries are not even
//! linked with one. This module contains no SQL.

mod table_name;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use table_name::{IdentifierError, TableName};

use crate::domain::class::Class;
use crate::domain::id::Tenant;
use crate::domain::window::Day;
use crate::input::catalog::{CatalogError, Columns};
use crate::storage::Secret;

/// Connects to one make of database server.
pub trait Driver: fmt::Debug + Sync {
    /// Checks that a DSN can be parsed, without contacting a server.
    fn check(&self, dsn: &Secret) -> Result<(), DatabaseError>;

    /// Connects.
    fn connect(
        &self,
        dsn: &Secret,
        timeouts: DatabaseTimeouts,
        row_security: RowSecurity,
    ) -> Result<Box<dyn Database>, DatabaseError>;
}

/// A connection. Every write takes effect wholly or not at all.
pub trait Database: fmt::Debug {
    /// Finds a tenant by its external id or id.
    fn tenant(
        &mut self,
        table: &TableName,
        tenant: &Tenant,
        missing: MissingTenant,
    ) -> Result<TenantId, DatabaseError>;

    /// Replaces the rows of a day with the given ones.
    fn replace_signals(
        &mut self,
        target: SignalTarget<'_>,
        signals: Signals<'_>,
    ) -> Result<SignalsWritten, DatabaseError>;

    /// Inserts and updates the rows of a catalogue. Stops at the first row that is an error.
    fn write_catalog(
        &mut self,
        target: CatalogTarget<'_>,
        rows: &mut dyn Iterator<Item = Result<ItemRow, CatalogError>>,
    ) -> Result<Written, CatalogWriteError>;

    /// Creates the missing tables. If an existing one is not as it must be, creates nothing.
    fn init_tables(
        &mut self,
        names: &TableNames,
        mode: Mode,
    ) -> Result<Vec<(TableName, TableState)>, DatabaseError>;
}

/// A failed database operation. The message is one line and contains no secret.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct DatabaseError {
    class: Class,
    /// The driver's error. The message repeats it, so it is not the `source` of this error.
    pub cause: Box<dyn Error + Send + Sync>,
}

impl DatabaseError {
    /// What can be done about it.
    pub fn class(&self) -> Class {
        self.class
    }

    /// An error of class `class`; its message is that of `cause`.
    pub fn new(class: Class, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { class, cause: Box::new(cause) }
    }
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseTimeouts {
    /// How long to retry a connection. Only a server that is down, starting or full is tried again, never a wrong
    /// password.
    pub connect: Duration,
    /// The server's time limit for a statement, including the time it waits for rows to be sent or fetched or for
    /// another writer. Zero is no limit; `None` keeps the server's own setting.
    pub statement: Option<Duration>,
}

/// How to treat a table whose row-level policies may hide rows from the user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowSecurity {
    /// Refuse the statement: hidden rows would look like missing rows.
    #[default]
    Refuse,
    /// Use the rows that the policies show.
    Apply,
}

/// The id of a tenant, as rows of other tables refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantId(pub String);

/// What to do if a tenant does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingTenant {
    /// Fail.
    Refuse,
    /// Fail, and name the setting that would insert it.
    Advise,
    /// Insert it, with its name as its external id.
    Create,
}

/// Whether to make a change or only to find out what it would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Make the change.
    Write,
    /// Make the change, count it, and roll it back before anybody can see it.
    DryRun,
}

/// Where signals are written.
#[derive(Debug, Clone, Copy)]
pub struct SignalTarget<'a> {
    /// Id of the tenant.
    pub tenant: &'a TenantId,
    /// Name of the surface.
    pub namespace: &'a str,
    /// The day whose rows are replaced.
    pub day: Day,
    /// Whether all its rows may be removed.
    pub emptying: Emptying,
}

/// Whether the rows of a day may be replaced with none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emptying {
    /// They may be removed.
    Allowed,
    /// It is an error, and the rows stay.
    Refused,
}

/// The popularity of an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ItemSignal<'a> {
    /// Id of the item.
    pub item_id: &'a str,
    /// Its popularity; below 10^12, rounded to six decimals.
    pub score: f64,
}

/// The association of two items.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairSignal<'a> {
    /// Id of the item.
    pub item_id: &'a str,
    /// Id of an item that occurs with it.
    pub neighbor_id: &'a str,
    /// The strength of the association; below 10^12, rounded to six decimals.
    pub score: f64,
}

/// The signals of a day. A part that is `None` is left unchanged.
pub struct Signals<'a> {
    /// Popularity; each item once.
    pub popularity: Option<Box<dyn Iterator<Item = ItemSignal<'a>> + 'a>>,
    /// Co-visits; each pair once.
    pub covisit: Option<Box<dyn Iterator<Item = PairSignal<'a>> + 'a>>,
}

/// How many rows of a table a write changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Rows that are new.
    pub inserted: u64,
    /// Rows that had other values.
    pub updated: u64,
    /// Rows that were removed because they were not given.
    pub deleted: u64,
    /// Rows that were already there with the same values.
    pub unchanged: u64,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inserted, updated, deleted, unchanged } = self;
        write!(f, "{inserted} rows inserted, {updated} updated, {deleted} deleted, {unchanged} unchanged")
    }
}

/// Changes to the signals of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalsWritten {
    /// Changes to the popularity, if it was given.
    pub popularity: Option<Written>,
    /// Changes to the co-visits, if they were given.
    pub covisit: Option<Written>,
}

/// Where and how a catalogue is written.
#[derive(Debug, Clone, Copy)]
pub struct CatalogTarget<'a> {
    /// Id of the tenant.
    pub tenant: &'a TenantId,
    /// Name of the surface.
    pub namespace: &'a str,
    /// What to do with rows that are not in the catalogue.
    pub obsolete: Obsolete,
    /// Whether to write or only to count the changes.
    pub mode: Mode,
    /// Name of the catalogue file in messages.
    pub file: &'a str,
}

/// What to do with existing rows that are not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obsolete {
    /// Leave them unchanged.
    Keep,
    /// Remove them.
    Remove,
}

/// An item of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// Line number in the file, for the error about an item that occurs twice.
    pub line: u64,
    /// Id of the item.
    pub item_id: String,
    /// Tags in the order of the file.
    pub tags: Vec<String>,
    /// The price as a decimal number, if there is one.
    pub price: Option<String>,
    /// When the item came into being. Without it, an existing row keeps its time and a new row gets the time of the
    /// write.
    pub created_at: Option<Timestamp>,
    /// Columns found in the file up to this row. A column that occurs in no row is left unchanged in the table.
    pub columns: Columns,
}

/// Why a catalogue was not written.
#[derive(Debug, thiserror::Error)]
pub enum CatalogWriteError {
    /// The catalogue cannot be read, or an item occurs twice.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The database refused or failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl CatalogWriteError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Catalog(error) => error.class(),
            Self::Database(error) => Some(error.class),
        }
    }
}

/// Names of the tables that the user can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNames {
    /// The table of tenants.
    pub tenants: TableName,
    /// The table of exposures; `None` if it is not in this database.
    pub exposures: Option<TableName>,
}

impl Default for TableNames {
    fn default() -> Self {
        Self { tenants: TableName::known("tenants"), exposures: Some(TableName::known("exposure_events")) }
    }
}

/// The outcome of [`Database::init_tables`] for one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableState {
    /// It was created.
    Created,
    /// It existed already and is as it must be.
    Present,
}
