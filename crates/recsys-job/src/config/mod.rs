//! Configuration: a file, overridden by environment variables, overridden by flags.
//!
//! A configuration that was loaded is valid: keys that nobody knows, values out of range and variables that look like settings
//! are errors that name what was meant. Secrets are never shown. Nothing here reads data or asks a service.

mod address;
mod error;
mod json;
mod load;
mod look_alike;
mod metrics;
mod notify;
mod template;
mod yaml;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use recsys_core::artifact::Kind;
use recsys_core::columnar::spill::Budget;
use recsys_core::database::{self, RowSecurity, TableName};
use recsys_core::domain::limit::Limits;
use recsys_core::domain::weights::Weights;
use recsys_core::gate::Validation;
use recsys_core::input::catalog::CatalogFormat;
use recsys_core::publish::LeaseTimeouts;
use recsys_core::storage::{Patience, Roots, S3Settings, Secret};
use serde::{Deserialize, Serialize};

pub(crate) use address::parse_gateway;
pub use error::ConfigError;
pub use metrics::MetricsSettings;
pub(crate) use notify::NotifyRequest;
pub use notify::{NotifySettings, SecretUrl};

/// The greatest share by which a gate may let a number grow: more is a percentage that was meant.
const MOST_GROWTH: f64 = 10.0;

/// Every setting. A `*_dir` is a path, relative to the working directory, or a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where folders that are not set go.
    pub out_dir: String,
    /// Where raw events are, unless `raw_source.dir` says otherwise.
    pub raw_events_dir: Option<String>,
    /// Where canonical data goes.
    pub canonical_dir: Option<String>,
    /// Where checkpoints go.
    pub checkpoint_dir: Option<String>,
    /// Where artifacts are staged.
    pub artifacts_dir: Option<String>,
    /// Where blobs go, unless `object_store.dir` says otherwise.
    pub object_store_dir: Option<String>,
    /// Where records, history and manifests go.
    pub registry_dir: Option<String>,
    /// Where raw events come from.
    pub raw_source: RawSource,
    /// Where blobs go.
    pub object_store: ObjectStore,
    /// How manifests are swapped.
    pub registry: RegistrySettings,
    /// How long to wait for services.
    pub storage: Patience,
    /// The kinds that `run` builds.
    pub artifact_kinds: Vec<Kind>,
    /// Days in the window of a kind; 1 unless set.
    pub window_days: BTreeMap<Kind, NonZeroU32>,
    /// What an event counts in `popularity` and `implicit`.
    pub weights: Weights,
    /// The catalogue that `content_sim` is built from.
    pub catalog: CatalogSettings,
    /// The database that signals and the catalogue are written to.
    pub db: DbSettings,
    /// What a day must look like.
    pub validation: Validation,
    /// What a run may hold.
    pub limits: Limits,
    /// Where a process tells what it has done.
    pub metrics: MetricsSettings,
    /// Whom to tell that another manifest is current.
    pub notify: NotifySettings,
    /// What a run may use of the machine.
    pub resources: Resources,
}

/// What a run may use of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// The memory that the events and counts of a run may take. What exceeds it goes to temporary files.
    pub memory_bytes: u64,
    /// Where temporary files go: a path. `out_dir` unless set, or the system's folder where that is a URL.
    pub temp_dir: Option<String>,
}

impl Default for Resources {
    fn default() -> Self {
        Self { memory_bytes: Budget::DEFAULT_BYTES, temp_dir: None }
    }
}

/// Where raw events come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawSource {
    /// Which of the others says where it is.
    pub r#type: RawType,
    /// The folder: a path or a URL.
    pub dir: Option<String>,
    /// A bucket, and how to reach it. Where `dir` is an `s3://` URL, only how to reach it.
    pub s3: S3Settings,
    /// A table of exposures.
    pub postgres: PostgresSource,
}

