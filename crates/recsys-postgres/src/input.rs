//! The table of exposures as an input of the jobs.

use recsys_core::database::{DatabaseError, MissingTenant};
use recsys_core::domain::id::Scope;
use recsys_core::domain::window::{Day, Window};
use recsys_core::input::source::EventSource;
use recsys_job::config::{Config, ConfigError, Input, PostgresSource};

use crate::connection::{APPLICATION, Connection};
use crate::dsn::Dsn;
use crate::error::PostgresError;
use crate::exposures::ExposureQuery;

/// The table that `raw_source.postgres` names.
#[derive(Debug)]
pub struct ExposureTable;

impl Input for ExposureTable {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn check(&self, config: &Config) -> Result<(), ConfigError> {
        config.raw_dsn().map(drop)
    }

    fn open(&self, config: &Config, scope: &Scope, day: Day) -> anyhow::Result<Box<dyn EventSource>> {
        let PostgresSource { tenant_table, exposure_table: table, row_security, .. } =
            &config.raw_source.postgres;
        let (key, dsn) = config.raw_dsn()?;
        let dsn = Dsn::parse(dsn).map_err(|error| ConfigError::Dsn { key, source: error.into() })?;
        let window = Window::ending_with(day, 1)?;
        let source = || -> Result<_, PostgresError> {
            let timeouts = config.database_timeouts();
            let mut connection = Connection::open(&dsn, APPLICATION, timeouts, *row_security)?;
            let tenant = connection.tenant(tenant_table, &scope.tenant, MissingTenant::Refuse)?;
            connection.exposures(ExposureQuery { table, tenant: &tenant, scope, window })
        };
        Ok(source().map_err(DatabaseError::from)?)
    }
}
