//! How a job gets to a database: with the settings, and the driver that its binary brought along.

use recsys_core::database::{Database, Driver, MissingTenant, Mode, RowSecurity, TableName, TenantId};
use recsys_core::storage::Secret;

use crate::config::{Config, ConfigError, RawType};
use crate::pipeline::context::Context;

/// What the server's list of sessions shows.
const APPLICATION: &str = "recsys-pipelines";

/// Checks every DSN, without asking a server.
pub(crate) fn check(config: &Config, driver: &dyn Driver) -> Result<(), ConfigError> {
    if config.raw_source.r#type == RawType::Postgres {
        config.raw_dsn()?;
    }
    let raw = config.raw_source.postgres.dsn.as_ref();
    for (key, dsn) in [("db.dsn", config.db.dsn.as_ref()), ("raw_source.postgres.dsn", raw)] {
        dsn.map_or(Ok(()), |dsn| driver.check(dsn)).map_err(|source| ConfigError::Dsn { key, source })?;
    }
    Ok(())
}

/// Connects to the database that setting `key` names.
pub(crate) fn connect(
    config: &Config,
    driver: &dyn Driver,
    (key, dsn): (&'static str, &Secret),
    row_security: RowSecurity,
) -> anyhow::Result<Box<dyn Database>> {
    driver.check(dsn).map_err(|source| ConfigError::Dsn { key, source })?;
    Ok(driver.connect(dsn, APPLICATION, config.database_timeouts(), row_security)?)
}

/// The database that signals and the catalogue are written to, and whose rows they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatabaseTarget<'a> {
    ctx: &'a Context,
    driver: &'a dyn Driver,
    dsn: &'a Secret,
}

impl<'a> DatabaseTarget<'a> {
    /// The database of `db.dsn`, if that is set.
    pub(crate) fn configured(ctx: &'a Context, driver: &'a dyn Driver) -> Option<Self> {
        Some(Self { ctx, driver, dsn: ctx.config.db.dsn.as_ref()? })
    }

    /// The database of `db.dsn`.
    pub(crate) fn required(ctx: &'a Context, driver: &'a dyn Driver) -> anyhow::Result<Self> {
        Ok(Self::configured(ctx, driver).ok_or(ConfigError::DsnMissing)?)
    }

    /// Finds out at once whether the database and the tenant are there, before there is anything to write. A tenant
    /// that may be created is, but only when it gets rows.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.ctx.config.db.auto_create_tenant {
            return self.open().map(drop);
        }
        self.connect(Mode::Write).map(drop)
    }

    fn open(&self) -> anyhow::Result<Box<dyn Database>> {
        let config = &self.ctx.config;
        connect(config, self.driver, ("db.dsn", self.dsn), config.db.row_security)
    }

    /// Connects, and finds the tenant. A dry run creates none.
    pub(crate) fn connect(&self, mode: Mode) -> anyhow::Result<(Box<dyn Database>, TenantId)> {
        let (ctx, mut database) = (self.ctx, self.open()?);
        let missing = match (ctx.config.db.auto_create_tenant, mode) {
            (true, Mode::Write) => MissingTenant::Create,
            (true, Mode::DryRun) => MissingTenant::Refuse,
            (false, _) => MissingTenant::Advise,
        };
        let tenant = database.tenant(&TableName::known("tenants"), &ctx.scope.tenant, missing)?;
        Ok((database, tenant))
    }
}