/// Where blobs go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectStore {
    /// Whether `dir` or `s3` says where it is.
    pub r#type: StoreType,
    /// The folder: a path or a URL.
    pub dir: Option<String>,
    /// A bucket, and how to reach it. Where `dir` is an `s3://` URL, only how to reach it.
    pub s3: S3Settings,
}

/// The types of places that raw events come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawType {
    /// What `dir` says.
    #[default]
    Fs,
    /// The bucket of `s3`.
    S3,
    /// The bucket of `s3`, too.
    Minio,
    /// The table of `postgres`.
    Postgres,
}

/// The types of places that blobs go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreType {
    /// What `dir` says.
    #[default]
    Fs,
    /// The bucket of `s3`.
    S3,
    /// The bucket of `s3`, too.
    Minio,
}

/// Exposures in a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSource {
    /// The server and database; `db.dsn` unless set.
    pub dsn: Option<Secret>,
    /// The tenants.
    pub tenant_table: TableName,
    /// The exposures.
    pub exposure_table: TableName,
    /// What becomes of a read where a policy may hide rows.
    pub row_security: RowSecurity,
}

impl Default for PostgresSource {
    fn default() -> Self {
        Self {
            dsn: None,
            tenant_table: TableName::known("tenants"),
            exposure_table: TableName::known("exposure_events"),
            row_security: RowSecurity::default(),
        }
    }
}

/// The database that signals and the catalogue are written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbSettings {
    /// The server and database.
    pub dsn: Option<Secret>,
    /// Whether a tenant that is not there is inserted.
    pub auto_create_tenant: bool,
    /// Seconds after which the server stops a statement; 0 is never. Holds for reading exposures, too.
    pub statement_timeout_s: u32,
    /// What becomes of a read or write where a policy may hide rows.
    pub row_security: RowSecurity,
}

impl Default for DbSettings {
    fn default() -> Self {
        let row_security = RowSecurity::default();
        Self { dsn: None, auto_create_tenant: false, statement_timeout_s: 3600, row_security }
    }
}

/// How manifests are swapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// What happens when two publishers collide.
    pub concurrency: Concurrency,
    /// Seconds for which a publisher, a rollback or `gc` waits for a `gc --delete` that is in its way.
    pub lease_timeout_s: u32,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self { concurrency: Concurrency::default(), lease_timeout_s: 60 }
    }
}

impl RegistrySettings {
    /// How long one process waits for another.
    pub(crate) fn timeouts(&self) -> LeaseTimeouts {
        /// Less would be no silence: a claim is renewed every two seconds.
        const LEAST_SILENCE: Duration = Duration::from_secs(5);
        let wait = Duration::from_secs(self.lease_timeout_s.into());
        let silence = LeaseTimeouts::default().silence.min(wait / 2).max(LEAST_SILENCE);
        LeaseTimeouts { wait, silence }
    }

    /// The same for a collection of garbage, which waits long enough for one that is dead to show.
    pub(crate) fn timeouts_of_gc(&self) -> LeaseTimeouts {
        let LeaseTimeouts { wait, silence } = self.timeouts();
        LeaseTimeouts { wait: wait.max(silence + Duration::from_secs(1)), silence }
    }
}

/// What happens when two publishers collide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concurrency {
    /// The second one merges its kinds into what the first one has published.
    #[default]
    CompareAndSwap,
    /// The second one may undo what the first one has published.
    LastWriteWins,
}

/// Where the catalogue is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSettings {
    /// The file.
    pub path: Option<String>,
    /// Its format; by its extension unless set.
    pub format: Option<CatalogFormat>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            out_dir: ".out".to_owned(),
            raw_events_dir: None,
            canonical_dir: None,
            checkpoint_dir: None,
            artifacts_dir: None,
            object_store_dir: None,
            registry_dir: None,
            raw_source: RawSource::default(),
            object_store: ObjectStore::default(),
            registry: RegistrySettings::default(),
            storage: Patience::default(),
            artifact_kinds: vec![Kind::Popularity, Kind::Cooc],
            window_days: BTreeMap::new(),
            weights: Weights::default(),
            catalog: CatalogSettings::default(),
            db: DbSettings::default(),
            validation: Validation::default(),
            limits: Limits::default(),
            metrics: MetricsSettings::default(),
            notify: NotifySettings::default(),
            resources: Resources::default(),
        }
    }
}

