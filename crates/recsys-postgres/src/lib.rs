//! Postgres: exposures out of it, signals and the catalogue into it. No other crate speaks SQL.
//!
//! Whatever is written is written in one transaction: a failure at any point, a lost connection or a killed
//! process included, leaves the rows as they were. Rows travel in chunks, never all in memory, and rows that
//! are in place already are not touched.
//!
//! The rest of the project is not asynchronous, and neither is this interface; [`Connection`] waits for the
//! network.

mod catalog;
mod connection;
mod copy;
mod dsn;
mod exposures;
mod fault;
mod identifier;
mod merge;
mod signals;
mod tables;
mod tenant;

pub use catalog::{CatalogError, CatalogRow, CatalogTarget, Obsolete};
pub use connection::{Connection, Patience};
pub use dsn::{Dsn, DsnError};
pub use exposures::{ExposureCounts, ExposureQuery, Exposures, Tally};
pub use fault::{Class, PostgresError, Problem};
pub use identifier::{IdentifierError, TableName};
pub use merge::Written;
pub use signals::{ItemScore, PairScore, SignalTarget, Signals, SignalsWritten};
pub use tables::{Difference, InitError, TableNames, TableState};
pub use tenant::{MissingTenant, TenantId};
