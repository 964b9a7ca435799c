//! Postgres: reads exposures, writes signals and the catalogue. All SQL of the project is in this crate.
//!
//! Every write is one transaction: a failure at any point, including a lost connection or a killed process, leaves
//! the rows as they were. Rows travel in chunks and are never all in memory, and rows that are already right are not
//! touched.
//!
//! Like the rest of the project, this interface is synchronous; [`Connection`] waits for the network.

mod catalog;
mod connection;
mod copy;
mod driver;
mod dsn;
mod error;
mod exposures;
mod input;
mod merge;
mod signals;
mod tables;
mod tenant;

pub use connection::Connection;
pub use driver::PostgresDriver;
pub use dsn::{Dsn, DsnError};
pub use error::{PostgresError, Problem};
pub use exposures::ExposureQuery;
pub use input::ExposureTable;
pub use tables::{Difference, InitError, Part};