impl Config {
    fn below_out_dir(&self, set: Option<&String>, name: &str) -> String {
        set.cloned().unwrap_or_else(|| format!("{}/{name}", self.out_dir.trim_end_matches('/')))
    }

    fn raw_bucket(&self) -> Bucket<'_> {
        let RawSource { r#type, dir, s3, .. } = &self.raw_source;
        Bucket { is_named: matches!(r#type, RawType::S3 | RawType::Minio), dir: dir.as_deref(), s3 }
    }

    fn object_bucket(&self) -> Bucket<'_> {
        let ObjectStore { r#type, dir, s3 } = &self.object_store;
        Bucket { is_named: matches!(r#type, StoreType::S3 | StoreType::Minio), dir: dir.as_deref(), s3 }
    }

    /// The database of the exposures, and the setting that names it.
    pub(crate) fn raw_dsn(&self) -> Result<(&'static str, &Secret), ConfigError> {
        match (&self.raw_source.postgres.dsn, &self.db.dsn) {
            (Some(dsn), _) => Ok(("raw_source.postgres.dsn", dsn)),
            (None, Some(dsn)) => Ok(("db.dsn", dsn)),
            (None, None) => {
                let problem = "is missing, and so is db.dsn; the type says that events are in a table";
                Err(ConfigError::Value { key: "raw_source.postgres.dsn", problem })
            }
        }
    }

    /// How long to wait for a database.
    pub(crate) fn database_patience(&self) -> database::Patience {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        database::Patience {
            connect: seconds(self.storage.retry_timeout_s),
            statement: Some(seconds(self.db.statement_timeout_s)),
        }
    }

    /// The `s3` section that is for raw events and for nothing else, if the type says so.
    pub(crate) fn raw_section(&self) -> Option<&S3Settings> {
        self.raw_bucket().own_section()
    }

    /// The `s3` section that is for blobs and for nothing else, if the type says so.
    pub(crate) fn object_section(&self) -> Option<&S3Settings> {
        self.object_bucket().own_section()
    }

    /// Where raw events are.
    pub fn raw_dir(&self) -> Result<String, ConfigError> {
        if let Some(url) = self.raw_bucket().url("raw_source.s3.bucket")? {
            return Ok(url);
        }
        let dir = self.raw_source.dir.as_ref().or(self.raw_events_dir.as_ref());
        dir.cloned().ok_or(ConfigError::RawDirMissing)
    }

    /// Where canonical data goes.
    pub fn canonical_dir(&self) -> String {
        self.below_out_dir(self.canonical_dir.as_ref(), "canonical")
    }

    /// Where checkpoints go.
    pub fn checkpoint_dir(&self) -> String {
        self.below_out_dir(self.checkpoint_dir.as_ref(), "checkpoints")
    }

    /// Where artifacts are staged.
    pub fn artifacts_dir(&self) -> String {
        self.below_out_dir(self.artifacts_dir.as_ref(), "artifacts")
    }

    /// Where blobs go.
    pub fn object_store_dir(&self) -> Result<String, ConfigError> {
        if let Some(url) = self.object_bucket().url("object_store.s3.bucket")? {
            return Ok(url);
        }
        let dir = self.object_store.dir.as_ref().or(self.object_store_dir.as_ref());
        Ok(self.below_out_dir(dir, "objects"))
    }

    /// Where records, history and manifests go.
    pub fn registry_dir(&self) -> String {
        self.below_out_dir(self.registry_dir.as_ref(), "registry")
    }

    /// The memory that a run may take, and where it puts what exceeds it.
    pub(crate) fn budget(&self) -> Budget {
        Budget::new(self.resources.memory_bytes, self.temp_dir())
    }

    /// Where temporary files go: not in the system's folder if that can be helped, because it is in memory on
    /// many systems.
    fn temp_dir(&self) -> PathBuf {
        let out_dir = self.out_dir.strip_prefix("file://").unwrap_or(&self.out_dir);
        match &self.resources.temp_dir {
            Some(dir) => PathBuf::from(dir),
            None if out_dir.contains("://") => std::env::temp_dir(),
            None => PathBuf::from(out_dir),
        }
    }

    /// Every setting with its value; folders that are not set are where they default to.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        let mut effective = self.clone();
        effective.canonical_dir = Some(self.canonical_dir());
        effective.checkpoint_dir = Some(self.checkpoint_dir());
        effective.artifacts_dir = Some(self.artifacts_dir());
        effective.object_store_dir = self.object_store_dir().ok();
        effective.registry_dir = Some(self.registry_dir());
        effective.resources.temp_dir = Some(self.temp_dir().display().to_string());
        serde_json::to_value(effective).unwrap_or_default()
    }

    /// What opens roots with the settings of this configuration.
    pub fn roots(&self) -> Roots {
        Roots::new(vec![self.raw_source.s3.clone(), self.object_store.s3.clone()], self.storage)
    }

    /// The same for an operator's command.
    pub(crate) fn operator_roots(&self) -> Roots {
        Roots::for_operator(vec![self.raw_source.s3.clone(), self.object_store.s3.clone()], self.storage)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.validation.lookback_days > Validation::MAX_LOOKBACK_DAYS {
            let (key, problem) = ("validation.lookback_days", "must be at most 366");
            return Err(ConfigError::Value { key, problem });
        }

        let Validation { max_volume_drop, max_volume_spike, max_artifact_change, lookback_days, .. } =
            self.validation;
        for (key, share) in
            [("max_volume_spike", max_volume_spike), ("max_artifact_change", max_artifact_change)]
        {
            if let Some(share) = share.map(f64::from).filter(|share| *share > MOST_GROWTH) {
                let origin = format!("setting validation.{key}");
                let problem = format!(
                    "{share} lets a number grow to {} times what it was; at most {MOST_GROWTH}, and {share} % is {}",
                    share + 1.0,
                    share / 100.0
                );
                return Err(ConfigError::Invalid { origin, problem });
            }
        }
        if lookback_days == 0 && (max_volume_drop.is_some() || max_volume_spike.is_some()) {
            let key = "validation.lookback_days";
            let problem = "is 0, with which max_volume_drop and max_volume_spike refuse nothing; take some days, or leave these out";
            return Err(ConfigError::Value { key, problem });
        }

        for (key, s3) in [("raw_source.s3", &self.raw_source.s3), ("object_store.s3", &self.object_store.s3)]
        {
            s3.check().map_err(|problem| ConfigError::S3 { key, problem })?;
        }
        let raw_dir = self.raw_dir();
        if let Err(error @ ConfigError::Value { .. }) = raw_dir {
            return Err(error);
        }
        let roots = self.roots();
        // All of them, whether or not another setting goes before: none may hold what must not be shown.
        let dirs = [
            ("out_dir", Some(self.out_dir.clone()), None),
            ("raw_events_dir", self.raw_events_dir.clone(), None),
            ("raw_source.dir", self.raw_source.dir.clone(), None),
            ("raw_source", raw_dir.ok(), self.raw_section()),
            ("canonical_dir", Some(self.canonical_dir()), None),
            ("checkpoint_dir", Some(self.checkpoint_dir()), None),
            ("artifacts_dir", Some(self.artifacts_dir()), None),
            ("object_store_dir", self.object_store_dir.clone(), None),
            ("object_store.dir", self.object_store.dir.clone(), None),
            ("object_store", Some(self.object_store_dir()?), self.object_section()),
            ("registry_dir", Some(self.registry_dir()), None),
        ];
        for (key, dir, section) in dirs {
            let Some(dir) = dir else { continue };
            if dir.trim().is_empty() {
                return Err(ConfigError::Value { key, problem: "is empty; give a path or leave it out" });
            }
            roots.open_with(&dir, section).map_err(|source| ConfigError::Root { key, source })?;
        }
        if let Some(path) = &self.catalog.path {
            let key = "catalog.path";
            if path.trim().is_empty() {
                return Err(ConfigError::Value { key, problem: "is empty; give a path or leave it out" });
            }
            roots.open_document(path).map_err(|source| ConfigError::Root { key, source })?;
        }
        if self.resources.memory_bytes < Budget::LEAST_BYTES {
            let problem = "must be at least 67108864 (64 MiB)";
            return Err(ConfigError::Value { key: "resources.memory_bytes", problem });
        }
        if let Some(dir) = &self.resources.temp_dir
            && (dir.trim().is_empty() || dir.contains("://"))
        {
            let problem = "must be a path: what is put there is too much to send over a network";
            return Err(ConfigError::Value { key: "resources.temp_dir", problem });
        }
        if self.storage.timeout_s == 0 {
            return Err(ConfigError::Value { key: "storage.timeout_s", problem: "must be at least 1" });
        }
        if self.storage.operator_timeout_s == 0 {
            let problem = "must be at least 1";
            return Err(ConfigError::Value { key: "storage.operator_timeout_s", problem });
        }
        if f64::from(self.validation.max_invalid_ratio) > 1.0 {
            let problem = "must be at most 1, which is every line";
            return Err(ConfigError::Value { key: "validation.max_invalid_ratio", problem });
        }
        if self.limits.max_id_bytes == 0 {
            return Err(ConfigError::Value { key: "limits.max_id_bytes", problem: "must be at least 1" });
        }
        let Weights { exposure, click, conversion, .. } = self.weights;
        if [exposure, click, conversion] == [0, 0, 0] {
            return Err(ConfigError::Value { key: "weights", problem: "are all 0; then nothing counts" });
        }
        self.metrics.check()?;
        self.notify.check()?;
        if self.artifact_kinds.is_empty() {
            let problem = "is empty; name at least one kind";
            return Err(ConfigError::Value { key: "artifact_kinds", problem });
        }
        let kinds = &self.artifact_kinds;
        if (1..kinds.len()).any(|at| kinds[..at].contains(&kinds[at])) {
            return Err(ConfigError::Value { key: "artifact_kinds", problem: "names a kind twice" });
        }
        Ok(())
    }
}

/// A place that may be a bucket.
struct Bucket<'a> {
    /// Whether the type says that it is the bucket of `s3`.
    is_named: bool,
    dir: Option<&'a str>,
    s3: &'a S3Settings,
}

impl<'a> Bucket<'a> {
    fn own_section(&self) -> Option<&'a S3Settings> {
        self.is_named.then_some(self.s3)
    }

    /// The URL of the bucket of `s3`, when the type says that this is the place.
    fn url(&self, key: &'static str) -> Result<Option<String>, ConfigError> {
        if !self.is_named {
            return Ok(None);
        }
        match (&self.s3.bucket, self.dir) {
            (Some(bucket), _) => {
                let prefix = self.s3.prefix.as_deref().unwrap_or_default().trim_matches('/');
                Ok(Some(format!("s3://{bucket}/{prefix}")))
            }
            (None, Some(dir)) if dir.starts_with("s3://") => Ok(Some(dir.to_owned())),
            _ => Err(ConfigError::Value { key, problem: "is missing; the type says that it is a bucket" }),
        }
    }
}
