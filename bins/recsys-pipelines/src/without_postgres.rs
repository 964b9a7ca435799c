//! Stands in for the table of exposures in builds without Postgres: its settings are checked, and it cannot be read.

use recsys_core::domain::id::Scope;
use recsys_core::domain::window::Day;
use recsys_core::input::source::EventSource;
use recsys_job::config::{Config, ConfigError, Input};

/// Has the name of the input, so that the list of inputs needs no `cfg`.
#[derive(Debug)]
pub(crate) struct ExposureTable;

impl Input for ExposureTable {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn check(&self, config: &Config) -> Result<(), ConfigError> {
        config.raw_dsn().map(drop)
    }

    fn open(&self, config: &Config, _: &Scope, _: Day) -> anyhow::Result<Box<dyn EventSource>> {
        let (key, _) = config.raw_dsn()?;
        Err(ConfigError::NoDriver(key).into())
    }
}
