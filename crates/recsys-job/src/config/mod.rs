//! Configuration: a file, overridden by environment variables, overridden by flags.
//!
//! A loaded configuration is valid. Unknown keys, values out of range and environment variables that look like settings
//! are errors that name the likely intent. Secrets are never shown. Nothing here reads data or calls a service.

mod address;
mod error;
mod json;
mod linked;
mod load;
mod look_alike;
mod models;
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
use recsys_core::domain::models::Models;
use recsys_core::domain::weights::Weights;
use recsys_core::gate::Validation;
use recsys_core::input::catalog::CatalogFormat;
use recsys_core::publish::LeaseTimeouts;
use recsys_core::storage::{Roots, S3Settings, Secret, StoreTimeouts};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use address::{Request, parse_gateway};
pub use error::ConfigError;
use error::refuse;
pub use linked::{Input, Linked};
pub use notify::{NotifySettings, SecretUrl};

/// Largest growth that a gate setting may allow, as a share; anything above is taken for a percentage.
const MOST_GROWTH: f64 = 10.0;

/// All settings. A `*_dir` is a URL, or a path relative to the working directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Parent of every folder below that is not set; `.out` by default.
    pub out_dir: String,
    /// Folder of the raw events, unless `raw_source` names another place.
    pub raw_events_dir: Option<String>,
    /// Folder of the canonical data; `canonical` in `out_dir` unless set.
    pub canonical_dir: Option<String>,
    /// Folder of the checkpoints; `checkpoints` in `out_dir` unless set.
    pub checkpoint_dir: Option<String>,
    /// Folder where artifacts are staged; `artifacts` in `out_dir` unless set.
    pub artifacts_dir: Option<String>,
    /// Folder of the blobs, unless `object_store` names another place; `objects` in `out_dir` unless set.
    pub object_store_dir: Option<String>,
    /// Folder of the records, history and manifests; `registry` in `out_dir` unless set.
    pub registry_dir: Option<String>,
    /// Source of the raw events.
    pub raw_source: RawSource,
    /// Store for the blobs.
    pub object_store: ObjectStore,
    /// How manifests are swapped, and how long to wait for `gc`.
    pub registry: RegistrySettings,
    /// Timeouts for requests to services.
    pub storage: StoreTimeouts,
    /// The kinds that `run` builds; at least one, and none twice.
    pub artifact_kinds: Vec<Kind>,
    /// Window length in days, per kind; 1 unless set.
    pub window_days: BTreeMap<Kind, NonZeroU32>,
    /// Weights of the event types in `popularity` and `implicit`.
    pub weights: Weights,
    /// What `cooc`, `implicit` and `session_seq` are made of; by default each is its baseline.
    pub models: Models,
    /// Catalogue that `content_sim` is built from, and that filters of models look at.
    pub catalog: CatalogSettings,
    /// Database that signals and the catalogue are written to.
    pub db: DbSettings,
    /// Thresholds of the gates for a day and for an artifact.
    pub validation: Validation,
    /// Upper bounds on the data that a run holds.
    pub limits: Limits,
    /// Destinations of the metrics.
    pub metrics: MetricsSettings,
    /// Request sent to the serving side after a swap.
    pub notify: NotifySettings,
    /// Memory and temporary space for a run.
    pub resources: Resources,
}

/// Memory and temporary space for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Bytes of memory for events and counts; the excess goes to temporary files.
    pub memory_bytes: u64,
    /// Folder for temporary files, a path. Defaults to `out_dir`, or to the system's folder if `out_dir` is a URL.
    pub temp_dir: Option<String>,
}

impl Default for Resources {
    fn default() -> Self {
        Self { memory_bytes: Budget::DEFAULT_BYTES, temp_dir: None }
    }
}

/// Source of the raw events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawSource {
    /// Where the raw events are: `fs`, the folder in `dir`; `s3` or `minio`, the bucket in `s3`; or the name of an input that
    /// the binary is linked with.
    pub r#type: String,
    /// Folder: a path or a URL.
    pub dir: Option<String>,
    /// Bucket and how to reach it. With an `s3://` URL in `dir`, only how to reach it.
    pub s3: S3Settings,
    /// Table of exposures.
    pub postgres: PostgresSource,
    /// Sections of other inputs, which these check themselves. They are shown, so none holds a secret.
    #[serde(flatten)]
    pub sections: BTreeMap<String, Value>,
}

impl Default for RawSource {
    fn default() -> Self {
        let (s3, postgres) = (S3Settings::default(), PostgresSource::default());
        Self { r#type: "fs".to_owned(), dir: None, s3, postgres, sections: BTreeMap::new() }
    }
}

/// Store for the blobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectStore {
    /// Whether `dir` or `s3` names the place.
    pub r#type: StoreType,
    /// Folder: a path or a URL.
    pub dir: Option<String>,
    /// Bucket and how to reach it. With an `s3://` URL in `dir`, only how to reach it.
    pub s3: S3Settings,
}

