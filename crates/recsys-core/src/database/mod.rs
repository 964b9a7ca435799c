//! Databases as the jobs see them: exposures come out of one, signals and the catalogue go into one.
//!
//! What speaks to a server implements [`Driver`]. A binary that needs a database passes its driver on; the others
//! are not even linked with one. Nothing here speaks SQL.

mod table_name;

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use table_name::{IdentifierError, TableName};

use crate::domain::id::{Scope, Tenant};
use crate::domain::window::{Day, Window};
use crate::input::catalog::{CatalogError, Columns};
use crate::input::lines::LineFile;
use crate::storage::Secret;

/// What connects to servers of one make.
pub trait Driver: fmt::Debug + Sync {
    /// Whether a DSN can be understood; no server is asked.
    fn check(&self, dsn: &Secret) -> Result<(), DatabaseError>;

    /// Connects. `application` is what the server's list of sessions shows.
    fn connect(
        &self,
        dsn: &Secret,
        application: &str,
        patience: Patience,
        row_security: RowSecurity,
    ) -> Result<Box<dyn Database>, DatabaseError>;
}

/// A connection. Whatever is written is written whole or not at all.
pub trait Database: fmt::Debug {
    /// Finds the tenant whose external id or id this is.
    fn tenant(
        &mut self,
        table: &TableName,
        tenant: &Tenant,
        missing: MissingTenant,
    ) -> Result<TenantId, DatabaseError>;

    /// Begins to read exposures. A table that cannot be read is found out here, a row that cannot be understood
    /// only when it is met.
    fn exposures(self: Box<Self>, query: ExposureQuery<'_>) -> Result<Exposures, DatabaseError>;

    /// Makes the rows of a day exactly those given.
    fn replace_signals(
        &mut self,
        target: SignalTarget<'_>,
        signals: Signals<'_>,
    ) -> Result<SignalsWritten, DatabaseError>;

    /// Inserts and updates the rows of a catalogue. The first row that is an error ends it.
    fn write_catalog(
        &mut self,
        target: CatalogTarget<'_>,
        rows: &mut dyn Iterator<Item = Result<ItemRow, CatalogError>>,
    ) -> Result<Written, CatalogWriteError>;

    /// Creates the tables that are missing. If one that is there is not what it must be, nothing is created.
    fn init_tables(
        &mut self,
        names: &TableNames,
        mode: Mode,
    ) -> Result<Vec<(TableName, TableState)>, DatabaseError>;
}

/// Who can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It will be the same the next time: somebody must change a setting, a permission or a table.
    Refusal,
    /// The next time may go well.
    Transient,
    /// The rows are not what they must be.
    Data,
}

/// Something that was asked of a database and not done. The message is one line and holds no secret.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct DatabaseError {
    /// Who can help.
    pub class: Class,
    /// What the driver says. The message repeats it, so it is no `source` of this error.
    pub cause: Box<dyn Error + Send + Sync>,
}

impl DatabaseError {
    /// An error of a class.
    pub fn new(class: Class, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { class, cause: Box::new(cause) }
    }

    /// The error of a database, if that is what made a reader fail.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After this a connection that cannot be made is not tried again. Only what may heal is tried again: a
    /// server that is down, starting or full, never a wrong password.
    pub connect: Duration,
    /// After this the server stops a statement. The time in which it waits for rows to be given or taken, or
    /// for another writer, counts. Zero means never, none what the server is set to.
    pub statement: Option<Duration>,
}

/// What becomes of a statement on a table whose policies may hide rows from the user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowSecurity {
    /// It is refused: rows that are hidden would look like rows that are not there.
    #[default]
    Refuse,
    /// It sees what the policies show.
    Apply,
}

/// The id of a tenant, as the rows of other tables refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantId(String);

impl TenantId {
    /// The id that a table of tenants has.
    pub fn new(id: String) -> Self {
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What to do about a tenant that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingTenant {
    /// Fail.
    Refuse,
    /// Fail, and name the setting that would have it inserted.
    Advise,
    /// Insert it, with its name as its external id.
    Create,
}

/// Whether to do a thing, or only to find out what it would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Do it.
    Write,
    /// Do it, count, and undo it before anybody can see it.
    DryRun,
}

/// Which exposures.
#[derive(Debug, Clone, Copy)]
pub struct ExposureQuery<'a> {
    /// The table.
    pub table: &'a TableName,
    /// The id of the tenant.
    pub tenant: &'a TenantId,
    /// The name of the tenant, as the lines give it, and the surface.
    pub scope: &'a Scope,
    /// The days.
    pub window: Window,
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ExposureCounts {
    /// All rows.
    pub rows: u64,
    /// Lines: one for each item of a row.
    pub events: u64,
    /// Rows that were skipped because they are of no session.
    pub without_session: u64,
    /// Rows of a session in which nothing was shown.
    pub without_items: u64,
}

/// Exposures that are being read.
pub struct Exposures {
    /// The lines, by time and request id. Reading fails with a [`DatabaseError`], which [`DatabaseError::of`]
    /// finds.
    pub lines: LineFile,
    /// What was read, once the lines are at their end.
    pub tally: Tally,
}

impl fmt::Debug for Exposures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposures").field("name", &self.lines.name).field("tally", &self.tally).finish()
    }
}

