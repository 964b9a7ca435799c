//! Stands in for the Postgres driver in builds without it: it refuses every DSN.

use recsys_core::database::{Database, DatabaseError, DatabaseTimeouts, Driver, RowSecurity};
use recsys_core::domain::class::Class;
use recsys_core::storage::Secret;

/// Has the driver's name, so that callers need no `cfg`.
#[derive(Debug)]
pub(crate) struct PostgresDriver;

/// Error of every connection attempt.
#[derive(Debug)]
struct NotBuilt;

impl std::fmt::Display for NotBuilt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "this program was built without the feature `postgres`, which a DSN needs; build it with \
             `--features postgres`, or take the DSN out",
        )
    }
}

impl std::error::Error for NotBuilt {}

impl Driver for PostgresDriver {
    fn check(&self, _: &Secret) -> Result<(), DatabaseError> {
        Err(DatabaseError::new(Class::Usage, NotBuilt))
    }

    fn connect(
        &self,
        _: &Secret,
        _: &str,
        _: DatabaseTimeouts,
        _: RowSecurity,
    ) -> Result<Box<dyn Database>, DatabaseError> {
        Err(DatabaseError::new(Class::Usage, NotBuilt))
    }
}
