//! The database driver for Postgres, through which signals and the catalogue are written.

use recsys_core::database::{
    CatalogTarget, CatalogWriteError, Database, DatabaseError, DatabaseTimeouts, Driver, ItemRow,
    MissingTenant, Mode, RowSecurity, SignalTarget, Signals, SignalsWritten, TableName, TableNames,
    TableState, TenantId, Written,
};
use recsys_core::domain::class::Class;
use recsys_core::domain::id::Tenant;
use recsys_core::input::catalog::CatalogError;
use recsys_core::storage::Secret;

use crate::connection::{APPLICATION, Connection};
use crate::dsn::{Dsn, DsnError};
use crate::tables::InitError;

/// Connects to Postgres servers.
#[derive(Debug, Clone, Copy)]
pub struct PostgresDriver;

impl Driver for PostgresDriver {
    fn check(&self, dsn: &Secret) -> Result<(), DatabaseError> {
        Dsn::parse(dsn)?;
        Ok(())
    }

    fn connect(
        &self,
        dsn: &Secret,
        timeouts: DatabaseTimeouts,
        row_security: RowSecurity,
    ) -> Result<Box<dyn Database>, DatabaseError> {
        Ok(Box::new(Connection::open(&Dsn::parse(dsn)?, APPLICATION, timeouts, row_security)?))
    }
}

impl Database for Connection {
    fn tenant(
        &mut self,
        table: &TableName,
        tenant: &Tenant,
        missing: MissingTenant,
    ) -> Result<TenantId, DatabaseError> {
        Ok(Self::tenant(self, table, tenant, missing)?)
    }

    fn replace_signals(
        &mut self,
        target: SignalTarget<'_>,
        signals: Signals<'_>,
    ) -> Result<SignalsWritten, DatabaseError> {
        Ok(Self::replace_signals(self, target, signals)?)
    }

    fn write_catalog(
        &mut self,
        target: CatalogTarget<'_>,
        rows: &mut dyn Iterator<Item = Result<ItemRow, CatalogError>>,
    ) -> Result<Written, CatalogWriteError> {
        Self::write_catalog(self, target, rows)
    }

    fn init_tables(
        &mut self,
        names: &TableNames,
        mode: Mode,
    ) -> Result<Vec<(TableName, TableState)>, DatabaseError> {
        Ok(Self::init_tables(self, names, mode)?)
    }
}

impl From<DsnError> for DatabaseError {
    fn from(error: DsnError) -> Self {
        Self::new(Class::Usage, error)
    }
}

impl From<InitError> for DatabaseError {
    fn from(error: InitError) -> Self {
        match error {
            InitError::Shape(_) => Self::new(Class::Usage, error),
            InitError::Postgres(error) => error.into(),
        }
    }
}
