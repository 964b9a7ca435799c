//! What a job works with: the configuration, the stores it names, the scope, the clock.

use std::path::Path;

use recsys_core::canonical::Canonical;
use recsys_core::catalog::{Catalog, CatalogError, CatalogFormat};
use recsys_core::id::Scope;
use recsys_core::raw::open_decompressed;
use recsys_core::staging::Staging;
use recsys_core::storage::LocalStore;
use recsys_core::window::Day;

use crate::cli::{CommonArgs, ScopeArgs};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::error::JobError;

/// Everything a job works with.
#[derive(Debug)]
pub struct Context {
    pub(crate) config: Config,
    pub(crate) scope: Scope,
    pub(crate) clock: Clock,
    pub(crate) canonical: LocalStore,
    pub(crate) artifacts: LocalStore,
    pub(crate) objects: LocalStore,
    pub(crate) registry: LocalStore,
    pub(crate) checkpoints: LocalStore,
}

impl Context {
    /// Reads the configuration and names the stores. Nothing is created yet.
    pub fn new(common: &CommonArgs, scope: &ScopeArgs) -> Result<Self, JobError> {
        let config = Config::load(common.config.as_deref())?;
        Ok(Self {
            scope: Scope { tenant: scope.tenant.clone(), surface: scope.surface.clone() },
            clock: Clock::from_env()?,
            canonical: LocalStore::new(config.canonical_dir())?,
            artifacts: LocalStore::new(config.artifacts_dir())?,
            objects: LocalStore::new(config.object_store_dir())?,
            registry: LocalStore::new(config.registry_dir())?,
            checkpoints: LocalStore::new(config.checkpoint_dir())?,
            config,
        })
    }

    /// The days from `start` to `end`, both inclusive; just `start` without an end.
    pub(crate) fn days(&self, start: Day, end: Option<Day>) -> Result<Vec<Day>, JobError> {
        let end = end.unwrap_or(start);
        if end < start {
            return Err(JobError::Usage(format!("--end {end} is before --start {start}")));
        }
        let limits = &self.config.limits;
        let days = std::iter::successors(Some(start), |day| day.next().ok()).take_while(|day| *day <= end);
        let count = days.clone().count();
        limits
            .check("max_days_backfill", limits.max_days_backfill, count)
            .map_err(|exceeded| exceeded.in_place(format_args!("the days {start} to {end}")))?;
        Ok(days.collect())
    }

    pub(crate) fn raw_store(&self) -> Result<LocalStore, JobError> {
        Ok(LocalStore::new(self.config.raw_dir()?)?)
    }

    pub(crate) fn canonical(&self) -> Canonical<'_> {
        Canonical::new(&self.canonical, &self.scope)
    }

    pub(crate) fn staging(&self) -> Staging<'_> {
        Staging::new(&self.artifacts)
    }

    /// Reads the catalogue at `path`, or at the place that the configuration names.
    pub(crate) fn catalog(
        &self,
        path: Option<&str>,
        format: Option<CatalogFormat>,
    ) -> Result<Catalog, JobError> {
        let settings = &self.config.catalog;
        let path = path.or(settings.path.as_deref()).ok_or(ConfigError::CatalogMissing)?;
        let format = format.or(settings.format).or_else(|| CatalogFormat::of_name(path));
        let format = format.ok_or_else(|| CatalogError::Format(path.to_owned()))?;
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        let file = Path::new(path).strip_prefix(folder).ok().and_then(Path::to_str).unwrap_or_default();
        let store = LocalStore::new(folder)?;
        let reader =
            open_decompressed(&store, file)?.ok_or_else(|| CatalogError::Missing(path.to_owned()))?;
        let catalog = Catalog::read(path, format, reader, &self.scope.surface, &self.config.limits)?;
        let Catalog { rows, foreign, rows_without_id, .. } = catalog;
        tracing::info!(path, rows, foreign, "read the catalogue");
        if rows_without_id > 0 {
            tracing::warn!(path, rows_without_id, "catalogue rows that name no item are left out");
        }
        Ok(catalog)
    }
}

/// Who publishes, as the history has it.
pub(crate) fn by() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let host = gethostname::gethostname();
    format!("{}@{}", user.as_deref().unwrap_or("unknown"), host.to_string_lossy())
}