/// Kinds of stores for blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreType {
    /// The folder in `dir`.
    #[default]
    Fs,
    /// The bucket in `s3`.
    S3,
    /// Same as `S3`.
    Minio,
}

/// Raw events read from a table of exposures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSource {
    /// Connection string; `db.dsn` unless set.
    pub dsn: Option<Secret>,
    /// Table of tenants.
    pub tenant_table: TableName,
    /// Table of exposures.
    pub exposure_table: TableName,
    /// Behaviour when a row-security policy may hide rows from a read.
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

/// Database that signals and the catalogue are written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbSettings {
    /// Connection string.
    pub dsn: Option<Secret>,
    /// Whether to insert a tenant that is missing.
    pub auto_create_tenant: bool,
    /// Seconds until the server cancels a statement; 0 disables the timeout. Applies to reading exposures, too.
    pub statement_timeout_s: u32,
    /// Behaviour when a row-security policy may hide rows from a read or write.
    pub row_security: RowSecurity,
}

impl Default for DbSettings {
    fn default() -> Self {
        let row_security = RowSecurity::default();
        Self { dsn: None, auto_create_tenant: false, statement_timeout_s: 3600, row_security }
    }
}

/// How manifests are swapped, and how long to wait for `gc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// Outcome when two publishers collide.
    pub concurrency: Concurrency,
    /// Seconds that a publisher, a rollback or `gc` waits for a running `gc --delete`.
    pub lease_timeout_s: u32,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self { concurrency: Concurrency::default(), lease_timeout_s: 60 }
    }
}

impl RegistrySettings {
    /// Timeouts for a process that waits for another one's claim.
    pub(crate) fn timeouts(&self) -> LeaseTimeouts {
        /// Claims are renewed every two seconds, so a shorter silence proves nothing.
        const LEAST_SILENCE: Duration = Duration::from_secs(5);
        let wait = Duration::from_secs(self.lease_timeout_s.into());
        let silence = LeaseTimeouts::default().silence.min(wait / 2).max(LEAST_SILENCE);
        LeaseTimeouts { wait, silence }
    }

    /// Timeouts for garbage collection, which waits long enough to notice that another collector is dead.
    pub(crate) fn timeouts_of_gc(&self) -> LeaseTimeouts {
        let LeaseTimeouts { wait, silence } = self.timeouts();
        LeaseTimeouts { wait: wait.max(silence + Duration::from_secs(1)), silence }
    }
}

/// Outcome when two publishers collide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concurrency {
    /// The second publisher merges its kinds into the manifest of the first.
    #[default]
    CompareAndSwap,
    /// The second publisher may undo what the first one published.
    LastWriteWins,
}

/// Location and format of the catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSettings {
    /// Path or URL of the file.
    pub path: Option<String>,
    /// Format of the file; derived from the extension unless set.
    pub format: Option<CatalogFormat>,
}

/// Destinations of the metrics. Metrics never change what a job does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSettings {
    /// Path of the file; `{binary}`, `{tenant}` and `{surface}` are filled in.
    pub file: Option<String>,
    /// URL of a Pushgateway: scheme, host, port and path only.
    pub push: Option<String>,
}