/// The counts of what was read.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<OnceLock<ExposureCounts>>);

impl Tally {
    /// The counts; none until the last line was read.
    pub fn counts(&self) -> Option<ExposureCounts> {
        self.0.get().copied()
    }

    /// Says once what was read.
    pub fn set(&self, counts: ExposureCounts) {
        // A reader that is asked again at its end says the same again.
        let _ = self.0.set(counts);
    }
}

/// Whose signals, and of which day.
#[derive(Debug, Clone, Copy)]
pub struct SignalTarget<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The surface.
    pub namespace: &'a str,
    /// The day.
    pub day: Day,
    /// Whether rows may be replaced by none.
    pub emptying: Emptying,
}

/// Whether the rows of a day may be replaced by none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emptying {
    /// They may.
    Allowed,
    /// That is an error, and they stay.
    Refused,
}

/// How popular an item is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ItemScore<'a> {
    /// The item.
    pub item_id: &'a str,
    /// How popular it is; below 10^12, and rounded to six decimals.
    pub score: f64,
}

/// How strongly two items belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairScore<'a> {
    /// The item.
    pub item_id: &'a str,
    /// An item that occurs with it.
    pub neighbor_id: &'a str,
    /// How strongly; below 10^12, and rounded to six decimals.
    pub score: f64,
}

/// The signals of a day. What is `None` stays as it is.
pub struct Signals<'a> {
    /// Each item once.
    pub popularity: Option<Box<dyn Iterator<Item = ItemScore<'a>> + 'a>>,
    /// Each pair once.
    pub covisit: Option<Box<dyn Iterator<Item = PairScore<'a>> + 'a>>,
}

/// What became of the rows of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Rows that were not there.
    pub inserted: u64,
    /// Rows that were there with other values.
    pub updated: u64,
    /// Rows that were there and were not given.
    pub deleted: u64,
    /// Rows that were there already and were not touched.
    pub unchanged: u64,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inserted, updated, deleted, unchanged } = self;
        write!(f, "{inserted} rows inserted, {updated} updated, {deleted} deleted, {unchanged} unchanged")
    }
}

/// What became of the signals of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalsWritten {
    /// The popularity of items, if it was given.
    pub popularity: Option<Written>,
    /// The items that belong together, if they were given.
    pub covisit: Option<Written>,
}

/// Whose catalogue.
#[derive(Debug, Clone, Copy)]
pub struct CatalogTarget<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The surface.
    pub namespace: &'a str,
    /// What to do with the others.
    pub obsolete: Obsolete,
    /// Whether to do it.
    pub mode: Mode,
    /// What messages call the file that the rows come from.
    pub file: &'a str,
}

/// What to do with rows that are there and are not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obsolete {
    /// They stay as they are.
    Keep,
    /// They are removed.
    Remove,
}

/// An item of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// Where it stands in its file, for the error about an item that is given twice.
    pub line: u64,
    /// The item.
    pub item_id: String,
    /// Its tags, in their order.
    pub tags: Vec<String>,
    /// Its price, if it has one: a decimal number.
    pub price: Option<String>,
    /// Since when there is such an item. Without it, what is there stays; a new row gets the time of the write.
    pub created_at: Option<Timestamp>,
    /// The columns that the file has, as far as it is known at this row. One that is in no row stays as it is in the table.
    pub columns: Columns,
}

/// Why a catalogue was not written.
#[derive(Debug, thiserror::Error)]
pub enum CatalogWriteError {
    /// The rows could not be had, or an item is given twice.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The tables whose names can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNames {
    /// The tenants.
    pub tenants: TableName,
    /// The exposures, if they are in this database.
    pub exposures: Option<TableName>,
}

impl Default for TableNames {
    fn default() -> Self {
        Self { tenants: TableName::known("tenants"), exposures: Some(TableName::known("exposure_events")) }
    }
}

/// What became of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableState {
    /// It was created.
    Created,
    /// It was there, and is what it must be.
    Present,
}
