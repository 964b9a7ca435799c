//! How a job gets to a database: with the settings, and the driver that its binary is linked with.

use recsys_core::database::{Database, Driver, MissingTenant, Mode, TableName, TenantId};
use recsys_core::storage::Secret;

use crate::config::{Config, ConfigError, Linked};
use crate::pipeline::context::Context;

/// Checks every DSN, without asking a server.
pub(crate) fn check(config: &Config, linked: Linked) -> Result<(), ConfigError> {
    linked.input(config).map_or(Ok(()), |input| input.check(config))?;
    let raw = config.raw_source.postgres.dsn.as_ref();
    for (key, dsn) in [("db.dsn", config.db.dsn.as_ref()), ("raw_source.postgres.dsn", raw)] {
        dsn.map_or(Ok(()), |dsn| driver(linked, key, dsn).map(drop))?;
    }
    Ok(())
}

/// The driver for the DSN of setting `key`.
fn driver(linked: Linked, key: &'static str, dsn: &Secret) -> Result<&'static dyn Driver, ConfigError> {
    let driver = linked.database.ok_or(ConfigError::NoDriver(key))?;
    driver.check(dsn).map_err(|source| ConfigError::Dsn { key, source })?;
    Ok(driver)
}

/// Connects to the database of `db.dsn`, which is `dsn`.
pub(crate) fn connect(config: &Config, linked: Linked, dsn: &Secret) -> anyhow::Result<Box<dyn Database>> {
    let driver = driver(linked, "db.dsn", dsn)?;
    Ok(driver.connect(dsn, config.database_timeouts(), config.db.row_security)?)
}

/// The database that signals and the catalogue are written to, and whose rows they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatabaseTarget<'a> {
    ctx: &'a Context,
    dsn: &'a Secret,
}

impl<'a> DatabaseTarget<'a> {
    /// The database of `db.dsn`, if that is set.
    pub(crate) fn configured(ctx: &'a Context) -> Option<Self> {
        Some(Self { ctx, dsn: ctx.config.db.dsn.as_ref()? })
    }

    /// The database of `db.dsn`.
    pub(crate) fn required(ctx: &'a Context) -> anyhow::Result<Self> {
        Ok(Self::configured(ctx).ok_or(ConfigError::DsnMissing)?)
    }

    /// Finds out at once whether the database and the tenant are there, before there is anything to write. A tenant
    /// that may be created is, but only when it gets rows.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.ctx.config.db.auto_create_tenant {
            return connect(&self.ctx.config, self.ctx.linked, self.dsn).map(drop);
        }
        self.connect(Mode::Write).map(drop)
    }

    /// Connects, and finds the tenant. A dry run creates none.
    pub(crate) fn connect(&self, mode: Mode) -> anyhow::Result<(Box<dyn Database>, TenantId)> {
        let ctx = self.ctx;
        let mut database = connect(&ctx.config, ctx.linked, self.dsn)?;
        let missing = match (ctx.config.db.auto_create_tenant, mode) {
            (true, Mode::Write) => MissingTenant::Create,
            (true, Mode::DryRun) => MissingTenant::Refuse,
            (false, _) => MissingTenant::Advise,
        };
        let tenant = database.tenant(&TableName::known("tenants"), &ctx.scope.tenant, missing)?;
        Ok((database, tenant))
    }
}