impl MetricsSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let is_no_path = |file: &String| file.trim().is_empty() || file.contains("://");
        let problem = "must be the path of a file; give one or leave it out";
        refuse(self.file.as_ref().is_some_and(is_no_path), "metrics.file", problem)?;
        match self.push.as_deref().map(parse_gateway) {
            Some(Err(problem)) => Err(ConfigError::Value { key: "metrics.push", problem }),
            _ => Ok(()),
        }
    }
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
            storage: StoreTimeouts::default(),
            artifact_kinds: vec![Kind::Popularity, Kind::Cooc],
            window_days: BTreeMap::new(),
            weights: Weights::default(),
            models: Models::default(),
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

    /// Where raw events are, if in a bucket.
    pub(crate) fn raw_bucket(&self) -> Bucket<'_> {
        let RawSource { r#type, dir, s3, .. } = &self.raw_source;
        Bucket { is_named: matches!(r#type.as_str(), "s3" | "minio"), dir: dir.as_deref(), s3 }
    }

    /// Where blobs are, if in a bucket.
    pub(crate) fn object_bucket(&self) -> Bucket<'_> {
        let ObjectStore { r#type, dir, s3 } = &self.object_store;
        Bucket { is_named: matches!(r#type, StoreType::S3 | StoreType::Minio), dir: dir.as_deref(), s3 }
    }

    /// DSN for reading exposures, and the setting it comes from.
    pub fn raw_dsn(&self) -> Result<(&'static str, &Secret), ConfigError> {
        match (&self.raw_source.postgres.dsn, &self.db.dsn) {
            (Some(dsn), _) => Ok(("raw_source.postgres.dsn", dsn)),
            (None, Some(dsn)) => Ok(("db.dsn", dsn)),
            (None, None) => {
                let problem = "is missing, and so is db.dsn; the type says that events are in a table";
                Err(ConfigError::Value { key: "raw_source.postgres.dsn", problem })
            }
        }
    }

    /// Timeouts for connections and statements of `db`.
    pub fn database_timeouts(&self) -> database::DatabaseTimeouts {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        database::DatabaseTimeouts {
            connect: seconds(self.storage.retry_timeout_s),
            statement: Some(seconds(self.db.statement_timeout_s)),
        }
    }

    /// Effective folder of the raw events: the bucket, else `raw_source.dir`, else `raw_events_dir`.
    pub fn raw_dir(&self) -> Result<String, ConfigError> {
        if let Some(url) = self.raw_bucket().url("raw_source.s3.bucket")? {
            return Ok(url);
        }
        let dir = self.raw_source.dir.as_ref().or(self.raw_events_dir.as_ref());
        dir.cloned().ok_or(ConfigError::RawDirMissing)
    }

    /// Effective folder of the canonical data.
    pub fn canonical_dir(&self) -> String {
        self.below_out_dir(self.canonical_dir.as_ref(), "canonical")
    }

    /// Effective folder of the checkpoints.
    pub fn checkpoint_dir(&self) -> String {
        self.below_out_dir(self.checkpoint_dir.as_ref(), "checkpoints")
    }

    /// Effective folder where artifacts are staged.
    pub fn artifacts_dir(&self) -> String {
        self.below_out_dir(self.artifacts_dir.as_ref(), "artifacts")
    }

    /// Effective folder of the blobs: the bucket, else `object_store.dir`, else `object_store_dir`, else in `out_dir`.
    pub fn object_store_dir(&self) -> Result<String, ConfigError> {
        if let Some(url) = self.object_bucket().url("object_store.s3.bucket")? {
            return Ok(url);
        }
        let dir = self.object_store.dir.as_ref().or(self.object_store_dir.as_ref());
        Ok(self.below_out_dir(dir, "objects"))
    }

    /// Effective folder of the records, history and manifests.
    pub fn registry_dir(&self) -> String {
        self.below_out_dir(self.registry_dir.as_ref(), "registry")
    }

    /// Memory limit of a run, and the folder for what exceeds it.
    pub(crate) fn budget(&self) -> Budget {
        Budget::new(self.resources.memory_bytes, self.temp_dir())
    }

    /// Folder for temporary files. The system's folder is the last choice: on many systems it is in memory.
    fn temp_dir(&self) -> PathBuf {
        let out_dir = self.out_dir.strip_prefix("file://").unwrap_or(&self.out_dir);
        match &self.resources.temp_dir {
            Some(dir) => PathBuf::from(dir),
            None if out_dir.contains("://") => std::env::temp_dir(),
            None => PathBuf::from(out_dir),
        }
    }

    /// Path and value of every setting, with the effective path of every folder that is not set.
    pub(crate) fn settings(&self) -> Vec<(Vec<String>, Value)> {
        let mut effective = self.clone();
        effective.canonical_dir = Some(self.canonical_dir());
        effective.checkpoint_dir = Some(self.checkpoint_dir());
        effective.artifacts_dir = Some(self.artifacts_dir());
        effective.object_store_dir = self.object_store_dir().ok();
        effective.registry_dir = Some(self.registry_dir());
        effective.resources.temp_dir = Some(self.temp_dir().display().to_string());
        settings(&[], serde_json::to_value(effective).unwrap_or_default())
    }

    /// Opener for folders and buckets, with the credentials and timeouts of this configuration.
    pub fn roots(&self) -> Roots {
        Roots::new(vec![self.raw_source.s3.clone(), self.object_store.s3.clone()], self.storage)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Validation { max_volume_drop, max_volume_spike, max_artifact_change, lookback_days, .. } =
            self.validation;
        refuse(
            lookback_days > Validation::MAX_LOOKBACK_DAYS,
            "validation.lookback_days",
            "must be at most 366",
        )?;
        for (key, share) in [
            ("validation.max_volume_spike", max_volume_spike),
            ("validation.max_artifact_change", max_artifact_change),
        ] {
            if let Some(share) = share.map(f64::from).filter(|share| *share > MOST_GROWTH) {
                let problem = format!(
                    "{share} lets a number grow to {} times what it was; at most {MOST_GROWTH}, and {share} % is {}",
                    share + 1.0,
                    share / 100.0
                );
                return Err(ConfigError::setting(key, problem));
            }
        }
        refuse(
            lookback_days == 0 && (max_volume_drop.is_some() || max_volume_spike.is_some()),
            "validation.lookback_days",
            "is 0, with which max_volume_drop and max_volume_spike refuse nothing; take some days, or leave these out",
        )?;
        self.check_places()?;
        refuse(
            self.resources.memory_bytes < Budget::LEAST_BYTES,
            "resources.memory_bytes",
            "must be at least 67108864 (64 MiB)",
        )?;
        refuse(
            self.resources.temp_dir.as_ref().is_some_and(|dir| dir.trim().is_empty() || dir.contains("://")),
            "resources.temp_dir",
            "must be a path: what is put there is too much to send over a network",
        )?;
        refuse(self.storage.timeout_s == 0, "storage.timeout_s", "must be at least 1")?;
        refuse(self.storage.operator_timeout_s == 0, "storage.operator_timeout_s", "must be at least 1")?;
        refuse(
            f64::from(self.validation.max_invalid_ratio) > 1.0,
            "validation.max_invalid_ratio",
            "must be at most 1, which is every line",
        )?;
        refuse(self.limits.max_id_bytes == 0, "limits.max_id_bytes", "must be at least 1")?;
        let Weights { exposure, click, conversion, .. } = self.weights;
        refuse([exposure, click, conversion] == [0, 0, 0], "weights", "are all 0; then nothing counts")?;
        self.metrics.check()?;
        self.notify.check()?;
        let kinds = &self.artifact_kinds;
        refuse(kinds.is_empty(), "artifact_kinds", "is empty; name at least one kind")?;
        let is_repeated = (1..kinds.len()).any(|at| kinds[..at].contains(&kinds[at]));
        refuse(is_repeated, "artifact_kinds", "names a kind twice")
    }

    /// Checks the settings of folders and files.
    fn check_places(&self) -> Result<(), ConfigError> {
        for (key, s3) in [("raw_source.s3", &self.raw_source.s3), ("object_store.s3", &self.object_store.s3)]
        {
            s3.check().map_err(|problem| ConfigError::setting(key, problem))?;
        }
        let raw_dir = match self.raw_dir() {
            Err(error @ ConfigError::Value { .. }) => return Err(error),
            raw_dir => raw_dir.ok(),
        };
        let roots = self.roots();
        // Check every folder setting, even one that another overrides: none may hold a secret.
        let dirs = [
            ("out_dir", Some(self.out_dir.clone()), None),
            ("raw_events_dir", self.raw_events_dir.clone(), None),
            ("raw_source.dir", self.raw_source.dir.clone(), None),
            ("raw_source", raw_dir, self.raw_bucket().own_section()),
            ("canonical_dir", Some(self.canonical_dir()), None),
            ("checkpoint_dir", Some(self.checkpoint_dir()), None),
            ("artifacts_dir", Some(self.artifacts_dir()), None),
            ("object_store_dir", self.object_store_dir.clone(), None),
            ("object_store.dir", self.object_store.dir.clone(), None),
            ("object_store", Some(self.object_store_dir()?), self.object_bucket().own_section()),
            ("registry_dir", Some(self.registry_dir()), None),
        ];
        let is_empty = "is empty; give a path or leave it out";
        for (key, dir, section) in dirs {
            let Some(dir) = dir else { continue };
            refuse(dir.trim().is_empty(), key, is_empty)?;
            roots.open_with(&dir, section).map_err(|source| ConfigError::Root { key, source })?;
        }
        if let Some(path) = &self.catalog.path {
            let key = "catalog.path";
            refuse(path.trim().is_empty(), key, is_empty)?;
            roots.open_document(path).map_err(|source| ConfigError::Root { key, source })?;
        }
        Ok(())
    }
}

/// The settings of a section, with their paths. A map without entries is a setting.
fn settings(path: &[String], value: Value) -> Vec<(Vec<String>, Value)> {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let below = fields.into_iter().map(|(name, value)| settings(&[path, &[name]].concat(), value));
            below.flatten().collect()
        }
        value => vec![(path.to_owned(), value)],
    }
}

/// A place that may be a bucket.
pub(crate) struct Bucket<'a> {
    /// Whether the type selects the bucket in `s3`.
    is_named: bool,
    dir: Option<&'a str>,
    s3: &'a S3Settings,
}

impl<'a> Bucket<'a> {
    /// The section of this place alone, if the type selects the bucket.
    pub(crate) fn own_section(&self) -> Option<&'a S3Settings> {
        self.is_named.then_some(self.s3)
    }

    /// URL of the bucket, if the type selects one.
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
