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
mod driver;
mod dsn;
mod exposures;
mod fault;
mod merge;
mod signals;
mod tables;
mod tenant;

pub use connection::Connection;
pub use driver::Postgres;
pub use dsn::{Dsn, DsnError};
pub use fault::{PostgresError, Problem};
pub use tables::{Difference, InitError, Part};
